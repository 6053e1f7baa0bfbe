"""Random numbers: known values, streams that do not disturb each other, uniformity."""

import numpy as np
import pytest

from misgen.envs.core.random import (
    NUM_STREAMS,
    Stream,
    bernoulli,
    combine,
    empty_rng,
    mix,
    next_bits,
    randint,
    seed_rng,
)

pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered")  # uint64 wraps on purpose
N = 20_000


def draws(seed: int, stream: int, n: int) -> np.ndarray:
    """The first n numbers of a stream, without running it."""
    with np.errstate(over="ignore"):
        key = combine(np.uint64(seed), stream)
        return combine(key, np.arange(n, dtype=np.uint64))


def test_the_mixer_is_that_of_splitmix64():
    """The first outputs of Vigna's splitmix64.c with seed 0."""
    expected = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    with np.errstate(over="ignore"):
        assert [int(combine(np.uint64(0), k)) for k in range(3)] == expected


def test_the_mixer_does_not_collide():
    with np.errstate(over="ignore"):
        assert len(np.unique(mix(np.arange(N, dtype=np.uint64)))) == N


def test_a_draw_is_a_function_of_seed_stream_and_counter():
    rng = empty_rng(3)
    for i, seed in enumerate((7, 8, 7)):
        seed_rng(i, rng, np.uint64(seed))
    first = [[int(next_bits(i, rng, Stream.ITEMS)) for _ in range(5)] for i in range(3)]
    assert first[0] == first[2] == draws(7, Stream.ITEMS, 5).tolist()
    assert not set(first[0]) & set(first[1])


def test_one_stream_can_be_consumed_without_moving_another():
    rng = empty_rng(1)
    seed_rng(0, rng, np.uint64(3))
    for _ in range(10):
        next_bits(0, rng, Stream.LAYOUT)
    assert int(next_bits(0, rng, Stream.CUE)) == draws(3, Stream.CUE, 1)[0]
    assert rng.counter[0].tolist() == [10, 0, 1, 0, 0, 0]
    seed_rng(0, rng, np.uint64(3))
    assert not rng.counter.any()


def test_streams_and_neighbouring_seeds_are_uncorrelated():
    columns = [draws(seed, stream, N) for seed in (0, 1, 2) for stream in range(NUM_STREAMS)]
    uniform = np.stack(columns).astype(np.float64) / 2.0**64
    correlation = np.corrcoef(uniform) - np.eye(len(columns))
    assert np.abs(correlation).max() < 5 / np.sqrt(N)
    assert np.abs(uniform.mean(axis=1) - 0.5).max() < 5 * np.sqrt(1 / 12 / N)


@pytest.mark.parametrize("n", [1, 2, 7, 24, 1000])
def test_integers_are_uniform(n):
    rng = empty_rng(1)
    seed_rng(0, rng, np.uint64(5))
    values = np.array([randint(0, rng, Stream.ITEMS, n) for _ in range(4000)])
    assert values.min() >= 0 and values.max() < n
    counts = np.bincount(values, minlength=n)
    assert ((counts - 4000 / n) ** 2 / (4000 / n)).sum() < n - 1 + 6 * np.sqrt(2 * n)


@pytest.mark.parametrize("probability", [0.0, 0.01, 0.5, 1.0])
def test_a_bernoulli_draw_has_its_probability(probability):
    rng = empty_rng(1)
    seed_rng(0, rng, np.uint64(5))
    share = np.mean([bernoulli(0, rng, Stream.BROKEN, probability) for _ in range(4000)])
    spread = np.sqrt(probability * (1 - probability) / 4000)
    assert abs(share - probability) <= 5 * spread
