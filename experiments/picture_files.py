"""Pictures as files of few colours."""

from __future__ import annotations

import io
from collections.abc import Sequence

from PIL import Image

MAX_COLOURS = 64


def png(image: Image.Image, colours: int = MAX_COLOURS) -> bytes:
    out = io.BytesIO()
    image.quantize(colours, dither=Image.Dither.NONE).save(out, "PNG", optimize=True)
    return out.getvalue()


def gif(frames: Sequence[Image.Image], shown_ms: Sequence[int]) -> bytes:
    """An endless animation in the colours of its last frame; shown_ms: of each frame."""
    palette = frames[-1].quantize(MAX_COLOURS, dither=Image.Dither.NONE)
    drawn = [each.quantize(palette=palette, dither=Image.Dither.NONE) for each in frames]
    out = io.BytesIO()
    drawn[0].save(
        out,
        "GIF",
        save_all=True,
        append_images=drawn[1:],
        duration=[*shown_ms],
        loop=0,
        optimize=True,
    )
    return out.getvalue()
