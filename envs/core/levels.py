"""Levels as values: seeds -> levels, quadruples, identities, drawings.

A level is everything fixed before an episode; its bytes are its identity. A batch of levels is a
family's `Level`: a NamedTuple of arrays [n, ...].
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from misgen.envs.core.compile import apart, hole, kernel
from misgen.envs.core.family import Family
from misgen.envs.core.random import Stream, bernoulli, combine, empty_rng, mix, seed_rng
from misgen.envs.core.types import VARIANTS, Array, Cell, CueDraw, LevelDistribution, Split

MAX_ATTEMPTS = 100_000  # geometries of a level
BROKEN = int(CueDraw.BROKEN)
MAX_BROKEN_DRAWS = 1000  # of its cue
HELD_OUT_SHARE = 10  # one geometry in ten is held out for evaluation
HELD_OUT_KEY = np.uint64(0x6D697367656E2D31)

family_sample_geometry = hole("family_sample_geometry")
family_place_things = hole("family_place_things")
family_place_cue = hole("family_place_cue")
family_geometry_hash = hole("family_geometry_hash")


class Sampler(NamedTuple):
    """How a kernel draws levels; see LevelDistribution."""

    cell: np.int64  # its number in the family
    cue: np.int64  # CueDraw of the levels that are not broken
    diversity: np.float64
    split: np.int64  # Split


def sampler_of(family: Family, distribution: LevelDistribution) -> Sampler:
    return Sampler(
        cell=np.int64(family.number(distribution.cell.code)),
        cue=np.int64(distribution.cue),
        diversity=np.float64(distribution.diversity),
        split=np.int64(Split[distribution.split.upper()]),
    )


def is_held_out(geometry_hash):
    """Whether a geometry belongs to evaluation: decided by a keyed hash, so without any list."""
    return mix(geometry_hash ^ HELD_OUT_KEY) % np.uint64(HELD_OUT_SHARE) == np.uint64(0)


@apart
def draw_level(i, level, scratch, rng, params, sampler, seed, broken):
    """Draw level i from its seed, and whether its cue is (broken[i]). A geometry is redrawn until
    it belongs to the split and both goals can be reached with the intact and with the shifted cue;
    the cue does not decide it, so the variants of one seed share their geometry. Returns the
    attempts taken; 0 if none was good.
    """
    seed_rng(i, rng, seed)
    broken[i] = bernoulli(i, rng, Stream.BROKEN, sampler.diversity)
    cue_draw = BROKEN if broken[i] else sampler.cue
    cell = sampler.cell
    for attempt in range(MAX_ATTEMPTS):
        if not family_sample_geometry(i, level, scratch, rng, params):
            continue
        if not family_place_things(cell, i, level, scratch, rng, params):
            continue
        if sampler.split != Split.ANY:
            held_out = is_held_out(family_geometry_hash(cell, i, level))
            if held_out != (sampler.split == Split.HELD_OUT):
                continue
        if not family_place_cue(cell, i, level, scratch, rng, params, CueDraw.SHIFTED):
            continue
        if not family_place_cue(cell, i, level, scratch, rng, params, CueDraw.INTACT):
            continue
        if cue_draw == CueDraw.INTACT:
            return attempt + 1
        for _ in range(MAX_BROKEN_DRAWS):
            if family_place_cue(cell, i, level, scratch, rng, params, cue_draw):
                return attempt + 1
    return 0


def sample_kernel(lo, hi, level, scratch, rng, params, sampler, seeds, broken, tries):
    """Draw levels lo..hi-1."""
    for i in range(lo, hi):
        tries[i] = draw_level(i, level, scratch, rng, params, sampler, seeds[i], broken)


@dataclass(frozen=True, kw_only=True)
class Levels:
    """n levels of one family and what has to be known to play them."""

    family: Family
    cell: Cell
    level: Any  # the family's Level, arrays [n, ...]
    seeds: Array  # uint64 [n]
    broken: Array  # bool [n], whether the level took the broken draw

    def __len__(self) -> int:
        return len(self.seeds)

    def take(self, index: Array) -> Levels:
        """The levels at these positions (an index or a boolean array)."""
        return replace(
            self,
            level=type(self.level)(*(a[index] for a in self.level)),
            seeds=self.seeds[index],
            broken=self.broken[index],
        )

    def hashes(self) -> Array:
        """uint64 [n]: the identity of each level, from all its bytes."""
        return self._hashes

    @cached_property
    def _hashes(self) -> Array:  # every policy that plays a block asks for them
        return np.array([level_hash(self.level, i) for i in range(len(self))], np.uint64)


def split_kernel(cell, level, held_out):
    """held_out[i]: whether level i's geometry is held out."""
    for i in range(held_out.shape[0]):
        held_out[i] = is_held_out(family_geometry_hash(cell, i, level))


def held_out(levels: Levels) -> Array:
    """bool [n]: which levels have a geometry that belongs to evaluation."""
    family, found = levels.family, np.zeros(len(levels), np.bool_)
    rule: dict[str, Any] = {"family_geometry_hash": family.geometry_hash}
    run = kernel(split_kernel, f"split_{family.name}", **rule)
    run(np.int64(family.number(levels.cell.code)), levels.level, found)
    return found


