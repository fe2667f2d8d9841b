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


def make_inputs(n_tokens: int, n_outputs: int | None, group_of: Sequence[int], tables: Sequence[Tensor]) -> Inputs:
    """Inputs for up to n_tokens tokens, of which up to n_outputs (None: all) give logits. The run-time sizes, where
    there can be several, are n_tokens and n_outputs. `tables`: of each memory group its page table; `group_of`: of each
    layer its group."""
    context = Context()
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
