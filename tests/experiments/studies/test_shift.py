"""How far a shift is from training: what the three measures say of cases one can see through."""

import json
import math

import numpy as np
import pyarrow as pa
import pytest

from misgen.envs.core.batch import BatchEnv
from misgen.envs.core.levels import drawn_levels, sample_quadruples
from misgen.envs.core.plans import solve
from misgen.envs.families import FAMILIES
from misgen.experiments.jobs.attempt import run_once
from misgen.experiments.studies import shift

FAMILY = FAMILIES["keys_and_chests"]
CELL = FAMILY.cell("K3")

NEAR = """
######
#Akc.#
#....#
#....#
#....#
######
"""
FAR = """
######
#A..k#
#...c#
#....#
#....#
######
"""


def drawn(*drawings):
    return drawn_levels(FAMILY, CELL, *[drawing.strip() for drawing in drawings])


def looks_of_levels(num_levels=60, num_times=5, num_features=40, seed=0):
    """Levels that each have a look of their own, seen five times; half are called shifted."""
    rng = np.random.default_rng(seed)
    look = rng.integers(0, 2, (num_levels, num_features), dtype=np.uint8)
    level = np.repeat(np.arange(num_levels), num_times)
    return look[level], level % 2 == 1, level


def test_the_look_of_single_levels_is_not_taken_for_a_shift():
    """Folds that shared levels would recognise every one of them: 1 instead of .5."""
    aucs = np.concatenate([shift.separability(*looks_of_levels(seed=seed)) for seed in range(4)])
    assert aucs.mean() == pytest.approx(0.5, abs=0.1)


def test_one_pixel_that_always_tells_is_found():
    obs, is_shifted, level = looks_of_levels(num_levels=200)
    obs[:, 7] = is_shifted
    aucs = shift.separability(obs, is_shifted, level)
    assert len(aucs) == shift.NUM_FOLDS and aucs.min() > 0.95


def test_folds_share_no_level_and_test_every_observation_once():
    _, is_shifted, level = looks_of_levels()
    tested = []
    for fit, test in shift.folds(is_shifted, level):
        assert not set(level[fit]) & set(level[test])
        assert set(is_shifted[fit]) == set(is_shifted[test]) == {False, True}
        tested += test.tolist()
    assert sorted(tested) == list(range(len(level)))


def test_other_seeds_of_one_distribution_are_no_shift_and_exchanged_counts_are():
    seeds = 10**9 + np.arange(80)
    quadruples = sample_quadruples(FAMILY, CELL, seeds)
    other = sample_quadruples(FAMILY, CELL, seeds + 10**6)["00"]
    source = solve(quadruples["00"])
    same = shift.compare(source, solve(other))
    assert same["auc"] == pytest.approx(0.5, abs=0.12)
    assert same["length_ratio"] == pytest.approx(1.0, abs=0.15)
    broken = shift.compare(source, solve(quadruples["10"]))
    assert broken["auc"] > 0.95 and broken["num_levels"] == 80
    assert 80 * 3 < broken["num_observations"] <= 80 * 2 * shift.NUM_TIMES


def test_a_level_that_occurs_again_is_left_out_with_its_twin():
    near, far = NEAR, FAR
    third = FAR.replace("A..k", ".A.k")
    fourth = FAR.replace("A..k", "..Ak")
    source, shifted = drawn(near, far, near, third), drawn(third, fourth, fourth, near)
    assert shift.distinct(source, shifted).tolist() == [True, True, False, False]
    assert shift.distinct(source, source).tolist() == [True, True, False, True]


def test_the_length_ratio_of_a_pair_that_can_be_counted():
    near, far = solve(drawn(NEAR)), solve(drawn(FAR))  # 2 steps; 3 to the key and 1 to the chest
    assert shift.length_ratio(near, far) == 2.0
    assert shift.length_ratio(far, near) == 0.5


def test_an_episode_is_looked_at_five_times_at_most():
    assert shift.times(10) == [0, 2, 4, 6, 8]
    assert shift.times(11) == [0, 2, 4, 6, 8]
    assert shift.times(3) == [0, 1, 2]
    assert shift.times(1) == [0]


