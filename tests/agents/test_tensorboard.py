"""What a real TensorBoard makes of runs, on the loopback and in a real browser."""

from __future__ import annotations

import json
import shutil
import urllib.request
from typing import Any

import pytest
from playwright.sync_api import sync_playwright
from tensorboard import program

from agents.training import train
from records.folder import RunFolder, default_path
from tests.agents.conftest import small_config
from tests.waiting import wait_for

NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next((path for name in NAMES if (path := shutil.which(name))), None)
ARMS = ("coordconv", "nature")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a TensorBoard that shows a PPO run of each of two arms."""
    root = tmp_path_factory.mktemp("runs")
    for extractor in ARMS:
        config = small_config("ppo", extractor=extractor)
        train(config, RunFolder.create(default_path(root, config), config))
    board = program.TensorBoard()
    words = ["--logdir", root, "--host", "127.0.0.1", "--port", "0", "--load_fast", "false"]
    board.configure(argv=["tensorboard", *map(str, words)])
    address = board.launch()
    wait_for(
        lambda: len(asked(address, "session_groups").get("sessionGroups", [])) == len(ARMS), 60
    )
    return address


def asked(address: str, what: str) -> dict[str, Any]:
    """What the HParams plugin answers to its own page."""
    columns = (
        {} if what == "experiment" else {"sliceSize": 9, "allowedStatuses": ["STATUS_SUCCESS"]}
    )
    request = urllib.request.Request(
        f"{address}data/plugin/hparams/{what}",
        json.dumps(columns).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


def test_the_first_column_is_the_extractor_and_no_setting_is_lost(server: str) -> None:
    names = [column["name"] for column in asked(server, "experiment")["hparamInfos"]]
    assert names[:4] == ["extractor", "game", "seed", "algo"]
    learning = small_config("ppo").learning()
    assert set(names[4:]) >= {*learning, "steps", "protocol", "precision"}
    groups = asked(server, "session_groups")["sessionGroups"]
    assert {group["hparams"]["extractor"] for group in groups} == set(ARMS)


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs a Chromium: apt-get install chromium")
def test_a_person_sees_which_arm_is_which_without_a_click(server: str) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": 1200, "height": 700})
        page.goto(f"{server}#hparams")
        cells = page.locator("tf-hparams-table-view vaadin-grid-cell-content")
        cells.filter(has_text="nature").last.wait_for(state="visible")
        shown = [text.strip() for text in cells.all_inner_texts() if text.strip()]
        browser.close()
    headings = shown[: shown.index("game") + 1]
    assert headings == ["Trial ID", "Show Metrics", "extractor", "game"]
    assert set(ARMS) < set(shown)
