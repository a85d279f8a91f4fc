"""The report in a real browser: nothing missing, nothing complained about, nothing cut off."""

from __future__ import annotations

import base64
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from agents.play import evaluation_seeds
from agents.training import train
from evaluation.compare import Request, write_report
from evaluation.report.citation import bibtex
from records.folder import RunFolder, default_path
from records.rows import EvaluatedGame
from tests.agents.conftest import small_config

NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next((path for name in NAMES if (path := shutil.which(name))), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs a Chromium: apt-get install chromium"),
]
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


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser; every page has a session of its own in it."""
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        yield found
        found.close()


@contextmanager
def shown(browser: Browser, report: Path, **settings: Any) -> Iterator[tuple[Page, list[str]]]:
    """The report on a page, and what the console said or the page asked for elsewhere."""
    with browser.new_context(**settings) as session:
        opened = session.new_page()
        said: list[str] = []
        opened.on("console", lambda message: said.append(message.text))
        opened.on("pageerror", lambda error: said.append(str(error)))
        opened.on("requestfailed", lambda wish: said.append(f"failed: {wish.url[:100]}"))
        opened.on(
            "request",
            lambda wish: (
                None
                if wish.url == report.as_uri() or wish.url.startswith("data:")
                else said.append(f"asked for {wish.url[:100]}")
            ),
        )
        opened.goto(report.as_uri())
        yield opened, said


@pytest.fixture(params=SIZES)
def page(
    request: pytest.FixtureRequest, browser: Browser, report: Path
) -> Iterator[tuple[Page, list[str]]]:
    """The report on a screen of some size."""
    width, height = SIZES[request.param]
    with shown(browser, report, viewport={"width": width, "height": height}) as both:
        yield both


@pytest.fixture
def desktop(browser: Browser, report: Path) -> Iterator[Page]:
    """The report on a large screen."""
    with shown(browser, report, viewport={"width": 1200, "height": 900}) as (opened, _):
        yield opened


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
        "mean score during training",
        "How much each layer uses position",
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
    assert not opened.is_visible("#copy")
    assert opened.is_visible("table")
    assert opened.pdf(format="A4").startswith(b"%PDF")


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


def test_no_figure_shows_the_source_of_a_formula(desktop: Page) -> None:
    sources = desktop.evaluate("[...document.images].map(i => i.src)")
    drawings = [base64.b64decode(s.partition(",")[2]).decode() for s in sources if "svg" in s[:20]]
    texts = [text for svg in drawings for text in re.findall(r"<text [^>]*>([^<]*)</text>", svg)]
    assert "translation dependence" in texts
    assert not [text for text in texts if "$" in text or "\\" in text]


def column(opened: Page, number: int) -> list[str]:
    return opened.eval_on_selector_all(
        f"details table td:nth-child({number})", "cells => cells.map(cell => cell.innerText)"
    )


def test_a_table_sorts_by_its_numbers_and_says_so(desktop: Page) -> None:
    desktop.click("summary:has-text('All 6 runs')")
    assert column(desktop, 4) == ["4.0", "5.0", "6.0", "10.0", "11.0", "12.0"]
    heading = desktop.locator("details th", has_text="final score")
    heading.get_by_role("button").click()
    heading.get_by_role("button").click()
    assert column(desktop, 4) == ["12.0", "11.0", "10.0", "6.0", "5.0", "4.0"]
    assert heading.get_attribute("aria-sort") == "descending"
    # By the keyboard, and as words: the rows of an arm stay in the order they had.
    desktop.locator("details th", has_text="arm").get_by_role("button").focus()
    desktop.keyboard.press("Enter")
    assert column(desktop, 2) == ["coordconv"] * 3 + ["nature"] * 3
    assert column(desktop, 4) == ["12.0", "11.0", "10.0", "6.0", "5.0", "4.0"]
    assert desktop.locator("th[aria-sort]").count() == 1


def test_empty_cells_come_last_both_ways(desktop: Page) -> None:
    desktop.evaluate(
        "const cell = document.querySelector('details td[data-sort=\"11.0\"]');"
        "cell.textContent = ''; delete cell.dataset.sort"
    )
    desktop.click("summary:has-text('All 6 runs')")
    for order in (["4.0", "5.0", "6.0", "10.0", "12.0"], ["12.0", "10.0", "6.0", "5.0", "4.0"]):
        desktop.locator("details th", has_text="final score").get_by_role("button").click()
        assert column(desktop, 4) == [*order, ""]


@pytest.mark.parametrize("clipboard", [True, False])
def test_a_button_copies_the_citation(desktop: Page, clipboard: bool) -> None:
    if not clipboard:
        desktop.evaluate("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    desktop.click("text=Copy the citation")
    desktop.wait_for_selector("#copied:has-text('Copied.')")
    desktop.evaluate("document.body.append(document.createElement('textarea'))")
    desktop.focus("textarea")
    desktop.keyboard.press("Control+V")
    assert desktop.input_value("textarea").strip() == bibtex()


def test_where_nothing_can_be_copied_the_citation_is_selected(desktop: Page) -> None:
    desktop.evaluate("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    desktop.evaluate("document.execCommand = () => false")
    desktop.click("text=Copy the citation")
    desktop.wait_for_selector("#copied:has-text('Ctrl+C')")
    assert desktop.evaluate("getSelection().toString()").strip() == bibtex()


def test_without_scripts_everything_is_readable_and_no_button_is_dead(
    browser: Browser, report: Path
) -> None:
    with shown(browser, report, java_script_enabled=False) as (opened, said):
        assert opened.locator("button:visible").count() == 0
        assert opened.locator("th").first.inner_text() == "game"
        assert opened.locator("#citation").inner_text().strip() == bibtex()
        opened.locator("summary", has_text="All 6 runs").click()
        assert opened.locator("details table").is_visible()
        assert said == []


LUMINANCE = """
const channels = color => color.match(/[\\d.]+/g).slice(0, 3).map(v => {
  v /= 255;
  return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
});
const luminance = color => {
  const [r, g, b] = channels(color);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const background = element => {
  const color = getComputedStyle(element).backgroundColor;
  return color === "rgba(0, 0, 0, 0)" && element.parentElement
    ? background(element.parentElement) : color;
};
const contrast = element => {
  const pair = [luminance(getComputedStyle(element).color), luminance(background(element))];
  return (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
};
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast_in_light_and_dark(browser: Browser, report: Path, scheme: str) -> None:
    """WCAG 2.2 asks 4.5 of text of ordinary size."""
    with shown(browser, report, color_scheme=scheme) as (opened, _):
        paper = opened.evaluate(f"{LUMINANCE} luminance(background(document.body))")
        assert paper == 1 if scheme == "light" else paper < 0.02
        pale = opened.evaluate(
            f"{LUMINANCE} [...document.querySelectorAll('h1, h2, p, li, td, th, a, pre, summary,"
            " dt, dd, figcaption, .badge')].filter(e => contrast(e) < 4.5).map(e => e.outerHTML)"
        )
        assert pale == []
        figure = opened.evaluate(f"{LUMINANCE} luminance(background(document.images[0]))")
        assert figure == 1
