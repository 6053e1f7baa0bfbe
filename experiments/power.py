"""`misgen power`: how many trained agents an arm needs for a difference to be found."""

from __future__ import annotations

import argparse
import math
import shlex
from pathlib import Path

from misgen.analysis.blocks import CUE_BROKEN
from misgen.analysis.power import (
    ASSUMED,
    CHANGES,
    EFFECTS,
    FACTORS,
    MOST_AGENTS,
    Line,
    Plan,
    Pool,
    Question,
    attainable,
    plan,
)
from misgen.analysis.text import aligned, number
from misgen.experiments.cli import Parser
from misgen.experiments.power_arm import ASSUMPTIONS, FirstArm, assumed_arm, measured_arm
from misgen.experiments.provenance import provenance
from misgen.experiments.run_folder import RESULTS_HELP, parse_flags, write_json

USUAL = 0.2
"""The difference that is asked for where none is named."""


def main(argv: list[str]) -> int:
    """Exit code 0. Raises ValueError for a bad folder, cell, column, value or number."""
    options = parse_flags(_parser(), argv)
    _check(options)
    first = assumed_arm(options) if options.assume else measured_arm(options)
    difference = _difference(first.pool, options)
    question = Question(
        first.pool, options.rate, difference, simulations=options.simulations, seed=options.seed
    )
    found = plan(question, options.agents, options.against_agents, options.power)
    print(_text(first, question, found), end="")
    if options.json:
        asked = {"arm": first.name, "note": first.note, "rate": options.rate}
        asked |= {"difference": difference, "effects": EFFECTS, "simulations": options.simulations}
        lines = [
            line._asdict() | {"smallest": [None if x != x else x for x in line.smallest]}
            for line in found.lines
        ]
        made_by = {**provenance(), "command": shlex.join(["misgen", "power", *argv])}
        write_json(options.json, made_by | asked | found._asdict() | {"lines": lines})
    return 0


def _parser() -> Parser:
    parser = Parser(prog="misgen power", description=__doc__, epilog=RESULTS_HELP)
    add = parser.add_argument
    add("--cell", metavar="CODE", help="whose agents were measured")
    add("--variant", choices=CUE_BROKEN, default="11", help="of the evaluation (default: 11)")
    add("--by", default="d", metavar="COLUMN", help="what arms are compared along (default: d)")
    add("--against", metavar="VALUE", help="its value in the measured arm (default for d: 1)")
    add("--method", metavar="NAME", help="of the measured arm (default: ppo)")
    add("--d", type=float, metavar="D", help="of the measured arm, if --by is another column")
    add("--study", metavar="NAME", help="only the records of this study")
    text = "nothing is measured: agents are alike, spread or of two kinds"
    add("--assume", choices=ASSUMED, metavar="SPREAD", help=f"{text} ({', '.join(ASSUMED)})")
    add("--goal-fail", type=float, metavar="P", help="assumed mean, given capable (default: .3)")
    add("--capable", type=float, metavar="P", help="likewise (default: .95)")
    add("--levels", type=int, metavar="N", help="of an assumed agent (default: 330)")
    add("--rate", choices=[*CHANGES], default="p_gm", metavar="RATE",
        help=f"what is compared: {', '.join(CHANGES)} (default: p_gm)")  # fmt: skip
    add("--difference", type=float, metavar="X",
        help="second arm minus measured arm (default: .2 to the side with more room)")  # fmt: skip
    add("--agents", type=int, nargs="+", default=[5, 8, 10, 15, 20, 30], metavar="N",
        help="an arm (default: 5 8 10 15 20 30)")  # fmt: skip
    add("--against-agents", type=int, metavar="N", help="of the measured arm (default: as many)")
    add("--power", type=float, default=0.8, metavar="P", help="to reach (default: .8)")
    add("--simulations", type=int, default=2000, metavar="N", help="of a number (default: 2000)")
    add("--seed", type=int, default=0, metavar="S", help="of all random numbers (default: 0)")
    add("--json", type=Path, metavar="FILE", help="write the results here as well")
    return parser


