"""Figures of a study for papers: its arms, what they vary, how they learned.

The drawing functions take numbers that are ready to draw, and compute nothing but positions.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from misgen.analysis.along import Along, arms_along
from misgen.analysis.compare import EQUAL_SUCCESS, ArmAt, Comparison
from misgen.analysis.rates import FloatArray
from misgen.analysis.report.study_charts import AgentDots, Curves
from misgen.analysis.report.study_content import agent_dots, curves_of, half_places, value_label

FORMATS = ("png", "svg", "pdf")
NOTE = "A dot is an agent; diamond and bar: mean over agents, central 90 %"
CURVES_NOTE = (
    f"million steps. Thin: an agent; thick: their mean; dashed: {EQUAL_SUCCESS:g} of the planner's"
)
_DOTS, _HALF, _GREY = "#c2570c", "#9aa1ab", "#777777"
_STYLE = {"svg.fonttype": "none", "svg.hashsalt": "misgen", "font.size": 9}
_MANY = 5  # labels that fit beside each other


@dataclass(frozen=True)
class DotsPanel:
    """p_gm of arms at equal distances. ticks: below them. half: where half of an effect is reached,
    and its interval, as positions; NaN: not drawn. joined: so many means from the left are."""

    title: str
    label: str
    ticks: Sequence[str]
    arms: Sequence[AgentDots]
    half: tuple[float, float, float] = (np.nan,) * 3
    joined: int = 0


@dataclass(frozen=True)
class CurvesPanel:
    """Learning curves of one arm. target: where a line is drawn, NaN: nowhere."""

    title: str
    curves: Curves
    target: float


def study_figures(found: Comparison, kind: str = "png") -> dict[str, bytes]:
    """Name -> bytes of a figure; what the study does not have is left out. kind: of FORMATS."""
    arms = [_arms_panel(found, *place) for place in found.places()]
    along = [_along_panel(one) for one in arms_along(found.arms, found.against, found.along)]
    curves = [panel for panel in _curves_panels(found) if panel.curves.agents]
    figures = {"arms": dots_figure(arms, kind)}
    if along:
        figures[f"along_{found.along}"] = dots_figure(along, kind)
    if curves:
        figures["curves"] = curves_figure(curves, kind)
    return figures


def _arms_panel(found: Comparison, cell: str, variant: str) -> DotsPanel:
    arms = found.at(cell, variant)
    names = [arm.arm for arm in arms]
    return DotsPanel(f"{cell} at {variant}", "", names, [agent_dots(arm) for arm in arms])


def _along_panel(one: Along) -> DotsPanel:
    arms = [*one.arms, *one.apart]
    ticks = [*map(value_label, one.values), *(arm.arm for arm in one.apart)]
    dots = [agent_dots(arm) for arm in arms]
    title = f"{one.cell} at {one.variant}"
    return DotsPanel(title, one.factor, ticks, dots, half_places(one), len(one.arms))


def _curves_panels(found: Comparison) -> list[CurvesPanel]:
    recorded = found.study.curves()
    arms: dict[tuple[str, str], ArmAt] = {}
    for arm in found.arms:
        arms.setdefault((arm.cell, arm.arm), arm)
    return [
        CurvesPanel(f"{cell}, {name}", curves_of(arm, recorded),
                    EQUAL_SUCCESS * arm.planner_own_success)
        for (cell, name), arm in arms.items()
    ]  # fmt: skip


# --- Drawing -------------------------------------------------------------------------------------


def dots_figure(panels: Sequence[DotsPanel], kind: str = "png", columns: int = 2) -> bytes:
    """A panel of dots each. Raises ValueError without one."""
    return _panels(panels, _dots, ("p_gm", NOTE), kind, columns, (4.6, 3.0))


def curves_figure(panels: Sequence[CurvesPanel], kind: str = "png", columns: int = 5) -> bytes:
    """A panel of learning curves each. Raises ValueError without one."""
    words = ("success in training", CURVES_NOTE)
    return _panels(panels, _curves, words, kind, columns, (2.4, 2.0))


def _panels(
    panels: Sequence[Any],
    draw: Callable[[Axes, Any], None],
    words: tuple[str, str],
    kind: str,
    columns: int,
    size: tuple[float, float],
) -> bytes:
    """Panels in rows, with one scale. words: beside them, and below all."""
    if not panels:
        raise ValueError("a figure needs at least one panel; got none")
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    with matplotlib.style.context(["default", _STYLE]):
        figure = Figure((size[0] * columns, size[1] * rows), dpi=150, layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
        for axis, panel in zip(axes, panels, strict=False):
            draw(axis, panel)
            axis.set_ylim(-0.03, 1.03)
            axis.spines[["top", "right"]].set_visible(False)
        for axis in axes[len(panels) :]:
            axis.set_axis_off()
        for axis in axes[: len(panels) : columns]:
            axis.set_ylabel(words[0])
        figure.supxlabel(words[1], fontsize=8, color=_GREY)
        return _saved(figure, kind)


def _dots(axis: Axes, panel: DotsPanel) -> None:
    value, low, high = panel.half
    if low == low:
        axis.axvspan(low, high, color=_HALF, alpha=0.25, lw=0)
    axis.axvline(value, ls="--", lw=1, color=_GREY)
    for x, arm in enumerate(panel.arms):
        spread = 0.3 * (np.random.default_rng(x).random(len(arm.values)) - 0.5)
        axis.plot(x - 0.28 + spread, arm.values, "o", ms=4, mew=0, color=_DOTS, alpha=0.6)
        axis.plot([x] * 2, [arm.low, arm.high], "-", lw=1.5, color="black")
    places = np.arange(len(panel.arms))
    means = [arm.mean for arm in panel.arms]
    axis.plot(places, means, "D", ms=4.5, color="black")
    axis.plot(places[: panel.joined], means[: panel.joined], "-", lw=0.8, color=_GREY)
    turn = 45 if len(panel.ticks) > _MANY and max(map(len, panel.ticks)) > _MANY else 0
    axis.set_xticks(range(len(panel.ticks)), panel.ticks, rotation=turn)
    axis.set_xlabel(panel.label)
    axis.set_title(panel.title, fontsize=10)


def _curves(axis: Axes, panel: CurvesPanel) -> None:
    for _, steps, rates in panel.curves.agents:
        axis.plot(_millions(steps), rates, "-", lw=0.7, color="#1d6296", alpha=0.5)
    steps, mean = panel.curves.mean
    axis.plot(_millions(steps), mean, "-", lw=1.6, color="black")
    if panel.target == panel.target:
        axis.axhline(panel.target, ls="--", lw=0.8, color=_GREY)
    axis.set_title(panel.title, fontsize=9)


def _millions(steps: FloatArray) -> FloatArray:
    return np.asarray(steps) / 1e6


def _saved(figure: Figure, kind: str) -> bytes:
    """The bytes depend on what is drawn and the Matplotlib version only."""
    FigureCanvasAgg(figure)
    file = io.BytesIO()
    nothing = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
    figure.savefig(file, format=kind, metadata=nothing[kind])
    return file.getvalue()
