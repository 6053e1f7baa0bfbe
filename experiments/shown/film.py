"""`misgen film`: an agent on the four variants of one level, beside the intended planner.

Without an agent, the planners of both goals. The level is chosen by a rule that the film states, of
the levels on which `misgen evaluate` plays the agent; what it shows is the recorded episode.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from misgen.analysis.files import atomic_write_bytes
from misgen.analysis.study import film_of
from misgen.analysis.text import filled
from misgen.envs.core.family import Family
from misgen.envs.core.types import VARIANTS, Cell
from misgen.envs.families import find_cell
from misgen.experiments.cell_choice import choose_one, where_help
from misgen.experiments.cli import Parser
from misgen.experiments.kernels import say_playing
from misgen.experiments.provenance import provenance
from misgen.experiments.runs.folder import RESULTS_HELP, results_root, write_json
from misgen.experiments.runs.train import CHECKPOINT, train_folder
from misgen.experiments.shown.agents import (
    AGENT_HELP,
    INTENDED,
    PROXY,
    Actor,
    actor_of,
    choose_agents,
)
from misgen.experiments.shown.drawing import gif, png
from misgen.experiments.shown.film_panels import Panel, Script, frame, length
from misgen.experiments.shown.level_states import LevelStates, marks
from misgen.experiments.shown.levels import LEVEL_RULE, TITLES, Shown
from misgen.experiments.shown.plays import is_disturbed, no_pictures

if TYPE_CHECKING:
    from misgen.experiments.studies.study import Measured

MOST_AGENTS = 3
ENDINGS = (".gif", ".mp4", ".png")
FRAME_MS, FIRST_MS, LAST_MS = 200, 2400, 5000
EVERY_STEP, MORE_FRAMES = 48, 24  # frames a step; then the rest in so many
MP4_FPS = 25
LEGEND = {"intended": "intended goal", "proxy": "proxy"}
NOTES = (
    "A planner knows the level and takes a shortest way to its goal. Harm: at least half of the "
    "attainable reward is lost."
)


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
    say_playing(family)
    script, facts = direct(family, cell, agents, options.variants)
    file = options.out or default_file(cell, agents, ".gif")
    file.parent.mkdir(parents=True, exist_ok=True)
    atomic_write_bytes(file, encoded(script, file.suffix.lower()))
    if options.json:
        write_facts(options.json, facts, ["misgen", "film", *argv])
    print(filled(script.words))
    for panel in script.panels:
        endings = (f"{lane.actor.name}: {lane.said}" for lane in panel.lanes)
        print(f"{panel.title:<32}{'; '.join(endings)}")
    print(f"{file} ({file.stat().st_size / 1000:,.0f} kB)")
    return 0


def _parser() -> Parser:
    parser = Parser(prog="misgen film", description=__doc__, epilog=f"{LEVEL_RULE} {RESULTS_HELP}")
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


def write_study_films(measured: Measured, folder: Path) -> None:
    """Of each cell whose film the folder lacks and whose levels can be drawn: the first agent of
    the first arm. A smoke run has none."""
    arm = next(iter(measured.plan.study.arms))
    for code in () if measured.plan.quick else measured.plan.cells:
        file = folder / film_of(code)
        here = [config for config in measured.configs.get(arm, ()) if config.cell == code]
        family, cell = find_cell(code)
        if here and not file.is_file() and family.paint is not None:
            agent = actor_of(train_folder(here[0]).path / CHECKPOINT, family)
            script, _ = direct(family, cell, [agent])
            atomic_write_bytes(file, encoded(script, ".gif"))


# --- What is shown -------------------------------------------------------------------------------


def direct(
    family: Family, cell: Cell, agents: Sequence[Actor], variants: Sequence[str] = VARIANTS
) -> tuple[Script, dict[str, Any]]:
    """The film of some agents, or of the planners, and what it shows as JSON data."""
    actors = [*agents, INTENDED] if agents else [INTENDED, PROXY]
    shown = Shown(family, cell, actors)
    panels = [_panel(shown, variant) for variant in variants]
    goals = {goal: f"{words}: {cell.goals[goal].name}" for goal, words in LEGEND.items()}
    script = Script(
        family=family,
        heading=shown.heading,
        words=shown.training + (f" {_tally(shown)}" if agents else ""),
        legend={**goals, "cost": "costs reward"},
        panels=panels,
        notes=f"Level seed {shown.seed}: {shown.rule}. {NOTES}",
    )
    endings = {
        variant: {lane.actor.name: lane.said for lane in panel.lanes}
        for variant, panel in zip(variants, panels, strict=True)
    }
    return script, {**shown.facts, "family_version": family.version, "endings": endings}


def _tally(shown: Shown) -> str:
    """What the first agent did wherever the goals are told apart."""
    found = [shown.played[0]["10"][row].word for row in shown.chosen]
    words = ", ".join(f"{word} {found.count(word)}" for word in ("intended", "proxy", "neither"))
    return f"{shown.agents[0].name.capitalize()} on all {len(found)} levels like 10: {words}."


def _panel(shown: Shown, variant: str) -> Panel:
    levels, cell = shown.level(variant), shown.cell
    a, b = cell.shift_a.description, cell.shift_b.description
    return Panel(
        title=TITLES[variant],
        words={"00": cell.cue.description, "10": a, "01": b, "11": f"{b}; {a}"}[variant],
        lanes=[played[variant][shown.row] for played in shown.played],
        marks=marks(LevelStates(levels)),
        unseen=is_disturbed(levels),
    )


# --- Files ----------------------------------------------------------------------------------------


def check_ending(file: Path | None) -> None:
    """ValueError where a film cannot be written to a file of this name; None is a GIF."""
    ending = ".gif" if file is None else file.suffix.lower()
    if ending not in ENDINGS:
        raise ValueError(
            f"a film is written as {', '.join(ENDINGS)}; got {str(file)!r}; give --out another "
            "ending"
        )
    if ending == ".mp4" and shutil.which("ffmpeg") is None:
        raise ValueError(
            "an MP4 is made by the program ffmpeg, and there is none on PATH; install it, or write "
            "a .gif"
        )


def frame_steps(steps: int) -> list[int]:
    """The steps that have a frame: all at first, fewer in what is left of a long episode."""
    stride = max(1, -(-(steps - EVERY_STEP) // MORE_FRAMES))
    return [*range(min(steps, EVERY_STEP)), *range(EVERY_STEP, steps, stride), steps]


def encoded(script: Script, ending: str) -> bytes:
    """The film as a file of one of ENDINGS."""
    if ending == ".png":
        return png(frame(script, length(script)))
    steps = frame_steps(length(script))
    frames = [frame(script, step) for step in steps]
    shown_ms = [FIRST_MS, *[FRAME_MS] * (len(steps) - 2), LAST_MS]
    return (gif if ending == ".gif" else _mp4)(frames, shown_ms)


def _mp4(frames: Sequence[Image.Image], shown_ms: Sequence[int]) -> bytes:
    """By ffmpeg; H.264 takes even sizes, so an odd last line is left out."""
    width, height = frames[0].width // 2 * 2, frames[0].height // 2 * 2
    raw = b"".join(
        each.crop((0, 0, width, height)).tobytes() * round(ms * MP4_FPS / 1000)
        for each, ms in zip(frames, shown_ms, strict=True)
    )
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "film.mp4"
        command = ["ffmpeg", "-v", "error", "-f", "rawvideo", "-pix_fmt", "rgb24"]
        command += ["-s", f"{width}x{height}", "-r", str(MP4_FPS), "-i", "-"]
        command += ["-pix_fmt", "yuv420p", "-movflags", "+faststart", str(file)]
        done = subprocess.run(command, input=raw, capture_output=True, check=False)
        if done.returncode:
            raise ValueError(
                f"ffmpeg failed: {done.stderr.decode(errors='replace').strip()[-300:]}; write "
                "a .gif"
            )
        return file.read_bytes()
