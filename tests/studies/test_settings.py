"""Each study's settings as command-line options, in --help and in settings.json."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

from cli.errors import UserError
from studies.folder import ExperimentFolder, require_ours
from tests.studies.experiments import ROOT

STUDIES = {"coordinates": ["regression"], "detection": [], "gan": []}


def _module(study: str, name: str) -> Any:
    return importlib.import_module(f"studies.{study}.{name}")


def _dry_run(study: str, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> Any:
    assert _module(study, "__main__").main([*STUDIES[study], *arguments, "--dry-run"]) == 0
    return json.loads(capsys.readouterr().out.split("\n", 1)[1])


@pytest.mark.parametrize("study", STUDIES)
def test_published_experiments_are_still_recognized(study: str) -> None:
    files = sorted((ROOT / "docs" / "results" / study).rglob("settings.json"))
    assert files
    for file in files:
        settings = _module(study, "settings").Settings(**json.loads(file.read_text()))
        # Leave out settings that did not exist yet when the experiment was trained.
        require_ours(file.parent, settings.model_dump(exclude_unset=True))


@pytest.mark.parametrize("study", STUDIES)
def test_every_setting_is_an_option_with_help_and_its_default(
    study: str, capsys: pytest.CaptureFixture[str]
) -> None:
    module = _module(study, "settings")
    with pytest.raises(SystemExit):
        _module(study, "__main__").main(["--help"])
    shown = " ".join(re.sub("[│\n]", " ", capsys.readouterr().out).split())
    for record in (module.Settings, module.Training):
        for name, setting in record.model_fields.items():
            if name not in ("training", "task"):
                assert f" --{name.replace('_', '-')} " in shown
                assert setting.description
                assert " ".join(setting.description.split()[:3]) in shown
    assert re.search(r"--epochs FLOAT [^-]*\(default: small \d+[^-]*; paper [^-]*50", shown)


@pytest.mark.parametrize("study", STUDIES)
def test_options_not_given_come_from_the_preset(
    study: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for preset in ("small", "paper"):
        before = _dry_run(study, ["--preset", preset], capsys)
        after = _dry_run(study, ["--preset", preset, "--batch-size", "10", "--seed", "5"], capsys)
        assert before["training"]["batch_size"] != 10
        assert after["training"] == {**before["training"], "batch_size": 10}
        assert {**after, "training": before["training"], "seed": 1} == before


def test_the_discriminator_defaults_to_the_generators_model(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert _dry_run("gan", ["--generator", "conv"], capsys)["discriminator"] == "conv"
    given = _dry_run("gan", ["--generator", "conv", "--discriminator", "coordconv"], capsys)
    assert (given["generator"], given["discriminator"]) == ("conv", "coordconv")


def test_the_mnist_folder_is_stored_as_an_absolute_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert _dry_run("detection", ["--mnist", "digits"], capsys)["mnist"] == str(tmp_path / "digits")


def test_whole_floats_equal_integers_in_recorded_settings(tmp_path: Path) -> None:
    folder = tmp_path / "x"
    ExperimentFolder(folder, {"training": {"epochs": 4, "learning_rate": 0.5}})
    require_ours(folder, {"training": {"epochs": 4.0, "learning_rate": 0.5}})
    with pytest.raises(UserError, match=r'\("learning_rate": 0.5, not "learning_rate": 0.25\)'):
        require_ours(folder, {"training": {"epochs": 4.0, "learning_rate": 0.25}})
    with pytest.raises(UserError, match=r'\("epochs": 4, not "epochs": 4.5\)'):
        require_ours(folder, {"training": {"epochs": 4.5, "learning_rate": 0.5}})
