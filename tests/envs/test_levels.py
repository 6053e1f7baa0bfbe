"""Levels: identity, streams, variants, the split, finite sets, errors."""

from dataclasses import replace

import numpy as np
import pytest
from tests.envs.boards import is_share

from misgen.envs.core import compile
from misgen.envs.core import levels as levels_module
from misgen.envs.core.batch import BatchEnv
from misgen.envs.core.compile import hole, kernel
from misgen.envs.core.gym_env import make_distribution
from misgen.envs.core.levels import (
    Levels,
    drawn_levels,
    is_held_out,
    level_hash,
    sample_levels,
    sample_quadruples,
)
from misgen.envs.core.types import VARIANTS, LevelDistribution
from misgen.envs.families import FAMILIES, find_cell

ANY_FAMILY = next(iter(FAMILIES.values()))
ANY_CELL = ANY_FAMILY.cells[0]
ANY_DISTRIBUTION = ANY_FAMILY.train_distribution(ANY_CELL)
CHUNK = 5000
geometry_hash = hole("geometry_hash")


def hash_kernel(lo, hi, cell, level, out):
    for i in range(lo, hi):
        out[i] = geometry_hash(cell, i, level)


def geometry_hashes(levels: Levels) -> np.ndarray:
    family, out = levels.family, np.zeros(len(levels), np.uint64)
    run = kernel(hash_kernel, "test_hash", geometry_hash=family.geometry_hash)
    run(0, len(levels), family.number(levels.cell.code), levels.level, out)
    return out


# Identity


def test_every_byte_of_a_level_is_part_of_its_hash(world):
    family, cell = world
    levels = sample_levels(family, family.train_distribution(cell), [3])
    level, hashes = levels.level, {int(levels.hashes()[0])}
    for name, array in zip(level._fields, level, strict=True):
        for position in (0, array[0].size - 1):
            changed = level._replace(**{name: array.copy()})
            changed[level._fields.index(name)].reshape(-1)[position] += 1
            hashes.add(level_hash(changed, 0))
    assert len(hashes) >= 1 + len(level)


def test_a_level_depends_on_its_seed_alone(world):
    family, cell = world
    distribution = family.train_distribution(cell, 0.5)
    together = sample_levels(family, distribution, np.arange(50))
    for seed in (0, 7, 49):
        alone = sample_levels(family, distribution, [seed])
        assert alone.hashes()[0] == together.hashes()[seed]
    backwards = sample_levels(family, distribution, np.arange(50)[::-1])
    assert (backwards.hashes()[::-1] == together.hashes()).all()
    assert len(set(together.hashes().tolist())) > 45


def test_the_stream_of_a_slot_can_be_drawn_from_its_seeds(world):
    """What BatchEnv plays is what sample_levels makes of the seed in the record."""
    family, cell = world
    distribution = family.train_distribution(cell, 0.5)
    env = BatchEnv(family, distribution, 20, train_seed=4, observation_mode="planes")
    for _ in range(3):
        env.reset()
        again = sample_levels(family, distribution, env.episode.seed)
        assert (env.levels().hashes() == again.hashes()).all()
        assert (again.broken == env.episode.broken).all()


def test_levels_can_be_taken_and_drawn_anew(world):
    family, cell = world
    levels = sample_levels(family, family.train_distribution(cell), np.arange(10))
    few = levels.take(np.array([7, 2]))
    assert few.seeds.tolist() == [7, 2] and len(few) == 2
    drawings = [family.draw(levels.level, i) for i in (7, 2)]
    drawn = drawn_levels(family, cell, *drawings)
    assert (drawn.hashes() == few.hashes()).all()
    assert drawn.seeds.tolist() == [0, 1]


# Variants


