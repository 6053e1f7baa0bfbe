"""The page in headless Chromium: no overlap, legible on a desk and on a telephone, no request."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.analysis.calibration.calibrated_folder import write_folder
from tests.analysis.report.browser import CONTRASTS, LEAST_CONTRAST, SIZES, open_page

from misgen.analysis.report.report import write_report

pytestmark = pytest.mark.browser

SMALLEST_TEXT_PX = 10
FOLDERS: dict[str, dict[str, Any]] = {
    "full": {},
    "two agents": {"agents": 2},
    "no reference arm": {"reference": False, "modifiers": False},
}
_ROOT = Path(__file__).parents[2] / "analysis" / "published"
PUBLISHED = {str(path.relative_to(_ROOT)): path for path in sorted(_ROOT.rglob("index.html"))}
"""The pages that are committed, as they are."""


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
    """The open page; `page.requests` lists the addresses it asked for, `page.messages` what it
    wrote to the console."""
    context, opened = open_page(chromium, pages[request.param], size)
    yield opened
    context.close()


@pytest.fixture
def spoiled(chromium: Any, pages: dict[str, Path]) -> Iterator[Any]:
    """A page of its own, for a test to spoil: checks that cannot fail check nothing."""
    context, opened = open_page(chromium, pages["full"], SIZES["telephone"])
    yield opened
    context.close()


_OVERLAPS = """() => {
  const shared = (a, b) => Math.min(
    Math.min(a.right, b.right) - Math.max(a.left, b.left),
    Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top));
  const found = [];
  for (const svg of document.querySelectorAll("figure svg")) {
    const texts = [...svg.querySelectorAll("text")];
    const drawn = [...svg.querySelectorAll("use, path")].filter(e => !e.closest("defs")
      && /var\\(--(source|measured|posterior)/.test(e.getAttribute("style"))
      && !/dasharray|opacity: 0.16/.test(e.getAttribute("style")));  // not: printed line, range
    const boxes = texts.map(t => t.getBoundingClientRect());
    texts.forEach((text, i) => {
      for (let j = i + 1; j < texts.length; j++)
        if (shared(boxes[i], boxes[j]) > 1)
          found.push(`${svg.ariaLabel}: "${text.textContent}" and "${texts[j].textContent}"`);
      for (const mark of drawn)
        if (shared(boxes[i], mark.getBoundingClientRect()) > 1)
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
      if (shared(places[i], places[j]) > 1 && !blocks[i].contains(blocks[j]))
        found.push(`${blocks[i].textContent.slice(0, 40)} | ${blocks[j].textContent.slice(0, 40)}`);
  for (const cell of document.querySelectorAll("td, th"))
    if (cell.scrollWidth > cell.clientWidth + 1) found.push(`cell: ${cell.textContent}`);
  return found;
}"""


def test_nothing_overlaps(page: Any) -> None:
    assert page.evaluate(_OVERLAPS) == []


_MOVE = """selector => {  // the first text of the first figure on to something in that figure
  const figure = document.querySelector("figure"), text = figure.querySelector("text");
  const to = [...figure.querySelectorAll(selector)].at(-1).getBoundingClientRect();
  const from = text.getBoundingClientRect();
  text.style.translate = `${to.left - from.left}px ${to.top - from.top}px`; }"""


@pytest.mark.parametrize(
    ("selector", "what"),
    [("text", '" and "'), ("use", "and a mark"), ("figcaption", "leaves the figure")],
)
def test_the_overlap_check_finds_an_overlap(spoiled: Any, selector: str, what: str) -> None:
    spoiled.evaluate(_MOVE, selector)
    assert any(what in found for found in spoiled.evaluate(_OVERLAPS))


_TEXT_SIZES = """() => {
  const holders = [...document.querySelectorAll("main *")].filter(
    e => [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()));
  return holders.map(e => {
    const svg = e.ownerSVGElement;
    const scale = svg ? svg.getBoundingClientRect().width / svg.viewBox.baseVal.width : 1;
    return [parseFloat(getComputedStyle(e).fontSize) * scale, e.textContent]; }); }"""


def test_every_text_is_legible(page: Any) -> None:
    sizes = page.evaluate(_TEXT_SIZES)
    assert len(sizes) > 300
    assert min(sizes)[0] >= SMALLEST_TEXT_PX


def test_the_legibility_check_finds_a_figure_that_is_shrunk(spoiled: Any) -> None:
    spoiled.evaluate("document.querySelector('figure svg').style.width = '250px'")
    assert min(spoiled.evaluate(_TEXT_SIZES))[0] < SMALLEST_TEXT_PX


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
    asked = [url for url in page.requests if not url.startswith("data:")]
    assert asked == [page.url]
    assert page.messages == []


def test_the_request_check_sees_a_request(spoiled: Any) -> None:
    spoiled.evaluate(
        "document.body.append(Object.assign(new Image(), {src: 'http://127.0.0.1:9'}))"
    )
    spoiled.wait_for_timeout(200)
    assert "http://127.0.0.1:9/" in spoiled.requests
    assert spoiled.messages


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_in_both_colour_schemes(
    chromium: Any, pages: dict[str, Path], scheme: str
) -> None:
    context = chromium.new_context(color_scheme=scheme)
    opened = context.new_page()
    opened.goto(pages["full"].as_uri())
    paper = opened.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(255, 255, 255)") == (scheme == "light")
    assert min(opened.evaluate(CONTRASTS))[0] >= LEAST_CONTRAST
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
