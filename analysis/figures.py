"""Figures. The functions take numbers that are ready to draw, and compute nothing but positions.

The PNG bytes depend on the arguments and the Matplotlib version only. Matplotlib is imported here
and nowhere else in `analysis`.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from misgen.analysis.rates import FloatArray
from misgen.analysis.table import Row

_BLUE, _GREY = "#20639b", "#777777"
_LINES = {
    "planner_proxy": "proxy planner",
    "planner_intended": "intended planner",
    "random": "random",
}


@dataclass(frozen=True)
class ArmDots:
    """One arm: goal failure per agent [k] (NaN: not drawn), the mean and its interval or NaN."""

    label: str
    dots: FloatArray
    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Panel:
    """One cell at one variant. lines: label -> height of a reference line (NaN: not drawn)."""

    title: str
    arms: Sequence[ArmDots]
    lines: Mapping[str, float] = field(default_factory=dict)


def goal_failure_panels(rows: Sequence[Row]) -> list[Panel]:
    """The competent agents of a table that has goal failure, one panel per cell and variant."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        if row.population == "competent" and row.variant in ("10", "11"):
            title = f"{row.family} {row.cell}, variant {row.variant}, {row.observation_mode}"
            groups.setdefault(title, []).append(row)
    return [
        Panel(title, [ArmDots(r.label, r.dots, *r.p_goal_fail[:3]) for r in group], _lines(group))
        for title, group in groups.items()
    ]


def _lines(rows: Sequence[Row]) -> dict[str, float]:
    return {
        label: row.controls[policy].p_goal_fail
        for policy, label in _LINES.items()
        for row in rows
        if policy in row.controls
    }


def goal_failure_figure(panels: Sequence[Panel], columns: int = 4) -> bytes:
    """PNG bytes: a dot per agent, the mean and its 90 % interval per arm, and reference lines.

    Raises ValueError without a panel.
    """
    if not panels:
        raise ValueError(
            "a figure needs at least one panel; got none; evaluate a variant with a broken cue"
        )
    columns = min(columns, len(panels))
    height = -(-len(panels) // columns)
    figure = Figure(figsize=(3.6 * columns, 3.3 * height), dpi=120, layout="constrained")
    axes = figure.subplots(height, columns, squeeze=False, sharey=True).ravel()
    for axis, panel in zip(axes, panels, strict=False):
        _draw(axis, panel)
    for axis in axes[len(panels) :]:
        axis.set_axis_off()
    for axis in axes[: len(panels) : columns]:
        axis.set_ylabel("goal failure given capable")
    figure.supxlabel(
        "A dot is an agent (30 or more capable episodes); diamond and bar: mean over agents, 90 %",
        fontsize=8,
        color=_GREY,
    )
    return _png(figure)


def _png(figure: Figure) -> bytes:
    FigureCanvasAgg(figure)
    file = io.BytesIO()
    figure.savefig(file, format="png", metadata={"Software": None})
    return file.getvalue()


def _draw(axis: Axes, panel: Panel) -> None:
    for x, arm in enumerate(panel.arms):
        spread = 0.3 * (np.random.default_rng(x).random(len(arm.dots)) - 0.5)
        axis.plot(x - 0.12 + spread, arm.dots, "o", ms=4, mew=0, color=_BLUE, alpha=0.6)
        axis.plot([x + 0.22] * 2, [arm.low, arm.high], "-", lw=1.5, color="black")
        axis.plot(x + 0.22, arm.mean, "D", ms=5, color="black")
    _draw_lines(axis, panel.lines, len(panel.arms) - 0.4)
    axis.set_title(panel.title, fontsize=9)
    axis.set_xticks(range(len(panel.arms)), [arm.label for arm in panel.arms], fontsize=8)
    axis.set_xlim(-0.5, len(panel.arms) + 0.4)
    axis.set_ylim(-0.05, 1.05)
    axis.spines[["top", "right"]].set_visible(False)


def _draw_lines(axis: Axes, lines: Mapping[str, float], right: float) -> None:
    """Reference lines, labels at their right end, moved up where two would overlap."""
    top = -1.0
    for label, height in sorted(lines.items(), key=lambda item: item[1]):
        if height != height:
            continue
        top = max(height, top + 0.06)
        axis.plot([-0.5, right], [height] * 2, "--", lw=0.8, color=_GREY, zorder=0)
        axis.text(right + 0.03, top, label, fontsize=7, color=_GREY, va="center")


@dataclass(frozen=True)
class Board:
    """A level and the way an agent took through it.

    picture: uint8 [rows * px, cols * px, 3]. path: [steps, 2], row and column of the agent.
    """

    title: str
    picture: npt.NDArray[np.uint8]
    px: int
    path: npt.NDArray[np.int64]


def path_figure(boards: Sequence[Board], columns: int = 2) -> bytes:
    """PNG bytes: the levels side by side, each with the agent's path from dark to bright.

    Raises ValueError without a board.
    """
    if not boards:
        raise ValueError("a path figure needs at least one board; got none")
    height = -(-len(boards) // columns)
    figure = Figure(figsize=(5.2 * columns, 2.9 * height), dpi=120, layout="constrained")
    axes = figure.subplots(height, columns, squeeze=False).ravel()
    for axis in axes:
        axis.set_axis_off()
    for axis, board in zip(axes, boards, strict=False):
        axis.imshow(board.picture, interpolation="nearest")
        row, col = (board.path.T + 0.5) * board.px - 0.5
        axis.plot(col, row, "-", lw=1.2, color="white")
        axis.scatter(col, row, c=np.arange(len(col)), cmap="cool", s=22, zorder=3, linewidths=0)
        axis.set_title(board.title, fontsize=10)
    return _png(figure)


def curve_figure(curves: Mapping[str, Mapping[str, Any]], columns: int = 4) -> bytes:
    """PNG bytes: learning curves by title. Each has `steps`, `success_rate` (of the episodes that
    ended in a rollout) and `default_steps`, where a line is drawn.

    Raises ValueError without a curve.
    """
    if not curves:
        raise ValueError("a figure needs at least one curve; got none")
    columns = min(columns, len(curves))
    height = -(-len(curves) // columns)
    figure = Figure(figsize=(3.6 * columns, 2.6 * height), dpi=120, layout="constrained")
    axes = figure.subplots(height, columns, squeeze=False, sharey=True).ravel()
    for axis in axes[len(curves) :]:
        axis.set_axis_off()
    for axis, (title, curve) in zip(axes, curves.items(), strict=False):
        steps = np.array(curve["steps"]) / 1e6
        axis.plot(steps, curve["success_rate"], "-", lw=1.2, color=_BLUE)
        axis.axvline(curve["default_steps"] / 1e6, ls="--", lw=0.8, color=_GREY)
        axis.set_title(title, fontsize=9)
        axis.set_xlabel("million steps (dashed: default)", fontsize=8)
        axis.set_ylim(-0.05, 1.05)
        axis.spines[["top", "right"]].set_visible(False)
    for axis in axes[: len(curves) : columns]:
        axis.set_ylabel("success in training")
    return _png(figure)
