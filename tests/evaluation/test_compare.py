"""Comparing runs: what is concluded, what is refused, and what is written."""

from __future__ import annotations

import csv
import json
import shutil

import numpy as np
import pytest

import evaluate
from agents.errors import UserError
from agents.play import TRAINING_EVALUATION_SEEDS_FROM
from evaluation.compare import Request, grids, verdicts, write_report
from evaluation.comparison import BUT_NOT_THAN_CONTROL, CONTROL_UNKNOWN, compare, sentence
from evaluation.statistics import win_rate
from tests.evaluation.synthetic import make_grid_of_runs, make_run

GAMES = ("Breakout", "MsPacman", "Pong", "Qbert")


def comparison(root, **settings):
    (grid,), _ = grids(Request((root,), root / "report", **settings))
    return compare(grid)


def report(root, **settings):
    settings = {"videos": 0, **settings}
    return verdicts(write_report(Request((root,), root.parent / "report", **settings), "command"))


def refusal(root, **settings):
    with pytest.raises(UserError) as caught:
        grids(Request((root,), root / "report", **settings))
    return str(caught.value)


def result_of(compared, arm):
    return next(result for result in compared.results if result.arm == arm)


def edit(path, name, change):
    file = path / name
    file.write_text(change(file.read_text()))


def test_verdicts_follow_the_scores(tmp_path):
    make_grid_of_runs(
        tmp_path, GAMES, {"nature": 0.5, "coordconv": 0.9, "coordconv-r": 0.1}, spread=0.01, seeds=5
    )
    compared = comparison(tmp_path)
    better, worse = result_of(compared, "coordconv"), result_of(compared, "coordconv-r")
    assert better.verdict == "better"
    assert [game.verdict for game in better.games] == ["better"] * 4
    assert worse.verdict == "worse"
    assert worse.count("worse") == 4
    assert better.differences["IQM"].value == pytest.approx(0.4, abs=0.05)
    assert better.improvement.value == 1.0
    told = sentence(better, compared)
    assert told.startswith("coordconv is better than nature over 4 games")
    assert "better on 4, worse on 0, undecided on 0" in told


def test_the_score_of_a_run_is_the_mean_of_its_games_and_seeds_stay_apart(tmp_path):
    make_grid_of_runs(tmp_path, ["Pong"], {"nature": 0.5, "coordconv": 0.6})
    (grid,), _ = grids(Request((tmp_path,), tmp_path))
    path = tmp_path / "a2c/Pong/coordconv/seed-2"
    with (path / "evaluation.csv").open() as file:
        scores = [float(row["score"]) for row in csv.DictReader(file)]
    assert grid.scores("coordconv")[1, 0] == np.mean(scores)
    pong = result_of(compare(grid), "coordconv").games[0]
    assert pong.arm[1] == np.mean(scores)
    assert pong.difference.value == pytest.approx(np.mean(pong.arm) - np.mean(pong.baseline))
    assert pong.win_rate == win_rate(np.array(pong.arm), np.array(pong.baseline))
    # Pong: random -20.7, human 14.6.
    assert pong.normalised.value == pytest.approx(pong.difference.value / (14.6 + 20.7))


def test_equal_arms_are_undecided(tmp_path):
    make_grid_of_runs(tmp_path, GAMES, {"nature": 0.5, "coordconv": 0.5}, seeds=5, spread=0.2)
    compared = comparison(tmp_path)
    assert compared.results[0].verdict == "undecided"
    assert "Undecided whether coordconv differs from nature" in sentence(
        compared.results[0], compared
    )


def test_many_games_are_corrected_for(tmp_path):
    """One game that stands out by chance would be called better if it were looked at alone."""
    make_grid_of_runs(tmp_path, GAMES, {"nature": 0.5, "coordconv": 0.5}, seeds=5, spread=0.05)
    games = comparison(tmp_path).results[0].games
    alone = sorted(game.difference.p for game in games)
    corrected = sorted(game.p for game in games)
    assert corrected[0] == pytest.approx(min(1.0, 4 * alone[0]))
    assert corrected == sorted(max(a, b) for a, b in zip(alone, corrected, strict=True))


