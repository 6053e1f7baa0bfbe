"""Counter-based random numbers in named streams.

A draw depends on (seed, stream, counter) and on nothing else, so a level is the same at any batch
size, in any order and on any number of threads, and one stream can be consumed without moving
another. The mixer is the finaliser of SplitMix64 (Steele, Lea & Flood 2014, "Fast splittable
pseudorandom number generators").

Functions here are scalar rules: they run as plain Python and compiled alike (see compile.py).
"""

from enum import IntEnum
from typing import NamedTuple

import numpy as np


class Stream(IntEnum):
    """What a random number is used for."""

    LAYOUT = 0  # walls, ground, pits
    ITEMS = 1  # places of objects that are not the cue
    CUE = 2  # the cue, intact, broken or shifted
    LOOK = 3  # colours and textures
    DYNAMICS = 4  # whatever moves or flickers during the episode
    BROKEN = 5  # whether a training level takes the broken draw


NUM_STREAMS = len(Stream)


class Rng(NamedTuple):
    """Generator state of n environments."""

    seed: np.ndarray  # uint64 [n], the level seed
    counter: np.ndarray  # int64 [n, NUM_STREAMS], draws taken from each stream


def empty_rng(n: int) -> Rng:
    return Rng(np.zeros(n, np.uint64), np.zeros((n, NUM_STREAMS), np.int64))


def mix(bits):
    """SplitMix64's finaliser: uint64 -> uint64, a bijection."""
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))


def combine(key, value):
    """A new uint64 key from a uint64 key and an integer."""
    return mix(key + np.uint64(0x9E3779B97F4A7C15) * np.uint64(value + 1))


def seed_rng(i, rng, seed):
    """Restart all streams of environment i at `seed` (uint64)."""
    rng.seed[i] = seed
    for stream in range(NUM_STREAMS):
        rng.counter[i, stream] = 0


def next_bits(i, rng, stream):
    """The next uint64 of a stream of environment i."""
    counter = rng.counter[i, stream]
    rng.counter[i, stream] = counter + 1
    return combine(combine(rng.seed[i], stream), counter)


def randint(i, rng, stream, n):
    """The next integer in [0, n) of a stream of environment i; n < 2^31."""
    high = next_bits(i, rng, stream) >> np.uint64(32)
    return np.int64((high * np.uint64(n)) >> np.uint64(32))


def randint_once(i, rng, stream, what, n):
    """An integer in [0, n) that belongs to the seed: the same in every attempt to draw a level, so
    that refusing crowded levels does not make it smaller. `what`: which of such numbers, < 2^20."""
    high = combine(combine(rng.seed[i], stream), (1 << 40) + what) >> np.uint64(32)
    return np.int64((high * np.uint64(n)) >> np.uint64(32))


def bernoulli(i, rng, stream, probability):
    """True with the given probability: the next draw of a stream of environment i."""
    high = next_bits(i, rng, stream) >> np.uint64(11)
    return np.float64(high) * 2.0**-53 < probability
