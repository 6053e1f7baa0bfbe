"""`misgen risk`: what the risk model says, from the source's figures or from a calibration."""

import argparse
import csv
import io
import json
import math
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from misgen.analysis.audit import audit, format_audit, warn
from misgen.analysis.priors import load_priors
from misgen.analysis.priors.types import PRIOR_SETS, SHIFT_TYPES, PriorSet
from misgen.analysis.records import atomic_write_bytes
from misgen.analysis.risk.draws import RATES, RateDraws, exceeds_limit
from misgen.analysis.risk.formula import OVERFLOWS, TARGETS, Prediction
from misgen.analysis.risk.mesa import MesaIndex, mesa_index
from misgen.analysis.risk.model import DOMAIN_CHOICES, HARM_CHOICES, RiskModel
from misgen.analysis.risk.sensitivity import ORDERS, largest_correlation, sobol, tornado
from misgen.analysis.risk.table import (
    Summary,
    domain_records,
    domain_table,
    format_domain_table,
    reference_condition,
)
from misgen.analysis.text import aligned
from misgen.experiments.cli import WRONG_INPUT

FEEDS = ("side_by_side", "update", "replace")
DRAWS = 100_000
"""Without a calibration: Monte Carlo errors stay below the digits printed."""
TITLES = {
    "harmful_gm": "P(harmful goal misgeneralization)",
    "gm": "P(goal misgeneralization), harm not counted",
}
UNEXPECTED = 3
"""Exit code for an error that nobody foresaw: 1 would read as "above the limit"."""
CORRELATED = 0.1
"""Rank correlation of two inputs from which a sensitivity says that it ignores it."""


def main(argv: list[str]) -> int:
    """Exit code 0; 1 from `gate` above its limit, and for nothing else; 3 with a traceback.

    Raises one of WRONG_INPUT, of which the command line makes exit code 2.
    """
    parser = _parser()
    options = parser.parse_args(argv)
    if options.action is None:
        parser.print_help()
        return 0
    try:
        code: int = options.run(options)
    except Exception as error:
        # With its traceback shown by the command line, wrong input too would end in exit code 1.
        if isinstance(error, WRONG_INPUT) and os.environ.get("MISGEN_TRACEBACK") != "1":
            raise
        traceback.print_exc()
        return UNEXPECTED
    return code


# ------------------------------------------------------------------------------------ the actions


def _table(options: argparse.Namespace) -> int:
    """Five domains in four periods: printed and by the prior; with data, if asked, beside it."""
    asked = {**_levels(options), **_policy(options)}
    data = _data(options)
    model = _model(options, data)
    prior = model if options.calibration is None else _prior_model(options, model.priors)
    has_data = data.domains == "calibrated"
    # Transport is for data on their way into a domain: beside them, the prior's column has none.
    tables = {"prior": domain_table(prior, **asked | ({"transport": None} if has_data else {}))}
    if has_data:
        tables[data.feed] = domain_table(model, **asked)
    if _written(options, list(domain_records(tables))):
        return 0
    topics = ["interventions"] * bool(options.intervention)
    _warn(model.priors, "shift_types", "modifiers", "domains", "timeline", *topics)
    print(f"{TITLES['harmful_gm']}: median [central 90 %]\n")
    print(format_domain_table(tables))
    _print_notes(note for rows in tables.values() for row in rows for note in row.notes)
    if options.calibration is not None:
        print(_below(options.calibration, data), end="")
    return 0


def _below(folder: Path, data: "Data") -> str:
    """What stands below the table of a calibration: the toy agents' rates, and how to let data in.

    folder: the calibration.
    """
    from misgen.analysis.calibration.handoff import read_calibration

    summary = read_calibration(folder).summary
    state = summary["feeds"]["update"]
    lines = []
    if not state["available"]:
        lines.append(f"note: no update: {state['reason']}")
    elif data.domains == "prior":
        lines.append(
            "note: data of toy agents enter no domain by default; --feed update or --feed replace "
            "adds a column in which they do"
        )
    if measured := reference_condition(summary):
        lines.append(
            "\nToy agents as measured and, beside it, divided by the source's multipliers\n"
            f"for that condition: neither number stands for the other.\n\n{measured.rstrip()}"
        )
    else:
        lines.append("note: no agents of the reference arm were measured")
    return "\n".join(lines) + "\n"


def _audit(options: argparse.Namespace) -> int:
    """Every inconsistency of the source's figures that is known."""
    items = audit(_priors(options))
    if not _written(options, [asdict(item) for item in items]):
        print(format_audit(items), end="")
    return 0


