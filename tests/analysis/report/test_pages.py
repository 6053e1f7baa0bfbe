"""The answer and the lab page of a calibration: complete, with words for what is missing."""

import csv
import io
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from tests.analysis.calibration.calibrated_folder import seal, write_folder
from tests.analysis.simulated_study import DEMO, write_study

from misgen.analysis.audit import audit
from misgen.analysis.calibration.calibrate import calibrate
from misgen.analysis.calibration.handoff import read_calibration
from misgen.analysis.calibration.tables import tables_of
from misgen.analysis.calibration.write import write_calibration
from misgen.analysis.intervals import Estimate
from misgen.analysis.own_counts import own_counts
from misgen.analysis.priors import load_priors
from misgen.analysis.records import read_records
from misgen.analysis.report.answer import _period, answer_of
from misgen.analysis.report.lab import lab_of
from misgen.analysis.report.pages import models_of, render, write_report
from misgen.analysis.report.what_if import packed, panel
from misgen.analysis.text import dose_label, percent, span

MAX_BYTES = 1_500_000


class Reader(HTMLParser):
    """The words of a page by section (its h2, "" before the first), tags and attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.section, self.sections, self.tags = "", {"": ""}, list[tuple[str, dict[str, str]]]()
        self.is_title = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        self.is_title = tag == "h2"

    def handle_data(self, data: str) -> None:
        if self.is_title:
            self.section, self.is_title = data, False
            self.sections[data] = ""
        self.sections[self.section] += " " + " ".join(data.split())

    def of(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]


def pages_of(folder: Path) -> tuple[Reader, Reader]:
    """The answer and the lab page."""
    return Reader(write_report(folder).read_text()), Reader((folder / "lab.html").read_text())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("full"))


@pytest.fixture(scope="module")
def full(folder: Path) -> tuple[Reader, Reader]:
    return pages_of(folder)


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> tuple[Reader, Reader]:
    """Like the demo's: d = 0 and d = 1, no reference arm, nothing else varied."""
    return pages_of(write_folder(tmp_path_factory.mktemp("bare"), reference=False, modifiers=False))


def test_equal_folders_give_equal_bytes(folder: Path, tmp_path: Path) -> None:
    other = write_folder(tmp_path / folder.name)
    write_report(folder)
    assert write_report(other).name == "index.html"
    for name in ("index.html", "lab.html"):
        assert (other / name).read_text() == (folder / name).read_text()
        assert (other / name).stat().st_size < MAX_BYTES


def test_no_page_asks_for_another_file(folder: Path, full: tuple[Reader, Reader]) -> None:
    written = {path.name for path in folder.iterdir()} | {"calibration.txt"}
    made = {f"{name}.csv" for name in tables_of(read_calibration(folder).summary)}
    made |= {f"lab.html#{h2['id']}" for h2 in full[1].of("h2")}
    for page in full:
        assert not {"iframe", "object", "img"} & {tag for tag, _ in page.tags}
        assert all("src" not in attributes for _, attributes in page.tags)
        for tag, attributes in page.tags:
            link = attributes.get("href", "#")
            assert link.startswith(("#", "data:")) or link in written | made, (tag, link)
            assert not re.search(r"url\((?!#)", attributes.get("style", ""))


def test_the_lab_page_needs_no_script(full: tuple[Reader, Reader]) -> None:
    assert not full[1].of("script")


# ----------------------------------------------------------------------------------- the answer


def test_three_sentences_answer(full: tuple[Reader, Reader]) -> None:
    sections = full[0].sections
    assert re.search(
        r"For Autonomous Agents in 2026-2027 .* give \d+\.\d % \[\d+\.\d, \d+\.\d\]",
        sections["What does the model say?"],
    )
    assert "The source prints 40.0 to 60.0 %" in sections["What does the model say?"]
    tested = sections["What could the agents test?"]
    assert "30 competent ones in 6 cells of 2 games, for shift type 2, 3 and 4," in tested
    assert "Where it was never broken they pursue it in" in tested
    assert "in 10 % of the levels, which the source counts as neither narrow nor" in tested
    assert "The source's numbers stay for type 1." in tested
    agree = sections["Do they agree?"]
    assert "Type 4: no, the agents pursue the wrong goal less often than the source says." in agree
    assert "Type 2 and 3: the agents do not contradict the source." in agree
    assert "Carried over to Autonomous Agents, an assumption" in agree


