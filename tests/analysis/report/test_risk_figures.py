"""The figures are deterministic SVG with their text as text, and marks stand where they should."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from misgen.analysis.report.figures import (
    COLOURS,
    WIDTH,
    Group,
    Line,
    Ridge,
    Scale,
    density_chart,
    dose_chart,
    interval_chart,
    tornado_chart,
)

SVG = "{http://www.w3.org/2000/svg}"
PERCENT = Scale("p_gm [%]", percent=True)
MEASURED = Line("C2", "measured", 0.5, 0.3, 0.6, np.array([0.4, 0.6, np.nan]))
GROUP = Group("2 moderate", [Line("source", "source", 0.1), MEASURED], printed=0.1)
RIDGE = Ridge("2 moderate", np.linspace(0, 1, 5), np.ones(4), np.array([1, 0.5, 0, 0]), 0.1)
DOSES = (Line("0", "measured", 0.5), Line("1", "measured", 0.1))
BAR = ("capability", 0.2, 0.9)


def intervals(name: str = "one", groups: Any = (GROUP,)) -> str:
    return interval_chart(name, groups, PERCENT, "two rows")


def densities(name: str = "one", ridges: Any = (RIDGE,)) -> str:
    return density_chart(name, ridges, PERCENT, "two rows")


def doses(name: str = "one", found: Any = DOSES) -> str:
    return dose_chart(name, found, ("d", "p_gm"), "two rows", 0.5)


def tornado(name: str = "one", bars: Any = (BAR,), kind: str = "posterior") -> str:
    return tornado_chart(name, bars, Scale("p", reference=0.4), "two rows", kind)


CHARTS = pytest.mark.parametrize("chart", [intervals, densities, doses, tornado])
Chart = Callable[..., str]


@CHARTS
def test_equal_arguments_give_equal_bytes(chart: Chart) -> None:
    assert chart() == chart()


@CHARTS
def test_it_is_one_svg_element_of_the_common_width(chart: Chart) -> None:
    root = ET.fromstring(chart())
    assert root.tag == f"{SVG}svg"
    assert float(root.attrib["width"]) == WIDTH
    assert root.attrib["viewBox"] == f"0 0 {WIDTH} {root.attrib['height']}"
    assert (root.attrib["role"], root.attrib["aria-label"]) == ("img", "two rows")


@CHARTS
def test_two_figures_of_a_page_share_no_id(chart: Chart) -> None:
    first, second = (set(re.findall(r'\bid="([^"]+)"', chart(name))) for name in ("a", "b"))
    assert first and not first & second
    targets = set(re.findall(r'(?:url\(|href=")#([^")]+)', chart("a")))
    assert targets <= first


@CHARTS
def test_colours_and_font_are_the_pages(chart: Chart) -> None:
    text = chart()
    known = "|".join(COLOURS.values())
    assert not re.sub(rf"var\(--\w+, ({known})\)", "", text).count("#1")
    assert "DejaVu" not in text and "font-family: var(--font, sans-serif)" in text
    assert "<style" not in text and "<metadata" not in text


@CHARTS
def test_nothing_to_draw_is_an_error(chart: Chart) -> None:
    with pytest.raises(ValueError, match="needs at least one"):
        chart("one", ())


def words(svg: str) -> dict[str, float]:
    """Text -> its horizontal place."""
    texts = ET.fromstring(svg).iter(f"{SVG}text")
    return {text.text: float(text.get("x", "nan")) for text in texts if text.text}


def marks(svg: str, variable: str) -> list[float]:
    """Horizontal places of the markers filled with a colour of the page."""
    return [
        float(use.attrib["x"])
        for use in ET.fromstring(svg).iter(f"{SVG}use")
        if f"fill: var(--{variable}," in use.attrib["style"]
    ]


def test_marks_stand_at_their_values() -> None:
    svg = intervals()
    zero, whole = words(svg)["0"], words(svg)["100"]
    dots_and_mean = [(x - zero) / (whole - zero) for x in marks(svg, "measured")]
    assert dots_and_mean == pytest.approx([0.4, 0.6, 0.5])
    (source,) = marks(svg, "source")
    assert (source - zero) / (whole - zero) == pytest.approx(0.1)


def test_a_logarithmic_axis_has_1_midway_between_its_inverse_ends() -> None:
    scale = Scale("risk ratio", 0.1, 10, log=True, reference=1)
    svg = interval_chart("one", [Group("g", [Line("x", "measured", 1.0)])], scale, "")
    places = words(svg)
    assert places["1"] == pytest.approx((places["0.1"] + places["10"]) / 2)
    assert marks(svg, "measured") == pytest.approx([places["1"]])


def test_a_hollow_mark_is_an_outline() -> None:
    hollow = Line("C1", "measured", 0.5, hollow=True)
    svg = intervals(groups=[Group("1 superficial", [hollow])])
    assert marks(svg, "measured") == []
    assert "stroke: var(--measured," in svg


def test_words_stand_in_place_of_a_mark_that_is_missing() -> None:
    line = Line("posterior", "posterior", np.nan, note="prior kept")
    svg = intervals(groups=[Group("1 superficial", [line])])
    assert "prior kept" in words(svg)
    assert marks(svg, "posterior") == []


@pytest.mark.parametrize(("printed", "is_left"), [(0.9, True), (0.1, False)])
def test_words_keep_away_from_the_printed_number(printed: float, is_left: bool) -> None:
    line = Line("posterior", "posterior", np.nan, note="no update")
    places = words(intervals(groups=[Group("1 superficial", [line], printed)]))
    middle = (places["0"] + places["100"]) / 2
    assert (places["no update"] < middle) == is_left


@pytest.mark.parametrize("kind", ["source", "posterior"])
def test_bars_have_the_colour_of_their_kind(kind: str) -> None:
    colours = set(re.findall(r"fill: var\(--(\w+),", tornado(kind=kind)))
    assert colours & {"source", "measured", "posterior"} == {kind}


def test_long_labels_are_wrapped_and_the_rows_grow() -> None:
    short = ET.fromstring(intervals(groups=[Group("g", [Line("short", "source", 0.1)] * 2)]))
    label = "d = 0 against d = 0.1, pooled over eight cells"
    svg = intervals(groups=[Group("g", [Line(label, "source", 0.1)] * 2)])
    assert float(ET.fromstring(svg).attrib["height"]) > float(short.attrib["height"])
    assert max(map(len, words(svg))) < 25


def test_no_dot_is_drawn_for_an_agent_without_a_rate() -> None:
    dose = Line("0", "measured", 0.5, 0.2, 0.8, np.array([0.4, np.nan, 0.6]))
    assert len(marks(doses(found=[dose]), "measured")) == 2 + 1  # the mean


def test_a_ridge_without_data_has_no_filled_distribution() -> None:
    before_alone = Ridge("1", RIDGE.edges, RIDGE.before, None)
    assert "fill: var(--posterior," in densities()
    assert "fill: var(--posterior," not in densities(ridges=[before_alone])
