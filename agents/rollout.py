"""What K agents do in their environments, and what came of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from misgen.agents.curve import Episodes
from misgen.agents.device import Device, Stretches, to_host
from misgen.agents.interventions import NONE, Intervention, Played
from misgen.agents.memory import Memory, computed, memory_for
from misgen.agents.recurrent import Recurrence, Sequences, Step
from misgen.agents.settings import PPOSettings
from misgen.agents.stacked import Stack
from misgen.envs.core.batch import BatchEnv
from misgen.envs.core.types import Array


class Rollout(NamedTuple):
    """What K agents did in T steps of N environments each; row t * N + n is step t in n."""

    actions: Tensor  # int64 [K, T * N]
    log_probs: Tensor  # float32 [K, T * N]: of the actions, when they were taken
    advantages: Tensor  # float32 [K, T * N]
    returns: Tensor  # float32 [K, T * N]: what the values should have been

    def take(self, rows: Tensor) -> Rollout:
        """The rows [K, m] of each agent."""
        return Rollout(*(own.gather(1, rows) for own in self))

    def copy_(self, other: Rollout) -> None:
        """Write another one over this, in place."""
        for own, new in zip(self, other, strict=True):
            own.copy_(new)


def generalized_advantages(
    rewards: Array, values: Array, dones: Array, last_values: Array, gamma: Any, gae_lambda: float
) -> Array:
    """Schulman et al. 2016. All arrays [T, K, N] but last_values [K, N] and gamma [K, 1]; dones[t]:
    the episode ended in step t, so that step t + 1 belongs to another one."""
    advantages = np.zeros_like(values)
    later, following = np.zeros_like(last_values), last_values
    for t in reversed(range(len(rewards))):
        goes_on = 1 - dones[t].astype(np.float32)
        delta = rewards[t] + gamma * following * goes_on - values[t]
        later = delta + gamma * np.float32(gae_lambda) * goes_on * later
        advantages[t], following = later, values[t]
    return advantages


class Collector:
    """Lets K agents act and keeps what they see.

    Args:
        envs: of each agent.
        settings: of each agent.
        num_threads: in which the environments of different agents step.
        interventions: of each agent; () = none of any.
        own_rngs: of each agent, from which its intervention draws.

    Attributes:
        played: what each agent did in the last rollout.
        memory: the observations of the last rollout; row as in Rollout.
        state: what networks that remember know now of their episodes, float32 [K, N, units].
        waiting_frac: share of the last rollout in which a GPU had nothing to do; NaN without one.
    """

    def __init__(
        self,
        envs: Sequence[BatchEnv],
        stack: Stack,
        settings: Sequence[PPOSettings],
        device: Device,
        num_threads: int,
        interventions: Sequence[Intervention] = (),
        own_rngs: Sequence[Any] = (),
    ) -> None:
        self.envs, self.stack, self.device = envs, stack, device
        self.observe = [each.observe for each in interventions or [NONE] * len(envs)]
        self.own_rngs, self.played = own_rngs, list[Played]()
        self.episodes = [Episodes(env) for env in envs]
        shared = settings[0]
        self.T, self.N, self.gae_lambda = shared.num_steps, shared.num_envs, shared.gae_lambda
        self.gamma = np.array([[s.gamma] for s in settings], np.float32)
        sizes = len(envs), self.T * self.N, self.N
        self.memory: Memory = memory_for(stack.architecture, *sizes, device)
        self.chosen = to_host((len(envs), self.N), torch.int64, device.name)
        edges = np.linspace(0, len(envs), min(device.num_groups, len(envs)) + 1).astype(int)
        self.groups = [slice(*pair) for pair in pairwise(edges)]
        self.pool = ThreadPoolExecutor(num_threads) if num_threads > 1 else None
        self.state = torch.zeros(
            (len(envs), self.N, stack.architecture.network.gru_dim), device=device.name
        )
        self.begun = self.state  # when the last rollout began
        self.goes_on = torch.ones((len(envs), self.T, self.N), device=device.name)
        self.work, self.waiting_frac = Stretches(device.name), float("nan")

    def collect(self, rngs: Sequence[Any], learns: Array) -> Rollout:
        """Act for `num_steps` steps.

        rngs: of each agent, from which its actions are drawn. learns: bool [K]; the environments of
        the others stand still.
        """
        with torch.no_grad():
            started = time.perf_counter()
            rollout = _Collecting(self, self._noise(rngs), learns).run()
            if self.work.on_gpu:
                self.waiting_frac = 1 - self.work.busy_s() / (time.perf_counter() - started)
            return rollout

    def _noise(self, rngs: Sequence[Any]) -> Tensor:
        """float32 [T, K, N, actions]: the action with the most after it is added to the logits is
        drawn from their distribution."""
        size = self.T, self.N, self.stack.architecture.num_actions

        drawn = self.each(lambda rng: rng.gumbel(size=size).astype(np.float32), rngs)
        return torch.from_numpy(np.stack(drawn, axis=1)).to(self.device.name)

    def seen(self, k: int, obs: Array) -> Array:
        """What agent k is shown where its environments show this."""
        observe = self.observe[k]
        return obs if observe is None else np.ascontiguousarray(observe(obs, self.own_rngs[k]))

    def each(self, function: Callable[[Any], Any], of: Sequence[Any]) -> list[Any]:
        """Of every agent, in threads where there are some."""
        return list(self.pool.map(function, of) if self.pool else map(function, of))

    def values(self, obs: Sequence[Array], state: Tensor) -> Array:
        """The values, float32 [K, n], of equally many other observations of each agent, in these
        states [K, n, units]."""
        return computed(self.stack, obs, state)[1].cpu().numpy()

    def forget(self, k: int, t: int, ended: Array) -> None:
        """What agent k remembered of the episodes that ended in step t, bool [N]."""
        if self.state.shape[-1]:
            goes_on = torch.from_numpy(~ended).to(self.state)
            self.state[k] *= goes_on.unsqueeze(1)
            if t + 1 < self.T:
                self.goes_on[k, t + 1] = goes_on

    def orders(self, rngs: Sequence[Any]) -> Array:
        """int64 [K, T * N]: the rows of the last rollout in a random order; where networks
        remember, all steps of one environment after those of another one."""
        if not self.state.shape[-1]:
            return np.stack([rng.permutation(self.T * self.N) for rng in rngs])
        steps = self.N * np.arange(self.T)
        envs = [rng.permutation(self.N) for rng in rngs]
        return np.stack([(own[:, None] + steps).ravel() for own in envs])

    def recall(self, rows: Any) -> Recurrence | None:
        """What came before the rows [K, m] of such an order."""
        if not self.state.shape[-1]:
            return None
        numbers = torch.as_tensor(rows)
        first = numbers[:, :: self.T].unsqueeze(-1).expand(-1, -1, self.state.shape[-1])
        return Sequences(self.begun.gather(1, first), self.goes_on.flatten(1).gather(1, numbers))


class _Collecting:
    """One rollout."""

    def __init__(self, collector: Collector, noise: Tensor, learns: Array) -> None:
        self.own, self.noise, self.learns = collector, noise, learns
        T, K, N = collector.T, len(collector.envs), collector.N  # noqa: N806
        self.actions = torch.zeros((T, K, N), dtype=torch.int64, device=noise.device)
        self.log_probs, self.seen_values = (
            torch.zeros_like(self.actions, dtype=torch.float32) for _ in range(2)
        )
        self.rewards = np.zeros((T, K, N), np.float32)
        self.dones = np.zeros((T, K, N), np.bool_)
        self.cut = Cut(K)

    def run(self) -> Rollout:
        """While the environments of one group step, the networks of another one act."""
        own = self.own
        numbers = np.arange(own.T * own.N).reshape(own.T, 1, own.N)
        rows = own.memory.rows(np.tile(numbers, (1, len(own.envs), 1)))
        for k, env in enumerate(own.envs):
            own.memory.put(k, own.seen(k, env.buffers.obs), 0)
        for k, env in enumerate(own.envs):  # one that was reset meanwhile, too
            own.state[k, np.flatnonzero(env.episode.length == 0)] = 0
        own.begun = own.state.clone()
        acted = [self._act(group, 0, rows) for group in own.groups]
        for t in range(own.T):
            for g, group in enumerate(own.groups):
                acted[g]()
                self._step(group, t)
                if t + 1 < own.T:
                    acted[g] = self._act(group, t + 1, rows)
        earned = self.rewards.copy()
        self.cut.bootstrap(own, self.rewards)
        return self._rollout(earned)

    def _act(self, group: slice, t: int, rows: Any) -> Callable[[], None]:
        """Choose the actions of step t; returns what waits until they are known."""
        own = self.own
        own.work.begin()
        own.memory.send(group, t * own.N)
        recall = Step(own.state[group])
        logits, self.seen_values[t, group] = own.stack(
            own.memory.inputs(rows[t, group], group), group, recall=recall
        )
        own.state[group] = recall.state
        actions = (logits + self.noise[t, group]).argmax(-1)
        chosen = logits.gather(-1, actions.unsqueeze(-1)).squeeze(-1)
        self.log_probs[t, group] = chosen - logits.logsumexp(-1)
        self.actions[t, group] = actions
        own.chosen[group].copy_(actions, non_blocking=True)
        return own.work.end()

    def _step(self, group: slice, t: int) -> None:
        """Do what was chosen, and remember what is seen then."""
        own = self.own

        def step(k: int) -> None:
            if self.learns[k]:
                own.envs[k].step_checked(own.chosen[k].numpy())
            if t + 1 < own.T:
                own.memory.put(k, own.seen(k, own.envs[k].buffers.obs), (t + 1) * own.N)

        agents = range(len(own.envs))[group]
        own.each(step, agents)
        for k in agents:
            if self.learns[k]:
                out = own.envs[k].buffers
                self.rewards[t, k], self.dones[t, k] = out.reward, out.terminated | out.truncated
                own.episodes[k].add(np.flatnonzero(self.dones[t, k]))
                self.cut.add(k, t, np.flatnonzero(out.truncated), out.final_obs, own.state[k])
                own.forget(k, t, self.dones[t, k])

    def _rollout(self, earned: Array) -> Rollout:
        own = self.own
        shown = [own.seen(k, env.buffers.obs) for k, env in enumerate(own.envs)]
        last = own.values(shown, own.state)
        seen = self.seen_values.cpu().numpy()
        what = self.rewards, seen, self.dones, last, own.gamma, own.gae_lambda
        advantages = generalized_advantages(*what)
        arrays = earned, self.dones, seen, advantages
        own.played = [Played(*(a[:, k] for a in arrays)) for k in range(len(own.envs))]
        columns = (
            torch.from_numpy(a).to(self.actions.device) for a in (advantages, advantages + seen)
        )
        flat = (x.transpose(0, 1).flatten(1) for x in (self.actions, self.log_probs, *columns))
        return Rollout(*flat)


class Cut:
    """The episodes that the time limit ended: what would have followed is part of their return."""

    def __init__(self, num_agents: int) -> None:
        self.where: list[list[tuple[int, int]]] = [[] for _ in range(num_agents)]  # (t, slot)
        self.obs: list[list[Array]] = [[] for _ in range(num_agents)]
        self.states: list[list[Tensor]] = [[] for _ in range(num_agents)]

    def add(self, k: int, t: int, slots: Array, final_obs: Array, state: Tensor) -> None:
        self.where[k] += [(t, int(slot)) for slot in slots]
        self.obs[k] += [final_obs[slot].copy() for slot in slots]
        self.states[k].append(state[torch.from_numpy(slots)])

    def bootstrap(self, collector: Collector, rewards: Array) -> None:
        """Add the discounted value of the last observation to the last reward."""
        most = max(map(len, self.obs))
        if not most:
            return
        blank = np.zeros_like(collector.envs[0].buffers.final_obs[0])
        seen = [
            [*collector.seen(k, np.stack(own))] if own else [] for k, own in enumerate(self.obs)
        ]
        padded = [np.stack([*own, *[blank] * (most - len(own))]) for own in seen]
        state = collector.state.new_zeros((len(padded), most, collector.state.shape[-1]))
        for k, parts in enumerate(self.states):
            if parts:
                known = torch.cat(parts)
                state[k, : len(known)] = known
        values = collector.values(padded, state)
        for k, where in enumerate(self.where):
            for (t, slot), value in zip(where, values[k], strict=False):
                rewards[t, k, slot] += collector.gamma[k, 0] * value
