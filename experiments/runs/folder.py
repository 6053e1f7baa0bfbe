"""Where a run's results are: its identity, its folder, and the JSON files in it.

`config.json` is what the run computes. Only `done.json` means finished: it is written last and
atomically, so an interrupted run is simply run again. The id is a hash of what the run computes, so
equal configurations share one folder.
"""

import argparse
import hashlib
import json
import os
import shlex
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from misgen.analysis.files import atomic_write_bytes, is_disk_full, require_target
from misgen.experiments.provenance import CODE_VERSION

NON_IDENTITY = frozenset(
    {
        "device",
        "hydra",
        "launcher",
        "location",
        "log_level",
        "num_threads",
        "num_workers",
        "progress",
        "results_root",
        "study",
        "tensorboard",
    }
)
"""Settings that say where or how a run is executed, not what it computes; dotted below the top
level ("agent.device"), because the same word deeper down may be data (an event's weight)."""


@dataclass(frozen=True)
class RunFolder:
    """The folder of the run of `kind` (train, evaluate, ...) that `config` describes."""

    root: Path
    kind: str
    config: Mapping[str, Any]

    @cached_property
    def id(self) -> str:
        return run_id(self.config)

    @property
    def path(self) -> Path:
        return self.root / "runs" / f"kind={self.kind}" / f"run={self.id}"

    @property
    def is_done(self) -> bool:
        return is_done(self.path)


def run_id(config: Mapping[str, Any]) -> str:
    """16 hex digits naming what `config` computes; ValueError where it is not plain JSON data."""
    try:
        identity = {"code_version": CODE_VERSION, "config": _without_non_identity(config)}
        text = json.dumps(identity, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"a run's config must hold only finite numbers, strings, booleans, null, lists and "
            f"dicts with string keys; {error}; convert it first (dataclasses.asdict)"
        ) from error
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _without_non_identity(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for key, value in config.items():
        if not isinstance(key, str):  # JSON would turn 1 and "1" into the same key
            raise TypeError(f"the key {key!r} is not a string")
        path = prefix + key
        if path not in NON_IDENTITY:
            is_group = isinstance(value, Mapping)
            kept[key] = _without_non_identity(value, f"{path}.") if is_group else value
    return kept


def id_of(folder: Path) -> str:
    """The id of a run, from its folder."""
    return folder.name.removeprefix("run=")


def is_done(folder: Path) -> bool:
    return (folder / "done.json").is_file()


# --- Results folder ------------------------------------------------------------------------------


RESULTS_HELP = "--results FOLDER: the folder of runs (default: $MISGEN_RESULTS or results)"
QUICK = "quick"
"""Folder in the results of what a smoke run trains: its agents have the numbers of full ones."""


def results_root() -> Path:
    """$MISGEN_RESULTS or ./results, absolute: a worker elsewhere must not resolve it again."""
    return Path(os.environ.get("MISGEN_RESULTS") or "results").absolute()


def parse_flags(parser: argparse.ArgumentParser, argv: Sequence[str]) -> argparse.Namespace:
    """The options of a command that takes flags only. ValueError for words, as which folders of
    results were named up to misgen 0.3."""
    options, rest = parser.parse_known_args(argv)
    if rest and not any(word.startswith("-") for word in rest):
        raise ValueError(
            f"a results folder is named by --results; got {' '.join(rest)}; write --results "
            f"{shlex.quote(rest[0])}"
        )
    if rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    return options


def require_writable(root: Path, setting: str = "--results or MISGEN_RESULTS") -> Path:
    """Create `root` and write a file in it; ValueError, with the setting that names another, if
    that is impossible, OSError on a full disk."""
    probe = root / f".tmp-{os.getpid()}-probe"
    try:
        root.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"")
        probe.unlink(missing_ok=True)  # whoever begins a run here at this moment clears it away
    except OSError as error:
        if is_disk_full(error):
            raise OSError(error.errno, error.strerror, str(root)) from error
        raise ValueError(
            f"the place for results must be a folder that can be written to; {str(root)!r} is not "
            f"({error.strerror}); name another folder with {setting}"
        ) from error
    return root


def run_folders(root: Path, kind: str = "*") -> list[Path]:
    """The folders of all runs of a kind, finished or not. ValueError for a link that leads nowhere:
    what it led to would be missing silently."""
    found = sorted(root.glob(f"runs/kind={kind}/run=*"))
    for folder in found:
        require_target(folder)
    return found


def remove_run(folder: Path) -> None:
    """Take a run out of the results; where a link leads to it, the link only."""
    if folder.is_symlink():
        folder.unlink()
    else:
        shutil.rmtree(folder, ignore_errors=True)


# --- JSON files ----------------------------------------------------------------------------------


def write_json(path: Path, value: Any) -> None:
    """Replace `path` atomically: a reader, or a reader after a crash, sees all of it or nothing.

    Raises ValueError where no file can be at `path`.
    """
    atomic_write_bytes(path, (json.dumps(value, indent=1, sort_keys=True) + "\n").encode())


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in `path`; None if it is missing or not (yet) a whole JSON object."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None
