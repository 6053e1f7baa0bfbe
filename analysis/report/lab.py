"""The lab page: everything a calibration says, a question a section, its numbers folded."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from misgen.analysis.audit import audit
from misgen.analysis.calibration.handoff import CalibrationFile
from misgen.analysis.calibration.summary import Summary
from misgen.analysis.calibration.tables import tables_of
from misgen.analysis.report.charts import (
    dose_charts,
    factor_charts,
    forest_charts,
    input_name,
    posterior_charts,
    tornado_of,
)
from misgen.analysis.report.content import Exhibit
from misgen.analysis.risk.model import RiskModel
from misgen.analysis.risk.sensitivity import Swing, tornado
from misgen.analysis.risk.table import domain_rows, domain_table
from misgen.analysis.tables import Table, Value

DOMAIN = "autonomous_agents"
"""The domain with the highest printed risk."""
KINDS = {"none": "source", "combine": "posterior", "only": "measured"}
"""Data of a prediction -> the colour and mark that it is drawn with."""


class Section(NamedTuple):
    """id: of its heading. about: a paragraph each."""

    id: str
    title: str
    about: Sequence[str]
    exhibit: Exhibit


def lab_of(file: CalibrationFile, models: Mapping[str, RiskModel]) -> dict[str, Any]:
    """For the template. models: as `pages.models_of` makes them. has_posterior: whether the data
    moved the source's prior."""
    summary, priors = file.summary, models["none"].priors
    tables = tables_of(summary)

    def of(*names: str) -> list[Table]:
        return [tables[name] for name in names if name in tables]

    swings = {name: _swings(model) for name, model in models.items() if name != "only"}
    domain, refused = priors.domains[DOMAIN].label, summary.refused.rstrip(".")
    domains = {name: domain_rows(model) for name, model in models.items()}
    sections = [
        Section("factors", "Factors by shift type", _FACTORS,
                Exhibit(factor_charts(summary), of("factors", "condition"), _NOTHING)),
        Section("posterior", "Prior and posterior", [summary.estimand],
                Exhibit(posterior_charts(file), of("wide", "kappa", "phi"),
                        summary.refused and f"There is no posterior: {refused}.")),
        Section("conflicts", "Do data and source agree?", [],
                Exhibit(tables=of("conflicts", "held_out"))),
        Section("modifiers", "Modifiers", _MODIFIERS,
                Exhibit(forest_charts(summary, priors), of("modifiers", "not_identified", "ratios",
                        "slopes", "pairs", "log_sd"), "There is no risk ratio to draw.")),
        Section("doses", "How much training must break the cue?", _DOSES,
                Exhibit(dose_charts(summary), of("doses"),
                        "The records hold one value of d, so there is no dose-response.")),
        Section("domains", "Domains and periods", [], Exhibit(tables=[domain_table(domains)])),
        Section("tornado", "Which input matters?", _TORNADO,
                Exhibit([tornado_of(name, KINDS[name], domain, found)
                         for name, found in swings.items()],
                        [_swing_table(name, found) for name, found in swings.items()])),
        Section("attrition", "Who is counted", [], Exhibit(tables=of("attrition"))),
    ]  # fmt: skip
    listed = {item.line for item in audit()}
    return {
        "has_posterior": not summary.refused,
        "sections": [section for section in sections if section.exhibit != Exhibit()],
        "warnings": [line for line in summary.warnings if line not in listed],
        "audit": audit(priors),
        "provenance": provenance(summary),
    }


_NOTHING = "Nothing was measured in the reference arm or at d = 0, so there is no figure."
_FACTORS = [
    "Small dots are agents; for goal failure and p_gm, those with 30 or more capable episodes. "
    "Hollow marks: cells that combine does not read."
]
_MODIFIERS = [
    "The source multiplies the risk by four modifiers. Shaded: the range that it prints for each. "
    "Dots: measured risk ratios of p_gm between two arms that differ in that modifier alone, over "
    "all trained agents. What cannot be measured here keeps the source's prior."
]
_DOSES = [
    "p_gm of all trained agents by how often training broke the cue, once per cell. Doses stand at "
    "equal distances. Dashed: half of the fall from the lowest dose to the highest."
]
_TORNADO = [
    "How far p_harmful_gm moves when one input goes from its 5 % to its 95 % quantile and the "
    "others stay at their medians: hollow towards the lower quantile, full towards the higher one. "
    "Capability, training diversity and alignment method are unknown."
]


def _swings(model: RiskModel) -> list[Swing]:
    return tornado(
        model.predict(domain=DOMAIN, capability="unknown", diversity="unknown", method="unknown")
    )


def _swing_table(name: str, swings: Sequence[Swing]) -> Table:
    rows: list[list[Value]] = [
        [input_name(s.name), s.label, s.input_low, s.input_high, s.low, s.high, s.log_span_share]
        for s in swings
    ]
    header = ["input", "what it is", "from", "to", "p_harmful_gm from", "to ", "log span"]
    note = "log span: share of the sum of ln(high / low) over the inputs."
    return Table(f"Inputs, data: {name}", header, rows, note, forms={"log span": ".0%"})


def provenance(summary: Summary) -> list[tuple[str, str]]:
    found, inputs = summary.provenance, summary.inputs
    families = ", ".join(f"{name} v{version}" for name, version in inputs.families.items())
    return [
        ("command", found.command or "not recorded"),
        ("date", found.date_utc),
        ("commit", found.git_commit or "not recorded"),
        ("versions", ", ".join(f"{k} {v}" for k, v in found.versions.items() if v)),
        ("schema version", str(summary.schema_version)),
        ("records", f"{inputs.runs} runs, {inputs.episodes} episodes, {families}"),
        ("studies", ", ".join(inputs.studies)),
        ("evaluations", ", ".join(f"{k} {v}" for k, v in inputs.fingerprints.items())),
        ("reference", summary.reference_condition.text),
        ("settings", ", ".join(f"{name} {value}" for name, value in summary.settings)),
    ]
