import contextlib
import json
import os
import pty
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from misgen.experiments.jobs import scheduler as jobs_module
from misgen.experiments.jobs import start as jobs_start
from misgen.experiments.jobs.attempt import claim
from misgen.experiments.jobs.child import report_progress
from misgen.experiments.jobs.scheduler import Job, run_jobs
from misgen.experiments.runs.folder import read_json

# What the jobs of these tests run. Every start is noted in the folder `starts`.
TOY = """
import os, signal, time
from pathlib import Path
from misgen.experiments.jobs.child import report_progress

def note(argument, folder):
    starts = Path(argument["starts"])
    starts.mkdir(exist_ok=True)
    (starts / f"{folder.name}-{os.getpid()}").touch()

def work(argument, folder):
    note(argument, folder)
    (folder / "out.txt").write_text(os.environ["OMP_NUM_THREADS"])

def look(argument, folder):
    (folder / "out.txt").write_text(f"{os.environ['TOY']} {os.getcwd()}")

def wait(argument, folder):
    "Until the file `gate` exists."
    note(argument, folder)
    report_progress(folder, 1, 4, "quarter")
    while not os.path.exists(argument["gate"]):
        time.sleep(0.02)

def fail(argument, folder):
    print("about to fail")
    if not os.path.exists(argument["gate"]):
        raise ValueError("toy failure")

def kill(argument, folder):
    print("about to die")
    os.kill(os.getpid(), signal.SIGKILL)

def leave(argument, folder):
    os._exit(0)
"""

DRIVER = """
import json, signal, sys
from pathlib import Path
from misgen.experiments.jobs.scheduler import Job, run_jobs
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored, if the tests run behind `&`
jobs = [Job(j.pop("name"), folder=Path(j.pop("folder")), **j) for j in json.loads(sys.argv[1])]
try:
    results = run_jobs(jobs, 2)
except KeyboardInterrupt:
    sys.exit(130)
print(json.dumps({result.name: result.status for result in results}))
"""

MakeJob = Callable[..., Job]


@pytest.fixture
def toy(tmp_path, monkeypatch) -> MakeJob:
    """toy(name, function, after=...) -> Job; children inherit sys.path, so they find the module."""
    (tmp_path / "toy_jobs.py").write_text(TOY)
    monkeypatch.syspath_prepend(tmp_path)
    argument = {"starts": str(tmp_path / "starts"), "gate": str(tmp_path / "gate")}

    def make(name: str, function: str = "work", **fields: object) -> Job:
        target = f"toy_jobs:{function}"
        return Job(name, target, argument, tmp_path / "runs" / name, **fields)  # type: ignore[arg-type]

    return make


def started(tmp_path: Path) -> dict[str, list[int]]:
    """Name of the job -> pids of its attempts."""
    found: dict[str, list[int]] = {}
    for path in (tmp_path / "starts").glob("*"):
        name, _, pid = path.name.rpartition("-")
        found.setdefault(name, []).append(int(pid))
    return found


def statuses(results) -> dict[str, str]:
    return {result.name: result.status for result in results}


def wait_until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.02)


