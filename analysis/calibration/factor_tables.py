"""What the source says of the factors, what was measured, and the posterior, as tables."""

from collections.abc import Iterator, Mapping, Sequence

from misgen.analysis.calibration.summary import ArmSummary, CellSummary, Population, Summary
from misgen.analysis.intervals import Estimate
from misgen.analysis.tables import Table, Value
from misgen.analysis.words import DATA, RATE_NAMES


def factors(summary: Summary) -> Table:
    rows: list[list[Value]] = []
    for row in summary.types:
        source = [row.source.rates[rate] for rate in RATE_NAMES]
        rows.append([row.title, "source", *source, None, "", ""])
        rows.append([row.title, "prior", *_in_order(row.prior), None, "", ""])
        for cell in summary.cells_of(row.type):
            rows += _measured(row.title, cell)
        for data, found in zip(DATA[1:], (row.combine, row.only), strict=True):
            if found is not None and not row.keeps_prior:
                rows.append([row.title, data, *_in_order(found), None, "",
                             f"reads {listed(row.cells)}"])  # fmt: skip
    note = (
        "source: as printed; P(harm | fails) is implied by the printed product. Cells: competent "
        "agents of the reference arm (d = 0 where there is none) at variant "
        f"{summary.reference_condition.variant}, means over agents and central 90 %. combine, "
        "only: means and central 90 %; a type without a cell that may enter keeps its prior. "
        "p_harmful_gm is the source's figure; p_gm is never compared with it.\n" + summary.estimand
    )
    header = ["type", "what", *RATE_NAMES.values(), "agents", "levels", "remarks"]
    return Table("Source, measured, posterior", header, rows, note, keys=2)


def _in_order(rates: Mapping[str, Estimate]) -> list[Value]:
    return [rates[rate] for rate in RATE_NAMES]


def listed(cells: Sequence[str]) -> str:
    return " ".join(name.rpartition("/")[2] for name in cells)


def _measured(title: str, cell: CellSummary) -> Iterator[list[Value]]:
    if cell.shown is None:
        return
    name, arm = cell.shown
    remarks = ["not read by combine"] * bool(cell.left_out)
    remarks += ["not identified"] * (not cell.identified)
    remarks += ["harm by construction"] * cell.harm_by_construction
    what = cell.cell + ", d=0" * (name == "d0")
    found = arm.competent
    yield [title, what, *_in_order(found.rates), found.agents, found.levels, "; ".join(remarks)]


def attrition(summary: Summary) -> Table:
    rows: list[list[Value]] = []
    for cell in summary.cells:
        for arm in sorted(cell.arms.values(), key=lambda arm: arm.d):
            name = f"d={arm.d:g}"
            rows.append([cell.cell, name, "competent", *_population(arm.competent, arm)])
            rows.append([cell.cell, name, "all trained", *_population(arm.all_trained)])
            rows.append([cell.cell, name, "bounds", None, "", None, *[None] * 3, arm.bounds, None,
                         ""])  # fmt: skip
    note = (
        "Competent agents (the headline) solve at least 0.8 times as many levels of their own "
        "training distribution (own) as the planner. bounds: p_gm had the others never failed, or "
        "always. Fewer than 3 agents: no interval."
    )
    header = ["cell", "arm", "agents of the arm", "agents", "levels", "own",
              *RATE_NAMES.values(), "note"]  # fmt: skip
    return Table("Who is counted", header, rows, note, keys=3)


def _population(found: Population, arm: ArmSummary | None = None) -> list[Value]:
    own = arm.own_success if arm else None
    return [found.agents, found.levels, own, *_in_order(found.rates), found.note]


def condition(summary: Summary) -> Table:
    arms = [arm for cell in summary.cells for arm in cell.arms.values()]
    levels = {arm.condition.removeprefix("measured at "): arm.divided.levels for arm in arms}
    resolved = " ".join(
        f"At {at} the source's levels are {', '.join(' '.join(pair) for pair in of.items())}."
        for at, of in levels.items()
    )
    rows: list[list[Value]] = [
        [
            cell.cell, arm.condition, arm.divided.multiplier,
            arm.competent.rates["p_gm"], arm.divided.p_gm,
            arm.competent.rates["p_harmful_gm"], arm.divided.p_harmful_gm,
        ]
        for cell in summary.cells
        for name, arm in cell.arms.items()
        if name in ("reference", "d0")
    ]  # fmt: skip
    header = ["cell", "condition", "source's multipliers", "p_gm measured", "p_gm divided",
              "p_harmful_gm measured", "p_harmful_gm divided"]  # fmt: skip
    note = (
        "Two numbers with two meanings: never one for the other. Divided rates carry the "
        f"multipliers' uncertainty and may exceed 1; data enter as the measured ones. {resolved}"
    )
    return Table("Measured, and divided by the source's multipliers", header, rows, note)