MEASURED = ("against", "method", "d", "study")
"""Options that --assume leaves nothing to say."""
LIMITS = {
    "agents": (2, 100),
    "against_agents": (2, 100),
    "power": (0.2, 0.99),
    "simulations": (100, 100_000),
    "levels": (1, 100_000),
    "goal_fail": (0, 1),
    "capable": (0.01, 1),
    "seed": (0, 2**63),
}


def _check(options: argparse.Namespace) -> None:
    for name, (low, high) in LIMITS.items():
        value = getattr(options, name)
        for each in value if isinstance(value, list) else [value]:
            if each is not None and not low <= each <= high:
                flag = f"--{name.replace('_', '-')}"
                raise ValueError(f"{flag} is between {low:g} and {high:g}; got {each:g}")
    if bool(options.cell) == bool(options.assume):
        raise ValueError(
            "the spread between agents is measured or assumed; "
            f"{'both' if options.cell else 'neither'} was asked for; name --cell CODE to take it "
            f"from records, or --assume one of {', '.join(ASSUMED)}"
        )
    says, other = "what is assumed", "--cell"
    if options.assume:
        says, other = "which agents were measured", "--assume"
    for name in MEASURED if options.assume else ASSUMPTIONS:
        if getattr(options, name) is not None:
            flag = f"--{name.replace('_', '-')}"
            raise ValueError(f"{flag} says {says}; got {other}, too; leave one of them out")


def _difference(pool: Pool, options: argparse.Namespace) -> float:
    low, high = attainable(pool, options.rate)
    asked = options.difference
    if asked is None:
        asked = USUAL if high > -low else -USUAL
    if not low <= asked <= high or asked == 0:
        raise ValueError(
            f"with this arm a difference of {options.rate} is between {number(low)} and "
            f"{number(high)}, and not 0; got {asked:g}; name another --difference"
        )
    return float(asked)


_LEGEND = """\
Probabilities that a verdict tells the arms apart, +- their Monte Carlo error; equal arms: wrongly.
smallest: the difference found with probability {aim}. every agent moves: all of the second arm by
the same step of asin(sqrt(rate)), easy to find; some agents switch: to always or never, and
the others are like the first arm's, hard to find. Each simulated study draws its agents from a
population of its own, by a Bayesian bootstrap over the measured agents; those of another arm may
differ more among themselves."""


def _text(first: FirstArm, question: Question, found: Plan) -> str:
    factor, rate = CHANGES[question.rate], question.rate
    now = float(first.pool.population.rate(rate)[0])
    agents = sorted(first.pool.factors[factor]) if first.pool.share is None else []
    said = [
        first.name,
        f"{FACTORS[factor]}: sd over agents {number(first.pool.sd(factor))}, without what few "
        f"episodes add{': ' * bool(agents)}{' '.join(f'{value:.2f}' for value in agents)}",
        f"{rate}: {number(now)}; of the second arm {number(now + question.difference)}",
        first.note,
    ]
    header = ["agents", *EFFECTS, "equal arms", *(f"smallest, {effect}" for effect in EFFECTS)]
    table = aligned(header, [_cells(line, question.simulations) for line in found.lines])
    needed = " and ".join(map(_needed, found.needed, EFFECTS))
    difference, aim = number(question.difference), f"{found.power:g}"
    answer = f"A difference of {difference} is found with probability {aim} by {needed}."
    legend = _LEGEND.format(aim=aim)
    return "\n".join([*filter(None, said), "", table, "", answer, "", legend, ""])


def _cells(line: Line, simulations: int) -> list[str]:
    shares = [
        f"{number(share)} +-{number(math.sqrt(share * (1 - share) / simulations))}"
        for share in (*line.found, line.equal)
    ]
    return [f"{line.agents} / {line.against}", *shares, *map(number, line.smallest)]


def _needed(agents: int | None, effect: str) -> str:
    who = f"more than {MOST_AGENTS}" if agents is None else f"{agents}"
    return f"{who} agents if {effect}"
