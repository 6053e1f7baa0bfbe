"""The page of a calibration: one file, complete, with words in place of what is missing."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from tests.analysis.calibration.calibrated_folder import write_folder
from tests.analysis.simulated_study import DEMO, write_study

from misgen.analysis.calibration.calibrate import calibrate
from misgen.analysis.calibration.handoff import read_calibration
from misgen.analysis.calibration.write import write_calibration
from misgen.analysis.priors import load_priors
from misgen.analysis.priors.types import SHIFT_TYPES
from misgen.analysis.records import read_records
from misgen.analysis.report.check_sections import findings
from misgen.analysis.report.content import Page, footnotes, percent, percent_span, ratio_span
from misgen.analysis.report.measured_sections import headline
from misgen.analysis.report.modifier_sections import dose_label
from misgen.analysis.report.report import page_of, render, write_report

MAX_BYTES = 1_500_000


class Reader(HTMLParser):
    """The words of a page by section (id of its h2, "" before the first), tags and attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.section, self.sections, self.tags = "", {"": ""}, list[tuple[str, dict[str, str]]]()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.tags.append((tag, found))
        if tag == "h2":
            self.section = found["id"]
            self.sections[self.section] = ""

    def handle_data(self, data: str) -> None:
        self.sections[self.section] += " " + " ".join(data.split())

    def of(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]


def read(folder: Path) -> Reader:
    return Reader(write_report(folder).read_text())


@pytest.fixture(scope="module")
def full_page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    return page_of(write_folder(tmp_path_factory.mktemp("full")))


@pytest.fixture(scope="module")
def full(full_page: Page) -> Reader:
    return Reader(render(full_page))


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    """Like the demo's: d = 0 and d = 1, no reference arm, nothing else varied."""
    folder = tmp_path_factory.mktemp("bare")
    return read(write_folder(folder, reference=False, modifiers=False))


def test_equal_folders_give_equal_bytes(tmp_path: Path, full_page: Page) -> None:
    written = write_report(write_folder(tmp_path))
    assert written.name == "index.html"
    assert written.read_text() == render(full_page)
    assert written.stat().st_size < MAX_BYTES


def test_it_needs_no_script_and_no_other_file(full: Reader) -> None:
    assert not {"script", "iframe", "object"} & {tag for tag, _ in full.tags}
    for tag, attributes in full.tags:
        for name in ("src", "href", "xlink:href"):
            assert attributes.get(name, "#").startswith(("#", "data:")), (tag, attributes)
        assert not re.search(r"url\((?!#)", attributes.get("style", ""))


def test_the_first_screen_names_both_rates_and_the_limits(full: Reader) -> None:
    first = full.sections[""]
    for words in (
        "p_gm: P(goal misgeneralization), two factors",
        "p_harmful_gm: P(harmful goal misgeneralization), three factors",
        "Toy environments.",
        "It does not show that there is an optimizer",
        "not called deception",
        "It is about cells like those of this testbed",
        "Transport is an assumption.",
        "5 x 310-345",
    ):
        assert words in first
    for shift in load_priors().shifts.values():
        assert percent(shift.p_gm.number) in first
        assert percent(shift.p_harmful_gm.number) in first


def test_the_first_screen_says_what_it_comes_to(full: Reader) -> None:
    for words in (
        "2 of 16 measured factors conflict with the source's prior.",
        "No cell of type 1 may enter: prior kept.",
        "A cell left out is predicted best by the calibrated model",
    ):
        assert words in full.sections[""]
    assert "‡" not in full.sections[""]


def test_a_posterior_far_from_its_data_is_marked(tmp_path: Path) -> None:
    file = read_calibration(write_folder(tmp_path))
    far = {"value": 0.8, "low": 0.7, "high": 0.9, "reason": ""}
    file.summary["types"][3]["update"]["p_gm"] = far  # its cell has .005
    table = headline(file)
    assert table.bodies[0].rows[3][-1] == "80.0 ‡\n[70.0, 90.0]"
    assert table.bodies[1].rows[3][-1].count("‡") == 0
    assert "‡ held by the prior" in table.note
    assert "The posterior of type 4 lies more than 10 points" in dict(findings(file))["kappa"]


def test_every_section_of_the_menu_exists_and_says_something(full: Reader) -> None:
    targets = [a["href"].removeprefix("#") for a in full.of("a")]
    assert list(dict.fromkeys(targets[-len(full.sections) + 1 :])) == list(full.sections)[1:]
    assert set(targets) <= set(full.sections)
    assert min(len(text) for text in full.sections.values()) > 80


def test_every_figure_and_table_can_be_read_aloud(full: Reader) -> None:
    charts = full.of("svg")
    assert len(charts) == 5 + 2 + 1 + 2 + 2 + 2  # factors ... tornado
    assert all(chart["role"] == "img" and len(chart["aria-label"]) > 40 for chart in charts)
    assert len({chart["aria-label"] for chart in charts}) == len(charts)
    assert all(cell.get("scope") in ("col", "row", "rowgroup") for cell in full.of("th"))
    ids = [a["id"] for _, a in full.tags if "id" in a]
    assert len(ids) == len(set(ids))


