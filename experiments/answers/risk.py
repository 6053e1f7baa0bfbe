"""`misgen risk`: what the risk model says, from the source's figures or from a calibration."""

import argparse
import copy
import math
import os
import shlex
import traceback
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from misgen.analysis.audit import audit, format_audit
from misgen.analysis.files import atomic_write_bytes
from misgen.analysis.risk.draws import VERDICTS, Draws, LimitCheck, check_limit
from misgen.analysis.risk.formula import Prediction
from misgen.analysis.risk.mesa import MESA_PERIODS, mesa_index
from misgen.analysis.risk.question import choose
from misgen.analysis.risk.sensitivity import differences, largest_correlation, sobol, tornado
from misgen.analysis.risk.squiggle import squiggle
from misgen.analysis.risk.table import domain_records, domain_rows, domain_table
from misgen.analysis.text import aligned, filled
from misgen.experiments.answers.risk_options import (
    MODIFIER_HELP,
    add_options,
    draws_of,
    model_of,
    prior_model,
    priors_of,
    question_of,
)
from misgen.experiments.answers.risk_output import (
    below_table,
    finite,
    format_mesa,
    format_prediction,
    format_source,
    mesa_record,
    prediction_record,
    print_warnings,
    source_records,
    written,
)
from misgen.experiments.cli import Parser

TITLES = {
    "p_harmful_gm": "P(harmful goal misgeneralization)",
    "p_gm": "P(goal misgeneralization), harm not counted",
}
GATE_CODES = dict(zip(VERDICTS, (0, 1, 3), strict=True))
UNEXPECTED = 4
"""Exit code for an error that nobody foresaw: 1 would read as "above the limit"."""
CORRELATED = 0.1
"""Rank correlation of two inputs from which a sensitivity says that it ignores it."""


def main(argv: list[str]) -> int:
    """Exit code 0; from `gate` alone 1 above its limit and 3 too close to it; 4 with a traceback.

    Raises ValueError or OSError, of which the command line makes exit code 2.
    """
    parser = _parser()
    options = parser.parse_args(argv)
    if options.action is None:
        parser.print_help()
        return 0
    options.notes, options.concerned = [], []  # said after the answer
    try:
        code: int = options.run(options)
    except Exception as error:
        # With its traceback shown by the command line, wrong input too would end in exit code 1.
        if isinstance(error, (ValueError, OSError)) and os.environ.get("MISGEN_TRACEBACK") != "1":
            raise
        traceback.print_exc()
        return UNEXPECTED
    if not options.quiet:
        for note in dict.fromkeys(options.notes):
            print(filled(f"note: {note}", hanging=2))
        print_warnings(options.concerned)
    return code


def _parser() -> Parser:
    parser = Parser(prog="misgen risk", description=__doc__)
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    for run in (_table, _source, _audit, _scenario, _compare, _sensitivity, _gate, _mesa):
        name, text = run.__name__.removeprefix("_"), (run.__doc__ or "").replace("%", "%%")
        action = actions.add_parser(name, help=text, description=text)
        action.set_defaults(run=run)
        add_options(action, name)
    return parser


# ------------------------------------------------------------------------------------ the actions


def _table(options: argparse.Namespace) -> int:
    """Five domains in four periods: printed and by the prior; with data, if asked, beside it."""
    asked, model = question_of(options), model_of(options)
    prior = model if options.calibration is None else prior_model(options, model.priors)
    has_data = options.data != "none"
    # Transport is for data on their way into a domain: beside them, the prior's column has none.
    rows = {"none": domain_rows(prior, **asked | ({"transport": None} if has_data else {}))}
    if has_data:
        rows[options.data] = domain_rows(model, **asked)
    if written(options, list(domain_records(rows))):
        return 0
    topics = ["shift_types", "modifiers", "domains", "timeline"]
    topics += ["interventions"] * bool(options.interventions)
    options.concerned += [(model.priors, topic) for topic in topics]
    print(domain_table(rows).as_text())
    options.notes += [note for some in rows.values() for row in some for note in row.notes]
    if options.calibration is not None:
        print(below_table(options.calibration, has_data), end="")
    return 0


