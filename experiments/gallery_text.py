"""The parts of envs/README.md that follow from the declarations of families and cells."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import misgen.envs
from misgen.envs.core.family import Family
from misgen.envs.core.render import Renderer, visible_modes
from misgen.envs.core.types import Cell, Shift

ENVS = Path(misgen.envs.__file__).resolve().parent
PARTS = ("gallery", "reference")  # between <!-- NAME --> and <!-- /NAME -->


def filled(page: str, families: Iterable[Family], manifest: Mapping[str, Any]) -> str:
    """The page with its generated parts made anew.

    `manifest`: code of a cell -> what its pictures show; see gallery.py.

    Raises:
        ValueError: a part has no place on the page.
    """
    families = list(families)
    made = {
        "gallery": "\n\n".join(_family_gallery(family, manifest) for family in families),
        "reference": "\n\n".join(map(_family_reference, families)),
    }
    for name in PARTS:
        between = re.compile(rf"(?<=<!-- {name} -->\n).*?(?=<!-- /{name} -->)", re.DOTALL)
        places = [found.span() for found in between.finditer(page)]
        if len(places) != 1:
            raise ValueError(
                f"a page has one place for its generated part {name}, between the lines "
                f"<!-- {name} --> and <!-- /{name} -->; got {len(places)}"
            )
        ((start, end),) = places
        page = f"{page[:start]}{made[name]}\n{page[end:]}"
    return page


# The gallery


def _family_gallery(family: Family, manifest: Mapping[str, Any]) -> str:
    name = family.module.removeprefix("misgen.envs.").replace(".", "/")
    file = f"{name}/__init__.py" if (ENVS / name).is_dir() else f"{name}.py"
    title = f"### {family.title}\n\n{_first_line(family)} Its card is in [`{file}`]({file})."
    return "\n\n".join([title, *(_cell_entry(family, cell, manifest) for cell in family.cells)])


def _first_line(family: Family) -> str:
    """The first sentence of the card, without the family's name."""
    text = " ".join(family.card.partition("\n\n")[0].split())
    _, _, said = text.partition(": ")
    return said[:1].upper() + said[1:]


def _cell_entry(family: Family, cell: Cell, manifest: Mapping[str, Any]) -> str:
    planes = _codes(manifest[cell.code]["cue_planes"])
    events = _event_names(family)
    rewards = ", ".join(f"{events[event]} {reward:+g}" for event, reward in cell.rewards.items())
    pictures = [
        f"![{cell.code}: a level with the cue intact and with the cue broken, both goals outlined]"
        f"(gallery/{cell.code}.png)",
        f"![{cell.code}: the planners of both goals at play](gallery/{cell.code}.gif)",
    ]
    return "\n".join(
        [
            f"#### {cell.code}, {cell.shift_type} shift: {cell.intended.name}, or "
            f"{cell.proxy.name}?",
            "",
            f"Cue in training: {cell.cue.description} (visible in {planes}; modes "
            f"{_codes(visible_modes(family, cell))}). "
            f"Reward: {rewards}. {_shift('A', cell.shift_a)} "
            f"{_shift('B', cell.shift_b)}",
            "",
            _table(["at the start", "the planners at play"], [pictures]),
        ]
    )


def _shift(letter: str, shift: Shift) -> str:
    longer = f", to {shift.horizon_factor} times the horizon" if shift.horizon_factor > 1 else ""
    return f"{letter} (`{shift.scenario}`): {shift.description}{longer}."


def _event_names(family: Family) -> dict[int, str]:
    return {int(event): event.name.lower() for event in family.events}


# The reference


def _family_reference(family: Family) -> str:
    return "\n\n".join(
        [
            f"### `{family.env_id}`",
            f"Default cell {family.default_cell}, version {family.version}; trained with gamma "
            f"{family.gamma:g} unless said otherwise.",
            f"Actions: {_numbered(family.actions)}.",
            f"Planes, in the order in which they are painted: "
            f"{_numbered(plane.name for plane in family.planes)}.",
            f"Events, bit by bit: {_numbered(_event_names(family).values())}.",
            _table(["observation mode", "uint8 array", "cells"], _modes(family)),
            _table(["parameter", "range", *(c.code for c in family.cells)], _parameters(family)),
        ]
    )


def _modes(family: Family) -> list[list[str]]:
    """Mode, shape and the cells that can be played in it."""
    lines = []
    for mode in family.modes:
        cells = [cell for cell in family.cells if mode in visible_modes(family, cell)]
        shape = Renderer(family, cells[0], mode).shape
        default = " (default)" if mode == family.default_mode else ""
        shown = "x".join(map(str, shape))
        lines.append([f"`{mode}`{default}", shown, ", ".join(cell.code for cell in cells)])
    return lines


def _parameters(family: Family) -> list[list[str]]:
    """Each parameter's legal values and those of the cells, then what else a cell declares."""
    lines = [
        [f"`{name}`", f"{low} to {high}", *(_values(cell, name) for cell in family.cells)]
        for name, (low, high) in family.param_ranges.items()
    ]
    others: dict[str, Callable[[Cell], str]] = {
        "ends the episode": lambda cell: ", ".join(_event_names(family)[e] for e in cell.terminal),
        "horizon in training": lambda cell: f"{cell.train_horizon_steps} steps",
        "steps of PPO": lambda cell: f"{cell.total_steps or family.total_steps:,}",
        "noise where disturbed": lambda cell: f"{cell.noise_frac:g}" if _is_disturbed(cell) else "",
        "quadruples an agent": lambda cell: str(cell.evaluation_levels),
        "counts for its type": lambda cell: "yes" if cell.informs_type else "no",
        "harm by construction": lambda cell: "yes" if cell.harm_by_construction else "no",
    }
    return [*lines, *([name, "", *map(of, family.cells)] for name, of in others.items())]


def _is_disturbed(cell: Cell) -> bool:
    return any("disturbed" in shift.params for shift in (cell.shift_a, cell.shift_b))


def _values(cell: Cell, name: str) -> str:
    """A parameter in training, then where it is another one."""
    own = int(getattr(cell.params, name))
    changes = {"all variants": cell.matched, "A": cell.shift_a.params, "B": cell.shift_b.params}
    said = [f"{where} {int(params[name])}" for where, params in changes.items() if name in params]
    return "; ".join([str(own), *said])


def _table(header: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rows = [header, ["---"] * len(header), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _codes(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)


def _numbered(names: Iterable[str]) -> str:
    return ", ".join(f"{number} `{name}`" for number, name in enumerate(names))
