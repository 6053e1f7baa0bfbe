"""What the pages claim, and what it rests on: `python -m tests.claims` writes CLAIMS.md.

analysis/published/claims.yaml names, for every number on the pages, the measurement that it is of;
SQL over the published files says again what it must be. Numbers that were chosen and not measured
are listed there, too, so that none is forgotten. test_claims.py holds pages, YAML and CLAIMS.md
together.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import yaml

ROOT = Path(__file__).parents[1]
PUBLISHED = ROOT / "analysis" / "published"
PAGES = ("README.md", *(f"{x}/README.md" for x in ("envs", "agents", "experiments", "analysis")))

# With a unit at its end or without; not the digits of C2, x3, 0.10.7 or a commit.
NUMBER = re.compile(
    r"(?:(?<![\w.])[-+])?(?<![\w.])(?:(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|\.\d+)(?!\d|\.\d|,\d{3})"
)
NOT_PROSE = re.compile(
    r"```.*?```|`(?:[^`\n]|\n(?!\n))*`|<!--.*?-->|^#.*?$|\]\([^)]*\)|https?://\S+|^\|[-:| ]+\|$",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True)
class Claim:
    page: str
    says: str  # a passage of the page; blanks and line ends are alike
    source: str
    sql: str = ""  # its numbers in their order, not necessarily all; true: what the words say holds


def read_claims() -> dict[str, Any]:
    return yaml.safe_load((PUBLISHED / "claims.yaml").read_text(encoding="utf-8"))


def claims_of(index: dict[str, Any]) -> Iterator[Claim]:
    for page, entries in index["claims"].items():
        for entry in entries:
            yield Claim(page, **entry)


# ------------------------------------------------------------------------------------- the pages


def prose_of(page: str) -> str:
    """A page as `as_prose`, without what is made of the registry of cells."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return as_prose(
        re.sub(r"<!-- (gallery|reference) -->.*?<!-- /\1 -->", " ", text, flags=re.DOTALL)
    )


def as_prose(text: str) -> str:
    """On one line; code, links and headings are blank."""
    return " ".join(NOT_PROSE.sub(" ", text).split())


def span_of(passage: str, prose: str) -> tuple[int, int]:
    """Where a passage is in `prose`. ValueError: not once."""
    words = as_prose(passage)
    if not words or prose.count(words) != 1:
        raise ValueError(f"must be there once, is {prose.count(words)} times: {passage}")
    start = prose.index(words)
    return start, start + len(words)


def labels_in(prose: str, index: dict[str, Any]) -> list[tuple[int, int]]:
    """Where numbers name something."""
    return [x.span() for label in index["labels"] for x in re.finditer(label, prose)]


def numbers_without_source(page: str, prose: str, index: dict[str, Any]) -> list[str]:
    """Each with the words around it."""
    passages = [claim.says for claim in claims_of(index) if claim.page == page]
    passages += index["chosen"].get(page, [])
    covered = [span_of(passage, prose) for passage in passages] + labels_in(prose, index)
    return [
        prose[max(at.start() - 60, 0) : at.end() + 30] for at in numbers_outside(covered, prose)
    ]


def numbers_outside(covered: list[tuple[int, int]], prose: str) -> Iterator[re.Match[str]]:
    for at in NUMBER.finditer(prose):
        if not any(low <= at.start() and at.end() <= high for low, high in covered):
            yield at


# ------------------------------------------------------------------------------------- the data


@cache
def database() -> duckdb.DuckDBPyConnection:
    made = duckdb.connect()
    made.execute(f"set file_search_path = '{PUBLISHED}'")
    for each in read_claims()["created"]:
        made.execute(f"create {each}")
    return made


@cache
def values_of(sql: str) -> list[Any]:
    """What it says, row by row; lists are laid out."""
    cells = [cell for row in database().sql(sql).fetchall() for cell in row]
    return [x for cell in cells for x in (cell if isinstance(cell, list) else [cell])]


def stated_in(claim: Claim, index: dict[str, Any]) -> list[str]:
    """Its numbers but for labels, as the page writes them."""
    says = as_prose(claim.says)
    return [at.group() for at in numbers_outside(labels_in(says, index), says)]


def differences(claim: Claim, index: dict[str, Any]) -> list[str]:
    """What the data hold and the passage does not state, in their order, to its own digits."""
    stated, missing = stated_in(claim, index), []
    values = values_of(claim.sql)
    if not values or None in values:
        return [f"no numbers: {values}"]
    for value in values:
        if isinstance(value, bool):
            missing += [] if value else ["it does not hold"]
            continue
        at = next((k for k, word in enumerate(stated) if is_rounded(word, float(value))), None)
        if at is None:
            missing.append(f"{float(value):.5g}")
        else:
            stated = stated[at + 1 :]
    return missing


def is_rounded(word: str, value: float) -> bool:
    """Whether a number as a page writes it is this value; a small one without decimals is exact."""
    off = abs(float(word.replace(",", "")) - value)
    if "." not in word and abs(value) < 10:
        return off < 1e-9
    return off <= 0.5 * 10 ** -len(word.partition(".")[2]) * (1 + 1e-6)


# ------------------------------------------------------------------------------------- CLAIMS.md


def as_markdown(index: dict[str, Any]) -> str:
    lines = [
        "# What the pages claim",
        "",
        "Every number of the READMEs that was measured, by what it rests on; made of `claims.yaml`",
        "by `python -m tests.claims`. *Checked*: how many of a claim's numbers are computed again",
        "from the files named whenever the tests run; *yes*: what its words say is. Numbers that",
        "were chosen (settings, rules, figures of the source documents) are not claims.",
    ]
    claims = list(claims_of(index))
    for name, source in index["sources"].items():
        lines += ["", f"## {source['title']}", ""]
        for word in ("command", "files", "agents", "interval", "weakest link"):
            lines.append(f"* {word}: {source[word]}")
        lines += ["", "| page | claim | checked |", "|---|---|---|"]
        for claim in claims:
            if claim.source == name:
                cells = (claim.page, quote(claim), checked(claim, index))
                lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def quote(claim: Claim) -> str:
    """In a cell of a table; links are their words."""
    says = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", " ".join(claim.says.split()))
    return says.strip("| ").replace("|", "\\|")


def checked(claim: Claim, index: dict[str, Any]) -> str:
    if not claim.sql:
        return ""
    numbers = sum(not isinstance(value, bool) for value in values_of(claim.sql))
    return f"{numbers} of {len(stated_in(claim, index))}" if numbers else "yes"


if __name__ == "__main__":
    (PUBLISHED / "CLAIMS.md").write_text(as_markdown(read_claims()), encoding="utf-8")
