"""The frames of a film: variants of a level, in each of them actors below or beside each other."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from misgen.envs.core.family import Family
from misgen.envs.core.render import agent_squares, picture
from misgen.envs.core.types import Array
from misgen.experiments.board_drawing import (
    BACK,
    COLOURS,
    DIM,
    EDGE,
    INK,
    Colour,
    font,
    outline,
    trail,
)
from misgen.experiments.plays import Place, Play

WIDTH = 832  # of a page of a code host
MARGIN, GAP, COLUMNS = 12, 16, 2
COLUMN = (WIDTH - 2 * MARGIN - GAP * (COLUMNS - 1)) // COLUMNS
HEADING, TITLE, TEXT, NOTE = 28, 23, 19, 16  # sizes of letters; lines are LEADING times as high
LEADING = 1.3
BAND = 30  # of what is said of an episode
SIGN = 24  # of a square of the legend
LEGEND = 30  # of a line of the legend
LANE_GAP = 8  # between boards beside each other
SMALLEST, HIGHEST = 14, 240  # a square of boards beside each other; a board
TALL = 1.4  # columns to a row from which on boards stand one below the other
GREY, RED = (150, 150, 156), COLOURS["cost"]
GOOD, BAD = COLOURS["intended"], COLOURS["proxy"]
TICK = ((0.15, 0.5), (0.4, 0.8), (0.9, 0.15))  # of a square
ENDING_COLOURS = {"SUCCESS": GOOD, "INTENDED": GOOD, "PROXY": BAD}


@dataclass(frozen=True)
class Lane:
    """One actor in one variant.

    play: what is shown of its episode. names, endings: of the actor and of the episode, said when
    that is over; the first that fits is written. An ending's first word decides the colour.
    reached: the goal that is ticked off then, or "".
    """

    names: Sequence[str]
    colour: Colour
    play: Play
    endings: Sequence[str]
    is_harmful: bool = False
    reached: str = ""


@dataclass(frozen=True)
class Panel:
    """One variant. marks: goal -> outlined squares. unseen: drawn in the unseen colours."""

    title: str
    words: str
    lanes: Sequence[Lane]
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
    return _Frame(script, step).image


def length(script: Script) -> int:
    """Steps until everything is over."""
    return max(len(lane.play.boards) for panel in script.panels for lane in panel.lanes) - 1


def wrapped(text: str, size: int, width: int, bold: bool = False) -> list[str]:
    """Lines of a text that fit a width in pixels."""
    letters = font(size, bold)
    for chars in range(len(text), 8, -1):
        lines = textwrap.wrap(text, chars)
        if all(letters.getlength(line) <= width for line in lines):
            return lines
    return textwrap.wrap(text, 8)


@dataclass(frozen=True)
class _Sign:
    """A word of the legend beside the outline of a goal, or beside a square."""

    text: str
    goal: str = ""
    square: Array | None = None

    @property
    def width(self) -> int:
        return SIGN + 8 + int(font(TEXT).getlength(self.text)) + 22


class _Frame:
    def __init__(self, script: Script, step: int) -> None:
        self.script, self.step = script, step
        boards = [lane.play.boards[0].shape for panel in script.panels for lane in panel.lanes]
        self.rows, self.cols = (max(sizes) for sizes in zip(*boards, strict=True))
        self.lanes = len(script.panels[0].lanes)
        self._arrange()
        head = self._head_lines()
        notes = wrapped(script.notes, NOTE, WIDTH - 2 * MARGIN)
        words = [wrapped(panel.words, TEXT, COLUMN) for panel in script.panels]
        heights = [
            self._panel_height(words[k : k + COLUMNS]) for k in range(0, len(words), COLUMNS)
        ]
        legend = self._legend_lines()
        top = MARGIN + sum(line_height(size) for _, size, _ in head) + len(legend) * LEGEND + 12
        height = top + sum(heights) + len(notes) * line_height(NOTE) + MARGIN
        self.image = Image.new("RGB", (WIDTH, height), BACK)
        self.draw = ImageDraw.Draw(self.image)
        y = MARGIN
        for text, size, ink in head:
            self._write(MARGIN, y, text, size, ink, bold=size == HEADING)
            y += line_height(size)
        for items in legend:
            self._legend(items, y + 4)
            y += LEGEND
        for k, panel in enumerate(script.panels):
            row, column = divmod(k, COLUMNS)
            x = MARGIN + column * (COLUMN + GAP)
            most = max(map(len, words[row * COLUMNS : (row + 1) * COLUMNS]))
            self._panel(
                panel, words[k] + [""] * (most - len(words[k])), x, top + sum(heights[:row])
            )
        for k, text in enumerate(notes):
            self._write(MARGIN, top + sum(heights) + k * line_height(NOTE), text, NOTE, DIM)

    def _arrange(self) -> None:
        """Boards stand beside each other unless they are wide, or would become too small."""
        across = (COLUMN - LANE_GAP * (self.lanes - 1)) // self.lanes
        self.beside = self.cols < TALL * self.rows and across >= SMALLEST * self.cols
        self.lane_width = across if self.beside else COLUMN
        self.px = min(self.lane_width // self.cols, HIGHEST // self.rows)

    def _head_lines(self) -> list[tuple[str, int, Colour]]:
        width = WIDTH - 2 * MARGIN
        heading = wrapped(self.script.heading, HEADING, width, bold=True)
        words = wrapped(self.script.words, TEXT, width)
        return [*((each, HEADING, INK) for each in heading), *((each, TEXT, INK) for each in words)]

    def _panel_height(self, words: Sequence[Sequence[str]]) -> int:
        down = 1 if self.beside else self.lanes
        lane = line_height(TEXT) + self.rows * self.px + BAND + 10
        return line_height(TITLE) + max(map(len, words)) * line_height(TEXT) + down * lane + 12

    def _legend_lines(self) -> list[list[_Sign]]:
        """The goals, and what can be seen in the levels, as many of them a line as fit."""
        marked = {goal for panel in self.script.panels for goal, at in panel.marks.items() if at}
        goals = [_Sign(text, goal) for goal, text in self.script.legend.items() if goal in marked]
        lines: list[list[_Sign]] = [[]]
        for sign in [*goals, *self._things()]:
            if lines[-1] and sum(each.width for each in [*lines[-1], sign]) > WIDTH - 2 * MARGIN:
                lines.append([])
            lines[-1].append(sign)
        return lines

    def _things(self) -> list[_Sign]:
        """One square of each kind of thing that lies on top somewhere, but for the border's."""
        family, found = self.script.family, dict[str, Array]()
        for panel in self.script.panels:
            board = panel.lanes[0].play.boards[0]
            for row, col in np.argwhere((board != 0) & (board != board[0, 0])).tolist():
                name = family.planes[int(board[row, col]).bit_length() - 1].name
                square = board[row : row + 1, col : col + 1]
                found.setdefault(name.partition("_")[0], square)
        names = sorted(found, key=lambda name: name != "agent")
        return [_Sign(name, square=found[name]) for name in names]

    def _legend(self, signs: Sequence[_Sign], y: int) -> None:
        x = MARGIN
        for sign in signs:
            ink = INK
            if sign.square is not None:
                drawn = picture(self.script.family, sign.square, SIGN)
                self.image.paste(Image.fromarray(drawn), (x, y))
            else:
                outline(self.draw, (x + 4, y + 4), SIGN - 8, [(0, 0)], sign.goal, 3)
                ink = COLOURS[sign.goal]
            self._write(x + SIGN + 8, y, sign.text, TEXT, ink)
            x += sign.width

    def _panel(self, panel: Panel, words: Sequence[str], x: int, y: int) -> None:
        self._write(x, y, panel.title, TITLE, INK, bold=True)
        y += line_height(TITLE)
        for text in words:
            self._write(x, y, text, TEXT, DIM)
            y += line_height(TEXT)
        for k, lane in enumerate(panel.lanes):
            at = (x + k * (self.lane_width + LANE_GAP), y) if self.beside else (x, y)
            self._lane(panel, lane, *at)
            if not self.beside:
                y += line_height(TEXT) + lane.play.boards[0].shape[0] * self.px + BAND + 10

    def _lane(self, panel: Panel, lane: Lane, x: int, y: int) -> None:
        name = _that_fits(lane.names, self.lane_width)
        self._write(x, y, name, TEXT, lane.colour, bold=True)
        y += line_height(TEXT)
        now = min(self.step, len(lane.play.boards) - 1)
        self._board(lane.play.boards[now], x, y, panel.unseen)
        trail(self.draw, (x, y), self.px, lane.play.places[: now + 1], lane.colour, 3)
        self._agent(lane.play, now, x, y, panel.unseen)
        for goal, places in panel.marks.items():
            outline(self.draw, (x, y), self.px, places, goal, max(2, self.px // 8))
        if self._is_over(lane):
            for row, col in panel.marks.get(lane.reached, ()):
                self._tick(x + col * self.px, y + row * self.px)
        rows, cols = lane.play.boards[now].shape
        self._band(lane, now, x, y + rows * self.px + 4, max(cols * self.px, self.lane_width))

    def _is_over(self, lane: Lane) -> bool:
        return self.step >= len(lane.play.boards) - 1

    def _tick(self, x: int, y: int) -> None:
        """What was reached often stays in the picture, and the agent has moved on."""
        places = [(x + round(a * self.px), y + round(b * self.px)) for a, b in TICK]
        for ink, width in ((BACK, 7), (INK, 4)):
            self.draw.line(places, fill=ink, width=width, joint="curve")

    def _board(self, board: Array, x: int, y: int, unseen: bool) -> None:
        drawn = Image.fromarray(picture(self.script.family, board, self.px, unseen))
        self.image.paste(drawn, (x, y))
        box = (x - 1, y - 1, x + drawn.width, y + drawn.height)
        self.draw.rectangle(box, outline=EDGE)

    def _agent(self, play: Play, now: int, x: int, y: int, unseen: bool) -> None:
        """The agent's square again, over its way."""
        for row, col in agent_squares(self.script.family, play.boards[now]):
            square = play.boards[now][row : row + 1, col : col + 1]
            drawn = picture(self.script.family, square, self.px, unseen)
            self.image.paste(Image.fromarray(drawn), (x + col * self.px, y + row * self.px))

    def _band(self, lane: Lane, now: int, x: int, y: int, width: int) -> None:
        """What is said below a board: the step, at last how it ended."""
        if not self._is_over(lane):
            self._write(x, y + 2, f"step {now}", TEXT, DIM)
            return
        harm = int(font(TEXT, True).getlength("HARM")) + 14 if lane.is_harmful else 0
        text = _that_fits(lane.endings, width - harm - 8)
        fill = ENDING_COLOURS.get(text.partition(":")[0].partition(" ")[0], GREY)
        self.draw.rectangle((x - 1, y, x + width, y + BAND - 4), fill=fill)
        self._write(x + 6, y + 1, text, TEXT, BACK, bold=True)
        if harm:
            self.draw.rectangle((x + width - harm, y, x + width, y + BAND - 4), fill=RED)
            self._write(x + width - harm + 7, y + 1, "HARM", TEXT, INK, bold=True)

    def _write(self, x: int, y: int, text: str, size: int, ink: Colour, bold: bool = False) -> int:
        """Returns where the text ends."""
        letters = font(size, bold)
        self.draw.text((x, y), text, fill=ink, font=letters)
        return x + int(letters.getlength(text))


def _that_fits(texts: Sequence[str], width: int) -> str:
    """The first of these whose letters fit, else the last."""
    fits = (text for text in texts if font(TEXT, True).getlength(text) <= width)
    return next(fits, texts[-1])


def line_height(size: int) -> int:
    """Height of a line of letters."""
    return round(size * LEADING)
