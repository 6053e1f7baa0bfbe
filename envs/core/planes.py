"""What a square of a view can show, read from data: see `read_planes`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from pathlib import Path
from typing import Any

PIXELS = 8  # rows and columns of a sprite
FLAGS = {"texture": "is_texture", "remembers": "remembers"}
SPRITES = Path(__file__).with_name("sprites.txt")


@dataclass(frozen=True, kw_only=True)
class Plane:
    """One kind of thing that a square of the view can show. Planes are painted in order."""

    name: str
    colour: tuple[int, int, int]  # RGB, 0-255
    sprite: str = ""  # 8 lines of 8 characters, '#' opaque, '.' transparent; "" = a full square
    unseen_colour: tuple[int, int, int] | None = None  # in a disturbed level; None = the same
    is_texture: bool = False  # empty but in a disturbed level, which it fills
    remembers: bool = False  # shows the past of the episode, on which no event depends


def read_planes(source: Path | str) -> tuple[Plane, ...]:
    """Planes from a file, or from a text of the same form.

    For each plane a line `name R,G,B [unseen=R,G,B] [sprite=NAME] [texture]
    [remembers]`, then the 8 lines of its sprite, if it has one of its own; NAME is one of
    sprites.txt. Lines that begin with `# ` are comments.

    Raises:
        ValueError: names the file and the plane.
    """
    where = source.name if isinstance(source, Path) else "planes"
    text = source.read_text(encoding="utf-8") if isinstance(source, Path) else source
    planes = tuple(_plane(where, head, rows) for head, rows in _paragraphs(text))
    names = [plane.name for plane in planes]
    if len(set(names)) < len(names):
        raise ValueError(f"{where}: every plane has a name of its own; got {', '.join(names)}")
    return planes


def plane_index(planes: tuple[Plane, ...]) -> Any:
    """An IntEnum of the planes by their names in capitals: `1 << index.WALL` lights a plane."""
    return IntEnum("PlaneIndex", {plane.name.upper(): k for k, plane in enumerate(planes)})


def _paragraphs(text: str) -> list[tuple[str, list[str]]]:
    """(first line, lines of the sprite) of each plane."""
    paragraphs: list[tuple[str, list[str]]] = []
    for line in filter(None, map(str.strip, text.splitlines())):
        if line[0] not in "#.":
            paragraphs.append((line, []))
        elif paragraphs and not line.startswith("# "):
            paragraphs[-1][1].append(line)
    return paragraphs


def _plane(where: str, head: str, rows: list[str]) -> Plane:
    name, *words = head.split()
    if not words:
        raise ValueError(f"{where}: a plane is `name R,G,B ...`; got {head!r}")
    options = dict(word.partition("=")[::2] for word in words[1:])
    unknown = options.keys() - {"unseen", "sprite", *FLAGS}
    if unknown:
        raise ValueError(
            f"{where}: {name} has the unknown option {sorted(unknown)[0]!r}; there are "
            f"unseen=R,G,B, sprite=NAME, {', '.join(FLAGS)}"
        )
    if "sprite" in options and options["sprite"] not in sprites():
        raise ValueError(
            f"{where}: {name} names the sprite {options['sprite']!r}; there are "
            f"{', '.join(sprites())}"
        )
    sprite = _sprite(where, name, rows) if rows else sprites().get(options.get("sprite", ""), "")
    return Plane(
        name=name,
        colour=_colour(where, name, words[0]),
        sprite=sprite,
        unseen_colour=_colour(where, name, options["unseen"]) if "unseen" in options else None,
        **{field: flag in options for flag, field in FLAGS.items()},
    )


def _colour(where: str, name: str, text: str) -> tuple[int, int, int]:
    parts = text.split(",")
    if len(parts) != 3 or not all(part.isdigit() and int(part) < 256 for part in parts):
        raise ValueError(f"{where}: a colour is R,G,B, each 0-255; {name} has {text!r}")
    red, green, blue = map(int, parts)
    return red, green, blue


def _sprite(where: str, name: str, rows: list[str]) -> str:
    if len(rows) != PIXELS or any(len(row) != PIXELS or set(row) - set("#.") for row in rows):
        raise ValueError(
            f"{where}: a sprite is {PIXELS} lines of {PIXELS} characters '#' and '.'; that of "
            f"{name} has {len(rows)} lines of {sorted({len(row) for row in rows})}"
        )
    return "\n".join(rows)


@cache
def sprites() -> dict[str, str]:
    """The sprites that planes may name."""
    paragraphs = _paragraphs(SPRITES.read_text(encoding="utf-8"))
    return {name: _sprite(SPRITES.name, name, rows) for name, rows in paragraphs}
