"""The population trainer: Stable-Baselines3's arithmetic, K agents that do not disturb each other,
and trainings that go on where they were killed."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from stable_baselines3.common.callbacks import BaseCallback
from tests.agents.tiny import TINY, make_env

from misgen.agents import ppo
from misgen.agents.adam import Adam
from misgen.agents.device import Device, agent_bytes, largest_population
from misgen.agents.memory import remember
from misgen.agents.networks import architecture_for, initial_weights
from misgen.agents.population import Population
from misgen.agents.ppo import train_population, train_ppo
from misgen.agents.resume import keep, restore
from misgen.agents.rollout import Cut, Rollout, generalized_advantages
from misgen.agents.sb3_ppo import load_weights, make_ppo, weights_of
from misgen.agents.sparse import Lit
from misgen.agents.stacked import CPU, Stack
from misgen.agents.vec_env import BatchVecEnv

SMALL = replace(TINY, num_envs=8, num_steps=8, batch_size=32, total_steps=256)
CASES = {
    "sparse": ("planes", replace(SMALL, features_dim=48, head_dim=32)),
    "dense": ("rgb1", replace(SMALL, features_dim=48, head_dim=0)),
    "impala": ("rgb1", replace(SMALL, features_dim=48, network="impala")),
}
"""First layers: what is seen, and the settings."""


class Quiet(BaseCallback):
    def _on_step(self):
        return True


def short_env(settings, mode="planes", horizon=11, **kwargs):
    """Episodes are cut soon, so that there is something to bootstrap."""
    env = make_env(settings.num_envs, mode=mode, **kwargs)
    env.distribution = replace(env.distribution, horizon_steps=horizon)
    return env


@pytest.fixture(params=CASES)
def reference(request):
    """An SB3 model after two updates and one more rollout, and a population with its weights."""
    mode, settings = CASES[request.param]
    vec_env = BatchVecEnv(short_env(settings, mode))
    model = make_ppo(vec_env, settings, device="cpu", train_seed=3)
    model.learn(2 * 64)
    before = model._last_obs.copy(), model.env.batch_env.get_state()
    callback = model._init_callback(Quiet())
    model.collect_rollouts(model.env, callback, model.rollout_buffer, model.n_steps)
    population = Population([short_env(settings, mode)], [settings], [3])
    population.envs[0].set_state(before[1])
    copy_weights(model, population)
    return model, population


def copy_weights(model, population):
    weights = Stack(population.architecture, [weights_of(model.policy)]).parameters
    for name, own in population.stack.parameters.items():
        own.data.copy_(weights[name])


class Chosen:
    """A generator whose noise chooses the actions of SB3's rollout."""

    def __init__(self, actions):
        self.actions = actions

    def gumbel(self, size):
        return np.where(np.arange(size[-1]) == self.actions[..., None], 1e9, 0.0)


def roll_out(model, population):
    population.rngs = [Chosen(model.rollout_buffer.actions[..., 0])]
    return population.collector.collect(population.rngs, np.array([True]))


def test_a_rollout_is_that_of_sb3(reference):
    """Values, log-probabilities, advantages, returns; time limits are bootstrapped."""
    model, population = reference
    rollout = roll_out(model, population)
    theirs = model.rollout_buffer
    assert (theirs.episode_starts[1:] > 0).any()
    for ours, name in zip(
        (rollout.actions, rollout.log_probs, rollout.advantages, rollout.returns),
        ("actions", "log_probs", "advantages", "returns"),
        strict=True,
    ):
        expected = getattr(theirs, name).reshape(8, 8)
        np.testing.assert_allclose(ours.reshape(8, 8).numpy(), expected, atol=2e-5, err_msg=name)


