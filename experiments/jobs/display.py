"""What the user sees of a sweep of jobs, on stderr: bars on a terminal, otherwise lines."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from misgen.experiments.runs.folder import read_json

if TYPE_CHECKING:
    from misgen.experiments.jobs.scheduler import JobResult, Sweep, Worker

LINE_S = 10.0
LOG_TAIL_LINES = 15


@contextlib.contextmanager
def display_on_stderr(progress: bool) -> Iterator[Callable[[Sweep], None]]:
    """What shows how far a sweep is: by bars on a terminal, otherwise by lines."""
    if not progress:
        yield lambda sweep: sweep.new.clear()
    elif sys.stderr.isatty():
        with contextlib.closing(_Bars()) as bars:
            yield bars.update
    else:
        yield _Lines().update


class _Lines:
    """A line per ended job, and one every LINE_S while nothing ends."""

    def __init__(self) -> None:
        self.last = time.monotonic()

    def update(self, sweep: Sweep) -> None:
        shown = _ended_lines(sweep)
        if not shown and time.monotonic() - self.last > LINE_S:
            running = ", ".join(_running_line(worker) for worker in sweep.workers.values())
            running = running or "only in another process, waiting for it"
            shown = [f"running: {running}; {count(sweep)}, {_eta(sweep)}"]
        for line in shown:
            say(line)
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

    def update(self, sweep: Sweep) -> None:
        with _terminal_may_close():
            self._update(sweep)

    def _update(self, sweep: Sweep) -> None:
        for line in _ended_lines(sweep):
            self.progress.console.print(line, markup=False, highlight=False)
        if time.monotonic() - self.last < 0.25 and sweep.workers:
            return
        self.last = time.monotonic()
        note = f"{count(sweep)}, {_eta(sweep)}"
        total = sum(job.weight for job in sweep.jobs.values())
        share = 1.0 - _weights(sweep)[1] / total if total > 0 else 1.0
        self.progress.update(self.all, completed=share, note=note)
        for name in set(self.bars) - set(sweep.workers):
            self.progress.remove_task(self.bars.pop(name))
        for name, worker in sweep.workers.items():
            done, message = _read_progress(worker)
            if name not in self.bars:
                self.bars[name] = self.progress.add_task(name, total=1.0, note="")
            self.progress.update(self.bars[name], completed=done, note=message)

    def close(self) -> None:
        with _terminal_may_close():
            self.progress.stop()


def _ended_lines(sweep: Sweep) -> list[str]:
    ended, sweep.new = sweep.new, []
    skipped = [result for result in ended if result.status == "skipped"]
    lines = [f"{len(skipped)} already finished; {count(sweep)}"] if skipped else []
    for result in ended:
        if result.status != "skipped":
            took = f" in {_duration(result.seconds)}" if result.seconds else ""
            why = f": {result.error}" if result.error else ""
            progress = f"{count(sweep)}, {_eta(sweep)}"
            lines.append(f"{result.status}: {result.name}{took}{why}; {progress}")
    return lines


def _running_line(worker: Worker) -> str:
    done, message = _read_progress(worker)
    return f"{worker.job.name} {done:.0%} {message}".rstrip()


def _read_progress(worker: Worker) -> tuple[float, str]:
    """Share done in [0, 1] and the job's message."""
    report = read_json(worker.job.folder / "progress.json")
    if report is None or not report.get("total"):
        return 0.0, ""
    return min(1.0, report["done"] / report["total"]), str(report.get("message", ""))


def count(sweep: Sweep) -> str:
    finished = [r for r in sweep.results.values() if r.status in ("done", "skipped")]
    return f"{len(finished)} of {len(sweep.jobs)} jobs finished"


def _weights(sweep: Sweep) -> tuple[float, float]:
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


def _eta(sweep: Sweep) -> str:
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


def report_failures(results: Sequence[JobResult]) -> None:
    failed = [result for result in results if result.status == "failed"]
    for result in failed:
        say(f"\nfailed: {result.name}: {result.error}\n  log: {result.folder / 'train.log'}")
        say("\n".join(f"  | {line}" for line in result.log_tail.splitlines()))
    if failed:
        say(f"\n{len(failed)} failed; the same command tries them again")


def log_tail(path: Path) -> str:
    """The last lines of a log; "" where the server was killed before the job could write one."""
    if not path.exists():
        return ""
    with open(path, "rb") as file:
        file.seek(max(0, path.stat().st_size - 16_384))
        lines = file.read().decode(errors="replace").splitlines()
    return "\n".join(lines[-LOG_TAIL_LINES:])


def say(line: str) -> None:
    with _terminal_may_close():
        print(line, file=sys.stderr, flush=True)


@contextlib.contextmanager
def _terminal_may_close() -> Iterator[None]:
    """Once the terminal is closed, what was meant for it goes nowhere: a sweep that ignores its
    hangup (nohup, setsid) goes on."""
    try:
        yield
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.stdout, sys.stderr):
            poll = select.poll()
            poll.register(stream.fileno())
            if any(event & select.POLLHUP for _, event in poll.poll(0)):
                os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
