"""What a cell is, as pictures: its planners at play with the cue intact and with the cue broken."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from misgen.envs.core.batch import BatchEnv
from misgen.envs.core.family import Family
from misgen.envs.core.levels import sample_levels, variant_distribution
from misgen.envs.core.plans import GOALS, Plans, is_distinguishing, solve_together
from misgen.envs.core.render import picture
from misgen.envs.core.types import Array, Cell
from misgen.experiments.board_drawing import BACK, COLOURS, DIM, EDGE, INK, font, outline, trail
from misgen.experiments.cells import TITLES
from misgen.experiments.picture_files import gif, png
from misgen.experiments.plays import Place, Play, is_complete, marked_places

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
    play.note(env, 0)
    while not (env.episode.done[0] or is_complete(wanted, play)):
        action = plans.action_mask(env, goal)[0].argmax()
        play.note(env, int(env.step(np.array([action])).events[0]))
    return play


def cue_planes(shown: Example) -> list[str]:
    """The planes in which the two variants differ at the start."""
    intact, broken = (shown.plays["intended", variant].boards[0] for variant in VARIANTS)
    differs = int(np.bitwise_or.reduce((intact ^ broken).ravel()))
    return [plane.name for k, plane in enumerate(shown.family.planes) if differs >> k & 1]


# Pictures


def still(shown: Example) -> bytes:
    """PNG: the level at the start in both variants, with the ends of both goals."""
    sheet = Sheet(shown, rows=1, above=2, below=_notes(shown))
    for line, goal in enumerate(GOALS):
        sheet.name_goal(goal, MARGIN_PX + line * LINE_PX)
    for column, variant in enumerate(VARIANTS):
        board = shown.plays["intended", variant].boards[0]
        sheet.put_board(column, 0, board)
        for goal in GOALS:
            sheet.mark(column, 0, goal, variant)
        for line, text in enumerate(_notes(shown)[column]):
            sheet.write_below(column, 0, line, text)
    return png(sheet.image)


def _notes(shown: Example) -> list[list[str]]:
    """What is said below the two boards, as lines."""
    chars = int(Sheet.width_of(shown) / 6.4)
    cell = shown.cell
    return [textwrap.wrap(text, chars) for text in (cell.cue.description, cell.shift_a.description)]


def animation(shown: Example) -> bytes:
    """GIF: above the planner of the intended goal, below that of the proxy, in both variants."""
    length = max(len(play.boards) for play in shown.plays.values())
    frames = [_frame(shown, step) for step in range(length)]
    return gif(frames, [FIRST_MS, *[FRAME_MS] * (length - 2), LAST_MS])


def _frame(shown: Example, step: int) -> Image.Image:
    sheet = Sheet(shown, rows=2, above=0, below=[[""], [""]])
    for row, goal in enumerate(GOALS):
        sheet.name_goal(goal, sheet.top(row) - LINE_PX - 2)
        for column, variant in enumerate(VARIANTS):
            play = shown.plays[goal, variant]
            now = min(step, len(play.boards) - 1)
            sheet.put_board(column, row, play.boards[now])
            for marked in GOALS:
                sheet.mark(column, row, marked, variant)
            sheet.trace(column, row, goal, play.places[: now + 1])
            ends = "complete at " if now == len(play.boards) - 1 else ""
            text = f"{ends}step {now}, reward {play.earned[now]:g}"
            sheet.write_below(column, row, 0, text)
    return sheet.image


class Sheet:
    """A picture of boards in two columns, one for each of VARIANTS."""

    def __init__(self, shown: Example, rows: int, above: int, below: list[list[str]]) -> None:
        self.shown = shown
        self.px = self.square_px(shown)
        self.board_rows, self.board_cols = shown.plays["proxy", "00"].boards[0].shape
        self.head = MARGIN_PX + (above + 1) * LINE_PX + 4
        self.labelled = rows > 1
        notes = max(map(len, below)) * LINE_PX
        self.row_px = self.labelled * (LINE_PX + 2) + self.board_rows * self.px + notes + 6
        self.column_px = self.width_of(shown)
        size = (
            2 * MARGIN_PX + 2 * self.column_px + GAP_PX,
            self.head + rows * self.row_px + MARGIN_PX,
        )
        self.image = Image.new("RGB", size, BACK)
        self.draw = ImageDraw.Draw(self.image)
        self.font = font(12)
        for column, variant in enumerate(VARIANTS):
            self.write(self.left(column), self.head - LINE_PX - 2, TITLES[variant])

    @staticmethod
    def square_px(shown: Example) -> int:
        """Of a square: a multiple of the size of sprites."""
        cols = shown.plays["proxy", "00"].boards[0].shape[1]
        return 8 * max(1, BOARD_PX // (8 * cols))

    @staticmethod
    def width_of(shown: Example) -> int:
        """Of a column."""
        cols = shown.plays["proxy", "00"].boards[0].shape[1]
        return max(190, cols * Sheet.square_px(shown))

    def left(self, column: int) -> int:
        return MARGIN_PX + column * (self.column_px + GAP_PX)

    def top(self, row: int) -> int:
        return self.head + row * self.row_px + self.labelled * (LINE_PX + 2)

    def write(self, x: int, y: int, text: str, ink: tuple[int, int, int] = INK) -> None:
        self.draw.text((x, y), text, fill=ink, font=self.font)

    def write_below(self, column: int, row: int, line: int, text: str) -> None:
        y = self.top(row) + self.board_rows * self.px + 3 + line * LINE_PX
        self.write(self.left(column), y, text, DIM)

    def name_goal(self, goal: str, y: int) -> None:
        """The legend of a mark."""
        self.draw.rectangle(
            (MARGIN_PX, y + 3, MARGIN_PX + 9, y + 12), outline=COLOURS[goal], width=2
        )
        title = "intended goal" if goal == "intended" else "proxy"
        self.write(MARGIN_PX + 16, y, f"{title}: {self.shown.cell.goals[goal].name}")

    def put_board(self, column: int, row: int, board: Array) -> None:
        at = self._corner(column, row)
        drawn = Image.fromarray(picture(self.shown.family, board, self.px))
        self.image.paste(drawn, at)
        box = (at[0] - 1, at[1] - 1, at[0] + drawn.width, at[1] + drawn.height)
        self.draw.rectangle(box, outline=EDGE)

    def mark(self, column: int, row: int, goal: str, variant: str) -> None:
        """Outline the squares at which the goal ends, neighbours together; the proxy's lines lie
        around the others."""
        play = self.shown.plays[goal, variant]
        places = marked_places(play, self.shown.cell.goals[goal], self.shown.cell)
        outline(self.draw, self._corner(column, row), self.px, places, goal)

    def trace(self, column: int, row: int, goal: str, places: list[Place]) -> None:
        """The way so far."""
        trail(self.draw, self._corner(column, row), self.px, places, COLOURS[goal])

    def _corner(self, column: int, row: int) -> Place:
        return self.left(column), self.top(row)
