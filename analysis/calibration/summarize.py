"""A calibration as its summary."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from misgen.analysis.audit import warnings_of
from misgen.analysis.calibration.calibrate import Calibration
from misgen.analysis.calibration.checks import TAIL, WIDE, expected_by_chance
from misgen.analysis.calibration.draws import central, estimates_of
from misgen.analysis.calibration.handoff import RATES
from misgen.analysis.calibration.measured import (
    ARMS,
    METHOD,
    REFERENCE_ARM,
    VARIANT,
    MeasuredArm,
    MeasuredCell,
    Q,
    random_capable,
)
from misgen.analysis.calibration.multipliers import Multiplier
from misgen.analysis.calibration.summary import SCHEMA_VERSION, Summary, Warned
from misgen.analysis.intervals import Estimate
from misgen.analysis.posterior import ESTIMAND, WIDE_WEIGHT
from misgen.analysis.priors.types import FACTORS, ShiftPrior
from misgen.analysis.rates import point_rates
from misgen.analysis.table import Row
from misgen.analysis.text import number
from misgen.analysis.words import DATA

LIMITS = (
    "Toy environments say nothing by themselves about large systems.",
    "A behavioural measure does not show an internal optimizer.",
    "Behaviour that depends on oversight is not called deception.",
    "`combine` is a posterior for toy agents like those of this testbed, and for nothing else.",
    "In a testbed harm is a design choice: measured harm is shown, and moves P(harm | fails) only "
    "where that was asked for.",
)
"""What is never claimed."""

FAR = 0.1
"""From every measured cell: a posterior mean further away is held by the prior."""
HARM_NOTE = (
    "Measured harm moves P(harm | fails) by other cells than those that move the other factors: "
    "p_harmful_gm of `combine` may lie outside of prior and data."
)

CONDITION_NOTE = (
    "Rates are measured at q = 1, d and PPO, and enter predictions as measured; the source's "
    "neutral specification quality is another one (.55). The rates over the source's multipliers "
    "for that condition stand beside them and never replace them."
)


def summary_of(
    calibration: Calibration, provenance: Mapping[str, Any], draws_sha256: str
) -> Summary:
    """Raises pydantic's ValidationError where a calibration breaks the types of its summary."""
    c = calibration
    return Summary.model_validate({
        "schema_version": SCHEMA_VERSION,
        "draws_sha256": draws_sha256,
        "provenance": provenance,
        "inputs": c.inputs,
        "settings": {
            "prior": c.priors.name,
            "prior_fingerprint": c.priors.fingerprint,
            "kappa": c.priors.kappa,
            "log_sd": c.priors.log_sd,
            **vars(c.settings),
        },
        "reference_condition": {
            "d": ARMS["reference"],
            "q": Q,
            "method": METHOD,
            "variant": VARIANT,
            "text": f"measured at {REFERENCE_ARM}, variant {VARIANT}",
        },
        "estimand": ESTIMAND,
        "refused": c.refused,
        "types": [_type(c, shift) for shift in c.priors.shifts.values()],
        "cells": [_cell(c, cell) for cell in c.cells],
        "modifiers": [_modifier(line, c.refused) for line in c.modifiers],
        "modifier_report": c.modifier_report,
        "conflicts": {
            "tail": TAIL,
            "tests": len(c.conflicts),
            "expected_by_chance": expected_by_chance(c.conflicts),
            "wide_prior_weight": WIDE_WEIGHT,
            "wide_flag": WIDE,
            "rows": c.conflicts,
        },
        "sweep": c.sweep,
        "log_sd_sweep": c.log_sd_sweep,
        "held_out": c.held_out,
        "data_warnings": data_warnings(c),
        "warnings": warnings(c),
        "limits": LIMITS,
    })  # fmt: skip


def _type(c: Calibration, shift: ShiftPrior) -> dict[str, Any]:
    name, cells = shift.name, c.cells_of(shift.name)
    drawn = {
        data: estimates_of(c.draws, f"{data}/{name}/")
        for data in (["prior"] if c.refused else ["prior", *DATA[1:]])
    }
    if cells:
        # The draws hold the interval's pseudo-agent: their means are not the measured rates.
        points = c.replaced_points(name)
        drawn["only"] = {
            rate: found._replace(value=points[rate]) for rate, found in drawn["only"].items()
        }
    kept = [f"{cell.cell}: {cell.left_out}" for cell in c.cells if cell.shift_type == name]
    return {
        "type": name,
        "number": shift.number,
        "label": shift.label,
        "source": {
            "rates": {rate: getattr(shift, rate).number for rate in RATES},
            "likelihood": shift.likelihood_range.range,
        },
        **{data: drawn.get(data) for data in ("prior", *DATA[1:])},
        "wide_weight": c.wide[name],
        "wide_flagged": c.wide[name] > WIDE,
        "cells": [cell.name for cell in cells],
        "keeps_prior": "" if cells else "; ".join(kept) or "no cell of this type was measured",
    }


def _cell(c: Calibration, cell: MeasuredCell) -> dict[str, Any]:
    control, row = cell.arms.get("d1"), next(iter(cell.arms.values())).rows["competent"]
    missing = Estimate(math.nan, reason="no d = 1 control arm")
    return _attributes(
        cell, "family", "cell", "shift_type", "observation_mode", "setting", "left_out",
        "informs_type", "harm_may_update", "harm_by_construction",
    ) | {
        "arms": {name: _arm(c, cell, name, arm) for name, arm in cell.arms.items()},
        "identified": row.identified or not cell.is_checked,
        "random_capable": random_capable(cell.arms),
        "control_goal_fail": control.rows["competent"].p_goal_fail if control else missing,
    }  # fmt: skip


