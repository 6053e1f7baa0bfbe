"""Networks that remember: the GRU, what it is given in rollouts and updates, and at play."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import save_file
from tests.agents.tiny import FAMILY, TINY, held_out_levels, make_env

from misgen.agents import checkpoint
from misgen.agents.device import Device, agent_bytes
from misgen.agents.interventions import Training
from misgen.agents.interventions.repair import repair
from misgen.agents.networks import architecture_for, initial_weights
from misgen.agents.policy import NetworkPolicy
from misgen.agents.population import Population
from misgen.agents.published import PublishedAgent
from misgen.agents.recurrent import Sequences, Step
from misgen.agents.resume import keep, restore
from misgen.agents.rollout import generalized_advantages
from misgen.agents.sb3_ppo import make_ppo, sb3_policy
from misgen.agents.settings import PPOSettings
from misgen.agents.stacked import CPU, Stack
from misgen.agents.vec_env import BatchVecEnv
from misgen.envs.core.batch import BatchEnv

GRU = replace(TINY, num_envs=6, num_steps=8, batch_size=16, total_steps=10**4, gru_dim=24)
GPU_LIKE = Device(name="cpu", has_bits=True, num_groups=2, is_captured=True)


def short_env(horizon=5, seed=0, mode="planes"):
    """Episodes end within a rollout and go on over its end."""
    env = make_env(GRU.num_envs, mode=mode, diversity=0.5, seed=seed)
    env.distribution = replace(env.distribution, horizon_steps=horizon)
    return env


def population_of(*seeds, device=CPU, mode="planes", **changes):
    envs = [short_env(seed=seed, mode=mode) for seed in seeds]
    return Population(envs, [replace(GRU, **changes)] * len(seeds), seeds, device)


def weights_of_layers(units, inputs, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shapes = {"input": (3 * units, inputs), "hidden": (3 * units, units)}
    p = {
        f"gru.{name}.weight": torch.randn(1, *shape, generator=generator)
        for name, shape in shapes.items()
    }
    return p | {
        f"gru.{name}.bias": torch.randn(1, 3 * units, generator=generator) for name in shapes
    }


# The arithmetic


def test_it_is_the_gru_of_torch_episode_by_episode():
    """Outputs and gradients, where an episode begins within a sequence."""
    p = {name: value.requires_grad_() for name, value in weights_of_layers(5, 7).items()}
    features, state = torch.randn(1, 3 * 6, 7), torch.randn(1, 3, 5)
    goes_on = torch.ones(3, 6)
    goes_on[1, 2] = goes_on[2, 0] = goes_on[2, 5] = 0
    ours = Sequences(state, goes_on.flatten()[None])(p, features)
    weight = torch.randn_like(ours)
    grads = torch.autograd.grad((ours * weight).sum(), [*p.values()])

    reference = torch.nn.GRU(7, 5, batch_first=True)
    names = "weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"
    reference.load_state_dict(dict(zip(names, (value[0] for value in p.values()), strict=True)))
    parts = []
    for s, episodes in enumerate(([0, 6], [0, 2, 6], [0, 5, 6])):
        for first, end in pairwise(episodes):
            begins = first > 0 or goes_on[s, 0] == 0
            before = torch.zeros(1, 5) if begins else state[0, s : s + 1]
            parts.append(reference(features[0].view(3, 6, 7)[s, first:end], before)[0])
    theirs = torch.cat(parts)[None]
    assert torch.allclose(ours, theirs, atol=1e-5)
    expected = torch.autograd.grad((theirs * weight).sum(), [*reference.parameters()])
    for own, other in zip(grads, expected, strict=True):
        assert torch.allclose(own[0], other, atol=1e-4)


def test_steps_are_what_sequences_are():
    p, features = weights_of_layers(5, 7), torch.randn(1, 4, 7)
    together = Sequences(torch.zeros(1, 1, 5), torch.ones(1, 4))(p, features)
    step = Step(torch.zeros(1, 1, 5))
    alone = [step(p, features[:, t : t + 1]) for t in range(4)]
    assert torch.allclose(together, torch.cat(alone, dim=1), atol=1e-6)


# Training


@pytest.mark.parametrize("device", [CPU, GPU_LIKE], ids=["cpu", "as on a gpu"])
def test_an_update_computes_what_acted(device):
    """Before it changes anything: log-probabilities and values of a second rollout, in the order of
    its minibatches."""
    population = population_of(3, 4, device=device)
    population.collector.collect(population.rngs, np.array([True, True]))
    rollout = population.collector.collect(population.rngs, np.array([True, True]))
    rows = population.collector.memory.rows(population.collector.orders(population.rngs))
    for lo in range(0, population.size, GRU.batch_size):
        some = rows[:, lo : lo + GRU.batch_size]
        recall = population.collector.recall(some)
        with torch.no_grad():
            inputs = population.collector.memory.inputs(some)
            logits, values = population.stack(inputs, recall=recall)
        batch = rollout.take(torch.as_tensor(some))
        log_probs = logits.log_softmax(-1).gather(-1, batch.actions.unsqueeze(-1)).squeeze(-1)
        assert torch.allclose(log_probs, batch.log_probs, atol=1e-5)
        assert torch.allclose(values, batch.returns - batch.advantages, atol=1e-4)
    assert (population.collector.goes_on == 0).any() and population.collector.begun.any()


def test_advantages_are_those_of_episodes_played_alone():
    """Cut episodes are continued by the value that follows from what they remember."""
    population = population_of(3)
    env, policy = short_env(seed=3), NetworkPolicy(population.stack)
    obs, memory = env.reset(3), policy.no_memory(6)
    rollout = population.collector.collect(population.rngs, np.array([True]))
    T, N = GRU.num_steps, GRU.num_envs  # noqa: N806
    actions = rollout.actions.view(T, N).numpy()
    rewards, values, dones = (np.zeros((T, 1, N), np.float32) for _ in range(3))
    for t in range(T):
        _, values[t, 0], memory = policy.outputs(obs, memory)
        out = env.step(actions[t])
        cut = np.flatnonzero(out.truncated)
        rewards[t, 0], dones[t, 0] = out.reward, out.terminated | out.truncated
        rewards[t, 0, cut] += GRU.gamma * policy.outputs(out.final_obs[cut], memory[cut])[1]
        memory[dones[t, 0] > 0] = 0
        obs = out.obs.copy()
    assert dones.sum() > N / 2
    last = policy.outputs(obs, memory)[1][None]
    gamma = np.array([[GRU.gamma]], np.float32)
    expected = generalized_advantages(rewards, values, dones > 0, last, gamma, GRU.gae_lambda)
    np.testing.assert_allclose(rollout.advantages.view(T, N), expected[:, 0], atol=1e-4)


def test_what_is_reset_between_rollouts_is_forgotten():
    """As level replay does."""
    population = population_of(3)
    population.advance()
    assert population.collector.state.any()
    population.envs[0].reset(9)
    population.collector.collect(population.rngs, np.array([True]))
    assert not population.collector.begun.any()


@pytest.mark.parametrize("is_bf16", [False, True])
def test_what_an_update_keeps_is_part_of_the_memory_estimate(is_bf16):
    """Of a wide GRU over many steps, beyond the same network without one."""
    device, sizes = Device(name="cpu", is_bf16=is_bf16), {"num_steps": 32, "batch_size": 192}
    kept, estimated = [], []
    for gru_dim in (0, 256):
        population = population_of(3, device=device, gru_dim=gru_dim, **sizes)
        rollout = population.collector.collect(population.rngs, np.array([True]))
        rows = population.collector.memory.rows(population.collector.orders(population.rngs))
        saved = {}

        def save(tensor, saved=saved):
            saved[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(save, lambda tensor: tensor):
            population.update(rollout, rows, [1e-3], np.array([True]))
        weights = [*population.stack.parameters.values()]
        own = {each.untyped_storage().data_ptr() for each in weights}
        kept.append(sum(each.nbytes() for at, each in saved.items() if at not in own))
        settings = replace(GRU, gru_dim=gru_dim, **sizes)
        whole = agent_bytes(population.architecture, settings, device)
        estimated.append(whole - 18 * sum(each.numel() for each in weights))
    assert 0 < kept[1] - kept[0] < estimated[1] - estimated[0]


@pytest.mark.parametrize("mode", ["planes", "rgb1"])
def test_it_learns_and_goes_on_where_it_was(mode, tmp_path):
    population, again = population_of(3, mode=mode), population_of(3, mode=mode)
    before = population.stack.weights()
    population.advance()
    keep(population, tmp_path / "resume.safetensors")
    assert restore(again, tmp_path / "resume.safetensors")
    for each in (population, again):
        each.advance()
    for name, value in population.stack.weights().items():
        assert torch.equal(value, again.stack.weights()[name]), name
        assert not torch.equal(value, before[name]), name


# Play


def test_a_resume_file_of_before_there_was_a_state_is_gone_on_from(tmp_path):
    """Of agents that remember nothing; others begin anew."""
    file = tmp_path / "resume.safetensors"
    for gru_dim, is_restored in ((0, True), (24, False)):
        population = population_of(3, gru_dim=gru_dim)
        population.advance()
        keep(population, file)
        with safe_open(file, "numpy") as old:
            arrays = {name: old.get_tensor(name) for name in old.keys() if name != "state.gru"}
            save_file(arrays, tmp_path / "old.safetensors", old.metadata())
        again = population_of(3, gru_dim=gru_dim)
        assert restore(again, tmp_path / "old.safetensors") is is_restored
        assert again.steps == is_restored * population.steps


def test_an_agent_remembers_its_own_episode_only(tmp_path):
    """From a checkpoint, in a batch some of which has ended: each as if played alone."""
    architecture = architecture_for(GRU, make_env())
    meta = checkpoint.describe(make_env(), GRU, train_seed=0, steps=0)
    checkpoint.save(tmp_path / "agent", initial_weights(architecture, 1), meta)
    policy, _ = checkpoint.load(tmp_path / "agent", FAMILY)
    levels = held_out_levels(4)
    together, noise = BatchEnv.on(levels), np.zeros((4, 5), np.float32)
    alone = [BatchEnv.on(levels.take([k])) for k in range(4)]
    state, states = policy.start(together), [policy.start(env) for env in alone]
    for step in range(6):
        together.episode.done[step % 4] = step > 2
        actions, state, logits = policy.act(together.buffers.obs, state, noise)
        for k, env in enumerate(alone):
            if together.episode.done[k]:
                continue
            _, states[k], own = policy.act(env.buffers.obs, states[k], noise[:1])
            np.testing.assert_allclose(own[0], logits[k], atol=1e-5)
            env.step(actions[k : k + 1])
        together.step(actions)
    first = policy.logits(together.buffers.obs)
    assert not np.allclose(first, policy.outputs(together.buffers.obs, state[1])[0])


@pytest.mark.slow
def test_recurrent_ppo_of_sb3_contrib_trains_on_what_it_sees():
    """A reference for agents that remember: in the window of a level."""
    from sb3_contrib import RecurrentPPO

    env = BatchVecEnv(short_env(mode="window"))
    model = RecurrentPPO("MlpLstmPolicy", env, n_steps=8, batch_size=16, seed=0)
    before = model.policy.action_net.weight.clone()
    model.learn(96)
    assert not torch.equal(before, model.policy.action_net.weight)


# What is refused


def agent_that_remembers():
    architecture = architecture_for(GRU, short_env())
    policy = NetworkPolicy(Stack(architecture, [initial_weights(architecture, 0)]))
    return PublishedAgent(policy, None, {})


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: PPOSettings(gru_dim=8, batch_size=1000, num_steps=64), "try batch_size=512"),
        (lambda: PPOSettings(gru_dim=8, num_envs=7, batch_size=384), "try batch_size=64"),
        (lambda: sb3_policy(architecture_for(GRU, short_env()), {}), "RecurrentPPO of sb3-contrib"),
        (
            lambda: repair(episodes=1).after(None, Training(env=None, settings=GRU, train_seed=0)),
            "repair is of agents without memory",
        ),
        (lambda: agent_that_remembers().activations(None), "activations are those of agents"),
        (lambda: PPOSettings(gru_dim=-1), "gru_dim is at least 0"),
        (lambda: make_ppo(BatchVecEnv(short_env()), GRU), "RecurrentPPO of sb3-contrib"),
    ],
)
def test_mistakes_are_named(make, words):
    with pytest.raises(ValueError, match=words):
        make()
