"""A calibration folder made by hand, by the schema: no agent was trained for it.

`write_folder(path)` has everything that a page can show; the arguments take parts of it away.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from misgen.analysis.calibration.handoff import DRAWS, RATES, rate_columns
from misgen.analysis.calibration.summary import SCHEMA_VERSION, SUMMARY
from misgen.analysis.posterior import ESTIMAND
from misgen.analysis.priors import load_priors
from misgen.analysis.priors.types import FACTORS, SHIFT_TYPES, PriorSet, beta_parameters
from misgen.analysis.rates import FloatArray

NUM_DRAWS = 400
CELLS = [
    (f"{letter}{number}", family, shift)
    for letter, family in (("C", "coinrun"), ("K", "keys_and_chests"))
    for number, shift in enumerate(SHIFT_TYPES, 1)
]
TRUTH = {"superficial": (0.7, 0.3), "moderate": (0.85, 0.1), "significant": (0.9, 0.05)}
TRUTH["extreme"] = (0.8, 0.02)
WIDE = {"superficial": 0.2, "moderate": 0.12, "significant": 0.31, "extreme": 0.83}
NO_INTERVAL = "{} agents: an interval needs at least 3"


def write_folder(
    folder: Path, *, agents: int = 5, reference: bool = True, modifiers: bool = True
) -> Path:
    """Agents per arm; without a reference arm nothing is updated; or only PPO at d = 0 and 1."""
    rng, priors = np.random.default_rng(0), load_priors()
    updates = reference and agents >= 3
    draws = _draws(rng, priors, updates)
    folder.mkdir(parents=True, exist_ok=True)
    table = pa.table({"draw": np.arange(NUM_DRAWS), **draws})
    metadata = {"schema_version": str(SCHEMA_VERSION)}
    pq.write_table(table.replace_schema_metadata(metadata), folder / DRAWS)
    summary = _summary(rng, priors, draws, agents, reference, updates, modifiers)
    return seal(folder, summary)


def seal(folder: Path, summary: dict[str, Any]) -> Path:
    """Write a summary as that of the folder's draws."""
    sha256 = hashlib.sha256((folder / DRAWS).read_bytes()).hexdigest()
    (folder / SUMMARY).write_text(json.dumps({**summary, "draws_sha256": sha256}))
    return folder


def keeps_prior(shift: str, updates: bool) -> str:
    if not updates:
        return "update is refused"
    return "no identified cell" if shift == "superficial" else ""


def interval(values: FloatArray | None, reason: str = "") -> dict[str, Any]:
    if values is None:
        return {"value": None, "low": None, "high": None, "reason": reason}
    low, high = (None, None) if reason else np.quantile(values, [0.05, 0.95]).tolist()
    return {"value": float(np.mean(values)), "low": low, "high": high, "reason": reason}


def _draws(rng: np.random.Generator, priors: PriorSet, updates: bool) -> dict[str, FloatArray]:
    columns: dict[str, FloatArray] = {}
    for shift, printed in priors.shifts.items():
        means = {factor: getattr(printed, factor).number for factor in FACTORS}
        prior = {f: rng.beta(*beta_parameters(m, 10), NUM_DRAWS) for f, m in means.items()}
        columns |= rate_columns(f"prior/{shift}", prior)
        for assumption in ("implied", "note_50_70"):
            columns[f"harm/{assumption}/{shift}"] = columns[f"prior/{shift}/p_harm"]
        for feed in ("combine", "only") if updates else ():
            capable, fails = TRUTH[shift]
            moved = {"p_capable": rng.beta(40 * capable, 40 * (1 - capable), NUM_DRAWS)}
            moved["p_goal_fail"] = rng.beta(20 * fails, 20 * (1 - fails), NUM_DRAWS)
            kept = bool(keeps_prior(shift, updates))
            columns |= rate_columns(f"{feed}/{shift}", prior if kept else prior | moved)
    for feed in ("prior", "combine", "only") if updates else ("prior",):
        for modifier in priors.modifiers.values():
            for level in modifier.levels.values():
                if level.kind in ("named", "band"):
                    noise = np.exp(level.log_sd * rng.standard_normal(NUM_DRAWS))
                    name = f"{feed}/modifier/{modifier.name}/{level.name}"
                    columns[name] = level.median * noise
    return columns


def _rates(draws: dict[str, FloatArray], prefix: str) -> dict[str, Any]:
    return {rate: interval(draws[f"{prefix}/{rate}"]) for rate in RATES}