def _attributes(of: object, *names: str) -> dict[str, Any]:
    return {name: getattr(of, name) for name in names}


def _arm(c: Calibration, cell: MeasuredCell, name: str, arm: MeasuredArm) -> dict[str, Any]:
    counts, competent = arm.counts, arm.rows["competent"]
    capable, gm, harmful_gm = counts.shares()
    return {
        "d": arm.d,
        "condition": f"measured at q = 1, d = {arm.d:g}, PPO",
        "own_success": competent.own_success,
        "agent_numbers": counts.agent_number,
        "agent_levels": counts.n.astype(int),
        "agent_capable": capable,
        "agent_goal_failure": counts.dots(),
        "agent_gm": gm,
        "agent_harmful_gm": harmful_gm,
        "competent": _population(competent),
        "all_trained": _population(arm.rows["all trained"]),
        "bounds": arm.rows["bounds"].p_gm,
        "divided": _divided(c, cell, name, competent),
    }


def _population(row: Row) -> dict[str, Any]:
    return _attributes(row, "agents", "levels", "note") | {"rates": _attributes(row, *RATES)}


def _divided(c: Calibration, cell: MeasuredCell, name: str, row: Row) -> dict[str, Any]:
    """The rates over the source's multipliers for the arm's condition; may exceed 1."""
    multiplier = c.draws[f"condition/{name}"]
    median = float(np.median(multiplier))
    divided: dict[str, Any] = {
        "levels": dict(c.condition[name]),
        "multiplier": Estimate(median, *central(multiplier)),
    }
    prefix = {"reference": "measured"}.get(name, name)
    for rate in ("p_gm", "p_harmful_gm"):
        raw: Estimate = getattr(row, rate)
        draws = c.draws.get(f"{prefix}/{cell.name}/{rate}")
        ends = math.nan, math.nan
        if draws is not None and not raw.reason:
            ends = central(draws / multiplier)
        divided[rate] = Estimate(raw.value / median, *ends, raw.reason)
    return divided


def _modifier(line: Multiplier, refused: str) -> dict[str, Any]:
    found = _attributes(line, "modifier", "level", "prior", "combine", "only", "note") | {
        "measured": Estimate(math.nan, reason="not measured"),
        **{"reference": "", "arm": "", "scope": "", "agents": []},
    }
    if (measured := line.measured) is not None:
        found |= _attributes(measured, "reference", "arm", "scope") | {
            "measured": measured.ratio,
            "agents": [measured.k_agents, measured.k_reference],
            "note": "; ".join(filter(None, [line.note, measured.note])),
        }
    return found | ({"combine": None, "only": None} if refused else {})


ONLY_NOTE = (
    "draws of `only` hold the interval's pseudo-agent: their mean lies between the measured rate "
    "and a half"
)
OWN_NOTE = (
    "counts of one's own are taken as competent agents of an identified, assessable reference arm: "
    "not checked"
)


def data_warnings(c: Calibration) -> dict[str, list[Warned]]:
    """Data -> what whoever predicts from it must know."""
    if c.refused:
        return {"combine": [], "only": []}
    own = [Warned("", OWN_NOTE)] if any(not cell.is_checked for cell in c.cells) else []
    harm = [Warned(shift, HARM_NOTE) for shift in c.priors.shifts if c.harm_cells(shift)]
    return {
        "combine": [*own, *harm, *_held_by_the_prior(c), *_held_multipliers(c)],
        "only": [*own, Warned("", ONLY_NOTE)],
    }


def _held_by_the_prior(c: Calibration) -> Iterator[Warned]:
    """Types whose posterior stays far from every measured cell: the prior's weight decides."""
    for shift, prior in c.priors.shifts.items():
        cells = [point_rates(cell.reference) for cell in c.cells_of(shift)]
        for rate in (*FACTORS[:2], "p_gm") if cells else ():
            rates = [getattr(cell, rate) for cell in cells]
            both = float(c.draws[f"combine/{shift}/{rate}"].mean())
            if max(min(rates) - both, both - max(rates)) > FAR:
                yield Warned(
                    shift,
                    f"{shift} {rate}: combine, {number(both)}, is far from the cells "
                    f"({', '.join(map(number, rates))}) and held by the source's "
                    f"{number(getattr(prior, rate).number)}: at another kappa it is another number",
                )


def _held_multipliers(c: Calibration) -> Iterator[Warned]:
    """Levels whose posterior lies outside of what was measured."""
    for line in c.modifiers:
        if line.combine is not None and line.measured is not None and line.note == "":
            ratio, both = line.measured.ratio, line.combine.value
            if not ratio.low <= both <= ratio.high:
                yield Warned(
                    line.modifier,
                    f"{line.modifier} {line.level}: combine, {both:.3g}, lies outside the "
                    f"measured {ratio.value:.3g} [{ratio.low:.3g}, {ratio.high:.3g}] and is held "
                    f"by the source's {line.prior.value:.3g}: at another log-sd it is another "
                    "number",
                )


def warnings(c: Calibration) -> list[str]:
    """What a reader of the posterior must know, most important first."""
    found = []
    if c.refused:
        found.append(f"combine and only are refused: {c.refused}")
    if missing := c.inputs["missing_cells"]:
        found.append(f"the study of these records names {', '.join(missing)}, which they lack")
    found += [warned.text for warned in data_warnings(c)["combine"]]
    found.append(CONDITION_NOTE)
    audited = [*warnings_of("shift_types", c.priors), *warnings_of("modifiers", c.priors)]
    return [*found, *dict.fromkeys(audited)]
