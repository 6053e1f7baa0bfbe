"""Figures of the calibrated risk model, as SVG to be put into a page.

The functions take numbers that are ready to draw, and compute nothing but positions. Each figure is
`WIDTH` CSS pixels wide, so that it is as legible on a telephone as on a desk; a page puts several
side by side where there is room. Text stays text and takes the page's font; colours are CSS
variables of the page (`--source`, `--measured`, ...) with a fallback. The bytes depend on the
arguments and the Matplotlib version only.
"""

import html
import io
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from misgen.analysis.rates import FloatArray

WIDTH = 340
"""Width of every figure [CSS px]."""
TEXT = 11
"""Size of all text [CSS px]."""

COLOURS: Mapping[str, str] = {
    "ink": "#1b1f24",
    "muted": "#5b6470",
    "faint": "#d5d9df",
    "source": "#b4540a",
    "measured": "#1d6296",
    "posterior": "#6b3fa0",
    "paper": "#fefefe",
}
"""CSS variable -> its colour where a page does not set it."""

_MARKERS = {"source": "D", "measured": "o", "posterior": "s"}
_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "misgen",
    "font.size": TEXT,
    "text.color": COLOURS["ink"],
    "axes.labelcolor": COLOURS["ink"],
    "axes.edgecolor": COLOURS["muted"],
    "axes.linewidth": 0.8,
    "xtick.color": COLOURS["ink"],
    "ytick.color": COLOURS["ink"],
}
_LABEL_CHARACTERS, _CHARACTER_PX, _LINE_PX = 19, 6.9, 14
_ROW_PX, _TITLE_PX, _AXIS_PX, _MARGIN_PX, _SLIM_PX = 20, 24, 42, 14, 13
_TALL_PX, _HEAD_PX = 500, 18
_LOG_TICKS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)


@dataclass(frozen=True)
class Line:
    """One row of a chart: a mean, its central 90 % interval (NaN: none), a dot per agent.

    kind: "source" (diamond), "measured" (circle) or "posterior" (square). note: words in place of
    the mark where value is NaN. hollow: the mark is an outline. band: a printed range, shaded
    behind the row. A row without a label belongs to the one above.
    """

    label: str
    kind: str
    value: float
    low: float = np.nan
    high: float = np.nan
    dots: FloatArray = field(default_factory=lambda: np.empty(0))
    note: str = ""
    hollow: bool = False
    band: tuple[float, float] | None = None


@dataclass(frozen=True)
class Group:
    """Rows under one title, with a line at a printed number and a band over a printed range."""

    title: str
    lines: Sequence[Line]
    printed: float = np.nan
    printed_range: tuple[float, float] | None = None


@dataclass(frozen=True)
class Scale:
    """The horizontal axis. step: between ticks. percent: ticks in percent of fractions.
    reference: where a line is drawn through the whole chart."""

    label: str
    low: float = 0.0
    high: float = 1.0
    step: float = 0.2
    log: bool = False
    percent: bool = False
    reference: float = np.nan


def interval_chart(name: str, groups: Sequence[Group], scale: Scale, alt: str) -> str:
    """SVG: rows of marks and intervals in titled groups.

    name: unique within the page, it starts the ids. alt: what a reader who cannot see it is told.
    Raises ValueError without a row.
    """
    lines = [line for group in groups for line in group.lines]
    if not lines:
        raise ValueError(f"a chart needs at least one row; {name!r} got none; leave the chart out")
    height = sum(map(_row_px, lines)) + _TITLE_PX * len(groups)
    top = _HEAD_PX * float(height > _TALL_PX)  # of a tall chart the ends are far apart
    with matplotlib.style.context(["default", _STYLE]):
        figure, axis = _canvas(height + top, _gutter_px([line.label for line in lines]))
        _horizontal(axis, scale)
        if top:
            for place, tick in zip(axis.get_xticks(), axis.get_xticklabels(), strict=True):
                axis.text(place, top / 2, tick.get_text(), ha="center", va="center")
        for group in groups:
            _title(figure, top + _TITLE_PX / 2 + 2, group.title)
            top += _TITLE_PX
            bottom = top + sum(map(_row_px, group.lines))
            _printed(axis, group, top, bottom)
            for line in group.lines:
                _shade(axis, line.band, top, top + _row_px(line))
                _row(figure, axis, line, top + _row_px(line) / 2, group.printed)
                top += _row_px(line)
        return _svg(figure, name, alt)


def _printed(axis: Axes, group: Group, top: float, bottom: float) -> None:
    _shade(axis, group.printed_range, top, bottom)
    if np.isfinite(group.printed):
        axis.plot([group.printed] * 2, [top, bottom], "--", lw=1, color=COLOURS["source"])


def _shade(axis: Axes, band: tuple[float, float] | None, top: float, bottom: float) -> None:
    if band is not None:
        axis.fill_betweenx([top, bottom], *band, color=COLOURS["source"], alpha=0.16, lw=0)


