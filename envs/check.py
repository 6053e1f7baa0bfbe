"""check_family: what the rest of the testbed takes for granted about a family.

For whoever adds one: `check_family(FAMILY)` raises AssertionError with the fact that does not hold.
A few hundred levels are solved per cell, which takes seconds to a minute.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from misgen.envs import render
from misgen.envs.batch import BatchEnv
from misgen.envs.levels import (
    Levels,
    is_held_out,
    level_hash,
    sample_levels,
    sample_quadruples,
    variant_distribution,
)
from misgen.envs.solve import REPLICAS, Plans, is_distinguishing, solve, solve_together
from misgen.envs.types import NEVER, VARIANTS, Array, Cell, Family, LevelDistribution

HEADINGS = (
    "Intended goal",
    "Proxies",
    "Cues",
    "Cells",
    "Actions",
    "Observation",
    "Reward",
    "Episode end",
    "Source",
)
DIVERSITIES = (0.0, 0.5, 1.0)
SHARED_GEOMETRY = (("00", "10"), ("01", "11"))
MIN_DISTINGUISHING_SHARE = 0.25
MAX_RANDOM_CAPABLE = 0.3
MIN_PROXY_RETURN = 0.9  # of the intended planner's, in training at diversity 0
PLAYS = 8  # of a planner on each level, to average its ties
PLAYED_LEVELS = 32
DRAWN_LEVELS = 10
SHARE_LEVELS = 400  # quadruples from which shares are estimated: a deviation of .03


def check_family(family: Family, num_levels: int = 100) -> None:
    """Raise AssertionError or ValueError if the family breaks the contract.

    Args:
        num_levels: levels drawn from each distribution (three in training, four variants, of
            which at least SHARE_LEVELS); at least 50, since shares are compared with limits.
    """
    if num_levels < 50:
        raise ValueError(f"num_levels is at least 50; got {num_levels}")
    check_card(family)
    check_declaration(family)
    for mode in family.modes:
        check_pictures(family, mode)
    for cell in family.cells:
        check_streams(family, cell)
        check_state_keys(family, cell)
        check_outcomes(family, cell)
        check_splits(family, cell, num_levels)
        seeds = np.arange(max(num_levels, SHARE_LEVELS))
        quadruples = sample_quadruples(family, cell, seeds)
        check_quadruples(cell, quadruples)
        check_variants(quadruples)
        check_training(family, cell, num_levels)


def require(holds: Any, message: str) -> None:
    """AssertionError with this message unless the condition, or all of an array, holds."""
    if not np.all(holds):
        raise AssertionError(message)


# What is written


def card_sections(card: str) -> dict[str, str]:
    """The text under each heading of a card, on one line."""
    pattern = rf"^({'|'.join(HEADINGS)}):"
    parts = re.split(pattern, card, flags=re.MULTILINE)
    texts = (" ".join(part.split()) for part in parts[2::2])
    return dict(zip(parts[1::2], texts, strict=True))


def check_card(family: Family) -> None:
    """The card has every heading and says of cells, actions and shapes what the code does."""
    sections = card_sections(family.card)
    require(
        tuple(sections) == HEADINGS,
        f"the card of {family.name} has the headings {', '.join(HEADINGS)}, in this order; "
        f"got {', '.join(sections)}",
    )
    for cell in family.cells:
        for heading in ("Proxies", "Cues", "Cells"):
            found = re.search(rf"\b{cell.code}\b", sections[heading])
            require(found, f"the card's section {heading!r} does not mention {cell.code}")
        require(cell.name in sections["Cells"], f"the card does not name the cell {cell.name}")
    actions = tuple(sections["Actions"].rstrip(".").split(", "))
    require(
        actions == family.actions, f"the card's actions are {actions}, the code's {family.actions}"
    )
    shapes = _stated_shapes(sections["Observation"])
    for mode in family.modes:
        shape = list(render.Renderer(family, _visible_cell(family, mode), mode).shape)
        stated = shapes.get(mode)
        require(stated == shape, f"the card states {stated} for `{mode}`; the code has {shape}")
    names = ", ".join(plane.name for plane in family.planes)
    require(f"channels {names}." in sections["Observation"], f"the card's channels are not {names}")


def _stated_shapes(text: str) -> dict[str, list[int]]:
    """`mode`: uint8 [1, 2, 3] -> {"mode": [1, 2, 3]}."""
    found = re.findall(r"`(\w+)`[^`\[]*\[([\d, ]+)\]", text)
    return {mode: [int(size) for size in shape.split(",")] for mode, shape in found}


def _visible_cell(family: Family, mode: str) -> Cell:
    """A cell whose cue can be seen in this mode."""
    seen = [cell for cell in family.cells if mode in render.visible_modes(family, cell)]
    require(seen, f"no cell of {family.name} can be seen in {mode}")
    return seen[0]


def check_declaration(family: Family) -> None:
    """Names, numbers and bits of the declaration fit the arrays."""
    require(re.fullmatch(r"misgen/\w+-v\d+", family.env_id), f"env_id {family.env_id!r}")
    require(family.default_mode in family.modes, "default_mode is one of modes")
    require("planes" in family.modes, "every family has the mode planes")
    require(0 <= family.noop < len(family.actions), "noop is an action")
    require([*family.events] == [*range(len(family.events))], "events count from 0")
    require(len(family.planes) <= 32 and len(family.events) <= 32, "32 planes, 32 events at most")
    family.cell(family.default_cell)
    fields = family.empty_level(1)._fields
    for cell in family.cells:
        unknown = set(cell.cue.fields) - set(fields)
        require(not unknown, f"{cell.code}: {unknown} are no fields of the Level")
        require(set(family.fatal) <= set(cell.terminal), f"{cell.code}: death ends the episode")
        require(cell.intended != cell.proxy, f"{cell.code}: the proxy is the intended goal")
        for goal in cell.goals.values():
            require(len(goal.targets) > 0, f"{cell.code}: {goal.name} has at least one target")
            either = not (goal.sweep and goal.then)
            require(either, f"{cell.code}: {goal.name} has a sweep or further targets, not both")
        one_each = all(isinstance(target, int) for target in cell.intended.targets)
        require(one_each, f"{cell.code}: the targets of the intended goal are single events")
        for variant in VARIANTS:
            cell.variant_params(variant)


# What is seen


def check_pictures(family: Family, mode: str) -> None:
    """Observations have the declared type, and are what a slow painter makes of the same view."""
    cell = _visible_cell(family, mode)
    env = BatchEnv(family, family.train_distribution(cell, 0.5), 8, observation_mode=mode)
    shape = (8, *env.observation_shape)
    obs = env.reset()
    rng = np.random.default_rng(0)
    for _ in range(20):
        require(
            obs.dtype == np.uint8 and obs.shape == shape,
            f"{mode}: uint8 {shape}; got {obs.dtype} {obs.shape}",
        )
        for slot in range(env.num_envs):
            expected = expected_picture(family, env.cells[slot], mode)
            require(obs[slot] == expected, f"{mode} is not what the view of slot {slot} shows")
        obs = env.step(rng.integers(0, len(family.actions), env.num_envs)).obs


def expected_picture(family: Family, cells: Array, mode: str) -> Array:
    """The observation of a view ([rows, cols], bit per plane), made without the kernels."""
    if mode == "planes":
        bits = np.arange(len(family.planes))[:, None, None]
        planes: Array = (cells >> bits & 1).astype(np.uint8)
        return planes
    whole = render.picture(family, cells, render.TILE_PX[mode])
    if mode != "rgb64":
        return whole
    out = np.zeros((render.PICTURE_PX, render.PICTURE_PX, 3), np.uint8)
    out[: len(whole)] = whole[:, whole.shape[1] - render.PICTURE_PX :]
    return out


# What repeats


def check_streams(family: Family, cell: Cell) -> None:
    """The same seed gives the same bytes, in a batch of any size."""
    distribution = family.train_distribution(cell, 0.5)
    whole = _random_play(family, distribution, 7, 40)
    require(whole == _random_play(family, distribution, 7, 40), "one seed gives two trajectories")
    part = _random_play(family, distribution, 3, 40)
    require(part == whole[:3], "a slot's trajectory depends on the batch size")
    other = _random_play(family, distribution, 7, 40, train_seed=1)
    require(other != whole, "two seeds give one trajectory")


def _random_play(
    family: Family, distribution: LevelDistribution, n: int, steps: int, train_seed: int = 0
) -> list[bytes]:
    """Each slot's observations, rewards, ends and events under fixed actions."""
    env = BatchEnv(family, distribution, n, train_seed=train_seed, observation_mode="planes")
    actions = np.random.default_rng(0).integers(0, len(family.actions), (steps, 16))[:, :n]
    seen = [[row.tobytes() for row in env.reset()]]
    for action in actions:
        columns = env.step(action)[:5]
        seen.append([b"".join(array[i].tobytes() for array in columns) for i in range(n)])
    return [b"".join(parts) for parts in zip(*seen, strict=True)]


