"""The audit: its findings in order, its warnings once, and what a set of other figures drops."""

from pathlib import Path
from typing import Any

import pytest

from misgen.analysis import audit as audit_module
from misgen.analysis.audit import TOPICS, AuditItem, audit, format_audit, warn, warnings_of
from misgen.analysis.priors import load_priors

ITEMS = {item.id: item for item in audit()}


def test_every_section_is_there_in_order_under_unique_ids() -> None:
    ids = [item.id for item in audit()]
    assert len(ids) == len(set(ids)) == 57
    sections = [int(id[1:].split(".")[0]) for id in ids]
    assert sections == sorted(sections) and set(sections) == set(range(1, 13))
    for item in audit():
        assert item.where and set(item.where) <= set(TOPICS), item.id
        assert item.title and item.printed and item.derived and item.treatment, item.id
    assert {topic for item in audit() for topic in item.where} == set(TOPICS)


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_module, "_given", set())


def test_a_warning_is_given_once_and_only_warnings_are(fresh: None) -> None:
    first = warn("shift_types")
    expected = [i for i in audit() if i.is_warning and "shift_types" in i.where]
    assert [line.split()[0] for line in first] == [item.id for item in expected]
    assert warn("shift_types") == []
    # An item of two topics is not repeated under the other.
    shared = {item.id for item in expected if "modifiers" in item.where}
    assert shared and not shared & {line.split()[0] for line in warn("modifiers")}
    assert warnings_of("shift_types") == first
    assert all("\n" not in line for line in first)


def test_an_unknown_topic_is_refused() -> None:
    with pytest.raises(ValueError, match="no audit topic 'weather'; choose shift_types"):
        warn("weather")


def test_the_text_shows_every_item_in_80_columns() -> None:
    text = format_audit(audit())
    for item in audit():
        assert f"\n{item.id}{'*' * item.is_warning}  {item.title}" in text.replace("\n  ", " ")
    assert max(map(len, text.splitlines())) <= 80
    one = AuditItem("B0.x", "title", "a", "b " * 80, "c", ("mesa",), True)
    assert format_audit([one]).splitlines()[2:5] == [
        "B0.x*  title  (mesa)",
        "  printed  a",
        "  follows  " + ("b " * 35).strip(),
    ]


# ----------------------------------------------------------------------- other figures than printed


def left_out(**options: Any) -> set[str]:
    return set(ITEMS) - {item.id for item in audit(load_priors(**options))}


BASE = {
    "B1.harm",
    "B3.ranges",
    "B3.scale",
    "B3.overview",
    "B3.overflow",
    "B8.domains",
    "B8.overflow",
}
KNOTS = {"B4.coinrun", "B5.endpoints", "B8.domains"}
TWO_FACTORS = {"B1.name", "B1.plateau", "B4.conflict"}


@pytest.mark.parametrize(
    "text, missing",
    [
        ("kappa: 3\nlog_sd: 0.4", set()),  # no finding states them
        ("diversity_rule: linear", {"B6.middle"}),
        ("endpoint_rule: table", KNOTS),
        ("transport: [0.3, 2]", set()),
        ("shifts: {extreme: {kappa: 30}}", set()),
        ("shifts: {extreme: {p_harm: 0.6}}", BASE | TWO_FACTORS),
        ("shifts: {extreme: {p_capable: 0.5}}", BASE | TWO_FACTORS | {"B2.label"}),
        ("shifts: {moderate: {likelihood_range: [0, 0.3]}}", {"B3.ranges", "B3.scale"}),
        ("modifiers: {diversity: {levels: {narrow: 2}}}", {"B4.coinrun", "B6.middle"}),
        ("modifiers: {spec: {knots: [[0, 2], [1, 0.5]]}}", KNOTS),
        ("domains: {game_ai: {p_2027: [0, 1]}}", {"B8.growth"}),
        ("periods: {2026-2027: {multiplier: [1, 1]}}", {"B8.growth"}),
        ("interventions: {ai_control_protocols: {reduction: [1, 1]}}", {"B7.stacked"}),
        ("interventions: {anomaly_monitoring: {target: exposure}}", {"B7.target"}),
        ("mesa: {exponent_capability: 1.5}", {"B10.severity"}),
        ("mesa: {periods: {near_term: {p_misaligned: [0, 0]}}}", {"B10.headline", "B10.implied"}),
    ],
)  # fmt: skip
def test_a_replaced_figure_takes_the_findings_that_rest_on_it_along(
    text: str, missing: set[str], tmp_path: Path
) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    assert left_out(file=tmp_path / "mine.yaml") == missing


def test_a_file_that_repeats_the_printed_figures_drops_nothing(tmp_path: Path) -> None:
    text = "shifts: {moderate: {p_capable: 0.65, likelihood_range: [0.03, 0.22]}}\n"
    text += "modifiers: {capability: {range: [0.5, 3], levels: {superhuman: 3}}}\n"
    (tmp_path / "mine.yaml").write_text(text)
    assert left_out(file=tmp_path / "mine.yaml") == set()


def test_other_named_sets_drop_what_rests_on_their_own_figures() -> None:
    assert left_out(name="external_revision") == BASE
    of_types = {"B2.label", "B2.means", "B4.coinrun"}
    assert left_out(name="meta_analysis") == BASE | TWO_FACTORS | of_types
    assert "B4.selection" not in left_out(name="meta_analysis")
