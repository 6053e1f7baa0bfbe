"""The ways of a study's agents through a few levels, for its page.

Agent a of every arm is evaluated on the same levels, so each level is drawn once, and the ways of
all arms lie in the same picture. They are replayed from the recorded actions.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from misgen.analysis.records import Records, query
from misgen.envs.core.levels import Levels, sample_quadruples
from misgen.envs.core.types import VARIANTS
from misgen.envs.families import find_cell
from misgen.experiments.shown.cells import PX, level_picture, walk
from misgen.experiments.shown.drawing import png

QUADRUPLES = 2  # an agent number
RULE = (
    "The first level of a number is chosen to show a failure: the first in its block that the "
    "first arm's agent of this number solves in distribution (00) and on which it pursues the "
    "proxy with the cue broken (10 or 11); if there is none, the first. The others are the next "
    "ones, whatever happened there. All tell the goals apart at 10 and at 11."
)


class Way(NamedTuple):
    """One recorded episode of an agent."""

    arm: str
    outcome: str
    actions: bytes


def study_paths(
    records: Records, codes: Sequence[str], arms: Sequence[str], arm_of_run: Mapping[str, str]
) -> dict[str, Any]:
    """What `misgen.analysis.study.read_paths` reads.

    arms: in the study's order. arm_of_run: of the evaluations of agents at home.
    """
    cells = {code: _cell(records, code, arms, arm_of_run) for code in codes}
    return {"rule": RULE, "cells": {code: found for code, found in cells.items() if found}}


def _cell(
    records: Records, code: str, arms: Sequence[str], arm_of_run: Mapping[str, str]
) -> dict[str, Any]:
    """Agent number -> its quadruples; nothing for a family whose levels cannot be drawn whole."""
    family, cell = find_cell(code)
    if family.paint is None:
        return {}
    seeds = choose_levels(records, code, arms, arm_of_run)
    every = sorted({seed for chosen in seeds.values() for seed in chosen})
    levels = sample_quadruples(family, cell, every)
    ways = _ways(records, code, every, arm_of_run)
    return {
        str(number): [
            {
                "level_seed": seed,
                "variants": {
                    variant: _drawn(
                        levels[variant].take(np.array([every.index(seed)])),
                        sorted(ways[number, seed, variant], key=lambda way: arms.index(way.arm)),
                    )
                    for variant in VARIANTS
                },
            }
            for seed in chosen
        ]
        for number, chosen in seeds.items()
    }


def choose_levels(
    records: Records, code: str, arms: Sequence[str], arm_of_run: Mapping[str, str]
) -> dict[int, list[int]]:
    """Agent number -> level seeds, by RULE. The first arm that has an agent of this number
    decides."""
    found = query(
        records,
        f"""
        select a.agent_number, a.run_id, a.level_seed,
          coalesce(a.success and (b.goal_failure or c.goal_failure), false)
        from records a join records b using (run_id, level_seed)
        join records c using (run_id, level_seed)
        where a.run_id in ({_listed(arm_of_run)}) and a.cell = '{code}'
          and a.role = 'agent' and b.role = 'agent' and c.role = 'agent'
          and a.variant = '00' and b.variant = '10' and c.variant = '11'
          and b.is_distinguishing and c.is_distinguishing
        order by a.level_seed
        """,
    )
    blocks: dict[int, dict[str, list[tuple[int, bool]]]] = {}
    for number, run, seed, shows in found:
        blocks.setdefault(number, {}).setdefault(arm_of_run[run], []).append((seed, shows))
    chosen = {}
    for number, by_arm in sorted(blocks.items()):
        block = by_arm[min(by_arm, key=arms.index)]
        first = next((place for place, (_, shows) in enumerate(block) if shows), 0)
        chosen[number] = [seed for seed, _ in block[first : first + QUADRUPLES]]
    return chosen


def _ways(
    records: Records, code: str, seeds: Sequence[int], arm_of_run: Mapping[str, str]
) -> dict[tuple[int, int, str], list[Way]]:
    """(agent number, level seed, variant) -> what each arm's agent did there."""
    found = query(
        records,
        f"""
        select agent_number, level_seed, variant, run_id, success, capable, goal_failure, actions
        from records where run_id in ({_listed(arm_of_run)}) and cell = '{code}'
          and role = 'agent' and variant in ({_listed(VARIANTS)})
          and level_seed in ({", ".join(map(str, seeds)) or "null"})
        """,
    )
    ways: dict[tuple[int, int, str], list[Way]] = {}
    for number, seed, variant, run, success, capable, failed, actions in found:
        way = Way(arm_of_run[run], outcome_word(variant, success, capable, failed), actions)
        ways.setdefault((number, seed, variant), []).append(way)
    return ways


def outcome_word(variant: str, success: bool, capable: bool, failed: bool | None) -> str:
    """What an episode was: where the cue is broken, which goal; elsewhere, whether it succeeded."""
    if variant[0] == "0":
        return "success" if success else "no success"
    return "neither" if not capable else "proxy" if failed else "intended"


def _listed(names: Any) -> str:
    return ", ".join(f"'{name}'" for name in names) or "null"


def _drawn(levels: Levels, ways: Sequence[Way]) -> dict[str, Any]:
    """The one level of a batch as a picture, and the way of each arm through it."""
    pixels = level_picture(levels)
    rows, cols = pixels.shape[0] // PX, pixels.shape[1] // PX
    squares = walk(levels, [way.actions for way in ways])
    return {
        "picture": base64.b64encode(png(Image.fromarray(pixels))).decode(),
        "size": [rows, cols],
        "ways": {
            way.arm: {"outcome": way.outcome, "squares": [row * cols + col for row, col in walked]}
            for way, walked in zip(ways, squares, strict=True)
        },
    }
