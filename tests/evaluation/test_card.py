"""The folder of an agent for a hub: it opens as it is, says true things, and tells no secrets."""

from __future__ import annotations

import getpass
import json
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from huggingface_hub import ModelCard

import evaluate
import train
from agents.agent import load_agent
from agents.training import train as train_agent
from cli.errors import UserError
from evaluation.card import VIDEO, write_card
from evaluation.score import score_run
from evaluation.statistics import estimate, mean
from files.untrusted import sealed
from records.folder import RunFolder
from records.kept_checkpoints import list_checkpoints
from records.rows import EvaluatedGame, evaluation_log, read_evaluated_games
from tests.agents.conftest import small_config
from tests.records.hub_server import files_below, hub_on_loopback


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with two checkpoints, and games scored of the newest; not to touch."""
    config = small_config(steps=64, checkpoint_every=32)
    folder = RunFolder.create(tmp_path_factory.mktemp("scored") / "run", config)
    train_agent(config, folder)
    score_run(folder.path, 4, n_envs=4, threads=1)
    score_run(folder.path, 2, deterministic=True, n_envs=2, threads=1)
    return folder.path


@pytest.fixture
def run(scored: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return shutil.copytree(scored, tmp_path / "run")


def card_of(folder: Path) -> Any:  # a ModelCard, whose data have what the front matter has
    return ModelCard.load(folder / "README.md")


def test_the_folder_is_what_an_agent_needs(scored: Path, tmp_path: Path) -> None:
    out = write_card(scored, tmp_path / "out", video=False)
    assert set(files_below(out)) == {
        "README.md",
        "config.json",
        "evaluation.csv",
        "provenance.json",
        "DONE",
        "checkpoints/64/policy.safetensors",
        "checkpoints/64/state.json",
    }
    _, config, step = load_agent(out)
    assert (config, step) == (RunFolder.open(scored)[1], 64)
    # What was scored is not played again: the games are there.
    assert score_run(out, 4).games == score_run(scored, 4).games
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_hubs_own_parser_reads_the_front_matter(scored: Path, tmp_path: Path) -> None:
    card = card_of(write_card(scored, tmp_path / "out", video=False, license="cc-by-4.0"))
    data = card.data
    assert data.license == "cc-by-4.0"
    assert data.library_name == "coordconv-agents"
    assert data.pipeline_tag == "reinforcement-learning"
    assert data.tags is not None
    assert {
        "reinforcement-learning",
        "deep-reinforcement-learning",
        "BreakoutNoFrameskip-v4",
        "a2c",
        "coordconv",
    } <= set(data.tags)
    assert card.data.eval_results is not None
    (result,) = card.data.eval_results
    assert result.task_type == "reinforcement-learning"
    assert result.dataset_type == result.dataset_name == "BreakoutNoFrameskip-v4"
    rows = read_evaluated_games(scored / "evaluation.csv")
    scores = np.array([row.score for row in rows if row.mode == "stochastic"])
    assert result.metric_type == "mean_reward"
    assert result.metric_value == f"{scores.mean():.2f} +/- {scores.std(ddof=1):.2f}"


def test_the_page_says_how_good_the_agent_is_and_what_that_means(run: Path, tmp_path: Path) -> None:
    scores = np.array([0.0, 1.0, 5.0, 2.0, 2.0, 7.0])
    (run / "evaluation.csv").unlink()
    log = evaluation_log(run / "evaluation.csv")
    for index, score in enumerate(scores):
        log.append(EvaluatedGame(64, 2 * index + 1, score, 50, "stochastic"))
        log.append(EvaluatedGame(32, 2 * index + 1, 99.0, 50, "stochastic"))  # another agent's
    log.close()
    out = write_card(run, tmp_path / "out", video=False)
    text = card_of(out).content
    expected = estimate(mean, scores[:, None])
    row = f"| stochastic | 6 | 2.8 | {expected.low:.1f} to {expected.high:.1f} | 2.6 | 2.0 |"
    assert row in text
    assert "99.0" not in text
    assert {game.step for game in read_evaluated_games(out / "evaluation.csv")} == {64}
    assert "it does not cover other training seeds" in " ".join(text.split())
    assert "One agent alone does not show that its extractor is better or worse" in " ".join(
        text.split()
    )
    assert "no sticky actions; a lost life ends a training episode" in text
    record = json.loads((run / "provenance.json").read_text())
    assert f"Commit `{record['commit']}`" in text
    assert f"torch {record['packages']['torch']}" in text
    assert f"(hash `{record['protocol_hash']}`)" in text


def test_the_training_command_makes_this_very_run(
    scored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = write_card(scored, tmp_path / "out", video=False)
    (command,) = re.findall(r"^python train\.py (.*)$", card_of(out).content, re.M)
    capsys.readouterr()
    assert train.main([*command.split(), "--dry-run"]) == 0
    _, _, config = capsys.readouterr().out.partition("\n")
    assert json.loads(config) == json.loads((out / "config.json").read_text())


@pytest.mark.slow
def test_the_commands_of_the_page_open_it_from_a_hub(
    scored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = write_card(scored, tmp_path / "out", video=False)
    commands = re.findall(r"^python evaluate\.py (.*)$", card_of(out).content, re.M)
    assert [command.split()[0] for command in commands] == ["score", "record"]
    monkeypatch.chdir(tmp_path)
    with hub_on_loopback() as hub:
        hub.upload("me/mine", files_below(out))
        for command, bound in zip(
            commands, (["--episodes", "4"], ["--max-steps", "2"]), strict=True
        ):
            words = command.replace("OWNER/NAME", "me/mine").split()
            assert evaluate.main([*words, *bound]) == 0


def test_an_agent_that_was_not_scored_gets_no_figure(run: Path, tmp_path: Path) -> None:
    (run / "evaluation.csv").unlink()
    card = card_of(write_card(run, tmp_path / "out", video=False))
    assert card.data.eval_results is None
    assert "model-index" not in card.content
    assert "This agent has not been scored, so it is unknown how well it plays." in card.content
    # Games of another checkpoint say nothing about this one either.
    older = card_of(write_card(run, tmp_path / "older", checkpoint="32", video=False))
    assert "32 agent steps of 64" in older.content
    assert older.data.eval_results is None


def test_one_game_has_no_spread(run: Path, tmp_path: Path) -> None:
    (run / "evaluation.csv").unlink()
    (game,) = score_run(run, 1, threads=1).games
    card = card_of(write_card(run, tmp_path / "out", video=False))
    assert card.data.eval_results is not None
    assert card.data.eval_results[0].metric_value == f"{game.score:.2f}"
    assert f"| stochastic | 1 | {game.score:.1f} | - | - | {game.score:.1f} |" in card.content


SECRETS = ("/home/alice", "alice-laptop", "secret-grant", "Linux-6")


@pytest.mark.slow
def test_nothing_of_the_machine_or_the_person_is_passed_on(run: Path, tmp_path: Path) -> None:
    def private(record: dict[str, Any]) -> dict[str, Any]:
        return {
            **record,
            "command": ["train.py", "--game", "Breakout", "--out", "/home/alice/secret-grant/run"],
            "platform": "Linux-6.8.0-alice-laptop-x86_64",
            "hostname": "alice-laptop",
        }

    provenance = json.loads((run / "provenance.json").read_text())
    del provenance["sha256"]
    provenance["resumed"] = [private(provenance)]
    (run / "provenance.json").write_text(json.dumps(sealed(private(provenance))))
    (run / "notes.txt").write_text("/home/alice")
    (run / "hparams.yaml").write_text("alice-laptop")
    out = write_card(run, tmp_path / "out")
    names = [*SECRETS, str(tmp_path), f"{Path.home()}/"]
    # Three letters stand somewhere in any weights.
    names += [name for name in (socket.gethostname(), getpass.getuser()) if len(name) > 6]
    for name, content in files_below(out).items():
        assert not [secret for secret in names if secret.encode() in content], name
    kept = json.loads((out / "provenance.json").read_text())
    assert kept["command"] == RunFolder.open(run)[1].command()
    assert kept["packages"] == provenance["packages"]
    assert "Training was interrupted and resumed once." in card_of(out).content


def test_a_hostile_record_writes_nothing_into_the_page(run: Path, tmp_path: Path) -> None:
    evil = "<script>x</script>\n---\n# [a](javascript:x)"
    record = {"commit": evil, "packages": {evil: "1", "torch": evil}, "python": evil, "dirty": evil}
    (run / "provenance.json").write_text(json.dumps(sealed({**record, "protocol_hash": evil})))
    content = card_of(write_card(run, tmp_path / "out", video=False)).content
    assert "script" not in content
    for damaged in ("[]", "{", '{"sha256": "0"}'):
        (run / "provenance.json").write_text(damaged)
        with pytest.raises(UserError, match=r"provenance\.json"):
            write_card(run, tmp_path / "other", video=False)
        assert not (tmp_path / "other").exists()


@pytest.mark.slow
def test_the_video_is_the_runs_own_or_is_recorded(run: Path, tmp_path: Path) -> None:
    recorded = write_card(run, tmp_path / "recorded")
    assert (recorded / VIDEO).read_bytes()[4:8] == b"ftyp"
    assert f"[{VIDEO}](./{VIDEO})" in card_of(recorded).content
    assert not {"videos", ".recording.lock"} & {path.name for path in recorded.iterdir()}
    (run / "videos").mkdir()
    secret = tmp_path / "secret"
    secret.write_bytes(b"mine")
    (run / "videos" / "Breakout-coordconv-64-seed-1.mp4").symlink_to(secret)
    (run / "videos" / "Breakout-coordconv-64-seed-3.mp4").write_bytes(b"played")
    (run / "videos" / "Breakout-coordconv-32-seed-1.mp4").write_bytes(b"of another checkpoint")
    assert (write_card(run, tmp_path / "copied") / VIDEO).read_bytes() == b"played"
    without = write_card(run, tmp_path / "without", video=False)
    assert VIDEO not in card_of(without).content


def test_a_folder_with_anything_in_it_is_left_alone(
    scored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    full, empty = tmp_path / "full", tmp_path / "empty"
    for folder in (full, empty):
        folder.mkdir()
    (full / "thesis").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for out in (full, full / "thesis", tmp_path / "link"):
        for dry in ([], ["--dry-run"]):
            with pytest.raises(UserError, match=r"exists already|Not a directory"):
                evaluate.main(["card", str(scored), "--out", str(out), *dry])
    assert [path.name for path in full.iterdir()] == ["thesis"]
    assert evaluate.main(["card", str(scored), "--out", str(empty), "--no-video"]) == 0
    assert f"share: hf upload OWNER/NAME {empty}\n" in capsys.readouterr().out
    assert load_agent(empty)


def test_what_fails_leaves_no_folder(run: Path, tmp_path: Path) -> None:
    for checkpoint in list_checkpoints(RunFolder(run)):
        (checkpoint / "policy.safetensors").write_bytes(b"damaged")
    with pytest.raises(UserError, match="damaged"):
        write_card(run, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_kill_leaves_no_folder_that_looks_whole(tmp_path: Path) -> None:
    code = """
