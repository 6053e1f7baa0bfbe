"""The levels of the modifiers in `misgen risk`: which are given, open and held."""

import argparse
from collections.abc import Sequence
from typing import Any

from misgen.analysis.priors.types import PriorSet
from misgen.analysis.risk.question import choose

MODIFIER_HELP = {
    "spec": "specification quality (default: reference, or a domain's own): 0..1, or high, medium, "
    "low",
    "capability": "below_human or superhuman",
    "diversity": "share d of training levels with the broken cue: 0..1, or narrow, diverse",
    "method": "behavioral_cloning or interpretability_verified",
}


def levels_of(options: argparse.Namespace) -> dict[str, Any]:
    return {name: getattr(options, name) for name in MODIFIER_HELP}


def open_levels(options: argparse.Namespace, priors: PriorSet) -> list[str]:
    """The modifiers whose level nothing says, no option, no domain, and whose lever no period or
    intervention pulls."""
    acts = [choose("an intervention", name, priors.interventions) for name in options.intervention]
    pulled = {act.excludes for act in acts}
    if options.period:
        pulled.add(choose("a period", options.period, priors.periods).excludes)
    if options.domain:
        pulled.add("spec")  # a domain has its own
    return [name for name in MODIFIER_HELP if getattr(options, name) is None and name not in pulled]


def held_levels(options: argparse.Namespace, opened: Sequence[str]) -> str:
    """In words, what varies and what does not."""
    held = []
    for name in MODIFIER_HELP:
        if name not in opened:
            given = getattr(options, name)
            own = "the domain's own" if name == "spec" and options.domain else "reference"
            held.append(f"{name} at {own if given is None else given}")
    varies = ", ".join(opened) or "no modifier"
    return f"open, over the whole range: {varies}; held: {', '.join(held) or 'no modifier'}"
