"""Which cells a sweep has, and what each needs next."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cli.command_line import parse
from cli.errors import UserError
from records.config import run_config
from records.folder import RunFolder
from records.rows import EvaluatedGame
from sweeps.cell import next_command
from sweeps.grid import Sweep, load_sweep, require_same_runs, save_sweep, seeds_named
from sweeps.options import grid_options, sweep_of
from sweeps.status import Progress, progress, sweep_file, write_record
from sweeps.table import every_cell, seconds_left, summary


def test_a_sweep_is_every_combination_with_all_first_seeds_first(tmp_path: Path) -> None:
    sweep = Sweep(("Pong", "Qbert"), ("a2c", "ppo"), seeds=(1, 2), runs_dir=tmp_path)
    cells = sweep.cells()
    assert len(cells) == len({cell.path for cell in cells}) == 16
    assert [cell.config.seed for cell in cells] == [1] * 8 + [2] * 8
    assert cells[1].path == tmp_path / "a2c/Pong/coordconv/seed-1"
    assert cells[1].name == "a2c Pong coordconv seed 1"
    assert {cell.config.threads for cell in cells} == {1}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"games": ()}, "--games needs at least one value"),
        ({"games": ("Pong", "Pong")}, "--games contains Pong twice"),
        ({"games": ("Pnog",)}, "did you mean Pong"),
        ({"algos": ("dqn",)}, "unknown algo"),
        ({"extractors": ("coordcov",)}, "did you mean coordconv"),
        ({"seeds": ()}, "--seeds needs at least one value"),
        ({"episodes": -1}, "--episodes must be between 0"),
        ({"settings": {"steps": (0,)}}, "steps must be between 1"),
        ({"settings": {"clip_range": (0.1,)}, "algos": ("a2c",)}, "--clip-range is not a setting"),
        ({"settings": {"threads": (1, 2)}}, "--threads does not affect what is learned"),
        ({"settings": {"gamma": (0.9, 0.9)}}, "--gamma contains 0.9 twice"),
        (
            {
                "seeds": tuple(range(10_000)),
                "games": ("Pong", "Qbert"),
                "algos": ("ppo", "a2c"),
                "extractors": ("nature", "coordconv", "coordconv-r"),
            },
            "at most 100,000 cells",
        ),
    ],
)
def test_what_a_sweep_cannot_be_is_said_in_a_line(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        replace(Sweep(("Breakout",)), **changes).cells()


def test_what_a_cell_needs_next_follows_from_its_folder(small_sweep: Sweep) -> None:
    cell = small_sweep.cells()[0]
    folder = RunFolder(cell.path)
    command = next_command(small_sweep, cell)
    assert command[:3] == ["train.py", "--game", "Breakout"]
    assert command[-2:] == ["--out", str(cell.path)]
    RunFolder.create(cell.path, cell.config)
    assert next_command(small_sweep, cell) == ["train.py", "--resume", str(cell.path)]
    folder.finish()
    assert next_command(small_sweep, cell)[:2] == ["evaluate.py", "score"]
    header = ",".join(EvaluatedGame._fields)
    # Another checkpoint, another mode and another game do not count.
    rows = ["40,1,3,9,stochastic", "80,1,3,9,deterministic", "80,3,3,9,stochastic"]
    folder.evaluation_file.write_text("\n".join([header, *rows, ""]))
    assert next_command(small_sweep, cell)[:2] == ["evaluate.py", "score"]
    folder.evaluation_file.write_text("\n".join([header, *rows, "80,1,3,9,stochastic", ""]))
    assert next_command(small_sweep, cell) is None
    assert next_command(replace(small_sweep, episodes=2), cell) is None
    assert next_command(replace(small_sweep, episodes=3), cell)[:2] == ["evaluate.py", "score"]


def test_somebodys_own_class_is_named_again_where_its_code_would_be_imported(
    small_sweep: Sweep,
) -> None:
    sweep = replace(small_sweep, extractors=("their.module:Net",))
    cell = sweep.cells()[0]
    RunFolder.create(cell.path, cell.config)
    assert next_command(sweep, cell)[-2:] == ["--extractor", "their.module:Net"]


def test_a_folder_with_another_run_is_refused_before_anything_starts(small_sweep: Sweep) -> None:
    cell = small_sweep.cells()[1]
    RunFolder.create(cell.path, cell.config.replaced(threads=2, checkpoint_every=7))
    require_same_runs(small_sweep.cells())  # nothing of this changes what is learned
    with pytest.raises(UserError, match="steps 80 instead of 160"):
        require_same_runs(small_sweep.with_settings(steps=160).cells())


def test_progress_tells_of_what_is_in_the_folder(small_sweep: Sweep) -> None:
    cell = small_sweep.cells()[0]
    assert progress(small_sweep, cell) == Progress("waiting")
    folder = RunFolder.create(cell.path, cell.config)
    folder.episodes_file.write_text("step,seconds,score,length\n16,0.5,1,9\n40,0.8,-3,10\n")
    found = progress(small_sweep, cell)
    assert (found.state, found.step, found.per_second) == ("interrupted", 40, 50.0)
    write_record(small_sweep, cell, "running")
    assert progress(small_sweep, cell).state == "running"
    write_record(small_sweep, cell, "failed", ("out of memory",))
    assert progress(small_sweep, cell).error == ("out of memory",)


def test_a_running_cell_that_is_not_heard_of_is_interrupted(
    small_sweep: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = small_sweep.cells()[0]
    write_record(small_sweep, cell, "running")
    monkeypatch.setattr("sweeps.status.SECONDS_ALIVE", -1.0)
    assert progress(small_sweep, cell).state == "interrupted"


def test_damaged_files_make_a_cell_failed_and_no_traceback(small_sweep: Sweep) -> None:
    cell = small_sweep.cells()[0]
    folder = RunFolder.create(cell.path, cell.config)
    folder.finish()
    folder.evaluation_file.write_text("step,what\n1,2\n")
    found = progress(small_sweep, cell)
    assert found.state == "failed"
    assert "evaluation.csv" in found.error[0]


@pytest.mark.parametrize(
    "record",
    ['{"state": "running", "time": "abc", "error": []}', '{"state": "failed", "time": 1}', "[]"],
)
def test_a_damaged_record_is_a_failed_cell(small_sweep: Sweep, record: str) -> None:
    cell = small_sweep.cells()[0]
    write_record(small_sweep, cell, "running")
    sweep_file(small_sweep, cell, ".json").write_text(record)
    found = progress(small_sweep, cell)
    assert found.state == "failed"
    assert "is damaged: delete it" in found.error[0]


@pytest.mark.parametrize("row", ["0,5,1,2", "1,1e308,1,2", "-5,1,1,2", "9" * 180 + ",1,1,2", "x"])
def test_a_damaged_row_tells_nothing_of_the_speed(small_sweep: Sweep, row: str) -> None:
    cell = small_sweep.cells()[0]
    folder = RunFolder.create(cell.path, cell.config)
    folder.episodes_file.write_text(f"step,seconds,score,length\n{row}\n")
    found = progress(small_sweep, cell)
    assert (found.step, found.per_second) == (0, None)


@pytest.mark.parametrize("config", ["{", None])
def test_a_finished_run_without_its_config_is_not_done(
    small_sweep: Sweep, config: str | None
) -> None:
    cell = small_sweep.cells()[0]
    folder = RunFolder.create(cell.path, cell.config)
    folder.finish()
    folder.evaluation_file.write_text(",".join(EvaluatedGame._fields) + "\n80,1,3,9,stochastic\n")
    assert progress(small_sweep, cell).state == "done"
    if config is None:
        folder.config_file.unlink()
    else:
        folder.config_file.write_text(config)
    found = progress(small_sweep, cell)
    assert found.state == "failed"
    assert "config.json" in found.error[0]


def test_the_time_left_is_what_is_left_at_the_speed_seen() -> None:
    config = run_config(game="Pong", algo="a2c", steps=8000)
    cells = Sweep(("Pong",), ("a2c",), seeds=(1, 2)).with_settings(steps=8000).cells()
    assert config.total_steps == 8000
    states = [
        Progress("done", 8000, 100.0),
        Progress("running", 4000, 300.0),
        Progress("waiting"),
        Progress("failed", 10),
    ]
    table = dict(zip(cells, states, strict=True))
    # 4,000 + 8,000 steps at 200 a second by two workers.
    assert seconds_left(table, 2) == 30.0
    assert summary(table, 2) == (
        "4 cells: 1 done, 1 running, 1 waiting, 1 failed, about 0:30 of training left"
    )
    assert "4,000/8,000 steps, 300 steps/s, 0:13 left" in every_cell(table, 2)


def test_a_sweep_is_found_again_by_its_folder_alone(small_sweep: Sweep) -> None:
    save_sweep(small_sweep, {"workers": 3})
    assert load_sweep(small_sweep.runs_dir) == (small_sweep, 3)
    record = small_sweep.runs_dir / ".sweep/sweep.json"
    for damage in ("{", "[]", '{"sweep": {}, "workers": 1}', '{"sweep": 5}'):
        record.write_text(damage)
        with pytest.raises(UserError, match=r"sweep\.json"):
            load_sweep(small_sweep.runs_dir)
    with pytest.raises(UserError, match="no sweep was started"):
        load_sweep(small_sweep.runs_dir / "elsewhere")


@pytest.mark.parametrize(
    ("words", "seeds"),
    [
        (["3"], (1, 2, 3)),
        (["6-8"], (6, 7, 8)),
        (["5-5"], (5,)),
        (["1", "4-5", "9"], (1, 4, 5, 9)),
    ],
)
def test_seeds_are_a_number_a_range_or_a_list(words: list[str], seeds: tuple[int, ...]) -> None:
    assert seeds_named(words) == seeds


@pytest.mark.parametrize("word", ["many", "3-1", "-3", "1-", "1-99999999", "0" * 30, "1.5", "0"])
def test_other_seeds_are_refused(word: str) -> None:
    with pytest.raises(UserError, match="--seeds"):
        Sweep(("Pong",), seeds=seeds_named([word])).cells()


def test_several_values_of_a_setting_are_grids_of_their_own(tmp_path: Path) -> None:
    sweep = Sweep(
        ("Pong",),
        ("a2c", "ppo"),
        ("nature",),
        (1,),
        runs_dir=tmp_path,
        settings={"learning_rate": (1e-4, 2.5e-4), "n_epochs": (2, 8), "gamma": (0.9,)},
    )
    cells = {str(cell.path.relative_to(tmp_path)): cell.config.values() for cell in sweep.cells()}
    assert len(cells) == 2 + 4  # A2C has no epochs
    rate = cells["learning-rate-0.0001/a2c/Pong/nature/seed-1"]
    both = cells["learning-rate-0.00025/n-epochs-8/ppo/Pong/nature/seed-1"]
    assert (rate["learning_rate"], rate["gamma"]) == (1e-4, 0.9)
    assert (both["learning_rate"], both["n_epochs"], both["gamma"]) == (2.5e-4, 8, 0.9)


def test_a_sweep_says_how_many_checkpoints_its_runs_keep(tmp_path: Path) -> None:
    words = ["--games", "Pong", "--algos", "a2c", "--runs-dir", str(tmp_path)]
    options = parse(grid_options(["a2c"]), "sweep.py", "", [*words, "--keep", "all"])
    (cell, *_) = sweep_of(options).cells()
    command = next_command(sweep_of(options), cell)
    assert command[command.index("--keep") + 1] == "all"
    RunFolder.create(cell.path, cell.config.replaced(keep=5))
    require_same_runs([cell])  # of the machine: the run is the same
