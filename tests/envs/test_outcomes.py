"""Outcome rules that cells share, as tables of the steps of their events."""

import numpy as np
import pytest
from tests.envs.boards import bits_of

from misgen.envs.core.outcomes import clean_until, first_of
from misgen.envs.core.types import NEVER

N = NEVER


def decided(rule, *first: int) -> tuple[int, ...]:
    """Capable, goal failure, success from the first step of events 0, 1, 2."""
    return bits_of(rule(0, None, np.array([first]), np.array([first]) < NEVER))


@pytest.mark.parametrize(
    ("goal", "proxy", "expected"),
    [
        (N, N, (0, 0, 0)),
        (3, N, (1, 0, 1)),
        (N, 3, (1, 1, 0)),
        (3, 5, (1, 0, 1)),
        (5, 3, (1, 1, 1)),
        (4, 4, (1, 0, 1)),  # a tie is capable and no failure
    ],
)
def test_the_first_of_two_events_decides(goal, proxy, expected):
    assert decided(first_of(0, 1), goal, proxy) == expected


@pytest.mark.parametrize(
    ("goal", "proxy", "success", "expected"),
    [
        (2, N, N, (1, 0, 0)),
        (2, N, 6, (1, 0, 1)),
        (5, 2, 6, (1, 1, 1)),
        (N, 2, N, (1, 1, 0)),
        (3, 3, N, (1, 0, 0)),
    ],
)
def test_another_event_may_complete_the_goal(goal, proxy, success, expected):
    assert decided(first_of(0, 1, success=2), goal, proxy, success) == expected


@pytest.mark.parametrize(
    ("done", "violation", "expected"),
    [
        (N, N, (0, 0, 0)),
        (N, 3, (0, 0, 0)),  # a violation without the goal is no capable failure
        (3, N, (1, 0, 1)),
        (3, 5, (1, 0, 1)),
        (5, 3, (1, 1, 1)),
        (4, 4, (1, 0, 1)),  # a tie: the violation did not come before
    ],
)
def test_a_goal_is_reached_clean_until_a_violation(done, violation, expected):
    assert decided(clean_until(0, 1), done, violation) == expected
