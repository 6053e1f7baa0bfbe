"""The one scheduler: a single-thread process per job, progress, failures contained, resume.

A job names a function "module:function" that takes (argument, folder) and leaves its results in the
run folder (runs/folder.py). Finished folders are skipped, so calling `run_jobs` again with the same
jobs continues an interrupted or partly failed sweep. Two sweeps may run at once: a run that another
process has claimed is waited for, not repeated.
"""

import contextlib
import errno
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from types import FrameType
from typing import Any, Literal, Self

from misgen.analysis.files import is_disk_full
from misgen.experiments.jobs.attempt import claimed_by, write_failed
from misgen.experiments.jobs.child import EXIT_CLAIMED, EXIT_DISK_FULL, EXIT_RECORDED
from misgen.experiments.jobs.display import count, display_on_stderr, log_tail, report_failures, say
from misgen.experiments.jobs.start import LOST, Process, Start, order_of, start
from misgen.experiments.provenance import usable_cores
from misgen.experiments.runs.folder import (
    RunFolder,
    id_of,
    is_done,
    read_json,
    require_writable,
    results_root,
)

Status = Literal["done", "skipped", "failed", "blocked"]

POLL_S = 0.05
RETRY_CLAIMED_S = 1.0
GRACE_S = 5.0
"""Time between SIGTERM and SIGKILL for the running jobs of an interrupted sweep."""
TARGETS = {
    "train": "runs.train:train_job",
    "evaluate": "runs.evaluation_jobs:evaluate_job",
    "controls": "runs.evaluation_jobs:controls_job",
    "matched": "runs.evaluation_jobs:matched_job",
    "shift": "studies.shift:shift_job",
    "noise": "studies.noise:measure_job",
    "population": "jobs.populations:train_members",
}
"""Kind of a run -> module:function that makes it from its config.json."""


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

    @classmethod
    def of(cls, kind: str, name: str, argument: dict[str, Any], **more: Any) -> Self:
        """The job of a run of TARGETS in the results folder, unless `more` names another one."""
        folder = RunFolder(results_root(), kind, argument).path
        target = f"misgen.experiments.{TARGETS[kind]}"
        return cls(name, target, argument, **{"folder": folder, **more})

    @property
    def run_id(self) -> str:
        return id_of(self.folder)


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
class Worker:
    job: Job
    process: Process
    started: float  # time.monotonic()


@dataclass
class Sweep:
    """The scheduler's whole state; job names are the keys, in the order given."""

    jobs: dict[str, Job]
    num_workers: int
    start: Start | None = None  # None: on this machine
    started: float = field(default_factory=time.monotonic)
    workers: dict[str, Worker] = field(default_factory=dict)
    results: dict[str, JobResult] = field(default_factory=dict)
    not_before: dict[str, float] = field(default_factory=dict)
    """Monotonic time at which to look again at a run claimed by another process."""
    new: list[JobResult] = field(default_factory=list)
    """Results the display has not shown yet."""
    full: OSError | None = None
    """Once there was no room on the disk, running jobs may end and no other is started."""

    @property
    def is_over(self) -> bool:
        is_stuck = self.full is not None and not self.workers
        return len(self.results) == len(self.jobs) or is_stuck

    def settle(self, result: JobResult) -> None:
        self.results[result.name] = result
        self.new.append(result)


def run_jobs(
    jobs: Sequence[Job],
    num_workers: int | None = None,
    progress: bool = True,
    start: Start | None = None,
) -> list[JobResult]:
    """Run `jobs`, at most `num_workers` (default: usable cores) at once; results in their order.

    A job that raises or is killed is one failed result; the others go on. Progress and the logs of
    failed jobs go to stderr. SIGINT, SIGTERM and SIGHUP (unless ignored, as under nohup) stop the
    running jobs and raise KeyboardInterrupt; what was finished stays. ValueError for jobs that
    cannot be scheduled, OSError once the disk is full and the running jobs have ended. Call it from
    a thread that outlives the sweep: the jobs die with it. `start` starts the process of a job
    elsewhere than on this machine.
    """
    if not hasattr(os, "killpg"):
        raise ValueError(
            "jobs are processes that POSIX signals stop, and this system has none; use Linux, "
            "macOS or WSL, or train agents one by one with `misgen train`"
        )
    workers = usable_cores() if num_workers is None else num_workers
    sweep = Sweep(_checked(jobs), workers, start)
    if sweep.num_workers < 1:
        raise ValueError(f"`num_workers` must be at least 1; got {num_workers}; try 1")
    for job in jobs:
        if is_done(job.folder):
            sweep.settle(JobResult(job.name, "skipped", job.folder))
    with _stop_signals() as stop, display_on_stderr(progress) as show:
        try:
            while not sweep.is_over and not stop.is_set():
                _step(sweep)
                show(sweep)
                time.sleep(POLL_S)
        finally:
            _terminate(sweep)
            show(sweep)
    results = [sweep.results[name] for name in sweep.jobs if name in sweep.results]
    if progress:
        report_failures(results)
    if stop.is_set() and len(results) < len(jobs):
        say(f"interrupted; {count(sweep)}; what is finished is kept; the same command continues")
        raise KeyboardInterrupt
    if sweep.full is not None:
        raise sweep.full
    return results


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


