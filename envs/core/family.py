"""Family: a kind of world, put together from the rules and declarations of its modules."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import cached_property
from types import FunctionType, ModuleType
from typing import Any, NamedTuple

from misgen.envs.core import schema
from misgen.envs.core.board import Board
from misgen.envs.core.compile import rule_of_text
from misgen.envs.core.planes import Plane
from misgen.envs.core.random import combine, mix
from misgen.envs.core.types import Cell, LevelDistribution

RULES = ("sample_geometry", "reset", "step", "observe")
NEEDED = ("Event", "Params", "Level", "State", *RULES)


class NoScratch(NamedTuple):
    """Of a family whose levels are drawn without working memory."""

    unused: schema.u8()


def nothing_to_place(i, level, scratch, rng, params):
    """Of a cell that has nothing of its own but its cue."""
    return True


def dispatch(name: str, rules: Sequence[Any], arguments: str, module: str) -> FunctionType:
    """The rule `name(cell, *arguments)` of this module that calls `rules[cell]` with the arguments.

    A rule that several cells have is called, and so compiled, in one place.
    """
    cells = {rule: [k for k, other in enumerate(rules) if other is rule] for rule in rules}
    names = {f"rule_{number}": rule for number, rule in enumerate(cells)}
    lines = [f"def {name}(cell, {arguments}):"]
    for called, rule in names.items():
        asked = " or ".join(f"cell == {k}" for k in cells[rule])
        lines += [f"    if {asked}:", f"        return {called}({arguments})"]
    lines[-2:] = [lines[-1].removeprefix("    ")]  # the last one without a question
    return rule_of_text("\n".join(lines), module, **names)


def window(
    view_shape: tuple[int, int], *, row: int, col: int, rows: int, cols: int, status_rows: int = 0
) -> tuple[int, ...]:
    """The cells of a view within so many rows and columns of the agent's, under its status rows."""
    return tuple(
        r * view_shape[1] + c
        for r in range(view_shape[0])
        for c in range(view_shape[1])
        if r < status_rows or (abs(r - row) <= rows and abs(c - col) <= cols)
    )


