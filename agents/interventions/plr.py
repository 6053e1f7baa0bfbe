"""Prioritised level replay: training on the levels from which there is most to learn.

The robust form (Jiang et al. 2021, "Replay-Guided Adversarial Environment Design"): levels are
drawn from the training distribution as ever, played without an update and kept by their scores; the
agent learns on replayed levels only. See misgen.agents.replay.
"""

from __future__ import annotations

from functools import partial

from misgen.agents.interventions import Intervention
from misgen.agents.replay import Replay, ReplaySettings


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
    asked = ReplaySettings(score, replay_prob, buffer_size, temperature, staleness)
    return Intervention(levels=partial(Replay, asked))