def _step(sweep: Sweep) -> None:
    """Collect what has ended, then start what is ready."""
    for worker in list(sweep.workers.values()):
        if worker.process.poll() is not None:
            del sweep.workers[worker.job.name]
            _collect(sweep, worker)
    for job in sweep.jobs.values():
        if job.name not in sweep.results and job.name not in sweep.workers:
            _consider(sweep, job)


def _consider(sweep: Sweep, job: Job) -> None:
    ended = {name: sweep.results[name].status for name in job.after if name in sweep.results}
    bad = [name for name, status in ended.items() if status in ("failed", "blocked")]
    if bad:
        error = f"not started: {bad[0]!r} did not succeed"
        sweep.settle(JobResult(job.name, "blocked", job.folder, error=error))
    elif sweep.full or len(sweep.workers) == sweep.num_workers or len(ended) < len(job.after):
        return
    elif time.monotonic() >= sweep.not_before.get(job.name, 0.0):
        if is_done(job.folder):  # by another sweep, in the meantime
            sweep.settle(JobResult(job.name, "skipped", job.folder))
        elif claimed_by(job.folder) is not None:
            sweep.not_before[job.name] = time.monotonic() + RETRY_CLAIMED_S
        else:
            try:
                sweep.workers[job.name] = _start(job, sweep.start or start)
            except OSError as error:
                if not is_disk_full(error):
                    raise
                sweep.full = error


def _start(job: Job, start_process: Start) -> Worker:
    require_writable(job.folder)
    (job.folder / "failed.json").unlink(missing_ok=True)  # of an earlier attempt
    process = start_process(order_of(job.name, job.target, job.argument, job.folder))
    return Worker(job, process, time.monotonic())


def _collect(sweep: Sweep, worker: Worker) -> None:
    job, code = worker.job, worker.process.returncode
    assert code is not None  # it has ended
    seconds = time.monotonic() - worker.started
    if code == EXIT_CLAIMED:
        sweep.not_before[job.name] = time.monotonic() + RETRY_CLAIMED_S
    elif is_done(job.folder):
        sweep.settle(JobResult(job.name, "done", job.folder, seconds))
    else:
        if code == EXIT_DISK_FULL:
            sweep.full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(job.folder))
        error = _failure(job.folder, code)
        tail = log_tail(job.folder / "train.log")
        sweep.settle(JobResult(job.name, "failed", job.folder, seconds, error, tail))


def _failure(folder: Path, code: int) -> str:
    """Why the job failed, in one line; recorded for a process that could not do it itself."""
    can_be_recorded = code in (EXIT_RECORDED, EXIT_DISK_FULL)
    recorded = read_json(folder / "failed.json") if can_be_recorded else None
    if recorded is not None:
        return str(recorded["error"])
    if code < 0:
        hint = " (out of memory?)" if code == -signal.SIGKILL else ""
        error = f"killed by {signal.Signals(-code).name}{hint}"
    elif code in LOST:
        error = LOST[code]
    else:
        error = f"the process ended with exit code {code} before the job was finished"
    with contextlib.suppress(OSError):  # a full disk must not end the other jobs
        write_failed(folder, error, None)
    return error


@contextlib.contextmanager
def _stop_signals() -> Iterator[threading.Event]:
    """An event set by the first signal to stop; the second interrupts at once."""
    stop = threading.Event()

    def handle(signum: int, frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    old = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:
                old[number] = signal.signal(number, handle)
    try:
        yield stop
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


def _terminate(sweep: Sweep) -> None:
    """SIGTERM, then after GRACE_S (or a second Ctrl-C) SIGKILL; a run that still ended counts."""
    workers, sweep.workers = list(sweep.workers.values()), {}
    deadline = time.monotonic() + GRACE_S
    try:
        for worker in workers:
            worker.process.signal_group(signal.SIGTERM)
        for worker in workers:
            with contextlib.suppress(subprocess.TimeoutExpired):
                worker.process.wait(max(0.0, deadline - time.monotonic()))
    finally:
        for worker in workers:
            worker.process.signal_group(signal.SIGKILL)
            worker.process.wait()
            if is_done(worker.job.folder):
                _collect(sweep, worker)
