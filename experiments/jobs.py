"""The one scheduler: a fresh single-thread process per job, progress, failures contained, resume.

A job names a function "module:function" that takes (argument, folder) and leaves its results in the
run folder (run_folder.py). Finished folders are skipped, so calling `run_jobs` again with the same
jobs continues an interrupted or partly failed sweep. Two sweeps may run at once: a run that another
process has claimed is waited for, not repeated.
"""

import contextlib
import ctypes
import importlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from types import FrameType
from typing import IO, Any, Literal, NoReturn, Protocol

from misgen.experiments.run_folder import (
    ClaimedError,
    claimed_by,
    is_done,
    read_json,
    require_writable,
    run_once,
    usable_cores,
    write_failed,
)

Status = Literal["done", "skipped", "failed", "blocked"]

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)
POLL_S = 0.05
RETRY_CLAIMED_S = 1.0
PROGRESS_S = 1.0
LINE_S = 10.0
GRACE_S = 5.0
"""Time between SIGTERM and SIGKILL for the running jobs of an interrupted sweep."""
LOG_TAIL_LINES = 15

_EXIT_RECORDED = 3  # the job failed and failed.json says why
_EXIT_CLAIMED = 75  # another process holds the run folder, or has just finished it
_PR_SET_PDEATHSIG = 1

# The child takes over sys.path, so it imports the same code wherever it starts; -P keeps a folder
# called `misgen` in the current directory from shadowing ours before that.
_CHILD = (
    "import json, sys; order = json.load(sys.stdin); sys.path[:] = order['sys_path']; "
    "from misgen.experiments.jobs import run_child; run_child(order)"
)


@dataclass(frozen=True)
class Job:
    """One function call in one run folder, started once the jobs named in `after` have succeeded.

    `argument` is JSON data and becomes config.json; `weight` is the expected cost in any unit.
    """

    name: str
    target: str
    argument: dict[str, Any]
    folder: Path
    weight: float = 1.0
    after: tuple[str, ...] = ()


@dataclass(frozen=True)
class JobResult:
    """`skipped`: finished earlier or elsewhere; `blocked`: a job it comes after did not succeed."""

    name: str
    status: Status
    folder: Path
    seconds: float = 0.0
    error: str = ""
    log_tail: str = ""


@dataclass
class _Worker:
    job: Job
    process: subprocess.Popen[bytes]
    started: float  # time.monotonic()


@dataclass
class _Sweep:
    """The scheduler's whole state; job names are the keys, in the order given."""

    jobs: dict[str, Job]
    num_workers: int
    started: float = field(default_factory=time.monotonic)
    workers: dict[str, _Worker] = field(default_factory=dict)
    results: dict[str, JobResult] = field(default_factory=dict)
    not_before: dict[str, float] = field(default_factory=dict)
    """Monotonic time at which to look again at a run claimed by another process."""
    new: list[JobResult] = field(default_factory=list)
    """Results the display has not shown yet."""

    def settle(self, result: JobResult) -> None:
        self.results[result.name] = result
        self.new.append(result)


def run_jobs(
    jobs: Sequence[Job], num_workers: int | None = None, progress: bool = True
) -> list[JobResult]:
    """Run `jobs`, at most `num_workers` (default: usable cores) at once; results in their order.

    A job that raises or is killed is one failed result; the others go on. Progress and the logs of
    failed jobs go to stderr. SIGINT and SIGTERM stop the running jobs and raise KeyboardInterrupt;
    what was finished stays. ValueError for jobs that cannot be scheduled. Call it from a thread
    that outlives the sweep: the jobs die with it.
    """
    sweep = _Sweep(_checked(jobs), usable_cores() if num_workers is None else num_workers)
    if sweep.num_workers < 1:
        raise ValueError(f"`num_workers` must be at least 1; got {num_workers}; try 1")
    for job in jobs:
        if is_done(job.folder):
            sweep.settle(JobResult(job.name, "skipped", job.folder))
    with _stop_signals() as stop, _display(progress) as display:
        try:
            while len(sweep.results) < len(sweep.jobs) and not stop.is_set():
                _step(sweep)
                display.update(sweep)
                time.sleep(POLL_S)
        finally:
            _terminate(sweep)
            display.update(sweep)
    results = [sweep.results[name] for name in sweep.jobs if name in sweep.results]
    if progress:
        _report_failures(results)
    if stop.is_set() and len(results) < len(jobs):
        _say(f"interrupted; {_count(sweep)}; what is finished is kept; the same command continues")
        raise KeyboardInterrupt
    return results


