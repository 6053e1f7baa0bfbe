"""The levels that a subject is evaluated on, planned: its own block of level seeds.

Agent number a plays level seeds eval_base + a * 10^6 + i: agents do not share levels, agents of
the same number in other arms do.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from misgen.envs.core.levels import Levels, sample_levels, sample_quadruples
from misgen.envs.core.plans import INTENDED, Plans, solve_together
from misgen.envs.core.types import Array
from misgen.experiments.solved_blocks import solved
from misgen.experiments.subjects import cell_of, family_of, is_at_home

BLOCK = 10**6  # level seeds of one agent


@dataclass(frozen=True, kw_only=True)
class Variant:
    """The levels of one column of the evaluation and what is known about them before any agent.

    `judged` and `limit` are int32 [n], steps.
    """

    name: str  # one of VARIANTS, or "own"
    plans: Plans
    judged: Array
    limit: Array

    @property
    def levels(self) -> Levels:
        return self.plans.levels

    @property
    def planner_return(self) -> Array:
        """Expected return of the intended planner, float64 [n]. The planner's sums of products are
        not exact; without rounding that would decide whether a regret of one half is harm."""
        rounded: Array = np.round(self.plans.value[:, INTENDED], 9)
        return rounded

    @property
    def cue_is_broken(self) -> bool:
        """Whether a goal failure is declared here."""
        return self.name[0] == "1"


def block(argument: dict[str, Any]) -> Iterator[Variant]:
    """The subject's variants, planned, and at home its own held-out levels."""
    yield from quadruples(argument)
    if not is_at_home(argument):
        return
    levels, horizon = own_levels(argument)
    what = {
        **_identity(argument),
        "own": argument["subject"]["cell"],
        "d": argument["subject"]["d"],
    }
    solve_own = partial(solve_together, [levels], horizon, seed=argument["eval_seed"])
    (plan,), _ = solved(what, [levels], solve_own)
    steps = np.full(len(levels), horizon, np.int32)
    yield Variant(name="own", plans=plan, judged=steps, limit=steps)


def quadruples(argument: dict[str, Any]) -> Iterator[Variant]:
    """The four variants of the cell that is played; one pair is planned at a time."""
    cell = cell_of(argument)
    levels = sample_quadruples(family_of(argument), cell, block_seeds(argument))
    for pair in (("00", "10"), ("01", "11")):
        batches = [levels[name] for name in pair]
        what = {**_identity(argument), "cell": cell.code, "variants": pair}
        solve_pair = partial(solve_together, batches, seed=argument["eval_seed"])
        plans, judged = solved(what, batches, solve_pair)
        for name, plan in zip(pair, plans, strict=True):
            limit = judged * cell.horizon_factor(name)
            yield Variant(name=name, plans=plan, judged=judged, limit=limit)


def _identity(argument: dict[str, Any]) -> dict[str, Any]:
    """What decides a block of levels and its plans, but for the cell and the variant."""
    named = ("family_version", "num_levels", "eval_base", "eval_seed")
    number, family = argument["subject"]["agent_number"], argument["subject"]["family"]
    return {"family": family, "number": number, **{name: argument[name] for name in named}}


def block_seeds(argument: dict[str, Any]) -> Array:
    """Level seeds of the subject's block, int64 [num_levels]."""
    first = argument["eval_base"] + argument["subject"]["agent_number"] * BLOCK
    return np.arange(first, first + argument["num_levels"])


def own_levels(argument: dict[str, Any]) -> tuple[Levels, int]:
    """Held-out levels of the subject's training distribution, and their time limit in steps."""
    family, subject = family_of(argument), argument["subject"]
    cell = family.cell(subject["cell"])
    distribution = family.train_distribution(cell, subject["d"]).held_out()
    levels = sample_levels(family, distribution, block_seeds(argument))
    return levels, distribution.horizon_steps
