"""A sweep of twelve trainings, one of them long, as tests on real clusters run it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from misgen.experiments.config import compose
from misgen.experiments.runs.folder import read_json
from misgen.experiments.runs.train import train_folder

SIZES = ["cell=K3", "agent.settings.num_envs=64", "agent.settings.num_steps=64"]
STEPS = "agent.settings.total_steps"
SHORT = range(1, 12)  # total_steps of eleven runs, one rollout each


def words(long: int) -> list[str]:
    """Of the command; `long`: total_steps of the twelfth run."""
    return ["train", "-m", *SIZES, f"{STEPS}={','.join(map(str, [*SHORT, long]))}"]


def start(results: Path, *arguments: str) -> subprocess.Popen[str]:
    """The command `misgen` in a process of its own."""
    path = os.pathsep.join(sys.path)
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "misgen.experiments.cli", *arguments],
        env={**os.environ, "MISGEN_RESULTS": str(results), "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def misgen(results: Path, *arguments: str, code: int = 0) -> str:
    """The same to its end: what it printed."""
    process = start(results, *arguments)
    output, errors = process.communicate()
    assert process.returncode == code, output + errors
    return output + errors


def folder_of(results: Path, steps: int) -> Path:
    """Of the run of so many steps."""
    run = train_folder(compose("train", [*SIZES, f"{STEPS}={steps}"]))
    return results / "runs" / "kind=train" / run.path.name


def steps_of(seconds: float, results: Path) -> int:
    """So many steps of a training take about so many CPU seconds of this machine. The kernels are
    compiled afterwards."""
    few = 200_000
    misgen(results, "train", "-m", *SIZES, f"{STEPS}=1,{few}", "hydra.launcher.n_jobs=1")
    spent = [cpu_seconds(folder_of(results, steps)) for steps in (1, few)]
    return int(few * seconds / (spent[1] - spent[0]))


def cpu_seconds(folder: Path) -> float:
    return float((read_json(folder / "done.json") or {})["cpu_seconds"])


def finished(results: Path) -> dict[str, int]:
    """Run folder -> when it was finished."""
    return {
        path.parent.name: path.stat().st_mtime_ns for path in results.glob("runs/*/*/done.json")
    }


def states(results: Path) -> dict[str, int]:
    """What `misgen study status` counts."""
    found: dict[str, Any] = json.loads(misgen(results, "study", "status", "--json"))
    return dict(found["states"])


def steps_done(folder: Path) -> float:
    """By its progress; 0 before the first rollout is learned from."""
    return float((read_json(folder / "progress.json") or {}).get("done", 0))


def weights(results: Path) -> bytes:
    """Of the first of the short runs."""
    return (folder_of(results, SHORT[0]) / "checkpoint.safetensors").read_bytes()