def test_better_than_convolution_but_not_than_the_control(tmp_path):
    arms = {"nature": 0.3, "coordconv": 0.9, "control-noise": 0.9}
    make_grid_of_runs(tmp_path, GAMES, arms, spread=0.02, seeds=5)
    compared = comparison(tmp_path)
    result = result_of(compared, "coordconv")
    assert result.verdict == "better"
    assert result.control == "undecided"
    assert f"coordconv is {BUT_NOT_THAN_CONTROL}, over 4 games" in sentence(result, compared)
    assert {game.words for game in result.games} == {BUT_NOT_THAN_CONTROL}
    assert "but not than the control" in "".join(report(tmp_path))


def test_better_than_the_control_too(tmp_path):
    arms = {"nature": 0.3, "coordconv": 0.9, "control-noise": 0.3}
    make_grid_of_runs(tmp_path, GAMES, arms, spread=0.02, seeds=5)
    compared = comparison(tmp_path)
    result = result_of(compared, "coordconv")
    assert "than the parameter-matched control, over 4 games" in sentence(result, compared)
    assert result.games[0].words == "better, than the control too"


def test_the_control_is_a_control_only_for_arms_with_as_many_parameters(tmp_path):
    arms = {"nature": 0.3, "coordconv-gap": 0.9, "control-noise": 0.9}
    make_grid_of_runs(tmp_path, GAMES[:2], arms)
    assert result_of(comparison(tmp_path), "coordconv-gap").control is None


def test_two_seeds_claim_nothing(tmp_path):
    make_grid_of_runs(tmp_path, GAMES, {"nature": 0.1, "coordconv": 0.9}, seeds=2, spread=0.001)
    compared = comparison(tmp_path)
    result = compared.results[0]
    assert result.verdict == "undecided"
    assert {game.verdict for game in result.games} == {"undecided"}
    assert all(game.difference.low is None and game.p is None for game in result.games)
    assert result.differences["IQM"].low is None
    assert "no interval is claimed with fewer than 3" in sentence(result, compared)
    report(tmp_path)


@pytest.mark.parametrize(
    ("setting", "value", "shown"),
    [
        ("protocol", "sticky", "protocol"),
        ("steps", 2_000_000, "steps"),
        ("learning_rate", 1e-3, "learning_rate"),
        ("n_envs", 8, "n_envs"),
    ],
)
def test_runs_of_different_kinds_are_never_pooled(tmp_path, setting, value, shown):
    make_grid_of_runs(tmp_path, ["Pong"], {"nature": 0.5, "coordconv": 0.5})
    other = make_run(tmp_path, "Breakout", "nature", **{setting: value})
    message = refusal(tmp_path)
    assert f"runs of different {shown} are never compared" in message
    assert str(other) in message
    assert str(value) in message


def test_another_definition_of_the_protocol_is_another_protocol(tmp_path):
    make_grid_of_runs(tmp_path, ["Pong"], {"nature": 0.5, "coordconv": 0.5})
    path = tmp_path / "a2c/Pong/nature/seed-3"
    edit(
        path,
        "provenance.json",
        lambda text: text.replace('"protocol_hash": "', '"protocol_hash": "0'),
    )
    assert "different protocol_hash" in refusal(tmp_path)


def test_settings_without_influence_may_differ(tmp_path):
    make_grid_of_runs(tmp_path, ["Pong"], {"nature": 0.5}, threads=1, checkpoint_every=5000)
    make_grid_of_runs(tmp_path, ["Pong"], {"coordconv": 0.5}, threads=2)
    assert len(comparison(tmp_path).grid.runs) == 6


def test_algorithms_are_compared_each_by_itself(tmp_path):
    for algo in ("a2c", "ppo"):
        make_grid_of_runs(tmp_path, ["Pong"], {"nature": 0.5, "coordconv": 0.5}, algo=algo)
    found, _ = grids(Request((tmp_path,), tmp_path))
    assert [(grid.algo, len(grid.runs)) for grid in found] == [("a2c", 6), ("ppo", 6)]


