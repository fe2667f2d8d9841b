"""What every architecture shares: the inputs of its graph, and how it asks for its weights."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ggtui.core.errors import ModelFileError
from ggtui.core.files import ModelFile
from ggtui.core.graph import ops
from ggtui.core.graph.dim import Dim
from ggtui.core.graph.tensor import Tensor
from ggtui.core.graph.types import TYPES
from ggtui.core.runtime.compute import Graph
from ggtui.core.runtime.context import Context
from ggtui.core.runtime.cpu.native import lib

_FLOATS = ("f32", "f16", "bf16")


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """What a graph wants under a name: sizes, ne[0] the row, and what it does with it.

    use  "matrix": mul_mat reads it, and get_rows may; "rows": get_rows alone; "vector": of a float type, as f32;
         "constant": such a vector that says how the model computes, and is never learnt
    """

    ne: tuple[int, ...]
    use: str

    @property
    def as_f32(self) -> bool:
        return self.use in ("vector", "constant")


class Weights(Protocol):
    """The tensors of a model, for who builds its graph: each is asked for by its name, sizes and use. What some models
    have and others don't is asked for only where `has` says so.

    adapt  what becomes of y, the product of the matrix of that name with x: y itself, or with what an adapter adds
    """

    def has(self, name: str) -> bool: ...
    def get(self, name: str, spec: TensorSpec) -> Tensor: ...
    def adapt(self, name: str, x: Tensor, y: Tensor) -> Tensor: ...


def matrix(w: Weights, name: str, n_in: int, n_out: int) -> Tensor:
    """(n_in, n_out)"""
    return w.get(name, TensorSpec((n_in, n_out), "matrix"))


def product(w: Weights, name: str, x: Tensor, n_out: int) -> Tensor:
    """The matrix "name.weight" times x (n_in, n_tokens): (n_out, n_tokens), called so."""
    y = named(name, ops.mul_mat(matrix(w, f"{name}.weight", x.ne[0], n_out), x))
    return w.adapt(f"{name}.weight", x, y)


def vector(w: Weights, name: str, n: int) -> Tensor:
    """(n), f32"""
    return w.get(name, TensorSpec((n,), "vector"))


def constant(w: Weights, name: str, n: int) -> Tensor:
    """(n), f32"""
    return w.get(name, TensorSpec((n,), "constant"))


class Placed:
    """Weights that are in memory."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self._tensors = tensors

    def has(self, name: str) -> bool:
        return name in self._tensors

    def get(self, name: str, spec: TensorSpec) -> Tensor:
        return self._tensors[name]

    def adapt(self, name: str, x: Tensor, y: Tensor) -> Tensor:
        return y


class Wanted:
    """Stands for weights while a graph is built for the sake of what it asks for: in `specs`, in that order. Each is
    looked for in `file`; without one all are there, and of those that a model may lack the ones in `optional`."""

    def __init__(self, file: ModelFile | None = None, optional: Collection[str] = ()) -> None:
        self.specs: dict[str, TensorSpec] = {}
        self._file = file
        self._optional: Collection[str] = optional if file is None else file.tensors

    def has(self, name: str) -> bool:
        return name in self._optional

    def get(self, name: str, spec: TensorSpec) -> Tensor:
        """Raises ModelFileError unless the file holds it, in its sizes and in a usable type."""
        self.specs[name] = spec
        type = TYPES["f32"]
        if self._file is not None:
            check_tensor(self._file, name, spec)
            type = type if spec.as_f32 else self._file.tensors[name].type
        return Tensor(type, spec.ne, name=name)

    def adapt(self, name: str, x: Tensor, y: Tensor) -> Tensor:
        return y


class ModelGraph(Graph):
    """The graph of a model, with the names of its nodes and its result.

    layers  what each layer hands to the next: (n_embd, n_tokens)
    head    turns such a tensor into logits (n_vocab, n_tokens); it knows nothing of this graph, so that nothing goes
            round in a circle and the last reference frees all
    """

    logits: Tensor
    head: Callable[[Tensor], Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.layers: list[Tensor] = []


def named(name: str, t: Tensor) -> Tensor:
    """`t`, called so in traces."""
    t.name = name
    return t


def softcapped(name: str, x: Tensor, cap: float) -> Tensor:
    """cap tanh(x / cap); x itself where cap is 0."""
    if not cap:
        return x
    turned = named(f"{name}.tanh", ops.tanh(named(f"{name}.small", ops.scale(x, 1 / cap))))
    return named(f"{name}.capped", ops.scale(turned, cap))


class Attended(NamedTuple):
    """Where the layers of a memory group write what tokens they read, and what those attend to.

    slots   of each token, i32 (n_tokens): page * PAGE + position % PAGE
    seen, pages   as paged attention wants them: i32 (3, n_tokens), i32 (pages of a sequence, sequences)
    """

    slots: Tensor
    seen: Tensor
    pages: Tensor


class Inputs(NamedTuple):
    """What varies from run to run.

    tokens, positions   of each token, i32 (n_tokens)
    outputs  the indices of the tokens whose logits are wanted, i32 (n_outputs); None where all are
    layers   of each layer, where it writes and reads
    """

    n_tokens: int
    tokens: Tensor
    positions: Tensor
    outputs: Tensor | None
    layers: tuple[Attended, ...]


def values(t: Tensor) -> NDArray[np.int32]:
    """The memory of an i32 tensor."""
    return t.bytes().view(np.int32)


def make_inputs(
    n_tokens: int,
    n_outputs: int | None,
    group_of: Sequence[int],
    tables: Sequence[Tensor],
    context: Context | None = None,
) -> Inputs:
    """Inputs for up to n_tokens tokens, of which up to n_outputs (None: all) give logits. The run-time sizes, where
    there can be several, are n_tokens and n_outputs. `tables`: of each memory group its page table; `group_of`: of each
    layer its group; `context`: whose memory they lie in."""
    context = context or Context()
    tokens = Dim("n_tokens", n_tokens) if n_tokens > 1 else 1
    ids, positions = (context.new_tensor_1d("i32", tokens, name) for name in ("tokens", "positions"))
    groups = [
        Attended(context.new_tensor_1d("i32", tokens, "slots"), context.new_tensor_2d("i32", 3, tokens, "seen"), pages)
        for pages in tables
    ]
    outputs = None
    if n_outputs is not None and n_tokens > 1:
        outputs = context.new_tensor_1d("i32", Dim("n_outputs", n_outputs) if n_outputs > 1 else 1, "outputs")
    return Inputs(tokens, ids, positions, outputs, tuple(groups[i] for i in group_of))


def check_tensor(file: ModelFile, name: str, spec: TensorSpec) -> None:
    """Raise ModelFileError unless the file holds it, in its sizes and in a usable type."""
    info = file.tensors.get(name)
    if info is None:
        raise ModelFileError(file.path, name, "the tensor is missing")
    ne = (*spec.ne, *[1] * (4 - len(spec.ne)))
    if info.ne != ne:
        raise ModelFileError(file.path, name, f"its sizes are {info.ne}, the hyper-parameters say {ne}", info.offset)
    multiplied = info.type.own or lib.gg_packable(info.type.id)
    usable = info.type.name in _FLOATS if spec.as_f32 else multiplied or spec.use == "rows"
    if not usable or info.type.name == "i32":
        raise ModelFileError(file.path, name, f"type {info.type.name} can't be used for it", info.offset)
