"""`misgen watch`: a recorded episode in the terminal."""

import io
import os
import pty
import tty

import pytest

from misgen.envs.families import find_cell
from misgen.experiments.cli import main
from misgen.experiments.shown import play, watch
from misgen.experiments.shown.agents import PROXY
from misgen.experiments.shown.levels import Shown

pytestmark = pytest.mark.usefixtures("few_levels")


@pytest.fixture
def begin():
    return watch.session_maker(Shown(*find_cell("M5"), [PROXY]), "10")


def test_without_a_terminal_every_frame_is_printed_once(capsys):
    assert main(["watch", "M5", "--agent", "intended"]) == 0
    text = capsys.readouterr().out
    title = "intended planner in M5: cheese (green), or corner (pink)?\n10: cue broken; level seed "
    assert text.startswith(title)
    steps = [line.split("/")[0] for line in text.splitlines() if line.startswith("step ")]
    assert steps == [f"step {k}" for k in range(len(steps))] and len(steps) > 2
    assert text.count("INTENDED GOAL: cheese") == 1 and "\x1b" not in text


def test_goals_have_their_colours(begin):
    session = begin(0)
    assert session.marks[1, 1] == (255, 80, 190)
    shown = play.show(session, tint=2)
    assert "48;2;255;80;190m  " in shown and "48;2;70;255;110mc " in shown


def test_keys_stop_step_and_go_to_the_next_level(begin):
    master, slave = pty.openpty()
    tty.setcbreak(slave)
    numbers = []

    def noted(number):
        numbers.append(number)
        return begin(number)

    out = io.StringIO()
    os.write(master, b"  xxnq")  # stop, go on, two steps, next level
    play.play(noted, 0, slave, out, delay_s=30)
    os.close(master)
    os.close(slave)
    assert numbers == [0, 1]
    assert "step 2/" in out.getvalue() and "step 3/" not in out.getvalue()


@pytest.mark.parametrize(
    ("size", "fits"), [((200, 60), True), ((20, 60), False), ((200, 8), False)]
)
def test_a_terminal_that_is_too_small_is_refused(begin, size, fits, monkeypatch):
    monkeypatch.setattr(watch.shutil, "get_terminal_size", lambda: os.terminal_size(size))
    if fits:
        watch.require_room(begin(0))
        return
    message = f"needs a terminal of .* this one has {size[0]} and {size[1]}; .*misgen film M5"
    with pytest.raises(ValueError, match=message):
        watch.require_room(begin(0))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--agent", "nobody"], "an agent is a number, run or checkpoint; got 'nobody'"),
        (["--delay", "-1"], "--delay is in seconds, from 0 to 60; got -1"),
        (["--variant", "20"], "invalid choice"),
    ],
)
def test_wrong_words_are_answered(words, message, capsys):
    assert main(["watch", "M5", *words]) == 2
    assert message in capsys.readouterr().err
