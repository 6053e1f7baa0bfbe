"""The blocks of levels that agents are evaluated on: no level comes twice."""

from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

from misgen.envs.core.levels import sample_quadruples
from misgen.envs.families import find_cell
from misgen.experiments.runs.evaluation_levels import (
    BLOCK,
    distinct_seeds,
    own_levels,
    quadruple_seeds,
)

BASE = 10**12


def argument(cell="C2", number=3, levels=150, d=0.0):
    subject = {"agent_number": number, "family": find_cell(cell)[0].name, "cell": cell, "d": d}
    return {"eval_base": BASE, "num_levels": levels, "cell": cell, "subject": subject}


@pytest.mark.parametrize("cell", ["C2", "K3"])
def test_no_level_with_a_broken_cue_comes_twice(cell):
    family, found = find_cell(cell)
    seeds = quadruple_seeds(argument(cell))
    assert len(seeds) == 150 and (np.diff(seeds) > 0).all()
    levels = sample_quadruples(family, found, seeds)
    assert all(len({*levels[variant].hashes().tolist()}) == 150 for variant in ("10", "11"))
    if cell == "C2":  # consecutive seeds repeat levels
        plain = sample_quadruples(family, found, np.arange(150) + BASE + 3 * BLOCK)
        assert len({*plain["10"].hashes().tolist()}) < 145


@pytest.mark.parametrize("d", [0.0, 1.0])
def test_no_own_level_comes_twice(d):
    levels, horizon = own_levels(argument(d=d))
    assert len({*levels.hashes().tolist()}) == len(levels) == 150 and horizon == 100


def test_what_is_left_out_equals_an_earlier_level_of_the_block_only():
    """In either variant; whatever number of seeds is drawn at a time."""
    first, second = [1, 1, 2, 3, 4, 5, 6], [1, 2, 2, 3, 3, 5, 6]

    def draw(seeds):
        at = seeds - BASE - 3 * BLOCK
        for values in (first, second):
            yield SimpleNamespace(hashes=partial(np.array(values).__getitem__, at))

    seeds = distinct_seeds(argument(levels=3), draw)
    assert (seeds - BASE - 3 * BLOCK).tolist() == [0, 2, 3]


def test_a_block_without_enough_levels_says_how_many_it_has(capsys):
    def draw(seeds):
        return [SimpleNamespace(hashes=lambda: seeds % 4)]

    assert len(distinct_seeds(argument(levels=10), draw)) == 4
    said = capsys.readouterr().out
    assert "C2 has 4 levels of 10 for agent 3: its first 200 level seeds have no more" in said


def test_blocks_of_agents_do_not_overlap():
    """However many levels are asked for."""

    def draw(seeds):
        return [SimpleNamespace(hashes=lambda: seeds)]

    blocks = [distinct_seeds(argument(number=a, levels=10**6), draw) for a in (0, 1)]
    assert blocks[0][-1] + 1 == blocks[1][0]
