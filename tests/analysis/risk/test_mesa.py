"""The mesa-optimization index: its arithmetic, and that no probability comes out of it."""

import numpy as np
import pytest

from misgen.analysis.priors import load_priors
from misgen.analysis.risk.mesa import mesa_index
from misgen.analysis.risk.model import RiskModel


def test_the_mean_is_the_product_of_three_means() -> None:
    """Current: U(.1, .4), U(.5, .8), C = 1. Near: U(.3, .7), U(.6, .85), C ~ U(2, sqrt 10)."""
    current, near = (mesa_index(p, draws=200_000) for p in ("current", "near_term"))
    assert np.all(current.severity == 1)
    assert current.values.mean() == pytest.approx(0.25 * 0.65, rel=0.01)
    low, high = 2, np.sqrt(10)
    square = (high**3 - low**3) / (3 * (high - low))
    assert near.values.mean() == pytest.approx(0.5 * 0.725 * square, rel=0.01)
    assert np.median(near.relative_to(current)) > 4


def test_the_exponents_are_parameters() -> None:
    assert mesa_index().exponents == (2.0, 1.5)
    square = mesa_index(capability=3.0, misalignment=0.25, draws=10)
    linear = mesa_index(capability=3.0, misalignment=0.25, exponents=(1.0, 1.0), draws=10)
    assert square.severity == pytest.approx(np.full(10, 9 * 0.125))
    assert linear.severity == pytest.approx(np.full(10, 0.75))
    assert np.array_equal(square.p_emergence, linear.p_emergence)
    with pytest.raises(ValueError, match="equal exponents"):
        square.relative_to(linear)


def test_it_is_no_probability() -> None:
    index = mesa_index("medium_term")
    assert index.values.max() > 1
    p_harmful = RiskModel.from_prior(load_priors(), 4000).predict("extreme").p_harmful_gm
    for attempt in (
        lambda: index * 0.1,
        lambda: 0.1 * index,
        lambda: p_harmful.values * index,
        lambda: index * p_harmful,
        lambda: p_harmful * index,
        lambda: index + index,
        lambda: index / 2.0,
        lambda: index.relative_to(p_harmful),
    ):
        with pytest.raises(TypeError, match=r"no probability.*relative_to"):
            attempt()
    assert any("not a probability" in caveat for caveat in index.caveats)


def test_bad_input() -> None:
    with pytest.raises(ValueError, match=r"current, near_term, medium_term.*'2040'"):
        mesa_index("2040")
    with pytest.raises(ValueError, match="misalignment is within"):
        mesa_index(misalignment=1.5)
    for exponents in ((-1.0, 1.0), (np.inf, 1.0), (1.0, np.nan)):
        with pytest.raises(ValueError, match="exponents are finite numbers of at least 0"):
            mesa_index(exponents=exponents)
    with pytest.raises(ValueError, match="severity must be a finite number"):
        mesa_index("near_term", exponents=(1e6, 1.0))
    with pytest.raises(ValueError, match="draws are at least 1"):
        mesa_index(draws=0)
    with pytest.raises(ValueError, match="capability is within"):
        mesa_index(capability=(3.0, 2.0))


def test_the_seed_fixes_the_draws() -> None:
    one, same, other = (mesa_index("near_term", seed=s) for s in (1, 1, 2))
    assert np.array_equal(one.values, same.values) and not np.array_equal(one.values, other.values)
