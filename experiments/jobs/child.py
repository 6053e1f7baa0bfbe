"""In the process of a job: running it and reporting its progress; and the warm process that it is
forked from."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import os
import select
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any, NoReturn

from misgen.analysis.files import is_disk_full
from misgen.experiments.jobs.attempt import ClaimedError, run_once

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


# --- The warm process ----------------------------------------------------------------------------

NEW_S = 0.05  # what is already warm takes less


def serve() -> None:
    """Be a server until the orders end. The command line names the scheduler's process."""
    die_with(int(sys.argv[2]))
    server = Server()
    try:
        server.serve()
    finally:
        for pid in server.jobs:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)


class Server:
    """It has imported what jobs import and loaded the kernels that they call, and is forked for
    each of them, so that a job starts in tenths of a second.

    It has one thread, uses no GPU, differentiates nothing and opens no database: what is forked
    then works in the child. Orders and events are lines of JSON on its standard streams. When the
    orders end, because the scheduler has closed them or is dead, it kills its jobs and ends; when
    it is killed, the kernel kills them. The kernel kills it, too, when the scheduler dies: it may
    be compiling then, and read no orders for half a minute.
    """

    def __init__(self) -> None:
        self.jobs: dict[int, str] = {}  # process -> name of the running job
        self.orders, self.events = os.dup(0), os.dup(1)
        nothing = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1):  # what is printed here is no event
            os.dup2(nothing, stream)
        self.ended, wake = os.pipe()
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def serve(self) -> None:
        unread = b""
        while True:
            ready, _, _ = select.select([self.orders, self.ended], [], [])
            if self.ended in ready:
                os.read(self.ended, 4096)
                self.report_ended()
            if self.orders in ready:
                data = os.read(self.orders, 1 << 20)
                if not data:
                    return
                *lines, unread = (unread + data).split(b"\n")
                for line in lines:
                    order = json.loads(line)
                    if "import" in order:
                        importlib.import_module(order["import"])
                    else:
                        self.start(order)

    def start(self, order: dict[str, Any]) -> None:
        """Fork for one job."""
        warm(order["target"], order["argument"])
        order["parent"] = os.getpid()
        pid = os.fork()
        if pid == 0:
            self._become_job(order)
        with contextlib.suppress(OSError):  # it does so itself, too; whoever is first
            os.setpgid(pid, pid)
        self.jobs[pid] = order["name"]
        self.tell({"started": order["name"], "pid": pid})

    def _become_job(self, order: dict[str, Any]) -> NoReturn:
        """In the child: leave the server's things alone, and run."""
        code: Any = 1
        try:
            os.setpgid(0, 0)
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for pipe in (self.orders, self.events, self.ended):
                os.close(pipe)
            log = os.open(order["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
            for stream in (1, 2):
                os.dup2(log, stream)
            sys.path[:] = order["sys_path"]
            os.environ.clear()
            os.environ.update(order["environment"])
            with contextlib.suppress(OSError):  # a folder that was removed
                os.chdir(order["cwd"])
            run_child(order)
        except SystemExit as error:
            code = error.code
        finally:
            with contextlib.suppress(OSError, ValueError):  # a full disk
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code if isinstance(code, int) else 1)

    def report_ended(self) -> None:
        """Tell how the jobs ended that have."""
        while self.jobs:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            code = os.waitstatus_to_exitcode(status)
            self.tell({"ended": self.jobs.pop(pid), "code": code})

    def tell(self, event: dict[str, Any]) -> None:
        with contextlib.suppress(BrokenPipeError):  # the scheduler is dead; the orders end, too
            os.write(self.events, json.dumps(event).encode() + b"\n")


def warm(target: str, argument: Any) -> None:
    """Let the target's module prepare for jobs with such arguments, by its function `warm`. Only
    modules of ours: others may change between jobs."""
    started = time.monotonic()
    if target.startswith("misgen."):
        with contextlib.suppress(Exception):  # what is wrong, the job itself says
            module = importlib.import_module(target.partition(":")[0])
            getattr(module, "warm", lambda _: None)(argument)
    if time.monotonic() - started > NEW_S:
        gc.collect()
        gc.freeze()  # what is there now is shared: no child's collection has to copy it
