"""What the training levels of a configuration hold: broken cues, goals that can be told apart."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, NamedTuple

from misgen.envs.families import find_family
from misgen.experiments.config import TrainConfig

if TYPE_CHECKING:  # imported when there is something to train
    from misgen.envs.core.levels import Levels

BROKEN_SAMPLE = 2000  # levels of either draw
DISTINGUISHING_SAMPLE = 500  # of them, solved


def seen_in_training(config: TrainConfig, curve: Any) -> dict[str, Any]:
    """What training saw of the broken cue. broken_draws counts finished episodes on levels with the
    broken draw, which restores the cue now and then; broken_episodes estimates those on levels
    where it is really broken."""
    shares = shares_of(config)
    episodes = sum(row.episodes for row in curve)
    return {
        "episodes": episodes,
        "broken_draws": curve[-1].broken_episodes,
        "broken_share": shares.broken,
        "d_distinguishing": shares.distinguishing,
        "broken_episodes": episodes * shares.broken,
        "broken_episodes_is": "an estimate: finished episodes x broken_share",
        "final_success_rate": curve[-1].success_rate,
    }


class Shares(NamedTuple):
    """Shares of training levels."""

    broken: float  # that do not look as with the cue intact
    distinguishing: float  # that tell the goals apart


def shares_of(config: TrainConfig) -> Shares:
    """Of the training distribution; of a finite set all levels are looked at, and
    DISTINGUISHING_SAMPLE of them solved."""
    d, num_levels = config.intervention.diversity, config.intervention.num_levels
    if num_levels:
        from misgen.envs.core.levels import finite_levels

        return _shares(
            finite_levels(config.get_family(), config.distribution(), config.train_seed),
            config.distribution().horizon_steps,
        )
    intact, broken = (shares_of_draw(config.family, config.cell, draw) for draw in (0.0, 1.0))
    return Shares(*((1 - d) * a + d * b for a, b in zip(intact, broken, strict=True)))


@functools.cache
def shares_of_draw(family: str, cell: str, d: float) -> Shares:
    """Among the intact (d = 0) or the broken draws (d = 1) of a cell, from BROKEN_SAMPLE of them.
    At a small d, where few draws are broken, the two give a better estimate than levels of the
    distribution."""
    import numpy as np

    from misgen.envs.core.levels import sample_levels

    found = find_family(family)
    distribution = found.train_distribution(found.cell(cell), d)
    levels = sample_levels(found, distribution, np.arange(BROKEN_SAMPLE) + 10**15)
    return _shares(levels, distribution.horizon_steps)


def _shares(levels: Levels, horizon_steps: int) -> Shares:
    import numpy as np

    from misgen.envs.core.levels import cue_holds
    from misgen.envs.core.plans import is_distinguishing, solve

    some = np.arange(min(len(levels), DISTINGUISHING_SAMPLE))
    plans = solve(levels.take(some), horizon_steps, (0.0,))
    distinguishing = is_distinguishing(plans.plays.at(0)).mean()
    return Shares(float(1 - cue_holds(levels).mean()), float(distinguishing))