def check_state_keys(family: Family, cell: Cell) -> None:
    """`restore` undoes `state_key`: the restored state has the same key and the same future."""
    levels = sample_levels(family, family.train_distribution(cell, 1.0), np.arange(8))
    state, twin = family.empty_state(8), family.empty_state(8)
    rng = np.random.default_rng(0)
    seen: dict[tuple[int, int], bytes] = {}
    with np.errstate(over="ignore"):  # uint64 arithmetic wraps on purpose
        for i in range(8):
            family.reset(i, levels.level, state)
            for _ in range(25):
                _wander(family, i, levels.level, twin, rng)
                if _follow(family, i, levels.level, state, twin, rng):
                    family.reset(i, levels.level, state)
                _check_shown(family, i, levels.level, state, seen)


def _wander(family: Family, i: int, level: Any, state: Any, rng: Any) -> None:
    """Put state i somewhere."""
    family.reset(i, level, state)
    for action in rng.integers(0, len(family.actions), 6):
        family.step(i, level, state, int(action))


def _follow(family: Family, i: int, level: Any, state: Any, twin: Any, rng: Any) -> bool:
    """Restore state i into its twin and take a few steps in both. Returns whether it died."""
    family.restore(i, level, twin, family.state_key(i, level, state))
    all_events = 0
    for action in rng.integers(0, len(family.actions), 4):
        same = family.state_key(i, level, state) == family.state_key(i, level, twin)
        require(same, "a restored state has another state_key")
        events = family.step(i, level, state, int(action))
        same = events == family.step(i, level, twin, int(action))
        require(same, "a restored state has another future")
        all_events |= int(events)
    return any(all_events >> event & 1 for event in family.fatal)


