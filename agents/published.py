"""Trained agents that come with the repository, and the paired levels to look at them on.

`agents/published` holds agents of every cell at some d: weights in float16, the description that
every checkpoint has, and in `cards.json` how each was trained and what it does, measured from the
stored weights. They are not in the wheel.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from misgen.agents.checkpoint import load
from misgen.agents.description import Meta
from misgen.agents.memory import remember
from misgen.agents.policy import NetworkPolicy
from misgen.envs.core.batch import BatchEnv
from misgen.envs.core.levels import Levels, sample_quadruples
from misgen.envs.core.types import Array
from misgen.envs.families import find_cell

FOLDER = Path(__file__).parent / "published"
CARDS = "cards.json"


def name_of(cell: str, d: float, number: int) -> str:
    """How the files of an agent are called, without suffix."""
    return f"{cell}_d{d:g}_{number}"


@dataclass(frozen=True)
class PublishedAgent:
    """An agent, and what is known of it.

    policy: plays as any other; see `misgen.agents.policy`. meta: of its checkpoint. card: how it
    was trained and what it does.
    """

    policy: NetworkPolicy
    meta: Meta
    card: Mapping[str, Any]

    def activations(self, obs: Array) -> dict[str, Array]:
        """What its layers compute, float32 [n, units] by name.

        features: the shared layer; policy, value: the hidden layer of either head, if the network
        has them; logits; values [n, 1]: the estimated discounted return.

        obs: uint8 [n, *shape], as its environment shows it.

        Raises:
            ValueError: the agent remembers, so that these do not follow from `obs` alone.
        """
        if self.policy.stack.architecture.network.gru_dim:
            raise ValueError(
                "activations are those of agents without memory; this one has a GRU of "
                f"{self.policy.stack.architecture.network.gru_dim} units; see policy.outputs"
            )
        stack, kept = self.policy.stack, dict[str, Tensor]()
        memory = remember(stack.architecture, [np.ascontiguousarray(obs)], stack.device)

        def keep(features: Tensor) -> Tensor:
            kept["features"] = features
            return features

        logits, values = stack(memory.inputs(memory.rows(np.arange(len(obs))[None])), change=keep)
        if stack.architecture.network.head_dim:
            weight, bias = (stack.parameters[f"heads.{part}"] for part in ("weight", "bias"))
            hidden = (kept["features"] @ weight.transpose(1, 2) + bias.unsqueeze(1)).relu()
            kept["policy"], kept["value"] = hidden.chunk(2, dim=-1)
        kept |= {"logits": logits, "values": values.unsqueeze(-1)}
        return {name: value[0].detach().cpu().numpy() for name, value in kept.items()}

    def play(self, levels: Levels, seed: int = 0) -> Iterator[BatchEnv]:
        """Its episodes, one on each level: the batch before every step, until all have ended.

        Of a slot whose episode has ended (`env.episode.done`) nothing means anything. seed: of the
        actions that are drawn.
        """
        env = BatchEnv.on(levels, observation_mode=self.meta.observation_mode)
        rng, state = np.random.default_rng(seed), self.policy.start(env)
        while not env.episode.done.all():
            yield env
            noise = rng.gumbel(size=(len(levels), self.meta.num_actions)).astype(np.float32)
            actions, state, _ = self.policy.act(env.buffers.obs, state, noise)
            env.step(actions)


def load_agent(
    cell: str, d: float = 0, number: int = 100, folder: Path | str | None = None
) -> PublishedAgent:
    """A published agent; no code of the file is run.

    Args:
        cell: its code.
        d: of its training.
        number: of the agent.
        folder: where the files are; by default those of a checkout.

    Raises:
        ValueError: it is not there, or its files are damaged or not those that were published.
    """
    where, code = Path(folder or FOLDER), find_cell(cell)[1].code
    name, cards = name_of(code, d, number), _cards(where)
    if name not in cards:
        own = sorted(each for each in cards if each.startswith(f"{code}_")) or sorted(cards)
        raise ValueError(
            f"{where} has no agent {name}; there are {', '.join(own)}; others are trained by "
            f"`misgen train cell={code} intervention.diversity={d:g} train_seed={number}`"
        )
    policy, meta = load(where / name)
    card = cards[name]
    if meta.weights_sha256 != card["weights_sha256"]:
        raise ValueError(
            f"{where / name} is not the agent of its card: SHA-256 {meta.weights_sha256[:12]}..., "
            f"{CARDS} says {card['weights_sha256'][:12]}...; take both from one commit"
        )
    return PublishedAgent(policy, meta, card)


def _cards(folder: Path) -> dict[str, Any]:
    path = folder / CARDS
    try:
        cards: dict[str, Any] = json.loads(path.read_bytes())["agents"]
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(
            f"published agents are in a checkout of the repository, not in the wheel; {path} "
            f"cannot be read ({error}); clone it and name its agents/published as folder"
        ) from None
    return cards


def quadruple(cell: str, seed: int | Sequence[int]) -> dict[str, Levels]:
    """The four variants of a level seed, or of several, one level each: 00, 10 (cue broken), 01
    (context B), 11.

    `BatchEnv.on(quadruple("C2", 7)["10"])` plays one. ValueError for a negative seed.
    """
    return sample_quadruples(*find_cell(cell), [seed] if isinstance(seed, int) else [*seed])
