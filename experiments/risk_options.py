"""What `misgen risk` is asked: the options of its actions, and the model that they mean."""

import argparse
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from misgen.analysis.priors import load_priors
from misgen.analysis.priors.types import PRIOR_SETS, SHIFT_TYPES, PriorSet
from misgen.analysis.risk.formula import OVERFLOWS, TARGETS
from misgen.analysis.risk.model import RiskModel
from misgen.analysis.risk.question import HARM_CHOICES
from misgen.analysis.risk.sensitivity import ORDERS
from misgen.analysis.words import DATA, FORMER_DATA, PRODUCTS, product_of
from misgen.experiments.risk_levels import MODIFIER_HELP

DRAWS = 100_000
"""Without a calibration: Monte Carlo errors stay below the digits printed."""
# ------------------------------------------------------------------------------------ the options


def _json_option(action: argparse.ArgumentParser) -> None:
    action.add_argument("--json", metavar="FILE", help="write the numbers; - prints only them")


def _quiet_option(action: argparse.ArgumentParser) -> None:
    action.add_argument("--quiet", action="store_true", help="no notes and no warnings")


def _csv_option(action: argparse.ArgumentParser) -> None:
    action.add_argument("--csv", metavar="FILE", help="likewise as CSV, a line per row")


def _prior_options(action: argparse.ArgumentParser) -> None:
    sets = ", ".join(PRIOR_SETS)
    action.add_argument(
        "--prior", metavar="NAME|FILE", help=f"{sets}, or a YAML file that replaces figures"
    )


def _model_options(action: argparse.ArgumentParser) -> None:
    add = action.add_argument
    text = (
        "of how many observations the printed factors speak (default: the prior set's, 10); not "
        "with --calibration, which has its own"
    )
    add("--kappa", type=float, metavar="K", help=text)
    add("--calibration", type=Path, metavar="DIR", help="what misgen calibrate wrote")
    text = (
        "what the calibration's data do. none: they enter no prediction (default); combine: "
        "factors and multipliers are the posterior of source and data; only: they are the data "
        "alone, where there are any"
    )
    add("--data", type=_data, choices=DATA, default=DATA[0], help=text)
    text = "let data of toy agents into a domain, times the transport factor; else it is refused"
    add("--toy-rates", action="store_true", help=text)
    text = (
        "P(harm | fails): implied by the source's products (default); U(.5, .7) of its note; "
        "or measured, with data of a calibration that was asked for it"
    )
    add("--harm", choices=HARM_CHOICES, default=HARM_CHOICES[0], help=text)
    _draw_options(action)


def _draw_options(action: argparse.ArgumentParser) -> None:
    text = f"default: {DRAWS}, or all of a calibration"
    action.add_argument("--draws", type=int, metavar="N", help=text)
    action.add_argument("--seed", type=int, default=0)


def _policy_options(action: argparse.ArgumentParser) -> None:
    add = action.add_argument
    text = "such as ai_control_protocols; may be repeated"
    add("--intervention", action="append", default=[], metavar="NAME", help=text)
    text = "what a product above 1 becomes"
    add("--overflow", choices=tuple(OVERFLOWS), default="clip", help=text)
    text = (
        "what multipliers multiply: the factor that they change (default), or as printed, the "
        "whole product (default with --overflow hazard or odds)"
    )
    add("--target", choices=TARGETS, help=text)
    text = (
        "factor from toy agents to a domain, such as 0.8, .5-1.5 or .5,1.5 (default: .5-1.5 "
        "where data enter one)"
    )
    add("--transport", type=_number_or_range, metavar="X|LOW-HIGH", help=text)
    text = "share of situations that tell the goals apart (default: 1)"
    add("--exposure", type=_share, default=1.0, metavar="SHARE", help=text)


def _level_options(action: argparse.ArgumentParser) -> None:
    for name, text in MODIFIER_HELP.items():
        action.add_argument(
            f"--{name}", type=_level, metavar="LEVEL", help=f"{text}; or reference, unknown"
        )


def _scenario_options(action: argparse.ArgumentParser) -> None:
    action.add_argument("--shift", metavar="TYPE", help=", ".join(SHIFT_TYPES))
    action.add_argument("--domain", metavar="NAME", help="such as ai_assistants: two shift types")
    action.add_argument("--period", metavar="YEARS", help="such as 2026-2027 or after-2030")


def _squiggle_option(action: argparse.ArgumentParser) -> None:
    text = "write the joint draws and the formula as Squiggle text; - prints only it"
    action.add_argument("--squiggle", metavar="FILE", help=text)


def _source_options(action: argparse.ArgumentParser) -> None:
    text = "one of the tables; without it they are listed"
    action.add_argument("name", nargs="?", default="", metavar="TABLE", help=text)


def _compare_options(action: argparse.ArgumentParser) -> None:
    for side in ("A", "B"):
        text = 'options of a scenario in one word, as "--diversity narrow"; "" for none'
        action.add_argument(side.lower(), metavar=side, help=text)


def _sensitivity_options(action: argparse.ArgumentParser) -> None:
    _of_option(action)
    action.add_argument("--by", choices=ORDERS, default=ORDERS[0], help="order of the tornado")
    action.add_argument("--sobol", action="store_true", help="shares of the variance instead")
    text = "size of the Sobol design: a power of 2"
    action.add_argument("--base", type=int, default=1024, metavar="N", help=text)


