"""A kill between any two writes of beginning or of lengthening a run leaves what can go on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import train as script
from records.folder import RunFolder
from records.kept_checkpoints import list_checkpoints, open_checkpoint
from tests.agents.conftest import TrainRun, small_config

PLACES = [(name, moment) for name in range(3) for moment in ("before", "after")]


class KilledError(BaseException):
    """Nothing that is written for errors gets to see it, as with a kill."""


@contextmanager
def killed(
    monkeypatch: pytest.MonkeyPatch, names: list[str], place: int, moment: str
) -> Iterator[None]:
    """Within this the process dies right before or after the given one of these appears or goes."""

    def dying(change: str) -> None:
        original = getattr(Path, change)

        def changed(path: Path, *words: Any, **options: Any) -> Any:
            hit = (words[0] if words else path).name == names[place]
            if hit and moment == "before":
                raise KilledError
            done = original(path, *words, **options)
            if hit:
                raise KilledError
            return done

        patched.setattr(Path, change, changed)

    with monkeypatch.context() as patched:
        for change in ("replace", "rename", "unlink"):
            dying(change)
        try:
            yield
        except KilledError:
            return
    raise AssertionError("it was never killed")


@pytest.mark.slow
@pytest.mark.parametrize(("place", "moment"), PLACES)
def test_a_run_that_is_given_more_steps(
    broken: RunFolder, monkeypatch: pytest.MonkeyPatch, place: int, moment: str
) -> None:
    more = ["--resume", str(broken.path), "--steps", "832"]
    with killed(monkeypatch, ["DONE", "config.json", "provenance.json"], place, moment):
        script.main(more)
    steps = RunFolder.open(broken.path)[1].steps
    assert steps == (832 if (place, moment) in PLACES[3:] else 800)
    if broken.is_done:
        assert steps == 800, "a run is finished that has not made its steps"
    else:
        assert script.main(["--resume", str(broken.path)]) == 0
        assert open_checkpoint(broken).state.step == steps
    if steps == 800:
        assert broken.is_done
        assert "extended" not in json.loads(broken.provenance_file.read_text())
        assert script.main(more) == 0
    assert broken.is_done
    assert open_checkpoint(broken).state.step == 832
    (change,) = json.loads(broken.provenance_file.read_text())["extended"]
    assert (change["from"], change["to"]) == (800, 832)


@pytest.mark.slow
@pytest.mark.parametrize(("place", "moment"), PLACES)
def test_a_run_that_begins_with_the_weights_of_another(
    broken: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: int, moment: str
) -> None:
    new = RunFolder(tmp_path / "new")
    begin = ["--from", str(broken.path), "--steps", "16", "--threads", "1", "--out", str(new.path)]
    with killed(monkeypatch, ["0", "provenance.json", "config.json"], place, moment):
        script.main(begin)
    if new.config_file.exists():
        assert script.main(["--resume", str(new.path)]) == 0
    else:
        assert script.main(begin) == 0
    first, last = list_checkpoints(new)
    assert (first.name, last.name) == ("0", "16")
    newest = open_checkpoint(broken).path
    assert (first / "policy.safetensors").read_bytes() == (
        newest / "policy.safetensors"
    ).read_bytes()
    assert [each.step for each in new.ancestors()] == [800]


@pytest.mark.slow
def test_what_a_kill_left_of_such_a_run_is_in_no_other(
    broken: RunFolder, train_run: TrainRun, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "begun"
    with killed(monkeypatch, ["config.json"], 0, "before"):
        script.main(["--from", str(broken.path), "--steps", "16", "--out", str(path)])
    assert (path / "checkpoints/0").is_dir()
    begun, _, _ = train_run("begun")
    scratch, _, _ = train_run("scratch")
    assert begun.ancestors() == ()
    contents = [
        (open_checkpoint(folder).path / "policy.safetensors").read_bytes()
        for folder in (begun, scratch)
    ]
    assert contents[0] == contents[1]
    assert RunFolder.open(path)[1] == small_config()
