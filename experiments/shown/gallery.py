"""`misgen gallery`: draw every cell anew, and what envs/README.md says of its declarations.

`gallery/` beside that page gets a PNG and a GIF for each cell of the registry, and `gallery.json`,
which says for each cell which level they show, by family version, level seed and level hashes, and
the digests of the two files, so that a test sees whether they are up to date.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import misgen.envs
from misgen.analysis.files import atomic_write_bytes
from misgen.envs.core.family import Family
from misgen.envs.core.render import Renderer, visible_modes
from misgen.envs.core.types import Cell, Shift
from misgen.envs.families import FAMILIES
from misgen.experiments.cli import Parser
from misgen.experiments.shown.gallery_pictures import Example, animation, cue_planes, example, still

ENVS = Path(misgen.envs.__file__).resolve().parent
MAX_BYTES = 150_000  # of the two pictures of a cell


def main(argv: list[str]) -> int:
    """Exit code 0. Raises ValueError or FileNotFoundError where there is no page to fill."""
    text = "Draw every cell anew and fill the generated parts of envs/README.md."
    parser = Parser(prog="misgen gallery", description=text)
    text = "of the page (default: envs)"
    parser.add_argument("--to", metavar="FOLDER", type=Path, default=ENVS, help=text)
    folder = parser.parse_args(argv).to
    page = folder / "README.md"
    if not page.is_file():
        raise FileNotFoundError(
            f"the gallery is part of envs/README.md in a checkout, and {page} does not exist; "
            "give the folder of such a page by --to"
        )
    text = page.read_text(encoding="utf-8")
    filled(text, [], {})  # refuses a page without places before anything is drawn
    manifest = draw(folder / "gallery", FAMILIES.values())
    atomic_write_bytes(page, filled(text, FAMILIES.values(), manifest).encode())
    print(f"{len(manifest)} cells in {page}")
    return 0


def draw(folder: Path, families: Iterable[Family]) -> dict[str, Any]:
    """Write the pictures of all cells and `gallery.json`; returns what that holds.

    Raises:
        ValueError: pictures of a cell are too large.
    """
    folder.mkdir(exist_ok=True)
    manifest = {}
    for family in families:
        for cell in family.cells:
            shown = example(family, cell)
            pictures = {"png": still(shown), "gif": animation(shown)}
            if sum(map(len, pictures.values())) > MAX_BYTES:
                raise ValueError(
                    f"the pictures of a cell take {MAX_BYTES:,} bytes at most; those of "
                    f"{cell.code} take {sum(map(len, pictures.values())):,}; see STEPS"
                )
            for kind, data in pictures.items():
                atomic_write_bytes(folder / f"{cell.code}.{kind}", data)
            manifest[cell.code] = entry(shown, pictures)
            print(f"{cell.code}: level seed {shown.seed}", flush=True)
    for file in folder.iterdir():
        if file.suffix in (".png", ".gif") and file.stem not in manifest:
            file.unlink()
    text = json.dumps(manifest, indent=1) + "\n"
    atomic_write_bytes(folder / "gallery.json", text.encode())
    return manifest


def entry(shown: Example, pictures: dict[str, bytes]) -> dict[str, Any]:
    """What `gallery.json` says of a cell."""
    return {
        "family": shown.family.name,
        "version": shown.family.version,
        "planes": digest(repr(shown.family.planes).encode()),
        "level_seed": shown.seed,
        "level_hashes": {variant: f"{value:016x}" for variant, value in shown.hashes.items()},
        "cue_planes": cue_planes(shown),
        "files": {kind: digest(data) for kind, data in pictures.items()},
    }


def digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=8).hexdigest()


# --- The page -------------------------------------------------------------------------------------


def filled(page: str, families: Iterable[Family], manifest: Mapping[str, Any]) -> str:
    """The page with its generated parts made anew.

    `manifest`: code of a cell -> what its pictures show, as `draw` returns it.

    Raises:
        ValueError: a part has no place on the page.
    """
    families = list(families)
    made = {
        "gallery": "\n\n".join(_family_gallery(family, manifest) for family in families),
        "reference": "\n\n".join(map(_family_reference, families)),
    }
    for name, text in made.items():
        around = re.split(rf"(?s)(?<=<!-- {name} -->\n).*?(?=<!-- /{name} -->)", page)
        if len(around) != 2:
            raise ValueError(
                f"a page has one place for its generated part {name}, between the lines "
                f"<!-- {name} --> and <!-- /{name} -->; got {len(around) - 1}"
            )
        page = f"{text}\n".join(around)
    return page


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
    goals = f"{cell.intended.name}, or {cell.proxy.name}?"
    said = (
        f"Cue in training: {cell.cue.description} (visible in {planes}; modes "
        f"{_codes(visible_modes(family, cell))}). Reward: {rewards}. "
        f"{_shift('A', cell.shift_a)} {_shift('B', cell.shift_b)}"
    )
    pictures = [
        f"![{cell.code}: a level with the cue intact and with the cue broken, both goals outlined]"
        f"(gallery/{cell.code}.png)",
        f"![{cell.code}: the planners of both goals at play](gallery/{cell.code}.gif)",
    ]
    table = _table(["at the start", "the planners at play"], [pictures])
    return f"#### {cell.code}, {cell.shift_type} shift: {goals}\n\n{said}\n\n{table}"


def _shift(letter: str, shift: Shift) -> str:
    longer = f", to {shift.horizon_factor} times the horizon" if shift.horizon_factor > 1 else ""
    return f"{letter} (`{shift.scenario}`): {shift.description}{longer}."


def _event_names(family: Family) -> dict[int, str]:
    return {int(event): event.name.lower() for event in family.events}


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