def _scenario(options: argparse.Namespace) -> int:
    """One prediction, with everything that went into it."""
    prediction = _predict(options)
    if _written(options, _record(prediction)):
        return 0
    print(_formatted(prediction))
    _print_notes(prediction.warnings)
    return 0


def _sensitivity(options: argparse.Namespace) -> int:
    """Which input of a scenario matters."""
    prediction = _predict(options)
    rows: Sequence[Any]
    if options.sobol:
        rows = sobol(prediction, options.of, options.base, options.seed)
        header = ["input", "alone", "+-", "with interactions", "+-"]
        lines = [[row.name, *map("{:.3f}".format, list(vars(row).values())[1:])] for row in rows]
    else:
        rows = tornado(prediction, options.of, options.by)
        header = ["input", "from", "to", "rate from", "rate to", "log-span", "share"]
        lines = [
            [
                row.name,
                *(f"{value:.3g}" for value in (row.input_low, row.input_high)),
                *(f"{value:.4f}" for value in (row.low, row.high)),
                f"{row.log_span:.2f}",
                f"{row.log_span_share:.0%}",
            ]
            for row in rows
        ]
    if _written(options, [_finite(asdict(row)) for row in rows]):
        return 0
    print(f"{TITLES[options.of]}\n\n{aligned(header, lines)}\n")
    notes = list(prediction.warnings)
    if (largest := largest_correlation(prediction)) > CORRELATED:
        notes.append(f"inputs count as independent; the largest correlation is {largest:.2f}")
    _print_notes(notes)
    return 0


def _gate(options: argparse.Namespace) -> int:
    """Exit code 1 when a rate is above the limit."""
    prediction = _predict(options)
    rate = _rate(prediction, options.of)
    is_above = exceeds_limit(rate, options.max, of=options.of, quantile=options.quantile)
    if options.quantile is None:
        what, value = "mean", rate.mean()
    else:
        what, value = f"{options.quantile:g} quantile", rate.quantile(options.quantile)
    low, high = rate.interval()
    verdict = "above" if is_above else "not above"
    print(
        f"{TITLES[options.of]}: {what} {value:.4f}, central 90 % [{low:.4f}, {high:.4f}]\n"
        f"the {what} is {verdict} the limit {options.max:g}"
    )
    _print_notes(prediction.warnings)
    return int(is_above)


def _mesa(options: argparse.Namespace) -> int:
    """The mesa-optimization index by period: no probability, so relative to the first period."""
    priors = _priors(options)
    exponents = tuple(options.exponents) if options.exponents else None
    draws = DRAWS if options.draws is None else options.draws
    indices = [
        mesa_index(period, exponents=exponents, priors=priors.mesa, draws=draws, seed=options.seed)
        for period in priors.mesa.periods
    ]
    rows = [_mesa_row(index, indices[0]) for index in indices]
    if _written(options, rows):
        return 0
    _warn(priors, "mesa")
    lines = [[str(row["period"]), *(f"{v:.3g}" for v in list(row.values())[1:])] for row in rows]
    print(aligned(["period", "index", "low", "high", "times the first", "low", "high"], lines))
    print()
    _print_notes(indices[0].caveats)
    return 0


def _mesa_row(index: MesaIndex, first: MesaIndex) -> dict[str, Any]:
    low, high = index.interval()
    times = np.quantile(index.relative_to(first), [0.05, 0.5, 0.95]).tolist()
    return {
        "period": index.period,
        "median": index.median(),
        "low": low,
        "high": high,
        "times_first_median": times[1],
        "times_first_low": times[0],
        "times_first_high": times[2],
    }


# -------------------------------------------------------------------------- options -> predictions


class Data(NamedTuple):
    """Which data enter a prediction: the feed, whether into domains, and the option that says so
    ("" where none enter)."""

    feed: str
    domains: str
    option: str


def _data(options: argparse.Namespace) -> Data:
    """What --feed and --domain-data ask for. In a table of domains data enter domains or nothing;
    elsewhere a feed is for toy agents, unless --domain-data says more."""
    is_table = options.action == "table"
    opens = options.domain_data == "calibrated"
    feed = options.feed or ("update" if opens else FEEDS[0])
    option = f"--feed {feed}" if feed != FEEDS[0] and not opens else ""
    option = "--domain-data calibrated" if opens else option
    if option and options.calibration is None:
        raise ValueError(f"{option} reads a calibration; got none; give --calibration DIR")
    if is_table and options.domain_data == "prior" and option:
        raise ValueError(
            f"--domain-data prior keeps data out of every domain of the table; got {option} too; "
            "leave one out"
        )
    if opens and not is_table and options.domain is None:
        raise ValueError(f"{option} is about a domain; got none; give --domain NAME, or --feed")
    domains = "calibrated" if opens or (is_table and option) else "prior"
    return Data(feed, domains, option)


