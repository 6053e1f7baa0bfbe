"""The world of CoinRun on drawn boards: moving, dying, what is seen, and the terrain of levels."""

import numpy as np
import pytest
from tests.envs.boards import COINRUN, lit, play, seen

from misgen.envs.coinrun.world import Event, PlaneIndex
from misgen.envs.core.batch import BatchEnv
from misgen.envs.core.levels import sample_levels, sample_quadruples
from misgen.envs.core.plans import solve
from misgen.envs.core.types import VARIANTS
from misgen.envs.worlds.platforms import BOTTOM, HEIGHT, PERIOD, WIDTH, Tile
from misgen.envs.worlds.side_scroller import FALL_SPEED, SPEEDS, Action, explore, place_of

C2 = COINRUN.cell("C2")


def trace(lines: str, actions: str) -> list[tuple[int, int, str]]:
    """(row, column, events) after each action; rows count from 1 at the top of the world."""
    played = play("C2", lines, actions)
    return [(*place, events) for place, events in zip(played.places, played.events, strict=True)]


FLAT = """
#A..........$#
##############
"""


def test_walking_is_one_column_per_step_and_stops_at_walls():
    assert trace(FLAT, "rrl") == [(9, 2, ""), (9, 3, ""), (9, 2, "")]
    assert trace(FLAT, "l.") == [(9, 1, ""), (9, 1, "")]


def test_a_jump_is_three_rows_high_and_four_columns_wide():
    assert play("C2", FLAT, "Rrrrr").places == [(7, 2), (6, 3), (7, 4), (9, 5), (9, 6)]


def test_no_second_jump_in_the_air():
    assert [row for row, _ in play("C2", FLAT, "jjjjj").places] == [7, 6, 7, 9, 7]


def test_a_ceiling_stops_a_jump():
    ceiling = """
    #.==........$#
    #............#
    #A...........#
    ##############
    """
    assert [row for row, _ in play("C2", ceiling, "rj..").places] == [9, 8, 9, 9]
    shaft = "\n".join(["#A.$#"] + ["##.##"] * 9)
    assert trace(shaft, "j") == [(1, 1, "")], "row 1 is the highest"


@pytest.mark.parametrize(("width", "clears"), [(1, True), (3, True), (4, True), (5, False)])
def test_a_jump_clears_four_columns(width, clears):
    # The coin lies before the pit: whatever is drawn can be reached.
    floor = "###" + "." * width + "#" * (11 - width)
    assert ("DEATH" not in play("C2", f"#A$..........#\n{floor}", "rRrrrr").events) == clears


def test_walking_off_an_edge_falls_one_row_then_two():
    cliff = """
    #A...........#
    ##...........#
    ##...........#
    ##...........#
    ##..........$#
    ##############
    """
    assert play("C2", cliff, "rrr.r").places == [(6, 2), (8, 3), (9, 4), (9, 4), (9, 5)]


def test_a_pit_kills_and_then_nothing_happens():
    fall = trace("#A..$.#\n##.####", "r.jr")
    assert fall[0] == (10, 2, ""), "falling"
    assert fall[1] == (BOTTOM + 1, 2, "DEATH")
    assert fall[2:] == [(BOTTOM + 1, 2, "")] * 2


def test_lava_kills():
    assert trace("#A..$.#\n##~####", "r") == [(10, 2, "DEATH")]


def test_a_saw_kills_where_a_step_finds_and_leaves_it():
    # Phase by phase the saw is 0 1 2 3 3 2 1 0 rows above its home, given by the letter.
    deadly = [
        glyph for glyph in "stuvwxyz" if trace(f"#A{glyph}.$.#\n#######", "r")[0][2] == "DEATH"
    ]
    assert deadly == ["s", "y", "z"]


def test_a_waiting_agent_is_hit_by_what_comes():
    # The enemy walks 3 columns to the right of its home and back; 'e' is on its way back.
    assert trace("#.e.A.$.#\n#########", "..") == [(9, 4, "DEATH"), (9, 4, "")]