def report_progress(folder: Path, done: float, total: float, message: str = "") -> None:
    """Called by a job: `done` of `total` in any unit. Cheap: writes at most once in PROGRESS_S."""
    path = folder / "progress.json"
    now = time.monotonic()
    if done < total and now - _last_report.get(path, -PROGRESS_S) < PROGRESS_S:
        return
    _last_report[path] = now
    hidden = path.with_name(f".tmp-{os.getpid()}-progress.json")
    # Replaced, so never read half-written; not fsynced, because it may be lost.
    hidden.write_text(json.dumps({"done": done, "total": total, "message": message}))
    os.replace(hidden, path)


_last_report: dict[Path, float] = {}


def _checked(jobs: Sequence[Job]) -> dict[str, Job]:
    named = {job.name: job for job in jobs}
    folders = {job.folder.absolute() for job in jobs}
    if len(named) < len(jobs) or len(folders) < len(jobs):
        raise ValueError(
            f"jobs must have different names and folders; got {len(jobs)} jobs with {len(named)} "
            f"names and {len(folders)} folders; drop repeated configurations"
        )
    for job in jobs:
        module, _, function = job.target.partition(":")
        if not module or not function:
            raise ValueError(f"a job's target must be 'module:function'; got {job.target!r}")
        if unknown := set(job.after) - set(named):
            raise ValueError(f"job {job.name!r} comes after unknown jobs {sorted(unknown)}")
        try:
            json.dumps(job.argument)
        except TypeError as error:
            raise ValueError(f"job {job.name!r} must have a JSON argument; {error}") from error
    try:
        TopologicalSorter({job.name: job.after for job in jobs}).prepare()
    except CycleError as error:
        raise ValueError(f"jobs must not wait for each other; got {error.args[1]}") from error
    return named


# --- Scheduling ----------------------------------------------------------------------------------


def _step(sweep: _Sweep) -> None:
    """Collect what has ended, then start what is ready."""
    for worker in list(sweep.workers.values()):
        if worker.process.poll() is not None:
            del sweep.workers[worker.job.name]
            _collect(sweep, worker)
    for job in sweep.jobs.values():
        if job.name not in sweep.results and job.name not in sweep.workers:
            _consider(sweep, job)


def _consider(sweep: _Sweep, job: Job) -> None:
    statuses = [sweep.results[name].status for name in job.after if name in sweep.results]
    if any(status in ("failed", "blocked") for status in statuses):
        bad = next(name for name in job.after if _has_failed(sweep, name))
        error = f"not started: {bad!r} did not succeed"
        sweep.settle(JobResult(job.name, "blocked", job.folder, error=error))
    elif len(statuses) == len(job.after) and len(sweep.workers) < sweep.num_workers:
        if time.monotonic() < sweep.not_before.get(job.name, 0.0):
            return
        if is_done(job.folder):  # by another sweep, in the meantime
            sweep.settle(JobResult(job.name, "skipped", job.folder))
        elif claimed_by(job.folder) is not None:
            sweep.not_before[job.name] = time.monotonic() + RETRY_CLAIMED_S
        else:
            sweep.workers[job.name] = _start(job)


def _has_failed(sweep: _Sweep, name: str) -> bool:
    return name in sweep.results and sweep.results[name].status in ("failed", "blocked")


def _start(job: Job) -> _Worker:
    require_writable(job.folder)
    (job.folder / "failed.json").unlink(missing_ok=True)  # of an earlier attempt
    environment = dict(os.environ, PYTHONUNBUFFERED="1", PYTHONFAULTHANDLER="1")
    environment.update(dict.fromkeys(THREAD_VARIABLES, "1"))  # read when numpy, torch are imported
    order = {
        "sys_path": sys.path,
        "parent": os.getpid(),
        "target": job.target,
        "argument": job.argument,
        "folder": str(job.folder.absolute()),
    }
    with open(job.folder / "train.log", "ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", _CHILD, job.name],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,  # Ctrl-C reaches this process only, which then stops the jobs
        )
    assert process.stdin is not None
    _send(process.stdin, json.dumps(order).encode())
    return _Worker(job, process, time.monotonic())


