"""`launcher=ray` on a local Ray cluster: a worker that is killed costs the job that it was running;
the same command trains what is missing."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

import pytest
from tests.experiments.twelve_jobs import (
    SHORT,
    SIZES,
    STEPS,
    finished,
    folder_of,
    misgen,
    start,
    states,
    steps_done,
    weights,
    words,
)

from misgen.experiments.runs.folder import read_json

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]

LONG = 200_000  # steps: some seconds
LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F"}  # 127.0.0.1, and by IPv6


@pytest.fixture(autouse=True)
def ray():
    pytest.importorskip("ray")


def parents() -> dict[int, int]:
    """Pid -> its parent's, of every process that lives."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent, *_ = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # ended in between
        if state not in "ZX":
            found[int(path.parent.name)] = int(parent)
    return found


def descendants(pid: int) -> set[int]:
    of, found = parents(), {pid}
    while more := {child for child, parent in of.items() if parent in found} - found:
        found |= more
    return found - {pid}


def listening(pids: set[int]) -> set[str]:
    """Addresses, as the kernel writes them, where these processes wait for connections."""
    sockets = set()
    for pid in pids:
        with contextlib.suppress(OSError):  # ended in between
            sockets |= {os.readlink(path) for path in Path(f"/proc/{pid}/fd").iterdir()}
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in sockets:
                found.add(fields[1].partition(":")[0])
    return found


def wait_until(condition, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not after {seconds} s"
        time.sleep(0.05)


def test_the_same_command_does_what_a_killed_worker_was_doing(tmp_path):
    local, results = tmp_path / "local", tmp_path / "results"
    misgen(local, "train", "-m", *SIZES, f"{STEPS}={SHORT[0]}")
    command = [*words(LONG), "launcher=ray", "hydra.launcher.n_jobs=2"]
    long = folder_of(results, LONG)

    with start(results, *command) as process:
        wait_until(lambda: steps_done(long), 150)
        of, job = parents(), int((read_json(long / "claim.json") or {})["pid"])
        worker = of[of[job]]  # of Ray; between them, the process that jobs are forked from
        assert Path(f"/proc/{worker}/cmdline").read_bytes().startswith(b"ray::")
        begun = descendants(process.pid)
        assert listening(begun | {process.pid}) <= LOOPBACK
        os.kill(worker, signal.SIGKILL)
        wait_until(lambda: job not in parents(), 5)
        output, errors = process.communicate()
    assert process.returncode == 1, output + errors
    assert "its worker on the cluster was killed" in errors and "1 of 12 runs failed" in errors
    before = finished(results)
    assert len(before) == 11 and long.name not in before
    assert states(results)["failed"] == 1
    wait_until(lambda: not begun & parents().keys(), 10)

    misgen(results, *command)
    after = finished(results)
    assert len(after) == 12 and before.items() <= after.items()
    assert weights(local) == weights(results)
    assert "12 runs, 12 done before" in misgen(results, *command)
