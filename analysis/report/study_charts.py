"""Charts of a study's page, as SVG that takes the page's font and colours.

The functions take numbers that are ready to draw, and compute nothing but positions. What is drawn
of an agent carries its number and arm (`data-agent`, `data-arm`), so that a page can react to it.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from misgen.analysis.rates import FloatArray

WIDTH = 340
"""Of dose charts [CSS px]."""
SMALL = (168, 112)
"""Of a panel of learning curves, width and height [CSS px]."""
NEAREST = 0.03
"""Dots whose values differ by less lie above each other, in shares of an arm chart's width."""
_BAR, _ROOM, _LANES_PX, _LANE_PX = 13, 9, 46, 9.0
_LEFT, _RIGHT, _TOP, _HEIGHT = 34, 8, 8, 170


@dataclass(frozen=True)
class AgentDots:
    """An arm's mean with its interval (NaN: none), and each agent's number and value [k]."""

    arm: str
    mean: float
    low: float
    high: float
    agents: Sequence[int]
    values: FloatArray


def shares_chart(shares: Sequence[tuple[str, float]], dots: AgentDots) -> str:
    """SVG as wide as its place: a bar of (class, share), from the left, whose first share ends at
    the mean of the dots below it; around that end its interval."""
    lanes = _lanes(dots.values)
    pitch = min(_LANE_PX, _LANES_PX / max(1, len({*lanes})))
    height = _BAR + _ROOM + pitch * (max(lanes, default=0) + 1)
    said = ", ".join(f"{name} {100 * share:.1f} %" for name, share in shares)
    parts = [
        _tag("line", class_="grid", x1=f"{x}%", x2=f"{x}%", y1="0", y2="100%")
        for x in range(0, 101, 25)
    ]
    start = 0.0
    for name, share in shares:
        if share > 0:
            x, width = (f"{100 * value:.2f}%" for value in (start, share))
            parts.append(_tag("rect", class_=name, x=x, width=width, height=_BAR))
        start += share if share == share else 0
    if dots.low == dots.low:
        x1, x2 = (f"{100 * end:.2f}%" for end in (dots.low, dots.high))
        parts += [
            _tag("line", class_=kind, x1=x1, x2=x2, y1=_BAR / 2, y2=_BAR / 2)
            for kind in ("halo", "interval")
        ]
    for agent, value, lane in zip(dots.agents, dots.values, lanes, strict=True):
        y = _BAR + _ROOM + pitch * lane
        parts.append(_dot(dots.arm, agent, value, f"{100 * value:.2f}%", y))
    size = {"width": "100%", "height": f"{height:.0f}"}
    return _svg("shares", parts, f"{dots.arm}: {said}; p_gm of each agent", "group", size)


def _lanes(values: FloatArray) -> list[int]:
    """A lane for each dot, from the top, so that dots of one lane do not overlap."""
    lanes, last = [0] * len(values), list[float]()
    for place in np.argsort(values, kind="stable"):
        free = (i for i, end in enumerate(last) if values[place] - end >= NEAREST)
        lanes[place] = next(free, len(last))
        last[lanes[place] : lanes[place] + 1] = [float(values[place])]
    return lanes


@dataclass(frozen=True)
class DoseColumn:
    """A column of a dose chart: labels below it, one a line, and an arm's dots above them.

    is_apart: of an arm that differs in more than the dose.
    """

    labels: Sequence[str]
    dots: AgentDots
    is_apart: bool = False


def along_chart(
    columns: Sequence[DoseColumn],
    names: Sequence[str],
    alt: str,
    half: tuple[float, float, float] = (math.nan,) * 3,
) -> str:
    """SVG: p_gm in percent, columns at equal distances, means joined by a line.

    names: of the lines of labels. half: where half of the effect is reached and its interval, as
    positions among the columns (1.5: midway between the second and the third); NaN: not drawn.
    """
    axis, lines = _TOP + _HEIGHT, len(columns[0].labels)
    step = (WIDTH - _LEFT - _RIGHT) / len(columns)
    places = [_LEFT + step * (i + 0.5) for i in range(len(columns))]
    means = [
        f"{x:.1f},{_y(column.dots.mean):.1f}"
        for x, column in zip(places, columns, strict=True)
        if not column.is_apart and column.dots.mean == column.dots.mean
    ]
    parts = [
        *_percent_axis(range(0, 101, 25), (_LEFT, WIDTH - _RIGHT), (axis, _TOP), gap=6),
        *_half(*(_LEFT + step * (place + 0.5) for place in half)),
        _tag("polyline", class_="joined", points=" ".join(means)),
    ]
    for x, column in zip(places, columns, strict=True):
        parts += _column(column, x, step, axis)
    middle = (_LEFT + WIDTH - _RIGHT) / 2
    parts += [_text(middle, axis + 19 + 15 * (lines + i), name) for i, name in enumerate(names)]
    height = axis + 8 + 15 * (lines + 1) + 15 * (len(names) - 1)
    return _svg("along", parts, alt, "group", _box(WIDTH, height))


