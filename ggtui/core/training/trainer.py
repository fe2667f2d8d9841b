"""Trains a model: the loss of a batch of texts, its gradients, and steps that lower it."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from math import prod, sqrt
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ggtui.core.engine.engine import PROFILES
from ggtui.core.errors import GgtuiError, NumbersError, UsageError
from ggtui.core.files import ModelFile, open_model
from ggtui.core.files.made import MadeModel
from ggtui.core.files.places import BUILT_IN
from ggtui.core.graph.tensor import Tensor
from ggtui.core.models import architecture
from ggtui.core.models.adapters import LORA_A, LORA_B, Adapted, LowRank
from ggtui.core.models.attending import Whole
from ggtui.core.models.base import Placed, TensorSpec, Weights
from ggtui.core.models.loading import Filling, place_weights
from ggtui.core.runtime.cores import here, usable_cores
from ggtui.core.runtime.cpu.codec import decode_rows
from ggtui.core.runtime.cpu.native import lib
from ggtui.core.runtime.cpu.recorder import stamp_ns
from ggtui.core.runtime.device import Executable
from ggtui.core.runtime.record import GraphInfo, MemoryUse, NodeTotal, TokenRecord, Trace
from ggtui.core.runtime.room import free_memory
from ggtui.core.runtime.several import device
from ggtui.core.training.graph import GradientGraph, LossGraph, StepGraph, Trained, check_ids
from ggtui.core.training.optimizers import AdamW, Optimizer
from ggtui.core.training.seeds import generator

Floats = NDArray[np.float32]
MAX_RANK = 1024


class TrainStep(NamedTuple):
    """What a step came to: the loss before it, in nats a token, the length of all gradients together and of each
    tensor's, before they were clipped, and the record of its run."""

    loss: float
    norm: float
    norms: Mapping[str, float]
    record: TokenRecord


class _Planned(NamedTuple):
    graph: Any
    plan: Executable
    recorder: Any
    number: int