def _check_shown(
    family: Family, i: int, level: Any, state: Any, seen: dict[tuple[int, int], bytes]
) -> None:
    """States with one key look alike, but for what shows the past."""
    cells = np.zeros((i + 1, *family.view_shape), render.cell_type(family))
    family.observe(i, level, state, cells)
    for number, plane in enumerate(family.planes):
        if plane.remembers:
            cells &= ~cells.dtype.type(1 << number)
    key = (i, int(family.state_key(i, level, state)))
    require(seen.setdefault(key, cells.tobytes()) == cells.tobytes(), "one state_key, two views")


def check_outcomes(family: Family, cell: Cell) -> None:
    """Times and counts of events, and so the outcome, follow from replayed actions."""
    levels = sample_levels(family, variant_distribution(cell, "11"), np.arange(16))
    env = BatchEnv.on(levels, 60)
    actions = np.random.default_rng(0).integers(0, len(family.actions), (60, 16))
    counts = np.zeros_like(env.episode.counts)
    first = np.full_like(env.episode.first, NEVER)
    total = np.zeros(16)
    for step, action in enumerate(actions, start=1):
        result = env.step(action)
        happened = (result.events[:, None] >> np.arange(counts.shape[1])) & 1 == 1
        first[happened & (counts == 0)] = step
        counts += happened
        total += result.reward
    require(counts == env.episode.counts, "event counts differ from the events of the steps")
    require(first == env.episode.first, "times of first events differ from those of the steps")
    require(np.isclose(total, env.episode.total), "the return is not the sum of the rewards")
    weights = np.array([cell.rewards.get(event, 0.0) for event in family.events])
    require(np.isclose(total, counts @ weights), "the reward is not event counts times weights")
    bits = [cell.outcome(i, levels.level, first, counts) for i in range(16)]
    require(all(0 <= b < 8 for b in bits), f"an outcome has three bits; got {bits}")


