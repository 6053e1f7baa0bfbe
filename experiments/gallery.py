"""`misgen gallery`: draw every cell anew, and what envs/README.md says of its declarations.

`gallery/` beside that page gets a PNG and a GIF for each cell of the registry, and `gallery.json`,
which says for each cell which level they show, by family version, level seed and level hashes, and
the digests of the two files, so that a test sees whether they are up to date.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from misgen.analysis.files import atomic_write_bytes
from misgen.envs.core.family import Family
from misgen.envs.families import FAMILIES
from misgen.experiments.cli import Parser
from misgen.experiments.gallery_pictures import Example, animation, cue_planes, example, still
from misgen.experiments.gallery_text import ENVS, filled

MAX_BYTES = 150_000  # of the two pictures of a cell


def main(argv: list[str]) -> int:
    """Exit code 0. Raises ValueError or FileNotFoundError where there is no page to fill."""
    folder = Path(_parser().parse_args(argv).to)
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


def _parser() -> Parser:
    parser = Parser(
        prog="misgen gallery",
        description="Draw every cell anew and fill the generated parts of envs/README.md.",
    )
    parser.add_argument(
        "--to", metavar="FOLDER", default=str(ENVS), help="of the page (default: envs)"
    )
    return parser


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