def test_conflicts_stand_beside_the_number_that_chance_would_give(full: Reader) -> None:
    assert "2 of 16 measured factors conflict" in full.sections["conflicts"]
    assert "Chance alone would give 0.7 conflicts." in full.sections["conflicts"]
    assert "C1 Coinrun, superficial (not read by the update)" in full.sections["conflicts"]


def test_the_printed_range_of_specification_is_put_against_q_1(full: Reader) -> None:
    """The source's 0.5 to 2 is against a neutral quality; the measured ratios are against q = 1."""
    assert "divided by its multiplier for q = 1, 0.5." in full.sections["modifiers"]


def test_the_estimand_and_where_the_prior_lets_go_are_said(full: Reader) -> None:
    assert "a population of cells of its shift type" in full.sections["fit"]
    assert "4 extreme C4 20.0 83.0 conflict" in full.sections["fit"]
    assert "1 superficial" not in full.sections["fit"]
    assert "The posterior of type 4 lets go of the source." in full.sections["conflicts"]


def test_the_strengths_of_prior_and_cells_are_swept(full: Reader) -> None:
    for words in ("Kappa sweep", "10 (used)", "Phi sweep", "7 (used)", "wide prior [%]"):
        assert words in full.sections["kappa"]


def test_the_audit_is_the_projects(full: Reader) -> None:
    from misgen.analysis.audit import audit

    items = audit(load_priors())
    assert len(items) > 12
    for item in items:
        assert f" {item.id} {item.title} " in full.sections["audit"]


def test_a_calibration_of_records_has_a_page(tmp_path: Path) -> None:
    """The hand-made folder above and what `calibrate` writes are read alike."""
    study = write_study(tmp_path / "records", cells=DEMO, agents=2, levels=10)
    records = read_records(study)
    write_calibration(calibrate(records, load_priors(), draws=200), tmp_path)
    page = read(tmp_path)
    assert "2 x 10" in page.sections[""]
    assert "No posterior: no cell of these records enters" in page.sections[""]
    assert len(page.of("svg")) == 5 + 1 + 2 + 2 + 1  # all factors, a dose-response per cell


def test_text_of_the_folder_is_escaped(full_page: Page) -> None:
    text = render(replace(full_page, provenance=[("command", "<script>misgen")]))
    assert "<script>" not in text and "&lt;script&gt;misgen" in text


def test_two_agents_give_no_interval_and_no_posterior(tmp_path: Path) -> None:
    page = read(write_folder(tmp_path, agents=2))
    assert "No posterior: no cell enters: 2 competent agents" in page.sections[""]
    assert "2 agents: an interval needs at least 3" in page.sections[""]
    assert "There is no posterior to draw" in page.sections["posterior"]
    assert "There is no posterior: no cell enters" in page.sections["fit"]
    assert "None: no cell enters" in page.sections["held-out"]


def test_without_a_reference_arm_what_was_measured_is_shown_with_its_d(bare: Reader) -> None:
    assert "No posterior: these records have no agents of the reference arm" in bare.sections[""]
    assert "5 x 310-345, d = 0" in bare.sections[""]
    assert "In short" not in bare.sections[""]
    assert "No cell has agents of the reference arm" in bare.sections["conflicts"]


def test_without_a_posterior_no_section_speaks_of_one(bare: Reader) -> None:
    assert "There is no posterior, so nothing measured enters here." in bare.sections["domains"]
    for section in ("factors", "domains", "tornado"):
        assert "calibrated" not in bare.sections[section]
        assert "keeps its prior" not in bare.sections[section]


def test_records_that_vary_nothing_say_so(bare: Reader) -> None:
    assert "There is no risk ratio to draw" in bare.sections["modifiers"]
    assert "alignment method PPO alone" in bare.sections["modifiers"]
    assert "there is no dose-response" in bare.sections["doses"]


def test_a_type_without_an_identified_cell_keeps_its_prior(full: Reader) -> None:
    assert "prior kept" in full.sections[""]
    assert "with its prior: 1 superficial." in full.sections["posterior"]
    assert len(SHIFT_TYPES) == 4


def test_a_folder_without_a_calibration_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"holds summary.json"):
        write_report(tmp_path)
    assert not (tmp_path / "index.html").exists()


@pytest.mark.parametrize(
    ("value", "low", "high", "text"),
    [
        (0.1234, 0.031, 0.25, "12.3 [3.1, 25.0]"),
        (0.1234, None, None, "12.3"),
        (None, 0.031, 0.25, "[3.1, 25.0]"),
        (None, None, None, "-"),
    ],
)
def test_spans(value: float | None, low: float | None, high: float | None, text: str) -> None:
    assert percent_span({"value": value, "low": low, "high": high, "reason": ""}) == text


@pytest.mark.parametrize(
    ("dose", "text"),
    [(0, "0"), (0.005, ".005"), (1, "1"), (10.5, "10.5"), (340, "340"), (12_300, "12.3k")],
)
def test_doses_are_short(dose: float, text: str) -> None:
    assert dose_label(dose) == text


def test_notes_of_rows_become_numbers() -> None:
    marks, meaning = footnotes(["one cell", "", "at d=0; one cell"])
    assert marks == ["(1)", "", "(2) (1)"]
    assert meaning == "(1) one cell. (2) at d=0."


def test_ratios_have_two_decimals() -> None:
    assert ratio_span({"value": 1.2, "low": 0.8, "high": 1.9}) == "1.20 [0.80, 1.90]"
