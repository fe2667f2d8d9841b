"""Chooses the next token from the logits, and watches the text for where to stop.

The chain is llama.cpp's: repeat penalty, top-k, top-p, min-p, temperature. Each filter sees what the ones
before it left. csrc/text/sample.c does the work.
"""

from __future__ import annotations

import math
import os
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np
import numpy.typing as npt

from ggtui.core.errors import GgtuiError, LogitsError, UsageError
from ggtui.core.runtime.cpu.native import ffi, last_error, lib
from ggtui.core.runtime.cpu.pool import Pool

Logits = npt.NDArray[np.float32]  # (n_vocab,)

MAX_SEED = (1 << 64) - 1
NO_NUMBERS = "the logits are not all numbers; look for damaged weights with: ggtui inspect --check"


@dataclass(frozen=True, slots=True)
class SamplerParams:
    """How tokens are chosen. Raises UsageError for a value out of range.

    temp            0 always takes the likeliest token; 1 is the model's own distribution
    top_k           only the k likeliest; 0 is off
    top_p           only the likeliest that together reach this probability; 1 is off
    min_p           only those at least this fraction as likely as the likeliest; 0 is off
    repeat_penalty  divides positive logits of recent tokens and multiplies negative ones; 1 is off
    repeat_last_n   how many recent tokens that concerns
    seed            of the random numbers; None takes a new one for each sampler
    """

    temp: float = 0.9
    top_k: int = 40
    top_p: float = 0.9
    min_p: float = 0.0
    repeat_penalty: float = 1.0
    repeat_last_n: int = 64
    seed: int | None = None

    def __post_init__(self) -> None:
        for name, kind, in_range, wanted in _RANGES:
            value: Any = getattr(self, name)
            if name == "seed" and value is None:
                continue
            if not (isinstance(value, kind) and math.isfinite(value) and in_range(value)):
                raise UsageError(f"{name} {value!r}: must be {wanted}")


_RANGES: tuple[tuple[str, Any, Callable[[Any], bool], str], ...] = (
    ("temp", Real, lambda v: v >= 0, "a number, 0 or more"),
    ("top_k", Integral, lambda v: v >= 0, "a whole number, 0 or more"),
    ("top_p", Real, lambda v: 0 < v <= 1, "a number over 0, up to 1"),
    ("min_p", Real, lambda v: 0 <= v <= 1, "a number from 0 to 1"),
    ("repeat_penalty", Real, lambda v: v > 0, "a number over 0"),
    ("repeat_last_n", Integral, lambda v: v >= 0, "a whole number, 0 or more"),
    ("seed", Integral, lambda v: 0 <= v <= MAX_SEED, f"a whole number from 0 to {MAX_SEED}"),
)


class Sampler:
    """Draws tokens, one random number each, so that the same seed, parameters and logits give the same
    tokens. The numbers are those of random.Random, which are the same on every machine and in every Python.

    `seed` is the one in use, chosen at random where the parameters have none.
    """

    def __init__(self, params: SamplerParams | None = None) -> None:
        self.params = p = params or SamplerParams()
        self.seed = int.from_bytes(os.urandom(4), "little") if p.seed is None else p.seed
        self._random = random.Random(int(self.seed)).random
        self._c = ffi.new("gg_sampler *")
        self._c.temp, self._c.top_p, self._c.min_p = float(p.temp), float(p.top_p), float(p.min_p)
        self._c.repeat_penalty = float(p.repeat_penalty)

    def sample(self, logits: Logits, recent: Sequence[int] = ()) -> tuple[int, float]:
        """The next token and its log-probability under the model: at temperature 1, before penalty and
        filters.

        logits: float32 (n_vocab,), left as it is; recent: the tokens so far, the newest last.
        Raises LogitsError if the logits are not all numbers, UsageError if `recent` has a token that does not
        exist.
        """
        (drawn,) = sample_each(None, (self,), (logits,), (recent,))
        if isinstance(drawn, LogitsError):
            raise drawn
        return drawn

    def _make_room(self, n_vocab: int) -> None:
        self._room = _room(n_vocab)
        self._c.n_vocab, self._c.top_k = n_vocab, min(self.params.top_k, n_vocab)
        self._c.work = ffi.from_buffer(self._room)

    def prepare(self, n_vocab: int, recent: Sequence[int]) -> list[int]:
        """Make ready to draw from so many logits. Returns the tokens that the penalty concerns."""
        if n_vocab != self._c.n_vocab:
            self._make_room(n_vocab)
        n = self.params.repeat_last_n
        if self.params.repeat_penalty == 1 or n == 0 or not len(recent):
            return []
        ids = [int(id) for id in recent[-n:]]
        if min(ids) < 0 or max(ids) >= n_vocab:
            raise UsageError(f"recent tokens {min(ids)} to {max(ids)}: the model has 0 to {n_vocab - 1}")
        return ids

    def begin(self, draw: Any) -> None:
        """Put this sampler and its next random number into a draw."""
        draw.sampler, draw.random = self._c, self._random() if self._c.temp else 0.0