class Trainer:
    """A model that learns, in plain f32; with `rank` above 0 an adapter of a model that stays as it is, in the types of
    its file (LoRA, Hu et al. 2021).

    names     of the tensors that learn, as a file has them
    n_params  how many numbers these are; n_weights  how many the model has
    n_steps   taken so far
    n_ctx     the longest text that the model was made for; n_vocab  how many tokens it knows
    alpha     of an adapter: what it adds is multiplied with alpha / rank

    >>> trainer = Trainer("model.gguf"); loss, gradients = trainer.loss_and_gradients(ids); trainer.step(ids)
    """

    def __init__(
        self,
        model: str | Path | ModelFile | None = None,
        *,
        optimizer: Optimizer | None = None,
        rate: float = 1e-3,
        clip: float = 1.0,
        rank: int = 0,
        alpha: float | None = None,
        seed: int = 0,
        threads: int | None = None,
        record: str = "off",
        recompute: bool = False,
        isa: str | None = None,
        device_name: str = "cpu",
    ) -> None:
        """`model`: a file, an open one, or None for the built-in model. `rate`: of steps that say none; `clip`: the
        longest that all gradients of a step together may be, 0 for no limit. `seed`: of what an adapter begins with.
        `record`: "full", "light" or "off". `recompute`: what a layer computes is computed again on the way back: that
        takes more time and far less memory, and the bits are the same.

        Raises UsageError for numbers out of range, ModelFileError for a model that ggtui does not run, GgtuiError where
        there is no memory for its weights.
        """
        if clip < 0 or rate < 0:
            raise UsageError(f"clip {clip}, rate {rate}: must be at least 0")
        if not 0 <= rank <= MAX_RANK:
            raise UsageError(f"rank {rank}: must be 0 to {MAX_RANK}")
        if record not in PROFILES:
            raise UsageError(f"profile {record!r}: choose one of {', '.join(PROFILES)}")
        self.optimizer: Optimizer = AdamW() if optimizer is None else optimizer
        self.rate, self.clip, self.rank = rate, clip, rank
        self.alpha = float(2 * rank if alpha is None else alpha)
        self.n_steps, self.profile, self.recompute = 0, record, recompute
        self.began_ns = time.perf_counter_ns()
        self._device, self._isa = device(device_name), isa
        self.pool = self._device.pool(usable_cores() if threads is None else threads)
        file = model if isinstance(model, ModelFile) else open_model(BUILT_IN if model is None else model)
        try:
            self._read(file, seed)
        finally:
            if file is not model:
                file.close()
        self._planned: dict[str, _Planned] = {}
        self._infos: list[GraphInfo] = []
        self._numbers: dict[tuple[str, int, int], int] = {}  # of each kind and size that was planned, its place there
        self._running: Executable | None = None
        self._stopping = threading.RLock()

    def _read(self, file: ModelFile, seed: int) -> None:
        arch = architecture(file)
        h: Any = arch.hparams(file)
        specs = arch.specs(h, file)
        self.path, self.metadata, self.architecture = file.path, dict(file.metadata), arch
        self.n_ctx, self.n_vocab = int(h.n_ctx), int(h.n_vocab)
        self._layers = arch.layers(h)
        kept: Mapping[str, TensorSpec]
        if self.rank:
            ranked = {n: spec.ne for n, spec in specs.items() if spec.use == "matrix" and n.startswith("blk.")}
            if not ranked:
                raise UsageError(f"{file.path}: has no matrices in layers that an adapter could be of")
            arrays, kept = self._adapters(ranked, seed), specs
            base = sum(info.n_bytes for info in file.tensors.values())
            check_room(file.path, sum(array.size for array in arrays.values()), self.optimizer, base)
        else:
            check_room(file.path, sum(prod(spec.ne) for spec in specs.values()), self.optimizer)
            kept = {n: spec for n, spec in specs.items() if spec.use == "constant"}
            learns = {n: spec for n, spec in specs.items() if n in file.tensors and n not in kept}
            arrays = {n: _floats(file, n).reshape(spec.ne[::-1]) for n, spec in learns.items()}
        self._base: dict[str, Tensor] = place_weights(file, kept, self._device, packed=False)
        with Filling(file, self._base, self.pool.threads) as filling:
            filling.finish()
        self.trained = Trained(arrays, len(self.optimizer.kept))
        self.names = tuple(arrays)
        self.n_params = sum(array.size for array in arrays.values())
        self.n_weights = sum(t.n_elements for t in self._base.values()) + (0 if self.rank else self.n_params)
        weights: Weights = Placed({**self._base, **self.trained.weights})
        if self.rank:
            made = self.trained.weights
            pairs = {
                n: LowRank(made[n + LORA_A], made[n + LORA_B], self.alpha / self.rank)
                for n in self._base
                if n + LORA_A in made
            }
            weights = Adapted(weights, pairs)
        self._build = partial(arch.build, h, weights)
        del arrays
        lib.gg_trim_heap()  # what the file's tensors passed through leaves much there

    def _adapters(self, matrices: Mapping[str, tuple[int, ...]], seed: int) -> dict[str, Floats]:
        """A from a normal distribution and B of zeros: what they add begins with nothing."""
        made = {}
        for name, (n_in, n_out) in matrices.items():
            a = generator(seed, *name.encode()).standard_normal((self.rank, n_in), np.float32)
            made[name + LORA_A] = a / np.float32(sqrt(n_in))
            made[name + LORA_B] = np.zeros((n_out, self.rank), np.float32)
        return made

    # ---- what is asked of it ----
    def loss(self, ids: Any) -> float:
        """The mean loss of a batch, in nats a token. ids: whole numbers (batch, n + 1), n of each text read and the n
        after its first ones asked. Raises UsageError for others."""
        graph, _ = self._run("loss", ids)
        return graph.result()

    def logits(self, ids: Any) -> Floats:
        """Of each token of a batch that is read: float32 (batch n, n_vocab), where they lie until the next call."""
        graph, _ = self._run("loss", ids)
        values: Floats = graph.logits.numpy()
        return values

    def loss_and_gradients(self, ids: Any, targets: NDArray[np.int32] | None = None) -> tuple[float, dict[str, Floats]]:
        """The mean loss of a batch, in nats a token, and its gradient of each tensor: float32, (out, in) or (n,). Each
        token is asked for the next one, or for that of `targets`, i32 (batch, n)."""
        graph, _ = self._run("gradients", ids, targets=targets)
        assert isinstance(graph, GradientGraph)
        return graph.result(), {name: t.numpy().copy() for name, t in graph.gradients.items()}

    def step(self, ids: Any, rate: float | None = None) -> TrainStep:
        """Lower the loss of a batch by a step. Raises UsageError for no such batch, then nothing is done; NumbersError
        for a loss that is no number, after the step; GgtuiError where it was stopped: then some weights may have taken
        it."""
        graph, record = self._run("step", ids, self.rate if rate is None else rate)
        assert isinstance(graph, StepGraph)
        self.n_steps += 1
        norms = graph.norms()
        found = TrainStep(graph.result(), sqrt(sum(n * n for n in norms.values())), norms, record)
        if not np.isfinite(found.loss) or not np.isfinite(found.norm):
            raise NumbersError(f"step {self.n_steps}: the loss is {found.loss}, its gradients {found.norm} long")
        return found

    def stop(self) -> None:
        """End what is under way at its next node; from any thread."""
        with self._stopping:
            if self._running is not None:
                self._running.stop()

    # ---- weights ----
    def weights(self) -> dict[str, Floats]:
        """Of what learns, where it lies: float32 (out, in) or (n,)."""
        return {name: self.trained.array(name) for name in self.names}

    def constant(self) -> dict[str, Floats]:
        """Copies of what does not learn, in f32: of an adapter's all tensors of its model."""
        return {name: t.numpy().astype(np.float32).reshape(t.shape) for name, t in self._base.items()}

    def states(self) -> dict[str, Floats]:
        """Of each tensor its weights and what the optimizer keeps, where they lie: float32 (1 + kept, n)."""
        return {name: state.numpy() for name, state in self.trained.states.items()}

    def restore(self, states: Mapping[str, Floats], n_steps: int) -> None:
        """Go on from such states. Raises UsageError for others than this trainer has."""
        mine = self.states()
        for name, state in mine.items():
            if name not in states or states[name].shape != state.shape:
                raise UsageError(f"tensor {name}: what was saved of it is not of this model and optimizer")
        for name, state in mine.items():
            state[:] = states[name]
        self.n_steps = n_steps

    def model(self) -> MadeModel:
        """The model as it is now, for who loads or writes it. Of an adapter's: its matrices merged into the model's, in
        f32."""
        arrays, made = self.constant(), self.weights()
        if not self.rank:
            return MadeModel(str(self.path), self.metadata, {**arrays, **made})
        for name in arrays:
            if name + LORA_A in made:
                arrays[name] += np.float32(self.alpha / self.rank) * (made[name + LORA_B] @ made[name + LORA_A])
        return MadeModel(str(self.path), self.metadata, arrays)

    # ---- runs ----
    def prepare(self, batch: int, n_ctx: int) -> int:
        """Plan steps of such batches; returns the bytes that training by them takes in all. Raises GgtuiError where the
        machine has no room for what a step computes."""
        self._plan("step", batch, n_ctx)
        use, free = self.memory(), free_memory()
        need = use.batch_activations + use.scratch
        if free is not None and need > free:
            gb = f"{need / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free"
            less = "smaller batches or texts" if self.recompute else "smaller batches or texts, or recompute layers"
            raise GgtuiError(f"steps of {batch} x {n_ctx} tokens take {gb}; take {less}")
        return use.weights + use.optimizer + use.batch_activations + use.scratch + use.records

    def _plan(self, kind: str, batch: int, n_ctx: int) -> _Planned:
        planned = self._planned.get(kind)
        if planned is not None and (planned.graph.batch, planned.graph.n_ctx) == (batch, n_ctx):
            return planned
        self._planned.pop(kind, None)  # one of a kind: they are large
        whole = Whole(self._layers, batch, n_ctx)
        sizes = (self._build, whole, batch, n_ctx)
        graph: LossGraph
        if kind == "step":
            graph = StepGraph(*sizes, self.trained, self.optimizer, self._decays, recompute=self.recompute)
        elif kind == "gradients":
            graph = GradientGraph(*sizes, self.trained, recompute=self.recompute)
        else:
            graph = LossGraph(*sizes)
            graph.keep(graph.logits)
        plan = graph.plan(isa=self._isa, device_name=self._device.name)
        plan.use_huge_pages()
        info = replace(plan.info(self.pool.threads), n_tokens=batch * n_ctx)
        number = self._numbers.setdefault((kind, batch, n_ctx), len(self._numbers))
        self._infos[number : number + 1] = [info]  # one made anew, of the same sizes, is the same graph
        recorder = plan.recorder(self.profile, self.pool.threads)
        self._planned[kind] = _Planned(graph, plan, recorder, number)
        return self._planned[kind]

    def _decays(self, name: str) -> bool:
        """Matrices do; vectors, norms and biases don't."""
        return self.trained.weights[name].n_rows > 1

    def _run(
        self, kind: str, ids: Any, rate: float = 0.0, targets: NDArray[np.int32] | None = None
    ) -> tuple[LossGraph, TokenRecord]:
        found = check_ids(ids, self.n_vocab, self.n_ctx)
        batch, n_ctx = found.shape[0], found.shape[1] - 1
        graph, plan, recorder, number = self._plan(kind, batch, n_ctx)
        graph.fill(found, targets)
        if kind == "step":
            graph.tell(self.n_steps + 1, rate, self.clip)
        with self._stopping:
            self._running = plan
        started = time.perf_counter_ns()
        try:
            plan.show()
            told = plan.run(self.pool, None, recorder)
        finally:
            with self._stopping:
                self._running = None
                plan.forget_stop()
        ns = time.perf_counter_ns() - started
        records = recorder.take() if self.profile == "full" else ()
        unscheduled, dropped = recorder.told() if told and recorder else ((), 0)
        n = batch * n_ctx
        record = TokenRecord(
            0, n, ns, 0, number, records, dropped, 0, started - self.began_ns, unscheduled, n, training=True
        )
        return graph, record

    # ---- traces ----
    def memory(self) -> MemoryUse:
        """Bytes by owner, now."""
        kept = len(self.optimizer.kept)
        plans = list(self._planned.values())
        return MemoryUse(
            weights=4 * self.n_params + sum(t.n_bytes for t in self._base.values()),
            batch_activations=sum(p.plan.arena_bytes for p in plans),
            scratch=sum(p.plan.scratch_bytes(self.pool.threads) for p in plans),
            records=sum(p.recorder.n_bytes for p in plans if p.recorder),
            optimizer=4 * self.n_params * kept,
        )

    def graphs(self) -> tuple[GraphInfo, ...]:
        """Those that records point at by `graph`."""
        return tuple(self._infos)

    def totals(self) -> tuple[NodeTotal, ...]:
        """A light profile's sums, of the graphs that there are still plans of."""
        light = list(self._planned.values()) if self.profile == "light" else ()
        return tuple(total for p in light for total in p.recorder.node_totals(p.number))

    def trace(self, steps: list[TokenRecord] | tuple[TokenRecord, ...]) -> Trace:
        """A trace of these runs."""
        run = here(
            device=self._device.name, isa=next(iter(self._planned.values())).plan.isa if self._planned else "",
            threads=self.pool.threads, model=self.path.name, architecture=str(self.metadata["general.architecture"]),
            types={"f32": 4 * self.n_params}, n_ctx=max((p.graph.n_ctx for p in self._planned.values()), default=0),
            batch=max((p.graph.batch for p in self._planned.values()), default=0), fused=True, profile=self.profile,
            stamp_ns=stamp_ns(self.pool.threads),
        )  # fmt: skip
        return Trace(self.graphs(), tuple(steps), self.memory(), run, self.totals())


def check_room(name: str | Path, n_params: int, optimizer: Optimizer, base: int = 0) -> None:
    """Raise GgtuiError where weights, gradients and what the optimizer keeps have no room, with `base` bytes of what
    does not learn."""
    need, free = base + 4 * n_params * (2 + len(optimizer.kept)), free_memory()
    if free is not None and need > free:
        gb = f"{need / 1e9:.1f} GB for weights, gradients and the optimizer, and {free / 1e9:.1f} GB are free"
        raise GgtuiError(f"{name}: training it takes {gb}; take a smaller model, or an adapter (rank)")


def _floats(file: ModelFile, name: str) -> Floats:
    return np.asarray(decode_rows(file.tensors[name].type, file.rows(name)[:]), np.float32)
