"""The three verbs from a shell: what they print, and one line for every mistake."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from pathlib import Path

import pytest

import evaluate
import search
import sweep
import train
from cli.errors import UserError
from tests.conftest import Shell

ROOT = Path(__file__).parents[1]
SMALL = ["--algo", "a2c", "--n-envs", "2", "--n-steps", "4", "--steps", "16", "--threads", "1"]


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


Refused = Callable[..., str]


@pytest.fixture
def refused(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> Refused:
    """Runs a script that must end with exit code 2 and one line; returns the line."""

    def start(script: str, *arguments: object) -> str:
        monkeypatch.chdir(ROOT)
        ended = shell(script, *arguments)
        assert (ended.code, ended.out) == (2, "")
        assert len(ended.err.splitlines()) == 1, ended.err
        return ended.err

    return start


@pytest.mark.slow
def test_mistakes_from_a_real_shell_end_with_code_2() -> None:
    result = run("train.py", "--game", "Breakot")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("train.py: error: unknown game 'Breakot': did you mean Break")


@pytest.mark.slow
def test_the_scripts_start_without_the_libraries_that_only_some_commands_need() -> None:
    slow = "{'matplotlib', 'pyglet', 'pygame', 'scipy.ndimage', 'scipy.optimize', 'scipy.stats'}"
    code = f"import sys, evaluate, search, sweep, train; print({slow} & sys.modules.keys())"
    assert run("-c", code).stdout == "set()\n"


@pytest.mark.slow
def test_train_score_and_record(tmp_path: Path, shell: Shell, refused: Refused) -> None:
    out = tmp_path / "run"
    trained = shell("train.py", "--game", "Breakout", *SMALL, "--out", out, "--export-sb3")
    assert trained.code == 0, trained.err
    assert "16 steps" in trained.out
    assert f"tensorboard --logdir {out}" in trained.out
    assert (out / "sb3_model.zip").is_file()
    scored = shell("evaluate.py", "score", out, "--episodes", 2, "--random", "--threads", 1)
    assert scored.code == 0, scored.err
    assert re.search(r"random play +Breakout \(v4\)", scored.out)
    recorded = shell("evaluate.py", "record", out, "--max-steps", 3)
    assert recorded.code == 0, recorded.err
    (video,) = (out / "videos").iterdir()
    assert str(video) in recorded.out
    assert "nothing to resume" in refused("train.py", "--resume", out)
    exported = shell(
        "evaluate.py", "export", out, "--onnx", tmp_path / "a.onnx", "--sb3", tmp_path / "a.zip"
    )
    assert exported.code == 0, exported.err
    assert exported.out == f"wrote {tmp_path / 'a.onnx'}\nwrote {tmp_path / 'a.zip'}\n"
    assert "name what to write" in refused("evaluate.py", "export", out)
    new = tmp_path / "new"
    assert "both name" in refused("evaluate.py", "export", out, "--onnx", new, "--sb3", new)
    assert "exists already" in refused("evaluate.py", "export", out, "--sb3", tmp_path / "a.zip")
    assert "no such folder" in refused(
        "evaluate.py", "export", out, "--onnx", tmp_path / "b/a.onnx"
    )
    (out / "DONE").unlink()
    resumed = shell("train.py", "--resume", out)
    assert resumed.code == 0, resumed.err
    (part,) = json.loads((out / "provenance.json").read_text())["resumed"]
    assert part["command"] == ["train.py", "--resume", str(out)]
    again = refused("train.py", "--game", "Breakout", *SMALL, "--out", out)
    assert "is not empty" in again
    assert f"--resume {out}" in again


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--game", "Breakot"], "did you mean Breakout"),
        (["--game", "Pong", "--extractor", "coordcnv"], "did you mean coordconv"),
        (["--game", "Pong", "--algo", "dqn"], "allowed: ppo, a2c"),
        (["--game", "Pong", "--protocol", "stiky"], "did you mean sticky"),
        (["--game", "Pong", "--steps", "0"], "steps must be between 1"),
        (
            ["--game", "Pong", "--steps", "many"],
            "--steps: invalid literal for int() with base 10: 'many' (",
        ),
        (["--game", "Pong", "--learning-rate", "nan"], "learning_rate must be between"),
        (["--game", "Pong", "--device", "cuda"], "--device cpu"),
        (["--game", "Pong", "--stpes", "5"], "--stpes, 5; did you mean --steps?"),
        (["--game", "Pong", "--sed", "1", "--algoo", "ppo"], "did you mean --seed and --algo?"),
        ([], "--game"),
        (["--resume", "no/such/run"], "no/such/run is not a folder"),
        (["--resume", "docs"], "has no config.json"),
        (["--game", "Pong", "--steps", "9" * 400], "steps must be between 1"),
        (["--game", "Pong", "--extractor", "no.such:Class", "--describe"], "cannot be imported"),
        (["--game", "Pong", "--extractor", "no.such:Class"], "cannot be imported"),
    ],
)
def test_training_mistakes_are_one_line(
    refused: Refused, arguments: list[str], expected: str
) -> None:
    if "cuda" in arguments and __import__("torch").cuda.is_available():
        pytest.skip("there is a CUDA device here")
    assert expected in refused("train.py", *arguments)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["score"], "run folder"),
        (["scroe", "run"], "scroe, run; allowed: score, record, watch, "),
        (["score", "run", "--episode", "3"], "--episode, 3; did you mean --episodes?"),
        (["score", "no/such/run"], "no/such/run is not a folder"),
        (["score", "docs", "--episodes", "0"], "--episodes must be between 1"),
        (["record", "docs", "--max-steps", "0"], "--max-steps must be between 1"),
        (["record", "docs"], "has no config.json"),
        (["score", "no/such/run", "--dry-run"], "no/such/run is not a folder"),
        (["praise", "docs"], "praise"),
    ],
)
def test_evaluation_mistakes_are_one_line(
    refused: Refused, arguments: list[str], expected: str
) -> None:
    assert expected in refused("evaluate.py", *arguments)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, refused: Refused) -> None:
    (tmp_path / "file").write_text("")
    line = refused("train.py", "--game", "Pong", *SMALL, "--out", tmp_path / "file" / "run")
    assert f"cannot write {tmp_path / 'file' / 'run'}" in line


def test_dry_run_and_describe_train_nothing(tmp_path: Path, shell: Shell) -> None:
    dry = shell(
        "train.py", "--game", "Pong", "--runs-dir", tmp_path, "--steps", "1000", "--dry-run"
    )
    assert dry.code == 0
    assert f"1,024 steps into {tmp_path}/ppo/Pong/coordconv/seed-1" in dry.out
    described = shell("train.py", "--describe", "--extractor", "coordconv", "--game", "Pong")
    assert described.code == 0
    assert "CoordConv2d" in described.out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_terminal_gets_a_progress_bar(tmp_path: Path) -> None:
    leader, follower = pty.openpty()
    command = [
        sys.executable,
        "train.py",
        "--game",
        "Breakout",
        *SMALL,
        "--out",
        str(tmp_path / "run"),
    ]
    process = subprocess.Popen(command, cwd=ROOT, stdout=follower, stderr=follower)
    os.close(follower)
    shown = b""
    while True:
        try:
            chunk = os.read(leader, 4096)
        except OSError:
            break
        if not chunk:
            break
        shown += chunk
    os.close(leader)
    assert process.wait(60) == 0, shown.decode()
    assert "16/16" in shown.decode()
    assert "steps/s" in shown.decode()


def test_a_run_that_diverges_ends_with_a_code_of_its_own(tmp_path: Path, shell: Shell) -> None:
    words = ["--game", "Breakout", *SMALL, "--steps", 1600, "--out", tmp_path / "run"]
    ended = shell("train.py", *words, "--extractor", "tests.sweeps.diverging:Diverging")
    assert ended.code == 3
    assert "training was stopped" in ended.err.splitlines()[-1]


def test_dependencies_point_one_way() -> None:
    checked = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert checked.returncode == 0, checked.stdout


def test_a_file_of_settings_begins_a_run_and_options_go_before_it(
    tmp_path: Path, refused: Refused, capfd: pytest.CaptureFixture[str]
) -> None:
    toml = tmp_path / "mine.toml"
    toml.write_text('game = "Pong"\nalgo = "a2c"\nlearning_rate = 1e-4\ngamma = 0.9\n')
    assert train.main(["--config", str(toml), "--gamma", "0.5", "--dry-run"]) == 0
    _, _, shown = capfd.readouterr().out.partition("\n")
    config = json.loads(shown)
    assert (config["algo"], config["learning_rate"], config["gamma"]) == ("a2c", 1e-4, 0.5)
    again = tmp_path / "config.json"
    again.write_text(shown)
    assert train.main([f"--config={again}", "--seed", "7", "--dry-run"]) == 0
    _, _, second = capfd.readouterr().out.partition("\n")
    assert json.loads(second) == {**config, "seed": 7}
    toml.write_text('game = "Pong"\nn_epochs = 3\nalgo = "a2c"\n')
    told = refused("train.py", "--config", toml, "--dry-run")
    assert "mine.toml: n_epochs is not a setting of a2c" in told
    toml.write_text("game = ")
    assert "cannot read" in refused("train.py", "--config", toml)
    toml.write_text('game = "Pong"\ngamma = 7\n')
    assert "gamma must be between 0" in refused("train.py", "--config", toml)
    assert "gone.toml" in refused("train.py", "--config", tmp_path / "gone.toml")


def test_a_setting_of_another_algorithm_is_named(refused: Refused, tmp_path: Path) -> None:
    told = refused("train.py", "--game", "Pong", "--algo", "a2c", "--n-epochs", 3)
    assert "n_epochs is not a setting of a2c: leave it out (its settings: ent_coef" in told
    with pytest.raises(UserError, match="clip_range is not a setting of a2c"):
        sweep.main(["--games", "Pong", "--algos", "a2c", "--clip-range=0.1", "--dry-run"])


@pytest.mark.parametrize(
    ("main", "arguments"),
    [
        (train.main, []),
        (train.main, ["--algo", "a2c"]),
        (train.main, ["--resume", "run"]),
        (sweep.main, []),
        (sweep.main, ["--algos", "ppo", "a2c"]),
        (sweep.main, ["--plan", "plan.toml"]),
        (sweep.main, ["--status"]),
        (search.main, []),
        (evaluate.main, ["score"]),
        (evaluate.main, ["record"]),
        (evaluate.main, ["watch"]),
        (evaluate.main, ["sensitivity"]),
        (evaluate.main, ["compare"]),
        (evaluate.main, ["export"]),
        (evaluate.main, ["card"]),
    ],
)
def test_help_breaks_no_sentence_and_shows_no_trivial_default(
    main: Callable[[Sequence[str]], int], arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "2000")  # wider than any text: only hard line breaks are left
    with io.TextIOWrapper(io.BytesIO(), encoding="utf-8") as stream:  # tyro draws frames in UTF-8
        with redirect_stdout(stream), pytest.raises(SystemExit) as stop:
            main([*arguments, "--help"])
        stream.seek(0)
        shown = stream.read()
    assert stop.value.code == 0
    texts = texts_of_options(shown)
    assert "--help" in texts
    assert len(texts) >= 3
    assert {name: lines for name, lines in texts.items() if len(lines) != 1} == {}
    assert not re.search(r"\(default: (|None|False)\)", shown)


def texts_of_options(shown: str) -> dict[str, list[str]]:
    """The lines of each option's text in what --help prints."""
    texts: dict[str, list[str]] = {}
    name = None
    for line in shown.splitlines():
        content = line.removeprefix("│").removesuffix("│").rstrip()
        if not line.startswith("│") or set(content.strip()) == {"─"}:
            name = None  # another group, or the end of a group's description
        elif content.startswith(" -"):
            words, _, text = content.strip().partition("  ")
            name = words.rpartition("-h, ")[2].split()[0]
            texts[name] = [text.strip()] if text else []
        elif name is not None:
            texts[name].append(content.strip())
    return texts


def test_help_shows_each_algorithms_own_defaults(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown = {algo: shell("train.py", "--algo", algo, "--help").out for algo in ("ppo", "a2c")}
    assert "--n-envs INT      Environments stepped together. (default: 8)" in shown["ppo"]
    assert "--n-envs INT      Environments stepped together. (default: 16)" in shown["a2c"]
    assert "--clip-range" not in shown["a2c"]
    swept = " ".join(shell("sweep.py", "--algos", "ppo", "a2c", "--help").out.split())
    assert "(default: ppo 8, a2c 16)" in re.sub(r" [│|] ", "", swept.replace("│ │", ""))


def test_a_file_of_settings_that_names_somebodys_class_imports_nothing(
    tmp_path: Path, refused: Refused
) -> None:
    file = tmp_path / "sent.toml"
    file.write_text('game = "Pong"\nextractor = "antigravity:Net"\n')
    line = refused("train.py", "--config", file, "--dry-run")
    assert "loading it would run that code" in line
    assert "--extractor antigravity:Net" in line
    assert "antigravity" not in sys.modules