def test_the_planner_is_watched_from_its_start_up_to_its_last_action():
    obs, level = shift.observe(solve(drawn(NEAR, FAR)))
    assert level.tolist() == [0, 0, 1, 1, 1, 1]  # 2 and 4 steps
    start = BatchEnv.on(drawn(NEAR)).buffers.obs
    assert obs[0].tolist() == start.ravel().tolist()
    assert (obs[1] != obs[0]).any()


def returns(rows, cell=CELL.code):
    """Counts of (method, d, role, setting, agent, variant, mean return, steps)."""
    names = (
        "method", "d", "role", "setting", "run_id", "variant", "mean_return", "checkpoint_step"
    )  # fmt: skip
    columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
    fixed = {"family": FAMILY.name, "cell": cell, "train_distribution": cell, "q": 1.0}
    return pa.table({**columns, **{name: [value] * len(rows) for name, value in fixed.items()}})


CONTROL_ARM = [
    ("ppo", 1.0, "agent", "s", "a", "00", 0.5, 9),
    ("ppo", 1.0, "agent", "s", "a", "11", 0.25, 9),
    ("ppo", 1.0, "agent", "s", "b", "00", 1.0, 9),
    ("ppo", 1.0, "agent", "s", "b", "11", 0.25, 9),
    ("ppo", 1.0, "agent", "s", "b", "own", 0.0, 9),
    ("ppo", 0.0, "agent", "t", "c", "00", 9.0, 9),  # another d
    ("ppo", 1.0, "control", "s", "a", "00", 9.0, 9),
    ("cloning", 1.0, "agent", "u", "d", "00", 9.0, 9),
    ("ppo", 1.0, "agent", "s", "e", "00", 9.0, 8),  # not at the end of its training
    ("ppo", 1.0, "agent", "s", "e", "11", 0.0, 8),
]


def test_the_return_drop_is_the_mean_over_agents_of_the_control_arm():
    drops = shift.return_drops(returns(CONTROL_ARM))
    assert drops == {(FAMILY.name, CELL.code, "11"): (pytest.approx((0.25 + 0.75) / 2), 2)}


def test_two_control_arms_are_not_mixed():
    other = ("ppo", 1.0, "agent", "v", "e", "00", 1.0, 9)
    with pytest.raises(ValueError, match="pass the records of one study"):
        shift.return_drops(returns([*CONTROL_ARM, other]))


def test_two_cells_of_one_shift_type_have_drops_of_their_own():
    other = [("ppo", 1.0, "agent", "v", "f", "00", 1.0, 9),
             ("ppo", 1.0, "agent", "v", "f", "11", 0.0, 9)]  # fmt: skip
    drops = shift.return_drops(pa.concat_tables([returns(CONTROL_ARM), returns(other, "K9")]))
    assert drops[FAMILY.name, CELL.code, "11"] == (pytest.approx(0.5), 2)
    assert drops[FAMILY.name, "K9", "11"] == (1.0, 1)


def test_a_job_and_its_rows(tmp_path, monkeypatch):
    monkeypatch.setenv("MISGEN_RESULTS", str(tmp_path))
    job = shift.job_of(FAMILY, CELL, num_levels=20)
    with pytest.raises(ValueError, match="must have been run"):
        shift.measured_shifts([job])
    run_once(job.folder, job.argument, lambda folder: shift.shift_job(job.argument, folder))
    assert job.folder.parent.name == "kind=shift"
    found = shift.measured_shifts([job])
    rows = shift.shift_rows(returns(CONTROL_ARM), found)
    assert [row["variant"] for row in rows] == ["10", "01", "11"]
    assert {(row["cell"], row["shift_type"]) for row in rows} == {("K3", "significant")}
    measured = json.loads((job.folder / "shift.json").read_text())
    assert [row["auc"] for row in rows] == [measured[v]["auc"] for v in ("10", "01", "11")]
    assert math.isnan(rows[0]["return_drop"]) and rows[0]["control_agents"] == 0
    assert rows[2]["return_drop"] == pytest.approx(0.5) and rows[2]["control_agents"] == 2
    elsewhere = returns(CONTROL_ARM, "K9")
    assert all(math.isnan(row["return_drop"]) for row in shift.shift_rows(elsewhere, found))


def test_the_levels_are_nobodys_evaluation_block():
    last_block = 10**12 + (10**6 - 1) * 10**6  # of agent 10^6 - 1
    assert last_block + 10**6 <= shift.FIRST_SEED
