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
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import search as script
import train
from benchmarks.made_up_runs import make_grid_of_runs
from cli import settings
from cli.errors import UserError
from evaluation.runs import find_runs
from files.lock import exclusive, is_held
from records.folder import SEARCHED, RunFolder
from records.kept_checkpoints import list_checkpoints
from records.rows import Episode, episode_log, read_episodes
from sweeps.search.engine import run_search
from sweeps.search.objective import RUNGS, score_at
from sweeps.search.ranges import Range, first_points
from sweeps.search.request import Search
from sweeps.search.trials import Trials, open_trials
from tests.agents.conftest import SMALL
from tests.evaluation.comparing import comparison, report
from tests.waiting import wait_for

ROOT = Path(__file__).parents[2]
PLAN = ROOT / "docs/results/atari/plan.toml"
# A game of Breakout that nobody has learned is over within some 200 steps.
STEPS = 1_600


def words(
    out: Path,
    *options: object,
    steps: int = STEPS,
    vary: tuple[str, ...] = ("learning-rate", "1e-4", "1e-2"),
) -> list[str]:
    return [
        str(word)
        for word in (
            "--algo",
            "a2c",
            "--games",
            "Breakout",
            "--seeds",
            1,
            "--steps",
            steps,
            *settings.words(SMALL["a2c"]),
            "--vary",
            *vary,
            "--out",
            out,
            *options,
        )
    ]


def rows(out: Path) -> list[dict[str, str]]:
    with (out / "trials.csv").open() as file:
        return list(csv.DictReader(file))


def files(out: Path) -> dict[Path, int]:
    return {p: p.stat().st_mtime_ns for p in out.rglob("*/trial-*/**/*") if p.is_file()}


def newest(run: Path) -> int:
    """Step of the newest checkpoint; 0 before training has got anywhere."""
    found = list_checkpoints(RunFolder(run))
    return int(found[-1].name) if found else 0


def taken(arm: Trials) -> Any:
    """A trial that nothing trains."""
    found = arm.take()
    assert found is not None
    return found[0]


def a_search(out: Path, **changes: Any) -> Search:
    usual = Search(
        algo="a2c",
        extractors=("nature",),
        games=("Breakout",),
        seeds=(1001,),
        fresh_seeds=(),
        trials=3,
        ranges=(Range("learning_rate", 1e-4, 1e-2, True),),
        settings={"steps": STEPS, "threads": 1, "device": "cpu", **SMALL["a2c"]},
        out=out,
    )
    return replace(usual, **changes)


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("search") / "out"
    assert script.main(words(out, "--trials", "2", "--fresh-seeds", "1")) == 0
    return out


@pytest.mark.slow
def test_every_arm_begins_with_the_default_and_tries_the_same_points(tmp_path: Path) -> None:
    search = a_search(tmp_path, trials=6, extractors=("nature", "coordconv"))
    tried: dict[str, list[float]] = {}
    with open_trials(search) as arms:
        for arm, trials in arms.items():
            points = [trials.take() for _ in range(search.first)]
            tried[arm] = [found[1]["learning_rate"] for found in points if found is not None]
    assert len(set(tried["nature"])) == 3
    assert tried["nature"][0] == 7e-4
    assert tried["coordconv"] == tried["nature"]


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
    assert (config["extractor"], config["algo"], config["n_envs"]) == (arm, "a2c", 4)
    assert config["steps"] == 10_000_000


@pytest.mark.slow
def test_the_page_tells_what_was_tried_and_what_the_fresh_seeds_said(searched: Path) -> None:
    page = (searched / "README.md").read_text()
    for row in rows(searched):
        assert f"| {row['arm']} | {row['trial']} |" in page
    assert re.search(r"\| nature \| default( and best)? \| learning-rate 0.0007 \| -?\d", page)
    assert "on fresh seeds (1002)" in page
    assert f"| nature | 2 | 2 | 0 | 0 | {2 * STEPS:,} | {2 * STEPS:,} |" in page
    assert "not a verdict on the arms" in page
    assert "python search.py --algo a2c" in page
    assert "Not finished" not in page


@pytest.mark.slow
def test_a_finished_search_started_again_trains_nothing(searched: Path) -> None:
    before = files(searched)
    assert before
    assert script.main(words(searched, "--trials", "2", "--fresh-seeds", "1")) == 0
    assert files(searched) == before


@pytest.mark.slow
def test_another_search_in_its_folder_is_refused(searched: Path) -> None:
    with pytest.raises(UserError, match=r"contains another search \(trials 2 instead of 3\)"):
        script.main(words(searched, "--trials", "3", "--fresh-seeds", "1"))
    with (
        exclusive(searched, "searching"),
        pytest.raises(UserError, match="another process is searching"),
    ):
        script.main(words(searched, "--trials", "2", "--fresh-seeds", "1"))


@pytest.mark.slow
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
        800,
        steps=8_000,
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
    assert reached < newest(run) < 8_000

    assert script.main(mine) == 0
    (row,) = rows(out)
    assert (row["trial"], row["state"], row["steps"]) == ("0", "complete", "8000")
    steps = [game.step for game in read_episodes(RunFolder(run).episodes_file)]
    assert steps == sorted(steps)
    assert SEARCHED in json.loads(RunFolder(run).provenance_file.read_text())


