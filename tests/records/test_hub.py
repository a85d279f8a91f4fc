"""An agent on a hub, where a run folder is named: downloaded once, whole, and running no code."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

import evaluate
from agents.agent import load_agent
from agents.training import train
from cli import command_line
from cli.errors import UserError
from evaluation.card import write_card
from evaluation.score import score_run
from records import hub as hub_module
from records.folder import RunFolder
from records.hub import download_if_hub
from tests.agents.conftest import small_config
from tests.records.hub_server import Hub, files_below, hub_on_loopback

ROOT = Path(__file__).parents[2]
NAME = "somebody/breakout-agent"


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that `evaluate.py card` wrote of a small run with two scored games."""
    place = tmp_path_factory.mktemp("card")
    config = small_config(steps=16)
    folder = RunFolder.create(place / "run", config)
    train(config, folder)
    score_run(folder.path, 2, n_envs=2, threads=1)
    return write_card(folder.path, place / "card", video=False)


@pytest.fixture
def hub(card: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub with that agent, asked by this process, which works in an empty folder."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    with hub_on_loopback() as server:
        server.upload(NAME, files_below(card))
        yield server


def below(folder: Path) -> set[str]:
    return set(files_below(folder)) if folder.exists() else set()


def test_an_agent_is_downloaded_once_and_then_used_without_a_network(
    hub: Hub, card: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    commit = hub.upload(NAME, files_below(card))
    assert download_if_hub(f"hub:{NAME}") == Path("hub") / NAME
    assert f"at commit {commit} is now hub/{NAME}" in capsys.readouterr().err
    assert files_below(Path("hub") / NAME) == files_below(card)
    asked = len(hub.requests)
    hub.broken = (503, "")
    assert download_if_hub(f"hub:{NAME}") == Path("hub") / NAME
    assert len(hub.requests) == asked
    assert f"remove hub/{NAME} to download it again" in capsys.readouterr().err


def test_any_other_name_is_a_path() -> None:
    assert download_if_hub("runs/a2c/Pong") == Path("runs/a2c/Pong")


@pytest.mark.slow
def test_scores_of_a_downloaded_agent_are_kept_beside_it(
    hub: Hub, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["score", f"hub:{NAME}", "--episodes", "3", "--threads", "1", "--n-envs", "1"]
    assert evaluate.main(arguments) == 0
    shown = capsys.readouterr()
    assert f"2 of 3 games are from hub/{NAME}/evaluation.csv" in shown.err
    assert f"hub/{NAME}  Breakout (v4)" in shown.out
    assert evaluate.main(arguments) == 0
    assert "3 of 3 games are from" in capsys.readouterr().err


@pytest.mark.slow
def test_a_revision_has_a_folder_of_its_own(hub: Hub, card: Path) -> None:
    old = {**files_below(card), "README.md": b"# The first version\n"}
    commit = hub.upload(NAME, old, revision="v1")
    for revision in ("v1", commit):
        folder = download_if_hub(f"hub:{NAME}@{revision}")
        assert folder == Path(f"hub/{NAME}@{revision}")
        assert (folder / "README.md").read_text() == "# The first version\n"
    assert load_agent(download_if_hub(f"hub:{NAME}"))


@pytest.mark.slow
def test_a_real_shell_asks_the_hub_for_the_agent_and_for_nothing_else(hub: Hub) -> None:
    environment = {**os.environ, "HF_ENDPOINT": hub.url, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(ROOT / "evaluate.py"), "score", f"hub:{NAME}", "--episodes", "2"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"hub/{NAME}  Breakout (v4)" in done.stdout
    # No telemetry, no list of anything.
    assert {request.partition(NAME)[0] for request in hub.requests} == {
        "GET /api/models/",
        "HEAD /",
        "GET /",
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        ["record", "--max-steps", "2"],
        ["export", "--onnx", "agent.onnx", "--dry-run"],
        ["card", "--out", "again", "--no-video"],
        ["compare", "--out", "report", "--dry-run", "--allow-missing"],
    ],
)
def test_every_command_takes_such_a_name(hub: Hub, card: Path, arguments: list[str]) -> None:
    verb, *options = arguments
    if verb == "compare":
        files = files_below(card)
        config = {**json.loads(files["config.json"]), "extractor": "nature"}
        hub.upload("some/baseline", {**files, "config.json": json.dumps(config).encode()})
        options = ["hub:some/baseline", *options]
    assert evaluate.main([verb, f"hub:{NAME}", *options]) == 0
    assert below(card) <= below(Path("hub") / NAME)
    if verb == "card":
        assert files_below(Path("again")) == files_below(card)


HOSTILE: dict[str, bytes] = {
    "setup.py": b"raise SystemExit('imported')",
    "modeling.py": b"raise SystemExit('imported')",
    "policy.pkl": b"cos\nsystem\n(S'touch pickled'\ntR.",
    "sb3_model.zip": b"PK\x03\x04",
    "checkpoints/16/optimizer.safetensors": b"x",
    "checkpoints/16/../../../escaped/policy.safetensors": b"x",
    "checkpoints/x/16/policy.safetensors": b"x",
    "../escaped/config.json": b"{}",
    "videos/a.mp4": b"x",
    ".cache/huggingface/x": b"x",
    "replay.mp4": b"x",
}


def test_only_the_files_of_an_agent_are_taken(hub: Hub, card: Path, tmp_path: Path) -> None:
    hub.upload(NAME, {**HOSTILE, **files_below(card)})
    folder = download_if_hub(f"hub:{NAME}")
    assert below(folder) == below(card)
    assert below(tmp_path / "work") == {f"hub/{NAME}/{name}" for name in below(card)}
    assert load_agent(folder)


def test_a_class_that_a_downloaded_agent_names_is_not_imported(hub: Hub, card: Path) -> None:
    files = files_below(card)
    config = {**json.loads(files["config.json"]), "extractor": "evil:Extractor"}
    hub.upload(NAME, {**files, "config.json": json.dumps(config).encode()})
    Path("evil.py").write_text("raise SystemExit('imported')")
    with pytest.raises(UserError, match="name it with --extractor evil:Extractor"):
        evaluate.main(["score", f"hub:{NAME}"])


def refused(name: str, capfd: pytest.CaptureFixture[str]) -> str:
    """The one line with which a real command line ends; nothing is left of the download."""
    capfd.readouterr()
    sys.argv[1:] = ["score", name]
    with pytest.raises(SystemExit) as stop:
        command_line.run("evaluate.py", evaluate.main)
    shown = capfd.readouterr()
    assert (stop.value.code, shown.out, len(shown.err.splitlines())) == (2, "", 1), shown.err
    assert not [path for path in Path("hub").rglob("*") if path.is_file()]
    return shown.err


@pytest.fixture
def error_line(
    hub: Hub, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], str]:
    monkeypatch.setattr(sys, "argv", ["evaluate.py"])
    return lambda name: refused(name, capfd)


ErrorLine = Callable[[str], str]


@pytest.mark.parametrize(
    "name",
    [
        "",
        "agent",
        "a/b/c",
        "../b",
        "a/..",
        "/etc/passwd",
        "a/b@",
        "a/b@../c",
        "a/b@x/y",
        "a b/c",
        "a/b--c",
        ".a/b",
        "a/b.",
        "a/" + "b" * 200,
        "a/b\n",
        "https://example.org/a/b",
    ],
)
def test_names_that_are_none(name: str, error_line: ErrorLine, hub: Hub) -> None:
    assert "does not name an agent on a hub: write hub:owner/name" in error_line(f"hub:{name}")
    assert hub.requests == []


def test_no_such_agent_or_revision(error_line: ErrorLine) -> None:
    assert "has no hub:some/thing, or it is private: check the name" in error_line("hub:some/thing")
    assert f"hub:{NAME} has no revision v9" in error_line(f"hub:{NAME}@v9")


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        ((401, "RepoNotFound"), "or it is private: check the name, or log in with hf auth login"),
        ((403, "GatedRepo"), "must be requested: request it on"),
        ((500, ""), "answered 500"),
        ((200, ""), "cannot download"),  # something else than a hub: the page of a hotel's network
    ],
)
def test_a_hub_that_refuses(
    hub: Hub, error_line: ErrorLine, broken: tuple[int, str], told: str
) -> None:
    hub.broken = broken
    assert told in error_line(f"hub:{NAME}")


