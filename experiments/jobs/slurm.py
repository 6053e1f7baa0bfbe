"""Training on a Slurm cluster: one array, each task of which trains many agents on its cores.

A task that is killed or out of time costs nothing that is finished, and what it was training goes
on from its last checkpoint when the same command is given again. It submits what is neither done
nor in the queue.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from misgen.experiments.config import TrainConfig, from_dict
from misgen.experiments.jobs.attempt import ClaimedError, claim
from misgen.experiments.jobs.display import report_failures, say
from misgen.experiments.jobs.scheduler import Job, JobResult
from misgen.experiments.runs.folder import is_done, read_json, results_root
from misgen.experiments.runs.sweep import train_on_cores
from misgen.experiments.runs.train import train_jobs
from misgen.experiments.studies.status import JOB_NAME, queued_runs, remember_submitted, submissions

if TYPE_CHECKING:
    from misgen.experiments.launchers.slurm import SlurmConf

ASK_S = 5.0  # between questions to Slurm, while waiting
TELL_S = 60.0


def pack(jobs: Sequence[Job], number: int) -> list[list[Job]]:
    """So many packs of jobs of about equal expected cost: the costliest job goes first, each
    where the least is. The largest pack is the first."""
    packs: list[list[Job]] = [[] for _ in range(min(number, len(jobs)))]
    costs = [0.0] * len(packs)
    for job in sorted(jobs, key=lambda job: -job.weight):
        # Of equal costs the emptier one, where jobs weigh nothing.
        least = min(range(len(packs)), key=lambda i: (costs[i], len(packs[i])))
        packs[least].append(job)
        costs[least] += job.weight
    order = sorted(range(len(packs)), key=lambda i: -costs[i])
    return [packs[i] for i in order]


def number_of_tasks(agents: int, conf: SlurmConf) -> int:
    return conf.tasks or -(-agents // conf.agents_per_task)


def check(conf: SlurmConf) -> None:
    """ValueError for settings that make no sense, or where there is no Slurm."""
    positive = ("agents_per_task", "cpus_per_task", "timeout_min", "array_parallelism")
    low = [f"{name}={getattr(conf, name)}" for name in positive if getattr(conf, name) < 1]
    if low or conf.tasks < 0:
        raise ValueError(
            f"settings of launcher=slurm are at least 1 (tasks: 0 = as many as agents_per_task "
            f"makes); got {', '.join(low) or f'tasks={conf.tasks}'}"
        )
    absent = [name for name in ("sbatch", "squeue") if shutil.which(name) is None]
    if absent:
        raise ValueError(
            f"launcher=slurm needs Slurm's commands, and {' and '.join(absent)} cannot be found; "
            "run this on a login node of a cluster, or leave launcher=slurm out to train here"
        )


def plan(missing: Sequence[TrainConfig], conf: SlurmConf) -> str:
    tasks = number_of_tasks(len(missing), conf)
    return f"an array of {tasks} in Slurm, {conf.cpus_per_task} at a time in each"


def train(missing: Sequence[TrainConfig], conf: SlurmConf) -> list[JobResult]:
    """Submit what is not in the queue. Without `conf.wait` nothing has become of it yet: the empty
    list.

    Raises:
        ValueError: Slurm refuses or does not answer, or another process is just submitting.
    """
    root = results_root()
    submissions(root).mkdir(parents=True, exist_ok=True)
    jobs = train_jobs(missing)
    try:
        with claim(submissions(root)):
            there = queued_runs(root)
            new = [job for job in jobs if job.run_id not in there]
            if len(new) < len(jobs):
                say(f"{len(jobs) - len(new)} runs are in Slurm's queue already")
            if new:
                remember_submitted(root, _submit(new, conf))
    except ClaimedError as error:
        raise ValueError(f"another process is just submitting ({error}); repeat this") from error
    if conf.wait:
        return _wait(jobs, conf)
    say(
        "`misgen study status` says how far they are; when Slurm has ended them, the same command "
        "trains what is missing (killed, out of time)"
    )
    return []


def _submit(jobs: Sequence[Job], conf: SlurmConf) -> dict[str, list[str]]:
    """One array; the task of each pack -> ids of its runs."""
    from submitit import AutoExecutor
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    packs = pack(jobs, number_of_tasks(len(jobs), conf))
    root = results_root()
    left_to_the_cluster = {
        "mem_gb": conf.mem_gb,
        "slurm_partition": conf.partition,
        "slurm_account": conf.account,
        "slurm_qos": conf.qos,
        "slurm_constraint": conf.constraint,
    }
    # Not within srun: a step has one core where nothing else is said. No signal before the time
    # limit: the jobs leave checkpoints all the time.
    executor = AutoExecutor(folder=submissions(root) / "logs", cluster="slurm")
    executor.update_parameters(
        name=JOB_NAME,
        timeout_min=conf.timeout_min,
        cpus_per_task=conf.cpus_per_task,
        slurm_array_parallelism=conf.array_parallelism,
        slurm_use_srun=False,
        slurm_signal_delay_s=0,
        slurm_setup=conf.setup or None,
        slurm_additional_parameters=conf.additional_parameters or None,
        **{name: value for name, value in left_to_the_cluster.items() if value is not None},
    )
    members = [[job.argument for job in each] for each in packs]
    try:
        submitted = executor.map_array(
            run_task, [str(root)] * len(packs), members, [conf.cpus_per_task] * len(packs)
        )
    except (FailedJobError, FailedSubmissionError) as error:
        said = str(error).strip().splitlines()[-1]
        raise ValueError(f"Slurm refuses the jobs: {said}; see hydra.launcher.*") from error
    sizes = sorted({len(each) for each in packs})
    agents = " to ".join(str(size) for size in (sizes[0], sizes[-1])[: len(sizes)])
    say(
        f"submitted: job {submitted[0].job_id.partition('_')[0]} of Slurm, {len(packs)} tasks of "
        f"{agents} agents, {conf.cpus_per_task} at a time in each"
    )
    ids = [[one.run_id for one in each] for each in packs]
    return dict(zip((task.job_id for task in submitted), ids, strict=True))


def run_task(root: str, members: Sequence[Mapping[str, Any]], workers: int) -> None:
    """In a task of the array: train its agents."""
    os.environ["MISGEN_RESULTS"] = root
    try:
        results = train_on_cores([from_dict(TrainConfig, member) for member in members], workers)
    except KeyboardInterrupt:  # Slurm's SIGTERM, at the time limit or by scancel
        sys.exit(130)
    if any(result.status not in ("done", "skipped") for result in results):
        sys.exit(1)


def _wait(jobs: Sequence[Job], conf: SlurmConf) -> list[JobResult]:
    """Until none of these is in the queue; what became of them. Interrupted, Slurm goes on."""
    told = float("-inf")
    while True:
        done = sum(is_done(job.folder) for job in jobs)
        try:
            there = queued_runs(results_root())
        except ValueError as error:  # its controller may be down for a while
            say(str(error))
        else:
            if not any(job.run_id in there for job in jobs):
                break
        if time.monotonic() - told > TELL_S:
            told = time.monotonic()
            say(f"waiting for Slurm: {done} of {len(jobs)} are done")
        time.sleep(ASK_S)
    results = [_outcome(job, conf.timeout_min) for job in jobs]
    report_failures(results)
    return results


def _outcome(job: Job, timeout_min: int) -> JobResult:
    """What became of a job of which Slurm knows no more."""
    if is_done(job.folder):
        return JobResult(job.name, "done", job.folder)
    failed = read_json(job.folder / "failed.json") or {
        "error": "its Slurm job has ended before it was done: killed, or out of its "
        f"{timeout_min} min; what it has learned is kept"
    }
    return JobResult(job.name, "failed", job.folder, error=str(failed["error"]))
