"""Sweeps on a real Ray cluster of several nodes, one of which dies."""

from __future__ import annotations

import csv
import json
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import pytest

from agents.agent import load_agent
from agents.checkpoint import list_checkpoints
from agents.errors import UserError
from agents.run_folder import RunFolder
from sweeps.ray_cluster import run_ray
from sweeps.status import is_complete
from tests.sweeps.test_sweep import wait_for

cluster_utils = pytest.importorskip("ray.cluster_utils", reason="pip install -e '.[ray]'")
STORE_BYTES = 80 * 2**20  # Ray's least for each node's shared memory


@pytest.fixture
def cluster() -> Iterator[tuple[object, list[object]]]:
    """A head that computes nothing and two nodes of one CPU each."""
    settings = {"object_store_memory": STORE_BYTES, "include_dashboard": False}
    started = cluster_utils.Cluster(
        initialize_head=True, head_node_args={"num_cpus": 0, **settings}
    )
    nodes = [started.add_node(num_cpus=1, object_store_memory=STORE_BYTES) for _ in range(2)]
    yield started, nodes
    started.shutdown()


def test_a_node_dies_in_the_middle_of_a_cell_and_the_grid_completes(
    cluster, small_sweep, command_line
):
    started, nodes = cluster
    sweep = replace(small_sweep, steps=12_000, checkpoint_every=800)
    cells = sweep.cells()
    process = command_line(sweep, "--engine", "ray", "--address", started.address)
    wait_for(lambda: all(len(list_checkpoints(RunFolder(cell.path))) > 1 for cell in cells), 120)
    started.remove_node(nodes[0], allow_graceful=False)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert "2 cells: 2 done" in out
    resumes = []
    for cell in cells:
        assert is_complete(cell, 1)
        folder = RunFolder(cell.path)
        assert load_agent(cell.path)[2] == 12_000
        with folder.episodes_file.open() as file:
            games = [(int(row["step"]), row["seconds"]) for row in csv.DictReader(file)]
        assert games == sorted(games)
        assert max(Counter(games).values()) <= 16  # no more games end at once than there are
        with folder.evaluation_file.open() as file:
            assert [row["seed"] for row in csv.DictReader(file)] == ["1"]
        resumes.append(len(json.loads(folder.provenance_file.read_text()).get("resumed", [])))
    # The dead node's cell went on elsewhere; the other one never stopped.
    assert sorted(resumes) == [0, 1]


def test_without_a_cluster_it_says_so_in_a_line(small_sweep):
    with pytest.raises(UserError, match="no Ray cluster answers at 127"):
        run_ray(small_sweep, small_sweep.cells(), None, "127.0.0.1:1")


def test_without_ray_it_says_how_to_get_it(small_sweep, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match="pip install -e"):
        run_ray(small_sweep, small_sweep.cells(), None, "127.0.0.1:1")
