"""One attempt at a run: its body is called in its folder, by one process at a time, and done.json
or failed.json is left."""

import contextlib
import functools
import hashlib
import json
import os
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from misgen.analysis.files import files_under, is_disk_full
from misgen.experiments.provenance import SCHEMA, provenance, utc_now, versions
from misgen.experiments.runs.folder import id_of, is_done, read_json, require_writable, write_json

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
                line = f"{type(error).__name__}: {error}".splitlines()[0]
                write_failed(folder, line, traceback.format_exc())
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


# --- One process per folder: who holds the right to work in it -----------------------------------

HEARTBEAT_S = 10.0
CLAIM_STALE_S = 300.0
"""A claim made on another machine counts as abandoned after this long without a heartbeat."""


class ClaimedError(RuntimeError):
    """Another live process is working on the run folder."""


@contextlib.contextmanager
def claim(folder: Path) -> Iterator[None]:
    """Hold the only right to work in `folder`; ClaimedError while another live process has it.

    A claim whose process is dead is taken over; one made on another machine, whose processes
    cannot be seen from here, once its heartbeat (the file's mtime) is CLAIM_STALE_S old.
    """
    path = folder / "claim.json"
    mine = _process_identity(os.getpid())
    with _locked(folder):
        holder = claimed_by(folder)
        if holder is not None:
            raise ClaimedError(f"{folder.name} is being worked on by {holder}")
        path.unlink(missing_ok=True)
        _create_claim(path, mine)
    stop = threading.Event()
    beat = threading.Thread(target=_heartbeat, args=(path, stop), daemon=True)
    beat.start()
    try:
        yield
    finally:
        stop.set()
        beat.join()
        if _is_same_process(read_json(path), mine):
            path.unlink(missing_ok=True)


def claimed_by(folder: Path) -> str | None:
    """Who works on `folder` now ("pid 12 on host"), or None."""
    path = folder / "claim.json"
    try:
        silent_s = time.time() - path.stat().st_mtime
    except OSError:
        return None
    holder = read_json(path)
    # Windows cannot be asked whether a process lives.
    if holder is None or os.name != "posix" or holder.get("machine") != _machine_identity():
        alive = silent_s < CLAIM_STALE_S
    else:
        alive = _is_same_process(holder, _process_identity(int(holder["pid"])))
    holder = holder or {}
    return f"pid {holder.get('pid', '?')} on {holder.get('host', '?')}" if alive else None


def _create_claim(path: Path, mine: dict[str, Any]) -> None:
    # O_EXCL as well as the lock: machines sharing the disk may not share its locks.
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    except FileExistsError as error:
        raise ClaimedError(f"{path.parent.name} has just been claimed elsewhere") from error
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            json.dump({**mine, "time": utc_now()}, file)
    except OSError as error:  # a full disk
        path.unlink(missing_ok=True)
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def _heartbeat(path: Path, stop: threading.Event) -> None:
    while not stop.wait(HEARTBEAT_S):
        with contextlib.suppress(OSError):
            os.utime(path)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Without it, two processes that both see a dead claim would both remove and remake it."""
    with open(folder / ".claim.lock", "wb") as file:
        # Windows, and disks without locks, still have O_EXCL.
        with contextlib.suppress(ImportError, OSError):
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _process_identity(pid: int) -> dict[str, Any]:
    """A pid alone is reused; with its start time (clock ticks since boot) it is not."""
    identity = {"host": socket.gethostname(), "machine": _machine_identity(), "pid": pid}
    return {**identity, "started_ticks": _start_ticks(pid)}


def _is_same_process(holder: Mapping[str, Any] | None, process: Mapping[str, Any]) -> bool:
    same = holder is not None and all(
        holder.get(key) == process[key] for key in ("machine", "pid", "started_ticks")
    )
    return same and process["started_ticks"] is not None


@functools.cache
def _machine_identity() -> str:
    """Where pids mean the same: one boot of one machine, one pid namespace (container)."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return socket.gethostname()


def _start_ticks(pid: int) -> int | None:
    """Start time of a live process; None if there is none (a zombie is dead)."""
    try:
        state, *rest = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        return None if state in b"ZX" else int(rest[18])
    except (OSError, ValueError):
        return None if Path("/proc/self/stat").exists() else _start_unknown(pid)


def _start_unknown(pid: int) -> int | None:
    """Without /proc (macOS): 0 for a live process, whose start time cannot be compared."""
    if os.name != "posix":
        return 0
    try:
        os.kill(pid, 0)
    except OSError as error:
        return 0 if isinstance(error, PermissionError) else None
    return 0
