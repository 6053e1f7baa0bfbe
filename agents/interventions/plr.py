"""Prioritised level replay: training on the levels from which there is most to learn.

The robust form (Jiang et al. 2021, "Replay-Guided Adversarial Environment Design"): levels are
drawn from the training distribution as ever, played without an update and kept by their scores; the
agent learns on replayed levels only. In a round, which is as many rollouts as the longest episode
takes, every slot plays one level, again and again.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from misgen.agents.interventions import Intervention, Played
from misgen.envs.core.batch import BatchEnv
from misgen.envs.core.levels import Levels, cue_holds
from misgen.envs.core.plans import INTENDED, discounted_values
from misgen.envs.core.types import Array

if TYPE_CHECKING:
    from misgen.agents.settings import PPOSettings

SCORES = ("regret", "max_return", "value_loss", "random")


@dataclass(frozen=True, kw_only=True)
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


def plr(
    *,
    score: str = "regret",
    replay_prob: float = 0.5,
    buffer_size: int = 1024,
    temperature: float = 1.0,
    staleness: float = 0.3,
) -> Intervention:
    """See ReplaySettings. Fewer updates than without it for as many environment steps: those of
    replayed rounds."""
    asked = ReplaySettings(
        score=score,
        replay_prob=replay_prob,
        buffer_size=buffer_size,
        temperature=temperature,
        staleness=staleness,
    )
    return Intervention(levels=partial(_replay, asked))


def _replay(asked: ReplaySettings, env: BatchEnv, settings: Any, rng: Any) -> Replay:
    return Replay(asked, env, settings, rng)


class Kind(IntEnum):
    """What a round is spent on."""

    NEW = 0
    REPLAYED = 1
    EDITED = 2  # see accel.py


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
        highest: Array = np.where(self.ended, self.highest, self.earned)
        return highest


class Replay:
    """Chooses new levels or kept ones, and keeps the best; see `interventions.LevelChooser`.

    Attributes:
        kept: the buffer; its first `count` levels mean something.
        hashes: of the kept ones, uint64 [size].
        score, last_played, best_return: likewise float64, the second in rounds.
    """

    def __init__(
        self, asked: ReplaySettings, env: BatchEnv, settings: PPOSettings, rng: Any
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
        # kept levels, kind of the round, rollouts so far, episodes learned from, of them broken
        self.counters = np.zeros(5, np.int64)
        self.tally = Tally.empty(env.num_envs)
        self._require_steps(settings)

    def _require_steps(self, settings: PPOSettings) -> None:
        """ValueError where the training ends before anything is replayed."""
        before = -(-max(self.env.num_envs, self.asked.buffer_size // 2) // self.env.num_envs)
        round_steps = self.rollouts * settings.num_envs * settings.num_steps
        if settings.total_steps <= before * round_steps:
            raise ValueError(
                f"replay begins after {before} rounds of {round_steps:,} steps; got total_steps="
                f"{settings.total_steps:,}; make it larger, or buffer_size smaller than "
                f"{self.asked.buffer_size}"
            )

    @property
    def count(self) -> int:
        """Levels kept."""
        return int(self.counters[0])

    def begin(self) -> bool:
        if self.counters[2] % self.rollouts == 0:
            self._begin_round()
        return bool(self.counters[1] == Kind.REPLAYED)

    def _begin_round(self) -> None:
        self.counters[1] = kind = self.choose()
        if kind == Kind.NEW:
            self.env.reset(repeats=True)
        elif kind == Kind.EDITED:
            self.env.reset_to(self.edited(), repeats=True)
        else:
            self.places[:] = self.rng.choice(self.count, self.env.num_envs, p=self.chances())
            self.env.reset_to(self.kept.take(self.places), repeats=True)

    def choose(self) -> Kind:
        """What the next round is spent on."""
        is_full = self.count >= max(self.env.num_envs, self.asked.buffer_size // 2)
        return Kind(int(is_full and self.rng.random() < self.asked.replay_prob))

    def edited(self) -> Levels:
        """Levels made of those just replayed, one a slot."""
        raise NotImplementedError("plr makes no levels; accel does")

    def chances(self) -> Array:
        """float64 [count]: with which each kept level is chosen."""
        rank = np.empty(self.count)
        rank[np.argsort(-self.score[: self.count], kind="stable")] = np.arange(1, self.count + 1)
        by_score = (1 / rank) ** (1 / self.asked.temperature)
        age = self.counters[2] // self.rollouts - self.last_played[: self.count]
        by_age = age / age.sum() if age.any() else np.full(self.count, 1 / self.count)
        share = self.asked.staleness
        chances: Array = (1 - share) * by_score / by_score.sum() + share * by_age
        return chances

    def end(self, played: Played) -> None:
        self.tally.add(played, self.gamma)
        self.counters[2] += 1
        if self.counters[2] % self.rollouts:
            return
        levels, best = self.env.levels(), self.tally.highest_return()
        if self.counters[1] == Kind.REPLAYED:
            best = np.maximum(best, self.best_return[self.places])
            self._note(self.places, self._scores(levels, best), best)
            ended = self.tally.ended
            self.counters[3:] += int(ended.sum()), int(ended[~cue_holds(levels)].sum())
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
            drawn: Array = self.rng.random(len(levels))
            return drawn
        return self.tally.positive / self.tally.steps

    def _note(self, places: Any, scores: Array, best: Array) -> None:
        """What slots say of the levels that are kept at these places; of one that several had, the
        mean of their scores."""
        own, slots = np.unique(places, return_inverse=True)
        self.score[own] = np.bincount(slots, scores) / np.bincount(slots)
        highest = np.full(len(own), -np.inf)
        np.maximum.at(highest, slots, best)
        self.best_return[own] = highest
        self.last_played[own] = self.counters[2] // self.rollouts

    def _keep(self, levels: Levels, scores: Array, best: Array) -> None:
        """Put levels that are not kept yet where there is room, then in place of the ones least
        likely to be chosen."""
        _, first = np.unique(levels.hashes(), return_index=True)
        is_new = ~np.isin(levels.hashes()[np.sort(first)], self.hashes[: self.count])
        rows = np.sort(first)[is_new]
        levels, scores, best = levels.take(rows), scores[rows], best[rows]
        room = min(len(levels), self.asked.buffer_size - self.count)
        places = np.arange(self.count, self.count + room)
        self.counters[0] += room
        self._put(np.arange(room), places, levels, scores, best)
        rest = np.arange(room, len(levels))
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
        learned, broken = map(int, self.counters[3:])
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