def _priors(options: argparse.Namespace) -> PriorSet:
    """--prior names a set, or else a file; kappa and log_sd are those of a calibration."""
    kappa, log_sd = getattr(options, "kappa", None), None
    if getattr(options, "calibration", None) is not None:
        from misgen.analysis.calibration.handoff import read_calibration

        settings = read_calibration(options.calibration).summary["settings"]
        kappa, log_sd = settings["kappa"], settings["log_sd"]
    name = options.prior or PRIOR_SETS[0]
    if name in PRIOR_SETS:
        return load_priors(name, kappa=kappa, log_sd=log_sd)
    if not Path(name).is_file():
        raise ValueError(
            f"--prior is one of {', '.join(PRIOR_SETS)}, or a YAML file; got {name!r}, which is "
            "neither; check the spelling"
        )
    return load_priors(kappa=kappa, log_sd=log_sd, file=Path(name))


def _prior_model(options: argparse.Namespace, priors: PriorSet) -> RiskModel:
    harm = "implied" if options.calibration and options.harm == "measured" else options.harm
    draws = DRAWS if options.draws is None else options.draws
    return RiskModel.from_prior(priors, draws, options.seed, harm)


def _model(options: argparse.Namespace, data: Data) -> RiskModel:
    if options.calibration is None:
        return _prior_model(options, _priors(options))
    if options.kappa is not None:
        raise ValueError(
            f"a calibration has its own kappa; got --kappa {options.kappa:g} with --calibration; "
            f"leave it out, or run misgen calibrate --kappa {options.kappa:g}"
        )
    model = RiskModel.from_calibration(
        options.calibration,
        data.feed,
        options.harm,
        domains=data.domains,
        priors=_priors(options) if options.prior else None,
        draws=options.draws,
        seed=options.seed,
    )
    return replace(model, opened_by=data.option)


def _levels(options: argparse.Namespace) -> dict[str, Any]:
    return {name: getattr(options, name) for name in MODIFIER_HELP}


def _policy(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "interventions": options.intervention,
        "overflow": options.overflow,
        "target": options.target,
        "transport": options.transport,
        "exposure": options.exposure,
    }


def _predict(options: argparse.Namespace) -> Prediction:
    model = _model(options, _data(options))
    levels = _levels(options)
    prediction = model.predict(
        options.shift, **levels, domain=options.domain, period=options.period, **_policy(options)
    )
    concerned = {
        "shift_types": True,
        "modifiers": options.domain or any(level is not None for level in levels.values()),
        "domains": options.domain,
        "timeline": options.period,
        "interventions": options.intervention,
    }
    _warn(model.priors, *(topic for topic, is_used in concerned.items() if is_used))
    return prediction


def _rate(prediction: Prediction, of: str) -> RateDraws:
    return prediction.p_harmful_gm if of == "harmful_gm" else prediction.p_gm


# ---------------------------------------------------------------------------------------- output


def _record(prediction: Prediction) -> dict[str, Any]:
    """A prediction as JSON data."""
    factors = {name: _summary(values) for name, values in vars(prediction.factors).items()}
    return {
        "shift_types": list(prediction.scenario.shifts),
        "overflow": prediction.scenario.overflow,
        "target": prediction.scenario.target,
        "p_harmful_gm": asdict(Summary.of(prediction.p_harmful_gm)),
        "p_gm": asdict(Summary.of(prediction.p_gm)),
        "factors": factors,
        "inputs": {
            name: {"what": item.label, "acts_on": item.acts_on, **_summary(item.values)}
            for name, item in prediction.inputs.items()
        },
        "clipped_share": prediction.clipped_share,
        "harmful_clipped_share": prediction.harmful_clipped_share,
        "factor_inconsistent_share": prediction.factor_inconsistent_share,
        "by_shift": {
            shift: {
                "p_harmful_gm": asdict(Summary.of(part.p_harmful_gm)),
                "p_gm": asdict(Summary.of(part.p_gm)),
            }
            for shift, part in prediction.by_shift.items()
        },
        "warnings": list(prediction.warnings),
    }


