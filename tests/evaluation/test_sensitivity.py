"""Translation sensitivity from the command line and in the report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import evaluate
from agents.build import build_network
from benchmarks.made_up_runs import make_grid_of_runs
from cli.errors import UserError
from records.checkpoint import TrainingState
from records.folder import RunFolder
from records.kept_checkpoints import save_checkpoint
from records.random_states import random_states
from tests.evaluation.comparing import report

MakeRun = Callable[..., Path]


def give_checkpoint(path: Path) -> None:
    """Fresh weights for a run that never was."""
    folder, config = RunFolder.open(path)
    policy = build_network(config)
    state = TrainingState(
        step=config.total_steps,
        updates=0,
        seconds=0.0,
        games=0,
        resumes=0,
        score=None,
        episodes_bytes=0,
        rng=random_states(),
    )
    save_checkpoint(folder, policy, policy.optimizer, state, keep=config.keep)


@pytest.mark.slow
def test_the_command_prints_distances_and_draws_agents_of_several_games(
    make_run: MakeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [make_run("a"), make_run("b", extractor="nature"), make_run("c", game="Pong")]
    file = tmp_path / "shifts.png"
    words = ["sensitivity", *map(str, paths), "--picture", str(file)]
    assert evaluate.main([*words, "--dry-run"]) == 0
    assert not file.exists()
    capsys.readouterr()
    assert evaluate.main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split("  ")[-1].strip() == "another game"
    agents = [line.split("  ")[:2] for line in lines[1:4]]
    assert [line.split()[0] for line in lines[1:4]] == ["Breakout", "Breakout", "Pong"]
    assert "a2c nature seed 1 at 16" in lines[2], agents
    assert lines[1].count("±") == 4
    assert lines[4] == f"wrote {file}"
    assert np.asarray(Image.open(file)).std() > 10
    with pytest.raises(UserError, match=r"shifts\.png exists"):
        evaluate.main(words)
    with pytest.raises(UserError, match=r"--picture must end in \.png or \.svg, got shifts\.gif"):
        evaluate.main(["sensitivity", str(paths[0]), "--picture", "shifts.gif"])


@pytest.mark.slow
def test_the_report_shows_arms_that_have_checkpoints_and_names_those_that_do_not(
    tmp_path: Path,
) -> None:
    root = tmp_path / "runs"
    make_grid_of_runs(root, ["Pong"], {"nature": 0.5, "coordconv": 0.7, "coordconv-r": 0.7})
    for arm in ("nature", "coordconv"):
        give_checkpoint(root / "a2c/Pong" / arm / "seed-1")
    report(root)
    text = (tmp_path / "report/report.md").read_text()
    assert "| game | agent | 1 px | 2 px | 4 px | 8 px | next step | another game |" in text
    rows = [line for line in text.splitlines() if line.startswith("| Pong |") and "±" in line]
    named = [row.split(" | ")[1] for row in rows if row.count("|") == 9 and "→" not in row]
    assert named == ["nature", "coordconv"]
    assert (
        "translation sensitivity was not measured for Pong coordconv-r: the run has no checkpoints"
        in text
    )
    assert (tmp_path / "report/figures/a2c-shifts.svg").exists()
    page = (tmp_path / "report/index.html").read_text()
    assert "Sensitivity to shifted pictures" in page