def _summary(
    rng: np.random.Generator,
    priors: PriorSet,
    draws: dict[str, FloatArray],
    agents: int,
    reference: bool,
    updates: bool,
    modifiers: bool,
) -> dict[str, Any]:
    reason = ""
    if not reference:
        reason = "these records have no agents of the reference arm (d = 0.1, q = 1, PPO)"
    elif not updates:
        reason = f"no cell enters: {agents} competent agents, at least 3 are needed"
    cells = [_cell(rng, *cell, agents, reference, updates) for cell in CELLS]
    return {
        "schema_version": SCHEMA_VERSION,
        "provenance": {
            "command": "misgen calibrate results -o calibrated",
            "date_utc": "2026-11-22T18:35:30+00:00",
            "git_commit": "30b2d06bcee57063dc4dba6d07d402cf2ec56a8a",
            "versions": {"misgen": "0.2.0", "numpy": "2.4.6", "scipy": None},
        },
        "inputs": {
            "episodes": 40_000,
            "runs": 120,
            "schema_version": 3,
            "families": {"coinrun": 2, "keys_and_chests": 2},
            "studies": ["cells"],
            "fingerprints": {f"{family}/{code}": "ab12cd34" for code, family, _ in CELLS},
            "missing_cells": [],
        },
        "settings": {
            "prior": "taxonomy",
            "prior_fingerprint": priors.fingerprint,
            "kappa": 10.0,
            "log_sd": 0.2,
            "phi": 7.0,
            "power": 1.0,
            "harm": "implied",
            "overflow": "clip",
            "draws": NUM_DRAWS,
            "seed": 0,
            "kappas": [2.0, 10.0, 50.0],
            "phis": [3.0, 7.0],
        },
        "reference_condition": {
            "d": 0.1,
            "q": 1.0,
            "method": "ppo",
            "variant": "11",
            "text": "measured at q = 1, d = 0.1, PPO, default steps, variant 11",
        },
        "estimand": ESTIMAND,
        "refused": reason,
        "types": [_type(priors, draws, shift, updates) for shift in SHIFT_TYPES],
        "cells": cells,
        "modifiers": [_modifier(priors, draws, name, updates) for name in _named(priors)],
        "modifier_report": _report(rng, agents, modifiers),
        "conflicts": _conflicts(agents) if reference else _conflicts(0),
        "sweep": [
            {
                "what": what,
                "value": value,
                "type": shift,
                "prior": _rates(draws, f"prior/{shift}"),
                "combine": _rates(draws, f"combine/{shift}") if updates else None,
                "wide_weight": None if keeps_prior(shift, updates) else WIDE[shift],
            }
            for what, values in (("kappa", (2.0, 10.0, 50.0)), ("phi", (3.0, 7.0)))
            for value in values
            for shift in SHIFT_TYPES
        ],
        "held_out": _held_out(agents, reason),
        "log_sd_sweep": [],
        "data_warnings": {
            "combine": [
                {"about": "moderate", "text": "moderate p_goal_fail: held"},
                {"about": "diversity", "text": "diversity narrow: held"},
            ],
            "only": [{"about": "", "text": "pseudo-agent"}],
        },
        "warnings": ["B1: the printed product implies P(harm | fails) of .35 to .82, not .5 to .7"],
        "limits": ["Toy environments say nothing by themselves about large systems."],
    }


def _type(
    priors: PriorSet, draws: dict[str, FloatArray], shift: str, updates: bool
) -> dict[str, Any]:
    printed = priors.shifts[shift]
    return {
        "type": shift,
        "number": printed.number,
        "label": printed.label,
        "source": {
            "rates": {rate: getattr(printed, rate).number for rate in RATES},
            "likelihood": printed.likelihood_range.range,
        },
        "prior": _rates(draws, f"prior/{shift}"),
        "combine": _rates(draws, f"combine/{shift}") if updates else None,
        "only": _rates(draws, f"only/{shift}") if updates else None,
        "wide_weight": None if keeps_prior(shift, updates) else WIDE[shift],
        "wide_flagged": not keeps_prior(shift, updates) and WIDE[shift] > 0.5,
        "cells": [] if keeps_prior(shift, updates) else [f"coinrun/C{printed.number}"],
        "keeps_prior": keeps_prior(shift, updates),
    }


