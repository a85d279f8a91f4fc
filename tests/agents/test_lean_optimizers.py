"""Training does without torch's compiler, and learns what it would learn with it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from records.folder import RunFolder
from records.kept_checkpoints import open_checkpoint

ROOT = Path(__file__).parents[2]
ALGOS = ("a2c", "ppo")
TRAIN = f"""
import sys
from pathlib import Path
import torch
if sys.argv[2] == "compiler":
    import torch._dynamo
from agents.training import train
from policies import products
from records.folder import RunFolder
from tests.agents.conftest import small_config
torch.set_num_threads(1)
# The choice depends on measured speeds; another one in the other process would change last bits.
products.chosen_products = lambda: products.Products(products.DEFAULT, 1.0)
for algo in {ALGOS}:
    config = small_config(algo)
    train(config, RunFolder.create(Path(sys.argv[1]) / algo, config))
print("torch._dynamo" in sys.modules)
"""


def trained(folder: Path, how: str) -> tuple[list[bytes], bool]:
    """What a new process trained, and whether it imported the compiler."""
    folder.mkdir()
    command = [sys.executable, "-c", TRAIN, str(folder), how]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    checkpoints = [open_checkpoint(RunFolder(folder / algo)).path for algo in ALGOS]
    tensors = [path.read_bytes() for each in checkpoints for path in sorted(each.glob("*.safe*"))]
    return tensors, done.stdout.split()[-1] == "True"


@pytest.mark.slow
def test_training_imports_no_compiler_and_learns_the_same_to_the_bit(tmp_path: Path) -> None:
    tensors, imported = trained(tmp_path / "lean", "lean")
    assert not imported
    usual, imported = trained(tmp_path / "usual", "compiler")
    assert imported
    assert len(tensors) == 4
    assert tensors == usual
