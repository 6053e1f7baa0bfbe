"""Gymnasium's view of the environments: checkers, seeds, options, infos, autoreset, rendering."""

import pickle

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode
from stable_baselines3.common.env_checker import check_env as sb3_check_env

from misgen.agents.vec_env import BatchVecEnv
from misgen.envs.core.batch import BatchEnv
from misgen.envs.core.gym_env import SingleEnv, make_distribution
from misgen.envs.core.gym_vector import BatchVectorEnv
from misgen.envs.core.levels import sample_levels, sample_quadruples
from misgen.envs.core.render import PLANES
from misgen.envs.families import FAMILIES

KEYS = FAMILIES["keys_and_chests"]
MODES = [(family, mode) for family in FAMILIES.values() for mode in family.modes]
CORRIDOR = "#####\n#Akc#\n#####\n#####\n#####"  # right: the key; right again: the chest
RIGHT = KEYS.actions.index("right")


@pytest.fixture(params=MODES, ids=lambda pair: f"{pair[0].name}-{pair[1]}")
def shown(request):
    """(family, observation mode)"""
    return request.param


# gym.make


def test_ids_rise_with_the_version_and_gymnasium_knows_them(family):
    assert family.env_id == f"misgen/{family.title}-v{family.version - 1}"
    spec = gym.spec(family.env_id)
    assert spec.kwargs == {"family": family.name}
    assert spec.max_episode_steps is None, "environments truncate themselves"


def test_gymnasium_accepts_the_environment(shown):
    family, mode = shown
    env = gym.make(f"misgen.envs:{family.env_id}", observation_mode=mode, render_mode="rgb_array")
    check_env(env.unwrapped)


def test_stable_baselines_accepts_the_environment(shown):
    """Its warnings are about pictures that its default network is too large for, and planes."""
    family, mode = shown
    small = mode in (*PLANES, "rgb1")
    sb3_check_env(SingleEnv(family, observation_mode=mode), warn=not small)


def test_made_environments_have_the_familys_default_mode(family):
    env = gym.make(f"misgen.envs:{family.env_id}")
    assert env.unwrapped.batch_env.observation_mode == family.default_mode
    obs, _ = env.reset(seed=0)
    assert env.observation_space.contains(obs)
    vector = gym.make_vec(f"misgen.envs:{family.env_id}", num_envs=64)
    assert isinstance(vector.unwrapped, BatchVectorEnv) and vector.num_envs == 64
    obs, _ = vector.reset(seed=0)
    assert vector.observation_space.contains(obs)
    assert vector.action_space.contains(vector.action_space.sample())


def test_spaces(shown):
    family, mode = shown
    env = SingleEnv(family, observation_mode=mode)
    space = env.observation_space
    assert space.dtype == np.uint8 and space.low.max() == 0
    assert space.high.min() == space.high.max() == (1 if mode in PLANES else 255)
    if mode in PLANES:
        assert space.shape == (len(family.planes), *family.view_shape), "channels first"
    else:
        assert space.shape[2] == 3, "channels last"
    assert env.action_space == gym.spaces.Discrete(len(family.actions))
    obs, _ = env.reset(seed=0)
    assert space.contains(obs)


def test_environments_can_be_sent_to_other_processes(family):
    env = pickle.loads(pickle.dumps(gym.spec(family.env_id))).make(observation_mode="planes")
    assert env.reset(seed=1)[0].shape == env.observation_space.shape


@pytest.mark.parametrize("make", [gym.make, gym.make_vec])
def test_an_unknown_keyword_is_answered_with_the_nearest(family, make):
    with pytest.raises(ValueError, match=r"keywords .*'diversty'; did you mean 'diversity'"):
        make(f"misgen.envs:{family.env_id}", diversty=0.5)
    with pytest.raises(ValueError, match=r"observation_mode, train_seed, .* got 'colour'"):
        make(f"misgen.envs:{family.env_id}", colour="red")


