"""`launcher=slurm` on a real Slurm of one node: a task that is killed and one over its time limit
cost what they were training; the same command trains what is missing."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.experiments.twelve_jobs import (
    finished,
    folder_of,
    misgen,
    start,
    states,
    steps_done,
    steps_of,
    weights,
    words,
)

from misgen.experiments.runs.folder import read_json

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(1500)]

SANDBOX = Path(__file__).parents[1] / "slurm_sandbox.sh"
DAEMONS = ("munged", "slurmctld", "slurmd")
SETTINGS = ["launcher=slurm", "hydra.launcher.cpus_per_task=1", "hydra.launcher.partition=debug"]


@pytest.fixture(scope="module")
def slurm() -> Iterator[None]:
    pytest.importorskip("submitit")
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    absent = [name for name in DAEMONS if shutil.which(name, path=path) is None]
    if absent or os.geteuid() != 0:
        pytest.skip(f"needs root and {', '.join(DAEMONS)}; absent: {', '.join(absent) or 'root'}")
    with (
        tempfile.TemporaryDirectory(prefix="misgen") as place,
        pytest.MonkeyPatch.context() as patch,
    ):
        os.chmod(place, 0o755)  # munged wants its socket where all could reach it
        patch.setenv("SLURM_SANDBOX", f"{place}/s")
        patch.setenv("SLURM_CPUS", "2")
        for name in ("SLURM_CTLD_PORT", "SLURM_SLURMD_PORT"):
            patch.setenv(name, str(free_port()))
        subprocess.run([SANDBOX, "up"], check=True)
        try:
            patch.setenv("SLURM_CONF", f"{place}/s/slurm.conf")
            yield
        finally:
            subprocess.run([SANDBOX, "down"], check=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ask(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def queue() -> list[str]:
    return sorted(ask("squeue", "--noheader", "--array", "--format=%F_%K").split())


def wait_until(condition, seconds: float):
    """What the condition has become."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{queue()} after {seconds} s"
        time.sleep(0.1)
    return found


def tasks(results: Path) -> dict[str, list[str]]:
    """Of the one array that was submitted: its tasks and the folders of their runs."""
    (file,) = results.glob("slurm/job=*.json")
    found = (read_json(file) or {})["tasks"]
    return {task: [f"run={run}" for run in runs] for task, runs in found.items()}


def worker_in(folder: Path) -> int:
    """The process that works in a run folder; 0 if there is none."""
    return int((read_json(folder / "claim.json") or {}).get("pid", 0))


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_the_same_command_does_what_was_killed_or_out_of_time(slurm, tmp_path):
    """The long one stands still once it has a checkpoint, so that its task is over its limit
    however fast this machine is."""
    local, results = tmp_path / "local", tmp_path / "results"
    steps = steps_of(40, local)
    long, runs = folder_of(results, steps), results / "runs" / "kind=train"
    command = [*words(steps), *SETTINGS, "hydra.launcher.tasks=4"]

    hold = "+hydra.launcher.additional_parameters.hold=true"
    said = misgen(results, *command, "hydra.launcher.timeout_min=1", hold)
    assert "4 tasks of 1 to 4 agents" in said and "misgen study status" in said
    array = tasks(results)
    assert queue() == sorted(array) and sorted(map(len, array.values())) == [1, 3, 4, 4]
    costly, victim, *others = sorted(array)
    assert array[costly] == [long.name]

    again = misgen(results, *command, "hydra.launcher.timeout_min=1")
    assert "12 runs are in Slurm's queue already" in again and queue() == sorted(array)
    assert states(results)["queued"] == 12

    ask("scontrol", "release", costly.partition("_")[0])
    job = wait_until(lambda: max(worker_in(runs / run) for run in array[victim]), 55)
    os.kill(parent_of(parent_of(job)), signal.SIGKILL)  # as where memory runs out
    wait_until(lambda: (long / "resume.safetensors").exists(), 80)
    os.kill(worker_in(long), signal.SIGSTOP)
    learned = steps_done(long)
    wait_until(lambda: not queue(), 240)
    assert "JobState=TIMEOUT" in ask("scontrol", "show", "job", costly)
    assert "JobState=FAILED" in ask("scontrol", "show", "job", victim)

    before = finished(results)
    assert {run for task in others for run in array[task]} <= before.keys()
    assert not {*array[victim]} <= before.keys() and long.name not in before
    found = states(results)
    assert found["done"] == len(before) and found["running"] == found["queued"] == 0

    (long / "progress.json").unlink()
    more = [*command, "hydra.launcher.timeout_min=10", "hydra.launcher.wait=true"]
    with start(results, *more) as process:
        wait_until(lambda: steps_done(long), 90)
        assert steps_done(long) > learned / 2  # went on, did not begin again
        output, errors = process.communicate()
    assert process.returncode == 0, output + errors
    after = finished(results)
    assert len(after) == 12 and before.items() <= after.items()
    assert states(results)["done"] == 12 and not queue()
    assert weights(local) == weights(results)
    assert "12 runs, 12 done before" in misgen(results, *command)


def test_what_slurm_refuses_is_one_message(slurm, tmp_path):
    said = misgen(tmp_path, *words(12), "launcher=slurm", "hydra.launcher.partition=no", code=2)
    assert "Slurm refuses the jobs" in said and "Invalid partition" in said
    assert not queue() and not finished(tmp_path)


def test_one_agent_that_fails_is_reported_with_its_reason(slurm, tmp_path):
    """Waited for; the other one of the same task is there."""
    rates = "agent.settings.learning_rate=1e-3,1e30"
    command = ["train", "-m", *words(1)[2:5], "agent.settings.total_steps=16384", rates]
    said = misgen(tmp_path, *command, *SETTINGS, "hydra.launcher.wait=true", code=1)
    assert "lower learning_rate" in said and "1 of 2 runs failed" in said
    assert len(finished(tmp_path)) == 1