def test_no_network(error_line: ErrorLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    told = error_line(f"hub:{NAME}")
    assert f"cannot download hub:{NAME} from http://127.0.0.1:9: " in told
    assert "check the network" in told


def test_what_is_no_agent(hub: Hub, card: Path, error_line: ErrorLine) -> None:
    files = files_below(card)
    hub.upload(NAME, {name: data for name, data in files.items() if name != "config.json"})
    assert "is not an agent of this suite: it has no config.json" in error_line(f"hub:{NAME}")
    hub.upload(NAME, {"config.json": b"{}", "model.safetensors": b""})
    assert "it has no checkpoints/<step>/policy.safetensors" in error_line(f"hub:{NAME}")


def test_too_large_an_agent_is_not_downloaded(hub: Hub, error_line: ErrorLine) -> None:
    (weights,) = (n for n in hub.commits[NAME]["main"] if n.endswith("policy.safetensors"))
    hub.claimed[weights] = hub_module.MOST_BYTES + 1
    assert "and at most 500,000,000 are downloaded" in error_line(f"hub:{NAME}")
    assert len(hub.requests) == 1


def test_a_full_disk_leaves_nothing(hub: Hub) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(UserError, match=rf"cannot write hub/{NAME}: File too large"):
            download_if_hub(f"hub:{NAME}")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert below(Path("hub")) == set()


def test_a_file_of_another_size_than_was_told_leaves_nothing(hub: Hub) -> None:
    hub.cut = "policy.safetensors"
    with pytest.raises(UserError, match=f"cannot download hub:{NAME}"):
        download_if_hub(f"hub:{NAME}")
    assert below(Path("hub")) == set()


def test_without_the_package_its_extra_is_named(
    error_line: ErrorLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert "pip install '.[hub]'" in error_line(f"hub:{NAME}")