@pytest.mark.parametrize(("limit", "steps"), [(5, 5), (None, 9), (50, 9), (-1, 9)])
@pytest.mark.parametrize("make", [gym.make, gym.make_vec])
def test_max_episode_steps_shortens_an_episode(family, make, limit, steps):
    options = {} if limit is None else {"max_episode_steps": limit}
    env = make(f"misgen.envs:{family.env_id}", horizon_steps=9, **options)
    env.reset(seed=0)
    action = family.noop if make is gym.make else np.array([family.noop])
    for step in range(1, steps + 1):
        *_, truncated, _ = env.step(action)
        assert bool(truncated) == (step == steps)


# Seeds and levels


def test_no_seed_means_entropy(family):
    """One is drawn, and can be read; environments made without a seed play different levels."""
    envs = [SingleEnv(family, observation_mode="planes") for _ in range(4)]
    vectors = [BatchVectorEnv(family, 2, observation_mode="planes") for _ in range(4)]
    for group in (envs, vectors):
        infos = [env.reset()[1] for env in group]
        assert len({np.min(info["level_hash"]) for info in infos}) == 4
        for env, info in zip(group, infos, strict=True):
            assert np.all(info["train_seed"] == env.train_seed)
            assert np.all(env.step(env.action_space.sample())[4]["train_seed"] == env.train_seed)
            again = env.reset(seed=env.train_seed)[1]
            assert np.array_equal(again["level_hash"], info["level_hash"])


def test_batches_are_made_with_a_named_seed(family):
    with pytest.raises(TypeError, match="train_seed"):
        BatchEnv(family, make_distribution(family), 2)


def test_a_seed_restarts_the_stream_and_none_continues_it(family):
    env = SingleEnv(family, observation_mode="planes", train_seed=3)
    stream = [int(env.reset()[1]["level_seed"]) for _ in range(3)]
    again = [int(env.reset(seed=3)[1]["level_seed"])]
    again += [int(env.reset()[1]["level_seed"]) for _ in range(2)]
    assert stream == again and len(set(stream)) == 3
    assert int(env.reset(seed=4)[1]["level_seed"]) not in stream


def test_the_info_names_the_level(world):
    """Its seed draws it again, and its hash is that of `Levels.hashes`."""
    family, cell = world
    env = SingleEnv(family, cell=cell.code, diversity=0.5, observation_mode="planes")
    for _ in range(3):
        _, info = env.reset()
        distribution = family.train_distribution(cell, 0.5)
        again = sample_levels(family, distribution, [info["level_seed"]])
        assert info["level_hash"] == again.hashes()[0]
        step_info = env.step(family.noop)[4]
        assert step_info["level_hash"] == info["level_hash"]
        assert step_info["level_seed"] == info["level_seed"]


def test_a_variant_plays_the_levels_of_its_quadruples(world):
    family, cell = world
    for variant in ("00", "11"):
        env = SingleEnv(family, cell=cell.code, variant=variant, observation_mode="planes")
        info = env.reset()[1]
        quadruple = sample_quadruples(family, cell, [info["level_seed"]])
        assert info["level_hash"] == quadruple[variant].hashes()[0]
        horizon = cell.horizon_factor(variant) * cell.train_horizon_steps
        assert env.batch_env.episode.horizon[0] == horizon


def test_a_drawn_level_is_played_and_then_the_stream_goes_on():
    env = SingleEnv(KEYS, observation_mode="planes", train_seed=1)
    expected = [int(SingleEnv(KEYS, train_seed=1).reset()[1]["level_seed"])]
    obs, _ = env.reset(options={"level": CORRIDOR})
    agent = [plane.name for plane in KEYS.planes].index("agent")
    assert obs[agent].sum() == 1
    assert [env.step(RIGHT)[1:3] for _ in range(2)] == [(0.0, False), (1.0, True)]
    assert [int(env.reset()[1]["level_seed"])] == expected


def test_levels_can_be_played_one_by_one(world):
    family, cell = world
    levels = sample_levels(family, family.train_distribution(cell), [5, 6])
    env = SingleEnv(family, cell=cell.code, observation_mode="planes")
    for i in range(2):
        info = env.reset(options={"level": levels.take(np.array([i]))})[1]
        assert info["level_hash"] == levels.hashes()[i] and info["level_seed"] == 5 + i


