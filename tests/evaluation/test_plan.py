"""A plan is read strictly, and only what it foresaw can confirm."""

from __future__ import annotations

import csv
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

import evaluate
import sweep
from benchmarks.made_up_runs import make_grid_of_runs, make_run
from cli.errors import UserError
from evaluation.plan import load_plan
from evaluation.power import detectable_on_one_game, detectable_over_games
from evaluation.runs import read_runs

GAMES = ("MsPacman", "Pong")
PLAN = """
question = "Is it better?"
smallest_difference = 0.5

[[part]]
name = "main"
standing = "confirmatory"
algo = "a2c"
baseline = "nature"
arms = ["coordconv"]
games = ["MsPacman", "Pong"]
seeds = 5
steps = 1_000_000
episodes = 20

[[part]]
name = "side"
standing = "exploratory"
algo = "a2c"
baseline = "nature"
arms = ["coordconv-zero"]
games = ["MsPacman", "Pong"]
seeds = 5
steps = 1_000_000
episodes = 20
"""
LEVELS = {"nature": 0.3, "coordconv": 0.9}


def write_plan(folder: Path, *, committed: str | None = "2020-01-01T00:00:00+00:00") -> Path:
    """A plan in a repository of its own, committed at a time or not at all."""
    folder.mkdir(exist_ok=True)
    path = folder / "plan.toml"
    path.write_text(PLAN)
    if committed is not None:
        settings = ["-c", "user.name=a", "-c", "user.email=a@b"]
        for words in (["init", "-q"], ["add", "plan.toml"], [*settings, "commit", "-qm", "plan"]):
            subprocess.run(
                ["git", *words],
                cwd=folder,
                check=True,
                env={"PATH": "/usr/bin:/bin:/usr/local/bin", "GIT_COMMITTER_DATE": committed},
            )
    return path