def _source(options: argparse.Namespace) -> int:
    """The source's tables as they are printed, with lines, and what they are used as."""
    rows = source_records(options.name)
    if not written(options, rows):
        print(format_source(options.name, rows))
    return 0


def _audit(options: argparse.Namespace) -> int:
    """Every inconsistency of the source's figures that is known."""
    items = audit(priors_of(options))
    if not written(options, [asdict(item) for item in items]):
        print(format_audit(items), end="")
    return 0


def _scenario(options: argparse.Namespace) -> int:
    """One prediction, with everything that went into it."""
    prediction = _predict(options)
    if options.squiggle:
        text = squiggle(prediction)
        if options.squiggle == "-":
            print(text, end="")
            return 0
        atomic_write_bytes(Path(options.squiggle), text.encode())
    if written(options, prediction_record(prediction)):
        return 0
    print(format_prediction(prediction))
    options.notes += prediction.warnings
    return 0


def _compare(options: argparse.Namespace) -> int:
    """What a change buys: two scenarios on common draws, A and B beside what both have."""
    asked = []
    for side, text in (("A", options.a), ("B", options.b)):
        parser = Parser(prog=f"misgen risk compare {side}")
        add_options(parser, "scenario")
        asked.append(parser.parse_args(shlex.split(text), copy.copy(options)))
    before, after = map(_predict, asked)
    rows = [*differences(before, after)]
    if written(options, [finite(asdict(row)) for row in rows]):
        return 0
    header = ["rate", "A", "B", "B - A", "5 %", "95 %", "B / A", "P(B < A)"]
    lines = [
        [row.rate,
         *map("{:.4f}".format, (row.before, row.after, row.difference, row.low, row.high)),
         f"{row.ratio:.3f}" if math.isfinite(row.ratio) else "-", f"{row.share_lower:.0%}"]
        for row in rows
    ]  # fmt: skip
    print(
        f"A: {options.a or 'as it is'}\nB: {options.b or 'as it is'}\n\n{aligned(header, lines)}\n"
    )
    clipped = [f"{one.clipped_share:.0%}" for one in (before, after)]
    if {*clipped} != {"0%"}:
        options.notes.append(
            f"a factor is clipped at 1 in {clipped[0]} of A's draws and {clipped[1]} of B's: "
            "what lies beyond is lost to the difference"
        )
    options.notes += [*before.scenario.warnings, *after.scenario.warnings]
    return 0


def _sensitivity(options: argparse.Namespace) -> int:
    """Which input of a scenario matters; levels that are not given are open, and vary."""
    opened = _open_levels(options)
    asked = argparse.Namespace(**{**vars(options), **dict.fromkeys(opened, "unknown")})
    prediction = _predict(asked)
    rows: Sequence[Any]
    if options.sobol:
        rows = sobol(prediction, options.of, options.base, options.seed)
        header = ["input", "alone", "+-", "with interactions", "+-"]
        lines = [[row.name, *map("{:.3f}".format, list(vars(row).values())[1:])] for row in rows]
    else:
        rows = tornado(prediction, options.of, options.by)
        header = ["input", "from", "to", "rate from", "rate to", "log-span", "share"]
        lines = [
            [row.name, f"{row.input_low:.3g}", f"{row.input_high:.3g}", f"{row.low:.4f}",
             f"{row.high:.4f}", f"{row.log_span:.2f}", f"{row.log_span_share:.0%}"]
            for row in rows
        ]  # fmt: skip
    if written(options, [finite(asdict(row)) for row in rows]):
        return 0
    print(f"{TITLES[options.of]}\n\n{aligned(header, lines)}\n")
    options.notes += [_held_levels(options, opened), *prediction.warnings]
    if (largest := largest_correlation(prediction)) > CORRELATED:
        options.notes.append(
            f"inputs count as independent; the largest correlation is {largest:.2f}"
        )
    return 0


