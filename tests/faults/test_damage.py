"""Whatever happens to a file of a run: one line and a remedy, or the numbers that were written."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from agents.agent import load_agent
from agents.training import train
from cli.errors import UserError
from evaluation.curves import read_curve
from evaluation.record import record_runs
from evaluation.runs import read_runs
from evaluation.score import score_run
from records.config import RunConfig
from records.csv_log import read_csv
from records.folder import RunFolder
from records.kept_checkpoints import list_checkpoints, open_checkpoint
from records.rows import Episode

SMALL_FILES = ["config.json", "provenance.json", "DONE", "episodes.csv", "evaluation.csv"]
OF_A_CHECKPOINT = ["policy.safetensors", "optimizer.safetensors", "state.json"]
FILES = [*SMALL_FILES, *OF_A_CHECKPOINT, "events"]

Damage = Callable[[Path], None]


def find(folder: RunFolder, name: str) -> Path:
    """A file of the run, or of its newest checkpoint."""
    if name == "events":
        return next(folder.path.glob("events.out.tfevents.*"))
    if name in OF_A_CHECKPOINT:
        return list_checkpoints(folder)[-1] / name
    return folder.path / name


def damages() -> list[tuple[str, Damage]]:
    """What can happen to a file, with a name for each."""

    def cut(tenths: int) -> Damage:
        return lambda path: os.truncate(path, path.stat().st_size * tenths // 10)

    def flip(seed: int) -> Damage:
        def damage(path: Path) -> None:
            content = bytearray(path.read_bytes())
            place = random.Random(seed).randrange(len(content))
            content[place] ^= 1 << random.Random(seed).randrange(8)
            path.write_bytes(content)

        return damage

    def folder(path: Path) -> None:
        path.unlink()
        path.mkdir()

    found = [(f"cut at {tenths} tenths", cut(tenths)) for tenths in (0, 6)]
    found += [(f"bit {seed} flipped", flip(seed)) for seed in range(2)]
    return [*found, ("a folder", folder), ("gone", Path.unlink)]


class Uses:
    """Everything that reads a run; each returns numbers, or the line that refused."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder

    def score(self) -> object:
        score = score_run(self.folder.path, 1, n_envs=1, threads=1)
        return score.step, [dataclasses.astuple(game) for game in score.games]

    def compare(self) -> object:
        runs, aside = read_runs([self.folder.path], "stochastic", 2)
        if aside:
            raise UserError(aside[0].why)
        return [dataclasses.astuple(game) for game in runs[0].games]

    def curve(self) -> object:
        _, config = RunFolder.open(self.folder.path)
        return read_curve(self.folder.path, config.total_steps).scores.tolist()

    def record(self) -> object:
        return record_runs([self.folder.path], max_steps=2)[0].scores

    def resume(self) -> object:
        _, config = RunFolder.open(self.folder.path)
        if self.folder.done_file.is_file():
            self.folder.done_file.unlink()
        longer = config.replaced(steps=config.steps + 16)
        return train(longer, self.folder, resume=True).step

    def all(self, quick: bool = False) -> Iterator[tuple[str, object]]:
        """Each use and what came of it; the quick ones need no emulator, if nothing is missing."""
        slow = () if quick else (self.record, self.resume)
        for use in (self.compare, self.curve, self.score, *slow):
            try:
                yield use.__name__, use()
            except UserError as refused:
                yield use.__name__, str(refused)


def copied(folder: RunFolder, to: Path) -> RunFolder:
    """A copy to break; tensors, which nobody changes in place, are only linked."""

    def copy(source: str, target: str) -> None:
        linked = source.endswith(".safetensors")
        (os.link if linked else shutil.copy2)(source, target)

    return RunFolder(Path(shutil.copytree(folder.path, to, copy_function=copy)))


