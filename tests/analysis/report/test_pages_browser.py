"""The pages in headless Chromium: no overlap, legible on a desk and on a telephone, no request;
and the panel of the answer page says what Python says."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.analysis.calibration.calibrated_folder import write_folder
from tests.analysis.report.browser import CONTRASTS, LEAST_CONTRAST, SIZES, open_page

from misgen.analysis.calibration.handoff import read_calibration
from misgen.analysis.report.pages import LAB, models_of, write_report
from misgen.analysis.risk.draws import Summary

pytestmark = pytest.mark.browser

SMALLEST_TEXT_PX = 10
FOLDERS: dict[str, dict[str, Any]] = {
    "full": {},
    "two agents": {"agents": 2},
    "no reference arm": {"reference": False, "modifiers": False},
}
LAB_OF_FULL = "lab page of full"
_ROOT = Path(__file__).parents[2] / "analysis" / "published"
PUBLISHED = {
    str(path.relative_to(_ROOT)): path
    for name in ("index.html", LAB)
    for path in sorted(_ROOT.rglob(name))
}
"""The pages that are committed, as they are."""


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("pages")
    made = {
        name: write_report(write_folder(root / name, **options))
        for name, options in FOLDERS.items()
    }
    return made | {LAB_OF_FULL: made["full"].with_name(LAB)} | PUBLISHED


@pytest.fixture(scope="module", params=SIZES)
def size(request: pytest.FixtureRequest) -> tuple[int, int]:
    return SIZES[request.param]


@pytest.fixture(scope="module", params=[*FOLDERS, LAB_OF_FULL, *PUBLISHED])
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
  document.querySelectorAll("details").forEach(each => { each.open = true; });
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
    assert len(sizes) > 100
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


def test_the_answer_is_on_the_first_screen(
    chromium: Any, pages: dict[str, Path], size: tuple[int, int]
) -> None:
    context, opened = open_page(chromium, pages["full"], size)
    last = "[...document.querySelectorAll('.sentences p')].at(-1).getBoundingClientRect().bottom"
    assert opened.evaluate(last) <= size[1]
    if size == SIZES["desk"]:
        assert opened.evaluate("document.documentElement.scrollHeight") <= 3 * 900
    context.close()


def test_the_answer_prints_on_two_sheets(chromium: Any, pages: dict[str, Path]) -> None:
    context, opened = open_page(chromium, pages["full"], SIZES["desk"])
    printed = opened.pdf(format="A4")
    assert len(re.findall(rb"/Type\s*/Page[^s]", printed)) == 2
    context.close()


@pytest.mark.parametrize("data", ["none", "combine", "only"])
@pytest.mark.parametrize(
    "asked",
    [
        {"domain": "autonomous_agents"},
        {"domain": "game_ai", "period": "2028-2030", "diversity": "narrow"},
        {"shift": "extreme", "spec": "low", "method": "unknown"},
        {"shift": "moderate", "diversity": "narrow", "interventions": ["ai_control_protocols"]},
        {"domain": "ai_assistants", "interventions": ["diverse_adversarial_training"]},
    ],
)
def test_the_panel_says_what_python_says(
    chromium: Any, pages: dict[str, Path], data: str, asked: dict[str, Any]
) -> None:
    model = models_of(read_calibration(pages["full"].parent))[data]
    expected = model.predict(**asked)
    context, opened = open_page(chromium, pages["full"], SIZES["desk"])
    domain = asked.get("domain")
    levels = {name: asked.get(name, "reference") for name in model.priors.modifiers}
    shifts = model.priors.domains[domain].shift_types if domain else [asked["shift"]]
    found = opened.evaluate(
        "q => whatIf(q)",
        {"data": data, "domain": domain, "where": domain or asked["shift"], "shifts": [*shifts],
         "levels": levels, "period": asked.get("period", ""),
         "acts": asked.get("interventions", [])},
    )  # fmt: skip
    for name, rate in (("harmful", expected.p_harmful_gm), ("gm", expected.p_gm)):
        for key, value in vars(Summary.of(rate)).items():
            assert found[name][key] == pytest.approx(value, abs=2e-4), (name, key)
    assert found["clipped"] == pytest.approx(expected.clipped_share, abs=2e-3)
    context.close()


def test_the_panel_is_used_with_the_keyboard_alone(chromium: Any, pages: dict[str, Path]) -> None:
    context, opened = open_page(chromium, pages["full"], SIZES["desk"])
    opened.select_option("select[name=where]", "domain:game_ai")
    opened.select_option("select[name=data]", "combine")
    opened.select_option("select[name=diversity]", "narrow")
    cells = opened.locator("#what-if-answer tbody td").all_inner_texts()
    assert len(cells) == 6 and cells[2].startswith("+") and "times\N{NO-BREAK SPACE}1." in cells[2]
    notes = opened.locator(".notes").inner_text()
    assert "an assumption that no data support" in notes
    assert "Measured here: diversity narrow." in notes
    warned = opened.locator(".warnings li").all_text_contents()
    assert warned == ["moderate p_goal_fail: held.", "diversity narrow: held."]
    assert "P(harm | fails) and the growth over periods are the source's." in notes
    assert "No agents enter type 1: the source's numbers stay." in notes
    command = opened.locator(".command").text_content()
    assert "--domain game_ai --diversity narrow" in command
    assert "--data combine --toy-rates" in command
    context.close()


def test_one_lever_is_pulled_once(chromium: Any, pages: dict[str, Path]) -> None:
    """As `RiskModel.predict` refuses it."""
    context, opened = open_page(chromium, pages["full"], SIZES["desk"])
    opened.select_option("select[name=diversity]", "diverse")
    opened.check("input[value=diverse_adversarial_training]")
    why = opened.locator("#what-if-why")
    assert "are one lever" in why.inner_text() and opened.locator("#what-if-answer").is_hidden()
    assert opened.locator(".panel .same").is_hidden()
    opened.select_option("select[name=diversity]", "narrow")  # what the intervention changes
    assert why.inner_text() == "" and opened.locator("#what-if-answer").is_visible()
    opened.select_option("select[name=period]", "2024-2025")
    opened.select_option("select[name=capability]", "superhuman")
    opened.select_option("select[name=period]", "2028-2030")
    assert opened.locator("select[name=capability]").is_disabled()
    assert opened.locator("select[name=capability]").input_value() == "reference"
    label = opened.locator("label", has=opened.locator("select[name=capability]"))
    assert "capability (set by the period)" in label.inner_text()
    context.close()


def test_an_intervention_without_a_number_changes_nothing_and_says_so(
    chromium: Any, pages: dict[str, Path]
) -> None:
    context, opened = open_page(chromium, pages["full"], SIZES["desk"])
    opened.check("input[value=anomaly_monitoring]")
    cells = opened.locator("#what-if-answer tbody td").all_inner_texts()
    assert cells[2] == cells[5] == "none: no number in the source"
    assert "no effect here: anomaly monitoring." in opened.locator(".notes").inner_text()
    assert "is cut there" in opened.locator(".cut").inner_text()
    context.close()


def test_the_answer_stays_in_sight_while_interventions_are_ticked(
    chromium: Any, pages: dict[str, Path]
) -> None:
    context, opened = open_page(chromium, pages["full"], SIZES["telephone"])
    opened.check("input[value=ai_control_protocols]")
    place = opened.locator("#what-if-answer tbody").bounding_box()
    assert 0 <= place["y"] and place["y"] + place["height"] < SIZES["telephone"][1]
    context.close()


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
