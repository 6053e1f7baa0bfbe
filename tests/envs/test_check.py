"""check_family: every family keeps the contract, and one that does not is told which part."""

from dataclasses import replace

import numpy as np
import pytest

from misgen.envs import check, compile
from misgen.envs import levels as levels_module
from misgen.envs.check import HEADINGS, card_sections, check_family
from misgen.envs.families import keys_and_chests
from misgen.envs.families.keys_and_chests import K3, geometry_hash, observe, place_cue, step
from misgen.envs.levels import drawn_levels, sample_quadruples
from misgen.envs.solve import REPLICAS, solve
from misgen.envs.types import CueDraw

FAMILY = keys_and_chests.FAMILY


def test_every_family_keeps_the_contract(family):
    check_family(family)


@pytest.mark.slow
def test_every_family_keeps_the_contract_on_many_levels(family):
    check_family(family, num_levels=1000)


def test_the_cards_have_their_headings(family):
    assert tuple(card_sections(family.card)) == HEADINGS


def test_too_few_levels_say_nothing():
    with pytest.raises(ValueError, match="num_levels is at least 50; got 10"):
        check_family(FAMILY, num_levels=10)


# Families that break it


def cue_changes_walls(i, level, state, rng, params, cue_draw):
    """A wall falls when the cue is shifted."""
    place_cue(i, level, state, rng, params, cue_draw)
    level.wall[i, 1, 1] = cue_draw == CueDraw.SHIFTED
    return True


def cue_does_nothing(i, level, state, rng, params, cue_draw):
    return True


def hash_knows_the_cue(i, level, params):
    """00 and 10 may then belong to different splits."""
    return geometry_hash(i, level, params) + np.uint64(int(level.item_kind[i, 0]))


def hash_of_nothing(i, level, params):
    return np.uint64(level.size[i] * 0 + 1)


def key_of_the_place(i, level, state):
    return np.uint64(int(state.cell[i]))


def restores_the_place(i, level, state, key):
    state.cell[i] = np.int64(key) & 255


def looks_at_another_slot(i, level, state, action):
    last = state.cell.shape[0] - 1
    if i != last and state.cell[last] % 2 == 0:
        return 0
    return step(i, level, state, action)


def flickers(i, level, state, cells):
    """What is shown is no function of the state."""
    observe(i, level, state, cells)
    state.queue[i, 0] += 1
    cells[i, 0, 10] = state.queue[i, 0] % 2


def four_bits(i, level, first, counts):
    return 8


def toy(**changes):
    """Keys and chests with some parts replaced; those of a cell in K3."""
    of_cell = {name: changes.pop(name) for name in ("outcome", "cue", "proxy") if name in changes}
    return replace(FAMILY, name="toy", cells=(replace(K3, **of_cell),), **changes)


def check_variants_only(family):
    check.check_quadruples(
        family.cells[0], sample_quadruples(family, family.cells[0], np.arange(20))
    )


def of_cell(checked):
    return lambda family: checked(family, family.cells[0])


def check_splits(family):
    check.check_splits(family, family.cells[0], 20)


CARD = FAMILY.card
BROKEN = [
    (check_variants_only, {"place_cue": cue_changes_walls}, "10 differ in 'wall', not of the cue"),
    (check_variants_only, {"place_cue": cue_does_nothing}, "the cue of 10 is that of 00 on 100%"),
    (check_variants_only, {"geometry_hash": hash_knows_the_cue}, "10 differ in"),
    (of_cell(check.check_state_keys), {"state_key": key_of_the_place}, "another|two views"),
    (of_cell(check.check_state_keys), {"restore": restores_the_place}, "a restored state has"),
    (of_cell(check.check_state_keys), {"observe": flickers}, "one state_key, two views"),
    (of_cell(check.check_streams), {"step": looks_at_another_slot}, "on the batch size"),
    (of_cell(check.check_outcomes), {"outcome": four_bits}, "an outcome has three bits"),
    (check.check_card, {"card": CARD.replace("Source:", "Origin:")}, "has the headings"),
    (check.check_card, {"card": CARD.replace("(K3", "(K4")}, "'Proxies' does not mention K3"),
    (check.check_card, {"card": CARD.replace("stay, up", "up, stay")}, "the card's actions are"),
    (check.check_card, {"card": CARD.replace("[12, 12,", "[5, 12,")}, r"states \[5, 12, 11\] for"),
    (
        check.check_card,
        {"card": CARD.replace("mark, watch", "watch, mark")},
        "card's channels are not",
    ),
    (check.check_declaration, {"default_mode": "rgb64"}, "default_mode is one of modes"),
    (check.check_declaration, {"fatal": (0,)}, "death ends the episode"),
    (check.check_declaration, {"proxy": K3.intended}, "the proxy is the intended goal"),
    (check.check_declaration, {"cue": replace(K3.cue, fields=("hue",))}, "are no fields"),
]