def test_agent_and_enemy_cannot_swap_places():
    assert trace("#.e.A.$.#\n#########", "r") == [(9, 5, "DEATH")]
    assert trace("#.Aa....$#\n##########", "r") == [(9, 3, "DEATH")], "its heels kill too"


def test_an_enemy_can_be_jumped_over():
    played = play("C2", "#.A.e....$.#\n############", "Rrrrr")
    assert played.events == [""] * 5 and played.places[-1] == (9, 7)


def test_a_platform_holds_whoever_lands_on_it():
    shelf = """
    #............#
    #....===.....#
    #............#
    #A..........$#
    ##############
    """
    places = play("C2", shelf, "rRrrr.rrr").places
    assert places[:6] == [(9, 2), (7, 3), (6, 4), (6, 5), (6, 6), (6, 6)]
    assert places[6:] == [(6, 7), (7, 8), (9, 9)]


def test_a_shelf_with_a_raised_left_end_is_climbed_from_the_right():
    shelf = """
    #...=........#
    #...====.....#
    #............#
    #A..........$#
    ##############
    """
    assert [col for _, col in play("C2", shelf, "Rrr").places] == [2, 3, 3]
    assert play("C2", shelf, "rrrrrrr" + "jlll").places[-3:] == [(6, 8), (6, 7), (6, 6)]


def test_ice_takes_a_walker_one_tile_further():
    assert trace("#A.......$#\n###___#####", "rrr") == [(9, 2, ""), (9, 4, ""), (9, 6, "")]
    assert trace("#A.#....$#\n##_#######", "r") == [(9, 2, "")], "a wall stops the slide"
    assert trace("#.A..$#\n#_#####", "l") == [(9, 1, "")], "a wall stops the slide"
    assert trace("#A.......$#\n##___######", "R") == [(7, 2, "")], "a jump does not slide"


def test_ice_slides_into_pits():
    assert trace("#A..$.#\n##_.###", "r.") == [(10, 3, ""), (BOTTOM + 1, 3, "DEATH")]


def test_the_coin_is_touched_in_passing():
    assert trace("#..$..#\n#.....#\n#A....#\n#######", "rR")[1] == (7, 3, "COIN+YELLOW")
    high = "#.$...#\n#.....#\n#.....#\n#A....#\n#######"
    assert play("C2", high, "rj.").events == ["", "", "COIN+YELLOW"]


# What is seen


@pytest.mark.parametrize("mode", [mode for mode in COINRUN.modes if mode != "window"])
@pytest.mark.parametrize("lines", ["#A$.a...#\n#########", "#A$.s...#\n#########"])
def test_the_phase_of_a_mover_is_visible(mode, lines):
    pictures = seen("C2", lines, ".......", mode)
    assert len({picture.tobytes() for picture in pictures}) == len(pictures) == PERIOD


@pytest.mark.parametrize("mode", COINRUN.modes)
def test_the_vertical_speed_is_visible(mode):
    # On a flat floor going up and coming down pass the same square (7, 1).
    pictures = [picture.tobytes() for picture in seen("C2", FLAT, "j...", mode)]
    assert pictures[1] != pictures[3] and pictures[0] == pictures[4]


def test_planes_show_what_is_where():
    lines = """
    #.=........#
    #A..$.a....#
    #_~#########
    """
    (planes,) = seen("C2", lines)
    col = 5  # a column of the level is seen this much further right: the agent's 1 is seen at 6
    assert lit(COINRUN, planes, "agent") == [(9, 1 + col)]
    assert lit(COINRUN, planes, "coin") == [(9, 4 + col)]
    assert lit(COINRUN, planes, "enemy_right") == [(9, 6 + col)]
    assert lit(COINRUN, planes, "lava") == [(10, 2 + col)]
    assert lit(COINRUN, planes, "ice") == [(10, 1 + col)]
    assert planes[PlaneIndex.GROUND, 8, 2 + col] == 1, "a platform looks like ground"
    assert lit(COINRUN, planes, "motion") == [(0, 6)], "at rest"
    assert planes[PlaneIndex.GROUND, 1:, : 1 + col].all(), "the wall and what is behind it"