def _half(value: float, low: float, high: float) -> Iterator[str]:
    if low == low:
        yield _tag("rect", class_="half", x=low, y=_TOP, width=high - low, height=_HEIGHT)
    if value == value:
        yield _tag("line", class_="half", x1=value, x2=value, y1=_TOP, y2=_TOP + _HEIGHT)


def _column(column: DoseColumn, x: float, step: float, axis: int) -> Iterator[str]:
    dots = column.dots
    if dots.low == dots.low:
        yield _tag("line", class_="interval", x1=x, x2=x, y1=_y(dots.low), y2=_y(dots.high))
    if dots.mean == dots.mean:
        yield _tag("circle", class_="mean", cx=x, cy=_y(dots.mean), r="3.5")
    lanes = _lanes(dots.values)
    pitch = min(6.0, step * 0.4 / (max(lanes, default=0) + 1))
    for agent, value, lane in zip(dots.agents, dots.values, lanes, strict=True):
        yield _dot(dots.arm, agent, value, x - step * 0.25 - pitch * lane, _y(value))
    for line, label in enumerate(column.labels):
        yield _text(x, axis + 16 + 15 * line, label)


def _y(value: float) -> float:
    return _TOP + _HEIGHT * (1 - value)


@dataclass(frozen=True)
class Curves:
    """Learning curves of an arm: (agent, steps, success rates) of each, and their mean."""

    arm: str
    agents: Sequence[tuple[int, FloatArray, FloatArray]]
    mean: tuple[FloatArray, FloatArray]


def curves_chart(curves: Curves, most_steps: float, target: float, alt: str) -> str:
    """SVG: a thin line per agent, a thick one for the mean, a dashed one at `target`.

    most_steps: at the right edge, so that the panels of a cell can be compared.
    """
    width, height = SMALL
    left, top, right, bottom = 28, 6, width - 8, height - 20

    def points(steps: FloatArray, rates: FloatArray) -> str:
        x = left + (right - left) * np.asarray(steps) / most_steps
        y = bottom - (bottom - top) * np.asarray(rates)
        return " ".join(f"{a:.0f},{b:.0f}" for a, b in zip(x, y, strict=True) if b == b)

    parts = [*_percent_axis((0, 50, 100), (left, right), (bottom, top), gap=4)]
    if target == target:
        y = bottom - (bottom - top) * target
        parts.append(_tag("line", class_="target", x1=left, x2=right, y1=y, y2=y))
    parts += [
        _tag("polyline", class_="agent", data_agent=agent, data_arm=curves.arm,
             points=points(steps, rates))
        for agent, steps, rates in curves.agents
    ]  # fmt: skip
    parts.append(_tag("polyline", class_="mean", points=points(*curves.mean)))
    is_many = most_steps >= 1e6
    end = f"{most_steps / 1e6:.3g} M steps" if is_many else f"{most_steps / 1e3:.3g} k steps"
    parts += [_text(left, height - 5, "0", "start"), _text(right, height - 5, end, "end")]
    return _svg("curves", parts, alt, "img", _box(width, height))


# --- What they share ------------------------------------------------------------------------------


def _percent_axis(
    ticks: Iterable[int], x: tuple[int, int], y: tuple[int, int], gap: int
) -> Iterator[str]:
    """Grid lines from the left to the right with their labels, 0 % at the first y."""
    for tick in ticks:
        at = y[0] + (y[1] - y[0]) * tick / 100
        yield _tag("line", class_="grid", x1=x[0], x2=x[1], y1=at, y2=at)
        yield _text(x[0] - gap, at + 4, str(tick), "end")


def _dot(arm: str, agent: int, value: float, x: str | float, y: float) -> str:
    title = html.escape(f"{arm}, agent {agent}: p_gm {100 * value:.1f} %")
    return _tag(
        "circle", f"<title>{title}</title>",
        class_="dot", cx=x, cy=y, r="4.5", data_agent=agent, data_arm=arm,
    )  # fmt: skip


def _text(x: float, y: float, text: str, anchor: str = "middle") -> str:
    return _tag("text", html.escape(text), x=x, y=y, text_anchor=anchor)


def _box(width: int, height: int) -> dict[str, object]:
    return {"viewBox": f"0 0 {width} {height}", "width": width, "height": height}


def _svg(kind: str, parts: Iterable[str], alt: str, role: str, size: Mapping[str, object]) -> str:
    return _tag("svg", "".join(parts), class_=kind, **size, role=role, aria_label=alt)


def _tag(name: str, inside: str = "", **attributes: object) -> str:
    """An element; attributes with `-` for `_`, numbers that are not whole with one digit."""
    texts = {
        key.strip("_").replace("_", "-"): f"{value:.1f}" if isinstance(value, float) else str(value)
        for key, value in attributes.items()
    }
    said = "".join(f' {key}="{html.escape(text)}"' for key, text in texts.items())
    return f"<{name}{said}>{inside}</{name}>" if inside else f"<{name}{said}/>"
