"""One run = one folder: identity, claim, atomic files, and a marker written last.

    <results>/runs/kind=train/run=<id>/
        config.json  provenance.json  claim.json  train.log  ...whatever the run makes...
        done.json | failed.json

Only `done.json` means finished: it is written last and atomically, so an interrupted run is simply
run again. The id is a hash of what the run computes, so equal configurations share one folder.
"""

import contextlib
import fcntl
import functools
import hashlib
import importlib.metadata
import json
import os
import platform
import shutil
import socket
import subprocess
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

SCHEMA = 1
"""Layout of the JSON files in a run folder."""

CODE_VERSION = 2
"""Part of every id. Raise it by hand when the same configuration would give other results, or when
what a run leaves has another form (2: cells are named by their codes)."""

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
        "tracker",
    }
)
"""Settings that say where or how a run is executed, not what it computes; dotted below the top
level ("agent.device"), because the same word deeper down may be data (an event's weight)."""

PACKAGES = (
    "misgen",
    "numpy",
    "torch",
    "stable-baselines3",
    "gymnasium",
    "numba",
    "hydra-core",
)

HEARTBEAT_S = 10.0
CLAIM_STALE_S = 300.0
"""A claim made on another machine counts as abandoned after this long without a heartbeat."""

_STATUS_FILES = {"claim.json", "progress.json", "train.log", "done.json", "failed.json"}


class ClaimedError(RuntimeError):
    """Another live process is working on the run folder."""


@dataclass(frozen=True)
class RunFolder:
    """The folder of the run of `kind` (train, evaluate, ...) that `config` describes."""

    root: Path
    kind: str
    config: Mapping[str, Any]

    @property
    def id(self) -> str:
        return run_id(self.config)

    @property
    def path(self) -> Path:
        return self.root / "runs" / f"kind={self.kind}" / f"run={self.id}"

    @property
    def is_done(self) -> bool:
        return is_done(self.path)

    def run(self, body: Callable[[Path], object]) -> bool:
        return run_once(self.path, self.config, body)


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


# --- Results folder ------------------------------------------------------------------------------


def results_root() -> Path:
    """$MISGEN_RESULTS or ./results, absolute: a worker elsewhere must not resolve it again."""
    return Path(os.environ.get("MISGEN_RESULTS") or "results").absolute()


def require_writable(root: Path) -> Path:
    """Create `root` and write a file in it; ValueError if that is impossible."""
    probe = root / f".tmp-{os.getpid()}-probe"
    try:
        root.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise ValueError(
            f"the place for results must be a folder that can be written to; {str(root)!r} is not "
            f"({error.strerror}); name another folder "
            "(if you named none, set MISGEN_RESULTS to another folder)"
        ) from error
    return root


# --- JSON files ---------------------------------------------------------------------------------


def write_json(path: Path, value: Any) -> None:
    """Replace `path` atomically: a reader, or a reader after a crash, sees all of it or nothing.

    Raises ValueError where no file can be at `path`.
    """
    # Imported here: it brings pyarrow and duckdb, which `misgen doctor` may find broken.
    from misgen.analysis.records import atomic_write_bytes

    atomic_write_bytes(path, (json.dumps(value, indent=1, sort_keys=True) + "\n").encode())


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in `path`; None if it is missing or not (yet) a whole JSON object."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


# --- One attempt ---------------------------------------------------------------------------------


def is_done(folder: Path) -> bool:
    return (folder / "done.json").is_file()


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
        started = time.monotonic()
        _begin(folder, config)
        try:
            body(folder)
        except (Exception, SystemExit) as error:
            write_failed(folder, _one_line(error), traceback.format_exc())
            raise
        _write_done(folder, time.monotonic() - started)
    return True


def _begin(folder: Path, config: Mapping[str, Any]) -> None:
    for leftover in [*folder.glob(".tmp-*"), folder / "failed.json", folder / "progress.json"]:
        leftover.unlink(missing_ok=True)
    write_json(folder / "config.json", dict(config))
    write_json(folder / "provenance.json", provenance())


