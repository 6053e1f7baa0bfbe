"""Single keys from a terminal."""

import contextlib
import os
import select
from collections.abc import Iterator
from typing import TextIO


def read_key(keyboard: int, timeout_s: float | None) -> bytes | None:
    """The bytes of the next key, b"" at the end of input, None if no key came in time."""
    ready, _, _ = select.select([keyboard], [], [], timeout_s)
    if not ready:
        return None
    key = os.read(keyboard, 1)
    while key.startswith(b"\x1b") and not key[2:].strip(b"0123456789;[O"):
        if not select.select([keyboard], [], [], 0.02)[0]:
            break
        key += os.read(keyboard, 1)
    return key


@contextlib.contextmanager
def screen(keyboard: int, out: TextIO) -> Iterator[None]:
    """Single keys without echo on a screen of its own; Ctrl-C still interrupts."""
    try:
        import termios
        import tty
    except ImportError as error:
        raise ValueError(
            "single keys are read from a POSIX terminal, and this system has none; use Linux, "
            "macOS or WSL, or watch a policy with `misgen play --policy planner`"
        ) from error
    saved = termios.tcgetattr(keyboard)
    try:
        tty.setcbreak(keyboard)
        out.write("\x1b[?1049h\x1b[?25l\x1b[?7l")
        yield
    finally:
        out.write("\x1b[?7h\x1b[?25h\x1b[?1049l")
        out.flush()
        termios.tcsetattr(keyboard, termios.TCSADRAIN, saved)
