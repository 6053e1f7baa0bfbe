"""Starting the process of a job: forked from a warm server, or a fresh one.

Fresh ones are for systems that do not fork safely (macOS) and for jobs on a GPU.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import select
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

EXIT_SERVER_DIED = 76  # of a job whose server was killed
EXIT_WORKER_DIED = 77  # of a job whose worker on a cluster was
LOST = {
    EXIT_SERVER_DIED: "the process that jobs are forked from was killed, and its jobs with it",
    EXIT_WORKER_DIED: "its worker on the cluster was killed, or the machine was lost",
}
POLL_S = 0.02

ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",  # pyarrow's, from its import on
}
"""Variables that are read when numpy, torch and pyarrow are imported."""

# A child takes over sys.path, so it imports the same code wherever it starts; -P keeps a folder
# called `misgen` in the current directory from shadowing ours before that.
_SERVER = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from misgen.experiments.jobs.child import serve; serve()"
)
_CHILD = (
    "import json, sys; order = json.load(sys.stdin); sys.path[:] = order['sys_path']; "
    "from misgen.experiments.jobs.child import run_child; run_child(order)"
)


class Process(ABC):
    """The process of a job, which leads a group of its own; it is asked now and then whether it has
    ended."""

    name: str
    pid = 0  # 0: not known yet, or on another machine
    returncode: int | None = None  # minus the signal that killed it; None while it runs

    @abstractmethod
    def poll(self) -> int | None: ...

    @abstractmethod
    def signal_group(self, number: int) -> None:
        """Send a signal to the process and those it started, unless it has ended."""

    def wait(self, timeout: float | None = None) -> int:
        """Raises subprocess.TimeoutExpired."""
        deadline = time.monotonic() + (timeout if timeout is not None else float("inf"))
        while (code := self.poll()) is None:
            if time.monotonic() >= deadline:
                raise subprocess.TimeoutExpired(self.name, timeout or 0.0)
            time.sleep(POLL_S)
        return code


Order = dict[str, Any]  # JSON data: what the process of a job is told
Start = Callable[[Order], Process]


def order_of(name: str, target: str, argument: dict[str, Any], folder: Path) -> Order:
    """What runs a job in its folder, whose train.log takes what it prints."""
    return {
        "name": name,
        "sys_path": sys.path,
        "target": target,
        "argument": argument,
        "folder": str(folder.absolute()),
        "log": str((folder / "train.log").absolute()),
        "cwd": os.getcwd(),
    }


def start(order: Order) -> Process:
    """A process of this machine that runs a job."""
    order = {**order, "parent": os.getpid(), "environment": _environment()}
    return _server().start(order) if can_fork(order["argument"]) else _Fresh(order)


def can_fork(argument: Mapping[str, Any]) -> bool:
    """Whether a job with this argument works in a fork of the server."""
    return sys.platform == "linux" and argument.get("device") != "cuda"


def _environment() -> dict[str, str]:
    return {**os.environ, **ONE_THREAD, "PYTHONUNBUFFERED": "1", "PYTHONFAULTHANDLER": "1"}


class _Fresh(Process):
    """A job that imports everything itself."""

    def __init__(self, order: Order) -> None:
        name = order["name"].encode(errors="backslashreplace")
        with open(order["log"], "ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-c", _CHILD, name],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=order["environment"],
                start_new_session=True,  # Ctrl-C reaches the scheduler only, which stops the jobs
            )
        self.name, self.pid = order["name"], self.process.pid
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # already dead: its exit status says so
            self.process.stdin.write(json.dumps(order).encode())
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()

    def poll(self) -> int | None:
        self.returncode = self.process.poll()
        return self.returncode

    def signal_group(self, number: int) -> None:
        if self.poll() is None:
            _signal_group(self.pid, number)


def _signal_group(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, number)


class Forked(Process):
    """A job of the server. pid: 0 until it has been forked."""

    def __init__(self, server: _Client, name: str) -> None:
        self.server, self.name = server, name

    def poll(self) -> int | None:
        self.server.read_events(POLL_S if self.server.forking == self.name else 0.0)
        return self.returncode

    def signal_group(self, number: int) -> None:
        if self.poll() is not None:
            return
        if self.pid:
            _signal_group(self.pid, number)
        else:
            close_server()  # which is not ready to fork the job yet


class _Client:
    """The scheduler's end of a server. It never waits for it: that may be compiling."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-c", _SERVER, json.dumps(sys.path), str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=_environment(),
            start_new_session=True,  # Ctrl-C reaches the scheduler only, which then stops the jobs
        )
        assert self.process.stdin is not None and self.process.stdout is not None
        self.orders, self.events = self.process.stdin, self.process.stdout
        self.running: dict[str, Forked] = {}
        self.waiting: deque[Mapping[str, Any]] = deque()  # orders of jobs that were not given yet
        self.forking = ""  # the job of the one that was given last, until it has been forked
        self.owner, self.unread = os.getpid(), b""

    @property
    def is_alive(self) -> bool:
        return self.owner == os.getpid() and self.process.poll() is None

    def start(self, order: Mapping[str, Any]) -> Forked:
        job = self.running[order["name"]] = Forked(self, order["name"])
        self.waiting.append(order)
        self._order_next()
        return job

    def _order_next(self) -> None:
        """One at a time: a server that reads none would leave no room for another in the pipe."""
        if self.waiting and not self.forking:
            order = self.waiting.popleft()
            self.forking = order["name"]
            self.order(order)

    def order(self, *orders: Mapping[str, Any]) -> None:
        with contextlib.suppress(BrokenPipeError):  # dead: the events end, too
            self.orders.write(b"".join(json.dumps(order).encode() + b"\n" for order in orders))
            self.orders.flush()

    def read_events(self, wait_s: float = 0.0) -> None:
        """Take note of what the server has told, or tells within so many seconds."""
        while self.running and select.select([self.events], [], [], wait_s)[0]:
            data = os.read(self.events.fileno(), 1 << 16)
            if not data:
                self._is_dead()
                return
            *lines, self.unread = (self.unread + data).split(b"\n")
            for line in lines:
                self._note(json.loads(line))

    def _note(self, event: dict[str, Any]) -> None:
        if "started" in event:
            self.running[event["started"]].pid = event["pid"]
            self.forking = ""
            self._order_next()
        else:
            self.running.pop(event["ended"]).returncode = event["code"]

    def _is_dead(self) -> None:
        self.process.wait()
        for job in self.running.values():
            job.returncode = EXIT_SERVER_DIED
        self.running.clear()
        self.waiting.clear()

    def close(self) -> None:
        """End the server, and with it what is still running."""
        if self.owner != os.getpid():
            return
        with contextlib.suppress(OSError):
            self.orders.close()
        self.process.kill()  # it may be importing
        self._is_dead()
        self.events.close()


def import_early(*modules: str) -> None:
    """Let the server import these while this process goes on."""
    if can_fork({}):
        _server().order(*({"import": module} for module in modules))


_clients: list[_Client] = []  # at most one, which serves all sweeps of this process


def _server() -> _Client:
    if not (_clients and _clients[0].is_alive):
        close_server()
        _clients.append(_Client())
    return _clients[0]


@atexit.register
def close_server() -> None:
    """End the server of this process, if there is one; the next job starts another."""
    while _clients:
        _clients.pop().close()
