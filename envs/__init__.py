"""What the world is: families of environments, their levels and planners.

Importing this package registers every family with gymnasium;
`gym.make("envs:misgen/CoinRun-v0")` imports it by itself.
"""

from envs.adapters import BatchVectorEnv, SingleEnv, make_distribution, register
from envs.batch import BatchEnv
from envs.families import FAMILIES
from envs.levels import Levels, drawn_levels, sample_levels, sample_quadruples
from envs.types import (
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
