"""Faults of sweeps cost what they hit only; faults.py has the counts of many more trials."""

import pytest
from tests.experiments.faults import harm, trials


@pytest.mark.slow
def test_faults_cost_nothing_that_was_finished():
    for fault, total in trials(2, others=1, seed=14):
        assert not harm(total), fault
