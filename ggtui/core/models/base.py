"""What every architecture shares: the inputs of its graph, and checks of its file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ggtui.core.errors import ModelFileError
from ggtui.core.files import ModelFile
from ggtui.core.graph.dim import Dim
from ggtui.core.graph.ops import PAGE
from ggtui.core.graph.tensor import Tensor
from ggtui.core.runtime.compute import Graph
from ggtui.core.runtime.context import Context
from ggtui.core.runtime.cpu.native import lib

Weights = Mapping[str, Tensor]
_FLOATS = ("f32", "f16", "bf16")


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """What a model's file must hold under a name: sizes, whether mul_mat reads it as weights, and whether it may be
    absent. What is no matrix must be of a float type, unless it may be of any."""

    ne: tuple[int, ...]
    matrix: bool = False
    optional: bool = False
    any_type: bool = False


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


@dataclass(frozen=True, slots=True)
class Inputs:
    """What varies from run to run.

    tokens, positions   of each token, i32 (n_tokens)
    slots    where its keys and values go, i32 (n_tokens): page * PAGE + position % PAGE
    seen, pages   what it sees, and where that lies: as paged attention wants them
    outputs  the indices of the tokens whose logits are wanted, i32; None for all
    """

    n_tokens: int
    tokens: Tensor
    positions: Tensor
    slots: Tensor
    seen: Tensor
    pages: Tensor
    outputs: Tensor | None
    memory: Memory

    def fill(self, tokens: Sequence[int] | NDArray[np.int64], n_past: int) -> dict[str, int]:
        """With the next tokens of one sequence, after n_past. Returns the run-time sizes; its last token's logits are
        wanted where not all are."""
        n, memory = len(tokens), self.memory
        if n == 1:  # which a generation waits for
            memory.tokens[0] = tokens[0]
            memory.positions[0] = n_past
            memory.slots[0] = memory.pages[n_past // PAGE] * PAGE + n_past % PAGE
            memory.seen[0, 2] = n_past + 1
        else:
            at = np.arange(n_past, n_past + n)
            memory.tokens[:n] = tokens
            memory.positions[:n] = at
            memory.slots[:n] = memory.pages[at // PAGE] * PAGE + at % PAGE
            memory.seen[:n, 2] = at + 1
        if memory.outputs is not None:
            memory.outputs[0] = n - 1
        return {"n_tokens": n}


class Memory(NamedTuple):
    """What lies in the memory of inputs; `seen` has a row for each token."""

    tokens: NDArray[np.int32]
    positions: NDArray[np.int32]
    slots: NDArray[np.int32]
    seen: NDArray[np.int32]
    pages: NDArray[np.int32]
    outputs: NDArray[np.int32] | None


def values(t: Tensor) -> NDArray[np.int32]:
    """The memory of an i32 tensor."""
    return t.bytes().view(np.int32)


def make_inputs(n_tokens: int, n_ctx: int, *, last_only: bool) -> Inputs:
    """Inputs for up to `n_tokens` tokens of a sequence of up to `n_ctx`, whose pages lie in order; the only run-time
    size is n_tokens, when there can be several."""
    context = Context()
    tokens = Dim("n_tokens", n_tokens) if n_tokens > 1 else 1
    one = last_only and n_tokens > 1
    outputs = context.new_tensor_1d("i32", 1, "outputs") if one else None
    ids, positions, slots = (context.new_tensor_1d("i32", tokens, name) for name in ("tokens", "positions", "slots"))
    seen, pages = (
        context.new_tensor("i32", (3, tokens), "seen"),
        context.new_tensor_1d("i32", -(-n_ctx // PAGE), "pages"),
    )
    memory = Memory(
        values(ids),
        values(positions),
        values(slots),
        values(seen).reshape(-1, 3),
        values(pages),
        None if outputs is None else values(outputs),
    )
    memory.seen[:] = 0
    memory.pages[:] = np.arange(len(memory.pages))
    return Inputs(tokens, ids, positions, slots, seen, pages, outputs, memory)


def check_tensors(file: ModelFile, specs: Mapping[str, TensorSpec]) -> None:
    """Raise ModelFileError unless the file holds exactly the tensors of `specs`, in their sizes and in usable types."""
    for name, spec in specs.items():
        info = file.tensors.get(name)
        if info is None:
            if spec.optional:
                continue
            raise ModelFileError(file.path, name, "the tensor is missing")
        ne = (*spec.ne, *[1] * (4 - len(spec.ne)))
        if info.ne != ne:
            raise ModelFileError(
                file.path, name, f"its sizes are {info.ne}, the hyper-parameters say {ne}", info.offset
            )
        multiplied = info.type.own or lib.gg_packable(info.type.id)
        usable = multiplied if spec.matrix else spec.any_type or info.type.name in _FLOATS
        if not usable or info.type.name == "i32":
            raise ModelFileError(file.path, name, f"type {info.type.name} can't be used for it", info.offset)
    extra = next((name for name in file.tensors if name not in specs), None)
    if extra is not None:
        raise ModelFileError(file.path, extra, "this architecture has no such tensor", file.tensors[extra].offset)
