"""Every number on the pages is one that was measured, and says what it rests on, or was chosen."""

import re
from dataclasses import replace

import pytest
from tests.claims import (
    PAGES,
    PUBLISHED,
    as_markdown,
    as_prose,
    claims_of,
    differences,
    is_rounded,
    numbers_without_source,
    prose_of,
    read_claims,
    span_of,
)

INDEX = read_claims()
CLAIMS = list(claims_of(INDEX))


@pytest.mark.parametrize("page", PAGES)
def test_every_number_has_a_source_or_was_chosen(page):
    assert not numbers_without_source(page, prose_of(page), INDEX)


@pytest.mark.parametrize("words", ["holds in .83 of them", "is 3x as fast", "takes 7.5s, no more"])
def test_a_new_number_needs_a_source(words):
    (found,) = numbers_without_source("README.md", f"{prose_of('README.md')} It {words}", INDEX)
    assert words[-9:] in found


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: f"{claim.page} {claim.says[:40]}")
def test_what_is_claimed_stands_there_and_follows_from_the_files(claim):
    span_of(claim.says, prose_of(claim.page))
    if claim.sql:
        assert not differences(claim, INDEX)


def test_another_number_than_that_of_the_files_is_found():
    claim = next(claim for claim in CLAIMS if ".36 / .09 / .55" in claim.says)
    assert not differences(claim, INDEX)
    for there, wrong in ((".36", ".37"), (".962", ".926"), (".65 |", ".66 |")):
        assert differences(replace(claim, says=claim.says.replace(there, wrong)), INDEX)
    assert differences(replace(claim, sql="select .36, false"), INDEX)
    assert differences(replace(claim, sql="select .36 where false"), INDEX)


def test_the_index_is_made_of_the_claims():
    assert (PUBLISHED / "CLAIMS.md").read_text(encoding="utf-8") == as_markdown(INDEX)


def test_every_source_has_claims_and_names_files_that_are_there():
    assert {claim.source for claim in CLAIMS} == set(INDEX["sources"])
    for source in INDEX["sources"].values():
        assert {"title", "command", "files", "agents", "interval", "weakest link"} == set(source)
        for file in source["files"].split():
            assert file == "-" or (PUBLISHED / file).exists(), file


def test_passages_and_labels_are_of_use():
    """Those that cover no number are left from a former page."""
    for page, passages in INDEX["chosen"].items():
        for passage in passages:
            without = {**INDEX["chosen"], page: [x for x in passages if x != passage]}
            found = numbers_without_source(page, prose_of(page), {**INDEX, "chosen": without})
            assert found, passage
    for label in INDEX["labels"]:
        assert any(re.search(label, prose_of(page)) for page in PAGES), label


def test_what_is_no_prose():
    text = "# Part 2\n\nOf 3 [in 4](f5.md) `a 6`, `b\n7`: 8\n\n```sh\n9\n```\n<!-- 10 -->\n"
    assert as_prose(text) == "Of 3 [in 4 , : 8"


@pytest.mark.parametrize(
    ("word", "value", "expected"),
    [
        (".55", 0.5549, True),
        (".55", 0.556, False),
        ("1,008", 1008, True),
        ("-12", -12.4, True),
        ("3", 3, True),
        ("1", 0.98, False),
    ],
)
def test_rounding(word, value, expected):
    assert is_rounded(word, value) is expected
