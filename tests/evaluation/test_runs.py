"""Which runs are compared, which are refused, and which are set aside with a word."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agents.play import TRAINING_EVALUATION_SEEDS_FROM
from benchmarks.made_up_runs import make_grid_of_runs, make_run
from cli.errors import UserError
from evaluation.compare import Request, grids
from tests.evaluation.comparing import GAMES, comparison, edit, refusal, report


@pytest.mark.parametrize(
    ("setting", "value", "shown"),
    [
        ("protocol", "sticky", "protocol"),
        ("steps", 2_000_000, "steps"),
        ("learning_rate", 1e-3, "learning_rate"),
        ("n_envs", 8, "n_envs"),
        ("precision", "bfloat16", "precision"),
    ],
)
def test_runs_of_different_kinds_are_never_pooled(
    tmp_path: Path, setting: str, value: Any, shown: str
) -> None:
    make_grid_of_runs(tmp_path, ["Pong"], {"nature": 0.5, "coordconv": 0.5})
    other = make_run(tmp_path, "Breakout", "nature", **{setting: value})
    message = refusal(tmp_path)
    assert f"runs of different {shown} are never compared" in message
    assert str(other) in message
    assert str(value) in message


def test_another_definition_of_the_protocol_is_another_protocol(tmp_path: Path) -> None:
    make_grid_of_runs(tmp_path, ["Pong"], {"nature": 0.5, "coordconv": 0.5})
    path = tmp_path / "a2c/Pong/nature/seed-3"
    edit(
        path,
        "provenance.json",
        lambda text: text.replace('"protocol_hash": "', '"protocol_hash": "0'),
    )
    assert "different protocol_hash" in refusal(tmp_path)


def test_settings_without_influence_may_differ(tmp_path: Path) -> None:
    make_grid_of_runs(tmp_path, ["Pong"], {"nature": 0.5}, threads=1, checkpoint_every=5000)
    make_grid_of_runs(tmp_path, ["Pong"], {"coordconv": 0.5}, threads=2)
    assert len(comparison(tmp_path).grid.runs) == 6


def test_algorithms_are_compared_each_by_itself(tmp_path: Path) -> None:
    for algo in ("a2c", "ppo"):
        make_grid_of_runs(tmp_path, ["Pong"], {"nature": 0.5, "coordconv": 0.5}, algo=algo)
    found, _ = grids(Request((tmp_path,), tmp_path))
    assert [(grid.algo, len(grid.runs)) for grid in found] == [("a2c", 6), ("ppo", 6)]


def test_modes_of_evaluation_are_not_mixed(tmp_path: Path) -> None:
    make_grid_of_runs(tmp_path, ["Pong"], {"nature": 0.5, "coordconv": 0.5})
    path = tmp_path / "a2c/Pong/nature/seed-1"
    edit(path, "evaluation.csv", lambda text: text.replace("stochastic", "deterministic"))
    assert "1 cells are missing" in refusal(tmp_path)
    grid = comparison(tmp_path, allow_missing=True).grid
    assert "scored in deterministic mode only" in grid.missing["nature", "Pong", 1]
    assert len(grid.of("nature", "Pong")) == 2


def test_evaluations_during_training_are_no_scores(tmp_path: Path) -> None:
    make_grid_of_runs(tmp_path, ["Pong"], {"nature": 0.5, "coordconv": 0.5})
    before = comparison(tmp_path).grid.scores("nature")
    seed = 2 * TRAINING_EVALUATION_SEEDS_FROM + 1
    row = f"1000000,{seed},99999,10,stochastic\n"
    for file in tmp_path.rglob("evaluation.csv"):
        file.write_text(file.read_text() + row)
    assert (comparison(tmp_path).grid.scores("nature") == before).all()


def test_every_run_counts_with_the_same_games(tmp_path: Path) -> None:
    make_grid_of_runs(tmp_path, ["Pong"], {"nature": 0.5, "coordconv": 0.5}, episodes=20)
    shutil.rmtree(tmp_path / "a2c/Pong/nature/seed-1")
    shutil.rmtree(tmp_path / "a2c/Pong/nature/seed-2")
    make_run(tmp_path, "Pong", "nature", 1, episodes=30)
    make_run(tmp_path, "Pong", "nature", 2, episodes=12)
    grid = comparison(tmp_path, allow_missing=True).grid
    assert {len(run.games) for run in grid.runs.values()} == {20}
    assert "12 of 20 games scored" in grid.missing["nature", "Pong", 2]
    assert len(comparison(tmp_path, episodes=12).grid.runs) == 6


@pytest.mark.slow
def test_missing_cells_are_listed_and_left_out_only_on_request(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_grid_of_runs(tmp_path, GAMES[:2], {"nature": 0.5, "coordconv": 0.5}, seeds=4)
    shutil.rmtree(tmp_path / "a2c/Breakout/coordconv/seed-2")
    message = refusal(tmp_path)
    assert "1 cells are missing" in message
    assert "--allow-missing" in message
    assert "missing: a2c Breakout coordconv seed 2: no such run" in capsys.readouterr().err
    report(tmp_path, allow_missing=True)
    page = (tmp_path.parent / "report/index.html").read_text()
    assert "a2c Breakout coordconv seed 2: no such run" in page
    assert "missing runs that are left out: 1; they are listed below" in page


@pytest.mark.slow
def test_a_game_that_an_arm_never_played_is_left_out_with_a_word(tmp_path: Path) -> None:
    make_grid_of_runs(tmp_path, GAMES[:2], {"nature": 0.5, "coordconv": 0.5})
    shutil.rmtree(tmp_path / "a2c/Breakout/coordconv")
    assert "3 cells are missing:" in refusal(tmp_path)
    grid = comparison(tmp_path, allow_missing=True).grid
    assert grid.games == ("MsPacman",)
    assert grid.left_out == ("Breakout",)
    report(tmp_path, allow_missing=True)
    assert "Breakout is left out" in (tmp_path.parent / "report/report.md").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("lost", ["a2c/Pong/coordconv-r", "ppo/Pong/nature"])
def test_an_arm_or_algorithm_without_a_usable_run_does_not_vanish(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], lost: str
) -> None:
    algo, _, arm = lost.split("/")
    make_grid_of_runs(tmp_path, ["Pong"], {"nature": 0.5, "coordconv": 0.5})
    path = make_run(tmp_path, "Pong", arm, algo=algo)
    (path / "DONE").unlink()
    assert "1 cells are missing" in refusal(tmp_path)
    assert f"missing: {algo} Pong {arm} seed 1: still training" in capsys.readouterr().err
    report(tmp_path, allow_missing=True)
    page = (tmp_path.parent / "report/index.html").read_text()
    assert f"{algo} Pong {arm} seed 1: still training" in page


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda path: (path / "DONE").unlink(), "still training"),
        (lambda path: (path / "evaluation.csv").unlink(), "not scored yet"),
        (
            lambda p: edit(p, "evaluation.csv", lambda t: t.replace(",stoch", ",x,stoch", 1)),
            "damaged",
        ),
        (lambda p: edit(p, "evaluation.csv", lambda t: t + "1000000,99,nan,5,stochastic\n"), "nan"),
        (lambda p: edit(p, "evaluation.csv", lambda t: t[: len(t) - 12]), "games scored"),
        (lambda p: (p / "evaluation.csv").write_bytes(b"\xff\xfe\x00"), "does not begin with"),
        (lambda p: (p / "config.json").write_text("{"), "cannot read"),
    ],
)
def test_a_run_that_cannot_be_used_is_set_aside_and_the_rest_goes_on(
    tmp_path: Path, damage: Callable[[Path], object], told: str
) -> None:
    make_grid_of_runs(tmp_path, ["Pong"], {"nature": 0.5, "coordconv": 0.5}, seeds=4)
    damage(tmp_path / "a2c/Pong/nature/seed-1")
    found, aside = grids(Request((tmp_path,), tmp_path, allow_missing=True))
    assert len(found[0].runs) == 7
    (run,) = aside
    assert told in run.why
    assert "\n" not in run.why


@pytest.mark.slow
@pytest.mark.parametrize("lost", ["config.json", "checkpoints"])
def test_a_run_without_its_config_does_not_vanish(tmp_path: Path, lost: str) -> None:
    make_grid_of_runs(tmp_path, ["Pong"], {"nature": 0.5, "coordconv": 0.5})
    path = tmp_path / "a2c/Pong/nature/seed-3"
    (path / "config.json").unlink()
    if lost == "checkpoints":  # nothing else is left of it
        shutil.rmtree(path)
        (path / "checkpoints").mkdir(parents=True)
    assert "1 cells are missing, and 1 runs cannot be read:" in refusal(tmp_path)
    report(tmp_path, allow_missing=True)
    page = (tmp_path.parent / "report/index.html").read_text()
    assert "seed-3 has no config.json" in page


def test_linked_folders_are_followed_and_loops_are_not(tmp_path: Path) -> None:
    make_grid_of_runs(tmp_path / "elsewhere", ["Pong"], {"coordconv": 0.5})
    make_grid_of_runs(tmp_path / "runs", ["Pong"], {"nature": 0.5})
    (tmp_path / "runs/linked").symlink_to(tmp_path / "elsewhere/a2c/Pong/coordconv")
    (tmp_path / "runs/loop").symlink_to(tmp_path / "runs")
    assert len(comparison(tmp_path / "runs").grid.runs) == 6


def test_every_protocol_hash_is_compared_not_only_with_the_first_run(tmp_path: Path) -> None:
    make_grid_of_runs(tmp_path, ["Pong"], {"nature": 0.5, "coordconv": 0.5})
    (tmp_path / "a2c/Pong/coordconv/seed-1/provenance.json").write_text("{")
    path = tmp_path / "a2c/Pong/nature/seed-3"
    new = '"protocol_hash": "0'
    edit(path, "provenance.json", lambda text: text.replace('"protocol_hash": "', new))
    assert "different protocol_hash" in refusal(tmp_path)


def test_nothing_to_compare_is_said_in_a_line(tmp_path: Path) -> None:
    assert "is not a folder" in refusal(tmp_path / "nowhere")
    assert "no run in" in refusal(tmp_path)
    make_grid_of_runs(tmp_path / "one", ["Pong"], {"coordconv": 0.5})
    assert "no a2c run of the baseline 'nature'" in refusal(tmp_path / "one")
    assert "there are: coordconv" in refusal(tmp_path / "one")
    assert "nothing to compare with coordconv" in refusal(tmp_path / "one", baseline="coordconv")
    foreign = tmp_path / "foreign/model"
    foreign.mkdir(parents=True)
    (foreign / "config.json").write_text('{"architectures": ["Bert"]}')
    assert "none of 1 runs can be compared" in refusal(tmp_path / "foreign")


def test_a_run_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    make_grid_of_runs(tmp_path / "a", ["Pong"], {"nature": 0.5, "coordconv": 0.5})
    make_run(tmp_path / "b", "Pong", "nature", 1)
    with pytest.raises(UserError, match="are both a2c Pong nature seed 1"):
        grids(Request((tmp_path / "a", tmp_path / "b"), tmp_path))


def test_a_pipe_in_place_of_a_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    make_grid_of_runs(tmp_path, ["Pong"], {"nature": 0.5, "coordconv": 0.5}, seeds=4)
    file = tmp_path / "a2c/Pong/nature/seed-1/evaluation.csv"
    file.unlink()
    os.mkfifo(file)
    grid = comparison(tmp_path, allow_missing=True).grid
    assert "it is not a file" in grid.missing["nature", "Pong", 1]