def compare(root: Path, plan: Path, out: Path, *words: str) -> list[dict[str, str]]:
    command = ["compare", str(root), "--plan", str(plan), "--out", str(out), "--videos", "0"]
    assert evaluate.main([*command, *words]) == 0
    with (out / "verdicts.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_only_a_complete_part_of_a_committed_plan_confirms(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan, root = write_plan(tmp_path / "plan"), tmp_path / "runs"
    make_grid_of_runs(root, GAMES, LEVELS, seeds=5, spread=0.02)
    (row,) = compare(root, plan, tmp_path / "report")
    assert (row["part"], row["verdict"], row["standing"]) == ("main", "better", "Confirmatory")
    # Nature against coordconv: over all games, and on each; the side explores.
    assert row["family"] == "3"
    page = (tmp_path / "report/index.html").read_text()
    known = load_plan(plan)
    assert known.sha256[:16] in page
    assert known.commit[:12] in page
    assert "part side of the plan has no runs yet" in page
    assert "Confirmatory: coordconv is better than nature" in capsys.readouterr().out


@pytest.mark.slow
def test_the_family_is_the_plans_and_not_what_was_added(tmp_path: Path) -> None:
    plan, root = write_plan(tmp_path / "plan"), tmp_path / "runs"
    make_grid_of_runs(root, GAMES, LEVELS, seeds=5, spread=0.6)
    (before,) = compare(root, plan, tmp_path / "report")
    make_grid_of_runs(root, GAMES, {"coordconv-zero": 0.9, "coordconv-r": 0.3}, seeds=5)
    rows = {row["arm"]: row for row in compare(root, plan, tmp_path / "report")}
    assert rows["coordconv"] == before
    assert rows["coordconv-zero"]["standing"] == "Explored as planned, not confirmatory"
    assert rows["coordconv-r"]["standing"] == "Not planned, so not confirmatory"
    assert rows["coordconv-r"]["part"] == "a2c-unplanned"
    report = (tmp_path / "report/report.md").read_text()
    assert "arm coordconv-r is not planned" in report
    with (tmp_path / "report/runs.csv").open() as file:
        planned = {row["extractor"]: row["standing"] for row in csv.DictReader(file)}
    assert planned["coordconv-r"] == "Not planned, so not confirmatory"


@pytest.mark.slow
def test_every_row_and_every_run_says_whether_it_was_planned(tmp_path: Path) -> None:
    plan, root = write_plan(tmp_path / "plan"), tmp_path / "runs"
    make_grid_of_runs(root, GAMES, {**LEVELS, "coordconv-r": 0.3}, seeds=5, spread=0.02)
    compare(root, plan, tmp_path / "report")
    page = (tmp_path / "report/index.html").read_text()
    shown = {
        words: page.count(f'data-label="plan" class="words {words.replace(" ", "-")}"')
        for words in ("confirmatory", "not planned", "planned")
    }
    # A row for each game and arm; a run of the baseline is planned beside whatever it is compared.
    assert shown == {"confirmatory": 2, "not planned": 2 + 10, "planned": 20 + 10}
    with (tmp_path / "report/runs.csv").open() as file:
        rows = [(row["part"], row["extractor"], row["plan"]) for row in csv.DictReader(file)]
    assert set(rows) == {
        ("main", "nature", "planned"),
        ("main", "coordconv", "planned"),
        ("a2c-unplanned", "nature", "planned"),
        ("a2c-unplanned", "coordconv-r", "not planned"),
    }


@pytest.mark.slow
def test_a_missing_run_makes_it_interim(tmp_path: Path) -> None:
    plan, root = write_plan(tmp_path / "plan"), tmp_path / "runs"
    make_grid_of_runs(root, GAMES, LEVELS, seeds=4, spread=0.02)
    with pytest.raises(UserError, match="4 cells are missing"):
        compare(root, plan, tmp_path / "report")
    (row,) = compare(root, plan, tmp_path / "report", "--allow-missing")
    assert row["standing"] == "Interim, 4 of 20 planned runs missing"
    page = (tmp_path / "report/report.md").read_text()
    assert "2 games, at least 4 of 5 seeds of each game and arm, 1,000,000 agent steps" in page


def test_a_run_that_the_plan_and_what_is_beside_it_miss_counts_once(tmp_path: Path) -> None:
    plan, root = write_plan(tmp_path / "plan"), tmp_path / "runs"
    make_grid_of_runs(root, GAMES, {**LEVELS, "coordconv-r": 0.3}, seeds=5, spread=0.02)
    shutil.rmtree(root / "a2c" / GAMES[0] / "nature/seed-5")
    with pytest.raises(UserError, match=r"^1 cells are missing:"):
        compare(root, plan, tmp_path / "report")


@pytest.mark.slow
def test_runs_that_began_before_the_plan_were_not_planned(tmp_path: Path) -> None:
    plan, root = write_plan(tmp_path, committed="2099-01-01T00:00:00+00:00"), tmp_path / "runs"
    make_grid_of_runs(root, GAMES, LEVELS, seeds=5, spread=0.02)
    (row,) = compare(root, plan, tmp_path / "report")
    assert row["standing"] == "Not planned, so not confirmatory"
    report = (tmp_path / "report/report.md").read_text()
    assert "provenance.json does not show that it started after the plan was committed" in report


@pytest.mark.slow
@pytest.mark.parametrize("changed", [False, True])
def test_a_plan_that_is_in_no_commit_confirms_nothing(tmp_path: Path, changed: bool) -> None:
    plan = write_plan(tmp_path / "plan", committed="2020-01-01T00:00:00+00:00" if changed else None)
    plan.write_text(PLAN + "# later\n")
    make_grid_of_runs(tmp_path / "runs", GAMES, LEVELS, seeds=5, spread=0.02)
    (row,) = compare(tmp_path / "runs", plan, tmp_path / "report")
    assert row["standing"] == "Not confirmatory, because the plan is not committed"


def test_other_settings_and_other_outcomes_are_not_planned(tmp_path: Path) -> None:
    plan = load_plan(write_plan(tmp_path / "plan"))

    def place(**settings: Any) -> Any:
        root = tmp_path / str(len(list(tmp_path.iterdir())))
        (run,), _ = read_runs([make_run(root, **settings)], "stochastic")
        parts, why = plan.place_of(run)
        return [part.name for part in parts] or why

    assert place() == ["main", "side"]
    assert place(extractor="coordconv") == ["main"]
    assert place(steps=500_000) == "steps 500000 is not planned"
    assert place(seed=6) == "seed 6 is not planned"
    assert place(game="Qbert") == "game Qbert is not planned"
    assert place(algo="ppo") == "ppo is not planned"
    assert place(episodes=30) == "30 scored games are not planned"
    assert place(learning_rate=1e-3) == "learning_rate 0.001 is not planned"


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("seeds = 5", "seeds = 0", "part 1: seeds must be an integer from 1 to 10**12, got 0"),
        ("seeds = 5", "seeds = true", "got True"),
        ("seeds = 5", "", "part 1: seeds is missing"),
        ("seeds = 5", "seed = 5", "unknown key 'seed' (allowed: name, standing, "),
        ('"Pong"]', '"Pnog"]', "Pong"),
        ('["coordconv"]', '["cordconv"]', "coordconv"),
        ('["coordconv"]', '["nature"]', "arms must not contain the baseline nature"),
        ('["coordconv"]', '"coordconv"', "arms must be a non-empty list of names"),
        ('"confirmatory"', '"sure"', "(allowed: confirmatory, exploratory)"),
        ('"side"', '"main"', "two parts are named main"),
        ('"side"', '"side-unplanned"', "must not end with "),
        ('["coordconv"]', '["coordconv", "coordconv"]', "arms contains coordconv twice"),
        ('"side"', '"../x"', "must consist of at most 40 characters a-z, 0-9 and -"),
        ("smallest_difference = 0.5", "smallest_difference = -1", "must be a number above 0"),
        ("question", "question = ", "is not valid TOML"),
    ],
)
def test_a_faulty_plan_is_refused_in_a_line(tmp_path: Path, old: str, new: str, told: str) -> None:
    path = tmp_path / "plan.toml"
    path.write_text(PLAN.replace(old, new))
    with pytest.raises(UserError) as caught:
        load_plan(path)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="cannot read"):
        load_plan(tmp_path / "none.toml")


