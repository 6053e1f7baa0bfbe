"""The SB3 view of a batch against SB3's own vectorisation of the same episodes."""

from dataclasses import replace

import gymnasium
import numpy as np
import pytest
from stable_baselines3 import PPO
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import DummyVecEnv, VecFrameStack, VecVideoRecorder
from tests.agents.tiny import FAMILY, K3, make_env, make_vec_env

from misgen.agents.vec_env import BatchVecEnv
from misgen.envs.core.batch import BatchEnv
from misgen.envs.core.gym_env import SingleEnv, observation_space
from misgen.envs.core.levels import sample_levels
from misgen.envs.core.random import combine, mix
from misgen.envs.core.types import NEVER
from misgen.envs.families import FAMILIES

TRAIN_SEED = 11


class OneSlot(gymnasium.Env):
    """Slot i of a batch, played alone: a batch of one that is put on the same levels in turn."""

    def __init__(self, slot, distribution):
        self.slot, self.distribution, self.episode = slot, distribution, -1
        self.env = BatchEnv(FAMILY, distribution, 1, train_seed=0, observation_mode="planes")
        self.observation_space = observation_space("planes", self.env.observation_shape)
        self.action_space = gymnasium.spaces.Discrete(len(FAMILY.actions))
        self.render_mode = None

    def reset(self, *, seed=None, options=None):
        self.episode += 1
        with np.errstate(over="ignore"):
            level_seed = combine(combine(mix(np.uint64(TRAIN_SEED)), self.slot), self.episode)
        levels = sample_levels(FAMILY, self.distribution, [level_seed])
        return self.env.reset_to(levels)[0].copy(), {}

    def step(self, action):
        result = self.env.step(np.array([action]))
        flags = bool(result.terminated[0]), bool(result.truncated[0])
        obs = result.final_obs if any(flags) else result.obs
        return obs[0].copy(), float(result.reward[0]), *flags, {}


def test_a_batch_equals_sb3s_loop_over_single_environments():
    n, steps = 4, 160
    distribution = FAMILY.train_distribution(K3, 0.5)
    batch = BatchVecEnv(BatchEnv(FAMILY, distribution, n, train_seed=0, observation_mode="planes"))
    batch.seed(TRAIN_SEED)
    singles = DummyVecEnv([lambda i=i: OneSlot(i, distribution) for i in range(n)])
    np.testing.assert_array_equal(batch.reset(), singles.reset())
    actions = np.random.default_rng(0).integers(5, size=(steps, n))
    endings = 0
    for action in actions:
        obs, reward, done, infos = batch.step(action)
        obs_1, reward_1, done_1, infos_1 = singles.step(action)
        np.testing.assert_array_equal(obs, obs_1)
        np.testing.assert_array_equal(reward, reward_1)
        np.testing.assert_array_equal(done, done_1)
        for slot in np.flatnonzero(done):
            endings += 1
            assert infos[slot]["TimeLimit.truncated"] == infos_1[slot]["TimeLimit.truncated"]
            np.testing.assert_array_equal(
                infos[slot]["terminal_observation"], infos_1[slot]["terminal_observation"]
            )
        assert all(infos[slot] == {} for slot in np.flatnonzero(~done))
    assert endings > 8


def test_an_ended_slot_tells_how_its_episode_went():
    """Against the raw batch: truncated after 50 steps of staying, with nothing earned."""
    vec_env = make_vec_env(3, diversity=1.0)
    vec_env.reset()
    for _ in range(49):
        *_, done, infos = vec_env.step(np.zeros(3, int))
        assert not done.any()
    obs, _, done, infos = vec_env.step(np.zeros(3, int))
    assert done.all()
    for slot, info in enumerate(infos):
        last = info.pop("terminal_observation")
        assert not np.array_equal(last, obs[slot])
        assert info == {
            "TimeLimit.truncated": True,
            "episode": {"r": 0.0, "l": 50},
            "is_success": False,
            "broken": True,
        }


def test_a_solved_episode_is_terminated_not_truncated():
    vec_env = make_vec_env(64)
    vec_env.reset()
    rng, solved = np.random.default_rng(1), 0
    for _ in range(400):
        *_, infos = vec_env.step(rng.integers(5, size=64))
        finished = vec_env.batch_env.finished
        for slot, info in enumerate(infos):
            if info:
                target = K3.intended.targets[0]
                assert info["is_success"] == (finished.first[slot, target] != NEVER)
                assert info["TimeLimit.truncated"] == (not info["is_success"])
                solved += info["is_success"]
    assert solved > 5


def test_observations_outlive_the_next_steps():
    vec_env = make_vec_env(2)
    obs = vec_env.reset()
    kept, seen = obs.copy(), []
    for _ in range(55):
        seen.append(vec_env.step(np.array([1, 2])))
    np.testing.assert_array_equal(obs, kept)
    assert seen[-1][0].base is None and seen[0][1].base is None