def test_the_distribution_can_be_changed_at_a_reset(world):
    family, cell = world
    env = SingleEnv(family, cell=cell.code, observation_mode="planes", train_seed=2)
    first = env.reset()[1]["level_seed"]
    for option in (
        {"cell": cell.code, "variant": "11", "horizon_steps": 2},
        make_distribution(family, cell=cell.code, variant="11", horizon_steps=2),
    ):
        info = env.reset(options={"distribution": option})[1]
        quadruple = sample_quadruples(family, cell, [info["level_seed"]])
        assert info["level_hash"] == quadruple["11"].hashes()[0]
    assert info["level_seed"] != first, "the stream of seeds goes on"
    assert [env.step(family.noop)[3] for _ in range(2)] == [False, True]
    second = env.reset()[1]["level_seed"]
    quadruple = sample_quadruples(family, cell, [second])
    assert quadruple["11"].hashes()[0] == env.batch_env.levels().hashes()[0], "it stays"


@pytest.mark.parametrize(
    ("attempt", "message"),
    [
        (lambda: SingleEnv("chess"), "families are .* got 'chess'"),
        (lambda: SingleEnv(KEYS, cell="easy"), "has the cells"),
        (lambda: SingleEnv(KEYS, variant="12"), "00, 10, 01, 11; got '12'"),
        (lambda: SingleEnv(KEYS, split="test"), "train, held_out or any; got 'test'"),
        (lambda: SingleEnv(KEYS, diversity=2.0), r"in \[0, 1\]; got 2"),
        (lambda: SingleEnv(KEYS, observation_mode="rgb3"), "observation modes"),
        (lambda: SingleEnv(KEYS, render_mode="human"), "render_mode is None, rgb_array, ansi"),
        (lambda: SingleEnv(KEYS, horizon_steps=0), "horizon_steps is at least 1"),
        (lambda: SingleEnv(KEYS).reset(seed=-1), "0 to 2.64 - 1; got -1"),
        (lambda: SingleEnv(KEYS).reset(options={"levle": ""}), "are level, distribution; .*levle"),
        (lambda: SingleEnv(KEYS).reset(options={"level": "#"}), "a board is a square"),
        (lambda: SingleEnv(KEYS).reset(options={"distribution": 3}), "a LevelDistribution or"),
        (lambda: SingleEnv(KEYS).render(), "chosen when the environment is made"),
        (lambda: BatchVectorEnv(KEYS, 0), "num_envs is at least 1"),
        (lambda: BatchVectorEnv(KEYS, 2).reset(seed=[1]), r"for each of 2 slots; got \[.*1.*\]"),
        (lambda: BatchVectorEnv(KEYS, 2).reset(seed=[1, None]), "is an integer .* got None"),
        (lambda: BatchVectorEnv(KEYS, autoreset_mode="Disabled"), "'SameStep' or 'NextStep'"),
        (lambda: BatchVectorEnv(KEYS, 2).reset(options={"level": ""}), "has no options; got level"),
    ],
)
def test_mistakes_are_one_clear_value_error(attempt, message):
    with pytest.raises(ValueError, match=message):
        attempt()


# Steps


def test_events_are_named_in_the_info():
    env = SingleEnv(KEYS, observation_mode="planes")
    _, info = env.reset(options={"level": CORRIDOR})
    assert list(info["events"]) == [event.name.lower() for event in KEYS.events]
    assert not any(info["events"].values())
    happened = []
    for _ in range(2):
        info = env.step(RIGHT)[4]
        happened.append({name for name, value in info["events"].items() if value})
    assert happened[0] == {"key", "all_keys"}
    assert happened[1] == {
        "chest", "all_chests", "all_gold", "keys_spent", "all_unwatched", "corner_2"
    }  # fmt: skip


def test_the_caller_may_write_into_what_it_gets():
    env = SingleEnv(KEYS, observation_mode="planes")
    a, info = env.reset(options={"level": CORRIDOR})
    kept = a.copy()
    info["events"].clear()
    b, *_, info = env.step(RIGHT)
    assert np.array_equal(a, kept) and not np.array_equal(a, b) and info["events"]["key"]


