"""Code of a person's own is found where they stand, and takes nobody else's place."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_an_extractor_lies_in_the_folder_one_stands_in(tmp_path: Path) -> None:
    own = "from policies import NatureExtractor\nclass Ext(NatureExtractor): pass\n"
    (tmp_path / "mynet.py").write_text(own)
    (tmp_path / "random.py").write_text("raise ImportError('not asked for')\n")
    command = [sys.executable, str(ROOT / "train.py"), "--describe", "--game", "Pong"]
    described = subprocess.run(
        [*command, "--extractor", "mynet:Ext"], cwd=tmp_path, capture_output=True, text=True
    )
    assert described.returncode == 0, described.stderr
    assert described.stdout.startswith("mynet:Ext for Pong")