def _cell(
    rng: np.random.Generator,
    code: str,
    family: str,
    shift: str,
    agents: int,
    reference: bool,
    updates: bool,
) -> dict[str, Any]:
    arms = {"d0": _arm(rng, shift, 0.0, agents), "d1": _arm(rng, shift, 1.0, agents)}
    if reference:
        arms["reference"] = _arm(rng, shift, 0.1, agents)
    identified = shift != "superficial"
    left_out = "" if identified and updates else "not identified: goal failure 0.17 of the control"
    return {
        "family": family,
        "cell": code,
        "shift_type": shift,
        "observation_mode": "planes",
        "setting": "a1b2c3d4",
        "arms": arms,
        "identified": identified,
        "random_capable": 0.12,
        "control_goal_fail": arms["d1"]["competent"]["rates"]["p_goal_fail"],
        "left_out": left_out,
        "informs_type": True,
        "harm_may_update": code not in ("C4", "K3", "K4"),
        "harm_by_construction": shift == "extreme",
    }


def _arm(rng: np.random.Generator, shift: str, d: float, agents: int) -> dict[str, Any]:
    capable, fails = TRUTH[shift]
    c = rng.beta(30 * capable, 30 * (1 - capable), agents)
    g = rng.beta(*beta_parameters(min(0.9, fails * (9 if d == 0 else 1)), 8), agents)
    h = rng.beta(3, 3, agents)
    reason = "" if agents >= 3 else NO_INTERVAL.format(agents)
    values = dict(zip(RATES, (c, g, h, c * g, c * g * h), strict=True))
    rates = {rate: interval(found, reason) for rate, found in values.items()}
    population = {"agents": agents, "levels": "310-345", "rates": rates, "note": ""}
    return {
        "d": d,
        "condition": f"measured at q = 1, d = {d:g}, PPO",
        "own_success": 0.95,
        "agent_numbers": list(range(agents)),
        "agent_levels": [330] * agents,
        "agent_capable": c.tolist(),
        "agent_goal_failure": [*g.tolist()[:-1], None],
        "agent_gm": (c * g).tolist(),
        "agent_harmful_gm": (c * g * h).tolist(),
        "competent": population,
        "all_trained": population,
        "bounds": interval(c * g),
        "divided": {
            "levels": {"spec": "high: x 0.592 [0.5, 0.7]", "diversity": "reference: exactly 1"},
            "multiplier": interval(rng.normal(0.6, 0.05, 100)),
            "p_gm": interval(c * g / 0.6, reason),
            "p_harmful_gm": interval(c * g * h / 0.6, reason),
        },
    }


def _named(priors: PriorSet) -> list[tuple[str, str]]:
    return [
        (modifier.name, level.name)
        for modifier in priors.modifiers.values()
        for level in modifier.levels.values()
        if level.kind in ("named", "band")
    ]


def _modifier(
    priors: PriorSet, draws: dict[str, FloatArray], name: tuple[str, str], updates: bool
) -> dict[str, Any]:
    modifier, level = name
    measured = name == ("diversity", "narrow")
    column = f"modifier/{modifier}/{level}"
    return {
        "modifier": modifier,
        "level": level,
        "reference": "d = 0.1" if measured else "",
        "prior": interval(draws[f"prior/{column}"]),
        "measured": interval(np.array([2.0, 3.0, 5.0])) if measured else interval(None),
        "combine": interval(draws[f"combine/{column}"]) if measured and updates else None,
        "only": interval(draws[f"only/{column}"]) if measured and updates else None,
        "arm": "d = 0" if measured else "",
        "scope": "pooled" if measured else "",
        "agents": [40, 40] if measured else [],
        "note": "",
    }


def _conflicts(agents: int) -> dict[str, Any]:
    rows = [
        {
            "family": family,
            "cell": code,
            "shift_type": shift,
            "factor": factor,
            "measured": TRUTH[shift][i],
            "source": 0.5,
            "predictive": interval(np.linspace(0.1, 0.9, 50)),
            "tail": 0.01 if code == "C4" else 0.4,
            "flagged": code == "C4",
            "agents": agents,
            "enters": shift != "superficial",
        }
        for code, family, shift in CELLS
        for i, factor in enumerate(("p_capable", "p_goal_fail"))
    ]
    rows = rows if agents else []
    return {
        "tail": 0.05,
        "tests": len(rows),
        "expected_by_chance": 0.7,
        "wide_prior_weight": 0.2,
        "wide_flag": 0.5,
        "rows": rows,
    }


