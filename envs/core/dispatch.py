"""One rule for all cells of a family, from the rule of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import FunctionType
from typing import Any

from misgen.envs.core.compile import rule_of_text


def dispatch(
    name: str, rules: Sequence[Callable[..., Any]], arguments: str, module: str
) -> FunctionType:
    """The rule `name(cell, *arguments)` that calls `rules[cell]` with the arguments.

    `module`: of the family, whose rule it is. A rule that several cells have is called, and so
    compiled, in one place.
    """
    cells = {rule: [k for k, other in enumerate(rules) if other is rule] for rule in rules}
    *others, last = cells
    lines = [f"def {name}(cell, {arguments}):"]
    for number, rule in enumerate(others):
        asked = " or ".join(f"cell == {k}" for k in cells[rule])
        lines += [f"    if {asked}:", f"        return rule_{number}({arguments})"]
    lines.append(f"    return rule_{len(others)}({arguments})")
    names = {f"rule_{number}": rule for number, rule in enumerate((*others, last))}
    return rule_of_text("\n".join(lines), module, **names)