def _write_done(folder: Path, seconds: float) -> None:
    done = {
        "id": _id_of(folder),
        "schema": SCHEMA,
        "seconds": round(seconds, 3),
        "sha256": file_hashes(folder),
        "versions": versions(),
    }
    write_json(folder / "done.json", done)
    (folder / "progress.json").unlink(missing_ok=True)


def write_failed(folder: Path, error: str, trace: str | None) -> None:
    """Record why the attempt failed: one line, and the traceback unless the process was killed."""
    failed = {"id": _id_of(folder), "schema": SCHEMA, "error": error, "traceback": trace}
    write_json(folder / "failed.json", failed)


def file_hashes(folder: Path) -> dict[str, str]:
    """Relative path -> SHA-256 of every file the run made (no logs, markers or hidden files)."""
    hashes = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name not in _STATUS_FILES and not path.name.startswith("."):
            with path.open("rb") as file:
                hashes[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return hashes


def _id_of(folder: Path) -> str:
    return folder.name.removeprefix("run=")


def _one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]


# --- Claim: one process per run folder -----------------------------------------------------------


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
            raise ClaimedError(f"{_id_of(folder)} is being worked on by {holder}")
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
    if holder is None or holder.get("machine") != _machine_identity():
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
        raise ClaimedError(f"{_id_of(path.parent)} has just been claimed elsewhere") from error
    with open(descriptor, "w") as file:
        json.dump({**mine, "time": _utc_now()}, file)


def _heartbeat(path: Path, stop: threading.Event) -> None:
    while not stop.wait(HEARTBEAT_S):
        with contextlib.suppress(OSError):
            os.utime(path)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Without it, two processes that both see a dead claim would both remove and remake it."""
    with open(folder / ".claim.lock", "w") as file:
        with contextlib.suppress(OSError):  # a disk without locks still has O_EXCL
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
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return socket.gethostname()


def _start_ticks(pid: int) -> int | None:
    """Start time of a live process; None if there is none (a zombie is dead)."""
    try:
        state, *rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if state in "ZX" else int(rest[18])
    except (OSError, ValueError):
        return None if Path("/proc/self/stat").exists() else _start_unknown(pid)


def _start_unknown(pid: int) -> int | None:
    """Without /proc (macOS): 0 for a live process, whose start time cannot be compared."""
    try:
        os.kill(pid, 0)
    except OSError as error:
        return 0 if isinstance(error, PermissionError) else None
    return 0


# --- Provenance ----------------------------------------------------------------------------------


def provenance() -> dict[str, Any]:
    """What made the results: code, versions, kind of machine, date. Nothing that names a person."""
    commit, dirty = _git_state()
    return {
        "schema": SCHEMA,
        "code_version": CODE_VERSION,
        "git_commit": commit,
        "git_dirty": dirty,
        "versions": versions(),
        "machine": machine_kind(),
        "date_utc": _utc_now(),
    }


def versions() -> dict[str, str | None]:
    """Version by distribution name (None if absent), without importing any of them."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    return found


@functools.cache
def machine_kind() -> dict[str, Any]:
    return {"cpu": _cpu_model(), "cores": usable_cores(), "gpu": _gpu_name()}


def usable_cores() -> int:
    """CPU cores this process may use (a job scheduler may grant fewer than the machine has)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cpu_model() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _gpu_name() -> str | None:
    """Name of the first NVIDIA GPU, asked of the driver: importing torch would take seconds."""
    if shutil.which("nvidia-smi") is None:
        return None
    return _output_of("nvidia-smi", "--query-gpu=name", "--format=csv,noheader", "--id=0")


def _git_state() -> tuple[str | None, bool | None]:
    """Commit and whether the tree differs from it; (None, None) for an installed package."""
    source = Path(__file__).resolve().parent.parent
    top = _output_of("git", "-C", str(source), "rev-parse", "--show-toplevel")
    if top is None or Path(top).resolve() != source:
        return None, None
    commit = _output_of("git", "-C", str(source), "rev-parse", "--verify", "HEAD")
    changes = _output_of("git", "-C", str(source), "status", "--porcelain")
    return commit, None if changes is None else bool(changes)


def _output_of(*command: str) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _utc_now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