def test_a_context_that_changes_only_what_is_seen_keeps_the_geometry(world):
    """That 00 and 10 share theirs, and 01 and 11, is part of the contract."""
    family, cell = world
    variants = sample_quadruples(family, cell, np.arange(50))
    assert list(variants) == list(VARIANTS)
    calm, changed = (variants[name] for name in ("00", "01"))
    same = geometry_hashes(calm) == geometry_hashes(changed)
    is_seen_otherwise = "disturbed" in cell.shift_b.params
    assert same.all() if is_seen_otherwise else same.mean() < 0.1
    assert (changed.level.disturbed == is_seen_otherwise).all() and not calm.level.disturbed.any()
    for levels in variants.values():
        assert levels.seeds.tolist() == list(range(50)) and not levels.broken.any()


@pytest.mark.parametrize(("variant", "factor"), [("00", 1), ("10", 3), ("01", 2), ("11", 6)])
def test_the_horizon_of_a_variant_is_multiplied_by_both_shifts(variant, factor):
    cell = replace(
        ANY_CELL,
        shift_a=replace(ANY_CELL.shift_a, horizon_factor=3),
        shift_b=replace(ANY_CELL.shift_b, horizon_factor=2),
    )
    family = replace(ANY_FAMILY, cells=(cell,), default_cell=cell.code)
    assert cell.horizon_factor(variant) == factor
    distribution = make_distribution(family, variant=variant)
    assert distribution.horizon_steps == factor * cell.train_horizon_steps


