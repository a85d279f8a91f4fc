"""The two seams, proven by what they are for: a further algorithm and a further family of games
are trained, killed, resumed, scored, recorded, swept and compared without a line changed."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from records.folder import RunFolder
from records.kept_checkpoints import list_checkpoints, open_checkpoint
from records.rows import read_episodes, read_evaluated_games
from tests.conftest import Shell
from tests.waiting import wait_for

ROOT = Path(__file__).parents[2]
ALGO = ["--algo", "tests.seams.adam_a2c:ADAM_A2C"]
FAMILY = ["--family", "tests.seams.dots:DOTS"]
GAME = [*FAMILY, "--game", "DotSide", "--protocol", "plain"]
STEPS = 8_000  # seconds of training after the second checkpoint, where it is killed


def start(*words: object) -> subprocess.Popen[str]:
    """A script of the suite in a process of its own."""
    return subprocess.Popen(
        [sys.executable, *map(str, words)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def done(*words: object, code: int = 0) -> str:
    """What a script printed; it ends with this code."""
    process = start(*words)
    out, err = process.communicate(timeout=300)
    assert process.returncode == code, out + err
    return out + err


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run of both that was killed in the middle and went on."""
    path = tmp_path_factory.mktemp("seams") / "run"
    words = [*ALGO, *GAME, "--extractor", "nature-gap", "--steps", STEPS, "--beta", 0.5]
    words += ["--checkpoint-every", 800, "--threads", 1, "--out", path]
    process = start("train.py", *words)
    wait_for(lambda: list_checkpoints(RunFolder(path))[1:] or process.poll() is not None)
    process.kill()
    process.communicate()
    folder = RunFolder(path)
    assert not folder.is_done
    # The run names code of its own, which nobody has named here.
    assert f"--algo {ALGO[1]}" in done("train.py", "--resume", path, code=2)
    assert f"--family {FAMILY[1]}" in done("train.py", "--resume", path, *ALGO, code=2)
    done("train.py", "--resume", path, *ALGO, *FAMILY)
    return folder


@pytest.mark.slow
def test_it_is_trained_and_resumed_after_a_kill(run: RunFolder) -> None:
    assert run.is_done
    config = json.loads(run.config_file.read_text())
    assert (config["algo"], config["beta"], config["family"]) == (ALGO[1], 0.5, FAMILY[1])
    state = open_checkpoint(run).state
    assert (state.step, state.resumes) == (STEPS, 1)
    games = list(read_episodes(run.episodes_file))
    # The games that were being played when it was killed, and at the end, are lost.
    assert STEPS // 8 - 2 * 16 <= len(games) == state.games <= STEPS // 8
    assert {game.length for game in games} == {8}


@pytest.mark.slow
def test_its_folder_is_read_by_those_who_do_not_have_its_code(run: RunFolder) -> None:
    _, config = RunFolder.open(run.path)
    assert config.values()["beta"] == 0.5
    assert config.total_steps == STEPS


@pytest.mark.slow
def test_it_is_scored_recorded_and_exported(run: RunFolder, tmp_path: Path, shell: Shell) -> None:
    assert f"--family {FAMILY[1]}" in done("evaluate.py", "score", run.path, code=2)
    assert shell("evaluate.py", "score", run.path, "--episodes", 5, "--random", *FAMILY).code == 0
    games = list(read_evaluated_games(run.evaluation_file))
    assert [game.length for game in games] == [8] * 5
    assert shell("evaluate.py", "record", run.path, *FAMILY).code == 0
    assert list(run.videos.glob("DotSide-*.mp4"))
    exported = tmp_path / "agent.onnx"
    assert shell("evaluate.py", "export", run.path, "--onnx", exported, *FAMILY).code == 0
    assert exported.is_file()


@pytest.mark.slow
@pytest.mark.usefixtures("short_trials")
def test_it_is_swept_over_its_own_setting_and_compared(tmp_path: Path, shell: Shell) -> None:
    runs = tmp_path / "runs"
    words = ["--games", "DotSide", "--protocol", "plain", *FAMILY, "--steps", "160"]
    words += ["--extractors", "nature-gap", "coordconv-gap", "--seeds", "3-3"]
    words += ["--beta", "0.5", "0.9", "--episodes", "2", "--runs-dir", str(runs)]
    # a2c has no beta: its runs are not doubled.
    assert "6 cells" in shell("sweep.py", *words, "--algos", ALGO[1], "a2c", "--status").out
    words += ["--algos", ALGO[1]]
    one = shell("sweep.py", *words, "--extractors", "nature-gap", "--beta", "0.5", "--dry-run")
    assert (one.code, one.err) == (0, "")
    assert "1 cell" in one.out
    assert shell("sweep.py", *words).code == 0
    assert "4 done" in shell("sweep.py", *words, "--status").out
    path = runs / "beta-0.5" / ALGO[1].replace(":", ".") / "DotSide/coordconv-gap/seed-3"
    assert RunFolder(path).is_done
    report = tmp_path / "report"
    words = [str(runs / "beta-0.5"), "--baseline", "nature-gap", "--out", str(report)]
    assert shell("evaluate.py", "compare", *words, *FAMILY, *ALGO, "--videos", 1).code == 0
    with (report / "runs.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["algo"] for row in rows] == [ALGO[1]] * 2
    page = (report / "report.md").read_text()
    assert "--seeds 3-3" in page
    assert "--beta 0.5" in page
    assert page.splitlines()[0].endswith("coordconv-gap against nature-gap on dots")


def test_a_sweep_names_an_algorithm_that_is_none(shell: Shell) -> None:
    ended = shell("sweep.py", "--games", "Pong", "--algos", "os.path:join")
    assert ended.code == 2
    assert "is not an instance of records.algorithm.Algorithm" in ended.err
