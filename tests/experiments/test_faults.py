"""Processes of a sweep that are killed at random moments cost what they were doing only."""

import pytest
from tests.experiments.faults import COLUMNS, HARMLESS, trials


@pytest.mark.slow
def test_kills_at_random_moments_lose_nothing_that_was_finished():
    for fault, total in trials(3):
        wrong = {name: total[name] for name in COLUMNS if name not in HARMLESS and total[name]}
        assert total["trials"] == 3 and not wrong, (fault, wrong)
