"""Solved levels on disk: what is read is what was solved, and nothing else ever is."""

from dataclasses import fields

import numpy as np
import pytest

from misgen.envs.core import plans
from misgen.experiments.runs import evaluation_levels
from misgen.experiments.runs.subjects import EvaluateConfig, Subject, _argument


@pytest.fixture(autouse=True)
def _results(tmp_path, monkeypatch):
    monkeypatch.setenv("MISGEN_RESULTS", str(tmp_path))


def argument(cell="K3", number=1, d=0.0, **changes):
    subject = Subject(
        family={"K": "keys_and_chests", "C": "coinrun", "M": "maze"}[cell[0]], cell=cell,
        observation_mode="planes", method="ppo", d=d, q=1.0, train_seed=number,
        agent_number=number, steps=10, identity="",
    )  # fmt: skip
    config = EvaluateConfig(num_levels=6)
    return {**_argument(subject, cell, config, "study", "", ""), **changes}


@pytest.fixture
def searches(monkeypatch):
    """How many batches were searched."""
    made, search = [], plans._Search
    monkeypatch.setattr(plans, "_Search", lambda *args: made.append(args) or search(*args))
    return made


def everything(variant):
    """All that an evaluation reads, as arrays."""
    own = [getattr(variant.plans, f.name) for f in fields(variant.plans) if f.name != "levels"]
    return [variant.judged, variant.limit, *variant.levels.level, *map(np.asarray, flat(own))]


def flat(values):
    for value in values:
        yield from flat(value) if isinstance(value, tuple) else [value]


@pytest.mark.parametrize("cell", ["C2", "C4", "K3", "M5"])
def test_what_is_read_is_what_was_solved(cell, searches, tmp_path):
    first = [*evaluation_levels.block(argument(cell))]
    assert len(searches) == 5
    again = [*evaluation_levels.block(argument(cell))]
    assert len(searches) == 5 and [v.name for v in again] == ["00", "10", "01", "11", "own"]
    for one, two in zip(first, again, strict=True):
        for a, b in zip(everything(one), everything(two), strict=True):
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a, b)
    evaluation_levels.forget_plans()
    assert not any(tmp_path.iterdir())


def test_arms_share_all_but_their_own_levels(searches):
    [*evaluation_levels.block(argument(d=0.0))]
    [*evaluation_levels.block(argument(d=1.0, location="elsewhere", study="another"))]
    assert len(searches) == 6


@pytest.mark.parametrize(
    "changes",
    [{"num_levels": 7}, {"eval_base": 5}, {"eval_seed": 1}, {"family_version": 99}],
)
def test_another_evaluation_is_solved_anew(changes, searches):
    [*evaluation_levels.quadruples(argument())]
    [*evaluation_levels.quadruples({**argument(), **changes})]
    [*evaluation_levels.quadruples(argument(number=2))]
    [*evaluation_levels.quadruples(argument(cell="K1"))]
    assert len(searches) == 16


def test_other_rules_are_solved_anew(searches, monkeypatch, tmp_path):
    [*evaluation_levels.quadruples(argument())]
    monkeypatch.setattr(evaluation_levels, "cache_folder", lambda: tmp_path / "kernels-of-others")
    [*evaluation_levels.quadruples(argument())]
    monkeypatch.setattr(evaluation_levels, "cache_folder", lambda: None)
    [*evaluation_levels.quadruples(argument())]
    assert len(searches) == 12


def test_a_damaged_file_costs_time_only(searches, tmp_path):
    first = [*evaluation_levels.quadruples(argument())]
    for number, file in enumerate((tmp_path / "solved_blocks").iterdir()):
        file.write_bytes(b"" if number else file.read_bytes()[:200])
    again = [*evaluation_levels.quadruples(argument())]
    assert len(searches) == 8
    np.testing.assert_array_equal(first[3].plans.keys, again[3].plans.keys)


def test_a_full_disk_costs_time_only(searches, monkeypatch, tmp_path):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(evaluation_levels, "atomic_write_bytes", full)
    [*evaluation_levels.quadruples(argument())]
    assert len(searches) == 4


def test_the_oldest_go_when_there_is_no_room(monkeypatch, tmp_path):
    [*evaluation_levels.quadruples(argument())]
    kept = {*(tmp_path / "solved_blocks").iterdir()}
    monkeypatch.setattr(evaluation_levels, "MOST_BYTES", 1)
    [*evaluation_levels.quadruples(argument(number=2))]
    left = {*(tmp_path / "solved_blocks").iterdir()}
    assert len(left) == 1 and not left & kept
