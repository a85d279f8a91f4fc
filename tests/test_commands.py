"""The installed commands, as `make setup` installs them, in a folder that is not the checkout."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SMALL = ["--n-envs", "2", "--n-steps", "4", "--steps", "16", "--threads", "1"]


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of commands of an environment with this checkout installed as editable.

    It borrows every other package from the one that the tests run in.
    """
    place = tmp_path_factory.mktemp("environment")
    venv.create(place, with_pip=False, symlinks=True)
    inside = {"base": str(place), "platbase": str(place)}
    site = Path(sysconfig.get_path("purelib", "venv", inside))
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    python = Path(sysconfig.get_path("scripts", "venv", inside)) / "python"
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "--python",
            python,
            "--disable-pip-version-check",
            "install",
            "--no-index",
            "--no-deps",
            "--no-build-isolation",
            "--editable",
            ROOT,
        ],
        check=True,
        capture_output=True,
        text=True,
    )
    return python.parent


def run(command: Path, *words: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(command), *map(str, words)], cwd=cwd, capture_output=True, text=True, timeout=300
    )


@pytest.mark.slow
def test_a_grid_is_run_and_an_agent_scored_in_a_folder_of_somebody_elses(
    commands: Path, tmp_path: Path
) -> None:
    (tmp_path / "agents.py").write_text("raise RuntimeError('somebody else')\n")
    sweep = [
        "--games",
        "Pong",
        "--algos",
        "a2c",
        "--extractors",
        "nature",
        "--seeds",
        1,
        "--episodes",
        0,
        "--workers",
        1,
        *SMALL,
    ]
    swept = run(commands / "coordconv-sweep", *sweep, cwd=tmp_path)
    assert swept.returncode == 0, swept.stderr
    assert "compare: coordconv-evaluate compare " in swept.stdout
    path = Path("runs/a2c/Pong/nature/seed-1")
    provenance = json.loads((tmp_path / path / "provenance.json").read_text())
    assert provenance["command"][0] == "train.py"
    words = ["score", path, "--episodes", 1, "--threads", 1]
    scored = run(commands / "coordconv-evaluate", *words, cwd=tmp_path)
    assert scored.returncode == 0, scored.stderr
    assert (tmp_path / path / "evaluation.csv").is_file()
    trained = run(commands / "coordconv-train", "--resume", path, cwd=tmp_path)
    assert trained.returncode == 2
    assert trained.stderr.startswith("train.py: error: runs/a2c/Pong/nature/seed-1 is finished")


@pytest.mark.slow
def test_what_is_printed_to_be_copied_names_the_command(commands: Path, tmp_path: Path) -> None:
    words = ["--game", "Pong", "--algo", "a2c", *SMALL, "--out", "run"]
    trained = run(commands / "coordconv-train", *words, cwd=tmp_path)
    assert trained.returncode == 0, trained.stderr
    assert "score:  coordconv-evaluate score run\n" in trained.stdout
    by_script = run(commands / "python", ROOT / "train.py", *words[:-1], "again", cwd=tmp_path)
    assert "score:  python evaluate.py score again\n" in by_script.stdout


@pytest.mark.slow
def test_no_folder_of_the_suite_is_on_anybodys_import_path(commands: Path, tmp_path: Path) -> None:
    found = run(
        commands / "python",
        "-c",
        "import importlib.util as u, coordconv; print(coordconv.__file__); "
        "print([n for n in ('agents', 'cli', 'envs', 'train', 'sweeps') if u.find_spec(n)])",
        cwd=tmp_path,
    )
    assert found.stdout.splitlines() == [str(ROOT / "coordconv" / "__init__.py"), "[]"]
