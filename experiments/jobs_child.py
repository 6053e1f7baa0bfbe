"""In the process of a job: running it and reporting its progress."""

import contextlib
import ctypes
import importlib
import json
import os
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any, NoReturn

from misgen.analysis.files import is_disk_full
from misgen.experiments.attempt import run_once
from misgen.experiments.claim import ClaimedError

PROGRESS_S = 1.0

EXIT_RECORDED = 3  # the job failed and failed.json says why
EXIT_DISK_FULL = 4  # likewise, if there was room for it
EXIT_CLAIMED = 75  # another process holds the run folder, or has just finished it
_PR_SET_PDEATHSIG = 1


def run_child(order: dict[str, Any]) -> NoReturn:
    """Run one job and end the process; the exit code tells the scheduler what happened."""
    die_with(order["parent"])

    def body(folder: Path) -> None:
        module, _, function = order["target"].partition(":")
        getattr(importlib.import_module(module), function)(order["argument"], folder)

    try:
        ran = run_once(Path(order["folder"]), order["argument"], body)
    except ClaimedError as error:
        print(error)
        sys.exit(EXIT_CLAIMED)
    except (Exception, SystemExit) as error:
        with contextlib.suppress(OSError):  # the log may be on the full disk
            traceback.print_exc()
        sys.exit(EXIT_DISK_FULL if is_disk_full(error) else EXIT_RECORDED)
    sys.exit(0 if ran else EXIT_CLAIMED)


def die_with(parent: int) -> None:
    """Have the kernel kill this process when `parent` dies, even by SIGKILL (Linux only)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the request above
        os._exit(1)


def report_progress(folder: Path, done: float, total: float, message: str = "") -> None:
    """Called by a job: `done` of `total` in any unit. Cheap: writes at most once in PROGRESS_S."""
    path = folder / "progress.json"
    now = time.monotonic()
    if done < total and now - _last_report.get(path, -PROGRESS_S) < PROGRESS_S:
        return
    _last_report[path] = now
    hidden = path.with_name(f".tmp-{os.getpid()}-progress.json")
    # Replaced, so never read half-written; not fsynced, because it may be lost.
    try:
        hidden.write_text(
            json.dumps({"done": done, "total": total, "message": message}), encoding="utf-8"
        )
        os.replace(hidden, path)
    except OSError:
        hidden.unlink(missing_ok=True)


_last_report: dict[Path, float] = {}