def _summary(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> dict[str, float]:
    low, median, high = np.quantile(values, [0.05, 0.5, 0.95]).tolist()
    return {"mean": float(values.mean()), "median": median, "low": low, "high": high}


def _formatted(prediction: Prediction) -> str:
    """Three small tables: the rates, by shift type, and the inputs."""
    record = _record(prediction)

    def line(name: str, of: Mapping[str, Any]) -> list[str]:
        return [name, *(f"{of[key]:.4f}" for key in ("mean", "median", "low", "high"))]

    rates = [
        line("p_harmful_gm, three factors", record["p_harmful_gm"]),
        line("p_gm, two factors (ours)", record["p_gm"]),
        line("multiplier", _summary(prediction.multiplier)),
    ]
    rates += [
        line(f"{shift}: {name}", of)
        for shift, part in record["by_shift"].items()
        for name, of in part.items()
    ]
    base = "base: " if prediction.scenario.target == "product" else ""
    rates += [line(f"{base}{name}", of) for name, of in record["factors"].items()]
    inputs = [
        [*line(name, of), of["acts_on"] or "-", of["what"]] for name, of in record["inputs"].items()
    ]
    columns = ["mean", "median", "5 %", "95 %"]
    return (
        f"{', '.join(prediction.scenario.shifts)}\n\n"
        f"{aligned(['rate', *columns], rates)}\n\n"
        f"{aligned(['input', *columns, 'acts on', 'what'], inputs)}\n"
    )


def _written(options: argparse.Namespace, data: Any) -> bool:
    """Write what --json and --csv ask for; whether one of them takes the place of the tables."""
    texts = {"json": json.dumps(data, indent=1) + "\n"}
    if "csv" in options:
        texts["csv"] = _csv(data)
    for name, text in texts.items():
        path = getattr(options, name)
        if path == "-":
            sys.stdout.write(text)
        elif path:
            atomic_write_bytes(Path(path), text.encode())
    return "-" in (options.json, getattr(options, "csv", None))


def _finite(row: Mapping[str, Any]) -> dict[str, Any]:
    """JSON has no infinity: the log-span of an input that may be 0 becomes null."""
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in row.items()
    }


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _print_notes(notes: Iterable[str]) -> None:
    for note in dict.fromkeys(notes):
        print(f"note: {note}")


def _warn(priors: PriorSet, *topics: str) -> None:
    """Name what does not add up in the figures that a result uses; `audit` says the rest."""
    titles = {item.line: f"{item.id} {item.title}" for item in audit(priors)}
    lines = [titles[line] for topic in topics for line in warn(topic, priors)]
    if lines:
        print("The source's figures do not add up (misgen risk audit):", file=sys.stderr)
    for line in lines:
        print(f"  {line}", file=sys.stderr)


# -------------------------------------------------------------------------------------- the parser

MODIFIER_HELP = {
    "spec": "specification quality (default: reference, or a domain's own): 0..1, or high, medium, "
    "low",
    "capability": "below_human or superhuman",
    "diversity": "share d of training levels with the broken cue: 0..1, or narrow, diverse",
    "method": "behavioral_cloning or interpretability_verified",
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="misgen risk", description=__doc__, allow_abbrev=False)
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    model = (_prior_options, _model_options, _level_options, _policy_options)
    scenario = (*model, _scenario_options)
    files = (_json_option, _csv_option)
    _action(actions, "table", _table, *model, *files)
    _action(actions, "audit", _audit, _prior_options, _json_option)
    _action(actions, "scenario", _scenario, *scenario, _json_option)
    _action(actions, "sensitivity", _sensitivity, *scenario, _sensitivity_options, *files)
    _action(actions, "gate", _gate, *scenario, _gate_options)
    _action(actions, "mesa", _mesa, _prior_options, _mesa_options, *files)
    return parser


def _action(
    actions: Any,
    name: str,
    run: Callable[[argparse.Namespace], int],
    *groups: Callable[[argparse.ArgumentParser], None],
) -> None:
    text = (run.__doc__ or "").replace("%", "%%")
    action = actions.add_parser(name, help=text, description=text, allow_abbrev=False)
    action.set_defaults(run=run)
    for group in groups:
        group(action)


def _json_option(action: argparse.ArgumentParser) -> None:
    action.add_argument("--json", metavar="FILE", help="write the numbers; - prints only them")


def _csv_option(action: argparse.ArgumentParser) -> None:
    action.add_argument("--csv", metavar="FILE", help="likewise as CSV, a line per row")


def _prior_options(action: argparse.ArgumentParser) -> None:
    sets = ", ".join(PRIOR_SETS)
    action.add_argument(
        "--prior", metavar="NAME|FILE", help=f"{sets}, or a YAML file that replaces figures"
    )