def _row(figure: Figure, axis: Axes, line: Line, y: float, printed: float) -> None:
    """A label, dots above the middle, the mean and its interval below it.

    printed: where a line runs through the row, which words keep away from.
    """
    _write(figure, 0, y, "\n".join(_wrapped(line.label)))
    if np.isnan(line.value):
        low, high = axis.get_xlim()
        x, side = (low, "left") if printed > (low + high) / 2 else (high, "right")
        style: dict[str, Any] = {"va": "center", "color": COLOURS["muted"], "bbox": _PAPER}
        axis.text(x, y, line.note, ha=side, **style)
        return
    colour, has_dots = COLOURS[line.kind], len(line.dots) > 0
    if has_dots:
        spread = 6 * (np.random.default_rng(0).random(len(line.dots)) - 0.5)
        dots: dict[str, Any] = {"color": colour, "alpha": 0.45, "clip_on": False}
        axis.plot(line.dots, y - 5 + spread, "o", ms=4.5, mew=0, **dots)
    middle = y + 6 * has_dots
    axis.plot([line.low, line.high], [middle] * 2, "-", lw=2, color=colour, solid_capstyle="butt")
    face = "none" if line.hollow else colour
    mark: dict[str, Any] = {"ms": 6, "mew": 1.3, "mec": colour, "mfc": face, "clip_on": False}
    axis.plot([line.value], [middle], _MARKERS[line.kind], **mark)


@dataclass(frozen=True)
class Ridge:
    """Heights of one or two distributions over the same bins, each with its own maximum at 1.

    edges: [bins + 1]. before, after: [bins]; after is None where nothing was measured.
    """

    label: str
    edges: FloatArray
    before: FloatArray
    after: FloatArray | None
    printed: float = np.nan


def density_chart(name: str, ridges: Sequence[Ridge], scale: Scale, alt: str) -> str:
    """SVG: a row per ridge, the distribution before as an outline and the one after filled.

    Raises ValueError without a ridge.
    """
    if not ridges:
        raise ValueError(f"a chart needs at least one ridge; {name!r} got none; leave it out")
    with matplotlib.style.context(["default", _STYLE]):
        figure, axis = _canvas(_RIDGE_PX * len(ridges), _MARGIN_PX)
        _horizontal(axis, scale)
        for i, ridge in enumerate(ridges):
            _title(figure, _RIDGE_PX * i + 12, ridge.label)
            _ridge(axis, ridge, _RIDGE_PX * (i + 1) - 2)
        return _svg(figure, name, alt)


_RIDGE_PX = 76


def _ridge(axis: Axes, ridge: Ridge, base: float) -> None:
    tall, colour = _RIDGE_PX - 26, COLOURS["source"]
    if ridge.after is not None:
        filled: dict[str, Any] = {"fill": True, "color": COLOURS["posterior"], "alpha": 0.55}
        axis.stairs(base - tall * ridge.after, ridge.edges, baseline=base, lw=0, **filled)
    axis.stairs(base - tall * ridge.before, ridge.edges, baseline=base, color=colour, lw=1.3)
    axis.plot([ridge.printed] * 2, [base - tall, base], "--", lw=1, color=colour)
    axis.plot(ridge.edges[[0, -1]], [base] * 2, "-", lw=0.8, color=COLOURS["muted"])


def dose_chart(
    name: str,
    doses: Sequence[Line],
    labels: tuple[str, str],
    alt: str,
    half_effect: float = np.nan,
) -> str:
    """SVG: the response at each dose, a fraction drawn in percent; doses at equal distances.

    doses: of each its label, mean, interval and agents' dots. labels: of the horizontal and of the
    vertical axis. half_effect: where a line is drawn, as a position among the doses (1.5: midway
    between the second and the third).
    Raises ValueError without a dose.
    """
    if not doses:
        raise ValueError(f"a dose-response needs at least one dose; {name!r} got none")
    height, head = 190, 24
    with matplotlib.style.context(["default", _STYLE]):
        figure, axis = _canvas(height + head, 40, head=head)
        _write(figure, 0, 8, labels[1])
        colour = COLOURS["measured"]
        for x, dose in enumerate(doses):
            spread = 0.3 * (np.random.default_rng(x).random(len(dose.dots)) - 0.5)
            axis.plot(x - 0.14 + spread, dose.dots, "o", ms=4.5, mew=0, color=colour, alpha=0.45)
            axis.plot([x + 0.2] * 2, [dose.low, dose.high], "-", lw=2, color=colour)
            axis.plot([x + 0.2], [dose.value], "o", ms=6, mew=0, color=colour)
        axis.plot([half_effect] * 2, [0, 1], "--", lw=1, color=COLOURS["muted"])
        axis.set_xticks(range(len(doses)), [dose.label for dose in doses])
        axis.set_xlim(-0.6, len(doses) - 0.4)
        axis.set_ylim(-0.03, 1.03)
        axis.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "25", "50", "75", "100"])
        axis.set_xlabel(labels[0])
        axis.spines[["top", "right"]].set_visible(False)
        return _svg(figure, name, alt)


