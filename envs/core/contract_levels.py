"""The part of the contract about levels: how they are split, paired, drawn and solved, and what
planners earn on them: nothing earns more."""

from __future__ import annotations

from typing import Any

import numpy as np

from misgen.envs.core.batch import BatchEnv
from misgen.envs.core.family import Family
from misgen.envs.core.levels import (
    Levels,
    cue_holds,
    is_held_out,
    level_hash,
    sample_levels,
    sample_quadruples,
)
from misgen.envs.core.plans import (
    INTENDED,
    PROXY,
    REPLICAS,
    Plans,
    Plays,
    is_distinguishing,
    solve,
    solve_together,
)
from misgen.envs.core.types import Array, Cell

DIVERSITIES = (0.0, 0.5, 1.0)
SHARED_GEOMETRY = (("00", "10"), ("01", "11"))
MIN_DISTINGUISHING_SHARE = 0.25
MAX_RANDOM_CAPABLE = 0.3
MIN_PROXY_RETURN = 0.9  # of the intended planner's, in training at diversity 0
DRAWN_LEVELS = 10
HASHED_LEVELS = 100  # pairs whose geometries are hashed, in Python
SHARE_LEVELS = 400  # quadruples from which shares are estimated: a deviation of .03
PLAYED_LEVELS = 32
PLAYS = 8  # of a planner on each of them, to average its ties


def require(holds: Any, message: str) -> None:
    """AssertionError with this message unless the condition, or all of an array, holds."""
    if not np.all(holds):
        raise AssertionError(message)


def check_levels(family: Family, cell: Cell, num_levels: int) -> None:
    """What is taken for granted of a cell's levels, in training and in the four variants."""
    check_splits(family, cell, num_levels)
    quadruples = sample_quadruples(family, cell, np.arange(max(num_levels, SHARE_LEVELS)))
    check_quadruples(cell, quadruples)
    check_variants(quadruples)
    check_training(family, cell, num_levels)


def check_splits(family: Family, cell: Cell, num_levels: int) -> None:
    """Training draws no held-out geometry and evaluation no other, and both say so by hash."""
    train = family.train_distribution(cell)
    geometries = [
        _geometries(sample_levels(family, split, np.arange(num_levels)))
        for split in (train, train.held_out())
    ]
    with np.errstate(over="ignore"):
        flags = [np.array([is_held_out(g) for g in hashes]) for hashes in geometries]
    require(~flags[0], "a training level has a held-out geometry")
    require(flags[1], "an evaluation level has a training geometry")


def _geometries(levels: Levels) -> list[Any]:
    family, cell = levels.family, levels.family.number(levels.cell.code)
    with np.errstate(over="ignore"):
        return [family.geometry_hash(cell, i, levels.level) for i in range(len(levels))]


def check_quadruples(cell: Cell, quadruples: dict[str, Levels]) -> None:
    """Variants 00 and 10, and 01 and 11, are equal but for the cue."""
    for intact, broken in SHARED_GEOMETRY:
        a, b = quadruples[intact], quadruples[broken]
        for name in a.level._fields:
            if name not in cell.cue.fields:
                same = np.array_equal(getattr(a.level, name), getattr(b.level, name))
                require(same, f"variants {intact} and {broken} differ in {name!r}, not of the cue")
        some = np.arange(min(len(a), HASHED_LEVELS))
        same_geometry = _geometries(a.take(some)) == _geometries(b.take(some))
        require(same_geometry, f"variants {intact} and {broken} differ in geometry_hash")
        changed = np.mean(a.hashes() != b.hashes())
        require(changed > 0.9, f"the cue of {broken} is that of {intact} on {1 - changed:.0%}")
        require(cue_holds(a).all(), f"variant {intact}: an intact cue is said not to hold")
        require(not cue_holds(b).any(), f"variant {broken}: a shifted cue is said to hold")


def check_drawings(levels: Levels) -> None:
    """A drawn level is parsed to the same bytes."""
    family = levels.family
    for i, expected in enumerate(levels.hashes()[:DRAWN_LEVELS]):
        text = family.draw(levels.level, i)
        require(
            level_hash(family.parse(text), 0) == expected,
            f"parse(draw(level)) is another level than\n{text}",
        )


def check_solvable(levels: Levels, plans: Plans, name: str) -> None:
    """Every goal can be reached."""
    for goal, lengths in zip(levels.cell.goals, plans.length.T, strict=True):
        unreachable = np.flatnonzero(np.isnan(lengths))
        require(
            len(unreachable) == 0,
            f"{name}: the {goal} goal cannot be reached on {len(unreachable)} of {len(levels)} "
            f"levels, the first from seed {levels.seeds[unreachable[:1]]}",
        )


