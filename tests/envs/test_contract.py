"""check_family: every family keeps the contract, and one that does not is told which part."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
from tests.envs.boards import KEYS, levels_of

from misgen.envs.core import compile as compile_module
from misgen.envs.core import contract, contract_levels
from misgen.envs.core import levels as levels_module
from misgen.envs.core.contract import check_family
from misgen.envs.core.levels import sample_quadruples
from misgen.envs.core.plans import REPLICAS, Plays, solve
from misgen.envs.core.schema import i16
from misgen.envs.core.types import CueDraw
from misgen.envs.keys_and_chests.counts import draw_counts, hash_squares
from misgen.envs.keys_and_chests.world import State, observe, step

K3 = KEYS.cell("K3")


def test_every_family_keeps_the_contract(family):
    check_family(family, num_levels=50)


@pytest.mark.slow
def test_every_family_keeps_the_contract_on_many_levels(family):
    check_family(family, num_levels=1000)


def test_too_few_levels_say_nothing():
    with pytest.raises(ValueError, match="num_levels is at least 50; got 10"):
        check_family(KEYS, num_levels=10)


# Families that break it


def cue_changes_walls(i, level, scratch, rng, params, cue_draw):
    """A wall falls when the cue is shifted."""
    draw_counts(i, level, scratch, rng, params, cue_draw)
    level.wall[i, 1, 1] = cue_draw == CueDraw.SHIFTED
    return True


def cue_does_nothing(i, level, scratch, rng, params, cue_draw):
    return True


def always(i, level, params):
    return True


def never(i, level, params):
    return False


def hash_knows_the_cue(i, level):
    """00 and 10 may then belong to different splits."""
    return hash_squares(i, level) + np.uint64(int(level.item_kind[i, 0]))


def hash_of_nothing(i, level):
    return np.uint64(level.size[i] * 0 + 1)


def unkeyed(*names: str):
    """The State, with these fields no part of its key."""
    fields = {name: f if name not in names else replace(f, key=None) for name, f in FIELDS.items()}
    return NamedTuple("State", fields.items())


FIELDS = dict(State.__annotations__)
Ticking = NamedTuple("Ticking", [*FIELDS.items(), ("ticks", i16())])


def flickers(i, level, state, cells):
    """What is shown is no function of the state."""
    observe(i, level, state, cells)
    state.ticks[i] += 1
    cells[i, 0, 10] = state.ticks[i] % 2


def looks_at_another_slot(i, level, state, action):
    last = state.square.shape[0] - 1
    if i != last and state.square[last] % 2 == 0:
        return 0
    return step(i, level, state, action)


def four_bits(i, level, first, counts):
    return 8


def toy(**changes):
    """Keys and chests with some parts replaced; those of a cell in K3."""
    of_cell = {name: changes.pop(name) for name in [*changes] if hasattr(K3, name)}
    return replace(KEYS, name="toy", cells=(replace(K3, **of_cell),), **changes)


def check_variants(family):
    cell = family.cells[0]
    contract_levels.check_quadruples(cell, sample_quadruples(family, cell, np.arange(20)))


def check_splits(family):
    contract_levels.check_splits(family, family.cells[0], 20)


def of_cell(checked):
    return lambda family: checked(family, family.cells[0])


CARD = KEYS.card
KEYS_OF_STATES = of_cell(contract.check_state_keys)
BROKEN = [
    (
        check_variants,
        {"cue": replace(K3.cue, draw=cue_changes_walls)},
        "10 differ in 'wall', not of the cue",
    ),
    (check_variants, {"cue": replace(K3.cue, draw=cue_does_nothing)}, "10 is that of 00 on 100%"),
    (check_variants, {"cue": replace(K3.cue, holds=always)}, "10: a shifted cue is said to hold"),
    (
        check_variants,
        {"cue": replace(K3.cue, holds=never)},
        "00: an intact cue is said not to hold",
    ),
    (check_variants, {"geometry_hash": hash_knows_the_cue}, "10 differ in"),
    (KEYS_OF_STATES, {"state": unkeyed("left", "keys")}, "another future|two views"),
    (KEYS_OF_STATES, {"state": Ticking, "observe": flickers}, "one state_key, two views"),
    (of_cell(contract.check_streams), {"step": looks_at_another_slot}, "on the batch size"),
    (of_cell(contract.check_outcomes), {"outcome": four_bits}, "an outcome has three bits"),
    (contract.check_card, {"card": CARD.replace("Source:", "Origin:")}, "has the headings"),
    (contract.check_card, {"card": CARD.replace("(K3", "(K4")}, "'Proxies' does not mention K3"),
    (contract.check_card, {"card": CARD.replace("significant", "grave")}, "does not say that of"),
    (contract.check_declaration, {"default_mode": "rgb64"}, "default_mode is one of modes"),
    (contract.check_declaration, {"title": "keys"}, "a title is like CoinRun"),
    (contract.check_declaration, {"fatal": (0,), "terminal": (3,)}, "death ends the episode"),
    (contract.check_declaration, {"proxy": K3.intended}, "the proxy is the intended goal"),
    (contract.check_declaration, {"cue": replace(K3.cue, fields=("hue",))}, "are no fields"),
    (contract.check_declaration, {"noisy_planes": ("hue",)}, "are no planes"),
]


@pytest.mark.parametrize(
    ("checked", "changes", "message"), BROKEN, ids=["-".join(changes) for _, changes, _ in BROKEN]
)
def test_a_broken_family_is_told_what_is_wrong(monkeypatch, checked, changes, message):
    """Interpreted: compiling a family for each would take minutes."""
    monkeypatch.setattr(compile_module, "INTERPRETED", True)
    with pytest.raises(AssertionError, match=message):
        checked(toy(**changes))


UNBROKEN = [check_variants, KEYS_OF_STATES, contract.check_card, contract.check_declaration]


@pytest.mark.parametrize("checked", UNBROKEN, ids=["variants", "keys", "card", "declaration"])
def test_the_unbroken_toy_passes(monkeypatch, checked):
    monkeypatch.setattr(compile_module, "INTERPRETED", True)
    checked(toy())


def test_a_split_that_is_none(monkeypatch):
    """All geometries look alike, so that none belongs to one of the splits."""
    monkeypatch.setattr(compile_module, "INTERPRETED", True)
    monkeypatch.setattr(levels_module, "MAX_ATTEMPTS", 20)
    with pytest.raises(ValueError, match="no acceptable level"):
        check_splits(toy(geometry_hash=hash_of_nothing))


# What is said of solved levels

BOARD = "###### #Akc.# #....# #...k#"


def test_goals_that_cannot_be_reached():
    levels = levels_of("K3", BOARD)
    plans = solve(levels)
    contract_levels.check_solvable(levels, plans, "here")
    unreachable = replace(plans, length=np.array([[2.0, np.nan]]))
    with pytest.raises(AssertionError, match="here: the proxy goal cannot be reached on 1 of 1"):
        contract_levels.check_solvable(levels, unreachable, "here")


def test_values_that_are_not_what_play_returns():
    levels = levels_of("K3", BOARD)
    plans = solve(levels)
    contract_levels.check_values(levels, plans)
    for value, message in (
        ((0.5, 1.0), "intended planner's value is 0.500 and its play returns 1"),
        ((1.0, 2.0), "proxy planner's value is 2.000 and its play returns 1"),
    ):
        with pytest.raises(AssertionError, match=message):
            contract_levels.check_values(levels, replace(plans, value=np.array([value])))


def test_variants_that_tell_too_little_apart():
    """Of 100 levels 80 do not distinguish; then all do, and a random policy is capable."""
    plays = Plays(*np.zeros((3, 100, 2, 2), np.int64))  # goals, then without and all random

    def tell_apart(levels: slice) -> None:
        plays.capable[levels, :, 0] = REPLICAS
        plays.failed[levels, 1, 0] = plays.success[levels, 0, 0] = REPLICAS

    tell_apart(slice(20))
    with pytest.raises(AssertionError, match="only 20% of the levels of variant 11 distinguish"):
        contract_levels.check_distinguishing(plays, "11")
    tell_apart(slice(100))
    contract_levels.check_distinguishing(plays, "11")
    plays.capable[:, :, 1] = 0.4 * REPLICAS
    with pytest.raises(AssertionError, match="capable on 40% of variant 11"):
        contract_levels.check_distinguishing(plays, "11")


@pytest.mark.parametrize(
    ("changed", "factor", "message"),
    [
        ("value", (1, 0.5), "the cue does not tie them together"),
        ("length", (30, 1), "optimal play takes .* steps and the time limit is 50"),
    ],
)
def test_training_that_teaches_another_thing(monkeypatch, changed, factor, message):
    """The proxy earns half of what the goal does, or the goal takes longer than the time limit."""

    def solve_otherwise(levels):
        plans = solve(levels)
        return replace(plans, **{changed: getattr(plans, changed) * factor})

    monkeypatch.setattr(contract_levels, "solve", solve_otherwise)
    with pytest.raises(AssertionError, match=message):
        contract_levels.check_training(KEYS, K3, 50)
