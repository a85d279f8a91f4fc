"""Runs that began with the weights of others, or were given more steps, in a comparison."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.made_up_runs import make_grid_of_runs, make_run
from cli.errors import UserError
from evaluation.compare import Request, grids, write_report
from evaluation.plan import load_plan
from evaluation.runs import read_runs
from records.ancestor import Ancestor, recorded
from records.config import run_config
from records.folder import RunFolder
from sweeps.grid import Sweep, require_same_runs
from tests.evaluation.test_plan import write_plan

LEVELS = {"nature": 0.5, "coordconv": 0.5}


def note(path: Path, **record: Any) -> None:
    file = path / "provenance.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **record}))


def ancestor(path: Path, *, step: int = 80, **changes: Any) -> Ancestor:
    """Of a run: the same arm on the same game, unless something is changed."""
    config = RunFolder.open(path)[1].replaced(**{"steps": 80, **changes})
    return Ancestor("/somewhere", step, f"digest of {path}", config)


def begun_with(path: Path, *ancestors: Ancestor) -> None:
    note(path, **recorded(ancestors))


def runs_below(root: Path) -> list[Path]:
    return sorted(file.parent for file in root.rglob("config.json"))


def refusal(root: Path) -> str:
    with pytest.raises(UserError) as refused:
        grids(Request((root,), root / "report"))
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two arms on two games, three seeds each."""
    make_grid_of_runs(tmp_path / "runs", ["Pong", "Breakout"], LEVELS)
    return tmp_path / "runs"


def test_one_run_with_an_ancestor_is_not_mixed_with_runs_from_scratch(root: Path) -> None:
    path = root / "a2c/Pong/coordconv/seed-2"
    begun_with(path, ancestor(path))
    told = refusal(root)
    assert "runs of different ancestors are never compared: none in" in told
    assert f"1 in {path}" in told


@pytest.mark.slow
def test_arms_that_all_learned_before_in_the_same_way_are_compared(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed, path in enumerate(runs_below(root)):
        begun_with(path, ancestor(path, seed=seed, threads=1 + seed))
    write_report(Request((root,), root / "report", videos=0), "command")
    told = capsys.readouterr().err
    assert "all runs started from the weights of other runs" in told
    assert "share one" not in told


@pytest.mark.slow
def test_runs_that_share_an_ancestor_are_told_of(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in runs_below(root):
        of = RunFolder.open(path)[1].extractor
        begun_with(path, Ancestor("/one", 80, of, ancestor(path, game="Pong").config))
        if "Breakout" in str(path):
            (path / "DONE").unlink()
    write_report(Request((root,), root / "report", videos=0, allow_missing=True), "command")
    assert "6 runs started from 2 checkpoints: runs that share one" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"step": 160}, "different ancestor's checkpoint are never compared"),
        ({"game": "Qbert"}, "different ancestor's game are never compared"),
        ({"extractor": "coordconv-r"}, "different ancestor's extractor are never compared"),
        ({"learning_rate": 1e-3}, "different ancestor's learning_rate are never compared"),
    ],
)
def test_ancestors_of_another_kind_are_named(
    root: Path, changes: dict[str, Any], told: str
) -> None:
    for path in runs_below(root):
        begun_with(path, ancestor(path))
    odd = root / "a2c/Pong/coordconv/seed-2"
    begun_with(odd, ancestor(odd, **changes))
    assert told in refusal(root)
    begun_with(odd, ancestor(odd), ancestor(odd))
    assert "different ancestors are never compared: 1 in" in refusal(root)


def test_an_ancestor_that_cannot_be_read_sets_the_run_aside(root: Path) -> None:
    path = root / "a2c/Pong/coordconv/seed-2"
    for damage in ([{"step": 1}], "text", [3], 7):
        note(path, ancestors=damage)
        _, (aside,) = read_runs(runs_below(root), "stochastic")
        assert "provenance.json is damaged: an ancestor is not valid" in aside.why


@pytest.mark.slow
def test_a_run_that_was_given_more_steps_is_one_of_those_steps(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = root / "a2c/Pong/coordconv/seed-2"
    note(path, extended=[{"from": 500_000, "to": 1_000_000, "at": "2026-01-01T00:00:00+0000"}])
    write_report(Request((root,), root / "report", videos=0), "command")
    assert "1 of 12 runs were started with another number of steps" in capsys.readouterr().err
    longer = RunFolder.open(path)[1].replaced(steps=2_000_000)
    (path / "config.json").write_text(longer.to_json())
    with pytest.raises(UserError, match="cells are missing"):
        grids(Request((root,), root / "report"))  # of the new last step there is no score yet
    assert "not scored yet" in capsys.readouterr().err
    rows = (path / "evaluation.csv").read_text()
    (path / "evaluation.csv").write_text(
        rows + rows.replace("1000000,", "2000000,").partition("\n")[2]
    )
    assert "runs of different steps are never compared" in refusal(root)


def test_neither_is_what_a_plan_foresaw(tmp_path: Path) -> None:
    plan = load_plan(write_plan(tmp_path / "plan"))

    def why(path: Path) -> str:
        (run,), _ = read_runs([path], "stochastic")
        return plan.place_of(run)[1]

    planned = make_run(tmp_path / "a", extractor="coordconv")
    assert why(planned) == ""
    begun_with(planned, ancestor(planned))
    assert why(planned) == "starting from the weights of another run is not planned"
    longer = make_run(tmp_path / "b", extractor="coordconv", steps=2_000_000)
    assert why(longer) == "steps 2000000 is not planned"


def test_neither_is_what_a_sweep_would_have_made(tmp_path: Path) -> None:
    sweep = Sweep(
        ("Pong",), ("a2c",), ("nature",), (1,), runs_dir=tmp_path, settings={"steps": (1_000_000,)}
    )
    path = make_run(tmp_path)
    require_same_runs(sweep.cells())
    begun_with(path, ancestor(path))
    with pytest.raises(UserError, match="it started from the weights of an earlier one"):
        require_same_runs(sweep.cells())
    longer = run_config(game="Pong", algo="a2c", extractor="nature", steps=2_000_000)
    (path / "config.json").write_text(longer.to_json())
    with pytest.raises(UserError, match="steps 2000000 instead of 1000000"):
        require_same_runs(sweep.cells())
