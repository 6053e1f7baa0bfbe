"""The levels that a subject is evaluated on, planned: its own block of level seeds.

Agent number a plays level seeds eval_base + a * 10^6 + i, without those whose level the block has
already: agents do not share seeds, agents of the same number in other arms do.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from misgen.analysis.files import atomic_write_bytes
from misgen.envs.core.kernel_cache import cache_folder
from misgen.envs.core.levels import Levels, sample_levels, sample_quadruples, variant_distribution
from misgen.envs.core.planner import Plan
from misgen.envs.core.plans import INTENDED, Plans, Plays, solve_together
from misgen.envs.core.pursuits import pursuits_of
from misgen.envs.core.types import VARIANTS, Array
from misgen.experiments.runs.folder import results_root
from misgen.experiments.runs.subjects import cell_of, family_of, is_at_home

BLOCK = 10**6  # level seeds of one agent
PAIRS = (("00", "10"), ("01", "11"))  # variants of one geometry, which are planned together
MOST_DRAWS = 20  # level seeds that are tried for each that is asked for


@dataclass(frozen=True, kw_only=True)
class Variant:
    """The levels of one column of the evaluation and what is known about them before any agent.

    `judged` and `limit` are int32 [n], steps.
    """

    name: str  # one of VARIANTS, or "own"
    plans: Plans
    judged: Array
    limit: Array

    @property
    def levels(self) -> Levels:
        return self.plans.levels

    @property
    def planner_return(self) -> Array:
        """Expected return of the intended planner, float64 [n]. The planner's sums of products are
        not exact; without rounding that would decide whether a regret of one half is harm."""
        rounded: Array = np.round(self.plans.value[:, INTENDED], 9)
        return rounded

    @property
    def cue_is_broken(self) -> bool:
        """Whether a goal failure is declared here."""
        return self.name[0] == "1"


def block(argument: dict[str, Any]) -> Iterator[Variant]:
    """The subject's variants, planned, and at home its own held-out levels."""
    yield from quadruples(argument)
    if not is_at_home(argument):
        return
    levels, horizon = own_levels(argument)
    what = {
        **_identity(argument),
        "own": argument["subject"]["cell"],
        "d": argument["subject"]["d"],
    }
    solve_own = partial(solve_together, [levels], horizon, seed=argument["eval_seed"])
    (plan,), _ = solved(what, [levels], solve_own)
    steps = np.full(len(levels), horizon, np.int32)
    yield Variant(name="own", plans=plan, judged=steps, limit=steps)


def quadruples(argument: dict[str, Any], is_kept: bool = True) -> Iterator[Variant]:
    """The four variants of the cell that is played; one pair is planned at a time. is_kept: whether
    plans are found and kept on disk."""
    family, cell = family_of(argument), cell_of(argument)
    levels = sample_quadruples(family, cell, quadruple_seeds(argument))
    for pair in PAIRS:
        batches = [levels[name] for name in pair]
        solve_pair = partial(solve_together, batches, seed=argument["eval_seed"])
        if is_kept:
            what = {**_identity(argument), "cell": cell.code, "variants": pair}
            plans, judged = solved(what, batches, solve_pair)
        else:
            plans, judged = solve_pair()
        for name, plan in zip(pair, plans, strict=True):
            limit = judged * plan.levels.cell.horizon_factor(name)
            yield Variant(name=name, plans=plan, judged=judged, limit=limit)


def planned_quadruples(argument: dict[str, Any]) -> dict[str, Variant]:
    """The same by their names, planned here and now: nothing is kept on disk."""
    found = {variant.name: variant for variant in quadruples(argument, is_kept=False)}
    return {name: found[name] for name in VARIANTS}


def _identity(argument: dict[str, Any]) -> dict[str, Any]:
    """What decides a block of levels and its plans, but for the cell and the variant."""
    named = ("family_version", "num_levels", "eval_base", "eval_seed")
    number, family = argument["subject"]["agent_number"], argument["subject"]["family"]
    return {"family": family, "number": number, **{name: argument[name] for name in named}}


def quadruple_seeds(argument: dict[str, Any]) -> Array:
    """Level seeds of the subject's block, int64 [num_levels]: no level with the cue broken comes
    twice, with the old or the new context."""
    family, cell = family_of(argument), cell_of(argument)

    def draw(seeds: Array) -> Sequence[Levels]:
        broken = (variant_distribution(cell, variant) for variant in ("10", "11"))
        return [sample_levels(family, distribution, seeds) for distribution in broken]

    return distinct_seeds(argument, draw)


