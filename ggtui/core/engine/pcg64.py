"""The random numbers of numpy.random.Generator(PCG64(seed)), without the import of numpy.random: that takes 11 ms, and
one number a token is wanted.

The generator is PCG XSL RR 128/64 (O'Neill 2014, https://www.pcg-random.org), seeded by numpy's SeedSequence.
"""

from __future__ import annotations

from itertools import cycle, permutations

_MULTIPLIER = 0x2360ED051FC65DA44385DF649FCCF645
_32, _64, _128 = (1 << 32) - 1, (1 << 64) - 1, (1 << 128) - 1
_POOL = 4  # words of 32 bits


class Pcg64:
    """Random numbers for a seed of at most 64 bits."""

    def __init__(self, seed: int) -> None:
        w = _mixed(seed)
        state, sequence = ((w[i + 1] << 96 | w[i] << 64 | w[i + 3] << 32 | w[i + 2]) for i in (0, 4))
        self._increment = (sequence << 1 | 1) & _128
        self._state = ((self._increment + state) * _MULTIPLIER + self._increment) & _128

    def random(self) -> float:
        """The next number, from 0 to below 1: a multiple of 2**-53."""
        self._state = state = (self._state * _MULTIPLIER + self._increment) & _128
        folded, turn = (state >> 64 ^ state) & _64, state >> 122
        return ((folded >> turn | folded << (64 - turn) & _64) >> 11) * 2.0**-53


class _Hash:
    """SeedSequence's: each value is scrambled with a constant that changes with every use."""

    def __init__(self, constant: int, multiplier: int) -> None:
        self._constant, self._multiplier = constant, multiplier

    def __call__(self, value: int) -> int:
        value ^= self._constant
        self._constant = self._constant * self._multiplier & _32
        value = value * self._constant & _32
        return value ^ value >> 16


def _mixed(seed: int) -> list[int]:
    """Eight words of 32 bits out of a seed."""
    hashed = _Hash(0x43B0D7E5, 0x931E8875)
    pool = [hashed(seed >> 32 * i & _32) for i in range(_POOL)]
    for src, dst in permutations(range(_POOL), 2):
        value = 0xCA01F9DD * pool[dst] - 0x4973F715 * hashed(pool[src]) & _32
        pool[dst] = value ^ value >> 16
    hashed = _Hash(0x8B51F9DD, 0x58F38DED)
    return [hashed(word) for word, _ in zip(cycle(pool), range(2 * _POOL), strict=False)]
