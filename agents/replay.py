"""Levels that are kept and replayed by their scores, for interventions that choose what is played.

In a round, as many rollouts as the longest episode takes, every slot plays one level, again and
again. New levels are played without an update and kept; the agent learns on replayed ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from misgen.agents.interventions import Played
from misgen.envs.core.batch import BatchEnv
from misgen.envs.core.levels import Levels, cue_holds
from misgen.envs.core.plans import INTENDED, discounted_values
from misgen.envs.core.types import Array

if TYPE_CHECKING:
    from misgen.agents.settings import PPOSettings

SCORES = ("regret", "max_return", "value_loss", "random")


@dataclass(frozen=True)
class ReplaySettings:
    """How levels are replayed, and kept.

    score: regret is the discounted return of the intended planner less the agent's (exact; the
        planner takes the fewest steps and knows no time limit); max_return the best return so far
        on the level less the agent's value, the mean over all states (MaxMC, but discounted);
        value_loss the mean of the positive advantages; random a number: the control.
    replay_prob: of a round; the others try new levels.
    buffer_size: levels kept, each once. Replay begins when it is half full.
    temperature: the level of rank r by score has the weight (1 / r) ** (1 / temperature). Every
        slot draws on its own, so a level may be in several.
    staleness: share of the choice that goes by how long ago a level was played.

    Raises:
        ValueError: a value outside its range.
    """

    score: str
    replay_prob: float
    buffer_size: int
    temperature: float
    staleness: float

    def __post_init__(self) -> None:
        if self.score not in SCORES:
            raise ValueError(f"score is one of {', '.join(SCORES)}; got {self.score!r}")
        if not (0 < self.replay_prob < 1 and 0 <= self.staleness <= 1):
            raise ValueError(
                "replay_prob is above 0 and below 1, staleness in [0, 1]; got "
                f"{self.replay_prob} and {self.staleness}; try 0.5 and 0.3"
            )
        if self.buffer_size < 1 or not self.temperature > 0:
            raise ValueError(
                "buffer_size is at least 1 and temperature positive; got "
                f"{self.buffer_size} and {self.temperature}; try 1024 and 1"
            )


class Kind(IntEnum):
    """What a round is spent on."""

    NEW = 0
    REPLAYED = 1
    EDITED = 2  # see interventions/accel.py


class Count(IntEnum):
    """Places in `Replay.counters`."""

    KEPT = 0  # levels
    KIND = 1  # of the round
    ROLLOUTS = 2  # so far
    LEARNED = 3  # episodes learned from
    BROKEN = 4  # of these, on levels whose cue is broken


class Tally(NamedTuple):
    """What came of a round in each of N slots, float64 [N]; episodes begin with the round."""

    earned: Array  # by the episode that goes on, discounted
    discount: Array  # of its next reward
    total: Array  # discounted returns of the episodes that ended
    highest: Array
    ended: Array  # how many
    values: Array  # the agent's estimates, of all steps
    positive: Array  # advantages above 0
    steps: Array

    @classmethod
    def empty(cls, n: int) -> Tally:
        tally = cls(*np.zeros((len(cls._fields), n)))
        tally.clear()
        return tally

    def clear(self) -> None:
        for array in self:
            array[:] = 0.0
        self.discount[:], self.highest[:] = 1.0, -np.inf

    def add(self, played: Played, gamma: float) -> None:
        """The next rollout."""
        for reward, done in zip(played.rewards, played.dones, strict=True):
            self.earned[:] += self.discount * reward
            self.discount[:] *= gamma
            self.total[done] += self.earned[done]
            self.highest[done] = np.maximum(self.highest[done], self.earned[done])
            self.ended[:] += done
            self.earned[done], self.discount[done] = 0.0, 1.0
        self.values[:] += played.values.sum(axis=0)
        self.positive[:] += np.maximum(played.advantages, 0).sum(axis=0)
        self.steps[:] += len(played.rewards)

    def mean_return(self) -> Array:
        """Discounted, of the episodes that ended; of the open one where none has."""
        mean: Array = np.where(self.ended, self.total / np.maximum(self.ended, 1), self.earned)
        return mean

    def highest_return(self) -> Array:
        return np.asarray(np.where(self.ended, self.highest, self.earned))


class Replay:
    """Chooses new levels or kept ones, and keeps the best; see `interventions.LevelChooser`.

    Args:
        edit: (levels, generator, time limit in steps) -> as many others: what is played after each
            replay; None = nothing.

    Attributes:
        kept: the buffer; its first `count` levels mean something.
        hashes: of the kept ones, uint64 [size].
        score, last_played, best_return: likewise float64, the second in rounds.
    """

    def __init__(
        self,
        asked: ReplaySettings,
        env: BatchEnv,
        settings: PPOSettings,
        rng: Any,
        edit: Callable[[Levels, Any, int], Levels] | None = None,
    ) -> None:
        if asked.buffer_size < env.num_envs:
            raise ValueError(
                f"a rollout replays a level in each of {env.num_envs} environments; got "
                f"buffer_size={asked.buffer_size}; make it larger, or num_envs smaller"
            )
        cell = env.distribution.cell
        if asked.score == "regret" and any(cell.rewards.get(e, 0.0) for e in cell.rewarded_once):
            raise ValueError(
                f"the planner does not know that {cell.code}'s proxy is paid once, so at "
                "specification < 1 its regret is not exact; use score=max_return"
            )
        self.asked, self.env, self.gamma, self.rng = asked, env, settings.gamma, rng
        self.edit = edit
        self.rollouts = -(-env.distribution.horizon_steps // settings.num_steps)  # of a round
        size = asked.buffer_size
        self.kept = Levels(
            family=env.family,
            cell=cell,
            level=env.family.empty_level(size),
            seeds=np.zeros(size, np.uint64),
            broken=np.zeros(size, np.bool_),
        )
        self.hashes = np.zeros(size, np.uint64)
        self.score, self.last_played, self.best_return = (np.zeros(size) for _ in range(3))
        self.places = np.zeros(env.num_envs, np.int64)  # in the buffer, of what is replayed
        self.counters = np.zeros(len(Count), np.int64)
        self.tally = Tally.empty(env.num_envs)
        self._require_steps(settings)

    def _require_steps(self, settings: PPOSettings) -> None:
        """ValueError where the training ends before anything is replayed."""
        before = -(-max(self.env.num_envs, self.asked.buffer_size // 2) // self.env.num_envs)
        round_steps = self.rollouts * settings.rollout_steps
        if settings.total_steps <= before * round_steps:
            raise ValueError(
                f"replay begins after {before} rounds of {round_steps:,} steps; got total_steps="
                f"{settings.total_steps:,}; make it larger, or buffer_size smaller than "
                f"{self.asked.buffer_size}"
            )

    @property
    def count(self) -> int:
        """Levels kept."""
        return int(self.counters[Count.KEPT])

    @property
    def round(self) -> int:
        """Rounds that have ended."""
        return int(self.counters[Count.ROLLOUTS]) // self.rollouts

    @property
    def kind(self) -> Kind:
        """What the present round is spent on."""
        return Kind(int(self.counters[Count.KIND]))

    def begin(self) -> bool:
        if self.counters[Count.ROLLOUTS] % self.rollouts == 0:
            self._begin_round()
        return self.kind == Kind.REPLAYED

    def _begin_round(self) -> None:
        self.counters[Count.KIND] = self.choose()
        if self.kind == Kind.NEW:
            self.env.reset(repeats=True)
            return
        if self.kind == Kind.REPLAYED:
            self.places[:] = self.rng.choice(self.count, self.env.num_envs, p=self.chances())
        levels = self.kept.take(self.places)
        if self.kind == Kind.EDITED and self.edit is not None:
            levels = self.edit(levels, self.rng, self.env.distribution.horizon_steps)
        self.env.reset_to(levels, repeats=True)

    def choose(self) -> Kind:
        """What the next round is spent on."""
        if self.edit is not None and self.kind == Kind.REPLAYED:
            return Kind.EDITED
        is_full = self.count >= max(self.env.num_envs, self.asked.buffer_size // 2)
        return Kind(int(is_full and self.rng.random() < self.asked.replay_prob))

    def chances(self) -> Array:
        """float64 [count]: with which each kept level is chosen."""
        rank = np.empty(self.count)
        rank[np.argsort(-self.score[: self.count], kind="stable")] = np.arange(1, self.count + 1)
        by_score = (1 / rank) ** (1 / self.asked.temperature)
        age = self.round - self.last_played[: self.count]
        by_age = age / age.sum() if age.any() else np.full(self.count, 1 / self.count)
        share = self.asked.staleness
        chances: Array = (1 - share) * by_score / by_score.sum() + share * by_age
        return chances

    def end(self, played: Played) -> None:
        self.tally.add(played, self.gamma)
        self.counters[Count.ROLLOUTS] += 1
        if self.counters[Count.ROLLOUTS] % self.rollouts:
            return
        levels, best = self.env.levels(), self.tally.highest_return()
        if self.kind == Kind.REPLAYED:
            best = np.maximum(best, self.best_return[self.places])
            self._note(self.places, self._scores(levels, best), best)
            ended = self.tally.ended
            self.counters[Count.LEARNED] += int(ended.sum())
            self.counters[Count.BROKEN] += int(ended[~cue_holds(levels)].sum())
        else:
            self._keep(levels, self._scores(levels, best), best)
        self.tally.clear()

    def _scores(self, levels: Levels, best: Array) -> Array:
        if self.asked.score == "regret":
            oracle = discounted_values(levels, self.gamma)[:, INTENDED]
            return oracle - self.tally.mean_return()
        if self.asked.score == "max_return":
            return best - self.tally.values / self.tally.steps
        if self.asked.score == "random":
            return np.asarray(self.rng.random(len(levels)))
        return self.tally.positive / self.tally.steps

    def _note(self, places: Any, scores: Array, best: Array) -> None:
        """What slots say of the levels that are kept at these places; of one that several had, the
        mean of their scores."""
        own, slots = np.unique(places, return_inverse=True)
        self.score[own] = np.bincount(slots, scores) / np.bincount(slots)
        highest = np.full(len(own), -np.inf)
        np.maximum.at(highest, slots, best)
        self.best_return[own] = highest
        self.last_played[own] = self.round

    def _keep(self, levels: Levels, scores: Array, best: Array) -> None:
        """Put levels that are not kept yet where there is room, then in place of the ones least
        likely to be chosen."""
        rows = np.sort(np.unique(levels.hashes(), return_index=True)[1])  # each level once
        rows = rows[~np.isin(levels.hashes()[rows], self.hashes[: self.count])]
        room = min(len(rows), self.asked.buffer_size - self.count)
        places = np.arange(self.count, self.count + room)
        self.counters[Count.KEPT] += room
        self._put(rows[:room], places, levels, scores, best)
        rest = rows[room:]
        rest = rest[np.argsort(-scores[rest], kind="stable")]
        worst = np.argsort(self.chances(), kind="stable")[: len(rest)]
        better = scores[rest] > self.score[worst]
        self._put(rest[better], worst[better], levels, scores, best)

    def _put(self, rows: Array, places: Any, levels: Levels, scores: Array, best: Array) -> None:
        for own, given in zip(self.kept.level, levels.level, strict=True):
            own[places] = given[rows]
        self.kept.seeds[places] = levels.seeds[rows]
        self.kept.broken[places] = levels.broken[rows]
        self.hashes[places] = levels.hashes()[rows]
        self._note(places, scores[rows], best[rows])

    def seen(self) -> dict[str, Any]:
        learned, broken = (int(self.counters[which]) for which in (Count.LEARNED, Count.BROKEN))
        return {
            "learned_episodes": learned,
            "broken_share": broken / learned if learned else 0.0,
            "broken_episodes": broken,
            "broken_episodes_is": "counted: episodes learned from whose cue is broken",
            "d_distinguishing": None,  # of the distribution, which is not what is learned from
        }

    def get_state(self) -> list[Array]:
        return [array.copy() for array in self._arrays()]

    def set_state(self, saved: list[Array]) -> None:
        for own, given in zip(self._arrays(), saved, strict=True):
            own[...] = given

    def _arrays(self) -> list[Array]:
        kept = [*self.kept.level, self.kept.seeds, self.kept.broken, self.hashes]
        scores = self.score, self.last_played, self.best_return
        return [*kept, *scores, self.places, self.counters, *self.tally]