def distinct_seeds(argument: dict[str, Any], draw: Callable[[Array], Sequence[Levels]]) -> Array:
    """The first seeds of the subject's block with levels of their own, int64 [num_levels].

    draw: the levels of given seeds, in one variant or several. A seed is left out whose level
    equals, in any of them, that of an earlier one. Fewer where MOST_DRAWS times as many seeds have
    no more.
    """
    wanted = argument["num_levels"]
    first = argument["eval_base"] + argument["subject"]["agent_number"] * BLOCK
    end = first + min(MOST_DRAWS * wanted, BLOCK)
    kept: list[int] = []
    seen: list[set[int]] = []
    tried = 0
    while len(kept) < wanted and first < end:
        seeds = np.arange(first, min(first + 2 * (wanted - len(kept)), end))
        hashes = [levels.hashes().tolist() for levels in draw(seeds)]
        seen = seen or [set() for _ in hashes]
        for seed, *own in zip(seeds.tolist(), *hashes, strict=True):
            if not any(value in before for value, before in zip(own, seen, strict=True)):
                kept.append(seed)
                for value, before in zip(own, seen, strict=True):
                    before.add(value)
        first, tried = int(seeds[-1]) + 1, tried + len(seeds)
    if len(kept) < wanted:
        number = argument["subject"]["agent_number"]
        print(
            f"{argument['cell']} has {len(kept)} levels of {wanted} for agent {number}: its first "
            f"{tried:,} level seeds have no more that differ"
        )
    return np.array(kept[:wanted], np.int64)


def own_levels(argument: dict[str, Any]) -> tuple[Levels, int]:
    """Held-out levels of the subject's training distribution, none of them twice, and their time
    limit in steps."""
    family, subject = family_of(argument), argument["subject"]
    cell = family.cell(subject["cell"])
    distribution = family.train_distribution(cell, subject["d"]).held_out()
    seeds = distinct_seeds(argument, lambda seeds: [sample_levels(family, distribution, seeds)])
    return sample_levels(family, distribution, seeds), distribution.horizon_steps


# --- Plans kept on disk --------------------------------------------------------------------------

# The controls and all agents that play a block of levels need the same plans, whose search takes
# half of an evaluation. What is missing is solved, what cannot be written or read costs time only.

MOST_BYTES = 2 * 2**30  # on disk; a block has 60-130 MB

PLANS_OWN = ("length", "value", "num_states", "keys")  # arrays of Plans beside those in its parts

Solved = tuple[Sequence[Plans], Array]  # the plans of batches of levels, and T of each level


def solved(
    what: Mapping[str, Any], batches: Sequence[Levels], solve: Callable[[], Solved]
) -> Solved:
    """What `solve` returns for these levels, found on disk or kept there.

    what: all that decides the levels and the plans, as JSON data, but for our own rules, which are
    known by the folder of their kernels. Levels of a family of the user's own are not kept.
    """
    rules = cache_folder()
    if ":" in str(what["family"]) or rules is None:
        return solve()
    identity = json.dumps({**what, "rules": rules.name}, sort_keys=True)
    file = _folder() / f"{hashlib.sha256(identity.encode()).hexdigest()[:24]}.npz"
    with (
        contextlib.suppress(Exception),  # a damaged file raises anything
        file.open("rb") as data,
        np.load(data, allow_pickle=False) as arrays,
    ):
        kept = [_plans(levels, arrays, f"{b}.") for b, levels in enumerate(batches)]
        return kept, arrays["judged"]
    plans, judged = solve()
    with contextlib.suppress(OSError, ValueError):  # a full disk, a folder that is none
        file.parent.mkdir(parents=True, exist_ok=True)
        _make_room(file.parent)
        atomic_write_bytes(file, _bytes_of(plans, judged))
    return plans, judged


def forget_plans() -> None:
    """Remove what is kept, once nothing needs it."""
    shutil.rmtree(_folder(), ignore_errors=True)


def _folder() -> Path:
    return results_root() / "solved_blocks"


def _make_room(folder: Path) -> None:
    """Remove the oldest files until there is room for another one."""
    files = sorted(folder.glob("*.npz"), key=lambda file: file.stat().st_mtime)
    total = sum(file.stat().st_size for file in files)
    for file in files:
        if total < MOST_BYTES:
            return
        total -= file.stat().st_size
        file.unlink(missing_ok=True)


def _bytes_of(plans: Sequence[Plans], judged: Array) -> bytes:
    arrays = {"judged": judged}
    for b, each in enumerate(plans):
        own = {name: getattr(each, name) for name in PLANS_OWN}
        own |= each.plan._asdict() | each.plays._asdict()
        arrays |= {f"{b}.{name}": array for name, array in own.items()}
    data = io.BytesIO()
    np.savez(data, **arrays)  # type: ignore[arg-type]
    return data.getvalue()


def _plans(levels: Levels, arrays: Mapping[str, Array], prefix: str) -> Plans:
    def of(kind: Any) -> Any:
        return kind(*(arrays[prefix + name] for name in kind._fields))

    own = {name: arrays[prefix + name] for name in PLANS_OWN}
    pursuits = pursuits_of(levels.cell, len(levels.family.events))
    return Plans(levels=levels, plan=of(Plan), plays=of(Plays), pursuits=pursuits, **own)
