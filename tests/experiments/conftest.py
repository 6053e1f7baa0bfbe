"""Fixtures of the experiments' tests."""

from collections.abc import Iterator, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="module")
def jobs_here() -> Iterator[None]:
    """`misgen evaluate` runs its jobs one after the other in this process, where torch and the
    kernels are loaded, and training ends with fewer levels solved. In processes of their own they
    run in test_own_family.py."""
    from misgen.experiments.runs import evaluate, training_log

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training_log, "DISTINGUISHING_SAMPLE", 300)
        patch.setattr(evaluate, "run_jobs", _run_here)
        yield


def _run_here(jobs: Sequence[Any], num_workers: int) -> list[Any]:
    from misgen.experiments.jobs.attempt import run_once
    from misgen.experiments.jobs.scheduler import JobResult

    results: dict[str, Any] = {}
    for job in jobs:
        assert set(job.after) <= results.keys()
        module, _, function = job.target.partition(":")
        body = getattr(import_module(module), function)
        ran = run_once(job.folder, job.argument, partial(body, job.argument))
        results[job.name] = JobResult(job.name, "done" if ran else "skipped", job.folder)
    return list(results.values())


@pytest.fixture
def few_levels(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Few levels are played before one is shown, and the results are a folder of their own."""
    from misgen.experiments.shown import levels as shown_levels

    monkeypatch.setattr(shown_levels, "QUADRUPLES", 12)
    monkeypatch.setenv("MISGEN_RESULTS", str(tmp_path / "results"))


@pytest.fixture
def untrained_agent(tmp_path: Path) -> Path:
    """The finished run of an agent of K3 that has learned nothing, number 7."""
    from tests.agents.tiny import TINY, make_env

    from misgen.agents import checkpoint
    from misgen.agents.networks import initial_weights

    run = tmp_path / "results" / "runs" / "kind=train" / "run=abcdef0123456789"
    meta = checkpoint.describe(make_env(), TINY, train_seed=7, steps=0)
    checkpoint.save(run / "checkpoint", initial_weights(checkpoint.architecture_of(meta), 0), meta)
    (run / "done.json").write_text("{}")
    return run