def _gate_options(action: argparse.ArgumentParser) -> None:
    action.add_argument("--max", type=_share, required=True, metavar="P", help="the limit, 0..1")
    text = "compare this quantile (default: the mean)"
    action.add_argument("--quantile", type=_share, metavar="Q", help=text)
    _of_option(action)


def _of_option(action: argparse.ArgumentParser) -> None:
    text = "which of the two rates"
    action.add_argument(
        "--of", type=product_of, choices=PRODUCTS, default="p_harmful_gm", help=text
    )


def _mesa_options(action: argparse.ArgumentParser) -> None:
    action.add_argument(
        "--exponents", type=float, nargs=2, metavar=("ALPHA", "BETA"), help="default: 2 1.5"
    )
    text = "degree of misalignment M, 0..1, such as 0.5 or .2-.8 (default: 1, which leaves M out)"
    action.add_argument(
        "--misalignment", type=_number_or_range, default=1.0, metavar="M|LOW-HIGH", help=text
    )
    _draw_options(action)


def _data(word: str) -> str:
    """A former word is understood, with a note."""
    if word in FORMER_DATA:
        print(f"note: {word} is now called {FORMER_DATA[word]}", file=sys.stderr)
    return FORMER_DATA.get(word, word)


def _level(text: str) -> str | float:
    try:
        return _share(text)
    except ValueError:
        return text


def _share(text: str) -> float:
    """`0.05` or `5%`."""
    return float(text[:-1]) / 100 if text.endswith("%") else float(text)


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


_MODEL = (_prior_options, _model_options, _level_options, _policy_options)
_SCENARIO = (*_MODEL, _scenario_options)
OPTIONS: dict[str, tuple[Callable[[argparse.ArgumentParser], None], ...]] = {
    "table": (*_MODEL, _quiet_option, _json_option, _csv_option),
    "source": (_source_options, _quiet_option, _json_option, _csv_option),
    "audit": (_prior_options, _quiet_option, _json_option),
    "scenario": (*_SCENARIO, _squiggle_option, _quiet_option, _json_option),
    "compare": (_compare_options, *_SCENARIO, _quiet_option, _json_option, _csv_option),
    "sensitivity": (*_SCENARIO, _sensitivity_options, _quiet_option, _json_option, _csv_option),
    "gate": (*_SCENARIO, _gate_options, _quiet_option, _json_option),
    "mesa": (_prior_options, _mesa_options, _quiet_option, _json_option, _csv_option),
}
"""Action -> groups of its options."""

# --------------------------------------------------------------------------- options -> the model


def priors_of(options: argparse.Namespace) -> PriorSet:
    """--prior names a set, or else a file; kappa and log_sd are those of a calibration."""
    kappa, log_sd = getattr(options, "kappa", None), None
    if getattr(options, "calibration", None) is not None:
        from misgen.analysis.calibration.handoff import read_calibration

        settings = read_calibration(options.calibration).summary.settings
        kappa, log_sd = settings.kappa, settings.log_sd
    return chosen_priors(options.prior or PRIOR_SETS[0], kappa, log_sd)


def chosen_priors(name: str, kappa: float | None, log_sd: float | None = None) -> PriorSet:
    """A named prior set, or a user's file."""
    if name in PRIOR_SETS:
        return load_priors(name, kappa=kappa, log_sd=log_sd)
    if not Path(name).is_file():
        raise ValueError(
            f"--prior is one of {', '.join(PRIOR_SETS)}, or a YAML file; got {name!r}, which is "
            "neither; check the spelling"
        )
    return load_priors(kappa=kappa, log_sd=log_sd, file=Path(name))


def prior_model(options: argparse.Namespace, priors: PriorSet) -> RiskModel:
    harm = "implied" if options.calibration and options.harm == "measured" else options.harm
    return RiskModel.from_prior(priors, draws_of(options), options.seed, harm)


def draws_of(options: argparse.Namespace) -> int:
    """How many random numbers, where there is no calibration that says it."""
    return DRAWS if options.draws is None else int(options.draws)


def model_of(options: argparse.Namespace) -> RiskModel:
    if options.calibration is None:
        asked = [f"--data {options.data}"] * (options.data != DATA[0])
        asked += ["--toy-rates"] * options.toy_rates
        if asked:
            raise ValueError(f"{asked[0]} reads a calibration; got none; give --calibration DIR")
        return prior_model(options, priors_of(options))
    if options.kappa is not None:
        raise ValueError(
            f"a calibration has its own kappa; got --kappa {options.kappa:g} with --calibration; "
            f"leave it out, or run misgen calibrate --kappa {options.kappa:g}"
        )
    return RiskModel.from_calibration(
        options.calibration,
        options.data,
        options.harm,
        toy_rates=options.toy_rates,
        priors=priors_of(options) if options.prior else None,
        draws=options.draws,
        seed=options.seed,
    )


def policy_of(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "interventions": options.intervention,
        "overflow": options.overflow,
        "target": options.target,
        "transport": options.transport,
        "exposure": options.exposure,
    }