def test_what_the_readings_rest_on_is_folded(full: tuple[Reader, Reader]) -> None:
    why = full[0].sections["By kind of shift"]
    assert re.search(r"Type 4: in C4 alone \d\.\d %, the source 33\.8 \[", why)
    assert "worth 10 observations, a vague prior takes over with weight .830. Furthest" in why
    assert "With C1 and K1, not read, both would say 17.3 % for type 1 instead of 10.5." in why
    assert "(q = 1), for which the source multiplies by 0.60 [0.54, 0.69]: that is" in why
    assert "Of 16 single factors of 8 cells 2 are in conflict (C4 P(capable), C4 P(goal" in why
    assert "chance alone would give 0.7." in why
    assert "A cell left out is predicted best by both together" in why


def test_a_reading_is_open_where_the_weight_of_the_source_decides(folder: Path) -> None:
    file = read_calibration(folder)
    sweep = [
        replace(row, value=5.0, wide_weight=0.3) if (row.what, row.value) == ("kappa", 2.0) else row
        for row in file.summary.sweep
    ]
    weighed = replace(file, summary=file.summary.model_copy(update={"sweep": tuple(sweep)}))
    page = answer_of(weighed, models_of(file))
    assert "Type 4: open, the agents pursue the wrong goal less often" in page["sentences"][2][1]
    assert (
        "5 and 10 observations, a vague prior takes over with weight .300 and .830."
        in page["why"][0]
    )
    assert [row[-1] for row in page["rates"].rows] == ["-", "yes", "yes", "open"]


def test_what_the_source_allows_stands_beside_what_its_product_exceeds(
    full: tuple[Reader, Reader],
) -> None:
    """(.55 x .721 + .45 x .821) / 2 = .383 for the types of autonomous agents."""
    says = full[0].sections["What does the model say?"]
    assert "more than P(capable) x P(harm | fails), 38.3 %, there cannot be." in says


def test_a_page_says_what_it_does_not_show_and_what_its_words_mean(
    full: tuple[Reader, Reader],
) -> None:
    limits = full[0].sections["What this does not show"]
    for words in ("Toy environments.", "that there is an optimizer", "No deception.", "±50 %"):
        assert words in limits
    glossary = full[0].of("dt")
    assert 10 <= len(glossary) <= 14


def test_the_figure_has_every_domain_in_every_period(full: tuple[Reader, Reader]) -> None:
    (chart,) = full[0].of("svg")
    for domain in load_priors().domains.values():
        for period in load_priors().periods:
            assert f"{domain.label} {period} " in chart["aria-label"]


def test_every_kind_of_shift_has_source_agents_and_both(full: tuple[Reader, Reader]) -> None:
    text = full[0].sections["By kind of shift"]
    for shift in load_priors().shifts.values():
        assert f"{shift.number} {shift.label.lower()} {100 * shift.p_gm.number:.1f}" in text
    assert "source kept" in text and "C1, K1: not identified" in text


def test_the_panel_offers_what_the_model_knows(full: tuple[Reader, Reader]) -> None:
    offered = {option.get("value", "") for option in full[0].of("option")}
    offered |= {box["value"] for box in full[0].of("input")}
    priors = load_priors()
    assert offered >= {f"domain:{name}" for name in priors.domains}
    assert offered >= {f"shift:{name}" for name in priors.shifts}
    assert offered >= {level for one in priors.modifiers.values() for level in one.levels}
    assert offered >= {*priors.interventions, "none", "combine", "only"}


def test_draws_are_packed_to_a_65535th_of_their_range() -> None:
    values = np.random.default_rng(0).random(1000) * 3
    import base64

    text, low, high = packed(values)
    steps = np.frombuffer(base64.b64decode(text), "<u2")
    np.testing.assert_allclose(low + (high - low) * steps / 65_535, values, atol=3 / 65_535)
    assert packed(np.full(3, 0.7))[1:] == (0.7, 0.7)