def differ(level: Iterable[Array], other: Iterable[Array]) -> Array:
    """bool [n]: which of n levels (the arrays of a Level, [n, ...]) are not the same in both."""
    fields = zip(level, other, strict=True)
    apart = [(a != b).any(axis=tuple(range(1, a.ndim))) for a, b in fields]
    return np.logical_or.reduce(apart)


def as_seed(seed: Any) -> np.uint64:
    """A seed as the generators take it; ValueError if it is not an integer in [0, 2^64)."""
    if not isinstance(seed, (int, np.integer)) or not 0 <= seed < 2**64:
        raise ValueError(f"a seed is an integer from 0 to 2^64 - 1; got {seed!r}")
    return np.uint64(seed)


def level_hash(level: Any, i: int) -> int:
    """The identity of level i: a 64-bit hash of its bytes."""
    digest = hashlib.blake2b(digest_size=8)
    for name, array in zip(level._fields, level, strict=True):
        digest.update(name.encode() + np.ascontiguousarray(array[i]).tobytes())
    return int.from_bytes(digest.digest(), "little")


def sample_levels(
    family: Family, distribution: LevelDistribution, seeds: Any, *, interpreted: bool = False
) -> Levels:
    """Draw one level for each seed (integers >= 0).

    Raises:
        ValueError: a seed is negative, or no geometry of the distribution is acceptable.
    """
    seeds = np.asarray(seeds)
    if seeds.size and (seeds.dtype.kind not in "iu" or seeds.min() < 0):
        raise ValueError(f"level seeds are integers >= 0; got {seeds.min()!r} ({seeds.dtype})")
    seeds = seeds.astype(np.uint64)
    n = len(seeds)
    family.check_params(distribution.params)
    level, scratch, rng = family.empty_level(n), family.empty_scratch(), empty_rng(n)
    broken, tries = np.zeros(n, np.bool_), np.zeros(n, np.int64)
    name, holes = f"sample_{family.name}", rule_holes(family)
    run = kernel(sample_kernel, name, interpreted=interpreted, **holes)
    sampler = sampler_of(family, distribution)
    run(0, n, level, scratch, rng, distribution.params, sampler, seeds, broken, tries)
    if n and tries.min() == 0:
        raise ValueError(no_level(family, distribution))
    return Levels(family=family, cell=distribution.cell, level=level, seeds=seeds, broken=broken)


def no_level(family: Family, distribution: LevelDistribution) -> str:
    """What is said when a distribution has no acceptable level."""
    return (
        f"no acceptable level of {family.name} in {MAX_ATTEMPTS} draws from "
        f"{distribution.params}; make the level larger or ask for fewer objects"
    )


def sample_quadruples(
    family: Family, cell: Cell, seeds: Any, split: str = "held_out"
) -> dict[str, Levels]:
    """The four variants of each seed: 00 in distribution, 10 cue broken, 01 context changed, 11.

    00 and 10 have the same geometry, so have 01 and 11.
    """
    return {
        variant: sample_levels(family, variant_distribution(cell, variant, split), seeds)
        for variant in VARIANTS
    }


def finite_levels(family: Family, distribution: LevelDistribution, train_seed: int) -> Levels:
    """The whole set of `num_levels` levels that an agent of this number trains on."""
    with np.errstate(over="ignore"):  # uint64 arithmetic wraps on purpose
        key = mix(np.uint64(train_seed))
        seeds = combine(key, np.arange(distribution.num_levels, dtype=np.uint64))
    return sample_levels(family, distribution, seeds)


def cue_holds(levels: Levels) -> Array:
    """bool [n]: which levels look as they do when the cue is intact."""
    cell = levels.cell
    held = [cell.cue.holds(i, levels.level, cell.params) for i in range(len(levels))]
    return np.array(held, np.bool_)


def variant_distribution(
    cell: Cell, variant: str, split: str = "held_out", horizon_steps: int = 0
) -> LevelDistribution:
    """The sampler of one of VARIANTS; see `sample_quadruples`."""
    return LevelDistribution(
        cell=cell,
        params=cell.variant_params(variant),
        cue=CueDraw.SHIFTED if variant[0] == "1" else CueDraw.INTACT,
        split=split,  # type: ignore[arg-type]
        horizon_steps=horizon_steps,
    )


def drawn_levels(family: Family, cell: Cell, *drawings: str) -> Levels:
    """Levels from drawings (see the family's `draw`); their seeds are 0, 1, ...

    Raises:
        ValueError: a drawing is not a legal level of the family.
    """
    return joined(family, cell, [family.parse(drawing) for drawing in drawings])


def joined(family: Family, cell: Cell, each: Sequence[Any]) -> Levels:
    """Levels, each a family's Level of one, as one batch; their seeds are 0, 1, ..."""
    return Levels(
        family=family,
        cell=cell,
        level=type(each[0])(*(np.concatenate(arrays) for arrays in zip(*each, strict=True))),
        seeds=np.arange(len(each), dtype=np.uint64),
        broken=np.zeros(len(each), np.bool_),
    )


def rule_holes(family: Family) -> dict[str, Any]:
    """The rules of a family under the names that the kernels use."""
    return {
        "family_sample_geometry": family.sample_geometry,
        "family_place_things": family.place_things,
        "family_place_cue": family.place_cue,
        "family_geometry_hash": family.geometry_hash,
    }
