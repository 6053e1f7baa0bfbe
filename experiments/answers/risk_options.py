"""What `misgen risk` is asked: the options of its actions, and the model that they mean."""

import argparse
import re
import sys
from pathlib import Path
from typing import Any

from misgen.analysis.priors import load_priors
from misgen.analysis.priors.types import PRIOR_SETS, SHIFT_TYPES, PriorSet
from misgen.analysis.risk.formula import OVERFLOWS, TARGETS
from misgen.analysis.risk.model import RiskModel
from misgen.analysis.risk.question import HARM_CHOICES
from misgen.analysis.risk.sensitivity import ORDERS
from misgen.analysis.words import DATA, FORMER_DATA, PRODUCTS, product_of

DRAWS = 100_000
"""Without a calibration: Monte Carlo errors stay below the digits printed."""
MODIFIER_HELP = {
    "spec": "specification quality (default: reference, or a domain's own): 0..1, or high, medium, "
    "low",
    "capability": "below_human or superhuman",
    "diversity": "share d of training levels with the broken cue: 0..1, or narrow, diverse",
    "method": "behavioral_cloning or interpretability_verified",
}

# ------------------------------------------------------------------------------------ the options


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


def _option(text: str, **how: Any) -> dict[str, Any]:
    return {"help": text, **how}


_FILE = {"metavar": "FILE"}
_ARGUMENTS: dict[str, dict[str, Any]] = {
    "name": _option(
        "one of the tables; without it they are listed", nargs="?", default="", metavar="TABLE"
    ),
    **{
        side.lower(): _option(
            'options of a scenario in one word, as "--diversity narrow"; "" for none', metavar=side
        )
        for side in ("A", "B")
    },
    "--prior": _option(
        f"{', '.join(PRIOR_SETS)}, or a YAML file that replaces figures", metavar="NAME|FILE"
    ),
    "--kappa": _option(
        "of how many observations the printed factors speak (default: the prior set's, 10); not "
        "with --calibration, which has its own",
        type=float,
        metavar="K",
    ),
    "--calibration": _option("what misgen calibrate wrote", type=Path, metavar="DIR"),
    "--data": _option(
        "what the calibration's data do. none: they enter no prediction (default); combine: "
        "factors and multipliers are the posterior of source and data; only: they are the data "
        "alone, where there are any",
        type=_data,
        choices=DATA,
        default=DATA[0],
    ),
    "--toy-rates": _option(
        "let data of toy agents into a domain, times the transport factor; else it is refused",
        action="store_true",
    ),
    "--harm": _option(
        "P(harm | fails): implied by the source's products (default); U(.5, .7) of its note; "
        "or measured, with data of a calibration that was asked for it",
        choices=HARM_CHOICES,
        default=HARM_CHOICES[0],
    ),
    "--draws": _option(f"default: {DRAWS}, or all of a calibration", type=int, metavar="N"),
    "--seed": {"type": int, "default": 0},
    **{
        f"--{name}": _option(f"{text}; or reference, unknown", type=_level, metavar="LEVEL")
        for name, text in MODIFIER_HELP.items()
    },
    "--intervention": _option(
        "such as ai_control_protocols; may be repeated",
        dest="interventions",
        action="append",
        default=[],
        metavar="NAME",
    ),
    "--overflow": _option(
        "what a product above 1 becomes", choices=tuple(OVERFLOWS), default="clip"
    ),
    "--target": _option(
        "what multipliers multiply: the factor that they change (default), or as printed, the "
        "whole product (default with --overflow hazard or odds)",
        choices=TARGETS,
    ),
    "--transport": _option(
        "factor from toy agents to a domain, such as 0.8, .5-1.5 or .5,1.5 (default: .5-1.5 "
        "where data enter one)",
        type=_number_or_range,
        metavar="X|LOW-HIGH",
    ),
    "--exposure": _option(
        "share of situations that tell the goals apart (default: 1)",
        type=_share,
        default=1.0,
        metavar="SHARE",
    ),
    "--shift": _option(", ".join(SHIFT_TYPES), metavar="TYPE"),
    "--domain": _option("such as ai_assistants: two shift types", metavar="NAME"),
    "--period": _option("such as 2026-2027 or after-2030", metavar="YEARS"),
    "--squiggle": _option(
        "write the joint draws and the formula as Squiggle text; - prints only it", **_FILE
    ),
    "--by": _option("order of the tornado", choices=ORDERS, default=ORDERS[0]),
    "--sobol": _option("shares of the variance instead", action="store_true"),
    "--base": _option(
        "size of the Sobol design: a power of 2", type=int, default=1024, metavar="N"
    ),
    "--max": _option("the limit, 0..1", type=_share, required=True, metavar="P"),
    "--quantile": _option("compare this quantile (default: the mean)", type=_share, metavar="Q"),
    "--of": _option(
        "which of the two rates", type=product_of, choices=PRODUCTS, default="p_harmful_gm"
    ),
    "--exponents": _option("default: 2 1.5", type=float, nargs=2, metavar=("ALPHA", "BETA")),
    "--misalignment": _option(
        "degree of misalignment M, 0..1, such as 0.5 or .2-.8 (default: 1, which leaves M out)",
        type=_number_or_range,
        default=1.0,
        metavar="M|LOW-HIGH",
    ),
    "--quiet": _option("no notes and no warnings", action="store_true"),
    "--json": _option("write the numbers; - prints only them", **_FILE),
    "--csv": _option("likewise as CSV, a line per row", **_FILE),
}

_DRAWN = "--draws --seed"
_MODEL = f"""--prior --kappa --calibration --data --toy-rates --harm {_DRAWN}
    --spec --capability --diversity --method
    --intervention --overflow --target --transport --exposure"""
_SCENARIO = f"{_MODEL} --shift --domain --period"
_OF_ACTION = {
    "table": f"{_MODEL} --quiet --json --csv",
    "source": "name --quiet --json --csv",
    "audit": "--prior --quiet --json",
    "scenario": f"{_SCENARIO} --squiggle --quiet --json",
    "compare": f"a b {_SCENARIO} --quiet --json --csv",
    "sensitivity": f"{_SCENARIO} --of --by --sobol --base --quiet --json --csv",
    "gate": f"{_SCENARIO} --max --quantile --of --quiet --json",
    "mesa": f"--prior --exponents --misalignment {_DRAWN} --quiet --json --csv",
}


def add_options(parser: argparse.ArgumentParser, action: str) -> None:
    """Those of an action of `misgen risk`."""
    for name in _OF_ACTION[action].split():
        parser.add_argument(name, **_ARGUMENTS[name])


def question_of(options: argparse.Namespace) -> dict[str, Any]:
    """The arguments of `RiskModel.predict`, as far as the action has options for them."""
    names = (*MODIFIER_HELP, "shift", "domain", "period", "interventions", "overflow", "target",
             "transport", "exposure")  # fmt: skip
    return {name: getattr(options, name) for name in names if name in options}


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