def _model_options(action: argparse.ArgumentParser) -> None:
    add = action.add_argument
    add(
        "--kappa",
        type=float,
        metavar="K",
        help="equivalent sample size of every prior mean (default: the prior set's, 10); not with "
        "--calibration, which has its own",
    )
    add("--calibration", type=Path, metavar="DIR", help="what misgen calibrate wrote")
    add(
        "--feed",
        choices=FEEDS,
        help="what the calibration's data do. side_by_side: they enter no prediction (default); "
        "update: factors and multipliers are the posterior of prior and data; replace: they are "
        "the data alone, where there are any. In a domain they need --domain-data too; in a table "
        "of domains the feed is enough",
    )
    add(
        "--domain-data",
        choices=DOMAIN_CHOICES,
        help="whether data of toy agents enter a domain, times the transport factor (default: "
        "prior, they do not); calibrated without --feed is the feed update",
    )
    add(
        "--harm",
        choices=HARM_CHOICES,
        default=HARM_CHOICES[0],
        help="P(harm | fails): implied by the source's products (default); U(.5, .7) of its note; "
        "or measured, with a feed of a calibration that was asked for it",
    )
    _draw_options(action)


def _draw_options(action: argparse.ArgumentParser) -> None:
    text = f"default: {DRAWS}, or all of a calibration"
    action.add_argument("--draws", type=int, metavar="N", help=text)
    action.add_argument("--seed", type=int, default=0)


def _policy_options(action: argparse.ArgumentParser) -> None:
    action.add_argument(
        "--intervention",
        action="append",
        default=[],
        metavar="NAME",
        help="such as ai_control_protocols; may be repeated",
    )
    action.add_argument(
        "--overflow",
        choices=tuple(OVERFLOWS),
        default="clip",
        help="what a product above 1 becomes",
    )
    action.add_argument(
        "--target", choices=TARGETS, default="product", help="what the multipliers multiply"
    )
    action.add_argument(
        "--transport",
        type=_number_or_range,
        metavar="X|LOW-HIGH",
        help="factor from toy agents to a domain, such as 0.8, .5-1.5 or .5,1.5 (default: .5-1.5 "
        "where data enter one)",
    )
    action.add_argument(
        "--exposure",
        type=float,
        default=1.0,
        metavar="SHARE",
        help="share of situations that tell the goals apart (default: 1)",
    )


def _level_options(action: argparse.ArgumentParser) -> None:
    for name, text in MODIFIER_HELP.items():
        action.add_argument(
            f"--{name}", type=_level, metavar="LEVEL", help=f"{text}; or reference, unknown"
        )


def _scenario_options(action: argparse.ArgumentParser) -> None:
    action.add_argument("--shift", metavar="TYPE", help=", ".join(SHIFT_TYPES))
    action.add_argument("--domain", metavar="NAME", help="such as ai_assistants: two shift types")
    action.add_argument("--period", metavar="YEARS", help="such as 2026-2027 or after-2030")


def _sensitivity_options(action: argparse.ArgumentParser) -> None:
    _of_option(action)
    action.add_argument("--by", choices=ORDERS, default=ORDERS[0], help="order of the tornado")
    action.add_argument("--sobol", action="store_true", help="shares of the variance instead")
    action.add_argument(
        "--base", type=int, default=1024, metavar="N", help="size of the Sobol design: a power of 2"
    )


def _gate_options(action: argparse.ArgumentParser) -> None:
    action.add_argument("--max", type=float, required=True, metavar="P", help="the limit, 0..1")
    action.add_argument(
        "--quantile", type=float, metavar="Q", help="compare this quantile (default: the mean)"
    )
    _of_option(action)


def _of_option(action: argparse.ArgumentParser) -> None:
    action.add_argument(
        "--of", choices=tuple(RATES), default="harmful_gm", help="which of the two rates"
    )


def _mesa_options(action: argparse.ArgumentParser) -> None:
    action.add_argument(
        "--exponents", type=float, nargs=2, metavar=("ALPHA", "BETA"), help="default: 2 1.5"
    )
    _draw_options(action)


def _level(text: str) -> str | float:
    try:
        return float(text)
    except ValueError:
        return text


_DASH = re.compile(r"(?<=[\d.])-")
"""Between two numbers; the one of 1e-3 follows its e."""


def _number_or_range(text: str) -> float | tuple[float, float]:
    """`0.8`, `.5-1.5` or `.5,1.5`."""
    try:
        numbers = [float(part) for part in _DASH.sub(",", text).split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in (1, 2):
        raise argparse.ArgumentTypeError(
            f"a factor such as 0.8, or a range low-high such as .5-1.5; got {text!r}"
        )
    return numbers[0] if len(numbers) == 1 else (numbers[0], numbers[1])