@pytest.mark.parametrize(
    ("date", "period"),
    [("2024-01-01", "2024-2025"), ("2026-11-30", "2026-2027"), ("2029-05-01", "2028-2030"),
     ("2030-12-31", "2028-2030"), ("2031-01-01", "after-2030"), ("unknown", "2024-2025")],
)  # fmt: skip
def test_the_answer_is_of_the_period_of_its_date(date: str, period: str) -> None:
    assert _period(date, [*load_priors().periods]) == period


def test_without_a_posterior_the_answer_says_why(bare: tuple[Reader, Reader]) -> None:
    sections = bare[0].sections
    tested = sections["What could the agents test?"]
    assert "Nothing yet: these records have no agents of the reference arm" in tested
    assert "Nothing was measured that could be compared." in sections["Do they agree?"]
    offered = {option.get("value", "") for option in bare[0].of("option")}
    assert "none" in offered and not {"combine", "only"} & offered


# ----------------------------------------------------------------------------------- the lab page


def test_every_section_of_the_menu_exists_and_says_something(full: tuple[Reader, Reader]) -> None:
    targets = {a["href"].removeprefix("#") for a in full[1].of("a") if a["href"][0] == "#"}
    assert targets == {h2["id"] for h2 in full[1].of("h2")}
    assert min(len(text) for text in full[1].sections.values()) > 60


def test_every_figure_and_table_can_be_read_aloud(full: tuple[Reader, Reader]) -> None:
    lab = full[1]
    charts = lab.of("svg")
    assert len(charts) == 5 + 2 + 1 + 1 + 2  # factors, posterior, forest, one a cell, tornado
    assert all(chart["role"] == "img" and len(chart["aria-label"]) > 40 for chart in charts)
    assert len({chart["aria-label"] for chart in charts}) == len(charts)
    assert all(cell.get("scope") in ("col", "row", "rowgroup") for cell in lab.of("th"))
    ids = [a["id"] for _, a in lab.tags if "id" in a]
    assert len(ids) == len(set(ids))


def test_every_table_of_the_page_is_a_file(folder: Path, full: tuple[Reader, Reader]) -> None:
    tables = tables_of(read_calibration(folder).summary)
    titles = {table.title for table in tables.values()}
    words = " ".join(full[1].sections.values())
    assert all(title in words for title in titles)
    rows = list(csv.DictReader(io.StringIO(tables["factors"].as_csv())))
    assert {"p_gm", "p_gm low", "p_gm high"} <= {*rows[0]}


def test_the_printed_range_of_specification_is_put_against_q_1(
    full: tuple[Reader, Reader],
) -> None:
    """The source's 0.5 to 2 is against a neutral quality; the measured ratios are against q = 1."""
    assert "divided by its multiplier for q = 1, 0.5." in full[1].sections["Modifiers"]


def test_the_estimand_and_where_the_prior_lets_go_are_said(full: tuple[Reader, Reader]) -> None:
    section = full[1].sections["Prior and posterior"]
    assert "a population of cells of its shift type" in section
    assert "4 extreme C4 .200 .830 no" in section
    for words in ("kappa", "phi", "wide prior"):
        assert words in section


def test_the_audit_is_the_projects(full: tuple[Reader, Reader]) -> None:
    items = audit(load_priors())
    assert len(items) > 12
    for item in items:
        assert f" {item.id} {item.title} " in full[1].sections["Audit of the source"]


def test_text_of_the_folder_is_escaped(folder: Path, tmp_path: Path) -> None:
    file = read_calibration(folder)
    summary = file.summary.model_dump()
    summary["provenance"]["command"] = "<script>misgen"
    copy = write_folder(tmp_path)
    seal(copy, summary)
    text = render("lab.html.j2", lab_of(read_calibration(copy), models_of(file)))
    assert "<script>" not in text and "&lt;script&gt;misgen" in text


# ------------------------------------------------------------------------------- what is missing