def test_modes_of_evaluation_are_not_mixed(tmp_path):
    make_grid_of_runs(tmp_path, ["Pong"], {"nature": 0.5, "coordconv": 0.5})
    path = tmp_path / "a2c/Pong/nature/seed-1"
    edit(path, "evaluation.csv", lambda text: text.replace("stochastic", "deterministic"))
    assert "1 cells are missing" in refusal(tmp_path)
    grid = comparison(tmp_path, allow_missing=True).grid
    assert "scored in deterministic mode only" in grid.missing["nature", "Pong", 1]
    assert len(grid.of("nature", "Pong")) == 2


def test_evaluations_during_training_are_no_scores(tmp_path):
    make_grid_of_runs(tmp_path, ["Pong"], {"nature": 0.5, "coordconv": 0.5})
    before = comparison(tmp_path).grid.scores("nature")
    seed = 2 * TRAINING_EVALUATION_SEEDS_FROM + 1
    row = f"1000000,{seed},99999,10,stochastic\n"
    for file in tmp_path.rglob("evaluation.csv"):
        file.write_text(file.read_text() + row)
    assert (comparison(tmp_path).grid.scores("nature") == before).all()


def test_every_run_counts_with_the_same_games(tmp_path):
    make_grid_of_runs(tmp_path, ["Pong"], {"nature": 0.5, "coordconv": 0.5}, episodes=20)
    shutil.rmtree(tmp_path / "a2c/Pong/nature/seed-1")
    shutil.rmtree(tmp_path / "a2c/Pong/nature/seed-2")
    make_run(tmp_path, "Pong", "nature", 1, episodes=30)
    make_run(tmp_path, "Pong", "nature", 2, episodes=12)
    grid = comparison(tmp_path, allow_missing=True).grid
    assert {len(run.games) for run in grid.runs.values()} == {20}
    assert "12 of 20 games scored" in grid.missing["nature", "Pong", 2]
    assert len(comparison(tmp_path, episodes=12).grid.runs) == 6


def test_missing_cells_are_listed_and_left_out_only_on_request(tmp_path, capsys):
    make_grid_of_runs(tmp_path, GAMES[:2], {"nature": 0.5, "coordconv": 0.5}, seeds=4)
    shutil.rmtree(tmp_path / "a2c/Breakout/coordconv/seed-2")
    message = refusal(tmp_path)
    assert "1 cells are missing" in message
    assert "--allow-missing" in message
    assert "missing: a2c Breakout coordconv seed 2: no such run" in capsys.readouterr().err
    report(tmp_path, allow_missing=True)
    page = (tmp_path.parent / "report/index.html").read_text()
    assert "a2c Breakout coordconv seed 2: no such run" in page
    assert "1 cells of the grid are missing" in page


def test_a_game_that_an_arm_never_played_is_left_out_with_a_word(tmp_path):
    make_grid_of_runs(tmp_path, GAMES[:2], {"nature": 0.5, "coordconv": 0.5})
    shutil.rmtree(tmp_path / "a2c/Breakout/coordconv")
    grid = comparison(tmp_path, allow_missing=True).grid
    assert grid.games == ("MsPacman",)
    assert grid.left_out == ("Breakout",)
    report(tmp_path, allow_missing=True)
    assert "Breakout is left out" in (tmp_path.parent / "report/report.md").read_text()


@pytest.mark.parametrize("lost", ["a2c/Pong/coordconv-r", "ppo/Pong/nature"])
def test_an_arm_or_algorithm_without_a_usable_run_does_not_vanish(tmp_path, capsys, lost):
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
        (lambda p: edit(p, "evaluation.csv", lambda t: t[: len(t) - 12]), "damaged"),
        (lambda p: (p / "evaluation.csv").write_bytes(b"\xff\xfe\x00"), "cannot read"),
        (lambda p: (p / "config.json").write_text("{"), "cannot read"),
    ],
)
def test_a_run_that_cannot_be_used_is_set_aside_and_the_rest_goes_on(tmp_path, damage, told):
    make_grid_of_runs(tmp_path, ["Pong"], {"nature": 0.5, "coordconv": 0.5}, seeds=4)
    damage(tmp_path / "a2c/Pong/nature/seed-1")
    found, aside = grids(Request((tmp_path,), tmp_path, allow_missing=True))
    assert len(found[0].runs) == 7
    (run,) = aside
    assert told in run.why
    assert "\n" not in run.why


