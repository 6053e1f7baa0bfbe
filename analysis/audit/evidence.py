"""Findings on the evidence that the source cites: its meta-analysis (B4), citations (B9), and the
context figures of documents 001 and 002 (B12)."""

import math
from collections.abc import Iterator
from statistics import NormalDist

import numpy as np

from misgen.analysis.audit.item import AuditItem, numbers, percents, spans, union
from misgen.analysis.priors.source import external_tables, source_tables
from misgen.analysis.priors.types import FACTORS, PriorSet, Range


def findings(priors: PriorSet) -> Iterator[AuditItem]:
    for check in (_pooled_rows, _case_selection, _citations):
        yield from check(priors)
    yield from _context()


# ------------------------------------------------------------------------------ B4: meta-analysis


def _pooled_rows(p: PriorSet) -> Iterator[AuditItem]:
    meta, factors = p.meta_analysis, FACTORS
    pooled = [meta.pooled.factor(name) for name in factors]
    means = [meta.unweighted_mean(name) for name in factors]
    yield AuditItem(
        "B4.pooled",
        "the pooled rates are unweighted means",
        f"pooled {percents(pooled, 0)} over {meta.cases_at_least.number:.0f}+ cases",
        f"plain means of the rows are {percents(means, 2)}; no count per study is printed",
        "pool: unweighted_mean; n is null; no standard errors come from these rows",
        ("meta_analysis",),
        True,
    )
    three = [math.prod(row.factor(name) for name in factors) for row in meta.rows]
    two = [row.factor("p_capable") * row.factor("p_goal_fail") for row in meta.rows]
    highest = (
        max(s.product for s in p.shifts.values()),
        max(s.p_gm.number for s in p.shifts.values()),
    )
    if math.prod(pooled) > highest[0]:
        yield AuditItem(
            "B4.conflict",
            "the meta-analysis exceeds every shift type",
            f"highest type: {percents(highest)} (harmful / two-factor)",
            f"rows: {percents(three)} harmful, {percents(two)} two-factor; pooled: "
            f"{percents([math.prod(pooled)])} (mean of products "
            f"{percents([float(np.mean(three))])}), {percents([pooled[0] * pooled[1]])}",
            "two named prior sets, taxonomy and meta_analysis; no environment is tuned to either",
            ("meta_analysis", "shift_types"),
            True,
        )
    yield from _coinrun(p, two[0])


def _coinrun(p: PriorSet, row: float) -> Iterator[AuditItem]:
    """The classic CoinRun experiment: moderate shift, q = 1, d = 0, PPO."""
    spec, diversity = p.modifiers["spec"].level(1.0), p.modifiers["diversity"].level(0.0)
    factor = spec.median * diversity.median
    predicted = p.shifts["moderate"].p_gm.number * factor
    if factor >= 1 or predicted == 0:
        return
    yield AuditItem(
        "B4.coinrun",
        "the formula gives the classic CoinRun cell less than its base",
        f"CoinRun row {percents([row])} two-factor",
        f"q = 1 and narrow training: base x {spec.median:g} x {diversity.median:g} = "
        f"{factor:.2f} x base = {percents([predicted])} ({row / predicted:.1f}x apart)",
        "measured rates are printed at their condition, and beside it divided by the multipliers",
        ("meta_analysis", "modifiers"),
    )