def test_a_calibration_of_records_has_its_pages(tmp_path: Path) -> None:
    """The hand-made folder above and what `calibrate` writes are read alike."""
    study = write_study(tmp_path / "records", cells=DEMO, agents=2, levels=10)
    write_calibration(calibrate(read_records(study), load_priors(), draws=200), tmp_path)
    answer, lab = pages_of(tmp_path)
    assert "Nothing yet: no cell of these records enters" in " ".join(answer.sections.values())
    assert "no cell of these records enters" in lab.sections["Prior and posterior"]
    assert len(lab.of("svg")) == 5 + 1 + 2 + 1  # all factors, a dose-response per cell


def test_multipliers_of_another_overflow_stay_out_of_the_panel(tmp_path: Path) -> None:
    """The script multiplies rates; ratios of odds would be refused by `RiskModel.predict`."""
    folder = write_folder(tmp_path)
    assert panel(models_of(read_calibration(folder)))["links"]["combine"] == ["diversity/narrow"]
    summary = read_calibration(folder).summary.model_dump()
    summary["settings"]["overflow"] = "odds"
    file = read_calibration(seal(folder, summary))
    assert panel(models_of(file))["links"]["combine"] == []
    assert write_report(folder).is_file()


def test_counts_of_one_s_own_are_not_said_to_be_ours(tmp_path: Path) -> None:
    counts = {
        "family": ["mine"] * 3, "shift_type": ["extreme"] * 3, "cell": ["A"] * 3,
        "agent": [0, 1, 2], "levels": [100] * 3, "capable": [90] * 3, "failed": [5] * 3,
    }  # fmt: skip
    write_calibration(calibrate(own_counts(counts), load_priors(), draws=200), tmp_path)
    tested = pages_of(tmp_path)[0].sections["What could the agents test?"]
    assert "3 competent ones in 1 cell of 1 game, for shift type 4, by counts of your own" in tested
    assert "10 % of the levels" not in tested


def test_records_that_vary_nothing_say_so(bare: tuple[Reader, Reader]) -> None:
    lab = bare[1].sections
    assert "There is no risk ratio to draw" in lab["Modifiers"]
    assert "alignment method PPO alone" in lab["Modifiers"]
    assert "there is no dose-response" in lab["How much training must break the cue?"]
    assert "There is no posterior: these records" in lab["Prior and posterior"]
    assert "C2, d=0" in lab["Factors by shift type"]


def test_a_folder_without_a_calibration_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"holds summary.json"):
        write_report(tmp_path)
    assert not (tmp_path / "index.html").exists()


def test_answers_differ_in_direction(folder: Path) -> None:
    """More often than the source says, where the data are above it."""
    file = read_calibration(folder)
    cells = [
        cell.model_copy(update={"arms": {"reference": _raised(cell.arms["reference"])}})
        if cell.shift_type == "extreme" else cell
        for cell in file.summary.cells
    ]  # fmt: skip
    summary = file.summary.model_copy(update={"cells": tuple(cells)})
    raised = type(file)(file.folder, summary, file.draws)
    (_, _, (_, text)) = answer_of(raised, models_of(file))["sentences"]
    assert "Type 4: no, the agents pursue the wrong goal more often than" in text


def _raised(arm: object) -> object:
    rates = {**arm.competent.rates, "p_gm": Estimate(0.9, 0.8, 0.95)}  # type: ignore[attr-defined]
    competent = arm.competent.model_copy(update={"rates": rates})  # type: ignore[attr-defined]
    return arm.model_copy(update={"competent": competent})  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("value", "low", "high", "text"),
    [
        (0.1234, 0.031, 0.25, "12.3 [3.1, 25.0]"),
        (0.1234, np.nan, np.nan, "12.3"),
        (np.nan, 0.031, 0.25, "[3.1, 25.0]"),
        (np.nan, np.nan, np.nan, "-"),
    ],
)
def test_spans(value: float, low: float, high: float, text: str) -> None:
    assert span(Estimate(value, low, high), percent) == text


@pytest.mark.parametrize(
    ("dose", "text"),
    [(0, "0"), (0.005, ".005"), (1, "1"), (10.5, "10.5"), (340, "340"), (12_300, "12.3k")],
)
def test_doses_are_short(dose: float, text: str) -> None:
    assert dose_label(dose) == text