def is_gone(pid: int) -> bool:
    """Dead, or dead and not yet collected by init."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


@contextlib.contextmanager
def driver(jobs: list[Job], **streams) -> Iterator[subprocess.Popen[str]]:
    """A scheduler in a process of its own."""
    fields = [{**vars(job), "folder": str(job.folder)} for job in jobs]
    command = [sys.executable, "-c", DRIVER, json.dumps(fields)]
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | streams
    with subprocess.Popen(command, text=True, env=environment, **streams) as process:
        try:
            yield process
        finally:
            process.kill()


# --- Success, failure, order ---------------------------------------------------------------------


def test_finished_jobs_are_skipped_and_new_ones_run(toy, tmp_path, capfd):
    first = run_jobs([toy("a")], 2)
    assert statuses(first) == {"a": "done"} and first[0].seconds > 0
    assert (tmp_path / "runs" / "a" / "out.txt").read_text() == "1"  # one thread
    assert statuses(run_jobs([toy("a"), toy("b")], 2)) == {"a": "skipped", "b": "done"}
    assert {name: len(pids) for name, pids in started(tmp_path).items()} == {"a": 1, "b": 1}
    errors = capfd.readouterr().err
    assert "1 already finished; 1 of 2 jobs finished" in errors
    assert "done: b in" in errors


def test_a_failure_is_one_job_and_blocks_what_comes_after_it(toy, tmp_path, capfd):
    jobs = [
        toy("train", "fail"),
        toy("evaluate", after=("train",)),
        toy("report", after=("evaluate",)),
        toy("killed", "kill"),
        toy("left", "leave"),
        toy("good"),
    ]
    results = {result.name: result for result in run_jobs(jobs, 2)}
    assert {name: result.status for name, result in results.items()} == {
        "train": "failed",
        "evaluate": "blocked",
        "report": "blocked",
        "killed": "failed",
        "left": "failed",
        "good": "done",
    }
    assert results["train"].error == "ValueError: toy failure"
    assert "about to fail" in results["train"].log_tail
    assert results["evaluate"].error == "not started: 'train' did not succeed"
    assert results["killed"].error == "killed by SIGKILL (out of memory?)"
    assert "about to die" in results["killed"].log_tail
    assert results["left"].error == "the process ended with exit code 0 before the job was finished"
    assert "in fail" in (read_json(results["train"].folder / "failed.json") or {})["traceback"]
    assert (read_json(results["killed"].folder / "failed.json") or {})["traceback"] is None
    errors = capfd.readouterr().err
    assert "failed: train: ValueError: toy failure" in errors
    assert "  | ValueError: toy failure" in errors

    (tmp_path / "gate").touch()  # the cause is removed: failed and blocked jobs run, others don't
    again = statuses(run_jobs([*jobs[:3], jobs[-1]], 2, progress=False))
    assert again == {"train": "done", "evaluate": "done", "report": "done", "good": "skipped"}
    assert not (results["train"].folder / "failed.json").exists()


def test_a_job_waits_for_the_jobs_it_comes_after(toy, tmp_path):
    jobs = [toy("evaluate", after=("train",)), toy("train"), toy("other")]
    assert set(statuses(run_jobs(jobs, 3, progress=False)).values()) == {"done"}
    train_done = (tmp_path / "runs" / "train" / "done.json").stat().st_mtime_ns
    (evaluate_start,) = (tmp_path / "starts").glob("evaluate-*")
    assert evaluate_start.stat().st_mtime_ns >= train_done


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ([{}, {}], "different names and folders"),
        ([{"after": ("b",)}], "unknown jobs"),
        ([{"after": ("a",)}], "wait for each other"),
        ([{"target": "module"}], "module:function"),
        ([{"argument": {"x": object()}}], "JSON argument"),
    ],
)
def test_jobs_that_cannot_be_scheduled_are_refused(tmp_path, fields, message):
    job = {"name": "a", "target": "m:f", "argument": {}, "folder": tmp_path / "a"}
    with pytest.raises(ValueError, match=message):
        run_jobs([Job(**{**job, **changed}) for changed in fields], 1)


def test_at_least_one_worker(toy):
    with pytest.raises(ValueError, match=r"`num_workers` must be at least 1; got 0"):
        run_jobs([toy("a")], 0)


# --- Kills ---------------------------------------------------------------------------------------


def test_a_killed_worker_is_one_failed_job(toy, tmp_path):
    jobs = [toy("good"), toy("victim", "wait"), toy("next")]
    with driver(jobs) as process:
        wait_until(lambda: "victim" in started(tmp_path))
        os.kill(started(tmp_path)["victim"][0], signal.SIGKILL)
        output, errors = process.communicate(timeout=30)
    assert json.loads(output) == {"good": "done", "victim": "failed", "next": "done"}
    assert "victim: killed by SIGKILL" in errors
    (tmp_path / "gate").touch()
    results = run_jobs(jobs, 2, progress=False)
    assert statuses(results) == {"good": "skipped", "victim": "done", "next": "skipped"}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_stopped_scheduler_takes_its_jobs_along_and_is_continued(toy, tmp_path, number):
    jobs = [toy("quick"), toy("slow1", "wait"), toy("slow2", "wait"), toy("later")]
    with driver(jobs) as process:
        wait_until(lambda: {"quick", "slow1", "slow2"} <= set(started(tmp_path)))
        process.send_signal(number)
        _, errors = process.communicate(timeout=30)
    pids = [pid for pids in started(tmp_path).values() for pid in pids]
    wait_until(lambda: all(map(is_gone, pids)), seconds=5)
    if number != signal.SIGKILL:
        assert process.returncode == 130
        assert "interrupted; 1 of 4 jobs finished; what is finished is kept" in errors
    assert not (tmp_path / "runs" / "slow1" / "failed.json").exists()
    (tmp_path / "gate").touch()
    results = run_jobs(jobs, 2, progress=False)
    assert statuses(results) == {
        "quick": "skipped",
        "slow1": "done",
        "slow2": "done",
        "later": "done",
    }
    assert len(started(tmp_path)["quick"]) == 1


def test_a_killed_server_costs_the_running_jobs_only(toy, tmp_path):
    """Its jobs die with it, and the next ones are forked from another."""
    jobs = [toy("quick"), toy("victim", "wait"), toy("later", after=("quick",))]
    with driver([*jobs, toy("last", after=("later",))]) as process:
        wait_until(lambda: {"victim", "later"} <= set(started(tmp_path)))
        victim = started(tmp_path)["victim"][0]
        os.kill(parent_of(victim), signal.SIGKILL)
        wait_until(lambda: is_gone(victim), seconds=5)
        output, errors = process.communicate(timeout=30)
    found = json.loads(output)
    assert found["quick"] == "done" and found["victim"] == "failed"
    assert "victim: the process that jobs are forked from was killed" in errors
    (tmp_path / "gate").touch()
    again = run_jobs([*jobs, toy("last", after=("later",))], 2, progress=False)
    assert {result.status for result in again} <= {"done", "skipped"}
    assert len(started(tmp_path)["quick"]) == 1


def test_a_server_killed_before_it_forks_costs_that_job_only(toy, monkeypatch):
    """There is no log yet."""

    class Dead:
        pid, returncode = 0, jobs_start.EXIT_SERVER_DIED

        def poll(self):
            return self.returncode

    real, calls = jobs_module.start, []

    def start(*args):
        calls.append(args)
        return Dead() if len(calls) == 1 else real(*args)

    monkeypatch.setattr(jobs_module, "start", start)
    first, second = run_jobs([toy("a"), toy("b")], 1, progress=False)
    assert (first.status, second.status) == ("failed", "done")
    assert "was killed" in first.error and first.log_tail == ""


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.mark.parametrize("is_busy", [False, True])
def test_the_server_does_not_outlive_the_scheduler(toy, tmp_path, is_busy):
    """Not even where it reads no orders, as while it compiles."""
    with driver([toy("slow", "wait")]) as process:
        wait_until(lambda: "slow" in started(tmp_path))
        (pid,) = started(tmp_path)["slow"]
        server = parent_of(pid)
        assert server != process.pid
        if is_busy:
            os.kill(server, signal.SIGSTOP)
        process.kill()
        try:
            wait_until(lambda: is_gone(pid) and is_gone(server), seconds=5)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(server, signal.SIGKILL)


def test_a_sweep_stops_while_its_server_gets_ready(toy, tmp_path):
    """Which compiles, then, and answers no order: a third job is to begin."""
    late = toy("late")
    late.folder.mkdir(parents=True)
    with claim(late.folder), driver([late, toy("slow", "wait")]) as process:
        wait_until(lambda: "slow" in started(tmp_path))
        (pid,) = started(tmp_path)["slow"]
        os.kill(server := parent_of(pid), signal.SIGSTOP)
        (late.folder / "claim.json").unlink()
        time.sleep(2)  # it is looked at every second
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=10)
    assert process.returncode == 130 and "interrupted; 0 of 2 jobs finished" in errors
    wait_until(lambda: is_gone(pid) and is_gone(server), seconds=5)


SLEEPY = """
import dataclasses, multiprocessing, os, time
from misgen.envs import maze
FAMILY = dataclasses.replace(maze.FAMILY, name="sleepy", title="Sleepy", module=__name__)
if multiprocessing.parent_process():
    open("compiling", "w").write(str(os.getpid()))
    try:
        time.sleep(600)
    except KeyboardInterrupt:  # which compiled code loses
        time.sleep(600)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=["killed", "Ctrl-C"])
