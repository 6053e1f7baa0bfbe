"""One attempt at a run: its body is called in its folder, and done.json or failed.json is left."""

import contextlib
import hashlib
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from misgen.analysis.files import files_under, is_disk_full
from misgen.experiments.claim import claim
from misgen.experiments.provenance import SCHEMA, provenance, versions
from misgen.experiments.run_folder import (
    id_of,
    is_done,
    require_writable,
    write_json,
)

_STATUS_FILES = {"claim.json", "progress.json", "train.log", "done.json", "failed.json"}


def run_once(folder: Path, config: Mapping[str, Any], body: Callable[[Path], object]) -> bool:
    """Run `body(folder)` unless the folder is finished (then False); leave done.json/failed.json.

    The body's exception is raised again. An interrupted body leaves neither marker. ClaimedError
    if another live process works on the folder.
    """
    if is_done(folder):
        return False
    require_writable(folder)
    with claim(folder):
        if is_done(folder):  # by whoever held the claim until now
            return False
        started = time.monotonic(), time.process_time()
        _begin(folder, config)
        try:
            body(folder)
        except (Exception, SystemExit) as error:
            if is_disk_full(error):
                _make_room(folder)
            with contextlib.suppress(OSError):  # what went wrong first is what counts
                write_failed(folder, _one_line(error), traceback.format_exc())
            raise
        _write_done(folder, time.monotonic() - started[0], time.process_time() - started[1])
    return True


def _begin(folder: Path, config: Mapping[str, Any]) -> None:
    for leftover in [*folder.glob(".tmp-*"), folder / "failed.json", folder / "progress.json"]:
        leftover.unlink(missing_ok=True)
    write_json(folder / "config.json", dict(config))
    write_json(folder / "provenance.json", provenance())


def _make_room(folder: Path) -> None:
    """Take away what the attempt made: of no use to the next one, and the other runs need room."""
    kept = _STATUS_FILES | {"config.json", "provenance.json", ".claim.lock", "resume.safetensors"}
    for path in folder.iterdir():
        if path.is_file() and path.name not in kept:
            path.unlink()


def _write_done(folder: Path, seconds: float, cpu_seconds: float) -> None:
    done = {
        "id": id_of(folder),
        "schema": SCHEMA,
        "seconds": round(seconds, 3),
        "cpu_seconds": round(cpu_seconds, 3),
        "sha256": file_hashes(folder),
        "versions": versions(),
    }
    write_json(folder / "done.json", done)
    (folder / "progress.json").unlink(missing_ok=True)


def write_failed(folder: Path, error: str, trace: str | None) -> None:
    """Record why the attempt failed: one line, and the traceback unless the process was killed."""
    failed = {"id": id_of(folder), "error": error, "traceback": trace}
    write_json(folder / "failed.json", {"schema": SCHEMA, **failed})


def file_hashes(folder: Path) -> dict[str, str]:
    """Relative path -> SHA-256 of every file the run made (no logs, markers or hidden files)."""
    hashes = {}
    for path in sorted(files_under(folder)):
        name = path.relative_to(folder).as_posix()
        if name not in _STATUS_FILES and not path.name.startswith("."):
            with path.open("rb") as file:
                hashes[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return hashes


def _one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]