def tornado_chart(
    name: str, bars: Sequence[tuple[str, float, float]], scale: Scale, alt: str, kind: str
) -> str:
    """SVG: a bar per input around `scale.reference`, hollow to its low end, full to its high end.

    bars: label, and the output when one input stands at its low and at its high end, all else
    unchanged. kind: whose colour the bars have, as in `Line`. Raises ValueError without a bar.
    """
    if not bars:
        raise ValueError(f"a tornado needs at least one bar; {name!r} got none; leave it out")
    row = 26
    with matplotlib.style.context(["default", _STYLE]):
        figure, axis = _canvas(row * len(bars), _gutter_px([label for label, _, _ in bars]))
        _horizontal(axis, scale)
        colour = COLOURS[kind]
        for i, (label, low, high) in enumerate(bars):
            y, base = row * (i + 0.5), scale.reference
            _write(figure, 0, y, "\n".join(_wrapped(label)))
            axis.barh(y, low - base, 14, base, fill=False, edgecolor=colour, lw=1.2)
            axis.barh(y, high - base, 14, base, color=colour, lw=0)
        return _svg(figure, name, alt)


# ---------------------------------------------------------------------------------- what they share


def _canvas(height: float, gutter: float, head: float = 0) -> tuple[Figure, Axes]:
    """A figure and its axes, whose vertical unit is one pixel from the top down.

    height: of the rows, with a head of `head` that the axes leave free [px].
    """
    total = height + _AXIS_PX
    figure = Figure(figsize=(WIDTH / 72, total / 72), dpi=72)
    figure.patch.set_visible(False)
    box = (gutter / WIDTH, _AXIS_PX / total)
    size = ((WIDTH - gutter - _MARGIN_PX) / WIDTH, (height - head) / total)
    axis = figure.add_axes((*box, *size))
    axis.patch.set_visible(False)
    axis.set_ylim(height, 0)
    return figure, axis


def _horizontal(axis: Axes, scale: Scale) -> None:
    if scale.log:
        axis.set_xscale("log")
        marks = [tick for tick in _LOG_TICKS if scale.low <= tick <= scale.high]
        axis.set_xticks(marks, [f"{tick:g}" for tick in marks])
        axis.set_xticks([], minor=True)
    else:
        ticks = np.arange(scale.low, scale.high + scale.step / 2, scale.step)
        unit = 100 if scale.percent else 1
        axis.set_xticks(ticks, [f"{unit * tick:.3g}" for tick in ticks])
    axis.set_xlim(scale.low, scale.high)
    axis.set_xlabel(scale.label)
    axis.set_yticks([])
    axis.spines[["top", "left", "right"]].set_visible(False)
    axis.grid(axis="x", color=COLOURS["faint"], lw=0.7)
    axis.set_axisbelow(True)
    if np.isfinite(scale.reference):
        axis.axvline(scale.reference, lw=1, color=COLOURS["muted"])


def _wrapped(label: str) -> list[str]:
    return textwrap.wrap(label, _LABEL_CHARACTERS)


def _row_px(line: Line) -> float:
    if not line.label:
        return _SLIM_PX
    room_for_dots = 8 * (line.kind == "measured")
    return max(_ROW_PX + room_for_dots, _LINE_PX * len(_wrapped(line.label)) + 6)


def _gutter_px(labels: Sequence[str]) -> float:
    longest = max((len(part) for label in labels for part in _wrapped(label)), default=0)
    return max(longest * _CHARACTER_PX, 30) + 10


_PAPER: Mapping[str, Any] = {"facecolor": COLOURS["paper"], "edgecolor": "none", "pad": 1}
"""What words stand on where lines run behind them."""


def _title(figure: Figure, y: float, text: str) -> None:
    _write(figure, 0, y, text, weight="bold", bbox=_PAPER)


def _write(figure: Figure, x: float, y: float, text: str, **style: Any) -> None:
    """Text in the figure's margin, x and y in pixels from the upper left corner."""
    height = figure.get_figheight() * 72
    figure.text(x / WIDTH, 1 - y / height, text, va="center", color=COLOURS["ink"], **style)


def _svg(figure: Figure, name: str, alt: str) -> str:
    """The SVG element alone, in pixels, with ids of its own, themed by the page."""
    FigureCanvasSVG(figure)
    file = io.StringIO()
    bare = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(file, format="svg", metadata=bare)
    text = file.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<defs>\s*<style.*?</defs>\s*", "", text, count=1, flags=re.DOTALL)
    text = re.sub(r'(width|height)="([\d.]+)pt"', r'\1="\2"', text)
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'(url\(#|href="#)', rf"\g<1>{name}-", text)
    text = re.sub(r"'DejaVu Sans'.*?sans-serif", "var(--font, sans-serif)", text)
    for variable, colour in COLOURS.items():
        text = text.replace(colour, f"var(--{variable}, {colour})")
    opening = f'<svg role="img" aria-label="{html.escape(alt)}" stroke-linejoin="round"'
    return text.replace("<svg", opening, 1)
