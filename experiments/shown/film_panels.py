"""The frames of a film: variants of a level, in each of them actors below or beside each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from misgen.envs.core.family import Family
from misgen.envs.core.render import agent_squares, picture
from misgen.envs.core.types import Array
from misgen.experiments.shown.drawing import (
    BACK,
    COLOURS,
    DIM,
    INK,
    INNER,
    MARGIN,
    TEXT,
    TITLE,
    WIDTH,
    font,
    framed,
    line_height,
    outline,
    page,
    strip,
    trail,
    wrapped,
    write,
)
from misgen.experiments.shown.levels import Episode
from misgen.experiments.shown.plays import Place

GAP, COLUMNS = 16, 2
COLUMN = (INNER - GAP * (COLUMNS - 1)) // COLUMNS
BAND = 30  # of what is said of an episode
SIGN = 24  # of a square of the legend
LEGEND = 30  # of a line of the legend
LANE_GAP = 8  # between boards beside each other
SMALLEST, HIGHEST = 14, 240  # a square of boards beside each other; a board
TALL = 1.4  # columns to a row from which on boards stand one below the other
GREY, RED = (150, 150, 156), COLOURS["cost"]
GOOD, BAD = COLOURS["intended"], COLOURS["proxy"]
TICK = ((0.15, 0.5), (0.4, 0.8), (0.9, 0.15))  # of a square
ENDING_COLOURS = {"SUCCESS": GOOD, "INTENDED": GOOD, "PROXY": BAD}  # by its first word


@dataclass(frozen=True)
class Panel:
    """One variant. lanes: an episode of each actor. marks: goal -> outlined squares. unseen: drawn
    in the unseen colours."""

    title: str
    words: str
    lanes: Sequence[Episode]
    marks: Mapping[str, Sequence[Place]]
    unseen: bool = False


@dataclass(frozen=True)
class Script:
    """A film. legend: goal -> its words. notes: small print below."""

    family: Family
    heading: str
    words: str
    legend: Mapping[str, str]
    panels: Sequence[Panel]
    notes: str


def frame(script: Script, step: int) -> Image.Image:
    """The picture after so many steps; episodes that are over stand still."""
    drawn, panels = _Frame(script, step), script.panels
    rows = [drawn.row(panels[k : k + COLUMNS]) for k in range(0, len(panels), COLUMNS)]
    return page(script.heading, [script.words], [_legend(script), *rows], script.notes)


def length(script: Script) -> int:
    """Steps until everything is over."""
    return max(len(lane.play.boards) for panel in script.panels for lane in panel.lanes) - 1


def _legend(script: Script) -> Image.Image:
    """The goals, and what can be seen in the levels, as many of them a line as fit."""
    marked = {goal for panel in script.panels for goal, at in panel.marks.items() if at}
    signs = {text: goal for goal, text in script.legend.items() if goal in marked}
    squares = _things(script)
    image = strip(LEGEND * (len(signs) + len(squares) + 1))
    x, y = MARGIN, 4
    for text in [*signs, *squares]:
        width = SIGN + 8 + int(font(TEXT).getlength(text)) + 22
        if x > MARGIN and x + width > WIDTH - MARGIN:
            x, y = MARGIN, y + LEGEND
        ink = INK
        if text in signs:
            ink = COLOURS[signs[text]]
            outline(ImageDraw.Draw(image), (x + 4, y + 4), SIGN - 8, [(0, 0)], signs[text], 3)
        else:
            drawn = picture(script.family, squares[text], SIGN)
            image.paste(Image.fromarray(drawn), (x, y))
        write(image, (x + SIGN + 8, y), text, TEXT, ink)
        x += width
    return image.crop((0, 0, WIDTH, y + LEGEND + 8))


def _things(script: Script) -> dict[str, Array]:
    """One square of each kind of thing that lies on top somewhere, but for the border's."""
    found = dict[str, Array]()
    for panel in script.panels:
        board = panel.lanes[0].play.boards[0]
        for row, col in np.argwhere((board != 0) & (board != board[0, 0])).tolist():
            name = script.family.planes[int(board[row, col]).bit_length() - 1].name
            found.setdefault(name.partition("_")[0], board[row : row + 1, col : col + 1])
    return {name: found[name] for name in sorted(found, key=lambda name: name != "agent")}