import os, sys
from pathlib import Path
from files.durable import new_folder
with new_folder(Path(sys.argv[1])) as made:
    (made / "config.json").write_text("{}")
    os.kill(os.getpid(), 9)
"""
    out = tmp_path / "out"
    killed = subprocess.run([sys.executable, "-c", code, out], cwd=Path(__file__).parents[2])
    assert killed.returncode == -9
    (left,) = tmp_path.iterdir()
    assert re.fullmatch(r"\.out\.\w+\.tmp", left.name)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--license", "MIT\n---"], "is not a license abbreviation as hubs use it"),
        (["--checkpoint", "7"], "has no checkpoint '7'"),
        ([".", "."], "card takes one run folder, got 3"),
    ],
)
def test_mistakes_are_told_before_anything_is_written(
    scored: Path, tmp_path: Path, arguments: list[str], told: str
) -> None:
    if arguments[0] == ".":
        arguments = [str(scored)] * 2
    with pytest.raises(UserError, match=told):
        evaluate.main(["card", str(scored), *arguments, "--out", str(tmp_path / "out")])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_an_extractor_of_somebodys_own_is_named_in_the_commands(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "coordconv.sb3:NatureExtractor"
    config = small_config(steps=16, extractor=name)
    folder = RunFolder.create(tmp_path / "own", config)
    train_agent(config, folder)
    with pytest.raises(UserError, match=f"name it with --extractor {name}"):
        evaluate.main(["card", str(folder.path), "--out", str(tmp_path / "out")])
    arguments = ["card", str(folder.path), "--extractor", name, "--out", str(tmp_path / "out")]
    assert evaluate.main([*arguments, "--no-video"]) == 0
    content = card_of(tmp_path / "out").content
    assert f"python evaluate.py score hub:OWNER/NAME --extractor {name}\n" in content
    assert "opening them runs no code, except the code that these options name" in " ".join(
        content.split()
    )
