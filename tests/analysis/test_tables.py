"""A table holds numbers; text and CSV are made of them at the edge."""

import math

import pytest

from misgen.analysis.intervals import Estimate
from misgen.analysis.tables import Table

RATES = Table(
    "Rates",
    ["type", "cell", "rate", "agents", "why"],
    [
        ["moderate", "C2", Estimate(0.25, 0.1, 0.4), 8, ""],
        ["moderate", "K2", Estimate(math.nan, reason="no agent"), None, "no agent"],
    ],
    "Means over agents.",
    keys=2,
)


def test_text_repeats_no_key_and_rules_the_header() -> None:
    assert RATES.as_text() == (
        "Rates\n\n"
        "type      cell  rate               agents  why\n"
        "--------  ----  -----------------  ------  --------\n"
        "moderate  C2    .250 [.100, .400]  8\n"
        "          K2    -                          no agent\n\n"
        "Means over agents.\n"
    )


def test_a_wide_table_continues_below_with_its_keys() -> None:
    lines = RATES.as_text(width=40).splitlines()
    assert max(map(len, lines)) <= 40
    assert [line.split() for line in lines if line.startswith("type")] == [
        ["type", "cell", "rate"],
        ["type", "cell", "agents", "why"],
    ]


def test_words_are_wrapped_within_their_column() -> None:
    table = Table("Why", ["what", "why"], [["capability", "nothing of it was varied " * 3]])
    assert table.as_text().splitlines()[2:] == [
        "what        why",
        "----------  ----------------------------------",
        "capability  nothing of it was varied nothing",
        "            of it was varied nothing of it was",
        "            varied",
    ]


def test_csv_is_complete_in_every_row() -> None:
    assert RATES.as_csv().splitlines() == [
        "type,cell,rate,rate low,rate high,agents,why",
        "moderate,C2,0.25,0.1,0.4,8,",
        "moderate,K2,,,,,no agent",
    ]


def test_html_groups_rows_by_their_first_key() -> None:
    assert RATES.heads == ["cell", "rate", "agents", "why"]
    assert [*RATES.bodies()] == [
        ("moderate", [["C2", ".250 [.100, .400]", "8", ""], ["K2", "-", "", "no agent"]])
    ]


def test_a_form_and_a_hidden_column() -> None:
    table = Table("Costs", ["arm", "share", "run"], [["d=0", 0.5, "a7"]], forms={"share": ".0%"},
                  hidden=["run"])  # fmt: skip
    assert table.cells() == [["d=0", "50%"]] and "a7" in table.as_csv()


def test_without_rows_it_says_so() -> None:
    assert Table("Pairs", ["pair"], []).as_text() == "Pairs\n\n(nothing)\n"


def test_a_row_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match=r"each of the 2 columns of 'A'; got rows of \[1\]"):
        Table("A", ["x", "y"], [["only one"]])
