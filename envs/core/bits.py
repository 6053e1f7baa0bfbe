"""Scalar rules over the bits of an integer."""

import numpy as np

# Position of the lowest set bit of a number < 2^32 (de Bruijn; Leiserson, Prokop & Randall 1998).
DE_BRUIJN = 0x077CB531
LOWEST = np.zeros(32, np.int64)
LOWEST[[((1 << bit) * DE_BRUIJN % 2**32) >> 27 for bit in range(32)]] = np.arange(32)


def bit_count(bits):
    """Number of set bits of an integer >= 0."""
    count = 0
    while bits:
        bits &= bits - 1
        count += 1
    return count


def lowest_bit(bits):
    """1 + the position of the lowest set bit of a number < 2^32; 0 if none is set."""
    if bits == 0:
        return 0
    return 1 + LOWEST[(((bits & -bits) * DE_BRUIJN) & 0xFFFFFFFF) >> 27]