def test_what_compiles_does_not_outlive_the_command(tmp_path, number):
    """Ctrl-C comes to all processes of a terminal; that it did not end the command was found by a
    new user."""
    (tmp_path / "sleepy.py").write_text(SLEEPY)
    words = ["train", "-m", "family=sleepy:FAMILY", "train_seed=0,1", "--results", "results"]
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))
    command = [sys.executable, "-m", "misgen.experiments.cli", *words]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(
        command, env=environment, cwd=tmp_path, stdout=quiet, stderr=quiet, start_new_session=True
    ) as process:
        wait_until((tmp_path / "compiling").exists, seconds=60)
        wait_until(lambda: bool((tmp_path / "compiling").read_text()))
        if number == signal.SIGINT:
            os.killpg(process.pid, number)
        else:
            process.kill()
        try:
            ended = process.wait(10)
        finally:
            process.kill()
    assert ended == (130 if number == signal.SIGINT else -number)
    pid = int((tmp_path / "compiling").read_text())
    try:
        wait_until(lambda: is_gone(pid), seconds=5)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def test_a_job_finds_its_own_environment(toy, tmp_path, monkeypatch):
    """The server of an earlier sweep serves the next one, which another folder and others settings
    may have."""
    for name in "ab":
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        monkeypatch.setenv("TOY", name)
        run_jobs([toy(name, "look")], 1, progress=False)
        found = (tmp_path / "runs" / name / "out.txt").read_text()
        assert found == f"{name} {tmp_path / name}"


