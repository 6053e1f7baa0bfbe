"""A film as a file: GIF, MP4, or PNG of its last frame."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from misgen.experiments.film_panels import Script, frame, length
from misgen.experiments.picture_files import gif, png

ENDINGS = (".gif", ".mp4", ".png")
FRAME_MS, FIRST_MS, LAST_MS = 200, 2400, 5000
EVERY_STEP, MORE_FRAMES = 48, 24  # frames a step; then the rest in so many
MP4_FPS = 25


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
