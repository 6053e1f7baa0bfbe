"""What the pages share: charts with their tables."""

from collections.abc import Sequence
from dataclasses import dataclass

from misgen.analysis.tables import Table


@dataclass(frozen=True)
class Chart:
    title: str
    svg: str
    caption: str = ""


@dataclass(frozen=True)
class Exhibit:
    """Charts and the tables below them. missing: said where there is no chart."""

    charts: Sequence[Chart] = ()
    tables: Sequence[Table] = ()
    missing: str = ""


def family_name(family: str) -> str:
    """`keys_and_chests` as `Keys and chests`."""
    return family.replace("_", " ").capitalize()