def test_where_nothing_is_forked_jobs_are_processes_all_the_same(toy, tmp_path, monkeypatch):
    monkeypatch.setattr("misgen.experiments.jobs.start.can_fork", lambda _: False)
    jobs = [toy("a"), toy("b", "fail"), toy("c", "kill")]
    assert statuses(run_jobs(jobs, 2, progress=False)) == {
        "a": "done",
        "b": "failed",
        "c": "failed",
    }
    assert (tmp_path / "runs" / "a" / "out.txt").read_text() == "1"


# --- Two sweeps ----------------------------------------------------------------------------------


def test_two_identical_sweeps_share_the_work(toy, tmp_path):
    jobs = [toy(name) for name in "abcd"]
    with driver(jobs) as one, driver(jobs) as two:
        outputs = [json.loads(process.communicate(timeout=60)[0]) for process in (one, two)]
    for name in "abcd":
        assert sorted(output[name] for output in outputs) == ["done", "skipped"]
    assert {name: len(pids) for name, pids in started(tmp_path).items()} == dict.fromkeys("abcd", 1)


def test_a_claimed_run_is_waited_for(toy, tmp_path):
    job = toy("a")
    job.folder.mkdir(parents=True)
    with claim(job.folder), driver([job]) as process:
        time.sleep(1.5)
        assert process.poll() is None and not started(tmp_path)
        (job.folder / "done.json").write_text("{}")
        assert json.loads(process.communicate(timeout=30)[0]) == {"a": "skipped"}


# --- Progress ------------------------------------------------------------------------------------


def test_progress_is_replaced_and_rate_limited(tmp_path):
    for done in range(10):
        report_progress(tmp_path, done, 10, "steps")
    assert read_json(tmp_path / "progress.json") == {"done": 0, "total": 10, "message": "steps"}
    report_progress(tmp_path, 10, 10)  # the end is always reported
    assert (read_json(tmp_path / "progress.json") or {})["done"] == 10
    assert [path.name for path in tmp_path.iterdir()] == ["progress.json"]


def test_a_terminal_shows_bars_and_the_time_left(toy, tmp_path):
    screen, terminal = pty.openpty()
    shown = ""
    with driver([toy("train-0", "wait")], stderr=terminal) as process:
        os.close(terminal)
        deadline = time.monotonic() + 30
        while "quarter" not in shown or "left" not in shown:
            assert time.monotonic() < deadline, shown
            if select.select([screen], [], [], 0.1)[0]:
                shown += os.read(screen, 65536).decode(errors="replace")
        (tmp_path / "gate").touch()
        with contextlib.suppress(OSError):  # EIO: the other end is closed
            while chunk := os.read(screen, 65536):
                shown += chunk.decode(errors="replace")
        output, _ = process.communicate(timeout=30)
    os.close(screen)
    assert json.loads(output) == {"train-0": "done"}
    assert "0 of 1 jobs finished, about" in shown
    assert "done: train-0 in" in shown


@pytest.mark.parametrize("is_stdout_there", [True, False])
def test_a_sweep_goes_on_without_its_terminal(toy, tmp_path, is_stdout_there):
    """Where it was to survive it: it gets no SIGHUP here, only errors when it writes."""
    screen, terminal = pty.openpty()
    streams = {"stderr": terminal} | ({} if is_stdout_there else {"stdout": terminal})
    with driver([toy("a", "wait"), toy("b", after=("a",))], **streams) as process:
        os.close(terminal)
        wait_until(lambda: "a" in started(tmp_path))
        os.close(screen)
        (tmp_path / "gate").touch()
        output, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert (tmp_path / "runs" / "b" / "done.json").exists()
    assert not is_stdout_there or json.loads(output) == {"a": "done", "b": "done"}


def test_long_silence_is_broken_by_a_line(toy, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr("misgen.experiments.jobs.display.LINE_S", 0.05)
    monkeypatch.setattr("misgen.experiments.jobs.scheduler.POLL_S", 0.3)
    opening = threading.Timer(2.0, (tmp_path / "gate").touch)
    opening.start()
    run_jobs([toy("train-0", "wait")], 1)
    opening.join()
    assert "running: train-0 " in capfd.readouterr().err
