"""A figure with its provenance."""

from dataclasses import dataclass, replace

Range = tuple[float, float]


@dataclass(frozen=True)
class Figure:
    """One number, or a (low, high) range, with where it comes from.

    kind: "printed" in the source; "derived" from printed figures by arithmetic; "external", from
    other revisions of the source's pages; "user", from a file. source: "000" to "003", or a name;
    lines: first and last of the rendering or the file, (0, 0) if none. An open end is inf.
    """

    value: float | Range
    unit: str
    kind: str
    source: str
    section: str
    lines: tuple[int, int]
    note: str = ""

    @property
    def number(self) -> float:
        if not isinstance(self.value, float):
            raise TypeError(f"a single number is needed here; got {self.value} ({self.section})")
        return self.value

    @property
    def range(self) -> Range:
        if not isinstance(self.value, tuple):
            raise TypeError(f"a (low, high) range is needed here; got {self.value}")
        return self.value

    def derived(self, value: float | Range, note: str) -> "Figure":
        """What follows from this figure and others beside it."""
        return replace(self, value=value, kind="derived", note=note)