def _send(pipe: IO[bytes], data: bytes) -> None:
    with contextlib.suppress(BrokenPipeError):  # already dead: its exit status says so
        pipe.write(data)
    with contextlib.suppress(BrokenPipeError):
        pipe.close()


def _collect(sweep: _Sweep, worker: _Worker) -> None:
    job, code = worker.job, worker.process.returncode
    seconds = time.monotonic() - worker.started
    if code == _EXIT_CLAIMED:
        sweep.not_before[job.name] = time.monotonic() + RETRY_CLAIMED_S
    elif is_done(job.folder):
        sweep.settle(JobResult(job.name, "done", job.folder, seconds))
    else:
        error = _failure(job.folder, code)
        tail = _log_tail(job.folder / "train.log")
        sweep.settle(JobResult(job.name, "failed", job.folder, seconds, error, tail))


def _failure(folder: Path, code: int) -> str:
    """Why the job failed, in one line; recorded for a process that could not do it itself."""
    recorded = read_json(folder / "failed.json") if code == _EXIT_RECORDED else None
    if recorded is not None:
        return str(recorded["error"])
    if code < 0:
        hint = " (out of memory?)" if code == -signal.SIGKILL else ""
        error = f"killed by {signal.Signals(-code).name}{hint}"
    else:
        error = f"the process ended with exit code {code} before the job was finished"
    with contextlib.suppress(OSError):  # a full disk must not end the other jobs
        write_failed(folder, error, None)
    return error


def _log_tail(path: Path) -> str:
    with open(path, "rb") as file:
        file.seek(max(0, path.stat().st_size - 16_384))
        lines = file.read().decode(errors="replace").splitlines()
    return "\n".join(lines[-LOG_TAIL_LINES:])


