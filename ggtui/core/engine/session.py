"""Sessions: a model in memory, the tokens it has read, and what it says next."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from ggtui.core.engine.one_reader import OneReader
from ggtui.core.engine.overflow import blamed
from ggtui.core.engine.run_info import run_info
from ggtui.core.engine.runner import Runner
from ggtui.core.engine.sampler import Sampler, SamplerParams, StopTexts, top
from ggtui.core.engine.steps import Stats, Step, joined
from ggtui.core.errors import ContextFullError, LogitsError, ModelFileError, UsageError
from ggtui.core.files import ModelFile, open_model
from ggtui.core.models import architecture
from ggtui.core.models.base import Inputs, ModelGraph, check_tensors, make_inputs
from ggtui.core.models.kv_cache import KVCache
from ggtui.core.models.loading import Packing, place_weights
from ggtui.core.runtime.busy import Watch
from ggtui.core.runtime.context import Context
from ggtui.core.runtime.cores import usable_cores
from ggtui.core.runtime.device import device as device_called
from ggtui.core.runtime.record import GraphInfo, MemoryUse, NodeRecord, RunInfo, TokenRecord, Trace
from ggtui.core.vocab import vocabulary
from ggtui.core.vocab.bpe import TokenStream

BUILT_IN = Path(__file__).parents[2] / "data" / "tales.gguf"
MAX_BATCH = 4096
PROFILES = ("off", "light", "full")
Evaluated = tuple[NDArray[np.float32], tuple[TokenRecord, ...]]  # logits, and the record of each batch


class Session:
    """A loaded model. `load` makes one; `close` or a `with` gives back what it holds at once, else its last reference.

    n_past  tokens in the context; tokens  which they are, and after them, when a generation has ended, the last token
            chosen, which the model has not read yet
    logits  of the last token read, float32 (n_vocab,)
    metadata  of the model file, without its lists
    stop_reason  why the last generation ended: "n_predict", "end of text", "stop text" or "context full"
    """

    def __init__(
        self,
        path: str | Path | ModelFile | None = None,
        *,
        threads: int | None = None,
        ctx: int | None = None,
        kv_type: str = "f16",
        batch: int = 512,
        isa: str | None = None,
        device: str = "cpu",
        fused: bool = True,
        record: bool | str = False,
        rest: bool = True,
    ) -> None:
        started = self._made_ns = time.perf_counter_ns()
        if not 1 <= batch <= MAX_BATCH:
            raise UsageError(f"batch {batch}: must be 1 to {MAX_BATCH}")
        if ctx is not None and ctx < 1:
            raise UsageError(f"ctx {ctx}: must be at least 1")
        if isinstance(record, str) and record not in PROFILES:
            raise UsageError(f"profile {record!r}: choose one of {', '.join(PROFILES)}")
        self._device = device_called(device)
        self.pool = self._device.pool(usable_cores() if threads is None else threads, rest=rest)
        file = path if isinstance(path, ModelFile) else open_model(BUILT_IN if path is None else path)
        arch = architecture(file)
        h: Any = arch.hparams(file)
        self.path, self.hparams = file.path, h
        specs = arch.tensors(h)
        check_tensors(file, specs)
        self._context = Context(huge_pages=True)
        self.metadata = {key: value for key, value in file.metadata.items() if isinstance(value, str | int | float)}
        self.n_ctx = min(ctx or h.n_ctx, h.n_ctx)
        self.batch = min(batch, self.n_ctx)
        self.kv = self.new_cache(kv_type)
        self._kv_bytes_per_token = self.kv.bytes_per_token
        self.kv_type = kv_type
        self._build = arch.build
        self._isa, self.fused = isa, fused
        self.profile = record if isinstance(record, str) else "full" if record else "off"
        self.recording = True
        self._closed = False
        self._runners: dict[tuple[int, bool], Runner] = {}
        self._running: Runner | None = None
        self._stopping = threading.RLock()  # a signal handler may stop what its own thread is about to run
        self._reader = OneReader()
        self.tokens: list[int] = []
        self.n_past = 0
        self.logits: NDArray[np.float32] = np.zeros(h.n_vocab, np.float32)
        self.stop_reason = ""
        self.stats, self.watch = Stats(), Watch()
        self.weights = place_weights(file, specs, self._context, self._device.layout)
        with Packing(file, self.weights, self.pool.threads) as packing:  # in C, while Python does the rest
            self.tokenizer = vocabulary(file.metadata, file.path)
            if self.tokenizer.n_vocab > self.hparams.n_vocab:
                problem = f"{self.tokenizer.n_vocab} tokens, but logits for {self.hparams.n_vocab}"
                raise ModelFileError(self.path, "tokenizer.ggml.tokens", problem)
            self._one = self._runner(1, all_logits=False)
            packing.finish()
        if file is not path:
            file.close()
        self.stats.load_ns = time.perf_counter_ns() - started

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give back weights, cache and threads now. Afterwards nothing can be read or generated."""
        if self._closed:
            return
        self._closed = True
        self._runners.clear()
        self.weights = {}
        del self._one, self.kv, self._context, self.pool

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
    def threads(self) -> int:
        return int(self.pool.threads)

    @property
    def device(self) -> str:
        return self._device.name

    @property
    def options(self) -> dict[str, Any]:
        """What `Graph.plan` makes a graph ready with to run as this session's do, but for fusion."""
        return {"isa": self._isa, "device_name": self.device}

    @property
    def isa(self) -> str:
        self._check_open()
        return self._one.plan.isa

    def _runner(self, n_tokens: int, *, all_logits: bool) -> Runner:
        """The runner for so many tokens: one for a single token and one for all larger batches."""
        capacity = 1 if n_tokens == 1 else self.batch
        key = (capacity, all_logits and capacity > 1)
        if key not in self._runners:
            graph, inputs = self.new_graph(capacity, last_only=not all_logits)
            plan = graph.plan(fused=self.fused, **self.options)
            recorder = plan.recorder(self.profile, self.threads)
            self._runners[key] = Runner(len(self._runners), inputs, graph, plan, recorder, capacity)
        return self._runners[key]

    def new_cache(self, kv_type: str) -> KVCache:
        """Room for the keys and values of as many tokens as this session's context holds."""
        h = self.hparams
        return KVCache(h.n_layer, h.d_head, h.n_head_kv, self.n_ctx, kv_type, self._device.layout)

    def new_graph(
        self, n_tokens: int, *, last_only: bool = False, kv: KVCache | None = None
    ) -> tuple[ModelGraph, Inputs]:
        """The model's graph for up to `n_tokens` tokens, over this session's weights and cache, not planned yet.

        `last_only`: logits of the last token alone; `kv`: a cache in place of the session's.
        """
        self._check_open()
        inputs = make_inputs(n_tokens, self.n_ctx, last_only=last_only)
        return self._build(self.hparams, self.weights, kv or self.kv, inputs), inputs

    def reset(self) -> None:
        """Forget all tokens."""
        self.rewind(0)

    def rewind(self, n_tokens: int) -> None:
        """Forget all but the first `n_tokens` tokens."""
        if not 0 <= n_tokens <= len(self.tokens):
            raise UsageError(f"rewind: {n_tokens} is not 0 to {len(self.tokens)}")
        self._reader.changes += 1
        del self.tokens[n_tokens:]
        self.n_past = min(self.n_past, n_tokens)

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
        n_vocab = self.hparams.n_vocab
        if not len(tokens):
            raise UsageError("eval: no tokens")
        if tokens.min() < 0 or tokens.max() >= n_vocab:
            bad = int(tokens[(tokens < 0) | (tokens >= n_vocab)][0])
            raise UsageError(f"eval: token {bad} is not 0 to {n_vocab - 1}")
        if self.n_past + len(tokens) > self.n_ctx:
            larger = " or a larger --ctx" if self.n_ctx < self.hparams.n_ctx else ""
            raise ContextFullError(
                f"{len(tokens)} tokens after {self.n_past} don't fit into the context of {self.n_ctx}; "
                f"use a shorter prompt{larger}"
            )
        self._reader.changes += 1
        self.kv.make_room(self.n_past, len(tokens))
        rows = np.empty((len(tokens) if all_logits else 1, n_vocab), np.float32)
        runs = []
        for at in range(0, len(tokens), self.batch):
            part = tokens[at : at + self.batch]
            runner = self._runner(len(part), all_logits=all_logits)
            logits, record = self._run(runner, part)
            runs.append(record)
            rows[at if all_logits else 0 :][: len(logits)] = logits
        self.logits = rows[-1]
        return (rows if all_logits else rows[0]), tuple(runs)

    def _run(self, runner: Runner, part: NDArray[np.int64]) -> tuple[NDArray[np.float32], TokenRecord]:
        """One run of a plan; the logits are those of its memory, overwritten by the next."""
        n, n_past, inputs = len(part), self.n_past, runner.inputs
        runner.take_memory(n)
        if runner.capacity == 1:
            for other in self._runners.values():
                other.give_memory_back()
        sizes = inputs.fill(part, n_past)
        recorder = runner.recorder if self.recording else None
        with self._stopping:
            self._running = runner
        started = time.perf_counter_ns()
        try:
            runner.plan.run(self.pool, sizes, recorder)
        finally:
            with self._stopping:
                self._running = None
                runner.plan.forget_stop()
        ns = time.perf_counter_ns() - started
        del self.tokens[self.n_past :]
        self.tokens.extend(part.tolist())
        self.n_past += n
        records: Sequence[NodeRecord] = ()
        dropped = 0
        if recorder is not None and self.profile == "full":
            records, dropped = recorder.take()
        unscheduled = recorder.unscheduled() if recorder is not None else ()
        kv_bytes, start_ns = self.n_past * self._kv_bytes_per_token, started - self._made_ns
        record = TokenRecord(n_past, n, ns, 0, runner.index, records, dropped, kv_bytes, start_ns, unscheduled)
        return runner.graph.logits.numpy().reshape(-1, self.hparams.n_vocab), record

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
                raise blamed(self, error) from None
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
            raise blamed(self, error) from None

    def memory(self) -> MemoryUse:
        """Bytes by owner, now."""
        self._check_open()
        batch = [r.plan.arena_bytes for r in self._runners.values() if r.capacity > 1]
        mapped = sum(t.n_bytes for t in self.weights.values() if not t.packed)
        records = sum(r.recorder.n_bytes for r in self._runners.values() if r.recorder)
        scratch = sum(r.plan.scratch_bytes(self.threads) for r in self._runners.values())
        packed = sum(t.n_bytes for t in self.weights.values() if t.packed)
        return MemoryUse(packed + mapped, self.kv.n_bytes, self._one.plan.arena_bytes, sum(batch), scratch, records)

    def graphs(self) -> tuple[GraphInfo, ...]:
        """The graphs that token records point at by `graph`."""
        self._check_open()
        return tuple(r.plan.info(self.threads) for r in self._runners.values())

    def clear_totals(self) -> None:
        """Begin a light profile's sums anew, and what is said of how busy the machine is."""
        self.watch.begin()
        for runner in self._runners.values():
            if self.profile == "light":
                runner.recorder.clear()

    def trace(self, tokens: Iterable[TokenRecord]) -> Trace:
        """A trace of the given evaluations, to save or show; of a light profile with the sums since clear_totals()."""
        light = self._runners.values() if self.profile == "light" else ()
        totals = [total for r in light for total in r.recorder.node_totals(r.index)]
        return Trace(self.graphs(), tuple(tokens), self.memory(), self.run_info(), tuple(totals))

    def run_info(self) -> RunInfo:
        """What this session runs, where and how."""
        return run_info(self)

    def stop(self) -> None:
        """End the evaluation under way, if there is one, at its next node; from any thread."""
        with self._stopping:
            if self._running is not None:
                self._running.plan.stop()


def load(path: str | Path | ModelFile | None = None, **options: Any) -> Session:
    """Load a model, or without a path the built-in one. An open file stays open.

    Options: threads (default: the cores this process may use), ctx (tokens of context, at most the model's own,
    which is the default), kv_type ("f16" or "f32"), batch (tokens read at once), isa, device, fused, record ("full"
    or True: node records in each Step; "light": only their sums, in `trace()`), rest (True: threads may, where fewer
    are faster beside other programs). Prints nothing. Raises UsageError, ModelFileError, MissingPartError.
    """
    return Session(path, **options)
