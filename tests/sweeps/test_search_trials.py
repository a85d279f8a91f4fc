"""Which points a search tries, what it prunes, and what a score is."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.errors import UserError
from evaluation.runs import find_runs
from files.lock import is_held
from records.folder import RunFolder
from records.rows import Episode, episode_log
from sweeps.search.engine import run_search
from sweeps.search.objective import RUNGS, score_at
from sweeps.search.ranges import Range, first_points
from sweeps.search.trials import open_trials
from tests.sweeps.searching import STEPS, a_search, taken


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
def test_a_trial_that_falls_behind_is_stopped_early(tmp_path: Path) -> None:
    search = a_search(tmp_path, settings={**a_search(tmp_path).settings, "steps": 4_000})
    with open_trials(search) as arms:
        for _ in range(2):  # beyond what anybody learns in so few steps
            trial = taken(arms["nature"])
            for rung in range(1, RUNGS + 1):
                trial.report(100.0, rung)
            arms["nature"].tell(trial, "complete", 100.0, 4_000)
        assert not run_search(search, arms, 1).failed
        tried = arms["nature"].over()[-1]
    assert (tried.number, tried.state) == (2, "pruned")
    assert 0.5 * 4_000 <= tried.steps < 4_000
    (run,) = find_runs([tmp_path])
    assert not RunFolder(run).is_done
    assert not is_held(run)


def test_a_damaged_storage_is_one_line(tmp_path: Path) -> None:
    search = a_search(tmp_path)
    with open_trials(search):
        pass
    (tmp_path / "search.db").write_bytes(b"no database" * 100)
    with pytest.raises(UserError, match=r"search\.db is damaged"), open_trials(search):
        pass


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
    for step, score in ((25, 4.0), (325, 2.0), (STEPS, 10.0)):
        log.append(Episode(step, 1.0, score, 50))
    log.close()

    def human(score: float) -> float:  # random play 1.7, a human 30.5
        return (score - 1.7) / (30.5 - 1.7)

    assert score_at(cell, 1.0) == pytest.approx(human(6.0))
    assert score_at(cell, 0.9) == pytest.approx(human(2.0))
    assert score_at(cell, 0.5) == pytest.approx(human(4.0))
    assert score_at(cell, 0.05) is None