@pytest.mark.parametrize("lost", ["config.json", "checkpoints"])
def test_a_run_without_its_config_does_not_vanish(tmp_path, lost):
    make_grid_of_runs(tmp_path, ["Pong"], {"nature": 0.5, "coordconv": 0.5})
    path = tmp_path / "a2c/Pong/nature/seed-3"
    (path / "config.json").unlink()
    if lost == "checkpoints":  # nothing else is left of it
        shutil.rmtree(path)
        (path / "checkpoints").mkdir(parents=True)
    assert "cells are missing" in refusal(tmp_path)
    report(tmp_path, allow_missing=True)
    page = (tmp_path.parent / "report/index.html").read_text()
    assert "seed-3 has no config.json" in page


def test_linked_folders_are_followed_and_loops_are_not(tmp_path):
    make_grid_of_runs(tmp_path / "elsewhere", ["Pong"], {"coordconv": 0.5})
    make_grid_of_runs(tmp_path / "runs", ["Pong"], {"nature": 0.5})
    (tmp_path / "runs/linked").symlink_to(tmp_path / "elsewhere/a2c/Pong/coordconv")
    (tmp_path / "runs/loop").symlink_to(tmp_path / "runs")
    assert len(comparison(tmp_path / "runs").grid.runs) == 6


def test_every_protocol_hash_is_compared_not_only_with_the_first_run(tmp_path):
    make_grid_of_runs(tmp_path, ["Pong"], {"nature": 0.5, "coordconv": 0.5})
    (tmp_path / "a2c/Pong/coordconv/seed-1/provenance.json").write_text("{")
    path = tmp_path / "a2c/Pong/nature/seed-3"
    new = '"protocol_hash": "0'
    edit(path, "provenance.json", lambda text: text.replace('"protocol_hash": "', new))
    assert "different protocol_hash" in refusal(tmp_path)


def test_too_few_runs_of_the_control_are_no_verdict_of_it(tmp_path):
    make_grid_of_runs(tmp_path, ["Pong"], {"nature": 0.3, "coordconv": 0.9}, seeds=5, spread=0.02)
    make_grid_of_runs(tmp_path, ["Pong"], {"control-noise": 0.3}, seeds=2)
    compared = comparison(tmp_path, allow_missing=True)
    result = result_of(compared, "coordconv")
    assert result.games[0].words == CONTROL_UNKNOWN
    # Nor does the control's lack of seeds silence what is known of the arm.
    assert f"coordconv is {CONTROL_UNKNOWN}, over 1 game" in sentence(result, compared)
    assert "2 seeds of some game" in sentence(result_of(compared, "control-noise"), compared)


@pytest.mark.parametrize(
    "text",
    [
        '{"packages": ["torch"]}',
        '{"packages": {"torch": "\\ud800"}, "commit": 5, "processor": {"a": null}}',
        "[]",
        '{"commit": "\\n# heading <b>"}',
    ],
)
def test_whatever_is_in_provenance_a_report_is_written(tmp_path, text):
    make_grid_of_runs(tmp_path, ["Pong"], {"nature": 0.5, "coordconv": 0.5})
    for file in tmp_path.rglob("provenance.json"):
        file.write_text(text)
    for file in tmp_path.rglob("episodes.csv"):
        file.write_text(file.read_text() + "1000000,5")  # torn
    report(tmp_path)
    written = (tmp_path.parent / "report/report.md").read_text()
    assert "\n# heading" not in written
    assert "no learning curve of" in written


def test_games_without_human_scores_are_compared_raw(tmp_path):
    make_grid_of_runs(
        tmp_path, ["AirRaid"], {"nature": 0.3, "coordconv": 0.9}, spread=0.01, seeds=5
    )
    compared = comparison(tmp_path)
    (game,) = compared.results[0].games
    assert game.normalised is None
    assert game.verdict == "better"
    assert compared.results[0].differences == {}
    assert "no human scores are published" in sentence(compared.results[0], compared)
    report(tmp_path)
    assert (
        "no human score is published for AirRaid"
        in (tmp_path.parent / "report/index.html").read_text()
    )


def test_nothing_to_compare_is_said_in_a_line(tmp_path):
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


