"""The world of keys and chests on drawn boards: walking, keys, chests, corners, what is seen."""

from dataclasses import replace

import numpy as np
import pytest
from tests.envs.boards import KEYS, lit, play, seen

from misgen.envs.core import render
from misgen.envs.core.levels import sample_levels, sample_quadruples
from misgen.envs.core.plans import solve
from misgen.envs.keys_and_chests.world import SIZE, Event, Kind, PlaneIndex
from misgen.envs.worlds.layouts import Generator

K3 = KEYS.cell("K3")


def events(board: str, actions: str, last: Event = Event.ALL_KEYS) -> list[str]:
    """The events of each step in K3, up to this one in their order."""
    happened = [step.split("+") for step in play("K3", board, actions).events]
    return ["+".join(n for n in step if n and Event[n] <= last) for step in happened]


# Moving, keys, chests

ROOM = """
#####
#A.k#
#.#c#
#..c#
#####
"""


def test_moves_are_one_square_and_walls_stop_them():
    visited = play("K3", ROOM, "uldrdrur.").places
    assert visited == [(1, 1), (1, 1), (2, 1), (2, 1), (3, 1), (3, 2), (3, 2), (3, 3), (3, 3)]


def test_a_key_is_taken_and_spent_on_a_chest():
    assert events(ROOM, "rrd") == ["", "KEY+ALL_KEYS", "CHEST+ALL_CHESTS"]


def test_a_chest_without_a_key_does_nothing():
    """The agent steps onto both chests, then onto the key, and comes back."""
    played = play("K3", ROOM, "ddrruud")
    assert played.places[4] == (2, 3), "on the second chest"
    assert events(ROOM, "ddrruud") == [""] * 5 + ["KEY+ALL_KEYS", "CHEST+ALL_CHESTS"]
    assert played.rewards == [0, 0, 0, 0, 0, 0, 1]


def test_the_episode_ends_when_every_openable_chest_is_open():
    """One key and two chests: one chest is openable. Two keys and one chest: likewise."""
    assert play("K3", ROOM, "rrdd").length == 3
    assert play("K3", "##### #Akc# #k..#", "rlrr.").length == 4


def test_an_emptied_square_can_be_passed_again():
    assert events("##### #Akc# ##k##", "rlrl") == ["KEY", "", "", ""]


def test_a_key_is_surplus_while_the_inventory_covers_the_unopened_chests():
    """Three keys, two chests."""
    surplus = "KEY+SURPLUS_KEY+ALL_KEYS"
    assert events("####### #Akkck# #....c#", "rrrr") == ["KEY", "KEY", "CHEST", surplus]
    assert events("####### #Akkkc# #....c#", "rrrr") == ["KEY", "KEY", surplus, "CHEST"]


def test_every_corner_event_is_a_square_entered_with_a_key():
    """The 3x3 squares of the north-east corner, row by row; without a key nothing happens."""
    board = "######## #...k..# #......# #......# #.c..A.# #......# #......#"
    assert play("K3", board, "uuu").events == [""] * 3
    steps = "uuul" + "rr" + "dlldrrru" + ".d"
    expected = [(), (), (), (), (1,), (2,), (5,), (4,), (3,), (6,), (7,), (8,), (), (5,), (), (8,)]
    corners = [[n for n in e.split("+") if "CORNER" in n] for e in play("K3", board, steps).events]
    assert corners == [[f"CORNER_{k}" for k in squares] for squares in expected]


def test_events_of_containers():
    one_key = "####### #.t.G.# #Ak...# #..V..#"
    two_keys = "####### #.t.G.# #Akk..# #.tVG.#"

    def last(board: str, actions: str) -> set[str]:
        return set(play("K1", board, actions).events[-1].split("+"))

    all_of_it = {"CHEST", "NOT_GOLD", "ALL_CHESTS", "KEYS_SPENT", "ALL_UNWATCHED"}
    assert last(one_key, "ru") == all_of_it
    assert last(two_keys, "rrru") == {"BOX", "GOLD_BOX", "CORNER_1"}
    assert last(two_keys, "rrrudd") >= {"BOX", "GOLD_BOX", "ALL_GOLD", "KEYS_SPENT"}
    assert last(two_keys, "rrd") >= {"BOX", "OTHER_BOX", "NOT_GOLD"}
    assert not last(two_keys, "rrd") & {"GOLD_BOX", "ALL_GOLD", "KEYS_SPENT"}


def test_where_all_chests_are_watched_none_is_left_from_the_first_item_on():
    assert "ALL_UNWATCHED" in play("K4", "####### #A.k.w# #.....#", "rr").events[-1]
    assert "ALL_UNWATCHED" not in play("K4", "####### #A.k.c# #.....#", "rr").events[-1]


# What is seen


def test_what_is_shown_follows_the_state():
    """View of +-5 squares: the agent is in row 6 (under the status row) and column 5."""
    start, _, on_the_key, on_the_chest = seen("K3", ROOM, "rrd")

    def shown(planes, name: str) -> set[tuple[int, int]]:
        return set(lit(KEYS, planes, name))

    assert shown(start, "agent") == {(6, 5)} and shown(start, "inventory") == set()
    assert shown(start, "key") == {(6, 7)} and shown(start, "chest") == {(7, 7), (8, 7)}
    walls = shown(start, "wall")
    assert (5, 5) in walls and (7, 6) in walls and (7, 5) not in walls
    assert shown(on_the_key, "key") == set() and shown(on_the_key, "inventory") == {(0, 0)}
    assert shown(on_the_key, "chest") == {(7, 5), (8, 5)}
    assert shown(on_the_chest, "chest") == {(7, 5)} and shown(on_the_chest, "inventory") == set()


