"""The engine: what a model's tokens are run with, for any number of sequences."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from collections.abc import Sequence as Seq
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, Self, Unpack

import numpy as np
from numpy.typing import NDArray

from ggtui.core.engine.batch import MAX_OUTPUTS, Feed, Piece, Runner
from ggtui.core.engine.generation import Generation, Options
from ggtui.core.engine.locks import ForkedLock
from ggtui.core.engine.memory import UNKNOWN, Memory, Sequence
from ggtui.core.engine.model import Model
from ggtui.core.errors import ContextFullError, UsageError
from ggtui.core.models.attending import Paged
from ggtui.core.models.base import ModelGraph, make_inputs
from ggtui.core.runtime.cores import usable_cores
from ggtui.core.runtime.device import Executable
from ggtui.core.runtime.record import GraphInfo, MemoryUse, NodeRecord, NodeTotal, TokenRecord

MAX_BATCH = 4096
Look = Callable[[NDArray[np.float32]], int]  # at logits (n, n_vocab); returns nanoseconds that choosing took
PROFILES = ("off", "light", "full")


class StepRecord(NamedTuple):
    """What a step gave: logits (n_outputs, n_vocab), overwritten by the next one, and the record of its run."""

    logits: NDArray[np.float32]
    record: TokenRecord


def check_options(
    *, batch: int = 512, ctx: int | None = None, record: bool | str = False, n_sequences: int = 1, **_: Any
) -> None:
    """Raise UsageError for options of an Engine that are out of range; others are not looked at."""
    if not 1 <= batch <= MAX_BATCH:
        raise UsageError(f"batch {batch}: must be 1 to {MAX_BATCH}")
    if ctx is not None and ctx < 1:
        raise UsageError(f"ctx {ctx}: must be at least 1")
    if n_sequences < 1:
        raise UsageError(f"n_sequences {n_sequences}: must be at least 1")
    if isinstance(record, str) and record not in PROFILES:
        raise UsageError(f"profile {record!r}: choose one of {', '.join(PROFILES)}")


class Engine:
    """Plans, their inputs, and the pages of the sequences that it reads; steps are taken one at a time.

    n_ctx  tokens of a sequence at most; batch  tokens of a step at most; recording  whether runs are, as `profile` says
    """

    def __init__(
        self,
        model: Model,
        *,
        threads: int | None = None,
        ctx: int | None = None,
        kv_type: str = "f16",
        batch: int = 512,
        isa: str | None = None,
        fused: bool = True,
        record: bool | str = False,
        rest: bool = True,
        n_sequences: int = 1,
    ) -> None:
        check_options(batch=batch, ctx=ctx, record=record, n_sequences=n_sequences)
        self.began_ns = time.perf_counter_ns()
        self.model, self.device = model, model.device
        self.weights, self._build = model.weights, model.graph
        self.pool = self.device.pool(usable_cores() if threads is None else threads, rest=rest)
        self.n_ctx = min(ctx or model.hparams.n_ctx, model.hparams.n_ctx)
        self.batch = min(batch, self.n_ctx * n_sequences)
        self.kv_type = kv_type
        self._isa, self.fused = isa, fused
        self.profile = record if isinstance(record, str) else "full" if record else "off"
        self.recording = True
        self.memory = self.new_memory(kv_type, n_sequences)
        self._kv_bytes_per_token = self.memory.store.bytes_per_token
        self._runners: dict[int, Runner] = {}
        self._running: Runner | None = None
        self._lies: Sequence | None = None  # whose logits lie where a run put them
        self._stopping = threading.RLock()  # a signal handler may stop what its own thread is about to run
        self.alone = ForkedLock()  # held during a step, and by whoever else uses pages and threads
        self._closed = False
        self.one = self._runner(1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give back plans, threads and pages. Nothing is read any more."""
        with self.alone:
            if not self._closed:
                self._closed = True
                self._make_way(())
                self._runners.clear()
                self.memory.close()
                del self.one, self.memory, self.pool, self.weights, self._build

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Only asked for what is not there: after `close`, all that it gave back."""
            if self.__dict__.get("_closed"):
                self._check_open()
            raise AttributeError(f"an engine has no {name!r}")

    def _check_open(self) -> None:
        if self._closed:
            raise UsageError("the engine is closed; make another one of its model")

    @property
    def options(self) -> dict[str, Any]:
        """What `Graph.plan` makes a graph ready with to run as this engine's do, but for fusion."""
        return {"isa": self._isa, "device_name": self.device.name}

    @property
    def threads(self) -> int:
        return int(self.pool.threads)

    @property
    def isa(self) -> str:
        return str(self.one.plan.isa)

    def open(self) -> Sequence:
        """A new sequence. Raises UsageError where there are n_sequences already."""
        self._check_open()
        return self.memory.open()

    def new_memory(self, kv_type: str, n_sequences: int = 1) -> Memory:
        """Room for the keys and values of so many sequences."""
        return Memory(self.model.layers, self.n_ctx, kv_type, self.device, batch=self.batch, n_sequences=n_sequences)

    def new_graph(
        self, n_tokens: int, n_outputs: int | None = None, memory: Memory | None = None
    ) -> tuple[ModelGraph, Feed]:
        """The model's graph for up to n_tokens tokens, of which up to n_outputs (None: all) give logits, over this
        engine's memory or another one, and what fills its inputs; not planned yet."""
        memory = memory or self.memory
        inputs = make_inputs(n_tokens, n_outputs, memory.store.group_of, memory.tables, self.device.context())
        return self._build(Paged(memory.store, inputs.layers), inputs), Feed(inputs, memory)

    def _runner(self, n_tokens: int) -> Runner:
        """The runner for so many tokens: one for a single token and one for all larger batches."""
        capacity = 1 if n_tokens == 1 else self.batch
        if capacity not in self._runners:
            graph, feed = self.new_graph(capacity, min(capacity, MAX_OUTPUTS))
            plan = graph.plan(fused=self.fused, **self.options)
            recorder = plan.recorder(self.profile, self.threads)
            logits = graph.logits.bytes().view(np.float32).reshape(-1, self.model.hparams.n_vocab)
            self._runners[capacity] = Runner(len(self._runners), graph, feed, plan, recorder, capacity, logits)
        return self._runners[capacity]

    def prepare(self) -> None:
        """Plan what reads several tokens, which is else done when they come."""
        self._runner(self.batch)

    def check(self, sequence: Sequence, tokens: Seq[int] | NDArray[np.int64]) -> None:
        """Raise UsageError for no tokens or one that does not exist, ContextFullError where they don't fit."""
        n, n_vocab = len(tokens), self.model.hparams.n_vocab
        if not n:
            raise UsageError("eval: no tokens")
        if n > 1 or not 0 <= tokens[0] < n_vocab:
            ids = np.asarray(tokens)
            if ids.min() < 0 or ids.max() >= n_vocab:
                bad = int(ids[(ids < 0) | (ids >= n_vocab)][0])
                raise UsageError(f"eval: token {bad} is not 0 to {n_vocab - 1}")
        if sequence.n_past + n > self.n_ctx:
            larger = " or a larger --ctx" if self.n_ctx < self.model.hparams.n_ctx else ""
            raise ContextFullError(
                f"{n} tokens after {sequence.n_past} don't fit into the context of {self.n_ctx}; "
                f"use a shorter prompt{larger}"
            )

    def check_owner(self, sequence: Sequence) -> None:
        """Raise UsageError for a closed sequence, and one of another engine."""
        sequence.check_open()
        if sequence.memory is not self.memory:
            raise UsageError("the sequence is another engine's")

    def _check_step(self, pieces: Seq[Piece], n: int) -> None:
        """Raise what `step` does before it begins."""
        self._check_open()
        if not pieces:
            raise UsageError("step: no pieces")
        if len(pieces) > 1 and len({id(p.sequence) for p in pieces}) < len(pieces):
            raise UsageError("step: a sequence is there twice; give its tokens as one piece")
        n_outputs, most = sum(len(p.outputs) for p in pieces), min(n, MAX_OUTPUTS)
        if not 1 <= n <= self.batch or not 1 <= n_outputs <= most:
            raise UsageError(
                f"step: {n} tokens, {n_outputs} with logits; there may be 1 to {self.batch}, and 1 to {most}"
            )
        for p in pieces:
            self.check_owner(p.sequence)
            self.check(p.sequence, p.tokens)
            for i in p.outputs:
                if not -len(p.tokens) <= i < len(p.tokens):
                    raise UsageError(f"step: logits of token {i} of {len(p.tokens)}")

    def read(
        self, sequence: Sequence, ids: Seq[int], *, all_logits: bool = False
    ) -> tuple[NDArray[np.float32], tuple[TokenRecord, ...]]:
        """Read tokens after those that a sequence has read. Returns the logits of the last one, float32 (n_vocab,), or
        of each, (n_tokens, n_vocab), and the record of each step.

        Raises what `check` does, then nothing is read; UsageError while another thread reads on the sequence.
        """
        rows = np.empty((len(ids) if all_logits else 1, self.model.hparams.n_vocab), np.float32)

        def keep(at: int, logits: NDArray[np.float32]) -> int:
            rows[at if all_logits else 0 :][: len(logits)] = logits
            return 0

        runs = self.read_and_look(sequence, ids, keep, all_logits=all_logits)
        return (rows if all_logits else rows[0]), runs

    def read_and_look(
        self,
        sequence: Sequence,
        ids: Seq[int],
        look: Callable[[int, NDArray[np.float32]], int],
        *,
        all_logits: bool = False,
    ) -> tuple[TokenRecord, ...]:
        """As `read`, but nothing is copied: `look(at, logits)` is called while the logits lie where they were computed,
        (n, n_vocab), of n tokens, the first of them `at`; of the last one alone, or with `all_logits` of each step's.
        It returns what its step is to have as `sample_ns`."""
        self._check_open()
        with sequence.reader:
            tokens = np.asarray(ids, np.int64).reshape(-1)
            most = min(self.batch, MAX_OUTPUTS) if all_logits else self.batch
            if len(tokens) != 1:
                self.check(sequence, tokens)  # all of them, before any is read
                self.check_owner(sequence)
                self.memory.expect(len(tokens))
            runs = []
            for at in range(0, len(tokens), most):
                part = tokens[at : at + most]
                pieces = [Piece(sequence, part, range(len(part)) if all_logits else (-1,))]
                last = at + len(part) == len(tokens)
                with self.alone:
                    logits, record = self.step(pieces, partial(look, at) if all_logits or last else None)
                    sequence.logits, self._lies = logits[-1], sequence
                runs.append(record)
            return tuple(runs)

    def logits_of(self, sequence: Sequence) -> NDArray[np.float32]:
        """A copy of the logits of the last token that a sequence has read, float32 (n_vocab,); empty before there is
        one. Where they are not known that token is read again; on the CPU its logits have the same bits. Where that is
        stopped, it counts as still to be read. Raises UsageError where another thread reads tokens of the sequence
        then."""
        with self.alone:
            if not len(sequence.logits) and sequence.n_past:
                self._read_last_again(sequence)
            return sequence.logits.copy()

    def _read_last_again(self, sequence: Sequence) -> None:
        with sequence.reader:
            n_past, kept, changes = sequence.n_past, sequence.tokens.copy(), sequence.reader.changes
            try:
                self.rewind(sequence, n_past - 1)
                self.read(sequence, kept[n_past - 1 : n_past])
                sequence.reader.changes = changes  # nobody's tokens are others now
            finally:
                sequence.tokens[:] = kept

    def _make_way(self, pieces: Seq[Piece]) -> None:
        """For a step of these, which overwrites the logits that lie where it puts its own: those of a sequence that it
        is not of are kept."""
        lies, self._lies = self._lies, None
        for p in pieces:
            p.sequence.logits = UNKNOWN
        if lies is not None and len(lies.logits):
            lies.logits = lies.logits.copy()

    def rewind(self, sequence: Sequence, n_tokens: int) -> None:
        """Have a sequence forget all but its first n_tokens tokens, read or chosen; what a window has passed of these
        is read again. Where that is stopped, what is left of it counts as still to be read."""
        with sequence.reader:
            if not 0 <= n_tokens <= len(sequence.tokens):
                raise UsageError(f"rewind: {n_tokens} is not 0 to {len(sequence.tokens)}")
            read, kept = min(n_tokens, sequence.n_past), sequence.tokens[:n_tokens]
            known = sequence.rewind(read)
            try:
                if known < read:
                    self.read(sequence, kept[known:read])
            finally:
                sequence.tokens[:] = kept

    def shift(self, sequence: Sequence) -> list[int]:
        """Make room in a full context: forget all, and return the newer half of the tokens, to be read anew."""
        with sequence.reader:
            kept = sequence.tokens[-(self.n_ctx // 2) :] if self.n_ctx > 1 else sequence.tokens[-1:]
            sequence.rewind(0)
            sequence.tokens.clear()
            return kept

    def submit(self, prompt: str | Seq[int], n_predict: int = 200, **options: Unpack[Options]) -> Generation:
        """A generation of a sequence of its own, which ends with it. Several may be read in turns, or from several
        threads. Raises UsageError where there are n_sequences already, and for options out of range."""
        sequence = self.open()
        try:
            return Generation(self, sequence, prompt, n_predict, owns=True, **options)
        except BaseException:
            sequence.close()
            raise

    def step(self, pieces: Seq[Piece], look: Look | None = None) -> StepRecord:
        """Read pieces of different sequences, at most `batch` tokens in all, of which at most 64 give logits. `look` is
        called with these when the tokens are read.

        Raises UsageError for more of them, and what `check` does; then nothing is read. Raises what `look` does.
        """
        n, held = sum(len(p.tokens) for p in pieces), []
        with self.alone:
            self._check_step(pieces, n)
            try:
                for p in pieces:
                    p.sequence.reader.__enter__()
                    held.append(p.sequence)
                for p in pieces:
                    p.sequence.make_room(len(p.tokens))
                runner = self._runner(n)
                self._make_way(pieces)
                return self._run(runner, pieces, n, look)
            except BaseException:
                for sequence in held:
                    sequence.give_room_back()
                raise
            finally:
                for sequence in held:
                    sequence.reader.__exit__()

    def _run(self, runner: Runner, pieces: Seq[Piece], n: int, look: Look | None) -> StepRecord:
        runner.take_memory(n)
        if runner.capacity == 1:
            for other in self._runners.values():
                other.give_memory_back()
        sizes = runner.feed.fill(pieces)
        recorder = runner.recorder if self.recording else None
        with self._stopping:
            self._running = runner
        started = time.perf_counter_ns()
        try:
            told = runner.plan.run(self.pool, sizes, recorder)
        finally:
            with self._stopping:
                self._running = None
                runner.plan.forget_stop()
        ns = time.perf_counter_ns() - started
        first = pieces[0].sequence
        n_past = first.n_past
        parts: tuple[tuple[int, int, int], ...] = ()
        if len(pieces) > 1:
            parts = tuple((p.sequence.number, p.sequence.n_past, len(p.tokens)) for p in pieces)
        for p in pieces:
            p.sequence.add(p.tokens)
        records: Seq[NodeRecord] = recorder.take() if recorder is not None and self.profile == "full" else ()
        unscheduled, dropped = recorder.told() if told and recorder else ((), 0)
        kv_bytes = sum(p.sequence.n_past for p in pieces) * self._kv_bytes_per_token
        start_ns = started - self.began_ns
        n_outputs = sizes.get("n_outputs", 1)
        logits = runner.logits[:n_outputs]
        sample_ns = 0 if look is None else look(logits)
        record = TokenRecord(
            n_past, n, ns, sample_ns, runner.index, records, dropped, kv_bytes, start_ns, unscheduled, n_outputs, parts,
            first.number,
        )  # fmt: skip
        return StepRecord(logits, record)

    def stop(self) -> None:
        """End the step under way, if there is one, at its next node; from any thread."""
        with self._stopping:
            if self._running is not None:
                self._running.plan.stop()

    def memory_use(self) -> MemoryUse:
        """Bytes by owner, now."""
        runners = list(self._runners.values())
        weights = sum(t.n_bytes for t in self.weights.values())
        batch = sum(r.plan.arena_bytes for r in runners if r.capacity > 1)
        records = sum(r.recorder.n_bytes for r in runners if r.recorder)
        scratch = sum(r.plan.scratch_bytes(self.threads) for r in runners)
        return MemoryUse(weights, self.memory.store.n_bytes, self.one.plan.arena_bytes, batch, scratch, records)

    def plans(self) -> tuple[Executable, ...]:
        """What ran so far, in the order of `graphs`."""
        return tuple(r.plan for r in list(self._runners.values()))

    def graphs(self) -> tuple[GraphInfo, ...]:
        """The graphs that token records point at by `graph`."""
        return tuple(r.plan.info(self.threads) for r in list(self._runners.values()))

    def clear_totals(self) -> None:
        """Begin a light profile's sums anew."""
        if self.profile == "light":
            for runner in list(self._runners.values()):
                runner.recorder.clear()

    def totals(self) -> tuple[NodeTotal, ...]:
        """A light profile's sums since then."""
        light = list(self._runners.values()) if self.profile == "light" else ()
        return tuple(total for r in light for total in r.recorder.node_totals(r.index))