@pytest.fixture(scope="module")
def whole(
    finished: tuple[RunFolder, RunConfig], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, object]:
    """What each use of the undamaged run gives."""
    found = dict(Uses(copied(finished[0], tmp_path_factory.mktemp("whole") / "run")).all())
    assert not [outcome for outcome in found.values() if isinstance(outcome, str)], found
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_damage_is_a_line_or_changes_no_number(
    finished: tuple[RunFolder, RunConfig],
    whole: dict[str, object],
    name: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for number, (kind, damage) in enumerate(damages(), start=1):
        folder = copied(finished[0], tmp_path / str(number))
        path = find(folder, name)
        content = path.read_bytes()
        path.unlink()  # it may be a link
        path.write_bytes(content)
        damage(path)
        for use, outcome in Uses(folder).all(quick=number % 4 > 0):
            told = capsys.readouterr().err
            where = f"{name} {kind}: {use}: {outcome} {told}"
            assert "Traceback" not in told, where
            if isinstance(outcome, str):
                assert "\n" not in outcome, where
                # The file and what to do; or the command that makes anew what was lost.
                assert str(folder.path) in outcome, where
            elif outcome != whole[use]:
                assert name in OF_A_CHECKPOINT, where
                assert "using checkpoint 400 instead" in told, where
        shutil.rmtree(folder.path)


@pytest.mark.slow
def test_damaged_checkpoints_are_told_and_replaced_and_kept(
    broken: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    _, config = RunFolder.open(broken.path)
    os.truncate(find(broken, "policy.safetensors"), 1000)
    assert score_run(broken.path, 1, n_envs=1, threads=1).step == 400
    told = capsys.readouterr().err
    assert "800/policy.safetensors is damaged" in told
    assert "using checkpoint 400 instead" in told
    broken.done_file.unlink()
    assert train(config, broken, resume=True).step == 800
    assert "800 is kept as 800.damaged" in capsys.readouterr().err
    assert (broken.checkpoints / "800.damaged/policy.safetensors").stat().st_size == 1000
    steps = [int(row["step"]) for row in read_csv(broken.episodes_file, Episode._fields)]
    assert steps == sorted(steps)
    os.truncate(find(broken, "policy.safetensors"), 1000)
    for path in list_checkpoints(broken):
        os.truncate(path / "optimizer.safetensors", 0)
    with pytest.raises(UserError, match="no other checkpoint can be used: restore the file"):
        score_run(broken.path, 1)


def test_one_bit_of_a_weight_is_noticed(broken: RunFolder) -> None:
    path = find(broken, "policy.safetensors")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert score_run(broken.path, 1, n_envs=1, threads=1).step == 400


@pytest.mark.slow
@pytest.mark.parametrize("name", ["episodes.csv", "evaluation.csv"])
def test_a_changed_digit_of_a_score_is_noticed(broken: RunFolder, name: str) -> None:
    path = broken.path / name
    lines = path.read_text().splitlines()
    cells = lines[1].split(",")
    cells[2] = str(int(cells[2]) + 1)
    path.write_text("\n".join([lines[0], ",".join(cells), *lines[2:], ""]))
    told = [outcome for _, outcome in Uses(broken).all()]
    assert any(f"{name} is damaged at line 2" in str(outcome) for outcome in told)


@pytest.mark.parametrize(("setting", "value"), [("gamma", 0.9), ("seed", 7), ("algo", "a3c")])
def test_a_changed_setting_is_not_trained_with(
    broken: RunFolder, setting: str, value: object
) -> None:
    _, config = RunFolder.open(broken.path)
    before = config.to_json()
    old = getattr(config, setting)
    shown = f'"{old}"' if isinstance(old, str) else str(old)
    new = f'"{value}"' if isinstance(value, str) else str(value)
    broken.config_file.write_text(before.replace(f'"{setting}": {shown}', f'"{setting}": {new}'))
    broken.done_file.unlink()
    with pytest.raises(UserError, match=rf"config\.json.*{setting}"):
        train(RunFolder.open(broken.path)[1], broken, resume=True)


@contextmanager
def as_nobody(tree: Path) -> Iterator[None]:
    """For the superuser no file is unreadable: become somebody for whom one is."""
    if os.geteuid() != 0:
        yield
        return
    for path in [tree, *tree.rglob("*")]:
        os.chown(path, 65534, 65534)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in FILES if name not in ("events", "DONE")])
def test_what_may_not_be_read_is_a_line(
    finished: tuple[RunFolder, RunConfig], name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with tempfile.TemporaryDirectory() as parent:
        os.chmod(parent, 0o755)
        folder = RunFolder(Path(shutil.copytree(finished[0].path, Path(parent) / "run")))
        with as_nobody(folder.path):
            find(folder, name).chmod(0)
            outcomes = list(Uses(folder).all())
        refusals = [outcome for _, outcome in outcomes if isinstance(outcome, str)]
        told = [*refusals, capsys.readouterr().err]
        assert any(name in text and "Permission denied" in text for text in told)
        assert not [text for text in refusals if "\n" in text]


def test_a_checkpoint_that_cannot_be_read_now_is_not_given_up(
    broken: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, config = RunFolder.open(broken.path)
    broken.done_file.unlink()
    opened = Path.open

    def failing(path: Path, *arguments: Any, **options: Any) -> Any:
        if path.parts[-2:] == ("800", "policy.safetensors"):
            raise OSError(24, "Too many open files", str(path))
        return opened(path, *arguments, **options)

    before = broken.episodes_file.read_bytes()
    monkeypatch.setattr(Path, "open", failing)
    with pytest.raises(UserError, match=r"800/policy\.safetensors: Too many open files"):
        train(config, broken, resume=True)
    assert [path.name for path in list_checkpoints(broken)] == ["400", "800"]
    assert broken.episodes_file.read_bytes() == before


def test_checkpoints_from_before_there_were_digests(broken: RunFolder) -> None:
    for checkpoint in list_checkpoints(broken):
        state = json.loads((checkpoint / "state.json").read_text())
        del state["files"], state["sha256"]
        (checkpoint / "state.json").write_text(json.dumps(state))
    assert score_run(broken.path, 1, n_envs=1, threads=1).step == 800
    os.truncate(find(broken, "policy.safetensors"), 1000)
    assert score_run(broken.path, 1, n_envs=1, threads=1).step == 400


def test_a_row_that_a_power_cut_tore_is_played_again(broken: RunFolder) -> None:
    games = score_run(broken.path, 2, n_envs=2, threads=1).games
    whole = broken.evaluation_file.read_bytes()
    os.truncate(broken.evaluation_file, len(whole) - 7)
    assert score_run(broken.path, 2, n_envs=2, threads=1).games == games
    assert broken.evaluation_file.read_bytes() == whole


def test_a_published_agent_plays_without_its_optimizer(
    broken: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    newest = list_checkpoints(broken)[-1]
    (newest / "optimizer.safetensors").unlink()
    assert load_agent(broken.path)[2] == int(newest.name)
    assert capsys.readouterr().err == ""
    assert open_checkpoint(broken, to_continue=True).path != newest
