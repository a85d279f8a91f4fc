"""The report in a real browser: nothing missing, nothing complained about, nothing cut off."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, sync_playwright

from agents.play import evaluation_seeds
from agents.training import train
from evaluation.compare import Request, write_report
from records.folder import RunFolder, default_path
from records.rows import EvaluatedGame
from tests.agents.conftest import small_config

NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next((path for name in NAMES if (path := shutil.which(name))), None)
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="needs a Chromium: apt-get install chromium"
)
SIZES = {"phone": (360, 740), "desktop": (1200, 900)}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report on agents that were really trained, though for 16 steps."""
    root = tmp_path_factory.mktemp("browser")
    for extractor, level in {"nature": 3, "coordconv": 9}.items():
        config = small_config(steps=16, extractor=extractor, seed=1)
        trained = RunFolder.create(default_path(root / "runs", config), config)
        train(config, trained)
        trained.episodes_file.write_text("step,seconds,score,length\n8,0.1,1,9\n16,0.2,2,9\n")
        for seed in (1, 2, 3):
            copy = config.replaced(seed=seed)
            folder = RunFolder(default_path(root / "runs", copy))
            if seed > 1:
                shutil.copytree(trained.path, folder.path)
                folder.config_file.write_text(copy.to_json())
            rows = [f"16,{number},{level + seed},10,stochastic" for number in evaluation_seeds(2)]
            text = "\n".join([",".join(EvaluatedGame._fields), *rows, ""])
            folder.evaluation_file.write_text(text)
    write_report(Request((root / "runs",), root / "report", videos=1), "the command")
    return root / "report" / "index.html"


@pytest.fixture(params=SIZES)
def page(request: pytest.FixtureRequest, report: Path) -> Iterator[tuple[Page, list[str]]]:
    """The report on a screen of some size, and what the console said."""
    width, height = SIZES[request.param]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        opened = browser.new_page(viewport={"width": width, "height": height})
        said: list[str] = []
        opened.on("console", lambda message: said.append(message.text))
        opened.on("pageerror", lambda error: said.append(str(error)))
        opened.on("requestfailed", lambda wish: said.append(f"failed: {wish.url[:100]}"))
        opened.goto(report.as_uri())
        yield opened, said
        browser.close()


def test_the_page_is_whole(page: tuple[Page, list[str]]) -> None:
    opened, said = page
    opened.wait_for_function(
        "() => [...document.querySelectorAll('video')].every(v => v.readyState >= 1 || v.error)"
    )
    assert said == []
    images = opened.evaluate("[...document.images].map(i => i.complete && i.naturalWidth)")
    assert len(images) >= 8
    assert all(images)
    videos = opened.evaluate(
        "[...document.querySelectorAll('video')].map(v => [v.videoWidth, v.duration])"
    )
    assert len(videos) == 1
    assert videos[0][0] == 960
    assert 5 < videos[0][1] <= 30
    for heading in (
        "game by game",
        "Arms",
        "Settings and commands",
        "Gameplay on the same seed",
        "Cite",
    ):
        assert heading in opened.inner_text("body")


def test_nothing_is_wider_than_the_screen(page: tuple[Page, list[str]]) -> None:
    opened, _ = page
    too_wide = opened.evaluate(
        "[...document.querySelectorAll('body *')]"
        ".filter(e => Math.max(e.getBoundingClientRect().right, e.scrollWidth) > innerWidth + 1)"
        ".map(e => e.outerHTML.slice(0, 80))"
    )
    assert too_wide == []


def test_every_number_of_a_table_has_its_name_on_a_phone(page: tuple[Page, list[str]]) -> None:
    opened, _ = page
    nameless = opened.evaluate(
        "[...document.querySelectorAll('td:not(:first-child)')]"
        ".filter(e => !e.dataset.label).length"
    )
    assert nameless == 0


def test_it_prints_on_pages_without_the_videos(page: tuple[Page, list[str]]) -> None:
    opened, _ = page
    opened.emulate_media(media="print")
    assert not opened.is_visible("video")
    assert opened.is_visible("table")
    assert opened.pdf(format="A4").startswith(b"%PDF")


def test_a_table_is_sorted_by_a_click_on_its_heading(page: tuple[Page, list[str]]) -> None:
    opened, _ = page
    opened.set_viewport_size({"width": 1200, "height": 900})
    opened.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    table = opened.locator("details table").filter(has_text="seed").last
    headings = table.locator("th").all_inner_texts()
    column = headings.index("seed")
    cells = f"tbody tr td:nth-child({column + 1})"
    seeds = table.locator(cells).all_inner_texts()
    assert sorted(seeds) != seeds, "or there is nothing to sort"
    heading = table.locator("th").nth(column)
    heading.locator("button").press("Enter")
    assert table.locator(cells).all_inner_texts() == sorted(seeds)
    assert heading.get_attribute("aria-sort") == "ascending"
    heading.locator("button").click()
    assert table.locator(cells).all_inner_texts() == sorted(seeds, reverse=True)


def test_it_is_dark_where_the_reader_likes_it_so(page: tuple[Page, list[str]]) -> None:
    opened, _ = page

    def brightness() -> float:
        color = opened.evaluate("getComputedStyle(document.body).backgroundColor")
        return sum(map(int, color.removeprefix("rgb(").rstrip(")").split(","))) / 3

    assert brightness() == 255
    opened.emulate_media(color_scheme="dark")
    assert brightness() < 40
    figure = opened.evaluate(
        "getComputedStyle(document.querySelector('figure img')).backgroundColor"
    )
    assert figure == "rgb(255, 255, 255)", "figures are drawn in dark ink"
    opened.emulate_media(color_scheme="dark", media="print")
    assert brightness() == 255


def test_the_citation_is_copied(page: tuple[Page, list[str]]) -> None:
    opened, _ = page
    opened.click("#copy")
    opened.wait_for_function("document.getElementById('copied').textContent")
    selected = opened.evaluate("getSelection().toString()")
    assert selected.startswith("@")
    assert "CoordConv" in selected
