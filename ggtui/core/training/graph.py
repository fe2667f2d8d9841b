"""The graphs of a training: the loss of a batch, its gradients, and a whole step with the optimizer's.

The weights of a tensor lie in its state, f32 (n, 1 + what the optimizer keeps): the first row is the weights, which the
graph of the model sees as a view of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ggtui.core.errors import UsageError
from ggtui.core.graph import ops
from ggtui.core.graph.grad import gradients, label
from ggtui.core.graph.ops.optim import RATES, SQUARES
from ggtui.core.graph.tensor import Tensor
from ggtui.core.models.adapters import LORA_A, LORA_B
from ggtui.core.models.attending import Whole
from ggtui.core.models.base import Inputs, ModelGraph, named
from ggtui.core.runtime.compute import Graph
from ggtui.core.runtime.context import Context
from ggtui.core.runtime.describe import layer_of
from ggtui.core.training.optimizers import Optimizer
from ggtui.core.training.seeds import generator

Build = Callable[[Whole, Inputs], ModelGraph]
Ids = NDArray[np.int32]


class Trained:
    """What is trained: by name its state, and the weights in it, (n_in, n_out) or (n)."""

    def __init__(self, arrays: Mapping[str, NDArray[np.float32]], n_kept: int) -> None:
        """With the values of `arrays`, (n_out, n_in) or (n,); nothing is remembered yet."""
        self.context = Context()
        self.states: dict[str, Tensor] = {}
        self.weights: dict[str, Tensor] = {}
        for name, array in arrays.items():
            state = self.context.new_tensor_2d("f32", array.size, 1 + n_kept, f"{name}:state")
            state.numpy()[0] = array.reshape(-1)
            self.states[name] = state
            flat = ops.view(state, (array.size,))
            self.weights[name] = named(name, ops.reshape(flat, *array.shape[::-1]))

    def array(self, name: str) -> NDArray[np.float32]:
        """The weights of a tensor where they lie: (n_out, n_in) or (n,)."""
        t = self.weights[name]
        values: NDArray[np.float32] = self.states[name].numpy()[0].reshape(t.shape)
        return values


def low_rank(matrices: Mapping[str, tuple[int, ...]], rank: int, seed: int) -> dict[str, NDArray[np.float32]]:
    """What adapters of matrices (n_in, n_out) begin with: A from a normal distribution and B of zeros, so that what
    they add is nothing."""
    made = {}
    for name, (n_in, n_out) in matrices.items():
        a = generator(seed, *name.encode()).standard_normal((rank, n_in), np.float32)
        made[name + LORA_A] = a / np.float32(sqrt(n_in))
        made[name + LORA_B] = np.zeros((n_out, rank), np.float32)
    return made


class LossGraph(Graph):
    """The mean cross entropy of `batch` texts of n_ctx tokens, each but the last asked what follows it."""

    def __init__(self, build: Build, whole: Whole, batch: int, n_ctx: int) -> None:
        super().__init__()
        n = batch * n_ctx
        self.batch, self.n_ctx = batch, n_ctx
        context = Context()
        self._tokens, positions, self._targets = (
            context.new_tensor_1d("i32", n, name) for name in ("tokens", "positions", "targets")
        )
        positions.set(np.tile(np.arange(n_ctx, dtype=np.int32), batch))
        self.logits = build(whole, Inputs(n, self._tokens, positions, None, ())).logits
        losses = named("cross_entropy", ops.cross_entropy(self.logits, self._targets))
        self.loss = named("loss", ops.scale(named("loss:sum", ops.sum(losses)), 1 / n))
        self.build_forward_expand(self.loss)

    def fill(self, ids: Ids, targets: Ids | None = None) -> None:
        """With a batch: i32 (batch, n_ctx + 1). Each token is asked for the next one, or for that of `targets`, (batch,
        n_ctx)."""
        self._tokens.set(np.ascontiguousarray(ids[:, :-1]).reshape(-1))
        self._targets.set(np.ascontiguousarray(ids[:, 1:] if targets is None else targets).reshape(-1))

    def result(self) -> float:
        """The loss of the last run, in nats."""
        return float(self.loss.numpy().reshape(()))


def _gradients(loss: Tensor, trained: Trained, recompute: bool) -> dict[str, Tensor]:
    """Of each tensor that learns, contiguous. `recompute`: what a layer computes is computed again on the way back."""

    def layer(t: Tensor) -> int | None:
        return layer_of(label(t))

    found = gradients(loss, list(trained.weights.values()), layer if recompute else None)
    return {
        name: g if g.is_contiguous else named(g.name, ops.cont(g))
        for name, g in zip(trained.weights, found, strict=True)
    }


class GradientGraph(LossGraph):
    """And the gradient of each tensor, in its sizes."""

    def __init__(
        self, build: Build, whole: Whole, batch: int, n_ctx: int, trained: Trained, *, recompute: bool
    ) -> None:
        super().__init__(build, whole, batch, n_ctx)
        self.gradients = _gradients(self.loss, trained, recompute)
        for t in self.gradients.values():
            self.build_forward_expand(t)


class StepGraph(LossGraph):
    """A whole step. What decays has other rates than what does not."""

    def __init__(
        self, build: Build, whole: Whole, batch: int, n_ctx: int, trained: Trained, optimizer: Optimizer,
        decays: Callable[[str], bool], *, recompute: bool,
    ) -> None:  # fmt: skip
        super().__init__(build, whole, batch, n_ctx)
        context = Context()
        self._rates = {on: context.new_tensor_1d("f32", len(RATES), f"rates.{on}") for on in (True, False)}
        names = list(trained.weights)
        sums = [-(-trained.weights[name].n_elements // SQUARES) for name in names]
        self._squares = context.new_tensor_1d("f32", sum(sums), "squares")
        self._parts = dict(zip(names, np.cumsum([0, *sums[:-1]]).tolist(), strict=True))
        self._ends = dict(zip(names, np.cumsum(sums).tolist(), strict=True))
        found = _gradients(self.loss, trained, recompute)
        for name, n in zip(names, sums, strict=True):
            part = ops.view(self._squares, (n,), offset=4 * self._parts[name])
            self.build_forward_expand(named(f"{name}:norm", ops.sum_sqr(found[name], part)))
        total = named("norm", ops.sum(self._squares))
        for name in names:
            step = optimizer.op(trained.states[name], found[name], self._rates[decays(name)], total)
            self.build_forward_expand(named(f"{name}:step", step))
        self._optimizer = optimizer

    def tell(self, step: int, rate: float, clip: float) -> None:
        """What the next run is to step by."""
        for on, t in self._rates.items():
            t.set(self._optimizer.rates(step, rate, decays=on, clip=clip))

    def norms(self) -> dict[str, float]:
        """Of each tensor's gradient its length in the last run, before any clipping."""
        squares = self._squares.numpy().astype(np.float64)
        return {name: float(np.sqrt(squares[at : self._ends[name]].sum())) for name, at in self._parts.items()}


