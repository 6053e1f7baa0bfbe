"""Which level is shown, by a stated rule, and what an episode on it was."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from misgen.agents.play import Episodes
from misgen.agents.policy import noop_policy
from misgen.envs.core.family import Family
from misgen.envs.core.plans import is_distinguishing
from misgen.envs.core.types import Array, Cell
from misgen.envs.families import reference
from misgen.experiments.episode_records import episode_columns
from misgen.experiments.evaluation_levels import Variant, planned_quadruples
from misgen.experiments.shown_agents import Actor
from misgen.experiments.study_paths import outcome_word
from misgen.experiments.subjects import EvaluateConfig

QUADRUPLES = 300  # of an agent's block, among which a level is chosen
FAILURE_RULE = (
    "the first that it solves at 00 and 01, and on which it pursues the proxy at 10 and 11"
)


@dataclass(frozen=True)
class Ending:
    """What an episode was.

    word: where the cue is broken intended, proxy or neither; elsewhere success or no success.
    why: what ended an episode that reached nothing: "died" or "out of time"; "" otherwise.
    """

    word: str
    why: str
    is_harmful: bool

    @property
    def is_failure(self) -> bool:
        return self.is_harmful or self.word not in ("intended", "success")

    @property
    def kind(self) -> str:
        """What went wrong, in words."""
        return self.word + (f": {self.why}" if self.why else "") + ", harm" * self.is_harmful


@dataclass(frozen=True)
class Played:
    """The episodes of one actor on the levels of a variant."""

    actor: Actor
    variant: Variant
    episodes: Episodes
    noop: Episodes

    @cached_property
    def endings(self) -> list[Ending]:
        columns = episode_columns(self.variant, self.episodes, self.noop)
        failed = columns["goal_failure"]
        return [
            _ending(self.variant.name, row, columns, None if failed is None else failed[row])
            for row in range(len(self.episodes))
        ]


def _ending(variant: str, row: int, columns: dict[str, Any], failed: Any) -> Ending:
    capable, success = bool(columns["capable"][row]), bool(columns["success"][row])
    word = outcome_word(variant, success, capable, failed is True or failed is np.True_)
    why = ""
    if word in ("neither", "no success"):
        died = columns["tau_death"] is not None and not np.ma.is_masked(columns["tau_death"][row])
        why = "died" if died else "out of time" if columns["truncated"][row] else ""
    harm = columns["harm"][row]
    return Ending(word, why, not np.ma.is_masked(harm) and bool(harm))


class Block:
    """The first QUADRUPLES of an agent's block of levels that tell the goals apart at 10 and 11.

    Raises:
        ValueError: there is none.
    """

    def __init__(self, family: Family, cell: Cell, number: int) -> None:
        config = EvaluateConfig()
        argument = {
            "subject": {"family": reference(family), "agent_number": number},
            "cell": cell.code,
            "num_levels": QUADRUPLES,
            "eval_base": config.eval_base,
            "eval_seed": config.eval_seed,
        }
        every = planned_quadruples(argument)
        tells = [is_distinguishing(every[name].plans.plays.at(0)) for name in ("10", "11")]
        self.family, self.cell, self.number = family, cell, number
        self.variants = every
        self.chosen: Array = np.flatnonzero(tells[0] & tells[1])
        if not len(self.chosen):
            raise ValueError(
                f"a level that is shown tells the goals apart; {cell.code} has none among the "
                f"first {QUADRUPLES} of agent number {number}; make its levels easier"
            )

    def played(self, actor: Actor) -> dict[str, Played]:
        """An actor on all levels of each variant."""
        return {
            name: Played(actor, variant, actor.play(variant), self.noop(name))
            for name, variant in self.variants.items()
        }

    def noop(self, name: str) -> Episodes:
        return Actor(name="noop", policy=noop_policy(self.family)).play(self.variants[name])

    def show(self, played: dict[str, Played] | None) -> tuple[int, str]:
        """The place of the level that is shown, and why it is. played: of the agent; None where
        planners are shown.

        The first that tells the goals apart at 10 and at 11 and on which the agent does what
        FAILURE_RULE says; else what it says of 00 and 10 alone; else the first.
        """
        tells = "the goals are told apart at 10 and 11"
        if played is None:
            return int(self.chosen[0]), f"the first of block {self.number} on which {tells}"
        for pairs in (("00", "10", "01", "11"), ("00", "10")):
            for row in self.chosen.tolist():
                words = [played[name].endings[row].word for name in pairs]
                if words == ["success", "proxy"] * (len(pairs) // 2):
                    rule = (
                        FAILURE_RULE
                        if len(pairs) == 4
                        else (
                            "the first that it solves at 00 and on which it pursues the proxy at 10"
                        )
                    )
                    return row, f"{rule}; {tells}"
        return int(self.chosen[0]), f"the first of its block on which {tells}: it failed on none"

    def tally(self, played: Played) -> Counter[str]:
        """How often each word was the outcome on the levels that tell the goals apart."""
        return Counter(played.endings[row].word for row in self.chosen.tolist())

    def seed(self, row: int) -> int:
        return int(self.variants["00"].levels.seeds[row])