def sample_each(
    pool: Pool | None, samplers: Sequence[Sampler], logits: Sequence[Logits] | Logits, recent: Sequence[Sequence[int]]
) -> list[tuple[int, float] | LogitsError]:
    """What each sampler draws from its row of the logits, as `Sampler.sample` says, each on a thread of the pool. A row
    that is not all numbers gives the error in its place, and the others their tokens.

    logits: float32 (n, n_vocab), left as it is; recent: of each row the tokens so far. Raises UsageError where there
    are not as many of each, for a sampler that is there twice, whose second draw would depend on its first, and for
    tokens that do not exist; then nothing is drawn.
    """
    n = len(samplers)
    if not n == len(logits) == len(recent) or len(set(map(id, samplers))) < n:
        raise UsageError(f"{n} samplers, {len(logits)} rows of logits, {len(recent)} texts: each row needs its own")
    rows = [_floats(row) for row in logits]
    ids = [s.prepare(len(row), tokens) for s, row, tokens in zip(samplers, rows, recent, strict=True)]
    penalized = [ffi.new("int64_t[]", of_one) for of_one in ids]
    draws = ffi.new("gg_draw[]", n)
    for i, sampler in enumerate(samplers):
        sampler.begin(draws[i])
        draws[i].logits, draws[i].recent, draws[i].n_recent = rows[i], penalized[i], len(ids[i])
    if lib.gg_sample(ffi.NULL if pool is None else pool.handle, n, draws) != lib.GG_OK:
        raise GgtuiError(last_error())
    return [(d.token, d.logprob) if d.status == lib.GG_OK else LogitsError(NO_NUMBERS) for d in draws]


def top(logits: Logits, k: int) -> list[tuple[int, float]]:
    """The k likeliest tokens and their probabilities under the model, likeliest first; of equals the lower
    id.

    Raises LogitsError if the logits are not all numbers, UsageError for a negative k.
    """
    if k < 0:
        raise UsageError(f"k {k}: must be 0 or more")
    k = min(k, len(logits))
    tokens, logprobs = ffi.new("int32_t[]", k), ffi.new("double[]", k)
    room = _room(len(logits))
    if lib.gg_top(len(logits), _floats(logits), k, ffi.from_buffer(room), tokens, logprobs) != lib.GG_OK:
        raise LogitsError(NO_NUMBERS)
    return [(tokens[i], math.exp(logprobs[i])) for i in range(k)]


def _floats(logits: Logits) -> Any:
    return ffi.from_buffer("float[]", np.ascontiguousarray(logits, np.float32))


def _room(n_vocab: int) -> npt.NDArray[np.float64]:
    """What C works in; pages that it does not touch cost nothing."""
    return np.empty(lib.gg_sample_room(n_vocab) // 8 + 1)


class StopTexts:
    """Watches text that comes in pieces for stop texts. `found` is the one that came, else None.

    What may be the beginning of a stop text is held back until it is clear. The result does not depend on the
    pieces: the stop text that is complete first ends the text, of several the longest.
    """

    def __init__(self, stops: str | Sequence[str] = ()) -> None:
        """Raises UsageError for an empty stop text, which would end every text at once."""
        self.stops = (stops,) if isinstance(stops, str) else tuple(stops)
        if "" in self.stops:
            raise UsageError("stop '': must be a text of at least one character")
        self.found: str | None = None
        self._held = ""

    def push(self, text: str) -> str:
        """The text that can be shown now. Once a stop text was found, nothing more comes."""
        if self.found is not None:
            return ""
        text = self._held + text
        places = [(text.find(stop) + len(stop), text.find(stop), stop) for stop in self.stops if stop in text]
        if places:
            _, start, self.found = min(places)
            self._held = ""
            return text[:start]
        n = max((self._beginning(text, stop) for stop in self.stops), default=0)
        self._held = text[len(text) - n :]
        return text[: len(text) - n]

    def flush(self) -> str:
        """The text still held back, at the end."""
        text, self._held = self._held, ""
        return text

    @staticmethod
    def _beginning(text: str, stop: str) -> int:
        """How many characters at the end of `text` could begin `stop`."""
        most = min(len(text), len(stop) - 1)
        return next((n for n in range(most, 0, -1) if text.endswith(stop[:n])), 0)
