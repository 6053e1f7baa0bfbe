"""Which level is shown, by a stated rule, and what an episode on it was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from misgen.agents.play import Episodes
from misgen.agents.policy import noop_policy
from misgen.analysis.rates import COMPETENT
from misgen.envs.core.family import Family
from misgen.envs.core.levels import Levels
from misgen.envs.core.plans import is_distinguishing
from misgen.envs.core.types import Cell
from misgen.envs.families import reference
from misgen.experiments.runs.episode_records import episode_columns
from misgen.experiments.runs.evaluation_levels import Variant, planned_quadruples
from misgen.experiments.runs.subjects import EvaluateConfig
from misgen.experiments.shown.agents import Actor
from misgen.experiments.shown.plays import Play, replayed, settled_at
from misgen.experiments.studies.paths import outcome_word

QUADRUPLES = 300  # of an agent's block, among which a level is chosen
FAILURE_RULE = (
    "the first that it solves at 00 and 01, and on which it pursues the proxy at 10 and 11"
)
SIMPLER_RULE = "the first that it solves at 00 and on which it pursues the proxy at 10"
LEVEL_RULE = (
    f"The level that is shown tells the goals apart at 10 and 11 and is, of the agent's, "
    f"{FAILURE_RULE}; without one, {SIMPLER_RULE}; else, and for planners, the first."
)
LINGER = 3  # steps that are shown after an outcome is settled
SAID = {"intended": "INTENDED GOAL", "no success": "NO SUCCESS"}
TITLES = {
    "00": "00: cue intact, as in training",
    "10": "10: cue broken",
    "01": "01: other context, cue intact",
    "11": "11: other context, cue broken",
}


@dataclass(frozen=True)
class Episode:
    """What an actor did on one level of a variant.

    word: where the cue is broken intended, proxy or neither; elsewhere success or no success.
    why: what ended an episode that reached nothing: "died" or "out of time"; "" otherwise.
    """

    actor: Actor
    variant: Variant
    row: int  # of the variant's levels
    actions: bytes
    word: str
    why: str
    is_harmful: bool

    @property
    def levels(self) -> Levels:
        """The one level."""
        return self.variant.levels.take(np.array([self.row]))

    @cached_property
    def play(self) -> Play:
        """Until a little after its outcome was settled."""
        levels = self.levels
        (play,) = replayed(levels, [self.actions])
        settled = settled_at(play, levels, int(self.variant.judged[self.row]))
        return play.first(settled + LINGER + 1)

    @property
    def is_failure(self) -> bool:
        return self.is_harmful or self.word not in ("intended", "success")

    @property
    def kind(self) -> str:
        """What went wrong, in words."""
        return self.word + (f": {self.why}" if self.why else "") + ", harm" * self.is_harmful

    @property
    def reached(self) -> str:
        """The goal that is ticked off at its end, or ""."""
        return "intended" if self.word in ("intended", "success") else ""

    @property
    def endings(self) -> Sequence[str]:
        """What its end is called, the longest first."""
        said = SAID.get(self.word, self.word.upper())
        if self.why:
            return [f"{said}: {self.why}"]
        if self.word == "success":
            return [f"{said}: here the goals agree", said]
        goal = self.variant.levels.cell.goals.get(self.word)
        return [f"{said}: {goal.name}", said] if goal else [said]

    @property
    def said(self) -> str:
        """How it ended, in short."""
        return self.endings[-1] + ", HARM" * self.is_harmful


def episodes_of(actor: Actor, variant: Variant, noop: Episodes) -> list[Episode]:
    """What an actor does on each level of a variant; noop: what doing nothing leads to."""
    played = actor.play(variant)
    columns = episode_columns(variant, played, noop)
    names = ("success", "capable", "goal_failure", "harm", "tau_death", "truncated")
    flags = [_flags(columns[name], len(played)) for name in names]
    found = []
    for row, (success, capable, failed, harm, died, late) in enumerate(zip(*flags, strict=True)):
        word, why = outcome_word(variant.name, success, capable, failed), ""
        if word in ("neither", "no success"):
            why = "died" if died else "out of time" if late else ""
        found.append(Episode(actor, variant, row, played.actions[row], word, why, harm))
    return found


def _flags(column: Any, n: int) -> list[bool]:
    """Where a column of the records is defined and not 0."""
    return [False] * n if column is None else np.ma.filled(column, 0).astype(bool).tolist()


class Shown:
    """Actors on the first QUADRUPLES of an agent's block of levels, and the one that is shown.

    Attributes:
        variants: of the block.
        chosen: the places of the levels that tell the goals apart at 10 and 11.
        actors: agents come first. played: of each, variant -> its episodes.
        row, rule: the place of the level that is shown, and why it is; see `show`.

    Raises:
        ValueError: no level tells the goals apart.
    """

    def __init__(self, family: Family, cell: Cell, actors: Sequence[Actor]) -> None:
        self.cell, self.actors = cell, actors
        self.agents = [actor for actor in actors if actor.is_agent]
        self.number = actors[0].number
        config = EvaluateConfig()
        self.variants = planned_quadruples({
            "subject": {"family": reference(family), "agent_number": self.number},
            "cell": cell.code,
            "num_levels": QUADRUPLES,
            "eval_base": config.eval_base,
            "eval_seed": config.eval_seed,
        })  # fmt: skip
        tells = [is_distinguishing(self.variants[v].plans.plays.at(0)) for v in ("10", "11")]
        self.chosen: list[int] = np.flatnonzero(tells[0] & tells[1]).tolist()
        if not self.chosen:
            raise ValueError(
                f"a level that is shown tells the goals apart; {cell.code} has none among the "
                f"first {QUADRUPLES} of agent number {self.number}; make its levels easier"
            )
        nobody = Actor(name="noop", policy=noop_policy(family))
        self.played: list[dict[str, list[Episode]]] = [{} for _ in self.actors]
        for name, variant in self.variants.items():
            noop = nobody.play(variant)
            for actor, played in zip(self.actors, self.played, strict=True):
                played[name] = episodes_of(actor, variant, noop)
        self.row, self.rule = self.show(self.played[0] if self.agents else None)
        self.seed = int(self.variants["00"].levels.seeds[self.row])

    def show(self, played: dict[str, list[Episode]] | None) -> tuple[int, str]:
        """The place of the level that is shown, and why it is. played: of the agent; None where
        planners are shown. See LEVEL_RULE."""
        tells = "the goals are told apart at 10 and 11"
        if played is None:
            return self.chosen[0], f"the first of block {self.number} on which {tells}"
        rules = {
            ("00", "10", "01", "11"): FAILURE_RULE,
            ("00", "10"): SIMPLER_RULE,
        }
        for variants, rule in rules.items():
            for row in self.chosen:
                words = [played[name][row].word for name in variants]
                if words == ["success", "proxy"] * (len(variants) // 2):
                    return row, f"{rule}; {tells}"
        none = "none that it solves at 00 ends at the proxy at 10"
        return self.chosen[0], f"the first of its block on which {tells}: {none}"

    def level(self, variant: str) -> Levels:
        """That which is shown."""
        return self.variants[variant].levels.take(np.array([self.row]))

    @property
    def facts(self) -> dict[str, Any]:
        """What is shown, as JSON data."""
        agents = [agent.facts for agent in self.agents]
        shown = {"level_seed": self.seed, "rule": self.rule}
        return {"cell": self.cell.code, "agents": agents, **shown}

    @property
    def heading(self) -> str:
        """What a picture is about."""
        cell = self.cell
        asks = f"{cell.code}, which goal did it learn" if self.agents else cell.code
        return f"{asks}: {cell.intended.name}, or {cell.proxy.name}?"

    @property
    def training(self) -> str:
        """How the agents were trained, in words."""
        if not self.agents:
            cue = self.cell.cue.description
            return f"No agent: the planner of each goal. In training {cue}."
        said = (
            f"{agent.name.capitalize()} was trained {_where(agent, self.cell)}"
            f"{self._skill(agent, played)}."
            for agent, played in zip(self.agents, self.played, strict=False)
        )
        return " ".join(said)

    def _skill(self, agent: Actor, played: Mapping[str, Sequence[Episode]]) -> str:
        """A warning, where an agent has not learned what it was trained for."""
        words = [episode.word for episode in played["00"]]
        solved, of = words.count("success"), len(words)
        if agent.trained != self.cell.code or solved >= COMPETENT * of:
            return ""
        return f", and has not learned it: it solves {solved} of {of} levels like 00"


def _where(agent: Actor, cell: Cell) -> str:
    cue = cell.cue.description
    if agent.trained != cell.code:
        return f"in cell {agent.trained}"
    where = {0.0: f"only where {cue}", 1.0: f"where only by chance {cue}"}
    return where.get(agent.d, f"where, but for {agent.d:.0%} of the levels, {cue}")