def test_kind_and_look_of_a_container_are_seen():
    (planes,) = seen("K1", "####### #.t.G.# #Ak...# #..V..#")
    shown = {plane.name: set(lit(KEYS, planes, plane.name)) for plane in KEYS.planes}
    assert shown["chest"] == shown["teal"] == {(5, 6)}
    assert shown["box"] == {(5, 8), (7, 7)} and shown["gold"] == {(5, 8)}
    assert shown["violet"] == {(7, 7)} and shown["key"] == {(6, 6)}
    assert not shown["texture"] and not shown["mark"] and not shown["watch"]


def test_marks_and_watches_are_seen_until_the_chest_is_open():
    planes, _, opened = seen("K4", "####### #cwob.# #Akkkk#", "ru")
    squares = {sign: (5, 5 + k) for k, sign in enumerate("cwob")}
    assert set(lit(KEYS, planes, "chest")) == set(lit(KEYS, planes, "gold")) == {*squares.values()}
    assert set(lit(KEYS, planes, "mark")) == {squares["b"], squares["o"]}
    assert set(lit(KEYS, planes, "watch")) == {squares["b"], squares["w"]}
    assert opened[:, 6, 5].nonzero()[0].tolist() == [PlaneIndex.AGENT], "gone with its watch"


def colours(px: int, *planes: PlaneIndex) -> set[tuple[int, ...]]:
    """The colours of one tile."""
    cells = np.array([[sum(1 << plane for plane in planes)]], np.uint16)
    return set(map(tuple, render.picture(KEYS, cells, px).reshape(-1, 3).tolist()))


@pytest.mark.parametrize("px", [4, 5, 8])
def test_pictures_show_everything_that_lies_on_one_square(px):
    chest = (PlaneIndex.GOLD, PlaneIndex.CHEST, PlaneIndex.MARK, PlaneIndex.WATCH)
    for stack in (chest, (*chest, PlaneIndex.AGENT)):
        expected = {KEYS.planes[plane].colour for plane in stack}
        assert colours(px, *stack) >= expected - {KEYS.planes[PlaneIndex.GOLD].colour}
    assert KEYS.planes[PlaneIndex.GOLD].colour in colours(px, *chest)
    pictures = {
        render.picture(KEYS, np.array([[1 << kind | 1 << look]], np.uint16), px).tobytes()
        for kind in (PlaneIndex.CHEST, PlaneIndex.BOX)
        for look in (PlaneIndex.GOLD, PlaneIndex.TEAL, PlaneIndex.VIOLET)
    }
    assert len(pictures) == 6


# Walls and the number of items


def test_the_number_of_items_belongs_to_the_seed():
    """Crowded boards are refused more often; that must not make context B poorer in items."""
    for cell in KEYS.cells:
        variants = sample_quadruples(KEYS, cell, np.arange(300))
        numbers = [levels.level.num_items for levels in variants.values()]
        assert all((other == numbers[0]).all() for other in numbers), cell.code
        shares = np.bincount(numbers[0]) / 300
        assert len(shares[shares > 0.15]) == len(shares[shares > 0]) > 1, cell.code


@pytest.mark.parametrize("interior", [7, 9, 11, 13, 8])
@pytest.mark.parametrize("generator", [Generator.MAZE, Generator.ROOMS])
def test_mazes_and_rooms_can_be_solved(generator, interior):
    params = K3.params._replace(generator=generator, interior=interior, rarer_max=2)
    distribution = replace(KEYS.train_distribution(K3), params=params)
    levels = sample_levels(KEYS, distribution, np.arange(20))
    assert np.isfinite(solve(levels).length).all()
    size = interior + 2
    for wall in levels.level.wall[:, :size, :size]:
        assert wall[[0, -1]].all() and wall[:, [0, -1]].all(), "closed"
        if generator == Generator.MAZE:
            half = (size - 1) // 2
            assert (wall == 0).sum() == 2 * half**2 - 1, "a tree over the odd squares"
        else:
            middle = size // 2
            arms = (wall[middle, :middle], wall[middle, middle + 1 :])
            arms += (wall[:middle, middle], wall[middle + 1 :, middle])
            assert [int((arm == 0).sum()) for arm in arms] == [1, 1, 1, 1], "one door each"


def test_all_glyphs_say_what_an_item_is():
    level = KEYS.parse("#######\n#A.ctv#\n#kTVow#\n#b....#\n" + "#######\n" * 3)
    kinds = [Kind.CHEST] * 3 + [Kind.KEY] + [Kind.BOX] * 2 + [Kind.CHEST] * 3
    assert level.item_kind[0].tolist() == kinds
    assert level.item_look[0].tolist() == [1, 2, 3, 0, 2, 3, 1, 1, 1]
    assert level.item_owned[0].tolist() == [0, 0, 0, 0, 0, 0, 1, 0, 1]
    assert level.item_watched[0].tolist() == [0, 0, 0, 0, 0, 0, 0, 1, 1]
    assert level.num_items[0] == 9 and level.start[0] == SIZE + 1