def test_a_finished_episode_needs_a_reset():
    env = SingleEnv(KEYS, observation_mode="planes", horizon_steps=1)
    with pytest.raises(ResetNeeded):
        env.step(RIGHT)
    env.reset()
    assert env.step(KEYS.noop)[2:4] == (False, True)
    with pytest.raises(ResetNeeded, match="call reset"):
        env.step(KEYS.noop)


# Misuse: every adapter alike


def adapters(family):
    distribution = family.train_distribution(family.cell(family.default_cell))
    options = {"observation_mode": "planes", "train_seed": 0}
    return {
        "single": SingleEnv(family, **options),
        "vector": BatchVectorEnv(family, 1, **options),
        "batch": BatchEnv(family, distribution, 1, **options),
        "sb3": BatchVecEnv(BatchEnv(family, distribution, 1, **options)),
    }


KINDS = ("single", "vector", "batch", "sb3")


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_needs_a_reset_before(family, kind):
    env = adapters(family)[kind]
    with pytest.raises(ResetNeeded, match=r"call reset\(\)"):
        env.step(0 if kind == "single" else np.zeros(1, np.int64))


@pytest.mark.parametrize("wrong", [1.7, "1", [1.9], np.array([1.0]), True, None, [1, 1], -1, 99])
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_action_is_refused(kind, wrong):
    env = adapters(KEYS)[kind]
    env.reset()
    action = wrong if kind == "single" or isinstance(wrong, list) else [wrong]
    with pytest.raises(ValueError, match="integer"):
        env.step(action)
    env.step(0 if kind == "single" else [0])


@pytest.mark.parametrize("action", [1, np.int64(1), np.uint8(1), np.array(1), np.array([1]), [1]])
def test_arrays_of_one_element_are_an_action(action):
    env, other = (SingleEnv(KEYS, train_seed=0, observation_mode="planes") for _ in range(2))
    env.reset(), other.reset()
    assert np.array_equal(env.step(action)[0], other.step(1)[0])


# Wrappers


def test_record_video_films_an_episode(family, tmp_path):
    env = gym.make(f"misgen.envs:{family.env_id}", render_mode="rgb_array", horizon_steps=5)
    env = gym.wrappers.RecordVideo(
        env, str(tmp_path / "films"), episode_trigger=lambda episode: True
    )
    env.reset(seed=0)
    for _ in range(5):
        *_, terminated, truncated, _ = env.step(family.noop)
    assert terminated or truncated
    env.close()
    (film,) = tmp_path.glob("films/*.mp4")
    assert film.stat().st_size > 1000


@pytest.mark.parametrize("wrapper", ["FlattenObservation", "NormalizeObservation"])
def test_vector_observation_wrappers(family, wrapper):
    """Stateful ones ask for the mode NEXT_STEP."""
    env = gym.make_vec(
        f"misgen.envs:{family.env_id}",
        num_envs=4,
        observation_mode="planes",
        horizon_steps=6,
        autoreset_mode="NextStep",
    )
    size = int(np.prod(env.single_observation_space.shape))
    wrapped = getattr(gym.wrappers.vector, wrapper)(env)
    obs, _ = wrapped.reset(seed=0)
    for _ in range(20):
        obs, *_ = wrapped.step(wrapped.action_space.sample())
    assert obs.reshape(4, -1).shape == (4, size) and np.isfinite(obs).all()


# The vector environment


@pytest.mark.parametrize("mode", [AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP])
def test_it_equals_gymnasiums_own_vector_environment(world, mode):
    """Three slots with seeds of their own: the same keys, masks, dtypes and values in every step.
    With one seed for all, ours draws other streams."""
    family, cell = world
    options = {"cell": cell.code, "observation_mode": "planes", "horizon_steps": 7}
    ours = BatchVectorEnv(family, 3, autoreset_mode=mode, **options)
    theirs = gym.vector.SyncVectorEnv(
        [lambda: SingleEnv(family, **options)] * 3, autoreset_mode=mode
    )
    assert ours.metadata["autoreset_mode"] is theirs.metadata["autoreset_mode"] is mode
    seeds = [5, 9, 2**40]
    assert_same(ours.reset(seed=seeds), theirs.reset(seed=seeds))
    assert ours.train_seed == [env.train_seed for env in theirs.envs] == seeds
    rng = np.random.default_rng(0)
    ended = 0
    for _ in range(40):
        actions = rng.integers(0, len(family.actions), 3)
        a, b = ours.step(actions), theirs.step(actions)
        assert_same(a, b)
        ended += int((a[2] | a[3]).sum())
    assert ended >= 3 * 40 // 8
    assert ours.reset(seed=5) and ours.train_seed == 5


