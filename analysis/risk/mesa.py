"""The mesa-optimization index: emergence x misalignment x severity. It is not a probability.

    R = P(emergence) x P(misaligned | emergence) x S,      S = C^alpha x M^beta

alpha = 2 and beta = 1.5 are printed without data; C is capability relative to current systems, M
the degree of misalignment in 0..1. S is a relative harm without an upper bound.
"""

from dataclasses import dataclass, field
from typing import NoReturn

import numpy as np

from misgen.analysis.priors import load_priors
from misgen.analysis.priors.types import MesaPriors
from misgen.analysis.rates import FloatArray
from misgen.analysis.risk.parameters import check_draws, stream

CAVEATS = (
    "an index, not a probability: severity is relative harm without an upper bound",
    "nothing that is measured here moves it: failing goals do not show an internal optimizer",
    "the ranges are judgements that the source calls 90 % intervals; they are drawn as uniform",
    "the exponents are printed without data; they are parameters",
    "the source gives no degree of misalignment per type; 1 leaves M out",
    "the source's periods overlap, and its harm multipliers leave a gap between 10 and 25",
    "transformative: the source prints a capability alone; the rest is of the period before",
)
LEVEL_OF_PERIOD = {
    "current": "current",
    "near_term": "near_term",
    "medium_term": "agi_approaching",
    "transformative": "transformative",
}
"""Period -> capability level of about the same years; the pairing is ours. Of the last one the
source prints the level alone: its probabilities are those of the period before."""
MESA_PERIODS = tuple(LEVEL_OF_PERIOD)

Number = float | tuple[float, float]


def _refuse(self: "MesaIndex", other: object) -> NoReturn:
    raise TypeError(
        "the mesa-optimization index is no probability and enters no arithmetic with one; got "
        f"{type(other).__name__}; compare two indices with `relative_to`"
    )


@dataclass(frozen=True)
class MesaIndex:
    """Draws [draws] of the three parts of the index and of it. It refuses arithmetic."""

    period: str
    p_emergence: FloatArray
    p_misaligned: FloatArray
    severity: FloatArray
    exponents: tuple[float, float]
    caveats: tuple[str, ...] = field(default=CAVEATS, repr=False)

    # NumPy arrays and numbers on the left hand defer to these.
    __array_ufunc__ = None
    __mul__ = __rmul__ = __add__ = __radd__ = __sub__ = __rsub__ = _refuse
    __truediv__ = __rtruediv__ = _refuse

    @property
    def values(self) -> FloatArray:
        return self.p_emergence * self.p_misaligned * self.severity

    def relative_to(self, other: "MesaIndex") -> FloatArray:
        """This index over another's, draw by draw [draws]: what an index is for."""
        if not isinstance(other, MesaIndex):
            _refuse(self, other)
        if self.exponents != other.exponents:
            raise ValueError(
                f"indices compare at equal exponents; got {self.exponents} and {other.exponents}"
            )
        return self.values / other.values


def mesa_index(
    period: str = "current",
    *,
    capability: Number | None = None,
    misalignment: Number = 1.0,
    exponents: tuple[float, float] | None = None,
    priors: MesaPriors | None = None,
    draws: int = 4000,
    seed: int = 0,
) -> MesaIndex:
    """The index of a period, one of MESA_PERIODS.

    capability: C >= 0, or (low, high) of a uniform; None is the period's printed level.
    misalignment: M in 0..1 likewise. exponents: (alpha, beta); None is the printed pair.
    Raises ValueError for another period, numbers out of range, or an index that overflows.
    """
    check_draws(draws, seed)
    priors = priors or load_priors().mesa
    if period not in MESA_PERIODS:
        raise ValueError(f"a period is one of {', '.join(MESA_PERIODS)}; got {period!r}")
    if capability is None:
        capability = priors.capability[LEVEL_OF_PERIOD[period]].range
    if exponents is None:
        exponents = (priors.exponent_capability.number, priors.exponent_misalignment.number)
    # Below 0 more capability would mean less harm.
    if not all(0 <= exponent < np.inf for exponent in exponents):
        raise ValueError(
            f"exponents are finite numbers of at least 0; got {exponents}; the source prints 2, 1.5"
        )
    row = priors.periods.get(period) or [*priors.periods.values()][-1]
    bounds: dict[str, tuple[Number, float]] = {
        "emergence": (row.p_emergence.range, 1),
        "misaligned": (row.p_misaligned.range, 1),
        "capability": (capability, np.inf),
        "misalignment": (misalignment, 1),
    }
    drawn = {name: _uniform(name, *bound, draws, seed) for name, bound in bounds.items()}
    with np.errstate(over="ignore"):
        severity = drawn["capability"] ** exponents[0] * drawn["misalignment"] ** exponents[1]
    if not np.isfinite(severity).all():
        raise ValueError(
            f"a severity must be a finite number; got exponents {exponents} with capability "
            f"{capability}; use smaller ones"
        )
    return MesaIndex(period, drawn["emergence"], drawn["misaligned"], severity, exponents)


def _uniform(name: str, at: Number, high: float, draws: int, seed: int) -> FloatArray:
    """A number, or (low, high) of a uniform, within 0..high."""
    bounds = at if isinstance(at, tuple) else (at, at)
    if not 0 <= bounds[0] <= bounds[1] <= high:
        raise ValueError(f"{name} is within 0..{high:g}, or (low, high) there; got {at}")
    return stream(seed, f"mesa/{name}").uniform(*bounds, draws)