def _open_levels(options: argparse.Namespace) -> list[str]:
    """The modifiers whose level nothing says, no option, no domain, and whose lever no period or
    intervention pulls."""
    priors = priors_of(options)
    acts = [choose("an intervention", name, priors.interventions) for name in options.interventions]
    pulled = {act.excludes for act in acts}
    if options.period:
        pulled.add(choose("a period", options.period, priors.periods).excludes)
    if options.domain:
        pulled.add("spec")  # a domain has its own
    return [name for name in MODIFIER_HELP if getattr(options, name) is None and name not in pulled]


def _held_levels(options: argparse.Namespace, opened: Sequence[str]) -> str:
    """In words, what varies and what does not."""
    given = {name: getattr(options, name) for name in MODIFIER_HELP if name not in opened}
    own = {"spec": "the domain's own"} if options.domain else {}
    held = [
        f"{name} at {own.get(name, 'reference') if at is None else at}"
        for name, at in given.items()
    ]
    varies = ", ".join(opened) or "no modifier"
    return f"open, over the whole range: {varies}; held: {', '.join(held) or 'no modifier'}"


def _gate(options: argparse.Namespace) -> int:
    """Exit code 1 when a rate is above the limit, 3 when it is too close to call."""
    prediction = _predict(options)
    rate: Draws = getattr(prediction, options.of)
    found = check_limit(rate, options.max, of=options.of, quantile=options.quantile)
    what = "mean" if options.quantile is None else f"{options.quantile:g} quantile"
    low, high = rate.interval()
    record = {"of": options.of, "what": what, **asdict(found), "low": low, "high": high}
    if not written(options, {**record, "warnings": list(prediction.warnings)}):
        of_what = "" if options.quantile is None else " of the share above"
        print(
            f"{TITLES[options.of]}: {what} {found.value:.4f}, "
            f"central 90 % [{low:.4f}, {high:.4f}]\n"
            f"P(rate > {options.max:g}) = {found.share_above:.3f}; Monte Carlo error{of_what} "
            f"{found.error:.1g}\n{_said(what, found, len(rate.values))}"
        )
        options.notes += prediction.warnings
    return GATE_CODES[found.verdict]


def _said(what: str, found: LimitCheck, draws: int) -> str:
    if found.verdict != VERDICTS[2]:
        return f"the {what} is {found.verdict} the limit {found.limit:g}"
    return (
        f"the {what} is too close to the limit {found.limit:g} to call with {draws} draws; more of "
        f"them (--draws) may tell"
    )


def _mesa(options: argparse.Namespace) -> int:
    """The mesa-optimization index by period: no probability, so relative to the first period."""
    priors = priors_of(options)
    asked = {
        "exponents": tuple(options.exponents) if options.exponents else None,
        "misalignment": options.misalignment,
        "priors": priors.mesa,
        "draws": draws_of(options),
        "seed": options.seed,
    }
    indices = [mesa_index(period, **asked) for period in MESA_PERIODS]
    rows = [mesa_record(index, indices[0], priors.mesa) for index in indices]
    if written(options, rows):
        return 0
    options.concerned.append((priors, "mesa"))
    print(format_mesa(rows))
    options.notes += indices[0].caveats
    return 0


def _predict(options: argparse.Namespace) -> Prediction:
    model, asked = model_of(options), question_of(options)
    prediction = model.predict(**asked)
    has_level = any(asked[name] is not None for name in MODIFIER_HELP)
    concerned = {
        "shift_types": True,
        "modifiers": options.domain or has_level,
        "domains": options.domain,
        "timeline": options.period,
        "interventions": options.interventions,
    }
    options.concerned += [(model.priors, topic) for topic, is_used in concerned.items() if is_used]
    return prediction