def assert_same(a, b) -> None:
    """Equal values and types of nested tuples, dicts and arrays; rewards may be float32."""
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            assert_same(a[key], b[key])
    elif isinstance(a, tuple):
        for x, y in zip(a, b, strict=True):
            assert_same(x, y)
    elif a is None:
        assert b is None
    elif a.dtype == object:
        assert_same(tuple(a), tuple(b))
    else:
        assert a.dtype == b.dtype or (a.dtype, b.dtype) == (np.float32, np.float64)
        assert np.array_equal(a, b)


def test_infos_of_several_slots():
    """Slot 0 ends in the second step, the others go on."""
    vector = BatchVectorEnv(KEYS, 3, observation_mode="planes", horizon_steps=50)
    _, first = vector.reset(seed=0)
    assert first["_level_seed"].all() and len(set(first["level_seed"].tolist())) == 3
    vector.batch_env.episode.horizon[:] = (2, 50, 50)
    info = vector.step(np.zeros(3, np.int64))[4]
    assert "final_obs" not in info and info["level_hash"].tolist() == first["level_hash"].tolist()
    obs, _, _, truncated, info = vector.step(np.zeros(3, np.int64))
    assert truncated.tolist() == info["_final_obs"].tolist() == [True, False, False]
    assert info["final_obs"][0].shape == obs[0].shape and info["final_obs"][1] is None
    final = info["final_info"]
    assert final["_level_seed"].tolist() == [True, False, False]
    assert final["level_seed"][0] == first["level_seed"][0] != info["level_seed"][0]
    assert info["level_seed"][1:].tolist() == first["level_seed"][1:].tolist()
    assert (info["level_hash"] == vector.batch_env.levels().hashes()).all()


@pytest.mark.parametrize("copy", [True, False])
def test_observations_are_copies_unless_asked(copy):
    vector = BatchVectorEnv(KEYS, 8, observation_mode="planes", copy=copy)
    a, _ = vector.reset(seed=0)
    kept = a.copy()
    b = vector.step(np.full(8, RIGHT))[0]
    assert (a is b) == (not copy) and np.array_equal(a, kept) == copy


def test_a_vector_environment_can_use_threads_and_gymnasiums_wrappers(family):
    vector = gym.make_vec(
        f"misgen.envs:{family.env_id}", num_envs=16, num_threads=2, observation_mode="planes"
    )
    vector = gym.wrappers.vector.RecordEpisodeStatistics(vector)
    vector.reset(seed=0)
    for _ in range(120):
        vector.step(vector.action_space.sample())
    assert len(vector.return_queue) >= 16


# Rendering


def test_rendering_shows_the_present_state(family):
    for mode in family.modes:
        env = SingleEnv(family, observation_mode=mode, render_mode="rgb_array")
        env.reset(seed=0)
        for action in range(len(family.actions)):
            obs = env.step(action)[0]
            picture = env.render()
            rows, cols = family.view_shape
            assert picture.shape == (rows * 8, cols * 8, 3) and picture.dtype == np.uint8
            assert mode != "rgb8" or np.array_equal(picture, obs)


def test_text_rendering_shows_the_end_of_an_episode():
    """There is no autoreset: after the last step the final state is drawn."""
    env = SingleEnv(KEYS, observation_mode="rgb8", render_mode="ansi")
    env.reset(options={"level": CORRIDOR})
    lines = env.render().splitlines()
    assert lines[6][4:9] == "#Akc#"
    for expected in ("#.Ac#", "#..A#"):
        env.step(RIGHT)
        assert expected in env.render().splitlines()[6]


def test_vector_environments_render_every_slot():
    vector = BatchVectorEnv(KEYS, 3, observation_mode="planes", render_mode="rgb_array")
    vector.reset(seed=0)
    frames = vector.render()
    assert len(frames) == 3 and frames[0].shape == (96, 88, 3)
