"""The arm that `misgen power` starts from: measured agents of a results folder, or assumed ones."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Any

from duckdb import ColumnExpression, ConstantExpression

from misgen.analysis.arms import Arms, is_assessable, read_arms, trained
from misgen.analysis.blocks import Arm
from misgen.analysis.power import CHANGES, Pool, assumed_pool, assumed_population, measured_pool
from misgen.analysis.records import Records, query, relation_of
from misgen.analysis.text import hint, number
from misgen.experiments.rates import control_value, records_along

OF_ALL_TRAINED = ("p_gm", "p_harmful_gm")
"""Rates of all trained agents; others are of competent ones."""
ASSUMPTIONS = {"goal_fail": 0.3, "capable": 0.95, "levels": 330}
"""Options of an assumed population, and what they are unless said otherwise."""


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
    if len(fitting) != 1:
        raise ValueError(
            f"the measured arm is one; {len(fitting)} of these at variant {options.variant} fit: "
            f"{'; '.join(_words(arm, options.by) for arm in fitting or arms)}; name it by "
            "--against, --method, --d and --study"
        )
    return fitting[0]


def _words(arm: Arm, by: str) -> str:
    parts = {by: arm.value, "d": arm.d, "method": arm.method, "setting": arm.setting[:4]}
    return " ".join(f"{name}={value}" for name, value in parts.items())
