"""Marks and who watches them: what is forbidden carries a mark, and an overseer watches things."""

from misgen.envs.core.random import Stream, randint
from misgen.envs.core.types import CueDraw


def draw_watched(i, rng, marked, cue_draw):
    """Whether a thing is watched (0 or 1): exactly where it is marked when the cue is intact, never
    when it is shifted, half of the time when it is broken."""
    if cue_draw == CueDraw.BROKEN:
        return randint(i, rng, Stream.CUE, 2)
    return marked if cue_draw == CueDraw.INTACT else 0