def check_ids(ids: Any, n_vocab: int, n_ctx: int) -> Ids:
    """Batches as i32 (batch, n + 1). Raises UsageError for other shapes, and for tokens that there are none of."""
    found = _whole("ids", ids, "(batch, 2 or more)")
    if found.ndim != 2 or not len(found) or found.shape[1] < 2:
        raise UsageError(f"ids: must be whole numbers (batch, 2 or more), not {found.dtype} {found.shape}")
    if found.shape[1] - 1 > n_ctx:
        raise UsageError(f"ids: texts of {found.shape[1] - 1} tokens, but the model was made for {n_ctx}")
    return _tokens("ids", found, n_vocab)


def check_targets(targets: Any, n_vocab: int, batch: int, n_ctx: int) -> Ids:
    """What each token is asked for, as i32 (batch, n_ctx). Raises UsageError as check_ids does."""
    found = _whole("targets", targets, f"({batch}, {n_ctx})")
    if found.shape != (batch, n_ctx):
        raise UsageError(f"targets: must be whole numbers ({batch}, {n_ctx}), not {found.dtype} {found.shape}")
    return _tokens("targets", found, n_vocab)


def _whole(name: str, values: Any, sizes: str) -> NDArray[Any]:
    """As an array. Raises UsageError for other numbers, and for texts of several lengths, which are none."""
    try:
        found = np.asarray(values)
    except ValueError as error:
        raise UsageError(f"{name}: must be whole numbers {sizes}, all texts of one length") from error
    if found.dtype.kind not in "iu":
        raise UsageError(f"{name}: must be whole numbers {sizes}, not {found.dtype} {found.shape}")
    return found


def _tokens(name: str, found: NDArray[Any], n_vocab: int) -> Ids:
    """As i32. Raises UsageError for tokens that there are none of."""
    if found.min() < 0 or found.max() >= n_vocab:
        bad = int(found[(found < 0) | (found >= n_vocab)][0])
        raise UsageError(f"{name}: token {bad} is not 0 to {n_vocab - 1}")
    return np.ascontiguousarray(found, np.int32)