def test_seed_restarts_the_level_streams():
    vec_env = make_vec_env(4)
    vec_env.seed(3)
    first = vec_env.reset()
    second = vec_env.reset()
    vec_env.seed(3)
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first, vec_env.reset())


@pytest.mark.parametrize("mode", ["planes", "rgb1"])
def test_sb3_learns_and_evaluates_on_it(mode):
    vec_env = make_vec_env(8, mode=mode)
    model = PPO("MlpPolicy", vec_env, n_steps=64, batch_size=128, n_epochs=1, device="cpu", seed=0)
    model.learn(512)
    assert set(model.ep_info_buffer[0]) == {"r", "l"} and len(model.ep_success_buffer) > 0
    mean, _ = evaluate_policy(model, make_vec_env(8, mode=mode), n_eval_episodes=8)
    assert mean >= 0.0


def test_what_belongs_to_all_slots_is_answered():
    vec_env = make_vec_env(3)
    assert vec_env.get_attr("observation_mode", indices=[0, 2]) == ["planes", "planes"]
    assert vec_env.get_attr("render_mode") == ["rgb_array"] * 3
    assert vec_env.get_attr("action_space") == [vec_env.action_space] * 3
    assert not vec_env.has_attr("world")


@pytest.mark.parametrize(
    ("attempt", "error", "message"),
    [
        (lambda env: env.get_attr("episode"), AttributeError, "share .* got 'episode'"),
        (lambda env: env.set_attr("num_threads", 3), AttributeError, "make another BatchEnv"),
        (lambda env: env.env_method("step", 1, indices=0), AttributeError, r"batch_env\.step"),
        (lambda env: env.set_options({"level": ""}), ValueError, "reset_to"),
        (lambda env: env.set_options([{}, {"level": ""}, {}]), ValueError, "no options"),
        (lambda env: env.step_wait(), ValueError, "step_async"),
    ],
)
def test_what_a_slot_cannot_do_is_refused(attempt, error, message):
    vec_env = make_vec_env(3)
    vec_env.set_options()
    vec_env.reset()
    with pytest.raises(error, match=message):
        attempt(vec_env)


ALL_FAMILIES = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)


def env_of(family, mode="planes"):
    cell = family.cell(family.default_cell)
    distribution = replace(family.train_distribution(cell), horizon_steps=6)
    return BatchVecEnv(BatchEnv(family, distribution, 4, train_seed=0, observation_mode=mode))


@ALL_FAMILIES
@pytest.mark.parametrize("mode", ["planes", "rgb8"])
def test_frames_are_stacked(family, mode):
    """The newest frame is the plain observation, the one before it the previous one; an ended
    episode's stack does not reach into the next."""
    order = "first" if mode == "planes" else "last"
    plain, stacked = env_of(family, mode), VecFrameStack(env_of(family, mode), 2, order)
    axis = 1 if mode == "planes" else -1

    def frames(obs):
        return np.split(obs, 2, axis=axis)

    previous = plain.reset()
    older, newest = frames(stacked.reset())
    assert not older.any() and np.array_equal(newest, previous)
    for step in range(1, 13):
        actions = np.full(4, family.noop)
        obs, _, done, _ = plain.step(actions)
        stack, _, _, infos = stacked.step(actions)
        older, newest = frames(stack)
        assert np.array_equal(newest, obs) and done.all() == (step % 6 == 0)
        assert np.array_equal(older, np.zeros_like(obs) if done.all() else previous)
        if done.all():
            last = np.array([info["terminal_observation"] for info in infos])
            assert np.array_equal(frames(last)[0], previous)
        previous = obs


@ALL_FAMILIES
def test_a_video_is_recorded(family, tmp_path):
    env = VecVideoRecorder(env_of(family), str(tmp_path), lambda step: step == 0, video_length=5)
    env.reset()
    for _ in range(6):
        env.step(np.full(4, family.noop))
    env.close()
    (film,) = tmp_path.glob("*.mp4")
    assert film.stat().st_size > 1000


def test_render_tiles_what_a_single_environment_shows():
    vec_env = make_vec_env(4)
    vec_env.reset()
    single = SingleEnv(FAMILY, cell=K3.code, render_mode="rgb_array", train_seed=0)
    single.reset()
    picture, view = vec_env.render(), single.render()
    assert picture.shape == (2 * view.shape[0], 2 * view.shape[1], 3)
    assert np.array_equal(picture[: len(view), : view.shape[1]], view)


def test_the_batch_starts_at_its_own_seed():
    np.testing.assert_array_equal(make_vec_env(4, seed=9).reset(), make_env(4, seed=9).reset())