# Terrain of levels


@pytest.fixture(scope="module")
def quadruples():
    return sample_quadruples(COINRUN, C2, np.arange(600), split="any")


def test_lengths_cover_their_ranges_evenly(quadruples):
    for variant, (low, high) in {"00": (9, 25), "01": (20, 30)}.items():
        length = quadruples[variant].level.length
        assert (length.min(), length.max()) == (low, high)
        assert abs(length.mean() - (low + high) / 2) < 0.8


def test_levels_grow_harder_and_shift_b_is_harsher(quadruples):
    def hazards(level, columns):
        inside = columns < level.length[:, None] - 1
        floor = level.tiles[:, 1 : BOTTOM + 1]
        pit = (floor[:, -1] == Tile.FREE) | (floor == Tile.LAVA).any(axis=1)
        return (pit & inside).mean(axis=0)

    columns = np.arange(WIDTH)
    calm, harsh = quadruples["00"].level, quadruples["01"].level
    assert hazards(calm, columns)[:3].sum() == 0, "the start is safe"
    assert hazards(harsh, columns)[12:17].mean() > hazards(harsh, columns)[4:9].mean()
    assert hazards(harsh, columns)[12:17].mean() > hazards(calm, columns)[12:17].mean()
    saws = [(level.mover_kind == 1).sum() for level in (calm, harsh)]
    assert saws[1] > 2 * saws[0] > 0
    ice = [(level.tiles == Tile.ICE).any(axis=(1, 2)).mean() for level in (calm, harsh)]
    assert ice[0] == 0 and ice[1] > 0.8


@pytest.mark.parametrize("variant", ["train", *VARIANTS])
def test_random_play_stays_inside(quadruples, variant):
    if variant == "train":
        levels = sample_levels(COINRUN, COINRUN.train_distribution(C2), np.arange(300))
    else:
        levels = quadruples[variant].take(np.arange(300))
    env = BatchEnv.on(levels, 80)
    rng = np.random.default_rng(0)
    end = levels.level.length - 2
    for _ in range(80):
        env.step(rng.integers(0, len(Action), 300))
        state = env.world.state
        assert ((state.row >= 1) & (state.row <= BOTTOM + 1)).all()
        assert ((state.col >= 1) & (state.col <= end)).all()
        assert (state.row[state.alive == 1] <= BOTTOM).all()
        assert ((state.speed >= -2) & (state.speed <= 1)).all()


@pytest.mark.parametrize("variant", ["00", "11"])
def test_exploration_finds_exactly_what_play_can_reach(quadruples, variant):
    """Level drawing follows all phases of a place at once; a planner plays every single state."""
    levels = quadruples[variant].take(np.arange(6))
    level, plans, last = levels.level, solve(levels), 0
    state, scratch = COINRUN.empty_state(6), COINRUN.empty_scratch()
    for i, count in enumerate(plans.num_states):
        played = set()
        for key in plans.keys[last : last + count]:
            COINRUN.restore(i, level, state, key)
            played.add(tuple(int(getattr(state, f)[i]) for f in ("row", "col", "speed", "phase")))
        last += count
        COINRUN.reset(i, level, state)
        scratch.touch[0] = state.touch[i]
        explore(i, level, scratch, 0)
        explored = {
            (row, col, speed, phase)
            for row, col, speed, phase in np.ndindex(HEIGHT, WIDTH, SPEEDS, PERIOD)
            if scratch.reached[place_of(row, col, speed + FALL_SPEED)] >> phase & 1
        }
        assert {(r, c, s + FALL_SPEED, p) for r, c, s, p in explored} == played
        assert max(col for _, col, _, _ in played) == level.length[i] - 2, "the right end"


def test_the_coin_is_the_reward_and_only_death_and_it_end_an_episode():
    for cell in COINRUN.cells:
        assert cell.rewards[Event.COIN] == 1
        assert set(cell.terminal) == {Event.COIN, Event.DEATH}, cell.code
