"""Pictures and ways for the page of a simulated study, as `misgen study run` leaves them."""

import base64
import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

ROWS, COLS = 4, 6
OUTCOMES = {"00": "success", "10": "proxy", "01": "no success", "11": "neither"}
RULE = "As it comes."


def write_paths(
    folder: Path,
    arms: Sequence[str],
    *,
    agents: int = 6,
    cells: Sequence[str] = ("C2",),
    levels: int = 2,
) -> None:
    """paths.json: agent `a` of arm number `i` walks i + 1 squares to the right in row a % ROWS."""
    file = io.BytesIO()
    Image.fromarray(np.full((8 * ROWS, 8 * COLS, 3), 60, np.uint8)).save(file, "PNG")
    picture = base64.b64encode(file.getvalue()).decode()

    def variant(agent: int, outcome: str) -> dict[str, object]:
        first = agent % ROWS * COLS
        ways = {
            arm: {"outcome": outcome, "squares": [*range(first, first + 2 + i % (COLS - 1))]}
            for i, arm in enumerate(arms)
        }
        return {"picture": picture, "size": [ROWS, COLS], "ways": ways}

    quadruples = {
        str(agent): [
            {
                "level_seed": 1000 * agent + number,
                "variants": {name: variant(agent, word) for name, word in OUTCOMES.items()},
            }
            for number in range(levels)
        ]
        for agent in range(agents)
    }
    found = {"rule": RULE, "cells": {code: quadruples for code in cells}}
    (folder / "paths.json").write_text(json.dumps(found))
