"""Trains a model: the loss of a batch of texts, its gradients, and steps that lower it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import astuple, replace
from functools import partial
from math import prod, sqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from ggtui.core.engine.engine import PROFILES, Engine
from ggtui.core.engine.locks import ForkedLock
from ggtui.core.errors import NumbersError, UsageError
from ggtui.core.files import ModelFile, open_model
from ggtui.core.files.made import MadeModel
from ggtui.core.files.places import BUILT_IN
from ggtui.core.graph.tensor import Tensor
from ggtui.core.models import architecture
from ggtui.core.models.adapters import LORA_A, LORA_B, Adapted, check_alpha, low_rank_pairs, scale_of
from ggtui.core.models.attending import Whole
from ggtui.core.models.base import Placed, TensorSpec, Weights
from ggtui.core.models.loading import Filling, place_weights
from ggtui.core.runtime.cores import here, usable_cores
from ggtui.core.runtime.cpu.codec import decode_rows
from ggtui.core.runtime.cpu.native import lib
from ggtui.core.runtime.cpu.recorder import stamp_ns
from ggtui.core.runtime.device import Executable
from ggtui.core.runtime.record import GraphInfo, MemoryUse, NodeTotal, TokenRecord, Trace
from ggtui.core.runtime.several import device
from ggtui.core.training.checks import check_number, check_room, check_weights, check_whole
from ggtui.core.training.graph import GradientGraph, LossGraph, StepGraph, Trained, check_ids, check_targets, low_rank
from ggtui.core.training.live import LiveModel, go_on
from ggtui.core.training.optimizers import AdamW, Optimizer, check_optimizer

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
    n_params  how many numbers these are
    n_steps   taken so far
    n_ctx     the longest text that the model was made for; n_vocab  how many tokens it knows
    alpha     of an adapter: what it adds is multiplied with alpha / rank

    Any thread may call it: one call runs at a time, others wait. What a call gives "where it lies", the next one
    overwrites. `close` or a `with` gives back what it holds at once, else its last reference.

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
        longest that all gradients of a step together may be, 0 for no limit. `alpha`: above 0; None for twice the rank.
        `seed`: of what an adapter begins with. `record`: "full", "light" or "off". `recompute`: what a layer computes
        is computed again on the way back: that takes more time and far less memory, and the bits are the same.

        Raises UsageError for numbers out of range, ModelFileError for a model that ggtui does not run, GgtuiError where
        there is no memory for its weights.
        """
        self._closed = False
        if not isinstance(model, str | Path | ModelFile | None):
            what = f"a path or an open model file, not a {type(model).__name__}"
            raise UsageError(f"model: must be {what}, whose weights are packed to be run; give its path")
        check_number("clip", clip)
        check_number("rate", rate)
        check_whole("rank", rank, 0, MAX_RANK)
        if alpha is not None:
            check_alpha(alpha, rank)
        if record not in PROFILES:
            raise UsageError(f"profile {record!r}: choose one of {', '.join(PROFILES)}")
        self.optimizer: Optimizer = AdamW() if optimizer is None else optimizer
        check_optimizer(self.optimizer)
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
        self._live: LiveModel | None = None
        self._running: Executable | Engine | None = None
        self._stopping = threading.RLock()
        self._alone = ForkedLock()  # held by the call that runs

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give back weights, plans and threads now. Nothing is trained or read any more."""
        with self._alone:
            if not self._closed:
                self._closed = True
                del self.pool, self.trained, self._base, self._build, self._planned, self._live
                lib.gg_trim_heap()

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Only asked for what is not there: after `close`, all that it gave back."""
            if self.__dict__.get("_closed"):
                raise UsageError("the trainer is closed; make another one")
            raise AttributeError(f"a trainer has no {name!r}")

    def _read(self, file: ModelFile, seed: int) -> None:
        arch = architecture(file)
        h: Any = arch.hparams(file)
        specs = arch.specs(h, file)
        self.path, self.metadata, self.architecture = file.path, dict(file.metadata), arch
        self.n_ctx, self.n_vocab = int(h.n_ctx), int(h.n_vocab)
        self._hparams, self._layers = h, tuple(arch.layers(h))
        kept: Mapping[str, TensorSpec]
        if self.rank:
            ranked = {n: spec.ne for n, spec in specs.items() if spec.use == "matrix" and n.startswith("blk.")}
            if not ranked:
                raise UsageError(f"{file.path}: has no matrices in layers that an adapter could be of")
            arrays, kept = low_rank(ranked, self.rank, seed), specs
            self._check_room(file, sum(array.size for array in arrays.values()))
        else:
            self._check_room(file, sum(prod(spec.ne) for spec in specs.values()))
            kept = {n: spec for n, spec in specs.items() if spec.use == "constant"}
            learns = {n: spec for n, spec in specs.items() if n in file.tensors and n not in kept}
            arrays = {
                n: decode_rows(file.tensors[n].type, file.rows(n)[:]).reshape(spec.ne[::-1])
                for n, spec in learns.items()
            }
        self._base: dict[str, Tensor] = place_weights(file, kept, self._device, packed=False)
        with Filling(file, self._base, self.pool.threads) as filling:
            filling.finish()
        self.trained = Trained(arrays, len(self.optimizer.kept))
        self.names = tuple(arrays)
        self.n_params = sum(array.size for array in arrays.values())
        weights: Weights = Placed({**self._base, **self.trained.weights})
        if self.rank:
            weights = Adapted(weights, low_rank_pairs(self.trained.weights, scale_of(self.alpha, self.rank)))
        self._build = partial(arch.build, h, weights)
        del arrays
        lib.gg_trim_heap()  # what the file's tensors passed through leaves much there

    def _check_room(self, file: ModelFile, n_params: int) -> None:
        """Raise GgtuiError where weights, gradients and what the optimizer keeps have no room."""
        base = sum(info.n_bytes for info in file.tensors.values()) if self.rank else 0
        check_weights(file.path, n_params, len(self.optimizer.kept), "a smaller model, or an adapter (rank)", base)

    # ---- what is asked of it ----
    def loss(self, ids: Any) -> float:
        """The mean loss of a batch, in nats a token. ids: whole numbers (batch, n + 1), n of each text read and the n
        after its first ones asked. Raises UsageError for others."""
        with self._alone:
            graph, _ = self._run("loss", ids)
            return graph.result()

    def logits(self, ids: Any) -> Floats:
        """Of each token of a batch that is read: float32 (batch n, n_vocab), where they lie until the next call."""
        with self._alone:
            graph, _ = self._run("loss", ids)
            values: Floats = graph.logits.numpy()
            return values

    def loss_and_gradients(self, ids: Any, targets: Any = None) -> tuple[float, dict[str, Floats]]:
        """The mean loss of a batch, in nats a token, and its gradient of each tensor: float32, (out, in) or (n,). Each
        token is asked for the next one, or for that of `targets`, whole numbers (batch, n). Raises as `loss` does."""
        with self._alone:
            graph, _ = self._run("gradients", ids, targets=targets)
            assert isinstance(graph, GradientGraph)
            return graph.result(), {name: t.numpy().copy() for name, t in graph.gradients.items()}

    def step(self, ids: Any, rate: float | None = None) -> TrainStep:
        """Lower the loss of a batch by a step. Raises UsageError for no such batch or rate, then nothing is done;
        NumbersError for a loss that is no number, after the step; GgtuiError where it was stopped: then some weights
        may have taken it."""
        rate = self.rate if rate is None else rate
        check_number("rate", rate)
        with self._alone:
            graph, record = self._run("step", ids, rate)
            assert isinstance(graph, StepGraph)
            self.n_steps += 1
            norms = graph.norms()
            found = TrainStep(graph.result(), sqrt(sum(n * n for n in norms.values())), norms, record)
        if not np.isfinite(found.loss) or not np.isfinite(found.norm):
            raise NumbersError(f"step {self.n_steps}: the loss is {found.loss}, its gradients {found.norm} long")
        return found

    def sample(self, prompt: str, n_predict: int, seed: int = 0) -> str:
        """The prompt and what the model, as it is now, goes on with: so many tokens at most, by chance, the same for
        the same seed. It reads the weights where they lie. Raises as Generation does."""
        with self._alone:
            self._make_way("sample")
            live = self._live or LiveModel(
                self.path, self.metadata, self._hparams, self._layers, {**self._base, **self.trained.weights},
                self._build, self._device,
            )  # fmt: skip
            self._live = live
            options = {"threads": self.pool.threads, "kv_type": "f32", "isa": self._isa}
            with Engine(live, **options) as engine, self._may_stop(engine):
                return go_on(engine, prompt, n_predict, seed)

    def stop(self) -> None:
        """End what is under way at its next node; from any thread. Who waits for its turn goes on to wait."""
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
        """Go on from such states. Raises UsageError for others than this trainer has, for what is no number in them,
        and for a negative n_steps; then nothing is done."""
        check_whole("n_steps", n_steps, 0)
        with self._alone:
            mine = self.states()
            for name, state in mine.items():
                if name not in states or states[name].shape != state.shape:
                    raise UsageError(f"tensor {name}: what was saved of it is not of this model and optimizer")
                if not np.isfinite(states[name]).all():
                    raise UsageError(f"tensor {name}: what was saved of it holds what is no number")
            for name, state in mine.items():
                state[:] = states[name]
            self.n_steps = n_steps

    def model(self) -> MadeModel:
        """The model as it is now, for who loads or writes it. Of an adapter's: its matrices merged into the model's, in
        f32."""
        with self._alone:
            arrays, made = self.constant(), self.weights()
            if not self.rank:
                return MadeModel(str(self.path), self.metadata, {**arrays, **made})
            scale = np.float32(scale_of(self.alpha, self.rank))
            for name in arrays:
                if name + LORA_A in made:
                    arrays[name] += scale * (made[name + LORA_B] @ made[name + LORA_A])
            return MadeModel(str(self.path), self.metadata, arrays)

    # ---- runs ----
    def prepare(self, batch: int, n_ctx: int) -> int:
        """Plan steps and losses of such batches; returns the bytes that training by them takes in all. Raises
        UsageError for such batches that there are none of, GgtuiError where the machine has no room for what a step
        computes."""
        check_whole("batch", batch, 1)
        check_whole("n_ctx", n_ctx, 1, self.n_ctx)
        less = "smaller batches or texts" + ("" if self.recompute else ", or recompute layers")
        check = partial(check_room, what=f"steps of {batch} x {n_ctx} tokens", less=less)
        with self._alone:
            check(4 * batch * n_ctx * self.n_vocab)  # logits alone, sooner than anything is planned
            for kind in ("step", "loss"):
                self._plan(kind, batch, n_ctx)
            use = self.memory()
            check(use.batch_activations + use.scratch + (0 if self.n_steps else use.optimizer))
            return sum(astuple(use))

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

    def _run(self, kind: str, ids: Any, rate: float = 0.0, targets: Any = None) -> tuple[LossGraph, TokenRecord]:
        found = check_ids(ids, self.n_vocab, self.n_ctx)
        batch, n_ctx = found.shape[0], found.shape[1] - 1
        asked = None if targets is None else check_targets(targets, self.n_vocab, batch, n_ctx)
        graph, plan, recorder, number = self._plan(kind, batch, n_ctx)
        graph.fill(found, asked)
        if kind == "step":
            graph.tell(self.n_steps + 1, rate, self.clip)
        self._make_way(kind)
        started = time.perf_counter_ns()
        try:
            with self._may_stop(plan):
                plan.show()
                told = plan.run(self.pool, None, recorder)
        finally:
            plan.forget_stop()
        ns = time.perf_counter_ns() - started
        records = recorder.take() if self.profile == "full" else ()
        unscheduled, dropped = recorder.told() if told and recorder else ((), 0)
        n = batch * n_ctx
        record = TokenRecord(
            0, n, ns, 0, number, records, dropped, 0, started - self.began_ns, unscheduled, n, training=True
        )
        return graph, record

    def _make_way(self, kind: str) -> None:
        """For a run of this kind: what a step has computed, the most of all, is kept beside nothing else."""
        for other, planned in self._planned.items():
            if other != kind and "step" in (other, kind):
                planned.plan.give_back()

    @contextmanager
    def _may_stop(self, runs: Executable | Engine) -> Iterator[None]:
        with self._stopping:
            self._running = runs
        try:
            yield
        finally:
            with self._stopping:
                self._running = None

    # ---- traces ----
    def memory(self) -> MemoryUse:
        """Bytes by owner. Of what plans compute the most that there is at a time: that of a step, or of all others."""
        plans = list(self._planned.values())
        arenas = {kind: p.plan.arena_bytes for kind, p in self._planned.items()}
        step = arenas.pop("step", 0)
        return MemoryUse(
            weights=4 * self.n_params + sum(t.n_bytes for t in self._base.values()),
            batch_activations=max(step, sum(arenas.values())),
            scratch=sum(p.plan.scratch_bytes(self.pool.threads) for p in plans),
            records=sum(p.recorder.n_bytes for p in plans if p.recorder),
            optimizer=4 * self.n_params * len(self.optimizer.kept),
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
