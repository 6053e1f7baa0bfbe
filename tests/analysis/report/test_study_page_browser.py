"""The page of a study in headless Chromium: on a desk and on a telephone, by mouse and keyboard."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.analysis.report.browser import CONTRASTS, LEAST_CONTRAST, SIZES, open_page
from tests.analysis.simulated_folder import write_folder
from tests.analysis.simulated_paths import RULE, write_paths

from misgen.analysis.report.study_page import comparison_of, write_page
from misgen.analysis.study import read_study_folder

pytestmark = pytest.mark.browser

TRUTH = {d: (0.9, 0.8 - 0.7 * d, 0.5) for d in (0.0, 0.005, 0.01, 0.02, 0.05, 0.1, 0.3, 1.0)}
ARMS = [f"d={d:g}" for d in TRUTH]
CELLS = (("coinrun", "C2"), ("keys_and_chests", "K3"))
AGENTS = 10


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_folder(tmp_path_factory.mktemp("study"), TRUTH, agents=AGENTS, cells=CELLS)
    write_paths(folder, ARMS, agents=AGENTS, cells=[code for _, code in CELLS])
    return write_page(comparison_of(read_study_folder(folder)), folder)


@pytest.fixture(params=SIZES)
def page(request: pytest.FixtureRequest, chromium: Any, path: Path) -> Iterator[Any]:
    context, opened = open_page(chromium, path, SIZES[request.param])
    opened.size = SIZES[request.param]
    yield opened
    context.close()


def dot(page: Any, cell: str, arm: str, agent: int) -> Any:
    chart = f'section[data-cell="{cell}"] svg.shares'
    return page.locator(f'{chart} .dot[data-arm="{arm}"][data-agent="{agent}"]')


def shown(page: Any, cell: str) -> tuple[str, list[str]]:
    """The number in the browser of a cell, and what its pictures are called."""
    place = page.locator(f'section[data-cell="{cell}"] .browser')
    boards = place.locator(".boards svg").evaluate_all("all => all.map(s => s.ariaLabel)")
    return place.locator("select").first.input_value(), boards


def expected(*arms: str) -> list[str]:
    words = {"00": "success", "10": "proxy", "01": "no success", "11": "neither"}
    steps = [1 + ARMS.index(arm) % 5 for arm in arms]
    return [
        f"{arm}, {variant}: {word} after {taken} step{'s' * (taken > 1)}"
        for arm, taken in zip(arms, steps, strict=True)
        for variant, word in words.items()
    ]


def test_it_is_as_wide_as_the_window_and_asks_for_nothing(page: Any) -> None:
    page.wait_for_load_state("networkidle")
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") == page.size[0]
    assert [url for url in page.requests if not url.startswith("data:")] == [page.url]
    assert page.messages == []


def test_the_first_screen_says_the_question_and_the_answer(page: Any) -> None:
    bottom = "(e) => document.querySelector(e).getBoundingClientRect().bottom"
    assert page.evaluate(bottom, ".short ul") <= page.size[1]


def test_choosing_a_dot_shows_the_ways_of_its_agent_beside_the_reference(page: Any) -> None:
    assert shown(page, "C2") == ("0", expected("d=0", "d=1"))
    dot(page, "C2", "d=0.02", 7).click()
    assert shown(page, "C2") == ("7", expected("d=0", "d=0.02"))
    assert shown(page, "K3") == ("0", expected("d=0", "d=1")), "another cell stays as it was"
    assert "chosen" in dot(page, "C2", "d=0.02", 7).get_attribute("class")
    row = page.locator('section[data-cell="C2"] .browser tbody tr').nth(1)
    title = dot(page, "C2", "d=0.02", 7).locator("title").text_content()
    assert title.split()[-2] in row.locator("td").all_text_contents(), "its p_gm"


def test_arms_and_levels_can_be_chosen(page: Any) -> None:
    place = page.locator('section[data-cell="C2"] .browser')
    place.get_by_label("d=0.3", exact=True).check()
    assert shown(page, "C2")[1] == expected("d=0", "d=0.3", "d=1")
    place.get_by_label("d=0", exact=True).uncheck()
    assert shown(page, "C2")[1] == expected("d=0.3", "d=1")
    place.get_by_label("level").select_option("1")
    assert "seed 1)" in place.get_by_label("level").locator("option:checked").text_content()
    assert RULE in place.text_content()


def test_the_keyboard_reaches_a_dot_and_chooses_it(page: Any) -> None:
    reached = page.locator('section[data-cell="C2"] svg.shares [tabindex="0"]')
    assert reached.count() == len(ARMS), "one dot of each arm is in the order of Tab"
    dot(page, "C2", "d=0.1", 0).focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    assert shown(page, "C2") == ("2", expected("d=0", "d=0.1"))
    assert page.evaluate("document.activeElement.getAttribute('aria-label')").startswith(
        "d=0.1, agent 2: p_gm "
    )


def test_tab_comes_to_the_first_dot(page: Any) -> None:
    page.locator('section[data-cell="C2"] summary').first.focus()
    page.keyboard.press("Shift+Tab")
    last = page.evaluate("[document.activeElement.dataset.arm, document.activeElement.tabIndex]")
    assert last == [ARMS[-1], 0]


def test_without_a_script_all_but_the_ways_can_be_read(chromium: Any, path: Path) -> None:
    context = chromium.new_context(java_script_enabled=False)
    opened = context.new_page()
    opened.goto(path.as_uri())
    text = opened.locator("body").inner_text()
    assert "differs (p " in text and "need JavaScript" in text and "half effect" in text
    assert "choose it to see its ways" not in text
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_in_both_colour_schemes(chromium: Any, path: Path, scheme: str) -> None:
    context = chromium.new_context(color_scheme=scheme)
    opened = context.new_page()
    opened.goto(path.as_uri())
    assert min(opened.evaluate(CONTRASTS))[0] >= LEAST_CONTRAST
    context.close()