def test_a_plan_says_what_counts_and_no_option_does(tmp_path: Path) -> None:
    plan = write_plan(tmp_path / "plan")
    make_grid_of_runs(tmp_path / "runs", GAMES, LEVELS, seeds=5)
    with pytest.raises(UserError, match="a plan decides which games count"):
        compare(tmp_path / "runs", plan, tmp_path / "report", "--episodes", "10")


def test_a_sweep_of_a_plan_is_its_parts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = write_plan(tmp_path / "plan")
    words = ["--plan", str(plan), "--runs-dir", str(tmp_path / "runs")]
    assert sweep.main([*words, "--status"]) == 0
    out = capsys.readouterr().out
    assert "sha256" in out
    assert out.count("20 cells: 0 done, 20 waiting") == 2
    make_grid_of_runs(tmp_path / "runs", GAMES, LEVELS, seeds=5)
    assert sweep.main([*words, "--part", "main", "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert out.count("done  ") == 20
    assert "main (confirmatory, 3 claims in its family): detectable with 5 seeds of 2 games" in out
    assert "the smallest difference of interest is 0.5" in out
    with pytest.raises(UserError, match="has no part 'other' \\(there are: main, side\\)"):
        sweep.main([*words, "--part", "other", "--status"])
    with pytest.raises(UserError, match="games"):
        sweep.main([*words, "--games", "Pong", "--status"])


def test_what_a_plan_can_find_is_what_the_textbook_says() -> None:
    """Two-sided t-test, power 0.8: 1 standard deviation needs 17 of each at 0.05."""
    assert detectable_on_one_game(17, 0.05) == pytest.approx(0.99, abs=0.01)
    assert detectable_on_one_game(4, 0.05) is None
    # (1.960 + 0.842) √(2 / 30).
    assert detectable_over_games(5, 6, 0.05) == pytest.approx(0.7234, abs=1e-3)
    assert detectable_over_games(3, 1, 0.05) is None  # the rarest deal has a chance of 2 in 20
