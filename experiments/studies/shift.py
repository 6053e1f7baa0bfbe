"""How far each shifted variant of a cell is from the variant 00: three measures and no rank.

(a) how well a linear classifier tells what is seen along the intended planner's way in the variant
    from what is seen at 00;
(b) how much longer the way is;
(c) how much return the d = 1 control arm loses, which never relied on the cue.

(a) and (b) need no agent: one job a cell. (c) is read from the records of an evaluation.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from misgen.agents.play import play_episodes
from misgen.agents.policy import PlannerPolicy, Policy
from misgen.analysis.records import Records, query
from misgen.envs.core.family import Family
from misgen.envs.core.levels import Levels, sample_quadruples
from misgen.envs.core.plans import INTENDED, Plans, judged_horizon, solve
from misgen.envs.core.types import VARIANTS, Array, Cell
from misgen.envs.families import find_family, reference
from misgen.experiments.cell_choice import cell_label
from misgen.experiments.jobs.child import report_progress
from misgen.experiments.jobs.scheduler import Job
from misgen.experiments.runs.folder import is_done, read_json, write_json

FILE = "shift.json"
SHIFTED = tuple(variant for variant in VARIANTS if variant != "00")
FIRST_SEED = 2 * 10**12  # behind the evaluation blocks of all agents
NUM_LEVELS = 150  # quadruples of a cell
NUM_TIMES = 5  # observations of a level, evenly spaced over the planner's episode
NUM_FOLDS = 5
PENALTY = 0.01  # sklearn's C: with about as many features as observations, a strong prior


# --- Jobs ----------------------------------------------------------------------------------------


def job_of(family: Family, cell: Cell, num_levels: int = NUM_LEVELS) -> Job:
    """The job that measures (a) and (b) of a cell."""
    argument = {
        "family": reference(family),
        "family_version": family.version,
        "cell": cell.code,
        "num_levels": num_levels,
        "first_seed": FIRST_SEED,
    }
    return Job.of("shift", f"shift {cell_label(family, cell)}", argument)


def shift_job(argument: dict[str, Any], folder: Path) -> None:
    """Measure (a) and (b) of every shifted variant of a cell; leaves shift.json."""
    family = find_family(argument["family"])
    seeds = argument["first_seed"] + np.arange(argument["num_levels"])
    quadruples = sample_quadruples(family, family.cell(argument["cell"]), seeds)
    plans = {}
    for number, (variant, levels) in enumerate(quadruples.items()):
        plans[variant] = solve(levels)
        report_progress(folder, number + 1, len(VARIANTS) + 1, f"planned {variant}")
    write_json(folder / FILE, {v: compare(plans["00"], plans[v]) for v in SHIFTED})


def compare(source: Plans, shifted: Plans) -> dict[str, Any]:
    """(a) and (b) of one variant: equally many planned levels of both, twins in their order."""
    kept = distinct(source.levels, shifted.levels)
    seen = [observe(plans) for plans in (source, shifted)]
    obs, level = (np.concatenate(parts) for parts in zip(*seen, strict=True))
    is_shifted = np.repeat([False, True], [len(part[0]) for part in seen])
    used = kept[level]
    aucs = separability(obs[used], is_shifted[used], level[used])
    return {
        "auc": float(aucs.mean()),
        "auc_sd": float(aucs.std(ddof=1)),
        "aucs": aucs.tolist(),
        "num_levels": int(kept.sum()),
        "num_observations": int(used.sum()),
        "length_00_steps": float(source.length[:, INTENDED].mean()),
        "length_steps": float(shifted.length[:, INTENDED].mean()),
        "length_ratio": length_ratio(source, shifted),
    }


def length_ratio(source: Plans, shifted: Plans) -> float:
    """Mean expected length of the intended planner's way, shifted over source."""
    return float(shifted.length[:, INTENDED].mean() / source.length[:, INTENDED].mean())


def distinct(source: Levels, shifted: Levels) -> Array:
    """bool [n]: pairs of twins of which neither level has occurred in an earlier pair."""
    met: set[int] = set()
    kept = np.zeros(len(source), np.bool_)
    for i, pair in enumerate(zip(source.hashes(), shifted.hashes(), strict=True)):
        kept[i] = met.isdisjoint(pair)
        met.update(pair)
    return kept


# --- What is seen --------------------------------------------------------------------------------


class _Witness:
    """A policy that keeps what it was shown."""

    def __init__(self, policy: Policy) -> None:
        self.policy, self.name = policy, policy.name
        self.seen: list[Array] = []  # one [n, *observation_shape] per step

    def start(self, env: Any) -> Any:
        return self.policy.start(env)

    def act(self, obs: Array, state: Any, noise: Array) -> tuple[Array, Any, Array]:
        self.seen.append(obs.copy())
        return self.policy.act(obs, state, noise)


