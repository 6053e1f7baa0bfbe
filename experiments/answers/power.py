"""`misgen power`: how many trained agents an arm needs for a difference to be found."""

from __future__ import annotations

import argparse
import math
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from duckdb import ColumnExpression, ConstantExpression

from misgen.analysis.arms import Arms, is_assessable, read_arms, trained
from misgen.analysis.blocks import CUE_BROKEN, Arm
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
    assumed_pool,
    assumed_population,
    attainable,
    measured_pool,
    plan,
)
from misgen.analysis.records import Records, query, relation_of
from misgen.analysis.text import aligned, filled, hint, number
from misgen.experiments.answers.rates import control_value, records_along
from misgen.experiments.cli import Parser
from misgen.experiments.provenance import provenance
from misgen.experiments.runs.folder import RESULTS_HELP, parse_flags, write_json

USUAL = 0.2
"""The difference that is asked for where none is named."""
OF_ALL_TRAINED = ("p_gm", "p_harmful_gm")
"""Rates of all trained agents; others are of competent ones."""
ASSUMPTIONS = {"goal_fail": 0.3, "capable": 0.95, "levels": 330}
"""Options of an assumed population, and what they are unless said otherwise."""


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
    add("--setting", metavar="WORD", help="likewise, as the arms are listed where several fit")
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


MEASURED = ("against", "method", "d", "setting", "study")
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


# --- The arm that is compared with: measured agents, or assumed ones ------------------------------


@dataclass(frozen=True)
class FirstArm:
    """The arm that a second one is compared with, in words, and what is to be said of it."""

    pool: Pool
    name: str
    note: str = ""


def assumed_arm(options: argparse.Namespace) -> FirstArm:
    """Of nothing but --assume and its companions. ValueError for what is not assumed."""
    if CHANGES[options.rate] > 1:
        raise ValueError(
            f"harm is not assumed; got --rate {options.rate}; choose another, or measure: --cell"
        )
    goal_fail, capable, levels = (
        usual if getattr(options, name) is None else getattr(options, name)
        for name, usual in ASSUMPTIONS.items()
    )
    population = assumed_population(options.assume, goal_fail, capable)
    return FirstArm(
        assumed_pool(population, int(levels)),
        f"nothing measured: assumed are agents that are {population.name}, capable on "
        f"{number(capable)} of {levels} levels each",
    )


def measured_arm(options: argparse.Namespace) -> FirstArm:
    """Of the records of a cell. ValueError for a bad cell, column or value, and for agents that say
    too little."""
    records = _of_cell(records_along(options.study, options.by)[0], options.cell)
    value = control_value(records, options.by, options.against)
    arms = read_arms(records, options.by)
    arm = _the_arm(arms, value, options)
    agents = trained(arms, arm, options.variant)
    if options.rate != "p_capable" and not is_assessable(arms, arm, options.variant):
        raise ValueError(
            f"there is no verdict on agents that are no more capable than a random policy or a "
            f"constant action; {options.cell} {_words(arm, options.by)} at variant "
            f"{options.variant} is such an arm; choose another --variant or --against"
        )
    counts = agents.counts if options.rate in OF_ALL_TRAINED else agents.competent
    who = "trained" if options.rate in OF_ALL_TRAINED else "competent"
    note = agents.note
    if counts.k < agents.counts.k:
        more = f"{counts.k} of {agents.counts.k} trained agents are competent: train so many more"
        note = "; ".join(filter(None, [more, note]))
    name = f"{options.cell} at variant {options.variant}, {_words(arm, options.by)}"
    pool = measured_pool(counts, options.rate)
    return FirstArm(pool, f"{name}: {counts.k} {who} agents x {counts.levels_each} levels", note)


def _of_cell(records: Records, cell: str) -> Records:
    found = query(records, "select distinct cell from records where role = 'agent' order by 1")
    cells = [code for (code,) in found]
    if cell not in cells:
        raise ValueError(f"--cell names a cell of these records; got {cell!r}; {hint(cell, cells)}")
    return relation_of(records).filter(ColumnExpression("cell") == ConstantExpression(cell))


def _the_arm(known: Arms, value: Any, options: argparse.Namespace) -> Arm:
    """The one that the options name. ValueError where there is none, or several."""
    wanted = {"value": value, "d": options.d, "method": options.method}
    if options.by != "method" and options.method is None:
        wanted["method"] = "ppo"
    if options.by != "q":
        wanted["q"] = 1.0
    arms = [arm for arm, variant in known.arms if variant == options.variant and not arm.is_cross]
    fitting = [
        arm
        for arm in arms
        if all(getattr(arm, name) == given for name, given in wanted.items() if given is not None)
    ]
    if options.setting:
        fitting = [arm for arm in fitting if arm.setting.startswith(options.setting)]
    if len(fitting) != 1:
        raise ValueError(
            f"the measured arm is one; {len(fitting)} of these at variant {options.variant} fit: "
            f"{'; '.join(_words(arm, options.by) for arm in fitting or arms)}; name it by "
            "--against, --method, --d, --setting and --study"
        )
    return fitting[0]


def _words(arm: Arm, by: str) -> str:
    parts = {by: arm.value, "d": arm.d, "method": arm.method, "setting": arm.setting[:4]}
    return " ".join(f"{name}={value}" for name, value in parts.items())


# --- As text --------------------------------------------------------------------------------------


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
    parts = [*map(filled, filter(None, said)), "", table, "", filled(answer), "", filled(legend)]
    return "\n".join([*parts, ""])


def _cells(line: Line, simulations: int) -> list[str]:
    shares = [
        f"{number(share)} +-{number(math.sqrt(share * (1 - share) / simulations))}"
        for share in (*line.found, line.equal)
    ]
    return [f"{line.agents} / {line.against}", *shares, *map(number, line.smallest)]


def _needed(agents: int | None, effect: str) -> str:
    who = f"more than {MOST_AGENTS}" if agents is None else f"{agents}"
    return f"{who} agents if {effect}"