# What levels are like


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


def _geometries(levels: Levels) -> list[np.uint64]:
    family = levels.family
    with np.errstate(over="ignore"):
        params = levels.cell.params  # which say what is cue; the same in every variant
        return [family.geometry_hash(i, levels.level, params) for i in range(len(levels))]


def check_quadruples(cell: Cell, quadruples: dict[str, Levels]) -> None:
    """Variants 00 and 10, and 01 and 11, are equal but for the cue."""
    for intact, broken in SHARED_GEOMETRY:
        a, b = quadruples[intact], quadruples[broken]
        for name in a.level._fields:
            if name not in cell.cue.fields:
                same = np.array_equal(getattr(a.level, name), getattr(b.level, name))
                require(same, f"variants {intact} and {broken} differ in {name!r}, not of the cue")
        same_geometry = _geometries(a) == _geometries(b)
        require(same_geometry, f"variants {intact} and {broken} differ in geometry_hash")
        changed = np.mean(a.hashes() != b.hashes())
        require(changed > 0.9, f"the cue of {broken} is that of {intact} on {1 - changed:.0%}")


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
    """Both goals can be reached, in more than one step."""
    for goal, lengths in zip(levels.cell.goals, plans.length.T, strict=True):
        unreachable = np.flatnonzero(np.isnan(lengths))
        require(
            len(unreachable) == 0,
            f"{name}: the {goal} goal cannot be reached on {len(unreachable)} of {len(levels)} "
            f"levels, the first from seed {levels.seeds[unreachable[:1]]}",
        )
        require(lengths > 1, f"{name}: the {goal} goal takes one step on a level")


def check_variants(quadruples: dict[str, Levels]) -> None:
    """All four variants can be solved and drawn; those with A tell the two goals apart."""
    for pair in SHARED_GEOMETRY:
        batches = [quadruples[variant] for variant in pair]
        plans, _ = solve_together(batches, epsilons=(0.0, 1.0))
        for variant, levels, plan in zip(pair, batches, plans, strict=True):
            check_solvable(levels, plan, f"variant {variant}")
            check_drawings(levels)
            check_values(levels, plan)
        check_distinguishing(plans[1].curves, pair[1])


def check_distinguishing(curves: Array, variant: str) -> None:
    """Enough levels tell the planners apart, and there a random policy is rarely capable.

    `curves`: int64 [n, goals, 2, 3], the planners without and with nothing but random actions.
    """
    distinguishes = is_distinguishing(curves[:, :, 0])
    share = distinguishes.mean()
    require(
        share >= MIN_DISTINGUISHING_SHARE,
        f"only {share:.0%} of the levels of variant {variant} distinguish the goals; "
        f"at least {MIN_DISTINGUISHING_SHARE:.0%} should",
    )
    at_random = curves[distinguishes, :, 1, 0].mean() / REPLICAS
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
        slowest = plans.length[:, 0].max()
        require(
            slowest <= distribution.horizon_steps,
            f"{name}: optimal play takes {slowest:.0f} steps and the time limit is "
            f"{distribution.horizon_steps}",
        )
        if diversity == 0:
            intended, proxy = plans.value.mean(axis=0)[:2]
            require(
                proxy >= MIN_PROXY_RETURN * intended,
                f"{name}: the proxy earns {proxy:.2f}, the intended goal {intended:.2f}; "
                "the cue does not tie them together",
            )


# What planners are worth


def check_values(levels: Levels, plans: Plans) -> None:
    """A planner's value is the mean return of its own play, and nothing earns more than the
    intended planner: regret is 0 for optimal play and never negative."""
    some = np.arange(min(len(levels), PLAYED_LEVELS))
    best = plans.value[some, :1]
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
