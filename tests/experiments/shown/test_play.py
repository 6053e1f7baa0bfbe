"""`misgen play`: what is drawn is the level, and keys mean actions."""

import io
import os
import pty
import tty
from pathlib import Path

import numpy as np
import pytest

from misgen.envs.core.gym_env import make_distribution
from misgen.envs.families import FAMILIES
from misgen.experiments.shown import play

KEYS = FAMILIES["keys_and_chests"]
COINRUN = FAMILIES["coinrun"]
BOARD = """
########
#A.k...#
#......#
#.c.c..#
#......#
#......#
#......#
########"""
RUN = "\n".join(["#........#"] * 8 + ["#A....$..#", "##########"])


@pytest.fixture
def board(tmp_path: Path) -> Path:
    (tmp_path / "board.txt").write_text(BOARD)
    return tmp_path / "board.txt"


def session(text: str | None, name: str = "keys_and_chests", seed: int = 0) -> play.Session:
    family = FAMILIES[name]
    variant = None if text else "11"
    begin = play.session_maker(family, make_distribution(family, variant=variant), "human", text)
    return begin(seed)


def walk(game: play.Session, actions: str) -> str:
    names = {"r": "right", "d": "down", "u": "up", "l": "left"}
    for letter in actions:
        game.env.step(np.array([game.env.family.actions.index(names[letter])]))
    cells = game.env.whole_level(0)
    assert cells is not None
    return play.paint(game.env.family, cells)


def test_the_whole_level_is_the_drawing() -> None:
    assert walk(session(BOARD), "") == BOARD.strip()
    assert walk(session(RUN, "coinrun"), "") == RUN


def test_the_whole_level_follows_the_agent_and_what_it_took() -> None:
    assert walk(session(BOARD), "rrr").splitlines()[1] == "#...A..#"
    assert walk(session(RUN, "coinrun"), "rr").splitlines()[8] == "#..A..$..#"


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("seed", range(3))
def test_sampled_levels_are_shown_as_drawn(name: str, seed: int) -> None:
    env = session(None, name, seed).env
    cells = env.whole_level(0)
    assert cells is not None
    shown, drawn = play.paint(env.family, cells), env.family.draw(env.world.level, 0)
    for glyph in {"keys_and_chests": "#A$kc_~", "coinrun": "A$_~"}.get(name, "A"):
        assert places(shown, glyph) == places(drawn, glyph)


def places(text: str, glyph: str) -> list[int]:
    return [at for at, other in enumerate(text) if other == glyph]


def test_the_view_has_the_status_row_and_the_agent() -> None:
    game = session(BOARD)
    walk(game, "rr")
    lines = play.paint(game.env.family, game.env.cells[0]).splitlines()
    assert lines[0] == "i.........." and lines[6][5] == "A"


def test_events_and_return_are_told() -> None:
    game = session(BOARD)
    walk(game, "rr")
    told = play.show(game).splitlines()[0]
    assert told == "step 2/50  return 0  now: key, all_keys  so far: key 1, all_keys 1"


def test_colours_are_those_of_the_planes() -> None:
    assert "48;2;255;220;0mk " in play.show(session(BOARD), tint=2)
    assert "48;2;255;220;0mk\x1b" in play.show(session(BOARD), tint=1)


@pytest.mark.parametrize(
    ("family", "key", "action"),
    [
        (KEYS, b"\x1b[A", "up"),
        (KEYS, b"d", "right"),
        (KEYS, b" ", "stay"),
        (COINRUN, b"\x1b[A", "jump"),
        (COINRUN, b" ", "jump"),
        (COINRUN, b"D", "jump_right"),
        (COINRUN, b"\x1b[1;2D", "jump_left"),
        (COINRUN, b"s", None),
        (KEYS, b"z", None),
    ],
)
def test_keys(family, key: bytes, action: str | None) -> None:
    found = play.key_action(family, key)
    assert (None if found is None else family.actions[found]) == action


def test_a_person_plays_in_a_terminal() -> None:
    master, slave = pty.openpty()
    tty.setcbreak(slave)
    out = io.StringIO()
    seeds = []

    def begin(seed: int) -> play.Session:
        seeds.append(seed)
        return session(BOARD)

    os.write(master, b"\x1b[Cd\x1b[B\x1b[Dnq")  # right, right, down, left; next level
    play.play(begin, 7, slave, out)
    os.close(master)
    os.close(slave)
    assert "step 4/50" in out.getvalue() and "now: key" in out.getvalue()
    assert seeds == [7, 8]


def test_without_a_terminal_frames_are_printed(
    board: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["keys_and_chests", "--level", str(board), "--policy", "random"]
    assert play.main(arguments) == 0
    text = capsys.readouterr().out
    assert "step 0/100" in text and "OVER" in text and "\x1b" not in text
    with pytest.raises(ValueError, match="a person plays in a terminal"):
        play.main([*arguments[:-1], "human"])


def test_a_checkpoint_is_watched(
    board: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tests.agents.tiny import TINY, make_env

    from misgen.agents import checkpoint
    from misgen.agents.networks import initial_weights

    meta = checkpoint.describe(make_env(mode="rgb1"), TINY, train_seed=0, steps=0)
    weights = initial_weights(checkpoint.architecture_of(meta), 0)
    checkpoint.save(tmp_path / "agent", weights, meta)
    arguments = ["--level", str(board), "--policy", str(tmp_path / "agent")]
    assert play.main(["keys_and_chests", *arguments]) == 0
    assert "OVER" in capsys.readouterr().out
    with pytest.raises(ValueError, match="of keys_and_chests, wanted coinrun"):
        play.main(["coinrun", *arguments[2:]])


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ([], "coinrun C2"),
        (["k3"], "keys_and_chests K3"),
        (["coinrun"], "coinrun C2"),
        (["keys_and_chests", "K1"], "keys_and_chests K1"),
    ],
)
def test_a_cell_is_named_by_its_code_or_is_its_familys_default(words, shown, capsys) -> None:
    assert play.main([*words, "--policy", "random"]) == 0
    assert capsys.readouterr().out.startswith(f"{shown}, random")


def test_draw_shows_the_four_variants(capsys: pytest.CaptureFixture[str]) -> None:
    play.main(["keys_and_chests", "--draw", "--seed", "1"])
    text = capsys.readouterr().out
    assert "00: in distribution   10: cue broken" in text
    assert text.count("A") == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["chess"], "the cells and families are .*got 'chess'"),
        (["coinrun", "C9"], "coinrun has the cells .*got 'C9'"),
        (["moderate"], "got 'moderate', which is the shift type of C2, K2"),
        (["--policy", "planer"], "the path of a checkpoint; got 'planer'"),
        (["--seed", "-1"], "--seed is an integer >= 0; got -1"),
        (["--level", "nowhere.txt"], "nowhere.txt"),
    ],
)
def test_errors_name_what_is_wrong(arguments: list[str], message: str) -> None:
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        play.main(arguments)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("#A.k", "#AAk", "exactly one agent"),
        ("#......#\n########", "#....#c#\n########", ""),
        ("#......#\n#......#\n########", "#.....##\n#....#c#\n########", "walled off"),
    ],
)
def test_a_bad_drawing_is_explained(old: str, new: str, message: str, board: Path) -> None:
    board.write_text(BOARD.replace(old, new))
    arguments = ["keys_and_chests", "--level", str(board), "--policy", "random"]
    if not message:
        assert play.main(arguments) == 0
        return
    with pytest.raises(ValueError, match=message):
        play.main(arguments)
