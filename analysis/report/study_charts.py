"""Charts of a study's page, as SVG that takes the page's font and colours.

The functions take numbers that are ready to draw, and compute nothing but positions. What is drawn
of an agent carries its number and arm (`data-agent`, `data-arm`), so that a page can react to it.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from misgen.analysis.rates import FloatArray

WIDTH = 340
"""Of dose charts [CSS px]."""
SMALL = (168, 112)
"""Of a panel of learning curves, width and height [CSS px]."""
NEAREST = 0.03
"""Dots whose values differ by less lie above each other, in shares of an arm chart's width."""
_BAR, _ROOM, _LANES_PX, _LANE_PX = 13, 9, 46, 9
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
        f'<svg class="shares" width="100%" height="{height:.0f}" role="group" '
        f'aria-label="{html.escape(f"{dots.arm}: {said}; p_gm of each agent")}">',
        *(f'<line class="grid" x1="{x}%" x2="{x}%" y1="0" y2="100%"/>' for x in range(0, 101, 25)),
    ]
    start = 0.0
    for name, share in shares:
        if share > 0:
            parts.append(
                f'<rect class="{name}" x="{100 * start:.2f}%" width="{100 * share:.2f}%" '
                f'height="{_BAR}"/>'
            )
        start += share if share == share else 0
    if dots.low == dots.low:
        ends = f'x1="{100 * dots.low:.2f}%" x2="{100 * dots.high:.2f}%"'
        middle = _BAR / 2
        for kind in ("halo", "interval"):
            parts.append(f'<line class="{kind}" {ends} y1="{middle}" y2="{middle}"/>')
    for agent, value, lane in zip(dots.agents, dots.values, lanes, strict=True):
        y = _BAR + _ROOM + pitch * lane
        parts.append(_dot(dots.arm, agent, value, f"{100 * value:.2f}%", f"{y:.1f}"))
    return "".join([*parts, "</svg>"])


def _lanes(values: FloatArray) -> list[int]:
    """A lane for each dot, from the top, so that dots of one lane do not overlap."""
    lanes, last = [0] * len(values), list[float]()
    for place in np.argsort(values, kind="stable"):
        free = (i for i, end in enumerate(last) if values[place] - end >= NEAREST)
        lanes[place] = next(free, len(last))
        last[lanes[place] : lanes[place] + 1] = [float(values[place])]
    return lanes


def _dot(arm: str, agent: int, value: float, x: str, y: str) -> str:
    label = html.escape(f"{arm}, agent {agent}: p_gm {100 * value:.1f} %")
    return (
        f'<circle class="dot" cx="{x}" cy="{y}" r="4.5" data-agent="{agent}" '
        f'data-arm="{html.escape(arm)}"><title>{label}</title></circle>'
    )


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
    axis = _TOP + _HEIGHT
    height = axis + 8 + 15 * (len(columns[0].labels) + 1) + 15 * (len(names) - 1)
    step = (WIDTH - _LEFT - _RIGHT) / len(columns)

    def x(position: float) -> float:
        return _LEFT + step * (position + 0.5)

    parts = [
        f'<svg class="along" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'role="group" aria-label="{html.escape(alt)}">',
        *_percent_axis(_LEFT, WIDTH - _RIGHT, 25),
        *_half(half, x),
    ]
    joined = " ".join(
        f"{x(i):.1f},{_y(c.dots.mean):.1f}"
        for i, c in enumerate(columns)
        if not c.is_apart and c.dots.mean == c.dots.mean
    )
    parts.append(f'<polyline class="joined" points="{joined}"/>')
    for i, column in enumerate(columns):
        parts += _column(column, x(i), step, axis)
    for line, name in enumerate(names):
        y = axis + 19 + 15 * (len(columns[0].labels) + line)
        parts.append(f'<text x="{(_LEFT + WIDTH - _RIGHT) / 2}" y="{y}" text-anchor="middle">'
                     f"{html.escape(name)}</text>")  # fmt: skip
    return "".join([*parts, "</svg>"])


def _half(half: tuple[float, float, float], x: object) -> Iterator[str]:
    value, low, high = (x(place) if place == place else math.nan for place in half)  # type: ignore[operator]
    if low == low:
        yield (
            f'<rect class="half" x="{low:.1f}" y="{_TOP}" width="{high - low:.1f}" '
            f'height="{_HEIGHT}"/>'
        )
    if value == value:
        yield (
            f'<line class="half" x1="{value:.1f}" x2="{value:.1f}" y1="{_TOP}" '
            f'y2="{_TOP + _HEIGHT}"/>'
        )


def _column(column: DoseColumn, x: float, step: float, axis: float) -> Iterator[str]:
    dots = column.dots
    if dots.low == dots.low:
        yield (
            f'<line class="interval" x1="{x:.1f}" x2="{x:.1f}" y1="{_y(dots.low):.1f}" '
            f'y2="{_y(dots.high):.1f}"/>'
        )
    if dots.mean == dots.mean:
        yield f'<circle class="mean" cx="{x:.1f}" cy="{_y(dots.mean):.1f}" r="3.5"/>'
    lanes = _lanes(dots.values)
    pitch = min(6.0, step * 0.4 / (max(lanes, default=0) + 1))
    for agent, value, lane in zip(dots.agents, dots.values, lanes, strict=True):
        yield _dot(dots.arm, agent, value, f"{x - step * 0.25 - pitch * lane:.1f}",
                   f"{_y(value):.1f}")  # fmt: skip
    for line, label in enumerate(column.labels):
        yield (
            f'<text x="{x:.1f}" y="{axis + 16 + 15 * line}" text-anchor="middle">'
            f"{html.escape(label)}</text>"
        )


def _y(value: float) -> float:
    return _TOP + _HEIGHT * (1 - value)


def _percent_axis(left: float, right: float, step: int) -> Iterator[str]:
    for tick in range(0, 101, step):
        y = _y(tick / 100)
        yield f'<line class="grid" x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{tick}</text>'


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

    parts = [
        f'<svg class="curves" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" aria-label="{html.escape(alt)}">'
    ]
    for tick in (0, 50, 100):
        y = bottom - (bottom - top) * tick / 100
        parts.append(f'<line class="grid" x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{left - 4}" y="{y + 4:.1f}" text-anchor="end">{tick}</text>')
    if target == target:
        y = bottom - (bottom - top) * target
        parts.append(f'<line class="target" x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
    for agent, steps, rates in curves.agents:
        parts.append(
            f'<polyline class="agent" data-agent="{agent}" data-arm="{html.escape(curves.arm)}" '
            f'points="{points(steps, rates)}"/>'
        )
    parts.append(f'<polyline class="mean" points="{points(*curves.mean)}"/>')
    for text, x, anchor in (("0", left, "start"), (_steps(most_steps), right, "end")):
        parts.append(f'<text x="{x}" y="{height - 5}" text-anchor="{anchor}">{text}</text>')
    return "".join([*parts, "</svg>"])


def _steps(value: float) -> str:
    return f"{value / 1e6:.3g} M steps" if value >= 1e6 else f"{value / 1e3:.3g} k steps"
