"""What a cell is, as pictures: its planners at play with the cue intact and with the cue broken."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from misgen.envs.core.batch import BatchEnv
from misgen.envs.core.family import Family
from misgen.envs.core.levels import sample_levels, variant_distribution
from misgen.envs.core.plans import GOALS, Plans, is_distinguishing, solve_together
from misgen.envs.core.render import picture
from misgen.envs.core.types import Cell
from misgen.experiments.shown.cells import TITLES
from misgen.experiments.shown.drawing import (
    BACK,
    COLOURS,
    DIM,
    INK,
    font,
    framed,
    gif,
    outline,
    png,
    trail,
)
from misgen.experiments.shown.plays import Play, is_complete, marked_places

VARIANTS = ("00", "10")  # the columns of a picture
SEEDS = 40  # held-out levels among which the example is chosen
STEPS = (5, 20)  # that both planners need, at least and at most
MOST_STEPS = 100  # of a play whose goal is never complete

BOARD_PX = 240  # widest board that has larger squares than the smallest
MARGIN_PX, GAP_PX, LINE_PX = 8, 12, 17
FRAME_MS, FIRST_MS, LAST_MS = 220, 900, 2200


@dataclass(frozen=True)
class Example:
    """A level of a cell and how each goal's planner plays it in each of VARIANTS."""

    family: Family
    cell: Cell
    seed: int
    hashes: dict[str, int]  # variant -> identity of the level
    plays: dict[tuple[str, str], Play]  # (goal, variant)

    @property
    def square_px(self) -> int:
        """Of a square: a multiple of the size of sprites."""
        return 8 * max(1, BOARD_PX // (8 * self._cols))

    @property
    def column_px(self) -> int:
        return max(190, self._cols * self.square_px)

    @property
    def _cols(self) -> int:
        return self.plays["proxy", "00"].boards[0].shape[1]


# The level and the plays


def example(family: Family, cell: Cell) -> Example:
    """The narrowest of the first SEEDS held-out levels, then the first, in which the cue broken
    tells the goals apart, and every planner takes STEPS and completes its goal.

    Raises:
        ValueError: there is none.
    """
    batches = [
        sample_levels(family, variant_distribution(cell, variant), np.arange(SEEDS))
        for variant in VARIANTS
    ]
    plans, _ = solve_together(batches)
    for number in _candidates(plans):
        plays = {
            (goal, variant): _play(plan, number, goal)
            for variant, plan in zip(VARIANTS, plans, strict=True)
            for goal in GOALS
        }
        if all(is_complete(cell.goals[goal], play) for (goal, _), play in plays.items()):
            hashes = {v: int(b.hashes()[number]) for v, b in zip(VARIANTS, batches, strict=True)}
            return Example(family, cell, number, hashes, plays)
    raise ValueError(
        f"a cell is shown in a level that tells its goals apart and takes {STEPS[0]} to {STEPS[1]} "
        f"steps; {cell.code} has none among {SEEDS}; make its levels easier"
    )


def _candidates(plans: Sequence[Plans]) -> list[int]:
    """The levels that tell the goals apart and take STEPS, the narrowest first."""
    fits = is_distinguishing(plans[-1].plays.at(0))
    for plan in plans:
        lengths = plan.length[:, : len(GOALS)]
        fits &= ((lengths >= STEPS[0]) & (lengths <= STEPS[1])).all(axis=1)
    family, level = plans[0].levels.family, plans[0].levels.level
    numbers: list[int] = np.flatnonzero(fits).tolist()
    return sorted(numbers, key=lambda i: len(family.draw(level, i).splitlines()[-1]))


def _play(plans: Plans, number: int, goal: str) -> Play:
    levels, wanted = plans.levels, plans.levels.cell.goals[goal]
    env = BatchEnv.on(levels.take(np.array([number])), MOST_STEPS)
    play = Play()
    play.note(env)
    while not (env.episode.done[0] or is_complete(wanted, play)):
        env.step(plans.action_mask(env, goal).argmax(axis=1))
        play.note(env)
    return play


def cue_planes(shown: Example) -> list[str]:
    """The planes in which the two variants differ at the start."""
    intact, broken = (shown.plays["intended", variant].boards[0] for variant in VARIANTS)
    differs = int(np.bitwise_or.reduce((intact ^ broken).ravel()))
    return [plane.name for k, plane in enumerate(shown.family.planes) if differs >> k & 1]


# Pictures


class _View(NamedTuple):
    """One board of a picture. goal: whose way is drawn, or "". notes: lines below."""

    variant: str
    goal: str
    step: int
    notes: Sequence[str]


def still(shown: Example) -> bytes:
    """PNG: the level at the start in both variants, with the ends of both goals."""
    chars, cell = int(shown.column_px / 6.4), shown.cell
    said = (cell.cue.description, cell.shift_a.description)
    views = [
        _View(variant, "", 0, textwrap.wrap(text, chars))
        for variant, text in zip(VARIANTS, said, strict=True)
    ]
    return png(_sheet(shown, [views]))


def animation(shown: Example) -> bytes:
    """GIF: above the planner of the intended goal, below that of the proxy, in both variants."""
    length = max(len(play.boards) for play in shown.plays.values())
    frames = [
        _sheet(shown, [[_at_step(shown, goal, v, step) for v in VARIANTS] for goal in GOALS])
        for step in range(length)
    ]
    return gif(frames, [FIRST_MS, *[FRAME_MS] * (length - 2), LAST_MS])


def _at_step(shown: Example, goal: str, variant: str, step: int) -> _View:
    play = shown.plays[goal, variant]
    now = min(step, len(play.boards) - 1)
    ends = "complete at " if now == len(play.boards) - 1 else ""
    return _View(variant, goal, now, [f"{ends}step {now}, reward {play.earned[now]:g}"])


def _sheet(shown: Example, rows: Sequence[Sequence[_View]]) -> Image.Image:
    """Rows of boards in a column for each of VARIANTS; both goals are named above a single row,
    else each above its row."""
    above = len(GOALS) * LINE_PX if len(rows) == 1 else 0
    label = 0 if len(rows) == 1 else LINE_PX + 2
    head = MARGIN_PX + above + LINE_PX + 4
    board_px = shown.plays["proxy", "00"].boards[0].shape[0] * shown.square_px
    row_px = label + board_px + max(len(view.notes) for view in rows[0]) * LINE_PX + 6
    width = 2 * (MARGIN_PX + shown.column_px) + GAP_PX
    image = Image.new("RGB", (width, head + len(rows) * row_px + MARGIN_PX), BACK)
    draw = ImageDraw.Draw(image)
    left = {v: MARGIN_PX + k * (shown.column_px + GAP_PX) for k, v in enumerate(VARIANTS)}
    for variant, x in left.items():
        draw.text((x, head - LINE_PX - 2), TITLES[variant], fill=INK, font=font(12))
    for k, goal in enumerate(GOALS):
        y = head + k * row_px if label else MARGIN_PX + k * LINE_PX
        _name_goal(draw, shown.cell, goal, y)
    for k, row in enumerate(rows):
        y = head + k * row_px + label
        for view in row:
            _board(image, shown, view, left[view.variant], y)
            for line, text in enumerate(view.notes):
                at = (left[view.variant], y + board_px + 3 + line * LINE_PX)
                draw.text(at, text, fill=DIM, font=font(12))
    return image


def _name_goal(draw: ImageDraw.ImageDraw, cell: Cell, goal: str, y: int) -> None:
    """The legend of a mark."""
    box = (MARGIN_PX, y + 3, MARGIN_PX + 9, y + 12)
    draw.rectangle(box, outline=COLOURS[goal], width=2)
    title = "intended goal" if goal == "intended" else "proxy"
    text = f"{title}: {cell.goals[goal].name}"
    draw.text((MARGIN_PX + 16, y), text, fill=INK, font=font(12))


def _board(image: Image.Image, shown: Example, view: _View, x: int, y: int) -> None:
    """A board with the ends of both goals and the way so far."""
    play = shown.plays[view.goal or "intended", view.variant]
    px, draw = shown.square_px, ImageDraw.Draw(image)
    framed(image, (x, y), Image.fromarray(picture(shown.family, play.boards[view.step], px)))
    for goal in GOALS:
        ends = marked_places(shown.plays[goal, view.variant], shown.cell.goals[goal], shown.cell)
        outline(draw, (x, y), px, ends, goal)
    if view.goal:
        trail(draw, (x, y), px, play.places[: view.step + 1], COLOURS[view.goal])
