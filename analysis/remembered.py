"""Files of records: those of finished runs, and of which it is known from before what they say.

A run is a folder with `episodes.parquet` and, written last, `done.json`; without the second file
the run is unfinished and is not read. What a file said when it was checked is kept in the user's
cache.

A file is known by its path, size and time of change, and by the rules that it was checked by. The
cache is never needed: where it cannot be written, files are checked anew.
"""

import contextlib
import functools
import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from misgen.analysis import record_checks, record_schema
from misgen.analysis.files import atomic_write_bytes, files_under
from misgen.analysis.record_checks import Seen, check_files
from misgen.analysis.record_schema import FILE_NAME

KEPT = 50  # results folders


def record_files(results: Path) -> list[Path]:
    """Of all finished runs under a folder, or under its folder `runs` if there is one.

    Raises ValueError where there is none.
    """
    _require_folder(results)
    runs = results / "runs"  # beside it, a study may have gathered copies to be published
    found = [*files_under(runs if runs.is_dir() else results, FILE_NAME)]
    finished = sorted(file for file in found if (file.parent / "done.json").is_file())
    if not finished:
        raise ValueError(
            f"a finished run is a folder with {FILE_NAME} and done.json; {results} has none, and "
            f"{len(found)} unfinished; start the experiment again to resume it"
        )
    return finished


def _require_folder(results: Path) -> None:
    if not results.exists():
        raise ValueError(
            f"the results folder must exist; {results} does not; run an experiment first, "
            "or name another folder"
        )
    if not results.is_dir():
        raise ValueError(
            f"results must be a folder; {results} is a file; name the folder that holds the runs"
        )


def checked(results: Path, files: Sequence[Path]) -> dict[Path, list[Seen]]:
    """What each file says; ValueError, as `check_files`, for one that is not as it must be."""
    cache = _cache_file(results)
    known = _read(cache)
    marks = {file: mark(file) for file in files}
    before = {file: _before(known.get(os.fsdecode(file)), marks[file]) for file in files}
    seen = {file: found for file, found in before.items() if found is not None}
    new = [file for file in files if file not in seen]
    seen |= check_files(new)
    if new or len(known) > len(files):
        now = {os.fsdecode(f): {"mark": marks[f], "seen": seen[f]} for f in files}
        _write(cache, now)
    return seen


def _before(entry: Any, mark: list[int]) -> list[Seen] | None:
    """What a file said that had this mark; None for an entry of another, or of another form."""
    with contextlib.suppress(KeyError, TypeError):
        return [Seen(*one) for one in entry["seen"]] if entry["mark"] == mark else None
    return None


def mark(file: Path) -> list[int]:
    """Size and time of change. Taken before the file is read: one that changes meanwhile is read
    again."""
    status = file.stat()
    return [status.st_size, status.st_mtime_ns]


def cache_folder() -> Path:
    """$XDG_CACHE_HOME/misgen/records, or in ~/.cache."""
    root = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(root) / "misgen" / "records"


def _cache_file(results: Path) -> Path:
    identity = f"{_rules()} {os.path.abspath(results)}".encode(errors="surrogateescape")
    return cache_folder() / f"{hashlib.sha256(identity).hexdigest()[:24]}.json"


@functools.cache
def _rules() -> str:
    """The code of the checks decides what a checked file is."""
    digest = hashlib.sha256()
    for module in (record_checks, record_schema):
        digest.update(Path(str(module.__file__)).read_bytes())
    return digest.hexdigest()


def _read(cache: Path) -> dict[str, Any]:
    try:
        found = json.loads(cache.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write(cache: Path, known: dict[str, Any]) -> None:
    with contextlib.suppress(OSError, ValueError):  # read-only, full, or no folder at all
        cache.parent.mkdir(parents=True, exist_ok=True)
        atomic_write_bytes(cache, json.dumps(known).encode())
        old = sorted(cache.parent.glob("*.json"), key=lambda file: file.stat().st_mtime)
        for file in old[:-KEPT]:
            file.unlink(missing_ok=True)