@contextlib.contextmanager
def _stop_signals() -> Iterator[threading.Event]:
    """An event set by the first SIGINT or SIGTERM; the second interrupts at once."""
    stop = threading.Event()

    def handle(signum: int, frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    old = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN:
                old[number] = signal.signal(number, handle)
    try:
        yield stop
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


def _terminate(sweep: _Sweep) -> None:
    """SIGTERM, then after GRACE_S (or a second Ctrl-C) SIGKILL; a run that still ended counts."""
    workers, sweep.workers = list(sweep.workers.values()), {}
    deadline = time.monotonic() + GRACE_S
    try:
        for worker in workers:
            _signal_group(worker, signal.SIGTERM)
        for worker in workers:
            with contextlib.suppress(subprocess.TimeoutExpired):
                worker.process.wait(max(0.0, deadline - time.monotonic()))
    finally:
        for worker in workers:
            _signal_group(worker, signal.SIGKILL)
            worker.process.wait()
            if is_done(worker.job.folder):
                _collect(sweep, worker)


def _signal_group(worker: _Worker, number: int) -> None:
    if worker.process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(worker.process.pid, number)


# --- In the job's process ------------------------------------------------------------------------


def run_child(order: dict[str, Any]) -> NoReturn:
    """Run one job and end the process; the exit code tells the scheduler what happened."""
    _die_with(order["parent"])

    def body(folder: Path) -> None:
        module, _, function = order["target"].partition(":")
        getattr(importlib.import_module(module), function)(order["argument"], folder)

    try:
        ran = run_once(Path(order["folder"]), order["argument"], body)
    except ClaimedError as error:
        print(error)
        sys.exit(_EXIT_CLAIMED)
    except (Exception, SystemExit):
        traceback.print_exc()
        sys.exit(_EXIT_RECORDED)
    sys.exit(0 if ran else _EXIT_CLAIMED)


def _die_with(parent: int) -> None:
    """Have the kernel kill this process when `parent` dies, even by SIGKILL (Linux only)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the request above
        os._exit(1)


# --- What the user sees --------------------------------------------------------------------------


class _Display(Protocol):
    def update(self, sweep: _Sweep) -> None: ...


@contextlib.contextmanager
def _display(progress: bool) -> Iterator[_Display]:
    """Bars on a terminal, otherwise lines, on stderr."""
    if not progress:
        yield _Silent()
    elif sys.stderr.isatty():
        with contextlib.closing(_Bars()) as bars:
            yield bars
    else:
        yield _Lines()


class _Silent:
    def update(self, sweep: _Sweep) -> None:
        sweep.new.clear()


class _Lines:
    """A line per ended job, and one every LINE_S while nothing ends."""

    def __init__(self) -> None:
        self.last = time.monotonic()

    def update(self, sweep: _Sweep) -> None:
        shown = _ended_lines(sweep)
        if not shown and time.monotonic() - self.last > LINE_S:
            running = ", ".join(_running_line(worker) for worker in sweep.workers.values())
            running = running or "only in another process, waiting for it"
            shown = [f"running: {running}; {_count(sweep)}, {_eta(sweep)}"]
        for line in shown:
            _say(line)
            self.last = time.monotonic()


class _Bars:
    """A bar for the whole sweep and one for each running job; ended jobs scroll above them."""

    def __init__(self) -> None:
        # Imported here: pipes, tests and clusters never need it.
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[note]}"))
        self.progress = Progress(*columns, console=Console(stderr=True), transient=True)
        self.all = self.progress.add_task("all jobs", total=1.0, note="")
        self.bars: dict[str, Any] = {}
        self.last = 0.0
        self.progress.start()

    def update(self, sweep: _Sweep) -> None:
        for line in _ended_lines(sweep):
            self.progress.console.print(line, markup=False, highlight=False)
        if time.monotonic() - self.last < 0.25 and sweep.workers:
            return
        self.last = time.monotonic()
        note = f"{_count(sweep)}, {_eta(sweep)}"
        self.progress.update(self.all, completed=_fraction(sweep), note=note)
        for name in set(self.bars) - set(sweep.workers):
            self.progress.remove_task(self.bars.pop(name))
        for name, worker in sweep.workers.items():
            done, message = _read_progress(worker)
            if name not in self.bars:
                self.bars[name] = self.progress.add_task(name, total=1.0, note="")
            self.progress.update(self.bars[name], completed=done, note=message)

    def close(self) -> None:
        self.progress.stop()


def _ended_lines(sweep: _Sweep) -> list[str]:
    ended, sweep.new = sweep.new, []
    skipped = [result for result in ended if result.status == "skipped"]
    lines = [f"{len(skipped)} already finished; {_count(sweep)}"] if skipped else []
    for result in ended:
        if result.status != "skipped":
            took = f" in {_duration(result.seconds)}" if result.seconds else ""
            why = f": {result.error}" if result.error else ""
            progress = f"{_count(sweep)}, {_eta(sweep)}"
            lines.append(f"{result.status}: {result.name}{took}{why}; {progress}")
    return lines


def _running_line(worker: _Worker) -> str:
    done, message = _read_progress(worker)
    return f"{worker.job.name} {done:.0%} {message}".rstrip()


def _read_progress(worker: _Worker) -> tuple[float, str]:
    """Share done in [0, 1] and the job's message."""
    report = read_json(worker.job.folder / "progress.json")
    if report is None or not report.get("total"):
        return 0.0, ""
    return min(1.0, report["done"] / report["total"]), str(report.get("message", ""))


def _count(sweep: _Sweep) -> str:
    finished = [r for r in sweep.results.values() if r.status in ("done", "skipped")]
    return f"{len(finished)} of {len(sweep.jobs)} jobs finished"


def _weights(sweep: _Sweep) -> tuple[float, float]:
    """Weight worked off by this call (running jobs in part), and weight still to do."""
    worked = remaining = 0.0
    for name, job in sweep.jobs.items():
        if name in sweep.workers:
            done = _read_progress(sweep.workers[name])[0] * job.weight
            worked, remaining = worked + done, remaining + job.weight - done
        elif name not in sweep.results:
            remaining += job.weight
        elif sweep.results[name].status in ("done", "failed"):
            worked += job.weight
    return worked, remaining


def _fraction(sweep: _Sweep) -> float:
    total = sum(job.weight for job in sweep.jobs.values())
    return 1.0 - _weights(sweep)[1] / total if total > 0 else 1.0


def _eta(sweep: _Sweep) -> str:
    worked, remaining = _weights(sweep)
    if worked <= 0:
        return "time left unknown"
    return f"about {_duration((time.monotonic() - sweep.started) * remaining / worked)} left"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def _report_failures(results: Sequence[JobResult]) -> None:
    failed = [result for result in results if result.status == "failed"]
    for result in failed:
        _say(f"\nfailed: {result.name}: {result.error}\n  log: {result.folder / 'train.log'}")
        _say("\n".join(f"  | {line}" for line in result.log_tail.splitlines()))
    if failed:
        _say(f"\n{len(failed)} failed; the same command tries them again")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
