"""A search for settings: the same for every arm, kept apart from comparisons, never lost."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import search as script
import train
from benchmarks.made_up_runs import make_grid_of_runs
from cli.errors import UserError
from evaluation.runs import find_runs
from files.lock import exclusive, is_held
from records.folder import SEARCHED, RunFolder
from sweeps.search.engine import run_search
from sweeps.search.trials import open_trials
from tests.evaluation.comparing import comparison, report
from tests.sweeps.lost_steps import newest, require_no_step_in_two_games
from tests.sweeps.searching import STEPS, a_search, words
from tests.waiting import wait_for

ROOT = Path(__file__).parents[2]
PLAN = ROOT / "docs/results/atari/plan.toml"
# The default is not that of train.py, so that train.py is seen to take it.
OPTIONS = ("--fresh-seeds", "1", "--learning-rate", "5e-4")


def rows(out: Path) -> list[dict[str, str]]:
    with (out / "trials.csv").open() as file:
        return list(csv.DictReader(file))


def files(out: Path) -> dict[Path, int]:
    return {p: p.stat().st_mtime_ns for p in out.rglob("*/trial-*/**/*") if p.is_file()}


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("search") / "out"
    assert script.main(words(out, "--trials", "2", *OPTIONS)) == 0
    return out


@pytest.mark.slow
def test_every_trial_is_a_row_with_the_steps_it_took(searched: Path) -> None:
    tried = [(row["arm"], row["trial"], row["steps"]) for row in rows(searched)]
    assert sorted(tried) == [
        (arm, trial, str(STEPS)) for arm in ("coordconv", "nature") for trial in ("0", "1")
    ]


@pytest.mark.slow
def test_the_runs_have_the_settings_and_the_seeds_of_their_trial(searched: Path) -> None:
    for row in rows(searched):
        (path,) = find_runs([searched / row["arm"] / f"trial-{row['trial']}"])
        config = RunFolder.open(path)[1]
        assert (config.extractor, config.seed, config.game) == (row["arm"], 1001, "Breakout")
        assert config.values()["learning_rate"] == float(row["learning_rate"])
    fresh = find_runs(list(searched.rglob("*-on-fresh-seeds")))
    assert {RunFolder.open(path)[1].seed for path in fresh} == {1002}


@pytest.mark.slow
@pytest.mark.parametrize("arm", ["nature", "coordconv"])
def test_the_best_settings_are_taken_by_train(
    searched: Path, arm: str, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = [row for row in rows(searched) if row["arm"] == arm]
    best = max(mine, key=lambda row: float(row["score"]))
    file = searched / arm / "best.toml"
    assert train.main(["--config", str(file), "--game", "Pong", "--dry-run"]) == 0
    config = json.loads(capsys.readouterr().out.partition("\n")[2])
    assert config["learning_rate"] == float(best["learning_rate"])
    assert (config["extractor"], config["algo"], config["n_envs"]) == (arm, "a2c", 1)
    assert config["steps"] == 10_000_000


@pytest.mark.slow
def test_the_page_tells_what_was_tried_and_what_the_fresh_seeds_said(searched: Path) -> None:
    page = (searched / "README.md").read_text()
    for row in rows(searched):
        assert f"| {row['arm']} | {row['trial']} |" in page
    assert re.search(r"\| nature \| default( and best)? \| learning-rate 0.0005 \| -?\d", page)
    assert "on fresh seeds (1002)" in page
    assert f"| nature | 2 | 2 | 0 | 0 | {2 * STEPS:,} | {2 * STEPS:,} |" in page
    assert "not a verdict on the arms" in page
    assert "python search.py --algo a2c" in page
    assert "Not finished" not in page


@pytest.mark.slow
def test_a_finished_search_started_again_trains_nothing(searched: Path) -> None:
    before = files(searched)
    assert before
    assert script.main(words(searched, "--trials", "2", *OPTIONS)) == 0
    assert files(searched) == before


@pytest.mark.slow
def test_another_search_in_its_folder_is_refused(searched: Path) -> None:
    with pytest.raises(UserError, match=r"contains another search \(trials 2 instead of 3\)"):
        script.main(words(searched, "--trials", "3", *OPTIONS))
    with (
        exclusive(searched, "searching"),
        pytest.raises(UserError, match="another process is searching"),
    ):
        script.main(words(searched, "--trials", "2", *OPTIONS))


@pytest.mark.slow
def test_compare_leaves_its_runs_out_and_says_so(searched: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    make_grid_of_runs(runs, ["Pong"], {"nature": 0.2, "coordconv": 0.5})
    alone = comparison(runs).grid.scores("nature")
    (runs / "search").symlink_to(searched)
    assert (comparison(runs).grid.scores("nature") == alone).all()
    assert comparison(runs).grid.games == ("Pong",)
    report(runs)
    told = (runs.parent / "report" / "report.md").read_text()
    assert (
        told.count("settings were chosen by the scores of such runs, so they are never compared")
        == 1
    )
    assert f"left out: {len(find_runs([searched]))} runs, " in told
    with pytest.raises(UserError, match="settings were chosen by the scores of such runs"):
        comparison(searched)


@pytest.mark.slow
def test_stopped_and_killed_it_goes_on_with_the_trial_that_it_was_at(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    mine = words(
        out,
        "--trials",
        1,
        "--fresh-seeds",
        0,
        "--extractors",
        "nature",
        "--checkpoint-every",
        96,
        steps=1_200,
    )
    run = out / "nature/trial-0/a2c/Breakout/nature/seed-1001"
    process = subprocess.Popen([sys.executable, str(ROOT / "search.py"), *mine])
    wait_for(lambda: newest(run) > 0)
    process.kill()
    process.communicate()
    wait_for(lambda: not is_held(run))  # train.py was told that its parent is gone
    reached = newest(run)

    def stop() -> None:
        wait_for(lambda: newest(run) > reached)
        os.kill(os.getpid(), signal.SIGTERM)

    asking = threading.Thread(target=stop)
    asking.start()
    assert script.main(mine) == 130
    asking.join()
    assert "continue with: python search.py --algo a2c" in capsys.readouterr().out
    assert "**Not finished:**" in (out / "README.md").read_text()
    assert not is_held(run)
    assert reached < newest(run) < 1_200

    assert script.main(mine) == 0
    (row,) = rows(out)
    assert (row["trial"], row["state"], row["steps"]) == ("0", "complete", "1200")
    require_no_step_in_two_games(run)
    assert SEARCHED in json.loads(RunFolder(run).provenance_file.read_text())


@pytest.mark.slow
def test_a_trial_that_diverges_counts_and_does_not_stop_the_search(tmp_path: Path) -> None:
    out = tmp_path / "out"
    own = "tests.sweeps.diverging:Diverging"
    assert script.main(words(out, "--trials", 2, "--fresh-seeds", 0, "--extractors", own)) == 0
    assert [row["state"] for row in rows(out)] == ["diverged", "diverged"]
    assert all(int(row["steps"]) < STEPS for row in rows(out))
    assert not list(out.rglob("best.toml"))
    assert f"| {own} | 2 | 0 | 0 | 2 |" in (out / "README.md").read_text()


@pytest.mark.slow
def test_a_run_that_fails_is_told_of_and_tried_again(tmp_path: Path) -> None:
    search = a_search(tmp_path, trials=1)
    run = tmp_path / "nature/trial-0/a2c/Breakout/nature/seed-1001"
    run.mkdir(parents=True)
    (run / "notes.txt").write_text("somebody's")
    with open_trials(search) as arms:
        ((name, told),) = run_search(search, arms, 1).failed.items()
        assert name == "nature trial 0"
        assert "is not empty, nothing was written" in told[0]
        assert arms["nature"].over() == []
    (run / "notes.txt").unlink()
    with open_trials(search) as arms:
        assert not run_search(search, arms, 1).failed
        assert [tried.state for tried in arms["nature"].over()] == ["complete"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--games", "Pong", "Qbert", "--plan", PLAN], "game Qbert is also used by part a2c of"),
        (
            ["--first-seed", "4", "--seeds", "1", "--plan", PLAN],
            "seed 4 is also used by part a2c of",
        ),
        (
            ["--first-seed", "0", "--fresh-seeds", "1", "--plan", PLAN],
            "seed 1 is also used by part",
        ),
        (["--vary", "gama", "0.9", "0.99"], "unknown setting to --vary 'gama'; did you mean gamma"),
        (["--vary", "n-envs", "1", "9"], "unknown setting to --vary 'n-envs'"),
        (["--vary", "gamma", "0.9", "1.1"], "between 0 and 1, got 0.9 and 1.1"),
        (["--vary", "gamma", "0.99", "0.9"], "a lower and a higher value"),
        (["--vary", "ent-coef", "0", "0.1"], "its lower value must be above 0"),
        (["--vary", "learning-rate", "1e-4", "1e-3"], "--vary is given twice for learning-rate"),
        (["--learning-rate", "1"], "does not contain the default 1"),
        (["--seeds", "0"], "--seeds needs at least one value"),
        (["--trials", "0"], "--trials must be between"),
        (["--workers", "-1"], "--workers must be between"),
        (["--extractors", "natur"], "natur"),
        (["--games", "Pnog"], "Pong"),
        (["--clip-range", "0.1"], "clip_range is not a setting of a2c"),
    ],
)
def test_what_cannot_be_searched_is_refused_before_anything_is_written(
    tmp_path: Path, options: list[str], told: str
) -> None:
    with pytest.raises(UserError, match=re.escape(told)):
        script.main(words(tmp_path / "out", *options))
    assert not (tmp_path / "out").exists()


def test_a_search_without_a_range_or_in_a_folder_of_others_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="is not empty and contains no search"):
        script.main(words(tmp_path))
    with pytest.raises(UserError, match="needs at least one --vary"):
        script.main(["--games", "Pong", "--out", str(tmp_path / "new")])


def test_a_dry_run_tells_the_budget(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert script.main(words(tmp_path / "out", "--trials", "6", "--dry-run")) == 0
    told = capsys.readouterr().out
    assert "each of nature, coordconv: 6 trials of 400 steps on each of Breakout" in told
    assert "at most 2,400 steps; then the default and best settings with seeds 1002, 1003" in told
    assert not (tmp_path / "out").exists()


def test_games_that_cannot_be_averaged_are_refused(tmp_path: Path) -> None:
    a_search(tmp_path, games=("Carnival",)).check()
    with pytest.raises(UserError, match="no published scores"):
        a_search(tmp_path, games=("Pong", "Carnival")).check()
