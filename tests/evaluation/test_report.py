"""What `evaluate.py compare` writes, and where."""

from __future__ import annotations

import csv
import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
from markupsafe import escape

import evaluate
from agents.algorithms.ppo import PPOConfig
from benchmarks.made_up_runs import make_grid_of_runs
from cli.command_line import parse
from cli.errors import UserError
from evaluation.report.citation import bibtex
from evaluation.report.tables import sort_value
from evaluation.runs import find_runs
from records.config import differences
from records.folder import RunFolder
from sweeps.options import grid_options, sweep_of
from tests.evaluation.comparing import GAMES, edit, report


@pytest.mark.parametrize(
    "text",
    [
        '{"packages": ["torch"]}',
        '{"packages": {"torch": "\\ud800"}, "commit": 5, "processor": {"a": null}}',
        "[]",
        '{"commit": "\\n# heading <b>"}',
    ],
)
def test_whatever_is_in_provenance_a_report_is_written(tmp_path: Path, text: str) -> None:
    make_grid_of_runs(tmp_path, ["Pong"], {"nature": 0.5, "coordconv": 0.5})
    for file in tmp_path.rglob("provenance.json"):
        file.write_text(text)
    for file in tmp_path.rglob("episodes.csv"):
        file.write_text(file.read_text() + "1000000,5\n")  # damaged
    report(tmp_path)
    written = (tmp_path.parent / "report/report.md").read_text()
    assert "\n# heading" not in written
    assert "no learning curve of" in written


@pytest.mark.slow
def test_the_report_is_one_page_with_everything_and_files_for_papers(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    arms = {"nature": 0.5, "coordconv": 0.7, "control-noise": 0.5}
    make_grid_of_runs(root, GAMES, arms)
    told = report(root)
    out = tmp_path / "report"
    page = (out / "index.html").read_text()
    assert told[0] in page.replace("&#39;", "'")
    for game in GAMES:
        assert page.count(game) >= 2
    # Each verdict is colored as what it is.
    shown = re.findall(r'class="words (\w+)"><span>(better|worse|undecided)', page)
    # Of each arm and game: the final scores, and those during training with the final ones beside.
    assert len(shown) == 3 * 2 * len(GAMES)
    assert all(kind == words for kind, words in shown)
    # Names and axes are text; a formula would stand there as its source.
    for figure in (out / "figures").glob("*.svg"):
        assert "$" not in figure.read_text(), figure.name
    # Nothing is fetched from anywhere.
    fetched = page.replace("http://www.w3.org", "").replace(str(escape(bibtex())), "")
    assert "http" not in fetched
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


@pytest.mark.slow
def test_the_commands_shown_make_the_very_runs(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    arms = {"nature": 0.5, "coordconv": 0.7}
    make_grid_of_runs(root, ["Pong"], arms, seeds=3, learning_rate=1e-4, gamma=0.9)
    for arm in arms:
        shutil.rmtree(root / "a2c/Pong" / arm / "seed-1")
    report(root)
    text = (tmp_path / "report/report.md").read_text()
    (command,) = re.findall("^python sweep.py (.*)$", text, re.MULTILINE)
    options = parse(grid_options(["a2c"]), "sweep.py", "", shlex.split(command))
    asked = {cell.path.relative_to("runs"): cell.config for cell in sweep_of(options).cells()}
    made = {path.relative_to(root): RunFolder.open(path)[1] for path in find_runs([root])}
    assert asked.keys() == made.keys()
    assert [differences(config, asked[path]) for path, config in made.items()] == [[]] * 4
    page = (tmp_path / "report/index.html").read_text()
    assert "learning_rate 0.0001, learning_rate_schedule constant" in page


@pytest.mark.slow
def test_every_hyperparameter_is_shown(tmp_path: Path) -> None:
    make_grid_of_runs(tmp_path / "runs", ["Pong"], {"nature": 0.5, "coordconv": 0.7}, algo="ppo")
    report(tmp_path / "runs")
    page = (tmp_path / "report/index.html").read_text()
    for name, value in PPOConfig(game="Pong").learning().items():
        assert f"{name} {value}" in page


@pytest.mark.slow
def test_the_same_runs_give_the_same_report(tmp_path: Path) -> None:
    make_grid_of_runs(tmp_path / "runs", GAMES[:2], {"nature": 0.5, "coordconv": 0.7})
    pages = []
    for _ in range(2):
        report(tmp_path / "runs")
        pages.append((tmp_path / "report/index.html").read_bytes())
    assert pages[0] == pages[1]


def test_a_folder_of_somebody_else_is_not_written_to(tmp_path: Path) -> None:
    make_grid_of_runs(tmp_path / "runs", ["Pong"], {"nature": 0.5, "coordconv": 0.7})
    out = tmp_path / "report"
    out.mkdir()
    (out / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match="is not empty and contains no report"):
        report(tmp_path / "runs")
    assert [path.name for path in out.iterdir()] == ["thesis.tex"]
    (out / "report.json").write_text('{"my": "data"}')
    with pytest.raises(UserError, match="is not empty and contains no report"):
        report(tmp_path / "runs")
    assert (out / "report.json").read_text() == '{"my": "data"}'


@pytest.mark.slow
def test_names_from_run_folders_cannot_put_markup_on_the_page(tmp_path: Path) -> None:
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
    assert "<script>alert" not in page
    assert page.count("<script") == 1, "the page's own"


@pytest.mark.slow
def test_compare_says_what_it_would_do_and_does_it_from_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_grid_of_runs(tmp_path / "runs", ["Pong"], {"nature": 0.5, "coordconv": 0.7})
    words = ["compare", str(tmp_path / "runs"), "--out", str(tmp_path / "out"), "--videos", "0"]
    assert evaluate.main([*words, "--dry-run"]) == 0
    assert "would compare coordconv with nature (a2c, 1 games, 6 runs)" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()
    assert evaluate.main(words) == 0
    out = capsys.readouterr().out
    assert "A2C: " in out
    assert (tmp_path / "out/index.html").exists()


@pytest.mark.slow
def test_a_report_of_games_without_drawn_actions_says_how_many_differ(tmp_path: Path) -> None:
    make_grid_of_runs(tmp_path / "runs", ["Pong"], {"nature": 0.5, "coordconv": 0.7})
    for file in (tmp_path / "runs").rglob("evaluation.csv"):
        file.write_text(file.read_text().replace("stochastic", "deterministic"))
    report(tmp_path / "runs", deterministic=True)
    told = (tmp_path / "report/report.md").read_text()
    assert re.search(r"at most 31 different games from one agent: \d+ of the 20 games of", told)


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("17,319 ± 2,346", 17319),
        ("-8,590 [-9,000, -1]", -8590),
        ("+0.50 [0.1, 0.9]", 0.5),
        ("2.179 → 1.836", 2.179),
        ("1.000", 1),
        ("unknown", None),
        ("no human score", None),
        ("", None),
    ],
)
def test_cells_sort_by_the_number_they_begin_with(cell: str, value: float | None) -> None:
    assert sort_value(cell) == value


def test_below_a_number_sorts_before_it() -> None:
    assert 0.0009 < sort_value("below 0.001") < sort_value("0.001")


def test_the_citation_is_that_of_the_repository() -> None:
    paper, software = bibtex().split("\n\n")
    assert paper.startswith(
        "@inproceedings{liu2018,\n  author = {Liu, Rosanne and Lehman, Joel and "
    )
    assert "  year = {2018},\n" in paper
    assert software.startswith("@software{coordconv-agents,\n  author = {{The CoordConv agents ")
    for entry in (paper, software):
        assert entry.count("{") == entry.count("}")
