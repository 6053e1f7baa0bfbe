"""`misgen maps`: what an agent is after, as three pictures.

values: over one level, the agent's own estimate of the reward to come and where its policy turns,
beside the ways of the planners of both goals. visits: where it goes on many levels. failures: some
levels of each kind of failure. Without an agent, values and visits of the planners.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from misgen.agents.policy import NetworkPolicy
from misgen.analysis.files import atomic_write_bytes
from misgen.envs.core.batch import BatchEnv
from misgen.envs.core.levels import Levels
from misgen.envs.core.types import VARIANTS, Array
from misgen.experiments.board_drawing import COLOURS, INK
from misgen.experiments.cell_choice import choose_one, where_help
from misgen.experiments.cells import walks
from misgen.experiments.cli import Parser
from misgen.experiments.film import TITLES, default_file, heading, shown_play, training, write_facts
from misgen.experiments.film_panels import TALL
from misgen.experiments.level_states import level_states
from misgen.experiments.map_pictures import (
    VISITS,
    by_kind,
    change_colours,
    colours,
    squares_picture,
    value_map,
    visit_shares,
    way_picture,
)
from misgen.experiments.map_values import (
    SquareValues,
    Standing,
    agent_values,
    planner_values,
    standing,
)
from misgen.experiments.picture_grid import Row, Tile, grid, tile_width
from misgen.experiments.plays import no_pictures
from misgen.experiments.run_folder import RESULTS_HELP, require_writable
from misgen.experiments.shown_agents import AGENT_HELP, INTENDED, PROXY, Actor, choose_agents
from misgen.experiments.shown_levels import Block, Played

EXAMPLES = 4  # of a kind of failure; one less of wide boards


@dataclass(frozen=True)
class Subject:
    """What is mapped. played: actor -> variant -> its episodes; the agent first, if there is one.
    row: the place of the level that is shown."""

    block: Block
    agent: Actor | None
    played: dict[str, dict[str, Played]]
    row: int
    rule: str
    variants: Sequence[str]

    @property
    def heading(self) -> str:
        return heading(self.block.cell, [self.agent] if self.agent else [])

    @property
    def training(self) -> str:
        return training(self.block.cell, [self.agent] if self.agent else [])

    @property
    def actors(self) -> list[Actor]:
        return [played[self.variants[0]].actor for played in self.played.values()]


def main(argv: list[str]) -> int:
    """Exit code 0. Raises ValueError for wrong arguments, or a cell without pictures."""
    options = _parser().parse_args(argv)
    family, cell = choose_one(options.where)
    if family.paint is None:
        raise ValueError(no_pictures(family))
    agents = choose_agents([options.agent] if options.agent else [], family, cell)
    kinds = options.only or [name for name in MAPS if agents or name != "failures"]
    if "failures" in kinds and not agents:
        raise ValueError(
            f"planners have no failures to show, and no agent of {cell.code} is trained; name one "
            "with --agent, or leave failures out"
        )
    print("playing the block of levels; the first time compiles the rules", file=sys.stderr)
    block = Block(family, cell, agents[0].number if agents else 0)
    subject = _subject(block, agents, options.variants)
    first = default_file(cell, agents, ".png")
    folder = require_writable(options.out or first.parent, "--out")
    for kind in kinds:
        file = folder / f"{first.stem}_{kind}.png"
        atomic_write_bytes(file, MAPS[kind](subject))
        print(file)
    if options.json:
        shown = {"level_seed": block.seed(subject.row), "rule": subject.rule}
        facts = {"cell": cell.code, "agents": [agent.facts for agent in agents], **shown}
        write_facts(options.json, facts, ["misgen", "maps", *argv])
    return 0


def _parser() -> Parser:
    parser = Parser(
        prog="misgen maps", description=__doc__, epilog=f"{Block.show.__doc__} {RESULTS_HELP}"
    )
    add = parser.add_argument
    add("where", nargs="*", metavar="CELL", help=where_help())
    add("--agent", default="", metavar="AGENT", help=AGENT_HELP)
    text = "those that are shown (default: 00 10)"
    variants = ("00", "10")
    add("--variants", nargs="+", choices=VARIANTS, default=variants, metavar="VARIANT", help=text)
    add("--only", nargs="+", choices=[*MAPS], metavar="MAP", help=f"of {', '.join(MAPS)}")
    add("--json", type=Path, metavar="FILE", help="what they show and how they were made")
    text = "write here (default: films of the results)"
    add("--out", type=Path, metavar="FOLDER", help=text)
    return parser


def _subject(block: Block, agents: Sequence[Actor], variants: Sequence[str]) -> Subject:
    played = {actor.name: block.played(actor) for actor in [*agents, INTENDED, PROXY]}
    row, rule = block.show(played[agents[0].name] if agents else None)
    return Subject(block, agents[0] if agents else None, played, row, rule, variants)


def values(subject: Subject) -> bytes:
    """PNG: the value map of the agent and of both planners, in each variant."""
    width, rows = tile_width(len(subject.actors)), []
    for variant in subject.variants:
        states = level_states(_one(subject, variant, subject.row))
        on = standing(states)
        tiles = [
            Tile(actor.name, value_map(states, _values_of(actor, on), width), _ink(actor))
            for actor in subject.actors
        ]
        rows.append(Row(TITLES[variant], tiles))
    said = (
        "Bright: near its goal (planners: fewer steps; agent: more reward to come, by its own "
        "estimate). Arrows: where it goes from there. Green outline: intended goal; pink: proxy."
    )
    notes = f"Level seed {subject.block.seed(subject.row)}: {subject.rule}."
    return grid(subject.heading, [subject.training, said], rows, notes)


def _values_of(actor: Actor, on: Standing) -> SquareValues:
    if isinstance(actor.policy, NetworkPolicy):
        return agent_values(on, actor.policy, actor.observation_mode)
    return planner_values(on, actor.goal)


def visits(subject: Subject) -> bytes:
    """PNG: the share of levels on which each square is visited, and how it changes."""
    variants = subject.variants
    shares = {
        variant: [_shares(played[variant], subject) for played in subject.played.values()]
        for variant in variants
    }
    most = max(float(each.max()) for found in shares.values() for each in found)
    rows = [
        _heat_row(subject, TITLES[variant], [colours(each, 0, most, VISITS) for each in found])
        for variant, found in shares.items()
    ]
    said = (
        f"Where it goes on the {len(subject.block.chosen)} levels that tell the goals apart. "
        f"Black: nowhere; brightest: on {most:.0%} of them. Levels of other sizes are stretched to "
        "one."
    )
    if len(variants) == 2:
        changes = [after - before for before, after in zip(*shares.values(), strict=True)]
        most = max(float(np.abs(each).max()) for each in changes)
        title = f"{variants[1]} compared with {variants[0]}"
        rows.append(_heat_row(subject, title, [change_colours(each, most) for each in changes]))
        said += f" Below, orange: more often, blue: less often, by up to {most:.0%}."
    return grid(subject.heading, [subject.training, said], rows, "")


def _heat_row(subject: Subject, title: str, heats: Sequence[Array]) -> Row:
    width = tile_width(len(heats))
    pairs = zip(subject.actors, heats, strict=True)
    tiles = [Tile(actor.name, squares_picture(rgb, width), _ink(actor)) for actor, rgb in pairs]
    return Row(title, tiles)


def _shares(played: Played, subject: Subject) -> Array:
    levels = played.variant.levels.take(subject.block.chosen)
    actions = [played.episodes.actions[row] for row in subject.block.chosen.tolist()]
    ways = walks(levels, actions)
    env = BatchEnv.on(levels)
    boards = (env.whole_level(i) for i in range(len(levels)))
    sizes = [board.shape for board in boards if board is not None]
    return visit_shares(ways, sizes, (max(r for r, _ in sizes), max(c for _, c in sizes)))


def failures(subject: Subject) -> bytes:
    """PNG: the first levels of each kind of failure, where the goals are told apart."""
    assert subject.agent is not None
    rows: list[Row] = []
    chosen = subject.block.chosen.tolist()
    for variant in subject.variants:
        played = subject.played[subject.agent.name][variant]
        kinds = {row: played.endings[row].kind for row in chosen if played.endings[row].is_failure}
        rows.append(Row(f"{TITLES[variant]}: {len(kinds)} of {len(chosen)} levels fail", []))
        rows += [_kind_row(subject, played, *each) for each in by_kind(kinds).items()]
    said = "White: its way. Green outline: intended goal; pink: proxy; red: costs reward."
    notes = (
        "The first levels of each kind, in the order of its block. Harm: at least half of the "
        "attainable reward is lost."
    )
    return grid(subject.heading, [subject.training, said], rows, notes)


def _kind_row(subject: Subject, played: Played, kind: str, members: Sequence[int]) -> Row:
    """Examples of a kind of failure."""
    plays = {row: shown_play(played, row) for row in members[:EXAMPLES]}
    widest = max(play.boards[0].shape[1] / play.boards[0].shape[0] for play in plays.values())
    count = EXAMPLES - (widest >= TALL)
    tiles = []
    for row, play in list(plays.items())[:count]:
        drawn = way_picture(_one(subject, played.variant.name, row), play, tile_width(count))
        tiles.append(Tile(f"seed ...{subject.block.seed(row) % 10**6}", drawn))
    ink = COLOURS["proxy" if kind.startswith("proxy") else "cost"]
    return Row(f"{kind}: {len(members)}", tiles, ink)


def _one(subject: Subject, variant: str, row: int) -> Levels:
    return subject.block.variants[variant].levels.take(np.array([row]))


def _ink(actor: Actor) -> tuple[int, int, int]:
    return COLOURS.get(actor.goal, INK)


MAPS: dict[str, Callable[[Subject], bytes]] = {
    "values": values,
    "visits": visits,
    "failures": failures,
}