def _case_selection(p: PriorSet) -> Iterator[AuditItem]:
    meta = p.meta_analysis
    yield AuditItem(
        "B4.selection",
        "selection bias: the cases are documented failures",
        f"rates from {meta.cases_at_least.number:.0f}+ specification-gaming cases",
        "cases selected on the outcome cannot estimate how often it occurs",
        "kappa 2 by default for the meta_analysis set",
        ("meta_analysis",),
        True,
    )
    marginal = external_tables()["external.meta_analysis_marginals"].body
    goal = marginal["p_goal_misgeneralized"] / marginal["p_capability_generalized"]
    harm = marginal["p_safety_failure"] / marginal["p_goal_misgeneralized"]
    rows = {row.name: row for row in meta.rows}
    others = rows["langosco_2022"], rows["shah_2022"]
    pooled = [
        sum(row.factor(name) for row in others) / 3 + value / 3
        for name, value in (("p_goal_fail", goal), ("p_harm", harm))
    ]
    krakovna = [rows["krakovna_2020"].factor(name) for name in ("p_goal_fail", "p_harm")]
    yield AuditItem(
        "B4.conditional",
        "one row may print shares of all cases under conditional headings",
        f"Krakovna: goal failure given capability, harm given failure {percents(krakovna, 0)}",
        f"external: undivided shares of 60 cases; divided they are {percents([goal, harm], 0)}, "
        f"and the pool would be {percents(pooled, 0)}",
        "as printed; the divided values are external figures",
        ("meta_analysis",),
    )
    gaming = [
        case.name for case in p.case_studies if case.failure_class != "goal_misgeneralization"
    ]
    yield AuditItem(
        "B4.gaming",
        "specification gaming is not goal misgeneralization",
        "goal misgeneralization occurs even when the specification is correct (003, line 206)",
        f"{len(gaming)} of {len(p.case_studies)} case studies ({', '.join(gaming)}) have a wrong "
        "reward; line 66 credits two laboratories whose cases are not among the rows",
        "runs are tagged: true-reward runs count towards P(GM), proxy-reward runs inform M_spec",
        ("meta_analysis",),
    )
    yield AuditItem(
        "B4.harm",
        "harm has no definition in the CoinRun row",
        f"P(harm | failure) {percents([rows['langosco_2022'].factor('p_harm')], 0)} for CoinRun",
        "CoinRun has no harm event",
        "harm is declared per environment; measured harm replaces the prior only if asked for",
        ("meta_analysis", "shift_types"),
    )


# -------------------------------------------------------------------------------- B9: citations

_CITATIONS = (  # (id, what is cited, what the reference describes)
    ("shared_link", "003: Langosco et al. (2022) and Shah et al. (2022)", "one link, Shah's paper"),
    ("krakovna", "003: Krakovna et al. (2020)", "a physics paper on topological insulators"),
    ("pan", "003: Pan et al. (2022), Effects of Scale", "TabMWP, by another Pan"),
    ("murphy", "003: Murphy (2013), the Tetris agent", "a lecture by another Murphy"),
    ("grasping", "003: the grasping robot", "Dactyl, whose summary has no occlusion trick"),
    ("meng", "003: Meng et al. (2023)", "a paper marked 2022"),
    ("real", "000: Real et al. (2019)", "AdaBound"),
    ("cotra", "000: Cotra (2022)", "a text by Christiano, 2021"),
    ("perez", "000: Perez et al.", "a paper on sycophancy"),
)


def _citations(p: PriorSet) -> Iterator[AuditItem]:
    for name, cited, described in _CITATIONS:
        yield AuditItem(
            f"B9.{name}",
            "a reference points elsewhere",
            cited,
            f"the reference describes: {described}",
            "not relied on",
            ("citations",),
        )
    unverified = [row.name for row in p.meta_analysis.rows if not row.verified_in_cited_source]
    yield AuditItem(
        "B9.rows",
        "no row of the meta-analysis was found in the paper it cites",
        ", ".join(unverified),
        "two of the three link to a wrong paper; the third's figures were found in no text seen",
        "labelled unverified_in_cited_source",
        ("citations", "meta_analysis"),
        True,
    )


# ----------------------------------------------------------------------------------- B12: context


def reduction_factors() -> dict[str, tuple[float, Range]]:
    """Before / after of the two deliberative-alignment rows, and what rounding to .1 % allows."""
    rows = source_tables()["001_002.research_2025"].rows
    factors = {}
    for name, digit in (
        ("deliberative_alignment_o4_mini", 0.001),
        ("deliberative_alignment_o3", 0.01),
    ):
        before, after = rows[name]["p_before"], rows[name]["p_after"]
        low = (before - digit / 2) / (after + 0.0005)
        factors[name] = before / after, (low, (before + digit / 2) / (after - 0.0005))
    return factors


