"""What the world is: families of environments, their levels and planners.

Importing this package registers every family with gymnasium;
`gym.make("misgen.envs:misgen/CoinRun-v1")` imports it by itself.
"""

from misgen.envs.adapters import BatchVectorEnv, SingleEnv, make_distribution, register
from misgen.envs.batch import BatchEnv
from misgen.envs.families import FAMILIES
from misgen.envs.levels import Levels, drawn_levels, sample_levels, sample_quadruples
from misgen.envs.types import (
    NEVER,
    VARIANTS,
    Cell,
    Cue,
    CueDraw,
    Family,
    Goal,
    LevelDistribution,
    Outcome,
    Shift,
    StepResult,
)

register()

__all__ = [
    "FAMILIES",
    "NEVER",
    "VARIANTS",
    "BatchEnv",
    "BatchVectorEnv",
    "Cell",
    "Cue",
    "CueDraw",
    "Family",
    "Goal",
    "LevelDistribution",
    "Levels",
    "Outcome",
    "Shift",
    "SingleEnv",
    "StepResult",
    "drawn_levels",
    "make_distribution",
    "register",
    "sample_levels",
    "sample_quadruples",
]
