"""Sessions: a model in memory, the tokens it has read, and what it says next."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from ggtui.core.engine.batch import MAX_OUTPUTS, Piece
from ggtui.core.engine.engine import Engine
from ggtui.core.engine.model import Model
from ggtui.core.engine.one_reader import OneReader
from ggtui.core.engine.overflow import blamed
from ggtui.core.engine.run_info import run_info
from ggtui.core.engine.sampler import Sampler, SamplerParams, StopTexts, top
from ggtui.core.engine.steps import Stats, Step, joined
from ggtui.core.errors import LogitsError, UsageError
from ggtui.core.files import ModelFile
from ggtui.core.graph.tensor import Tensor
from ggtui.core.models.store import Store
from ggtui.core.runtime.busy import Watch
from ggtui.core.runtime.record import GraphInfo, MemoryUse, RunInfo, TokenRecord, Trace
from ggtui.core.vocab.bpe import Tokenizer, TokenStream

Evaluated = tuple[NDArray[np.float32], tuple[TokenRecord, ...]]  # logits, and the record of each batch


class Session:
    """One model and one sequence. `load` makes one; `close` or a `with` gives back what it holds at once, else its last
    reference.

    model, engine, sequence   what it runs, on what, and what it has read
    n_past  tokens in the context; tokens  which they are, and after them, when a generation has ended, the last token
            chosen, which the model has not read yet
    logits  of the last token read, float32 (n_vocab,)
    stop_reason  why the last generation ended: "n_predict", "end of text", "stop text" or "context full"
    """

    def __init__(
        self,
        path: str | Path | ModelFile | None = None,
        *,
        device: str = "cpu",
        threads: int | None = None,
        **options: Any,
    ) -> None:
        started = time.perf_counter_ns()
        self._closed = False
        self._reader = OneReader()

        def ready(model: Model) -> None:
            self.engine = Engine(model, threads=threads, **options)

        self.model = Model(path, device=device, threads=threads, meanwhile=ready)
        self.sequence = self.engine.open()
        self.logits: NDArray[np.float32] = np.zeros(self.hparams.n_vocab, np.float32)
        self.stop_reason = ""
        self.stats, self.watch = Stats(), Watch()
        self.stats.load_ns = time.perf_counter_ns() - started

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give back weights, cache and threads now. Afterwards nothing can be read or generated."""
        if not self._closed:
            self._closed = True
            del self.model, self.engine, self.sequence

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Only asked for what is not there: after `close`, all that it gave back."""
            if self.__dict__.get("_closed"):
                self._check_open()
            raise AttributeError(f"a session has no {name!r}")

    def _check_open(self) -> None:
        if self._closed:
            raise UsageError("the session is closed; load the model again")

    @property
    def path(self) -> Path:
        return self.model.path

    @property
    def hparams(self) -> Any:
        return self.model.hparams

    @property
    def metadata(self) -> dict[str, Any]:
        return self.model.metadata

    @property
    def weights(self) -> dict[str, Tensor]:
        return self.model.weights

    @property
    def tokenizer(self) -> Tokenizer:
        return self.model.tokenizer

    @property
    def n_ctx(self) -> int:
        return int(self.engine.n_ctx)

    @property
    def batch(self) -> int:
        return int(self.engine.batch)

    @property
    def threads(self) -> int:
        return self.engine.threads

    @property
    def pool(self) -> Any:
        return self.engine.pool

    @property
    def options(self) -> dict[str, Any]:
        return self.engine.options

    @property
    def kv_type(self) -> str:
        return self.engine.kv_type

    @property
    def fused(self) -> bool:
        return self.engine.fused

    @property
    def profile(self) -> str:
        return self.engine.profile

    @property
    def isa(self) -> str:
        return self.engine.isa

    @property
    def device(self) -> str:
        return self.engine.device.name

    @property
    def kv(self) -> Store:
        return self.engine.memory.store

    @property
    def tokens(self) -> list[int]:
        return self.sequence.tokens

    @property
    def n_past(self) -> int:
        return self.sequence.n_past

    @property
    def recording(self) -> bool:
        """Whether runs are recorded, as `profile` says."""
        return self.engine.recording

    @recording.setter
    def recording(self, on: bool) -> None:
        self.engine.recording = on

    def reset(self) -> None:
        """Forget all tokens."""
        self.rewind(0)

    def rewind(self, n_tokens: int) -> None:
        """Forget all but the first `n_tokens` tokens."""
        if not 0 <= n_tokens <= len(self.tokens):
            raise UsageError(f"rewind: {n_tokens} is not 0 to {len(self.tokens)}")
        self._reader.changes += 1
        known = self.sequence.rewind(min(n_tokens, self.n_past))
        del self.tokens[n_tokens:]
        if known < min(n_tokens, self.n_past):
            self._eval(self.tokens[known:])

    def eval(self, ids: Sequence[int], all_logits: bool = False) -> NDArray[np.float32]:
        """Read `ids` after what was read before.

        Returns the logits of the last token, float32 (n_vocab,), or of each of `ids`, (n_tokens, n_vocab).
        Raises UsageError for no tokens or a token that does not exist, ContextFullError when they don't fit; then
        nothing is read.
        """
        with self._reader:
            del self.tokens[self.n_past :]
            return self._eval(ids, all_logits=all_logits)[0]

    def _eval(self, ids: Sequence[int], *, all_logits: bool = False) -> Evaluated:
        """`eval`, and the record of each batch."""
        self._check_open()
        tokens = np.asarray(ids, np.int64).reshape(-1)
        self.engine.check(self.sequence, tokens)
        self._reader.changes += 1
        self.engine.expect(self.sequence, len(tokens))
        rows = np.empty((len(tokens) if all_logits else 1, self.hparams.n_vocab), np.float32)
        runs = []
        most = min(self.batch, MAX_OUTPUTS) if all_logits else self.batch
        for at in range(0, len(tokens), most):
            part = tokens[at : at + most]
            wanted = range(len(part)) if all_logits else (-1,)
            logits, record = self.engine.step([Piece(self.sequence, part, wanted)])
            runs.append(record)
            rows[at if all_logits else 0 :][: len(logits)] = logits
        self.logits = rows[-1]
        return (rows if all_logits else rows[0]), tuple(runs)

    def generate(
        self,
        prompt: str | Sequence[int],
        n_predict: int = 200,
        *,
        temp: float = 0.9,
        top_k: int = 40,
        top_p: float = 0.9,
        min_p: float = 0.0,
        repeat_penalty: float = 1.0,
        seed: int | None = None,
        stop: Sequence[str] = (),
        ctx_shift: bool = False,
        ignore_eos: bool = False,
        answer: Sequence[int] = (),
    ) -> Iterator[Step]:
        """Go on from what was read, then `prompt`, for up to `n_predict` tokens. Without any token at all it starts
        from the model's end-of-text token, as a text begins after another one ended.

        `stop`: texts at which to end; they are not part of the text. `ctx_shift`: with a full context drop the older
        half and read the rest again, at new positions, rather than end. Afterwards `stop_reason` says why it ended.
        `answer`: tokens of the text that were read before, and last of them the one that is to be chosen first.
        Raises UsageError for parameters out of range and where other tokens were read or forgotten meanwhile,
        ContextFullError for a prompt longer than the context, LogitsError where the model gives no numbers.
        """
        if n_predict < 0:
            raise UsageError(f"n-predict {n_predict}: must be at least 0")
        params = SamplerParams(temp, top_k, top_p, min_p, repeat_penalty, seed=seed)
        sampler = Sampler(params)
        ids = self.tokenizer.encode(prompt) if isinstance(prompt, str) else [int(i) for i in prompt]
        pending = [*self.tokens[self.n_past :], *ids]
        if not pending and self.n_past == 0:
            pending = [self.tokenizer.eos if self.tokenizer.eos is not None else 0]
        elif not pending:
            pending = [self.tokens[-1]]
            self.rewind(self.n_past - 1)
        texts = stream, stops = self.tokenizer.stream(), StopTexts(stop)
        for token in answer[:-1]:
            stops.push(stream.push(token))
        return self._generate(pending, n_predict, sampler, texts, ctx_shift, ignore_eos, answer[-1:])

    def _generate(
        self, pending: list[int], n_predict: int, sampler: Sampler, texts: tuple[TokenStream, StopTexts],
        ctx_shift: bool, ignore_eos: bool, chosen: Sequence[int],
    ) -> Iterator[Step]:  # fmt: skip
        self.stop_reason = "n_predict"
        stream, stops = texts
        changes = self._reader.changes
        for n in range(n_predict):
            self._reader.check(changes)
            if n and self.n_past + len(pending) > self.n_ctx:
                if not ctx_shift:
                    self.stop_reason = "context full"
                    break
                pending = self.shift()
            with self._reader:
                logits, runs = self._eval(pending)
            record = runs[0] if len(runs) == 1 else joined(runs)
            self.stats.count(record, prompt=n == 0)
            started = time.perf_counter_ns()
            try:  # some models have more logits than tokens, to round the matrix up
                token, logprob = sampler.sample(logits[: self.tokenizer.n_vocab], self.tokens)
            except LogitsError as error:
                raise blamed(self.engine, self.tokens[: self.n_past], error) from None
            if chosen and n == 0:
                token, logprob = chosen[0], logprob + float(logits[chosen[0]]) - float(logits[token])
            sample_ns = time.perf_counter_ns() - started
            self.stats.sample_ns += sample_ns
            self.stats.n_sampled += 1
            record = replace(record, sample_ns=sample_ns)
            runs = (record,) if len(runs) == 1 else (*runs[:-1], replace(runs[-1], sample_ns=sample_ns))
            if token == self.tokenizer.eos and not ignore_eos:
                self.stop_reason = "end of text"
                yield Step(token, stops.push(stream.flush()) + stops.flush(), logprob, record, runs)
                return
            self.tokens.append(token)
            pending = [token]
            text = stops.push(stream.push(token))
            if stops.found:
                self.stop_reason = "stop text"
                yield Step(token, text, logprob, record, runs)
                return
            last = n == n_predict - 1 or (self.n_past + 1 > self.n_ctx and not ctx_shift)
            if last:
                text += stops.push(stream.flush()) + stops.flush()
            changes = self._reader.changes
            yield Step(token, text, logprob, record, runs)

    def shift(self) -> list[int]:
        """Make room in a full context: forget all, and return the newer half of the tokens, to be read anew."""
        kept = self.tokens[-(self.n_ctx // 2) :] if self.n_ctx > 1 else self.tokens[-1:]
        self.reset()
        return kept

    def top(self, k: int) -> list[tuple[int, float]]:
        """The k likeliest tokens after the last one read, with their probabilities under the model, likeliest first.
        Raises LogitsError, as `generate` does, where the logits are not all numbers."""
        try:
            return top(self.logits[: self.tokenizer.n_vocab], k)
        except LogitsError as error:
            raise blamed(self.engine, self.tokens[: self.n_past], error) from None

    def memory(self) -> MemoryUse:
        """Bytes by owner, now."""
        return self.engine.memory_use()

    def graphs(self) -> tuple[GraphInfo, ...]:
        """The graphs that token records point at by `graph`."""
        return self.engine.graphs()

    def clear_totals(self) -> None:
        """Begin a light profile's sums anew, and what is said of how busy the machine is."""
        self.watch.begin()
        self.engine.clear_totals()

    def trace(self, tokens: Iterable[TokenRecord]) -> Trace:
        """A trace of the given evaluations, to save or show; of a light profile with the sums since clear_totals()."""
        return Trace(self.graphs(), tuple(tokens), self.memory(), self.run_info(), self.engine.totals())

    def run_info(self) -> RunInfo:
        """What this session runs, where and how."""
        return run_info(self)

    def stop(self) -> None:
        """End the evaluation under way, if there is one, at its next node; from any thread."""
        if not self._closed:
            self.engine.stop()


def load(path: str | Path | ModelFile | None = None, **options: Any) -> Session:
    """Load a model, or without a path the built-in one. An open file stays open.

    Options: threads (default: the cores this process may use), ctx (tokens of context, at most the model's own,
    which is the default), kv_type ("f16" or "f32"), batch (tokens read at once), isa, device, fused, record ("full"
    or True: node records in each Step; "light": only their sums, in `trace()`), rest (True: threads may, where fewer
    are faster beside other programs). Prints nothing. Raises UsageError, ModelFileError, MissingPartError.
    """
    return Session(path, **options)
