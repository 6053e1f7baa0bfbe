"""A large results folder in a minute: finished runs replicated from a few that were really trained.

    python tests/experiments/big_results.py FOLDER [--agents 1000] [--levels 213]

Trains and evaluates two agents in each of four arms (barely, in `FOLDER-seed`, minutes), then
writes the runs of the study that `declared` says under the ids that `misgen` gives them, each with
config.json, done.json and records that are copies but for their labels: `misgen` finds nothing left
to do. Left out are the weights (1.9 MB an agent), which no reader of results opens.
"""

import argparse
import functools
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from misgen.analysis.files import utf8
from misgen.analysis.records import FILE_NAME, event_names, write_table
from misgen.experiments.jobs.attempt import file_hashes
from misgen.experiments.jobs.scheduler import Job
from misgen.experiments.runs.evaluation_jobs import evaluation_jobs
from misgen.experiments.runs.folder import read_json, run_folders, write_json
from misgen.experiments.runs.names import run_name
from misgen.experiments.runs.subjects import OUTCOME_VERSION
from misgen.experiments.runs.train import CHECKPOINT, train_folder
from misgen.experiments.studies.file import Arm, Quick, Study
from misgen.experiments.studies.study import Plan, evaluation_arguments, train_configs

CELLS = ("C2", "K3")
DIVERSITY = (0, 0.01, 0.1, 0.3, 1)
NUM_LEVELS = (0, 500)
FEATURES = (64, 128, 256, 384, 512)
PER_ARM, FIRST_AGENT, SEEDS = 10, 100, 2
STEPS = 32768


