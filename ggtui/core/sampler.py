"""Chooses the next token from the logits, and watches the text for where to stop.

The chain is llama.cpp's: repeat penalty, top-k, top-p, min-p, temperature. Each filter sees what the ones
before it left.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np
import numpy.typing as npt

from ggtui.core.errors import GgtuiError, UsageError

Logits = npt.NDArray[np.float32]  # (n_vocab,)
Ids = npt.NDArray[np.intp]

MAX_SEED = (1 << 64) - 1
_GROUP = 32


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
    tokens.

    `seed` is the one in use, chosen at random where the parameters have none.
    """

    def __init__(self, params: SamplerParams | None = None) -> None:
        self.params = params or SamplerParams()
        self.seed = secrets.randbits(32) if self.params.seed is None else self.params.seed
        self._random = np.random.Generator(np.random.PCG64(self.seed))

    def sample(self, logits: Logits, recent: Sequence[int] = ()) -> tuple[int, float]:
        """The next token and its log-probability under the model: at temperature 1, before penalty and
        filters.

        logits: float32 (n_vocab,), left as it is; recent: the tokens so far, the newest last.
        Raises GgtuiError if the logits are not all numbers, UsageError if `recent` has a token that does not
        exist.
        """
        log_total = _log_total(logits)
        x = self._penalized(logits, recent)
        if self.params.temp == 0:
            token = int(x.argmax())
        else:
            ids = self._candidates(x)
            # float64: a temperature close to 0 makes huge numbers
            with np.errstate(over="ignore"):
                p = np.exp((x[ids].astype(np.float64) - float(x[ids].max())) / self.params.temp)
            reached = np.cumsum(p)
            at = min(self._random.random() * reached[-1], np.nextafter(reached[-1], 0))
            token = int(ids[np.searchsorted(reached, at, "right")])
        return token, float(logits[token]) - log_total

    def _penalized(self, logits: Logits, recent: Sequence[int]) -> Logits:
        penalty, n = self.params.repeat_penalty, self.params.repeat_last_n
        if penalty == 1 or n == 0 or not len(recent):
            return logits
        ids = np.unique(np.asarray(recent[-n:], np.intp))
        if ids[0] < 0 or ids[-1] >= len(logits):
            raise UsageError(f"recent tokens {ids[0]} to {ids[-1]}: the model has 0 to {len(logits) - 1}")
        x, old = logits.copy(), logits[ids].astype(np.float64)
        limit = np.finfo(np.float32).max
        with np.errstate(over="ignore"):
            x[ids] = np.where(old > 0, old / penalty, old * penalty).clip(-limit, limit)
        return x

    def _candidates(self, x: Logits) -> Ids:
        """The tokens that pass the filters."""
        k, top_p, min_p = self.params.top_k, self.params.top_p, self.params.min_p
        ids = _largest(x, k) if 0 < k < len(x) else np.arange(len(x))
        if top_p < 1:
            ids = ids[_nucleus(x[ids], top_p)]
        if min_p > 0:
            ids = ids[x[ids] >= float(x[ids].max()) + math.log(min_p)]
        return ids


def top(logits: Logits, k: int) -> list[tuple[int, float]]:
    """The k likeliest tokens and their probabilities under the model, likeliest first; of equals the lower
    id.

    Raises GgtuiError if the logits are not all numbers, UsageError for a negative k.
    """
    if k < 0:
        raise UsageError(f"k {k}: must be 0 or more")
    log_total = _log_total(logits)
    return [(int(id), math.exp(float(logits[id]) - log_total)) for id in _largest(logits, k)]


def _log_total(x: Logits) -> float:
    """log(sum(exp(x))), what makes log-probabilities of logits."""
    largest = float(x.max()) if len(x) else math.nan
    if not math.isfinite(largest):  # a NaN anywhere is the largest
        raise GgtuiError("the logits are not all numbers; look for damaged weights with: ggtui inspect --check")
    return largest + math.log(np.exp(x - np.float32(largest)).sum(dtype=np.float64))


def _largest(x: Logits, k: int) -> Ids:
    """The indexes of the k largest, the largest first, of equals the lower one. Does not sort the rest."""
    if k == 0:
        return np.arange(0)
    # The k-th largest of the maxima of any groups is no more than the k-th largest of all, and found much faster.
    n_groups = len(x) // _GROUP
    some = x[: n_groups * _GROUP].reshape(_GROUP, n_groups).max(axis=0) if k < n_groups else x
    at = max(0, len(some) - k)
    ids = np.flatnonzero(x >= np.partition(some, at)[at])
    return ids[np.argsort(-x[ids], kind="stable")][:k]


def _nucleus(x: Logits, top_p: float) -> Ids:
    """The indexes of the largest, as few as together have the probability `top_p`."""
    p = np.exp(x.astype(np.float64) - float(x.max()))
    wanted = top_p * p.sum()
    n = 256  # nearly always enough, and saves sorting a whole vocabulary
    while True:
        ids = _largest(x, n)
        reached = np.cumsum(p[ids])
        if reached[-1] >= wanted or n >= len(x):
            return ids[: int(np.searchsorted(reached, wanted)) + 1]
        n *= 8


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