@pytest.mark.parametrize(
    ("checked", "changes", "message"), BROKEN, ids=["-".join(changes) for _, changes, _ in BROKEN]
)
def test_a_broken_family_is_told_what_is_wrong(monkeypatch, checked, changes, message):
    """Interpreted: compiling a family for each would take minutes."""
    monkeypatch.setattr(compile, "INTERPRETED", True)
    with pytest.raises(AssertionError, match=message):
        checked(toy(**changes))


CHECKS = list(dict.fromkeys(checked for checked, _, _ in BROKEN))


@pytest.mark.parametrize("checked", CHECKS, ids=lambda checked: checked.__qualname__)
def test_the_unbroken_toy_passes(monkeypatch, checked):
    monkeypatch.setattr(compile, "INTERPRETED", True)
    checked(toy())


def test_a_split_that_is_none(monkeypatch):
    """All geometries look alike, so that none belongs to one of the splits."""
    monkeypatch.setattr(compile, "INTERPRETED", True)
    monkeypatch.setattr(levels_module, "MAX_ATTEMPTS", 20)
    with pytest.raises(ValueError, match="no acceptable level"):
        check_splits(toy(geometry_hash=hash_of_nothing))


# What is said of solved levels

BOARD = "######\n#Akc.#\n#....#\n#...k#\n######\n######"


def test_levels_that_are_too_easy_or_impossible():
    levels = drawn_levels(FAMILY, K3, BOARD)
    plans = solve(levels)
    check.check_solvable(levels, plans, "here")
    for length, message in (
        ((1.0, 3.0), "here: the intended goal takes one step"),
        ((2.0, np.nan), "here: the proxy goal cannot be reached on 1 of 1"),
    ):
        with pytest.raises(AssertionError, match=message):
            check.check_solvable(levels, replace(plans, length=np.array([length])), "here")


def test_values_that_are_not_what_play_returns():
    levels = drawn_levels(FAMILY, K3, BOARD)
    plans = solve(levels)
    check.check_values(levels, plans)
    for value, message in (
        ((0.5, 1.0), "intended planner's value is 0.500 and its play returns 1"),
        ((1.0, 2.0), "proxy planner's value is 2.000 and its play returns 1"),
    ):
        with pytest.raises(AssertionError, match=message):
            check.check_values(levels, replace(plans, value=np.array([value])))


def test_variants_that_tell_too_little_apart():
    """Of 100 levels 80 do not distinguish; then all do, and a random policy is capable."""
    all_of_it = [REPLICAS, 0, REPLICAS], [REPLICAS, REPLICAS, 0]
    curves = np.zeros((100, 2, 2, 3), np.int64)
    curves[:20, :, 0] = all_of_it
    with pytest.raises(AssertionError, match="only 20% of the levels of variant 11 distinguish"):
        check.check_distinguishing(curves, "11")
    curves[:, :, 0] = all_of_it
    check.check_distinguishing(curves, "11")
    curves[:, :, 1, 0] = 0.4 * REPLICAS
    with pytest.raises(AssertionError, match="capable on 40% of variant 11"):
        check.check_distinguishing(curves, "11")


def test_a_cue_that_ties_nothing(monkeypatch):
    """The proxy's return is compared with the goal's in training at d = 0."""
    plans = []

    def poor_proxy(levels):
        plans.append(solve(levels))
        return replace(plans[-1], value=plans[-1].value * (1, 0.5))

    monkeypatch.setattr(check, "solve", poor_proxy)
    with pytest.raises(AssertionError, match="the cue does not tie them together"):
        check.check_training(FAMILY, K3, 50)