@pytest.mark.parametrize("num_levels", [10_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_no_evaluation_geometry_is_among_the_training_levels(world, num_levels):
    family, cell = world
    evaluation = sample_quadruples(family, cell, np.arange(1000))
    held_out = {int(g) for levels in evaluation.values() for g in geometry_hashes(levels)}
    distribution = family.train_distribution(cell, 0.1)
    for start in range(0, num_levels, CHUNK):
        levels = sample_levels(family, distribution, np.arange(start, start + CHUNK))
        assert not held_out & set(geometry_hashes(levels).tolist())


def test_one_geometry_in_ten_is_held_out(world):
    family, cell = world
    distribution = replace(family.train_distribution(cell), split="any")
    hashes = geometry_hashes(sample_levels(family, distribution, np.arange(CHUNK)))
    with np.errstate(over="ignore"):
        held_out = is_held_out(np.unique(hashes))
    assert is_share(held_out.mean(), 0.1, len(held_out))


# Diversity


@pytest.mark.parametrize("diversity", [0.0, 0.02, 1.0])
def test_a_share_d_of_the_training_levels_takes_the_broken_draw(world, diversity):
    family, cell = world
    levels = sample_levels(family, family.train_distribution(cell, diversity), np.arange(CHUNK))
    assert is_share(levels.broken.mean(), diversity, CHUNK)


def test_the_broken_draw_changes_the_cue_only(world):
    family, cell = world
    intact = sample_levels(family, family.train_distribution(cell, 0.0), np.arange(100))
    mixed = sample_levels(family, family.train_distribution(cell, 0.5), np.arange(100))
    assert (geometry_hashes(intact) == geometry_hashes(mixed)).all()
    differs = intact.hashes() != mixed.hashes()
    assert not (differs & ~mixed.broken).any(), "an intact draw is the same at every diversity"
    assert 0 < differs.sum() <= mixed.broken.sum(), "a broken draw restores the cue now and then"


# Finite sets


def test_a_finite_set_has_that_many_levels(world):
    family, cell = world
    distribution = replace(family.train_distribution(cell, 0.5), num_levels=5)
    seeds = {}
    for train_seed in (0, 1):
        env = BatchEnv(family, distribution, 50, train_seed=train_seed, observation_mode="planes")
        env.reset()
        first = set(env.episode.seed.tolist())
        env.reset()
        seeds[train_seed] = first | set(env.episode.seed.tolist())
        assert len(seeds[train_seed]) == 5
        hashes = {int(h) for h in env.levels().hashes()}
        assert len(hashes) <= 5
    assert not seeds[0] & seeds[1], "another training seed names another set"


# Errors


def make(num_envs, distribution=ANY_DISTRIBUTION, train_seed=0, **options):
    return BatchEnv(ANY_FAMILY, distribution, num_envs, train_seed=train_seed, **options)


@pytest.mark.parametrize(
    ("attempt", "message"),
    [
        (lambda: sample_levels(ANY_FAMILY, ANY_DISTRIBUTION, [1, -1]), "integers >= 0; got .*-1"),
        (lambda: sample_levels(ANY_FAMILY, ANY_DISTRIBUTION, [0.5]), "integers >= 0"),
        (lambda: make(1, train_seed=-1), "0 to 2.64 - 1; got -1"),
        (lambda: make(1, train_seed=0.5), "is an integer"),
        (lambda: make(0), "num_envs is at least 1; got 0"),
        (lambda: make(1, num_threads=0), "num_threads"),
        (lambda: ANY_FAMILY.train_distribution(ANY_CELL, 1.5), r"in \[0, 1\]; got 1.5"),
        (lambda: ANY_FAMILY.train_distribution(ANY_CELL, -0.1), r"in \[0, 1\]; got -0.1"),
        (lambda: ANY_FAMILY.train_distribution(ANY_CELL, float("nan")), r"in \[0, 1\]"),
        (lambda: replace(ANY_DISTRIBUTION, num_levels=-1), "num_levels is 0"),
        (lambda: replace(ANY_DISTRIBUTION, split="test"), "split is train, held_out or any"),
        (
            lambda: make(1, replace(ANY_DISTRIBUTION, horizon_steps=0)),
            "horizon_steps is at least 1; got 0",
        ),
        (lambda: ANY_CELL.variant_params("2"), "00, 10, 01, 11; got '2'"),
        (
            lambda: make(1, observation_mode="rgb2"),
            "has the observation modes .* got 'rgb2'",
        ),
        (lambda: make_distribution(ANY_FAMILY, variant="11", diversity=0.5), "one of them"),
    ],
)  # fmt: skip
def test_mistakes_are_one_clear_value_error(attempt, message):
    with pytest.raises(ValueError, match=message):
        attempt()


def test_impossible_parameters_say_so(monkeypatch):
    monkeypatch.setattr(compile, "INTERPRETED", True)
    monkeypatch.setattr(levels_module, "MAX_ATTEMPTS", 20)
    family = replace(ANY_FAMILY, name="toy_impossible", sample_geometry=accepts_nothing)
    with pytest.raises(ValueError, match="no acceptable level of toy_impossible"):
        sample_levels(family, ANY_DISTRIBUTION, [0])


def accepts_nothing(i, level, scratch, rng, params):
    return False


def test_members_of_enums_among_the_parameters_become_integers():
    """They would make every call of a kernel slow."""
    distribution = LevelDistribution(cell=ANY_CELL, params=ANY_CELL.params)
    assert {type(value) for value in distribution.params} == {int}


def test_a_distribution_without_a_level_is_an_error_in_every_place():
    """Three keys, three chests and six boxes are more than the nine items of a level."""
    family, cell = find_cell("K1")
    full = cell.params._replace(rarer_min=3, rarer_max=3)
    distribution = LevelDistribution(cell=cell, params=full, horizon_steps=10)
    with pytest.raises(ValueError, match="no acceptable level"):
        sample_levels(family, distribution, [0])
    with pytest.raises(ValueError, match="no acceptable level"):
        BatchEnv(family, distribution, 1, train_seed=0, observation_mode="planes").reset()


def test_a_level_does_not_depend_on_the_levels_drawn_before_it():
    """Crowded boards: most geometries are refused half drawn."""
    family, cell = find_cell("K3")
    crowded = cell.params._replace(interior=4, walls_min=6, walls_max=8, rarer_min=2, rarer_max=2)
    distribution = LevelDistribution(cell=cell, params=crowded, horizon_steps=1)
    env = BatchEnv(family, distribution, 4, train_seed=0, observation_mode="planes")
    env.reset()
    for _ in range(50):
        played = env.levels()
        again = sample_levels(family, distribution, played.seeds)
        assert played.hashes().tolist() == again.hashes().tolist()
        env.step(np.zeros(4, np.int64))
