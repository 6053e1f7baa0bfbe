"""The figures are deterministic, legible PNGs that need no display."""

import struct

import numpy as np
import pytest

from misgen.analysis.figures import ArmDots, Panel, goal_failure_figure

PANEL = Panel(
    "coinrun moderate, variant 11",
    [
        ArmDots("d=0", np.array([0.9, 0.8, np.nan, 0.85]), 0.85, 0.6, 0.93),
        ArmDots("d=1", np.array([0.0, 0.01]), 0.005, np.nan, np.nan),
    ],
    {"proxy planner": 1.0, "intended planner": 0.0, "random": np.nan},
)


def test_equal_arguments_give_equal_bytes() -> None:
    first, again = goal_failure_figure([PANEL]), goal_failure_figure([PANEL])
    assert first == again
    assert first.startswith(b"\x89PNG")
    assert b"Software" not in first


def test_eight_cells_fill_two_rows() -> None:
    width, height = struct.unpack(">II", goal_failure_figure([PANEL] * 8)[16:24])
    assert width > 1200 and 500 < height < width


def test_no_panel_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one panel; got none"):
        goal_failure_figure([])