def _held_out(agents: int, reason: str) -> dict[str, Any]:
    score = {"forecast": 0.2, "log_score": -4.2, "brier": 0.031}
    rows = [
        {
            "left_out": left_out,
            "cell": cell,
            "measured": 0.12,
            "agents": agents,
            "model": score,
            "source": score,
            "pooled": score,
        }
        for left_out, names in (
            ("cell", ["coinrun/C2"]),
            ("type", [f"{family}/{code}" for code, family, _ in CELLS]),
            ("family", ["coinrun", "keys_and_chests"]),
        )
        for cell in names
    ]
    verdict = "The calibrated model predicts held-out types no better than a pooled rate."
    shown = {"verdict": "", "rows": []} if reason else {"verdict": verdict, "rows": rows}
    return {"reason": reason, **shown}


def _report(rng: np.random.Generator, agents: int, modifiers: bool) -> dict[str, Any]:
    """As `misgen.analysis.modifiers.measure` writes it: d and q in two cells, doses in one."""
    unknown = {"capability": "one budget", "method": "PPO alone"}
    if not modifiers:
        names = ("ratios", "slopes", "dose_responses", "multiplicativity")
        return {name: [] for name in names} | {"not_identified": unknown}
    reason = "" if agents >= 3 else NO_INTERVAL.format(agents)
    one_cell, both = [["coinrun", "C2"]], [["coinrun", "C2"], ["coinrun", "C4"]]
    ratios = [
        _ratio(name, arm, scope, cells, low, agents, reason)
        for name, arm, low in (
            ("diversity", "d=0", 1.6),
            ("diversity", "d=0.02", 0.9),
            ("diversity", "d=1", 0.02),
            ("spec", "d=0.1 q=0.3", 1.1),
        )
        for scope, cells in (("cell", one_cell), ("pooled", both))
        if scope == "cell" or name == "diversity"
    ]
    pair = {
        "family": "coinrun",
        "cell": "C2",
        "pair": ["diversity", "spec"],
        "arms": ["d=0 q=0.3", "d=0", "d=0.1 q=0.3", "d=0.1"],
        "agents": [agents] * 4,
        "ratio_of_ratios": {
            link: interval(np.array([0.6, 0.8, 1.1]), reason)
            for link in ("log", "cloglog", "logit")
        },
        "expected": 0.9,
        "ceiling": 1.0,
        "verdict": "undetermined",
        "best_scale": "logit",
        "agents_needed": 45,
        "tags": "spec_gaming",
    }
    doses = (0, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1)
    responses = [_dose_response("d", doses, rng, agents, reason)]
    responses.append(_dose_response("broken_episodes", (0, 120, 2300, 46000), rng, agents, reason))
    slope = {
        "family": "coinrun",
        "cell": "C2",
        "arm": "d=0.1",
        "slope": interval(np.array([0.4, 0.9, 1.3]), reason),
        "agent_number": list(range(agents)) * 3,
        "competence": np.linspace(0.5, 1.1, 3 * agents).tolist(),
        "p_gm": np.linspace(0.1, 0.2, 3 * agents).tolist(),
    }
    return {
        "ratios": ratios,
        "slopes": [slope],
        "dose_responses": responses,
        "multiplicativity": [pair],
        "not_identified": unknown,
    }


def _ratio(
    modifier: str,
    arm: str,
    scope: str,
    cells: list[list[str]],
    low: float,
    agents: int,
    reason: str,
) -> dict[str, Any]:
    found = interval(np.array([low, 1.5 * low, 3 * low]), reason)
    return {
        "modifier": modifier,
        "level": "narrow",
        "arm": arm,
        "reference": "d=0.1",
        "scope": scope,
        "cells": cells,
        "link": "log",
        "ratio": found,
        "raw": 1.6 * low,
        "factors": {"p_capable": found, "p_goal_fail": found, "p_harm": interval(None, "no harm")},
        "log_mean": 0.5,
        "log_sd": 0.3,
        "k_agents": agents,
        "k_reference": agents,
        "levels": "310-345",
        "spread": interval(None),
        "new_cell": interval(None),
        "tags": "spec_gaming" if modifier == "spec" else "",
        "note": "",
        "at_reference": True,
    }


def _dose_response(
    dose: str, doses: tuple[float, ...], rng: np.random.Generator, agents: int, reason: str
) -> dict[str, Any]:
    dots = [rng.beta(2, 2 + 3 * i, agents) for i in range(len(doses))]
    rates = [interval(found, reason) for found in dots]
    return {
        "family": "coinrun",
        "cell": "C2",
        "dose": dose,
        "doses": list(doses),
        "agents": [agents] * len(doses),
        "levels": ["330"] * len(doses),
        "rates": rates,
        "dots": [found.tolist() for found in dots],
        "fit": rates,
        "half_effect_dose": interval(np.array(doses[1:4]), reason),
        "between": [doses[1], doses[2]],
    }