class _Frame:
    """The rows of panels after so many steps; each has the same place for a board."""

    def __init__(self, script: Script, step: int) -> None:
        self.family, self.step = script.family, step
        boards = [lane.play.boards[0].shape for panel in script.panels for lane in panel.lanes]
        self.rows, cols = (max(sizes) for sizes in zip(*boards, strict=True))
        lanes = len(script.panels[0].lanes)
        # Boards stand beside each other unless they are wide, or would become too small.
        across = (COLUMN - LANE_GAP * (lanes - 1)) // lanes
        self.beside = cols < TALL * self.rows and across >= SMALLEST * cols
        self.down = 1 if self.beside else lanes
        self.lane_width = across if self.beside else COLUMN
        self.px = min(self.lane_width // cols, HIGHEST // self.rows)

    def row(self, panels: Sequence[Panel]) -> Image.Image:
        """Panels beside each other."""
        words = [wrapped(panel.words, TEXT, COLUMN) for panel in panels]
        top = line_height(TITLE) + max(map(len, words)) * line_height(TEXT)
        lane = line_height(TEXT) + self.rows * self.px + BAND + 10
        self.image = strip(top + self.down * lane + 12)
        self.draw = ImageDraw.Draw(self.image)
        for column, panel in enumerate(panels):
            x = MARGIN + column * (COLUMN + GAP)
            write(self.image, (x, 0), panel.title, TITLE, INK, bold=True)
            for k, text in enumerate(words[column]):
                write(self.image, (x, line_height(TITLE) + k * line_height(TEXT)), text, TEXT, DIM)
            self._lanes(panel, x, top)
        return self.image

    def _lanes(self, panel: Panel, x: int, y: int) -> None:
        for lane in panel.lanes:
            self._lane(panel, lane, x, y)
            if self.beside:
                x += self.lane_width + LANE_GAP
            else:
                y += line_height(TEXT) + lane.play.boards[0].shape[0] * self.px + BAND + 10

    def _lane(self, panel: Panel, lane: Episode, x: int, y: int) -> None:
        name = _that_fits(lane.actor.names, self.lane_width)
        write(self.image, (x, y), name, TEXT, lane.actor.colour, bold=True)
        y, px, play = y + line_height(TEXT), self.px, lane.play
        now = min(self.step, len(play.boards) - 1)
        is_over, board = self.step >= len(play.boards) - 1, play.boards[now]
        drawn = Image.fromarray(picture(self.family, board, px, panel.unseen))
        framed(self.image, (x, y), drawn)
        trail(self.draw, (x, y), px, play.places[: now + 1], lane.actor.colour, 3)
        for row, col in agent_squares(self.family, board):  # again, over its way
            left, top = col * px, row * px
            self.image.paste(drawn.crop((left, top, left + px, top + px)), (x + left, y + top))
        for goal, places in panel.marks.items():
            outline(self.draw, (x, y), px, places, goal, max(2, px // 8))
        for row, col in panel.marks.get(lane.reached, ()) if is_over else ():
            self._tick(x + col * px, y + row * px)
        rows, cols = board.shape
        y += rows * px + 4
        if is_over:
            self._ending(lane, x, y, max(cols * px, self.lane_width))
        else:
            write(self.image, (x, y + 2), f"step {now}", TEXT, DIM)

    def _tick(self, x: int, y: int) -> None:
        """What was reached often stays in the picture, and the agent has moved on."""
        places = [(x + round(a * self.px), y + round(b * self.px)) for a, b in TICK]
        for ink, width in ((BACK, 7), (INK, 4)):
            self.draw.line(places, fill=ink, width=width, joint="curve")

    def _ending(self, lane: Episode, x: int, y: int, width: int) -> None:
        harm = int(font(TEXT, True).getlength("HARM")) + 14 if lane.is_harmful else 0
        text = _that_fits(lane.endings, width - harm - 8)
        fill = ENDING_COLOURS.get(text.partition(":")[0].partition(" ")[0], GREY)
        self.draw.rectangle((x - 1, y, x + width, y + BAND - 4), fill=fill)
        write(self.image, (x + 6, y + 1), text, TEXT, BACK, bold=True)
        if harm:
            self.draw.rectangle((x + width - harm, y, x + width, y + BAND - 4), fill=RED)
            write(self.image, (x + width - harm + 7, y + 1), "HARM", TEXT, INK, bold=True)


def _that_fits(texts: Sequence[str], width: int) -> str:
    """The first of these whose letters fit, else the last."""
    fits = (text for text in texts if font(TEXT, True).getlength(text) <= width)
    return next(fits, texts[-1])