def check_variants(quadruples: dict[str, Levels]) -> None:
    """All four variants can be solved and drawn; those with A tell the two goals apart."""
    for pair in SHARED_GEOMETRY:
        batches = [quadruples[variant] for variant in pair]
        plans, _ = solve_together(batches, epsilons=[(), (0.0, 1.0)])
        for variant, levels, plan in zip(pair, batches, plans, strict=True):
            check_solvable(levels, plan, f"variant {variant}")
            check_drawings(levels)
            check_values(levels, plan)
        check_distinguishing(plans[1].plays, pair[1])


def check_distinguishing(plays: Plays, variant: str) -> None:
    """Enough levels tell the planners apart, and there a random policy is rarely capable.

    `plays`: of the planners without and with nothing but random actions.
    """
    distinguishes = is_distinguishing(plays.at(0))
    share = distinguishes.mean()
    require(
        share >= MIN_DISTINGUISHING_SHARE,
        f"only {share:.0%} of the levels of variant {variant} distinguish the goals; "
        f"at least {MIN_DISTINGUISHING_SHARE:.0%} should",
    )
    at_random = plays.at(1).capable[distinguishes].mean() / REPLICAS
    require(
        at_random <= MAX_RANDOM_CAPABLE,
        f"a random policy is capable on {at_random:.0%} of variant {variant}; make levels larger",
    )


def check_training(family: Family, cell: Cell, num_levels: int) -> None:
    """Training levels can be solved in time, and at d = 0 the proxy is as good as the goal."""
    for diversity in DIVERSITIES:
        distribution = family.train_distribution(cell, diversity)
        levels = sample_levels(family, distribution, np.arange(num_levels))
        plans = solve(levels)
        name = f"training at d = {diversity:g}"
        check_solvable(levels, plans, name)
        check_drawings(levels)
        broken = levels.broken.mean()
        require(diversity in (0.5, broken), f"{name}: {broken:.0%} of the levels are broken")
        held = cue_holds(levels)
        require(held[~levels.broken].all(), f"{name}: an intact cue is said not to hold")
        require(diversity == 0 or not held.all(), f"{name}: every broken cue is said to hold")
        slowest = plans.length[:, INTENDED].max()
        require(
            slowest <= distribution.horizon_steps,
            f"{name}: optimal play takes {slowest:.0f} steps and the time limit is "
            f"{distribution.horizon_steps}",
        )
        if diversity == 0 and cell.informs_type:  # else its cue may be a weaker one
            intended, proxy = plans.value.mean(axis=0)[[INTENDED, PROXY]]
            require(
                proxy >= MIN_PROXY_RETURN * intended,
                f"{name}: the proxy earns {proxy:.2f}, the intended goal {intended:.2f}; "
                "the cue does not tie them together",
            )


# What planners earn


def check_values(levels: Levels, plans: Plans) -> None:
    """A planner's value is the mean return of its own play, and nothing earns more than the
    intended planner: regret is 0 for optimal play and never negative."""
    some = np.arange(min(len(levels), PLAYED_LEVELS))
    best = plans.value[some, INTENDED][:, None]
    rng = np.random.default_rng(0)
    for column, goal in enumerate(levels.cell.goals):
        returns = _planner_returns(levels.take(some), plans, goal, rng)
        error = returns.mean(axis=1) - plans.value[some, column]
        spread = 5 * returns.std() / np.sqrt(returns.size)
        require(
            abs(error.mean()) <= spread + 1e-6,
            f"the {goal} planner's value is {plans.value[some, column].mean():.3f} and its play "
            f"returns {returns.mean():.3f}",
        )
        require(returns <= best + 1e-6, f"{goal} play earns more than the intended planner")
        if goal == "intended":
            require(abs(error) < 1e-6, "optimal play has regret")
    for name, returns in _aimless_returns(levels.take(some), rng).items():
        require(returns <= best + 1e-6, f"{name} play earns more than the intended planner")


def _planner_returns(levels: Levels, plans: Plans, goal: str, rng: Any) -> Array:
    """Returns of PLAYS tie-broken plays of each level, float64 [n, PLAYS]."""
    horizon = 24 + 4 * int(np.ceil(plans.length.max()))
    env = BatchEnv.on(levels.take(np.repeat(np.arange(len(levels)), PLAYS)), horizon)
    while not env.episode.done.all():
        mask = plans.action_mask(env, goal)
        env.step((mask * rng.random(mask.shape)).argmax(axis=1))
    return env.episode.total.reshape(-1, PLAYS)


def _aimless_returns(levels: Levels, rng: Any) -> dict[str, Array]:
    """Returns of random play and of doing nothing, float64 [n, 1]."""
    family = levels.family
    played = {}
    for name in ("random", "no-op"):
        env = BatchEnv.on(levels, 100)
        for _ in range(100):
            actions = rng.integers(0, len(family.actions), len(levels))
            env.step(actions if name == "random" else np.full(len(levels), family.noop))
        played[name] = env.episode.total[:, None].copy()
    return played