@pytest.mark.slow
def test_a_trial_that_falls_behind_is_stopped_early(tmp_path: Path) -> None:
    search = a_search(tmp_path, settings={**a_search(tmp_path).settings, "steps": 16_000})
    with open_trials(search) as arms:
        for _ in range(2):  # beyond what anybody learns in so few steps
            trial = taken(arms["nature"])
            for rung in range(1, RUNGS + 1):
                trial.report(100.0, rung)
            arms["nature"].tell(trial, "complete", 100.0, 16_000)
        assert not run_search(search, arms, 1).failed
        tried = arms["nature"].over()[-1]
    assert (tried.number, tried.state) == (2, "pruned")
    assert 0.5 * 16_000 <= tried.steps < 16_000
    (run,) = find_runs([tmp_path])
    assert not RunFolder(run).is_done
    assert not is_held(run)


@pytest.mark.slow
@pytest.mark.parametrize(("score", "is_pruned"), [(0.5, True), (1.5, True), (2.5, False)])
def test_only_a_trial_below_the_lower_quartile_is_pruned_and_only_from_its_half_on(
    tmp_path: Path, score: float, is_pruned: bool
) -> None:
    with open_trials(a_search(tmp_path, trials=10)) as arms:
        for complete in (1.0, 2.0, 3.0, 4.0, 5.0):  # a lower quartile of 2
            trial = taken(arms["nature"])
            for rung in range(1, RUNGS + 1):
                trial.report(complete, rung)
            arms["nature"].tell(trial, "complete", complete, STEPS)
        trial = taken(arms["nature"])
        asked = {}
        for rung in range(1, RUNGS + 1):
            trial.report(score, rung)
            asked[rung] = trial.should_prune()
    half = RUNGS // 2
    assert asked == {rung: is_pruned and rung >= half for rung in asked}


def test_a_trial_that_was_to_be_pruned_when_all_was_killed_is_not_trained_on(
    tmp_path: Path,
) -> None:
    search = a_search(tmp_path)
    with open_trials(search) as arms:
        for _ in range(2):
            trial = taken(arms["nature"])
            trial.report(100.0, 5)
            arms["nature"].tell(trial, "complete", 100.0, STEPS)
        taken(arms["nature"]).report(0.0, 5)
    with open_trials(search) as arms:
        run_search(search, arms, 1)
        assert [tried.state for tried in arms["nature"].over()] == [
            "complete",
            "complete",
            "pruned",
        ]


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


def test_a_damaged_storage_is_one_line(tmp_path: Path) -> None:
    search = a_search(tmp_path)
    with open_trials(search):
        pass
    (tmp_path / "search.db").write_bytes(b"no database" * 100)
    with pytest.raises(UserError, match=r"search\.db is damaged"), open_trials(search):
        pass


def test_a_dry_run_tells_the_budget(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert script.main(words(tmp_path / "out", "--trials", "6", "--dry-run")) == 0
    told = capsys.readouterr().out
    assert "each of nature, coordconv: 6 trials of 1,600 steps on each of Breakout" in told
    assert "at most 9,600 steps; then the default and best settings with seeds 1002, 1003" in told
    assert not (tmp_path / "out").exists()


def test_games_that_cannot_be_averaged_are_refused(tmp_path: Path) -> None:
    a_search(tmp_path, games=("Carnival",)).check()
    with pytest.raises(UserError, match="no published scores"):
        a_search(tmp_path, games=("Pong", "Carnival")).check()


def test_scales_are_drawn_by_factors_and_others_evenly() -> None:
    assert Range("learning_rate", 1e-4, 1e-2, True).at(0.5) == pytest.approx(1e-3)
    assert Range("gamma", 0.9, 1.0, False).at(0.5) == pytest.approx(0.95)


def test_the_first_points_are_the_default_and_one_in_each_part_of_the_range() -> None:
    ranges = (Range("learning_rate", 1e-4, 1e-2, True), Range("gamma", 0.0, 1.0, False))
    default = {"learning_rate": 7e-4, "gamma": 0.99}
    first, *others = first_points(ranges, default, 6)
    assert first == default
    assert others == first_points(ranges, default, 6)[1:]
    assert sorted(int(point["gamma"] * 5) for point in others) == [0, 1, 2, 3, 4]
    assert first_points(ranges, default, 1) == [default]


def test_a_score_is_of_the_last_quarter_before_a_moment_or_of_the_last_game(tmp_path: Path) -> None:
    (cell,) = a_search(tmp_path).trial("nature", 0, {"learning_rate": 7e-4}).cells
    cell.path.mkdir(parents=True)
    assert score_at(cell, 1.0) is None
    log = episode_log(RunFolder(cell.path).episodes_file)
    for step, score in ((100, 4.0), (1_300, 2.0), (1_600, 10.0)):
        log.append(Episode(step, 1.0, score, 50))
    log.close()

    def human(score: float) -> float:  # random play 1.7, a human 30.5
        return (score - 1.7) / (30.5 - 1.7)

    assert score_at(cell, 1.0) == pytest.approx(human(6.0))
    assert score_at(cell, 0.9) == pytest.approx(human(2.0))
    assert score_at(cell, 0.5) == pytest.approx(human(4.0))
    assert score_at(cell, 0.05) is None
