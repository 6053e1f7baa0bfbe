"""The page in headless Chromium: no overlap, legible on a desk and on a telephone, no request."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from analysis.report.report import write_report
from tests.analysis.calibration.calibrated_folder import write_folder

pytestmark = pytest.mark.browser

NAMES = ("chromium", "chromium-browser", "google-chrome")
SMALLEST_TEXT_PX = 9
LEAST_CONTRAST = 4.5
"""Of text, by the Web Content Accessibility Guidelines, level AA."""
FOLDERS: dict[str, dict[str, Any]] = {
    "full": {},
    "two agents": {"agents": 2},
    "no reference arm": {"reference": False, "modifiers": False},
}
_ROOT = Path(__file__).parents[2] / "analysis" / "published"
PUBLISHED = {str(path.relative_to(_ROOT)): path for path in sorted(_ROOT.rglob("index.html"))}
"""The pages that are committed, as they are."""
SIZES = {"desk": (1280, 800), "telephone": (390, 844)}


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    executable = next(filter(None, map(shutil.which, NAMES)), None)
    if executable is None:
        pytest.skip("needs Chromium: apt-get install chromium fonts-dejavu-core")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("pages")
    made = {
        name: write_report(write_folder(root / name, **options))
        for name, options in FOLDERS.items()
    }
    return made | PUBLISHED


@pytest.fixture(scope="module", params=SIZES)
def size(request: pytest.FixtureRequest) -> tuple[int, int]:
    return SIZES[request.param]


@pytest.fixture(scope="module", params=[*FOLDERS, *PUBLISHED])
def page(
    request: pytest.FixtureRequest, chromium: Any, pages: dict[str, Path], size: tuple[int, int]
) -> Iterator[Any]:
    """The open page; `page.requests` lists the addresses it asked for."""
    context = chromium.new_context(viewport={"width": size[0], "height": size[1]})
    opened = context.new_page()
    opened.requests = []
    opened.on("request", lambda asked: opened.requests.append(asked.url))
    opened.goto(pages[request.param].as_uri())
    yield opened
    context.close()


_OVERLAPS = """() => {
  const shared = (a, b) => Math.min(
    Math.min(a.right, b.right) - Math.max(a.left, b.left),
    Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top));
  const found = [];
  for (const svg of document.querySelectorAll("figure svg")) {
    const texts = [...svg.querySelectorAll("text")];
    const marks = [...svg.querySelectorAll("use")];
    const boxes = texts.map(t => t.getBoundingClientRect());
    texts.forEach((text, i) => {
      for (let j = i + 1; j < texts.length; j++)
        if (shared(boxes[i], boxes[j]) > 1)
          found.push(`${svg.ariaLabel}: "${text.textContent}" and "${texts[j].textContent}"`);
      for (const mark of marks)
        if (shared(boxes[i], mark.getBoundingClientRect()) > 2)
          found.push(`${svg.ariaLabel}: "${text.textContent}" and a mark`);
      const room = svg.getBoundingClientRect(), box = boxes[i];
      if (box.left < room.left - 1 || box.right > room.right + 1
          || box.top < room.top - 1 || box.bottom > room.bottom + 1)
        found.push(`${svg.ariaLabel}: "${text.textContent}" leaves the figure`);
    });
  }
  const blocks = [...document.querySelectorAll(
    "h1, h2, h3, main p, .limits li, nav a, figure, .scroll, dt, dd")];
  const places = blocks.map(b => b.getBoundingClientRect());
  for (let i = 0; i < blocks.length; i++)
    for (let j = i + 1; j < blocks.length; j++)
      if (shared(places[i], places[j]) > 1)
        found.push(`${blocks[i].textContent.slice(0, 40)} | ${blocks[j].textContent.slice(0, 40)}`);
  for (const cell of document.querySelectorAll("td, th"))
    if (cell.scrollWidth > cell.clientWidth + 1) found.push(`cell: ${cell.textContent}`);
  return found;
}"""


def test_nothing_overlaps(page: Any) -> None:
    assert page.evaluate(_OVERLAPS) == []


def test_the_overlap_check_finds_an_overlap(chromium: Any, pages: dict[str, Path]) -> None:
    opened = chromium.new_page()
    opened.goto(pages["full"].as_uri())
    opened.evaluate(
        """() => { const [a, b] = document.querySelectorAll("figure svg text");
                   for (const name of ["x", "y"]) b.setAttribute(name, a.getAttribute(name));
                   b.setAttribute("transform", a.getAttribute("transform")); }"""
    )
    assert opened.evaluate(_OVERLAPS) != []
    opened.close()


_TEXT_SIZES = """() => [...document.querySelectorAll("figure svg text")].map(text => {
  const svg = text.ownerSVGElement;
  const scale = svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
  return [parseFloat(getComputedStyle(text).fontSize) * scale, text.textContent]; })"""


def test_every_figure_is_legible(page: Any) -> None:
    sizes = page.evaluate(_TEXT_SIZES)
    assert len(sizes) > 50
    assert min(sizes)[0] >= SMALLEST_TEXT_PX


def test_the_page_is_as_wide_as_the_window(page: Any, size: tuple[int, int]) -> None:
    assert page.evaluate("document.documentElement.scrollWidth") == size[0]


def test_wide_tables_scroll_in_a_box_that_the_keyboard_reaches(page: Any) -> None:
    hidden = """() => [...document.querySelectorAll(".scroll")].filter(box =>
        box.scrollWidth > box.clientWidth
        && (box.tabIndex !== 0 || getComputedStyle(box).overflowX !== "auto")).length"""
    assert page.evaluate(hidden) == 0


def test_headline_and_limits_are_on_the_first_screen(page: Any, size: tuple[int, int]) -> None:
    bottom = "(e) => document.querySelector(e).getBoundingClientRect().bottom"
    assert page.evaluate(bottom, ".limits") <= size[1]
    assert page.evaluate(bottom, ".headline thead") <= size[1]
    if size == SIZES["desk"]:
        assert page.evaluate(bottom, ".headline table") <= size[1]


def test_no_request_is_made_but_for_the_file(page: Any) -> None:
    page.wait_for_load_state("networkidle")
    assert page.requests
    assert [url for url in page.requests if not url.startswith(("file:", "data:"))] == []


_CONTRASTS = """() => {
  const canvas = document.createElement("canvas").getContext("2d");
  const luminance = colour => {
    canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    const part = v => (v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
    const [r, g, b] = canvas.getImageData(0, 0, 1, 1).data;
    return .2126 * part(r) + .7152 * part(g) + .0722 * part(b); };
  const behind = element => {
    for (let e = element; e; e = e.parentElement) {
      const colour = getComputedStyle(e).backgroundColor;
      if (colour !== "rgba(0, 0, 0, 0)") return colour; }
    return "white"; };
  const words = [...document.querySelectorAll("figure svg text, p, li, td, th, figcaption, dt, a")];
  return words.map(e => {
    const style = getComputedStyle(e);
    const pair = [luminance(e.closest("svg") ? style.fill : style.color), luminance(behind(e))];
    const ratio = (Math.max(...pair) + .05) / (Math.min(...pair) + .05);
    return [ratio, e.textContent.slice(0, 40)]; }); }"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_in_both_colour_schemes(
    chromium: Any, pages: dict[str, Path], scheme: str
) -> None:
    context = chromium.new_context(color_scheme=scheme)
    opened = context.new_page()
    opened.goto(pages["full"].as_uri())
    paper = opened.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(255, 255, 255)") == (scheme == "light")
    assert min(opened.evaluate(_CONTRASTS))[0] >= LEAST_CONTRAST
    context.close()


def test_print_is_light_and_nothing_is_cut_off(chromium: Any, pages: dict[str, Path]) -> None:
    """A4 less margins of 12 mm is 703 px wide."""
    context = chromium.new_context(color_scheme="dark", viewport={"width": 703, "height": 1000})
    opened = context.new_page()
    opened.goto(pages["full"].as_uri())
    opened.emulate_media(media="print")
    paper = opened.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == "rgb(255, 255, 255)"
    assert opened.evaluate("document.documentElement.scrollWidth") == 703
    boxes = "[...document.querySelectorAll('.scroll')].map(b => getComputedStyle(b).overflowX)"
    assert set(opened.evaluate(boxes)) == {"visible"}
    context.close()
