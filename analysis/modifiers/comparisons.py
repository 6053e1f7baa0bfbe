"""Which arms are compared for each modifier: those of one cell that differ in it alone."""

import math
from collections import defaultdict
from collections.abc import Iterator
from types import MappingProxyType
from typing import NamedTuple

from misgen.analysis.modifiers.cells import PLAYER, Cell, Setup, averaged
from misgen.analysis.rates import AgentCounts
from misgen.analysis.records import tags_of

NARROW_BELOW, DIVERSE_ABOVE = 0.1, 0.3
SPEC_BANDS = MappingProxyType({"high": (0.8, 1.0), "medium": (0.4, 0.7), "low": (0.0, 0.3)})
HUMAN_BAND = (0.8, 1.05)
METHOD_LEVELS = MappingProxyType({"cloning": "behavioral_cloning"})

LEVELS = MappingProxyType(
    {
        "diversity": ("narrow", "diverse"),
        "spec": tuple(SPEC_BANDS),
        "capability": ("below_human", "superhuman"),
        "method": ("behavioral_cloning", "interpretability_verified"),
    }
)
"""The source's levels other than the reference."""


REFERENCE = Setup("ppo", 0.1, 1.0)
"""The arm at which every modifier is 1; the source's neutral diversity is .1-.3."""


class Comparison(NamedTuple):
    modifier: str
    level: str
    arm: str
    reference: str
    agents: AgentCounts
    reference_agents: AgentCounts
    tags: str = ""
    note: str = ""
    at_reference: bool = True


def comparisons(cell: Cell, reference: Setup) -> Iterator[Comparison]:
    """Arms of one cell that differ in one thing alone."""
    for setup in sorted(cell.arms):
        for modifier, level, base in _against(setup, reference):
            if base in cell.arms and base != setup:
                away = f"at d={base.d:g}, not at the reference d={reference.d:g}"
                yield Comparison(
                    modifier, level, setup.label, base.label,
                    cell.arms[setup], cell.arms[base], tags_of(setup.q),
                    note="" if base.d == reference.d else away,
                    at_reference=base.d == reference.d,
                )  # fmt: skip
    yield from _capability(cell, reference)


def _against(setup: Setup, reference: Setup) -> Iterator[tuple[str, str, Setup]]:
    """The arm that a setup is compared with, for each modifier that could tell them apart."""
    method, d, q = setup
    if (method, q) == (reference.method, reference.q):
        yield "diversity", diversity_level(d), reference
    if method == reference.method:
        yield "spec", spec_level(q), setup._replace(q=reference.q)
    if q == reference.q:
        yield "method", METHOD_LEVELS.get(method, method), setup._replace(method=reference.method)


def diversity_level(d: float) -> str:
    """The source's level of a training diversity."""
    if d < NARROW_BELOW:
        return "narrow"
    return "diverse" if d > DIVERSE_ABOVE else "reference"


def spec_level(q: float) -> str:
    """The source's band of a specification quality; it leaves gaps between its bands."""
    for name, (low, high) in SPEC_BANDS.items():
        if low <= q <= high:
            return name
    return "between bands"


def capability_level(competence: float) -> str:
    """The band of a competence; "" where it is not known."""
    if math.isnan(competence):
        return ""
    low, high = HUMAN_BAND
    if competence < low:
        return "below_human"
    return "reference" if competence <= high else "superhuman"


_BAND_NAMES = {
    "below_human": f"competence < {HUMAN_BAND[0]:g}",
    "reference": f"competence {HUMAN_BAND[0]:g}-{HUMAN_BAND[1]:g}",
    "superhuman": f"competence > {HUMAN_BAND[1]:g}",
}


def _capability(cell: Cell, reference: Setup) -> Iterator[Comparison]:
    """Checkpoints of agents of the reference method and q, band against band, at each d that has
    several checkpoints. An agent may be in both bands, in one, or in neither."""
    for setup in with_checkpoints(cell, reference):
        bands = defaultdict(list)
        for one in cell.checkpoints[setup]:
            bands[capability_level(one.competence)].append(one)
        for level in LEVELS["capability"]:
            if bands[level] and bands["reference"]:
                yield Comparison(
                    "capability", level,
                    f"{setup.label}, {_BAND_NAMES[level]}",
                    f"{setup.label}, {_BAND_NAMES['reference']}",
                    averaged(bands[level]), averaged(bands["reference"]),
                    note=f"checkpoints at d={setup.d:g}; player: {PLAYER}",
                    at_reference=setup.d == reference.d,
                )  # fmt: skip


def with_checkpoints(cell: Cell, reference: Setup) -> list[Setup]:
    """Arms of the reference method and q with several checkpoints."""
    return [
        setup
        for setup, checkpoints in sorted(cell.checkpoints.items())
        if (setup.method, setup.q) == (reference.method, reference.q)
        and len({one.block.checkpoint_step for one in checkpoints}) > 1
    ]
