"""What a sequence says next: a sampler, what ends the text, and the steps that come out."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol, Self, TypedDict, Unpack

import numpy as np
from numpy.typing import NDArray

from ggtui.core.engine import overflow
from ggtui.core.engine.memory import Sequence as Tokens
from ggtui.core.engine.model import Model
from ggtui.core.engine.sampler import Sampler, SamplerParams, StopTexts
from ggtui.core.engine.steps import Stats, Step, joined
from ggtui.core.errors import LogitsError, UsageError
from ggtui.core.runtime.record import TokenRecord


class Engine(overflow.Engine, Protocol):
    """What this needs of one (engine.Engine)."""

    model: Model
    n_ctx: int

    def read_and_look(
        self, sequence: Tokens, ids: Sequence[int], look: Callable[[int, NDArray[np.float32]], int]
    ) -> tuple[TokenRecord, ...]: ...
    def rewind(self, sequence: Tokens, n_tokens: int) -> None: ...
    def shift(self, sequence: Tokens) -> list[int]: ...


_SAMPLING = ("temp", "top_k", "top_p", "min_p", "repeat_penalty", "seed")


class Options(TypedDict, total=False):
    """How a generation chooses, and what ends it.

    temp (0.9), top_k (40), top_p (0.9), min_p (0), repeat_penalty (1), seed (None: another one each time)   see
             SamplerParams
    stop     texts at which to end; they are not part of the text
    ctx_shift   with a full context drop the older half and read the rest again, at new positions, rather than end
    ignore_eos  go on after an end-of-text token
    answer   tokens of the text that were read before, and last of them the one that is to be chosen first
    """

    temp: float
    top_k: int
    top_p: float
    min_p: float
    repeat_penalty: float
    seed: int | None
    stop: Sequence[str]
    ctx_shift: bool
    ignore_eos: bool
    answer: Sequence[int]


class Generation:
    """An iterator over the next tokens of a sequence, each a Step.

    stop_reason  why it ended: "n_predict", "end of text", "stop text" or "context full"
    Raises, when it goes on, UsageError where other tokens of the sequence were read or forgotten meanwhile,
    ContextFullError for a prompt longer than the context, LogitsError where the model gives no numbers.
    """

    def __init__(
        self,
        engine: Engine,
        sequence: Tokens,
        prompt: str | Sequence[int],
        n_predict: int = 200,
        *,
        stats: Stats | None = None,
        owns: bool = False,
        **options: Unpack[Options],
    ) -> None:
        """Goes on from what the sequence has read, then `prompt`, for up to n_predict tokens. A text that begins
        anew has the token before it that the model's vocabulary wants there, and at least one. `owns`: the sequence is
        closed with it. Raises UsageError for parameters out of range."""
        for name in options.keys() - Options.__annotations__.keys():
            raise TypeError(f"a generation has no option {name!r}")
        if n_predict < 0:
            raise UsageError(f"n-predict {n_predict}: must be at least 0")
        self._engine, self._sequence, self._owns = engine, sequence, owns
        self._stats = Stats() if stats is None else stats
        self._n_predict = n_predict
        self._ctx_shift, self._ignore_eos = options.get("ctx_shift", False), options.get("ignore_eos", False)
        answer, given = options.get("answer", ()), dict[str, Any](options)
        self._sampler = Sampler(SamplerParams(**{name: given[name] for name in _SAMPLING if name in given}))
        self._tokenizer = engine.model.tokenizer
        encode = self._tokenizer.encode if sequence.tokens else self._tokenizer.begin
        ids = encode(prompt) if isinstance(prompt, str) else [int(i) for i in prompt]
        self._pending = [*sequence.tokens[sequence.n_past :], *ids]
        if not self._pending and sequence.n_past == 0:
            self._pending = self._tokenizer.begin("")
        elif not self._pending:
            self._pending = [sequence.tokens[-1]]
            engine.rewind(sequence, len(sequence.tokens) - 1)
        self._stream, self._stops = self._tokenizer.stream(), StopTexts(options.get("stop", ()))
        for token in answer[:-1]:
            self._stops.push(self._stream.push(token))
        self._chosen = answer[-1:]
        self.stop_reason = "n_predict"
        self._n, self._over = 0, n_predict == 0
        self._changes = sequence.reader.changes  # at the last step

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Step:
        if self._over:
            raise StopIteration
        try:
            step = self._next()
        except BaseException:
            self.close()
            raise
        if self._over:
            self.close()
        return step

    def close(self) -> None:
        """End it; what it owns is given back."""
        self._over = True
        if self._owns:
            self._sequence.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if self.__dict__.get("_owns"):
            self._sequence.close_later()

    def _next(self) -> Step:
        engine, sequence, n_vocab = self._engine, self._sequence, self._tokenizer.n_vocab
        sequence.reader.check(self._changes)
        first, pending = self._n == 0, self._pending
        if not first and sequence.n_past + len(pending) > engine.n_ctx:
            if not self._ctx_shift:
                self.stop_reason = "context full"
                raise StopIteration
            pending = engine.shift(sequence)
        token, logprob = 0, 0.0

        def choose(_: int, rows: NDArray[np.float32]) -> int:
            nonlocal token, logprob
            started = time.perf_counter_ns()
            logits = rows[-1, :n_vocab]  # some models have more than tokens, to round the matrix up
            token, logprob = self._sampler.sample(logits, sequence.tokens)
            if self._chosen and first:
                token, logprob = self._chosen[0], logprob + float(logits[self._chosen[0]]) - float(logits[token])
            return time.perf_counter_ns() - started

        try:
            runs = engine.read_and_look(sequence, pending, choose)
        except LogitsError as error:
            raise overflow.blamed(engine, sequence.tokens[: sequence.n_past], error) from None
        record = runs[0] if len(runs) == 1 else joined(runs)
        self._stats.count(record, prompt=first)
        self._stats.sample_ns += record.sample_ns
        self._stats.n_sampled += 1
        return Step(token, self._text(token), logprob, record, runs)

    def _text(self, token: int) -> str:
        """What the chosen token adds to the text; whether it is the last one is decided here."""
        engine, sequence, stream, stops = self._engine, self._sequence, self._stream, self._stops
        if token in self._tokenizer.ends and not self._ignore_eos:
            self.stop_reason, self._over = "end of text", True
            return stops.push(stream.flush()) + stops.flush()
        sequence.tokens.append(token)
        self._pending, self._n, self._changes = [token], self._n + 1, sequence.reader.changes
        text = stops.push(stream.push(token))
        if stops.found:
            self.stop_reason, self._over = "stop text", True
            return text
        self._over = self._n == self._n_predict
        if self._over or (sequence.n_past + 1 > engine.n_ctx and not self._ctx_shift):
            text += stops.push(stream.flush()) + stops.flush()
        return text
