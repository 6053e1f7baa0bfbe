"""What the world is: families of environments, their levels and planners.

Importing this package registers every family with gymnasium;
`gym.make("misgen.envs:misgen/CoinRun-v2")` imports it by itself.
"""

from misgen.envs.core.batch import BatchEnv
from misgen.envs.core.contract import check_family
from misgen.envs.core.family import Family
from misgen.envs.core.gym_env import SingleEnv, make_distribution
from misgen.envs.core.gym_vector import BatchVectorEnv
from misgen.envs.core.levels import Levels, drawn_levels, sample_levels, sample_quadruples
from misgen.envs.core.optimal_play import Planner
from misgen.envs.core.plans import Plans, solve
from misgen.envs.core.types import (
    NEVER,
    VARIANTS,
    Autoreset,
    Cell,
    Cue,
    CueDraw,
    Goal,
    LevelDistribution,
    Outcome,
    Shift,
    StepResult,
)
from misgen.envs.families import FAMILIES, find_cell, find_family, register

register()

__all__ = [
    "FAMILIES",
    "NEVER",
    "VARIANTS",
    "Autoreset",
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
    "Planner",
    "Plans",
    "Shift",
    "SingleEnv",
    "StepResult",
    "check_family",
    "drawn_levels",
    "find_cell",
    "find_family",
    "make_distribution",
    "register",
    "sample_levels",
    "sample_quadruples",
    "solve",
]
