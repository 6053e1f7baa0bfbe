"""`misgen film`: an agent on the four variants of one level, beside the intended planner.

Without an agent, the planners of both goals. The level is chosen by a rule that the film states, of
the levels on which `misgen evaluate` plays the agent; what it shows is the recorded episode.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from misgen.analysis.files import atomic_write_bytes
from misgen.envs.core.family import Family
from misgen.envs.core.types import VARIANTS, Cell
from misgen.experiments.board_drawing import COLOURS, INK
from misgen.experiments.cell_choice import choose_one, where_help
from misgen.experiments.cli import Parser
from misgen.experiments.film_files import check_ending, encoded
from misgen.experiments.film_panels import Lane, Panel, Script
from misgen.experiments.level_states import level_states, marks
from misgen.experiments.plays import Play, no_pictures, replayed, settled_at
from misgen.experiments.provenance import provenance
from misgen.experiments.run_folder import RESULTS_HELP, results_root, write_json
from misgen.experiments.shown_agents import AGENT_HELP, INTENDED, PROXY, Actor, choose_agents
from misgen.experiments.shown_levels import Block, Ending, Played

MOST_AGENTS = 3
LINGER = 3  # steps that are shown after an outcome is settled
TITLES = {
    "00": "00: cue intact, as in training",
    "10": "10: cue broken",
    "01": "01: other context, cue intact",
    "11": "11: other context, cue broken",
}
SAID = {"intended": "INTENDED GOAL", "no success": "NO SUCCESS"}


def main(argv: list[str]) -> int:
    """Exit code 0. Raises ValueError for wrong arguments, or a cell without pictures."""
    options = _parser().parse_args(argv)
    check_ending(options.out)
    family, cell = choose_one(options.where)
    if family.paint is None:
        raise ValueError(no_pictures(family))
    agents = choose_agents(options.agent, family, cell)
    if len(agents) > MOST_AGENTS:
        raise ValueError(f"a film shows at most {MOST_AGENTS} agents; got {len(agents)}")
    print("playing the block of levels; the first time compiles the rules", file=sys.stderr)
    script, facts = direct(family, cell, agents, options.variants)
    file = options.out or default_file(cell, agents, ".gif")
    file.parent.mkdir(parents=True, exist_ok=True)
    atomic_write_bytes(file, encoded(script, file.suffix.lower()))
    if options.json:
        write_facts(options.json, facts, ["misgen", "film", *argv])
    for panel in script.panels:
        endings = (f"{lane.names[1]}: {said(lane)}" for lane in panel.lanes)
        print(f"{panel.title:<32}{'; '.join(endings)}")
    print(f"{file} ({file.stat().st_size / 1000:,.0f} kB)")
    return 0


def _parser() -> Parser:
    parser = Parser(
        prog="misgen film", description=__doc__, epilog=f"{Block.show.__doc__} {RESULTS_HELP}"
    )
    add = parser.add_argument
    add("where", nargs="*", metavar="CELL", help=where_help())
    add("--agent", nargs="+", default=[], metavar="AGENT", help=AGENT_HELP)
    text = "those that are shown (default: all four)"
    add("--variants", nargs="+", choices=VARIANTS, default=VARIANTS, metavar="VARIANT", help=text)
    text = (
        "GIF, MP4 (needs the program ffmpeg) or PNG (the last frame) by its ending "
        "(default: films/CELL_AGENT.gif of the results)"
    )
    add("--out", type=Path, metavar="FILE", help=text)
    add("--json", type=Path, metavar="FILE", help="what it shows and how it was made")
    return parser


def write_facts(file: Path, facts: dict[str, Any], command: Sequence[str]) -> None:
    """What pictures show, and what made them."""
    write_json(file, {**facts, "command": shlex.join(command), "provenance": provenance()})


def default_file(cell: Cell, agents: Sequence[Actor], ending: str) -> Path:
    """Where a film goes if nothing else is said."""
    who = "_".join(agent.name.replace(" ", "") for agent in agents) or "planners"
    return results_root() / "films" / f"{cell.code}_{who}{ending}"


# --- What is shown -------------------------------------------------------------------------------


def direct(
    family: Family, cell: Cell, agents: Sequence[Actor], variants: Sequence[str] = VARIANTS
) -> tuple[Script, dict[str, Any]]:
    """The film of some agents, or of the planners, and what it shows as JSON data."""
    block = Block(family, cell, agents[0].number if agents else 0)
    shown = [
        block.played(actor) for actor in ([*agents, INTENDED] if agents else (INTENDED, PROXY))
    ]
    row, rule = block.show(shown[0] if agents else None)
    panels = [_panel(variant, row, [played[variant] for played in shown]) for variant in variants]
    legend = {goal: f"{_GOALS[goal]}: {cell.goals[goal].name}" for goal in _GOALS}
    script = Script(
        family=family,
        heading=heading(cell, agents),
        words=training(cell, agents) + (f" {_tally(block, shown[0])}" if agents else ""),
        legend={**legend, "cost": "costs reward"},
        panels=panels,
        notes=f"Level seed {block.seed(row)}: {rule}. {_NOTES}",
    )
    facts = {
        "cell": cell.code,
        "family_version": family.version,
        "level_seed": block.seed(row),
        "rule": rule,
        "agents": [each.facts for each in agents],
        "endings": {
            variant: {lane.names[1]: said(lane) for lane in panel.lanes}
            for variant, panel in zip(variants, panels, strict=True)
        },
    }
    return script, facts


_GOALS = {"intended": "intended goal", "proxy": "proxy"}


def heading(cell: Cell, agents: Sequence[Actor]) -> str:
    """What a picture is about."""
    asks = f"{cell.code}, which goal did it learn" if agents else cell.code
    return f"{asks}: {cell.intended.name}, or {cell.proxy.name}?"


def training(cell: Cell, agents: Sequence[Actor]) -> str:
    """How the agents were trained, in words."""
    if not agents:
        return f"No agent: the planner of each goal. In training {cell.cue.description}."
    said = (f"{agent.name.capitalize()} was trained {_where(agent, cell)}." for agent in agents)
    return " ".join(said)


def _where(agent: Actor, cell: Cell) -> str:
    cue = cell.cue.description
    if agent.trained != cell.code:
        return f"in cell {agent.trained}"
    where = {0.0: f"only where {cue}", 1.0: f"where only by chance {cue}"}
    return where.get(agent.d, f"where, but for {agent.d:.0%} of the levels, {cue}")


_NOTES = (
    "A planner knows the level and takes a shortest way to its goal. Harm: at least half of the "
    "attainable reward is lost."
)


def _tally(block: Block, played: Mapping[str, Played]) -> str:
    """What the first agent did wherever the goals are told apart."""
    counts = block.tally(played["10"])
    words = ", ".join(f"{word} {counts[word]}" for word in ("intended", "proxy", "neither"))
    name = played["10"].actor.name.capitalize()
    return f"{name} on all {len(block.chosen)} levels like 10: {words}."


def _panel(variant: str, row: int, shown: Sequence[Played]) -> Panel:
    levels = shown[0].variant.levels.take(np.array([row]))
    cell = levels.cell
    a, b = cell.shift_a.description, cell.shift_b.description
    return Panel(
        title=TITLES[variant],
        words={"00": cell.cue.description, "10": a, "01": b, "11": f"{b}; {a}"}[variant],
        lanes=[_lane(played, row) for played in shown],
        marks=marks(level_states(levels)),
        unseen="disturbed" in levels.level._fields and bool(levels.level.disturbed[0]),
    )


def shown_play(played: Played, row: int) -> Play:
    """An episode on one level of a variant, until a little after its outcome was settled."""
    levels = played.variant.levels.take(np.array([row]))
    play = replayed(levels, played.episodes.actions[row])
    return play.first(settled_at(play, levels, int(played.variant.judged[row])) + LINGER + 1)


def _lane(played: Played, row: int) -> Lane:
    ending = played.endings[row]
    return Lane(
        names=_names(played.actor),
        colour=COLOURS.get(played.actor.goal, INK),
        play=shown_play(played, row),
        endings=endings_of(ending, played.variant.levels.cell),
        is_harmful=ending.is_harmful,
        reached="intended" if ending.word in ("intended", "success") else "",
    )


def _names(actor: Actor) -> Sequence[str]:
    """What an actor is called, the longest first."""
    if actor.is_agent:
        return [f"{actor.name}: what it does", actor.name]
    asks = "what was wanted" if actor.goal == "intended" else "what the cue says"
    return [f"{actor.name}: {asks}", actor.name, "planner"]


def endings_of(ending: Ending, cell: Cell) -> Sequence[str]:
    """What an ending is called, the longest first."""
    said = SAID.get(ending.word, ending.word.upper())
    if ending.why:
        return [f"{said}: {ending.why}"]
    if ending.word == "success":
        return [f"{said}: here the goals agree", said]
    return (
        [f"{said}: {cell.goals[ending.word].name}", said] if ending.word in cell.goals else [said]
    )


def said(lane: Lane) -> str:
    """How a lane ended, in short."""
    return lane.endings[-1] + ", HARM" * lane.is_harmful