def declared(agents: int, levels: int) -> Plan:
    """The study: so many agents, 10 in each arm, on so many quadruples each."""
    arms = {
        f"d={d} levels={n} features={f}": Arm((
            f"intervention.diversity={d}",
            f"intervention.num_levels={n}",
            f"agent.settings.features_dim={f}",
            f"agent.settings.total_steps={STEPS}",
        ))
        for f in FEATURES
        for n in NUM_LEVELS
        for d in DIVERSITY
    }  # fmt: skip
    wanted = -(-agents // (PER_ARM * len(CELLS)))
    arms = dict([*arms.items()][:wanted])
    quick = Quick(overrides=(), num_levels=levels)
    study = Study("big", "Is it fast?", arms, PER_ARM, quick, CELLS, FIRST_AGENT)
    return Plan(study, CELLS, PER_ARM, quick=True)


def make_seed(folder: Path, levels: int) -> None:
    """Two agents at d = 0 and two at d = 1 in both cells, barely trained, and evaluated."""
    words = [f"cell={','.join(CELLS)}", "intervention.diversity=0,1", f"train_seed=range({SEEDS})"]
    steps = f"agent.settings.total_steps={STEPS}"
    misgen = [sys.executable, "-m", "misgen.experiments.cli"]
    subprocess.run([*misgen, "train", "-m", *words, steps, f"--results={folder}"], check=True)
    evaluate = ["evaluate", f"--levels={levels}", f"--results={folder}"]
    subprocess.run([*misgen, *evaluate], check=True)


# --- The runs of training ------------------------------------------------------------------------


def replicate(plan: Plan, seed: Path, results: Path) -> int:
    """Write all runs of a study, finished; how many there are. `results` is $MISGEN_RESULTS."""
    configs = train_configs(plan)
    arms = {}
    for config in (each for members in configs.values() for each in members):
        folder = train_folder(config)
        arms[folder.id] = run_name(config).partition(" agent")[0]
        template = _seed_training(seed, config.cell, config.intervention.diversity > 0.1)
        _train(template, folder.path, dict(folder.config))
    jobs = evaluation_jobs(evaluation_arguments(plan, configs))
    for job in jobs:
        _evaluate(seed, job)
    (results / "sweeps").mkdir(exist_ok=True)
    write_json(results / "sweeps" / "big.json", {"runs": arms})
    return len(arms) + len(jobs)


@functools.cache
def _seed_training(seed: Path, cell: str, is_diverse: bool) -> Path:
    for folder in run_folders(seed, "train"):
        config = read_json(folder / "config.json") or {}
        if config["cell"] == cell and bool(config["intervention"]["diversity"]) == is_diverse:
            return folder
    raise ValueError(f"{seed} has no agent of {cell}")


def _train(template: Path, folder: Path, config: Mapping[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("curve.csv", "provenance.json", "train.json"):
        shutil.copy(template / name, folder / name)
    meta = read_json(template / f"{CHECKPOINT}.json") or {}
    meta |= {
        "train_seed": config["train_seed"],
        "diversity": config["intervention"]["diversity"],
        "weights_sha256": hashlib.sha256(folder.name.encode()).hexdigest(),
    }
    write_json(folder / f"{CHECKPOINT}.json", meta)
    _finish(folder, config, seconds=5.5)


def _finish(folder: Path, config: Mapping[str, Any], seconds: float) -> None:
    write_json(folder / "config.json", dict(config))
    done = {"id": folder.name.removeprefix("run="), "schema": 1, "seconds": seconds}
    write_json(folder / "done.json", {**done, "sha256": file_hashes(folder), "versions": {}})


# --- The runs of evaluation ----------------------------------------------------------------------


def _evaluate(seed: Path, job: Job) -> None:
    kind = job.folder.parent.name.removeprefix("kind=")
    members = job.argument.get("members", [job.argument])
    parts = [_rows(seed, kind, member, job.folder.name.removeprefix("run=")) for member in members]
    source = next(iter(_seed_files(seed, kind, members[0]["cell"])))
    write_table(job.folder / FILE_NAME, pa.concat_tables(parts), event_names(source))
    shutil.copy(source.parent / "provenance.json", job.folder / "provenance.json")
    _finish(job.folder, job.argument, seconds=4.2)


def _rows(seed: Path, kind: str, argument: Mapping[str, Any], run_id: str) -> pa.Table:
    """Rows of a seed agent under the labels of this one."""
    assert argument["outcome_version"] == OUTCOME_VERSION
    subject = argument["subject"]
    number = subject["agent_number"]
    old = number % SEEDS
    is_diverse = subject["d"] > 0.1
    table = _template(seed, kind, argument["cell"], old, is_diverse)
    labels = {
        "run_id": run_id,
        "study": argument["study"],
        "setting": argument["setting"],
        "agent_number": number,
        "d": subject["d"],
        "train_seed": subject["train_seed"],
    }
    for name, value in labels.items():
        at, kind_of = table.schema.get_field_index(name), table.schema.field(name)
        constant = pa.array([value] * len(table), kind_of.type)
        table = table.set_column(at, kind_of, constant)
    for name, shift in (("level_seed", (number - old) * 10**6), ("level_hash", number << 20)):
        at, kind_of = table.schema.get_field_index(name), table.schema.field(name)
        moved = (
            pc.add(table[name], pa.scalar(shift, kind_of.type))
            if name == "level_seed"
            else pc.bit_wise_xor(table[name], pa.scalar(shift, kind_of.type))
        )
        table = table.set_column(at, kind_of, moved)
    return table


@functools.cache
def _template(seed: Path, kind: str, cell: str, number: int, is_diverse: bool) -> pa.Table:
    tables = []
    for file in _seed_files(seed, kind, cell):
        table = pq.read_table(utf8(file))
        fits = pc.equal(table["agent_number"], number)
        if kind != "controls":
            fits = pc.and_(fits, pc.equal(table["d"], float(is_diverse)))
        tables.append(table.filter(fits))
    found = pa.concat_tables(tables)
    assert len(found), (kind, cell, number, is_diverse)
    return found


@functools.cache
def _seed_files(seed: Path, kind: str, cell: str) -> Sequence[Path]:
    return [*_files(seed, kind, cell)]


def _files(seed: Path, kind: str, cell: str) -> Iterator[Path]:
    for folder in run_folders(seed, kind):
        config = read_json(folder / "config.json") or {}
        if config.get("members", [config])[0]["cell"] == cell:
            yield folder / FILE_NAME


def main(argv: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--agents", type=int, default=1000)
    parser.add_argument("--levels", type=int, default=213)
    options = parser.parse_args(argv)
    folder = options.folder.absolute()
    seed = folder.with_name(folder.name + "-seed")
    if not seed.is_dir():
        make_seed(seed, options.levels)
    os.environ["MISGEN_RESULTS"] = str(folder)
    number = replicate(declared(options.agents, options.levels), seed, folder)
    rows = sum(pq.read_metadata(utf8(file)).num_rows for file in folder.rglob(FILE_NAME))
    print(f"{folder}: {number} finished runs, {rows:,} episodes")


if __name__ == "__main__":
    main(sys.argv[1:])