def test_the_time_limit_is_bootstrapped(reference):
    """Without it the comparison above would show nothing."""
    _, population = reference
    collector, seen = population.collector, np.zeros_like(population.envs[0].buffers.obs)
    values = [collector.values([seen], collector.state)]
    rewards = np.zeros((8, 1, 8), np.float32)
    cut = Cut(1)
    obs = population.envs[0].buffers.obs * 0
    cut.add(0, 5, np.array([2]), obs, collector.state[0])
    cut.bootstrap(collector, rewards)
    assert rewards[5, 0, 2] == pytest.approx(SMALL.gamma * values[0][0, 2], rel=1e-5)
    assert np.count_nonzero(rewards) == 1


def test_ten_minibatches_are_those_of_sb3(reference, monkeypatch):
    """Loss, clipping of ratios and gradients, Adam: from equal weights and moments each time."""
    model, population = reference
    rollout = roll_out(model, population)
    model.n_epochs = 1
    rng = np.random.default_rng(0)
    buffer = model.rollout_buffer
    list(buffer.get(64))  # flattened now, environment by environment
    for number in range(10):
        rows = rng.permutation(64)[: SMALL.batch_size]
        theirs = torch.from_numpy(rows % 8 * 8 + rows // 8)
        samples = buffer._get_samples(theirs.numpy())
        monkeypatch.setattr(buffer, "get", lambda _, samples=samples: iter([samples]))
        copy_weights(model, population)
        copy_moments(model, population)
        model.train()
        rate = model.policy.optimizer.param_groups[0]["lr"]
        population.update(rollout, rows[None], [rate], np.array([True]))
        expected, found = weights_of(model.policy), population.stack.weights()
        assert expected.keys() == found.keys()
        for name, value in expected.items():
            torch.testing.assert_close(found[name], value, atol=1e-5, rtol=0, msg=name)
        assert population.adam.taken == 2 * 2 * TINY.num_epochs + number + 1


def copy_moments(model, population):
    """Adam's memory, laid out as the population's."""
    names = dict(model.policy.named_parameters())
    state = model.policy.optimizer.state
    for kind, own in (("exp_avg", population.adam.means), ("exp_avg_sq", population.adam.squares)):
        there = {name: state[value][kind] for name, value in names.items()}
        for name, value in Stack(population.architecture, [there]).parameters.items():
            own[name].copy_(value.detach())
    population.adam.taken.fill_(next(iter(state.values()))["step"])


def test_advantages_by_hand():
    """Two steps of two environments; the first episode of the second one ends at once."""
    rewards = np.array([[[1, 2]], [[3, 4]]], np.float32)
    values = np.array([[[0.5, 1]], [[1.5, 2]]], np.float32)
    dones = np.array([[[False, True]], [[False, False]]])
    last = np.array([[10, 20]], np.float32)
    found = generalized_advantages(rewards, values, dones, last, np.float32([[0.5]]), 0.5)
    late = [3 + 5 - 1.5, 4 + 10 - 2]
    np.testing.assert_allclose(found[1, 0], late)
    np.testing.assert_allclose(found[0, 0], [1 + 0.75 - 0.5 + 0.25 * late[0], 2 - 1])


# Populations


def population(seeds, case="sparse", changes=None, diversity=None, **how):
    """changes: agent -> settings that it alone has; diversity: agent -> d."""
    mode, shared = CASES[case]
    settings = [replace(shared, **(changes or {}).get(k, {})) for k in range(len(seeds))]
    envs = [
        short_env(shared, mode, seed=seed, diversity=(diversity or {}).get(k, 0.0))
        for k, seed in enumerate(seeds)
    ]
    return Population(envs, settings, seeds, **how)


def bits(population, k):
    return {name: value.numpy().tobytes() for name, value in population.stack.weights(k).items()}


@pytest.mark.parametrize("case", CASES)
def test_four_agents_learn_what_each_would_learn_alone(case):
    """One minibatch after the other, from equal weights and moments each time."""
    four = population([1, 2, 3, 4], case)
    alone = [population([seed], case) for seed in (1, 2, 3, 4)]
    learns = np.ones(4, bool)
    rollout = four.collector.collect(four.rngs, learns)
    own = [one.collector.collect(one.rngs, learns[:1]) for one in alone]
    for k, one in enumerate(own):
        assert torch.equal(rollout.actions[k], one.actions[0])
        torch.testing.assert_close(rollout.advantages[k], one.advantages[0], atol=1e-4, rtol=0)
    rng, apart = np.random.default_rng(0), []
    for _ in range(10):
        rows = np.stack([rng.permutation(64)[:32] for _ in range(4)])
        four.update(rollout, rows, [1e-3] * 4, learns)
        for k, one in enumerate(alone):
            one.update(own[k], rows[k : k + 1], [1e-3], learns[:1])
            ours, theirs = four.stack.weights(k), one.stack.weights()
            apart.append(max(float((ours[name] - theirs[name]).abs().max()) for name in theirs))
            resynchronise(four, k, one)
    kinks = 2 if case == "impala" else 0  # where equal squares are pooled, rounding chooses one
    assert np.median(apart) < 1e-6 and sum(a > 1e-5 for a in apart) <= kinks, apart


def resynchronise(four, k, one):
    pairs = (
        (four.stack.parameters, one.stack.parameters),
        (four.adam.means, one.adam.means),
        (four.adam.squares, one.adam.squares),
    )
    for ours, theirs in pairs:
        for name, value in theirs.items():
            ours[name].data[k] = value.data[0]


def test_the_number_of_agents_changes_no_stream():
    """The k-th agent sees the levels and draws the numbers that its seed names."""
    three, one = population([7, 8, 9]), population([8])
    three.advance(), one.advance()
    assert three.curves[1] == one.curves[0]
    np.testing.assert_array_equal(three.envs[1].buffers.obs, one.envs[0].buffers.obs)


@pytest.mark.parametrize("case", ["sparse", "impala"])
@pytest.mark.parametrize("what", ["nan", "finishes early", "other d and rate"])
def test_one_agent_leaves_the_others_alone(what, case):
    """To the bit."""
    changes, diversity = {}, {}
    if what == "finishes early":
        changes = {1: {"total_steps": 64}}
    if what == "other d and rate":
        changes = {1: {"learning_rate": 1e-4, "gamma": 0.5, "ent_coef": 0.0}}
        diversity = {1: 1.0}
    usual = population([1, 2, 3], case)
    other = population([1, 2, 3], case, changes, diversity)
    if what == "nan":
        next(iter(other.stack.parameters.values())).data[1] = float("nan")
    while usual.is_learning(0):
        usual.advance(), other.advance()
    assert bits(usual, 0) == bits(other, 0) and bits(usual, 2) == bits(other, 2)
    assert bits(usual, 1) != bits(other, 1)
    assert usual.curves[2] == other.curves[2]
    failed = {1: "a gradient is not finite after 64 steps"} if what == "nan" else {}
    assert other.failures == failed
    assert len(other.curves[1]) == (4 if what == "other d and rate" else 1)


def test_agents_that_do_not_fit_are_refused():
    with pytest.raises(
        ValueError, match=r"in total_steps, learning_rate.*only; got num_steps \[4, 8\]"
    ):
        population([1, 2], changes={1: {"num_steps": 4}})
    envs = [short_env(SMALL), short_env(SMALL, "rgb1")]
    with pytest.raises(ValueError, match="see and do the same"):
        Population(envs, [SMALL] * 2, [1, 2])
    with pytest.raises(ValueError, match="num_envs=8"):
        Population([make_env(4)], [SMALL], [1])


# Going on


@pytest.mark.parametrize("kills", [3, pytest.param(20, marks=pytest.mark.slow)])
@pytest.mark.parametrize("case", ["sparse", "impala"])
def test_a_killed_training_goes_on_as_if_it_had_not_been(case, kills, tmp_path, monkeypatch):
    """Killed at so many random moments, one after the other."""
    monkeypatch.setattr(ppo, "RESUME_S", 0.0)
    mode, settings = CASES[case]
    settings = replace(settings, total_steps=64 * 3 * kills)
    whole_taken, taken = [], []
    keyed = {"checkpoint_fracs": (0.0, 0.25, 0.5), "train_seed": 4}

    def env():
        return short_env(settings, mode, diversity=0.5)

    def note(into):
        return lambda agent, frac: into.append((frac, agent.steps))

    whole = train_ppo(env(), settings, on_checkpoint=note(whole_taken), **keyed)
    file = tmp_path / "resume.safetensors"
    moments = np.random.default_rng().choice(np.arange(1, 3 * kills), kills, replace=False) * 64
    for at in [*sorted(moments), None]:

        def on_progress(steps, total, row, at=at):
            if steps == at:
                raise KeyboardInterrupt

        try:
            again = train_ppo(
                env(), settings, resume=file, on_progress=on_progress,
                on_checkpoint=note(taken), **keyed,
            )  # fmt: skip
        except KeyboardInterrupt:
            assert file.exists() or at == 64  # killed in its first rollout
    assert not file.exists()
    for name, value in whole.agent.weights.items():
        assert torch.equal(value, again.agent.weights[name]), (moments, name)
    assert repr(whole.curve) == repr(again.curve)  # NaN differs from itself
    assert sorted(set(taken)) == sorted(whole_taken)


def test_a_damaged_file_begins_anew(tmp_path):
    one, file = population([1]), tmp_path / "resume.safetensors"
    assert not restore(one, file)
    one.advance()
    keep(one, file)
    file.write_bytes(file.read_bytes()[:-9])
    assert not restore(population([1]), file)


# Networks


@pytest.mark.parametrize("case", CASES)
def test_weights_come_back_and_predict_as_in_sb3(case):
    """The layout of a stack and the sparse layer change nothing but the last bits."""
    mode, settings = CASES[case]
    env = make_env(8, mode=mode)
    obs = env.reset()
    architecture = architecture_for(settings, env)
    weights = [initial_weights(architecture, seed) for seed in (0, 1)]
    stack = Stack(architecture, weights)
    for k, own in enumerate(weights):
        back = stack.weights(k)
        assert own.keys() == back.keys()
        assert all(torch.equal(value, back[name]) for name, value in own.items())
    model = make_ppo(BatchVecEnv(env), settings, device="cpu")
    load_weights(model.policy, weights[1])
    memory = remember(architecture, [obs, obs], CPU)
    logits, values = stack(memory.inputs(np.tile(np.arange(8), (2, 1))))
    tensor = model.policy.obs_to_tensor(np.moveaxis(obs, -1, 1) if mode != "planes" else obs)[0]
    theirs = model.policy.get_distribution(tensor).distribution.logits
    torch.testing.assert_close(logits[1].log_softmax(-1), theirs, atol=1e-5, rtol=0)
    expected = model.policy.predict_values(tensor)[:, 0]
    # Of pictures about 5, sums of thousands of float32: 2e-6 of them apart on some processors.
    torch.testing.assert_close(values[1], expected, atol=1e-5, rtol=1e-5)


def test_rollouts_take_rows():
    rollout = Rollout(*(torch.arange(6).reshape(2, 3) for _ in range(4)))
    assert rollout.take(torch.tensor([[2, 0], [1, 1]])).actions.tolist() == [[2, 0], [4, 4]]


@pytest.mark.parametrize("shape", [(1, 13), (3, 5), (4, 8), (2, 1)])
def test_lit_inputs_are_found(shape):
    """Also where the bytes fill no whole words, and in rows where nothing is lit."""
    obs = (np.random.default_rng(0).random((2, *shape)) < 0.3).astype(np.uint8)
    obs[:, 0] = 0
    lit = Lit.room(2 * shape[0], shape[1])
    for number, part in enumerate(obs):
        lit.put(part, number * shape[0])
    ranges = zip(lit.start[:-1], lit.start[1:], strict=True)
    found = [lit.index[lo:hi].tolist() for lo, hi in ranges]
    assert found == [np.flatnonzero(row).tolist() for row in obs.reshape(-1, shape[1])]


def test_adam_moves_alike_on_both_kinds_of_device():
    """What a GPU would compute, computed on the CPU."""
    generator = torch.Generator().manual_seed(0)
    here, there = ({"w": torch.ones(3, 4, 2).requires_grad_()} for _ in range(2))
    one, other = Adam(here), Adam(there, on_cpu=False)
    for _ in range(3):
        grad = torch.randn(3, 4, 2, generator=generator)
        for optimizer in (one, other):
            optimizer.parameters["w"].grad = grad.clone()
            optimizer.step([1e-2, 2e-2, 1e-2], 0.5, np.array([True, True, False]))
            assert not optimizer.parameters["w"].grad.any()
    torch.testing.assert_close(here["w"], there["w"], atol=1e-6, rtol=0)
    assert (here["w"][2] == 1).all() and (here["w"][:2] != 1).all()


# What is meant for a GPU, on the CPU

LIKE_GPU = Device(name="cpu", has_bits=True, num_groups=2, is_captured=True)


@pytest.mark.parametrize("case", CASES)
def test_the_way_over_a_gpu_is_the_same_learning(case):
    """Bits, two groups that take turns, threads, updates on tensors of their own: from equal
    weights and moments each time, ten minibatches are those of the CPU."""
    plain = population([1, 2, 3], case)
    other = population([1, 2, 3], case, device=LIKE_GPU, num_threads=2)
    rng, learns = np.random.default_rng(0), np.array([True, True, False])
    rollouts = [each.collector.collect(each.rngs, learns) for each in (plain, other)]
    assert torch.equal(rollouts[0].actions, rollouts[1].actions)
    for name in ("log_probs", "advantages", "returns"):
        pair = (getattr(rollout, name) for rollout in rollouts)
        torch.testing.assert_close(*pair, atol=1e-4, rtol=0)
    still = bits(other, 2)
    for _ in range(10):
        rows = np.stack([rng.permutation(64)[:32] for _ in range(3)])
        norms = []
        for each, rollout in zip((plain, other), rollouts, strict=True):
            each.steps = 64
            update = each._updater(rollout, learns)
            norms.append(update(each.collector.memory.rows(rows)).clone())
        torch.testing.assert_close(*norms, atol=1e-4, rtol=1e-4)
        for k in range(2):
            ours, theirs = other.stack.weights(k), plain.stack.weights(k)
            for name, value in theirs.items():
                torch.testing.assert_close(ours[name], value, atol=1e-5, rtol=0)
        assert other.adam.taken == plain.adam.taken
        resynchronise_all(other, plain)
    assert bits(other, 2) == still


def resynchronise_all(other, plain):
    for ours, theirs in (
        (other.stack.parameters, plain.stack.parameters),
        (other.adam.means, plain.adam.means),
        (other.adam.squares, plain.adam.squares),
    ):
        for name, value in theirs.items():
            ours[name].data.copy_(value.data)


def test_recorded_updates_go_on_with_what_is_new():
    """Rollout after rollout, up to the order of sums in memory that lies elsewhere."""
    one = population([1, 2, 3], device=Device(name="cpu", has_bits=True, is_captured=True))
    other = population([1, 2, 3], device=Device(name="cpu", has_bits=True))
    other.adam.on_cpu = False
    for _ in range(3):
        one.advance(), other.advance()
    for name, value in other.stack.parameters.items():
        torch.testing.assert_close(one.stack.parameters[name], value, atol=1e-6, rtol=0)
    assert [repr(curve) for curve in one.curves] == [repr(curve) for curve in other.curves]


def test_bits_are_the_bytes():
    """Also where the inputs fill no whole bytes."""
    env = make_env(8)
    architecture = architecture_for(SMALL, env)
    obs = env.reset()
    memory = remember(architecture, [obs, obs[::-1]], LIKE_GPU)
    rows = memory.rows(np.array([[3, 0], [3, 0]]))
    expected = torch.from_numpy(np.stack([obs[[3, 0]], obs[[4, 7]]]))
    assert torch.equal(memory.inputs(rows), expected)
    assert memory.seen.shape == (2, 8, -(-architecture.num_inputs // 8))


# Room


def test_what_does_not_fit_is_refused(monkeypatch):
    for case, device in (("sparse", LIKE_GPU), ("impala", CPU)):
        mode, settings = CASES[case]
        architecture = architecture_for(settings, short_env(settings, mode))
        one = agent_bytes(architecture, settings, device)
        assert largest_population(architecture, settings, device, free=10 * one) == 9
        monkeypatch.setattr("misgen.agents.device.free_bytes", lambda _, one=one: int(3.4 * one))
        assert len(population([1, 2, 3], case, device=device).envs) == 3
        with pytest.raises(ValueError, match="in populations of at most 3"):
            population([1, 2, 3, 4], case, device=device)
        monkeypatch.setattr("misgen.agents.device.free_bytes", lambda _: 1000)
        with pytest.raises(ValueError, match="use a smaller network"):
            population([1], case, device=device)


def test_the_estimate_of_an_agents_memory_is_from_above():
    """Of what is kept: weights, Adam's moments, gradients, observations."""
    for case, (mode, settings) in CASES.items():
        one = population([1], case, device=LIKE_GPU)
        tensors = [*one.stack.parameters.values(), *one.stack.parameters.values()]
        tensors += [*one.adam.means.values(), *one.adam.squares.values(), one.collector.memory.seen]
        kept = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
        assert kept < agent_bytes(one.architecture, settings, LIKE_GPU), (case, mode)


def test_one_of_many_fails_and_the_others_are_trained(tmp_path):
    """An agent that cannot go on says so; another ends early; all have their checkpoints."""
    changes = {0: {"learning_rate": 1e30}, 2: {"total_steps": 128}}
    settings = [replace(SMALL, **changes.get(k, {})) for k in range(3)]
    envs = [short_env(SMALL, seed=seed) for seed in (1, 2, 3)]
    taken, rows = [], []
    outcomes = train_population(
        envs, settings, train_seeds=[1, 2, 3], checkpoint_fracs=(0.5,),
        on_checkpoint=lambda k, agent, frac: taken.append((k, agent.steps, frac)),
        on_progress=lambda k, steps, total, row: rows.append((k, steps, total)),
        resume=tmp_path / "resume.safetensors",
    )  # fmt: skip
    assert isinstance(outcomes[0], FloatingPointError) and "lower learning_rate" in str(outcomes[0])
    assert [outcome.agent.steps for outcome in outcomes[1:]] == [256, 128]
    assert [len(outcome.curve) for outcome in outcomes[1:]] == [4, 2]
    assert {(1, 128, 0.5), (2, 64, 0.5)} <= set(taken)
    assert (2, 128, 128) in rows and (2, 192, 128) not in rows
    alone = train_ppo(short_env(SMALL, seed=2), SMALL, train_seed=2)
    for name, value in alone.agent.weights.items():
        torch.testing.assert_close(outcomes[1].agent.weights[name], value, atol=1e-3, rtol=0)


def test_training_imports_no_compiler():
    """torch's takes two seconds, more than a job of one rollout."""
    code = """
import sys
from tests.agents.tiny import TINY, make_env
from misgen.agents.ppo import train_ppo
from dataclasses import replace
for network, mode in (("flat", "planes"), ("impala", "rgb1")):
    settings = replace(TINY, network=network, total_steps=1)
    train_ppo(make_env(settings.num_envs, mode=mode), settings, train_seed=1)
assert "torch._dynamo" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