@dataclass(frozen=True, kw_only=True)
class Family:
    """A kind of world: its rules, what can be seen, and its cells; see `Family.of`."""

    name: str
    title: str  # "CoinRun"
    version: int  # rises when a golden trajectory changes
    card: str  # the module docstring
    module: str  # where it is declared
    actions: tuple[str, ...]
    noop: int  # the action that does nothing
    events: type[IntEnum]
    fatal: tuple[int, ...] = ()  # events after which nothing can happen (death)
    planes: tuple[Plane, ...]
    view_shape: tuple[int, int]  # rows, columns of the egocentric view, status row included
    default_mode: str
    modes: tuple[str, ...]
    # Declarations; see schema.py. A Level has `disturbed: u8()`, 1 = seen through noise, in unseen
    # colours, before a texture (see render.py), unless no shift of the family disturbs.
    params: Any
    level: Any
    state: Any
    scratch: Any
    # Rules, scalar in the environment index i.
    sample_geometry: Callable[..., bool]  # (i, level, scratch, rng, params) -> is usable
    reset: Callable[..., None]  # (i, level, state)
    step: Callable[..., int]  # (i, level, state, action) -> event bits
    observe: Callable[..., None]  # (i, level, state, cells): fills cells[i], one bit per plane
    paint: Callable[..., Any] | None  # (i, level, state) -> the whole level as cells [rows, cols]
    board: Board  # how levels are written as text
    cells: tuple[Cell, ...]
    default_cell: str  # a code
    window: tuple[int, ...] = ()  # cells of the view, row by row, that the mode `window` shows
    total_steps: int = 1_000_000  # of a training with which agents learn these cells
    gamma: float = 0.99  # per step, its discount

    @classmethod
    def of(
        cls,
        module: str,
        *rules: ModuleType,
        actions: type[IntEnum],
        name: str = "",
        title: str = "",
        **declaration: Any,
    ) -> Family:
        """A family declared in `module` (its `__name__`).

        Its `Event`, `Params`, `Level`, `State`, `Scratch` (if it has one), `sample_geometry`,
        `reset`, `step`, `observe` and `paint` (if it has one) are taken from `rules`, by default
        from `module` itself.

        Raises:
            ValueError: one of these is missing, or see `Family`.
        """
        here = sys.modules[module]
        name = name or module.rpartition(".")[2]
        found = {key: value for rule in (here, *rules) for key, value in vars(rule).items()}
        if missing := [key for key in NEEDED if key not in found]:
            raise ValueError(
                f"the module of a family has {', '.join(NEEDED)}; {module} lacks "
                f"{', '.join(missing)}"
            )
        return cls(
            name=name,
            title=title or name.title().replace("_", ""),
            card=here.__doc__ or "",
            module=module,
            actions=tuple(action.name.lower() for action in actions),
            noop=next(iter(actions)),
            events=found["Event"],
            params=found["Params"],
            level=found["Level"],
            state=found["State"],
            scratch=found.get("Scratch", NoScratch),
            paint=found.get("paint"),
            **{key: found[key] for key in RULES},
            **declaration,
        )

    def __post_init__(self) -> None:
        codes = [cell.code for cell in self.cells]
        if twice := {code for code in codes if codes.count(code) > 1}:
            raise ValueError(
                f"the code of a cell is its identity; {self.name} has two cells with the code "
                f"{', '.join(sorted(twice))}; rename one"
            )
        for cell in self.cells:
            self.check_params(cell.params)
        named = [
            c if c.family == self.module else replace(c, family=self.module) for c in self.cells
        ]
        object.__setattr__(self, "cells", tuple(named))

    def __deepcopy__(self, memo: Any) -> Family:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """By where it is declared."""
        from misgen.envs.families import declared_in

        try:
            is_found = declared_in(self.module) is self
        except ValueError:
            is_found = False
        if not is_found:
            raise pickle.PicklingError(
                f"a family is pickled by its name, FAMILY in an importable module; {self.module} "
                f"has no FAMILY that is this {self.name}; declare it there, with module=__name__"
            )
        return declared_in, (self.module,)

    @property
    def env_id(self) -> str:
        """The name by which gymnasium knows the family; it rises with the version."""
        return f"misgen/{self.title}-v{self.version - 1}"

    # --- What follows from the declarations ------------------------------------------------------

    def empty_level(self, n: int) -> Any:
        """A Level of zeroed arrays [n, ...]."""
        return schema.empty(self.level, n)

    def empty_state(self, n: int) -> Any:
        return schema.empty(self.state, n)

    def empty_scratch(self) -> Any:
        return schema.empty_scratch(self.scratch)

    @cached_property
    def _key_rules(self) -> tuple[FunctionType, FunctionType]:
        return schema.key_rules(self.state, self.module)

    @property
    def state_key(self) -> FunctionType:
        """Rule: (i, level, state) -> uint64, everything the future depends on."""
        return self._key_rules[0]

    @property
    def restore(self) -> FunctionType:
        """Rule: (i, level, state, key), the inverse of state_key."""
        return self._key_rules[1]

    @cached_property
    def place_things(self) -> FunctionType:
        """Rule: (cell, i, level, scratch, rng, params) -> whether the geometry is usable."""
        rules = [cell.place_things or nothing_to_place for cell in self.cells]
        arguments = "i, level, scratch, rng, params"
        return dispatch("place_things", rules, arguments, self.module)

    @cached_property
    def place_cue(self) -> FunctionType:
        """Rule: (cell, i, level, scratch, rng, params, cue_draw) -> whether goals are reachable."""
        rules = [cell.cue.draw for cell in self.cells]
        arguments = "i, level, scratch, rng, params, cue_draw"
        return dispatch("place_cue", rules, arguments, self.module)

    @cached_property
    def geometry_hash(self) -> FunctionType:
        """Rule: (cell, i, level) -> uint64 over all but the cue of the cell and `disturbed`."""
        generic = {cell.cue.fields for cell in self.cells if cell.geometry_hash is None}
        made = {cue_fields: self._hash_but(cue_fields) for cue_fields in generic}
        rules = [cell.geometry_hash or made[cell.cue.fields] for cell in self.cells]
        return dispatch("geometry_hash", rules, "i, level", self.module)

    def _hash_but(self, cue_fields: tuple[str, ...]) -> FunctionType:
        """A geometry hash over all fields of the Level but these and `disturbed`."""
        lines = ["def hash_fields(i, level):", "    value = mix(np.uint64(0))"]
        for name, field in schema.declared(self.level, schema.Field).items():
            if name in (*cue_fields, "disturbed"):
                continue
            at, indent = "i", "    "
            for axis, size in enumerate(field.shape):
                lines.append(f"{indent}for k{axis} in range({size}):")
                at, indent = f"{at}, k{axis}", indent + "    "
            lines.append(f"{indent}value = combine(value, int(level.{name}[{at}]))")
        text = "\n".join([*lines, "    return value"])
        return rule_of_text(text, self.module, mix=mix, combine=combine)

    def draw(self, level: Any, i: int) -> str:
        """Level i as text."""
        return self.board.draw(level, i)

    def parse(self, text: str) -> Any:
        """The Level of one of a drawing; ValueError if it is not a legal one."""
        return self.board.parse(text, self.empty_level(1))

    # --- Cells -----------------------------------------------------------------------------------

    def cell(self, code: str) -> Cell:
        """The cell of this code; ValueError names the choices."""
        return self.cells[self.number(code)]

    def number(self, code: str) -> int:
        """The place of a cell among the family's, by which its rules are dispatched."""
        for number, cell in enumerate(self.cells):
            if code.upper() == cell.code:
                return number
        codes = ", ".join(cell.code for cell in self.cells)
        raise ValueError(f"{self.name} has the cells {codes}; got {code!r}")

    @cached_property
    def param_ranges(self) -> dict[str, tuple[int, int]]:
        """Legal values of each level parameter, inclusive."""
        ranges = schema.declared(self.params, schema.Range)
        return {name: (legal.low, legal.high) for name, legal in ranges.items()}

    def check_params(self, params: NamedTuple) -> None:
        """ValueError unless the rules can draw levels with these parameters."""
        values = params._asdict()
        for name, (low, high) in self.param_ranges.items():
            if not low <= values[name] <= high:
                raise ValueError(f"{name} of {self.name} is in [{low}, {high}]; got {values[name]}")
            if name.endswith("_max") and values[name] < values[name[:-4] + "_min"]:
                raise ValueError(f"{name} is at least {name[:-4]}_min; got {values}")

    def train_distribution(
        self, cell: Cell, diversity: float = 0.0, num_levels: int = 0
    ) -> LevelDistribution:
        """What agents of this cell train on, at diversity d; see LevelDistribution."""
        return LevelDistribution(
            cell=cell,
            params=cell.params,
            diversity=diversity,
            num_levels=num_levels,
            horizon_steps=cell.train_horizon_steps,
        )
