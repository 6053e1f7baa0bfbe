"""What is seen: pictures by hand on a small board, buffers, noise, text.

Planes are in the tests of the families; pictures of a slow painter are part of the contract.
"""

from dataclasses import replace

import numpy as np
import pytest
from tests.envs.boards import COINRUN, KEYS, is_share, levels_of

from misgen.envs.core import render
from misgen.envs.core.batch import BatchEnv
from misgen.envs.core.levels import sample_levels

BOARD = "##### #A.k# #c..# #...#"
AGENT = (6, 5)  # row and column of the view
K3 = KEYS.cell("K3")
COLOURS = {plane.name: plane.colour for plane in KEYS.planes}
SPRITES = {plane.name: plane.sprite for plane in KEYS.planes}


def start(mode: str) -> BatchEnv:
    return BatchEnv.on(levels_of("K3", BOARD), observation_mode=mode)


# Pictures by hand


def test_one_pixel_per_tile_by_hand():
    picture = start("rgb1").buffers.obs[0]
    expected = np.zeros((12, 11, 3), np.uint8)
    expected[1:] = COLOURS["wall"]
    expected[6:9, 5:8] = 0
    expected[AGENT] = COLOURS["agent"]
    expected[6, 7], expected[7, 5] = COLOURS["key"], COLOURS["chest"]
    assert np.array_equal(picture, expected)


def test_eight_pixels_per_tile_by_hand():
    picture = start("rgb8").buffers.obs[0]
    assert picture.shape == (96, 88, 3)

    def tile(row: int, col: int) -> np.ndarray:
        return picture[row * 8 : row * 8 + 8, col * 8 : col * 8 + 8]

    assert (tile(1, 0) == COLOURS["wall"]).all() and not tile(8, 7).any()
    key = tile(6, 7)
    assert (key[1, 1:4] == COLOURS["key"]).all() and not key[0].any() and not key[:, 7][:3].any()
    assert ((key == COLOURS["key"]).all(axis=2) | (key == 0).all(axis=2)).all()


def test_a_later_plane_covers_an_earlier_one():
    """The agent stands on a chest that it cannot open: the chest shows through its gaps."""
    for mode, px in (("rgb1", 1), ("rgb8", 8)):
        env = start(mode)
        picture = env.step([KEYS.actions.index("down")]).obs[0]
        tile = picture[6 * px : 7 * px, 5 * px : 6 * px]
        is_agent = (tile == COLOURS["agent"]).all(axis=2)
        is_chest = (tile == COLOURS["chest"]).all(axis=2)
        assert is_agent.any() and (is_chest.any() == (px == 8))
        if px == 8:
            agent = np.array([[c == "#" for c in line] for line in SPRITES["agent"].split()])
            chest = np.array([[c == "#" for c in line] for line in SPRITES["chest"].split()])
            assert np.array_equal(is_agent, agent) and np.array_equal(is_chest, chest & ~agent)


def test_held_keys_fill_the_status_row():
    env = start("rgb1")
    for action in ("right", "right"):
        picture = env.step([KEYS.actions.index(action)]).obs[0]
    assert picture[0, 0].tolist() == list(COLOURS["inventory"]) and not picture[0, 1:].any()


def test_64_pixels_are_tiles_of_5_cut_at_the_left():
    """13 columns of 5 pixels are 65: the leftmost tiles lose one; rows below the view are black."""
    family, distribution = COINRUN, COINRUN.train_distribution(COINRUN.cells[0])
    rows, cols = family.view_shape
    env = BatchEnv(family, distribution, 4, train_seed=0, observation_mode="rgb64")
    for picture, cells in zip(env.reset(), env.cells, strict=True):
        assert picture.shape == (64, 64, 3) and not picture[rows * 5 :].any()
        cut = cols * 5 - 64
        full = [k for k, plane in enumerate(family.planes) if not plane.sprite]
        squares = np.argwhere(np.isin(cells, [1 << k for k in full]))
        assert len(squares), "the vertical speed is a full square of the status row"
        for row, col in squares:
            tile = picture[row * 5 : row * 5 + 5, max(col * 5 - cut, 0) : col * 5 + 5 - cut]
            plane = family.planes[int(cells[row, col]).bit_length() - 1]
            assert (tile == plane.colour).all() and tile.shape[1] == (5 - cut if col == 0 else 5)


# Buffers


def test_dirty_buffers_are_overwritten_completely(family):
    """Every pixel of `obs`, and of `final_obs` where an episode ended."""
    distribution = replace(
        family.train_distribution(family.cell(family.default_cell)), horizon_steps=3
    )
    for mode in family.modes:
        envs = [
            BatchEnv(family, distribution, 5, train_seed=0, observation_mode=mode) for _ in range(2)
        ]
        dirty = envs[0].empty_buffers()
        for array in dirty:
            array.fill(1 if array.dtype == bool else 255)
        envs[0].buffers = dirty
        assert np.array_equal(envs[0].reset(), envs[1].reset())
        assert not dirty.terminated.any() and not dirty.truncated.any()
        for _ in range(3):
            dirty.obs.fill(255)
            dirty.final_obs.fill(255)
            a, b = (env.step(np.full(5, family.noop)) for env in envs)
            assert all(np.array_equal(x, y) for x, y in zip(a[:5], b[:5], strict=True))
        ended = a.terminated | a.truncated
        assert ended.all() and np.array_equal(a.final_obs, b.final_obs)


