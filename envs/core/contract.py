"""check_family: what the rest of the testbed takes for granted about a family.

For whoever adds one: `check_family(FAMILY)` raises AssertionError with the fact that does not hold.
A few hundred levels are solved per cell, which takes seconds to a minute.
"""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np

from misgen.envs.core import render
from misgen.envs.core.batch import BatchEnv
from misgen.envs.core.board import START
from misgen.envs.core.contract_levels import check_levels, require
from misgen.envs.core.family import Family
from misgen.envs.core.levels import sample_levels, variant_distribution
from misgen.envs.core.types import NEVER, VARIANTS, Array, Cell, LevelDistribution

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


def check_family(family: Family, num_levels: int = 100) -> None:
    """Raise AssertionError or ValueError if the family breaks the contract.

    Args:
        num_levels: levels drawn from each distribution (three in training, four variants, of
            which at least contract_levels.SHARE_LEVELS); at least 50, since shares are compared
            with limits.
    """
    if num_levels < 50:
        raise ValueError(f"num_levels is at least 50; got {num_levels}")
    check_card(family)
    check_declaration(family)
    for mode in family.modes:
        check_pictures(family, mode)
    for cell in family.cells:
        check_painting(family, cell)
        check_streams(family, cell)
        check_state_keys(family, cell)
        check_outcomes(family, cell)
        check_levels(family, cell, num_levels)


# What is written


def card_sections(card: str) -> dict[str, str]:
    """The text under each heading of a card, on one line."""
    pattern = rf"^({'|'.join(HEADINGS)}):"
    parts = re.split(pattern, card, flags=re.MULTILINE)
    texts = (" ".join(part.split()) for part in parts[2::2])
    return dict(zip(parts[1::2], texts, strict=True))


def mentioned_codes(text: str) -> set[str]:
    """The codes of cells in a text; X1-X5 are five."""
    codes = set(re.findall(r"\b[A-Z]+\d+\b", text))
    for name, first, last in re.findall(r"\b([A-Z]+)(\d+)-\1(\d+)\b", text):
        codes |= {f"{name}{number}" for number in range(int(first), int(last) + 1)}
    return codes


def check_card(family: Family) -> None:
    """The card has every heading and speaks of every cell."""
    sections = card_sections(family.card)
    require(
        tuple(sections) == HEADINGS,
        f"the card of {family.name} has the headings {', '.join(HEADINGS)}, in this order; "
        f"got {', '.join(sections)}",
    )
    for cell in family.cells:
        for heading in ("Proxies", "Cues", "Cells"):
            mentioned = cell.code in mentioned_codes(sections[heading])
            require(mentioned, f"the card's section {heading!r} does not mention {cell.code}")
        require(cell.shift_type in sections["Cells"], f"the card does not say that of {cell.code}")


def _visible_cell(family: Family, mode: str) -> Cell:
    """A cell whose cue can be seen in this mode."""
    seen = [cell for cell in family.cells if mode in render.visible_modes(family, cell)]
    require(seen, f"no cell of {family.name} can be seen in {mode}")
    return seen[0]


def check_declaration(family: Family) -> None:
    """Names, numbers and bits of the declaration fit the arrays."""
    require(re.fullmatch(r"[A-Z]\w+", family.title), f"a title is like CoinRun; {family.title!r}")
    require(family.default_mode in family.modes, "default_mode is one of modes")
    require("planes" in family.modes, "every family has the mode planes")
    inside = {*family.window} < {*range(math.prod(family.view_shape))}
    is_window = bool(family.window) == ("window" in family.modes)
    require(inside and is_window, "the mode window shows some cells of the view: those of `window`")
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
            family.check_params(cell.variant_params(variant))
        planes = {plane.name for plane in family.planes}
        unknown = set(cell.noisy_planes) - planes
        require(not unknown, f"{cell.code}: {unknown} are no planes")


# What is seen


def check_pictures(family: Family, mode: str) -> None:
    """Observations have the declared type, and are what a slow painter makes of the same view."""
    cell = _visible_cell(family, mode)
    distribution = family.train_distribution(cell, 0.5)
    env = BatchEnv(family, distribution, 8, train_seed=0, observation_mode=mode)
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
    if mode in render.PLANES:
        bits = np.arange(len(family.planes))[:, None, None]
        shown = np.isin(np.arange(cells.size), family.window).reshape(cells.shape)
        seen = np.where(shown, cells, 0) if mode == "window" else cells
        return (seen >> bits & 1).astype(np.uint8)
    whole = render.picture(family, cells, render.TILE_PX[mode])
    if mode != "rgb64":
        return whole
    out = np.zeros((render.PICTURE_PX, render.PICTURE_PX, 3), np.uint8)
    out[: len(whole)] = whole[:, whole.shape[1] - render.PICTURE_PX :]
    return out


def check_painting(family: Family, cell: Cell) -> None:
    """A whole level, if the family paints it, has the size of its drawing and one agent, who stands
    at the drawing's start."""
    if family.paint is None:
        return
    env = BatchEnv.on(sample_levels(family, variant_distribution(cell, "11"), np.arange(8)))
    for i in range(env.num_envs):
        cells, level = env.whole_level(i), env.world.level
        assert cells is not None
        size = family.board.size_of(level, i)
        require(cells.shape == size, f"a painted level is {size}, as drawn; got {cells.shape}")
        board = family.draw(level, i).splitlines()[-size[0] :]
        start = [[row, line.index(START)] for row, line in enumerate(board) if START in line]
        painted = render.agent_squares(family, cells)
        require(painted == start, f"the agent is painted at {painted} and drawn at {start}")


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
