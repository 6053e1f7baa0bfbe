"""`launcher=ray` on a local Ray cluster: a worker that is killed costs the job that it was running;
the same command trains what is missing."""

from __future__ import annotations

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

from misgen.experiments.run_folder import read_json

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]

LONG = 200_000  # steps: some seconds


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


def test_a_cluster_that_does_not_answer_is_one_message(tmp_path):
    address = "hydra.launcher.address=127.0.0.1:1"
    said = misgen(tmp_path, *words(12), "launcher=ray", address, code=2)
    assert "no Ray cluster can be used at 127.0.0.1:1" in said and not finished(tmp_path)