# Disturbed levels

TEXTURE = [plane.name for plane in KEYS.planes].index("texture")
NOISY = replace(KEYS.cell("K1"), noisy_planes=("texture", "wall"), noise_frac=render.NOISE)


def disturbed(mode: str, seeds: range, steps: int = 3, interpreted: bool = False) -> BatchEnv:
    levels = sample_levels(KEYS, KEYS.train_distribution(NOISY), seeds)
    levels.level.disturbed[:] = 1
    env = BatchEnv.on(levels, observation_mode=mode, interpreted=interpreted)
    for _ in range(steps):
        env.step(np.full(len(seeds), KEYS.noop))
    return env


def changed(env: BatchEnv) -> np.ndarray:
    """Where an observation differs from that of the same view without noise."""
    shown = env.cells | (1 << TEXTURE)
    if env.observation_mode == "planes":
        bits = np.arange(len(KEYS.planes))[:, None, None]
        return env.buffers.obs != (shown[:, None] >> bits & 1)
    expected = [render.picture(KEYS, cells, 8, unseen=True) for cells in shown]
    return (env.buffers.obs != np.array(expected)).any(axis=3)


@pytest.mark.parametrize("mode", ["planes", "rgb8"])
def test_a_disturbed_level_is_filled_with_texture_and_noise(mode):
    env = disturbed(mode, range(20))
    noisy = changed(env)
    if mode == "planes":
        background = [plane.name in NOISY.noisy_planes for plane in KEYS.planes]
        assert not np.delete(noisy, background, axis=1).any(), "nothing else is touched"
        noisy = noisy[:, background]
    assert is_share(noisy.mean(), render.NOISE, noisy.size)


@pytest.mark.parametrize("mode", ["planes", "rgb8"])
def test_noise_belongs_to_the_level_and_the_step(mode):
    env = disturbed(mode, range(4))
    alone = disturbed(mode, range(3, 4), interpreted=True)
    assert np.array_equal(alone.buffers.obs[0], env.buffers.obs[3])
    assert not np.array_equal(changed(env)[0], changed(env)[1])
    assert not np.array_equal(changed(disturbed(mode, range(4), 4)), changed(env))


def test_levels_that_are_not_disturbed_have_no_noise():
    env = disturbed("planes", range(4))
    env.world.level.disturbed[:2] = 0
    env.step(np.full(4, KEYS.noop))
    texture = env.buffers.obs[:, TEXTURE]
    assert not texture[:2].any() and texture[2:].mean() > 0.8


def test_a_window_shows_what_is_near_and_always_the_agent(family):
    """Cell by cell as the planes do, blank elsewhere, disturbed or not."""
    cell = family.cell(family.default_cell)
    levels = sample_levels(family, family.train_distribution(cell), range(20))
    if "disturbed" in levels.level._fields:
        levels.level.disturbed[::2] = 1
    whole, near = (BatchEnv.on(levels, observation_mode=mode) for mode in render.PLANES)
    shown = np.isin(np.arange(np.prod(family.view_shape)), family.window)
    agent = [plane.name for plane in family.planes].index("agent")
    for step in range(10):
        seen = near.buffers.obs.reshape(20, len(family.planes), -1)
        expected = whole.buffers.obs.reshape(seen.shape)
        assert np.array_equal(seen, expected * shown) and expected[..., ~shown].any()
        is_there = near.episode.done == 0
        assert seen[is_there, agent].any(axis=1).all()
        for env in (whole, near):
            env.step(np.full(20, step % len(family.actions)))


# Pictures and text for people


def test_text_shows_the_foremost_plane():
    """The view of the agent: a status row and +-5 squares."""
    env = start("planes")
    lines = render.text(KEYS, env.cells[0]).splitlines()
    assert [len(line) for line in lines] == [11] * 12
    assert lines[0] == "." * 11 and lines[1] == "#" * 11
    assert lines[6] == "#####A.k###" and lines[7] == "#####c..###"


def test_pictures_for_people_are_those_of_agents(family):
    levels = sample_levels(family, family.train_distribution(family.cells[0]), [0])
    env = BatchEnv.on(levels, observation_mode="rgb8")
    assert np.array_equal(render.picture(family, env.cells[0]), env.buffers.obs[0])


# Errors


def test_a_mode_that_cannot_show_the_cue_names_the_remedy(world):
    family, cell = world
    if cell.min_pixels_per_tile == 1:
        render.Renderer(family, cell, "rgb1")
        return
    with pytest.raises(ValueError, match=r"needs at least 4 pixels a tile; use .*planes or "):
        render.Renderer(family, cell, "rgb1")
    for mode in ("planes", "rgb8"):
        render.Renderer(family, cell, mode)
