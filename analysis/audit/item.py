"""A finding of the audit, and how its numbers are written."""

from collections.abc import Iterable
from dataclasses import dataclass

from misgen.analysis.priors.types import Range


@dataclass(frozen=True)
class AuditItem:
    """One finding. id: "B1.harm". printed: what the source says. derived: what follows.

    treatment: what this project does. where: the topics of results that it concerns; a result
    carries it as a warning only if is_warning, the others are listed by `misgen risk audit`.
    """

    id: str
    title: str
    printed: str
    derived: str
    treatment: str
    where: tuple[str, ...]
    is_warning: bool = False

    @property
    def line(self) -> str:
        return f"{self.id} {self.title}: printed {self.printed}; {self.derived}"


def percents(values: Iterable[float], digits: int = 1) -> str:
    """`3.6 / 10.0 / 21.8 %`"""
    return " / ".join(_percent(value, digits) for value in values) + " %"


def numbers(values: Iterable[float], digits: int = 3) -> str:
    return " / ".join(f"{value:.{digits}f}" for value in values)


def spans(ranges: Iterable[Range], digits: int = 1) -> str:
    """`1.0-10.0 / 3.0-22.0 %`"""
    parts = (f"{_percent(low, digits)}-{_percent(high, digits)}" for low, high in ranges)
    return " / ".join(parts) + " %"


def union(ranges: Iterable[Range]) -> Range:
    lows, highs = zip(*ranges, strict=True)
    return min(lows), max(highs)


def are_positive(ranges: Iterable[Range]) -> bool:
    """Whether all ends can be divided by: a user's file may set a probability to 0."""
    return all(low > 0 and high > 0 for low, high in ranges)


def _percent(value: float, digits: int) -> str:
    # .8455 is stored as .84549...: without the nudge it would print as 84.5.
    return f"{100 * value + 1e-9:.{digits}f}"
