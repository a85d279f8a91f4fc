"""Save the layer measurements of finished cells before their events and checkpoints are deleted.

The code of the grid was frozen before runs wrote layers.csv and where_maps/ themselves. Run this
from the root of the project after `collect`, which copies the other small files:

    PYTHONPATH=. python docs/results/atari/keep_layers.py CELLS docs/results/atari/runs

Each run that is in both folders gets the translation dependence of every measurement (from the
TensorBoard events) and the where-maps of the last checkpoint (from the weights), in the files that
runs write today. Existing files are not changed.
"""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path

import torch

from agents.build import build_network
from agents.layers import measured_layers
from evaluation.report.layers import read_layers
from records.folder import RunFolder
from records.kept_checkpoints import open_checkpoint
from records.layers import LayerUse, layer_log, write_where_maps


def keep(cell: Path, kept: Path) -> bool:
    """Write the layer files of one run; return whether there was something to write."""
    layers = read_layers(cell)
    folder, config = RunFolder.open(cell)
    if layers is None or RunFolder(kept).layers_file.exists():
        return False
    checkpoint = open_checkpoint(folder)
    policy = build_network(config)
    checkpoint.load_policy(policy)
    # Where-maps depend only on the size of the images.
    measured = measured_layers(policy, torch.zeros((1, 4, 84, 84), dtype=torch.uint8))
    maps = {layer.name: layer.where_map for layer in measured}
    write_where_maps(RunFolder(kept), checkpoint.state.step, maps)
    uses = [
        LayerUse(step, name, value)
        for name, (steps, values) in layers.dependence.items()
        for step, value in zip(steps, values, strict=True)
    ]
    with closing(layer_log(RunFolder(kept))) as log:
        log.append(*sorted(uses))
    return True


if __name__ == "__main__":
    cells, runs = map(Path, sys.argv[1:])
    for done in sorted(runs.rglob("DONE")):
        cell = cells / done.parent.relative_to(runs)
        if any(cell.glob("events.out.tfevents.*")) and keep(cell, done.parent):
            print(f"kept the layers of {cell.relative_to(cells)}")