_EDITED, _TIME_FRAME = 2026, 2035
"""Years in the metadata of document 002: of its last edit, and its time frame."""


def accuracy_of(auroc: float) -> float:
    """Best accuracy at equal shares of both classes, scores normal with equal spread."""
    distance = math.sqrt(2) * NormalDist().inv_cdf(auroc)  # AUROC = Phi(distance / sqrt 2)
    return NormalDist().cdf(distance / 2)


def _context() -> Iterator[AuditItem]:
    headline = source_tables()["001_002.headline"].body
    safety, industry = (
        headline["safety_investment_usd_2024"],
        headline["industry_investment_usd_2024"],
    )
    ratio = headline["disparity_ratio_printed"]
    yield AuditItem(
        "B12.ratio",
        "the funding ratio does not follow from its parts",
        f"${safety / 1e6:.0f}M against ${industry / 1e9:.0f}B, {ratio:,}x",
        f"{industry / safety:,.0f}x; {ratio:,}x needs ${industry / ratio / 1e6:.1f}M or "
        f"${safety * ratio / 1e9:.0f}B",
        "not an input",
        ("context",),
    )
    rows = source_tables()["001_002.research_2025"].rows
    factors = reduction_factors()
    low, high = union([bounds for _, bounds in factors.values()])
    awareness = rows["evaluation_awareness"]
    yield AuditItem(
        "B12.reduction",
        "the reduction factor agrees with its parts",
        f"{rows['deliberative_alignment_o3']['reduction_factor_printed']}x",
        f"{numbers((factor for factor, _ in factors.values()), 1)}x, rounding allows "
        f"{low:.0f}-{high:.0f}x; evaluation awareness rises "
        f"{awareness['p_after'] / awareness['p_before']:.1f}x",
        "not an input",
        ("context",),
    )
    yield from _joined_ranges()
    yield from _accuracy_and_dates()


def _accuracy_and_dates() -> Iterator[AuditItem]:
    headline = source_tables()["001_002.headline"].body
    auroc, years = headline["probe_auroc_greater_than"], headline["concern_timeline_years"]
    yield AuditItem(
        "B12.auroc",
        "an AUROC becomes an accuracy",
        f"AUROC > {auroc:.0%}",
        "called 99 % accuracy in line 186 and 99 % detection in line 170: other quantities; for "
        f"normal scores of equal spread an AUROC of {percents([auroc], 0)} is an accuracy of "
        f"{percents([accuracy_of(auroc)], 0)}",
        "not an input",
        ("context",),
    )
    yield AuditItem(
        "B12.dates",
        "dates disagree",
        f"'February 2025 Nature paper' (001, line 105); time frame {_TIME_FRAME} (002)",
        f"Nature in January 2026 (line 192); {years[0]}-{years[1]} years (001), which end in "
        f"{_EDITED + years[1]} if counted from the last edit, {_EDITED} (002)",
        "not an input",
        ("context",),
    )


def _joined_ranges() -> Iterator[AuditItem]:
    headline = source_tables()["001_002.headline"].body
    faking = source_tables()["001_002.alignment_faking"].body
    rows = source_tables()["001_002.research_2025"].rows
    prompted = faking["p_harmful_with_strategic_reasoning_monitored_free"]
    retrained = faking["p_alignment_faking_after_retraining"]
    mitigated = rows["deliberative_alignment_o4_mini"]["p_after"]
    unmitigated = rows["deliberative_alignment_o3"]["p_before"]
    yield AuditItem(
        "B12.ranges",
        "two ranges join different conditions",
        f"{spans([tuple(headline['p_alignment_faking_range'])], 0)} alignment faking, "
        f"{spans([tuple(headline['p_scheming_range'])])} scheming",
        f"{percents([prompted], 0)} is before retraining, {percents([retrained], 0)} after; "
        f"{percents([mitigated])} is after mitigation, {percents([unmitigated])} before; the "
        f"table's own range is {spans([tuple(rows['self_copying']['p_range'])])}",
        "not an input",
        ("context",),
    )