def test_a_run_that_is_there_twice_is_refused(tmp_path):
    make_grid_of_runs(tmp_path / "a", ["Pong"], {"nature": 0.5, "coordconv": 0.5})
    make_run(tmp_path / "b", "Pong", "nature", 1)
    with pytest.raises(UserError, match="are both a2c Pong nature seed 1"):
        grids(Request((tmp_path / "a", tmp_path / "b"), tmp_path))


def test_the_report_is_one_page_with_everything_and_files_for_papers(tmp_path):
    root = tmp_path / "runs"
    arms = {"nature": 0.5, "coordconv": 0.7, "control-noise": 0.5}
    make_grid_of_runs(root, GAMES, arms)
    told = report(root)
    out = tmp_path / "report"
    page = (out / "index.html").read_text()
    assert told[0] in page.replace("&#39;", "'")
    for game in GAMES:
        assert page.count(game) >= 2
    # Nothing is fetched from anywhere.
    assert "http" not in page.replace("http://www.w3.org", "")
    assert page.count("data:image/svg+xml") == len(list((out / "figures").glob("*.svg")))
    assert {path.suffix for path in (out / "figures").iterdir()} == {".svg", ".png"}
    with (out / "games.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 8
    assert {row["arm"] for row in rows} == {"coordconv", "control-noise"}
    for row in rows:
        difference = float(row["arm_mean"]) - float(row["baseline_mean"])
        assert float(row["difference"]) == pytest.approx(difference)
        assert float(row["low"]) <= difference <= float(row["high"])
    with (out / "runs.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 36
    text = (out / "report.md").read_text()
    assert "| game | nature | coordconv |" in text
    assert "python sweep.py --games Breakout MsPacman Pong Qbert --algos a2c" in text
    assert json.loads((out / "report.json").read_text())["verdicts"] == told


def test_the_same_runs_give_the_same_report(tmp_path):
    make_grid_of_runs(tmp_path / "runs", GAMES[:2], {"nature": 0.5, "coordconv": 0.7})
    pages = []
    for _ in range(2):
        report(tmp_path / "runs")
        pages.append((tmp_path / "report/index.html").read_bytes())
    assert pages[0] == pages[1]


def test_a_folder_of_somebody_else_is_not_written_to(tmp_path):
    make_grid_of_runs(tmp_path / "runs", ["Pong"], {"nature": 0.5, "coordconv": 0.7})
    out = tmp_path / "report"
    out.mkdir()
    (out / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match="is not empty and holds no report"):
        report(tmp_path / "runs")
    assert [path.name for path in out.iterdir()] == ["thesis.tex"]
    (out / "report.json").write_text('{"my": "data"}')
    with pytest.raises(UserError, match="is not empty and holds no report"):
        report(tmp_path / "runs")
    assert (out / "report.json").read_text() == '{"my": "data"}'


def test_names_from_run_folders_cannot_put_markup_on_the_page(tmp_path):
    root = tmp_path / "<img src=x onerror=alert(1)>"
    make_grid_of_runs(root, ["Pong"], {"nature": 0.5, "coordconv": 0.7}, seeds=4)
    (root / "a2c/Pong/nature/seed-1/DONE").unlink()
    edit(
        root / "a2c/Pong/nature/seed-2",
        "provenance.json",
        lambda text: text.replace('"c0ffee"', '"<script>alert(1)</script>"'),
    )
    report(root, allow_missing=True)
    page = (tmp_path / "report/index.html").read_text()
    assert "<img src=x" not in page
    assert "<script" not in page


def test_compare_says_what_it_would_do_and_does_it_from_the_command_line(tmp_path, capsys):
    make_grid_of_runs(tmp_path / "runs", ["Pong"], {"nature": 0.5, "coordconv": 0.7})
    words = ["compare", str(tmp_path / "runs"), "--out", str(tmp_path / "out"), "--videos", "0"]
    assert evaluate.main([*words, "--dry-run"]) == 0
    assert "would compare coordconv with nature (a2c, 1 games, 6 runs)" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()
    assert evaluate.main(words) == 0
    out = capsys.readouterr().out
    assert "A2C: " in out
    assert (tmp_path / "out/index.html").exists()