def observe(plans: Plans) -> tuple[Array, Array]:
    """What the intended planner sees on the way.

    Returns:
        Planes, uint8 [m, planes * rows * columns], and the position of the level, int64 [m]; see
        `times` for which observations of an episode these are.
    """
    levels, limit = plans.levels, judged_horizon(plans.length)
    witness = _Witness(PlannerPolicy(plans, "intended"))
    episodes = play_episodes(
        witness,
        levels,
        horizon_steps=limit,
        judged_at_steps=limit,
        eval_seed=0,
        observation_mode="planes",
        batch_size=len(levels),
    )
    steps = [times(int(length)) for length in episodes.length]
    level = np.repeat(np.arange(len(levels)), [len(each) for each in steps])
    rows = [witness.seen[step][i] for i, each in enumerate(steps) for step in each]
    return np.stack(rows).reshape(len(rows), -1), level


def times(length: int) -> list[int]:
    """Steps at which an episode is looked at: 0, 1/5, 2/5, 3/5 and 4/5 of its length, rounded down,
    each once. The observation at step t is the one before action t; the last one is not used."""
    return sorted({length * k // NUM_TIMES for k in range(NUM_TIMES)})


def folds(is_shifted: Array, level: Array) -> Iterator[tuple[Array, Array]]:
    """Positions for fitting and for testing; all observations of a level and its twin are in one
    fold."""
    from sklearn.model_selection import StratifiedGroupKFold  # a second to import

    splitter = StratifiedGroupKFold(NUM_FOLDS, shuffle=True, random_state=0)
    yield from splitter.split(np.zeros(len(level)), is_shifted, level)


def separability(obs: Array, is_shifted: Array, level: Array) -> Array:
    """Area under the ROC curve of a standardised logistic regression on each fold's observations,
    fitted on the others; float64 [NUM_FOLDS]. .5: nothing tells them apart; 1: everything does.

    Args:
        obs: [m, features].
        is_shifted: bool [m].
        level: int [m], the same number for a level and its twin.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    features = obs[:, (obs != obs[0]).any(axis=0)].astype(np.float64)  # constant ones: no weight
    model = make_pipeline(StandardScaler(), LogisticRegression(C=PENALTY, max_iter=2000))
    splits = folds(is_shifted, level)
    return cross_val_score(model, features, is_shifted, scoring="roc_auc", cv=splits)


# --- The control arm -----------------------------------------------------------------------------


def return_drops(counts: Records) -> dict[tuple[str, str, str], tuple[float, int]]:
    """(c): by (family, cell, variant), mean return at 00 minus mean return at the variant, averaged
    over the agents that PPO trained in the cell at d = 1, q = 1, as they are at the end of their
    training; and the number of these agents.

    Raises:
        ValueError: the agents of a cell were not all trained alike.
    """
    drops = {}
    for family, cell, settings, variant, lost in query(counts, _CONTROL_DROPS):
        if len(settings) > 1:
            raise ValueError(
                f"the return drop is of one control arm; {family} {cell} has agents of "
                f"{len(settings)} settings: {settings}; pass the records of one study"
            )
        if variant is not None:
            drops[family, cell, variant] = (float(np.mean(lost)), len(lost))
    return drops


_CONTROL_DROPS = """
    with control as (
        select * from records
        where role = 'agent' and method = 'ppo' and d = 1 and q = 1 and variant <> 'own'
            and cell = train_distribution
        qualify checkpoint_step = max(checkpoint_step) over (partition by family, cell, setting)
    ), arm as (
        select family, cell, list_sort(list(distinct setting)) as settings from control group by all
    ), lost as (
        select family, cell, other.variant,
            list(intact.mean_return - other.mean_return order by run_id) as drops
        from control intact join control other using (family, cell, run_id)
        where intact.variant = '00' and other.variant <> '00' group by all)
    select family, cell, settings, variant, drops from arm left join lost using (family, cell)
    order by all"""


# --- Rows ----------------------------------------------------------------------------------------


Measured: TypeAlias = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""Code of a cell -> shifted variant -> its family, shift type, and what `shift_job` found."""


def measured_shifts(jobs: Sequence[Job]) -> Measured:
    """What the jobs of `job_of` found.

    Raises:
        ValueError: a job is not finished.
    """
    found = {}
    for job in jobs:
        family = find_family(job.argument["family"])
        cell = family.cell(job.argument["cell"])
        measured = read_json(job.folder / FILE) if is_done(job.folder) else None
        if measured is None:
            raise ValueError(f"{job.name} must have been run; {job.folder} is not finished")
        where = {"family": family.name, "shift_type": cell.shift_type}
        found[cell.code] = {variant: where | measured[variant] for variant in SHIFTED}
    return found


def shift_rows(counts: Records, measured: Measured) -> list[dict[str, Any]]:
    """One row for each cell and shifted variant, ready to print.

    counts: for (c): `return_drop` is NaN and `control_agents` 0 where they have no control arm.

    Raises:
        ValueError: see `return_drops`.
    """
    drops = return_drops(counts)
    rows = []
    for code, variants in measured.items():
        for variant in SHIFTED:
            one = variants[variant]
            drop, agents = drops.get((one["family"], code, variant), (math.nan, 0))
            control = {"return_drop": drop, "control_agents": agents}
            rows.append({**one, "cell": code, "variant": variant, **control})
    return rows
