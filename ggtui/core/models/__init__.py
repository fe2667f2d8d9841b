"""The architectures: one table, one file each."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from ggtui.core.errors import ModelFileError, ShapeError
from ggtui.core.files import ModelFile
from ggtui.core.files.fields import Fields
from ggtui.core.graph.ops import PAGE
from ggtui.core.graph.tensor import Tensor
from ggtui.core.graph.types import TYPES
from ggtui.core.models import blocks, gemma, gpt2, gptneox, llama, phi3, qwen2, qwen3
from ggtui.core.models.attending import Attention, Paged
from ggtui.core.models.base import Inputs, ModelGraph, TensorSpec, Wanted, Weights, make_inputs
from ggtui.core.models.store import KeysValues
from ggtui.core.runtime.context import Context


@dataclass(frozen=True, slots=True)
class Architecture:
    """How to read the sizes of a model from its file, what its layers keep, and its graph."""

    hparams: Callable[[ModelFile], Any]
    layers: Callable[[Any], Sequence[KeysValues]]
    build: Callable[[Any, Weights, Attention, Inputs], ModelGraph]

    def specs(self, h: Any, file: ModelFile | None = None, optional: Collection[str] = ()) -> dict[str, TensorSpec]:
        """Every tensor that its graph asks for, of which `file` must hold those and no others; without a file all that
        any such model has, and `optional`, those it has of what others lack. Raises ModelFileError."""
        wanted, layers = Wanted(file, optional), self.layers(h)
        pages = Context().new_tensor_2d("i32", 1, 1)
        try:
            inputs = make_inputs(1, None, [0] * len(layers), [pages])
            self.build(h, wanted, Paged(_NoMemory(layers), inputs.layers), inputs)
        except ShapeError as error:
            if file is None:
                raise
            raise ModelFileError(file.path, "hyper-parameters", f"make no graph: {error}") from error
        extra = next((name for name in (file.tensors if file else ()) if name not in wanted.specs), None)
        if file is not None and extra is not None:
            raise ModelFileError(file.path, extra, "this architecture has no such tensor", file.tensors[extra].offset)
        return wanted.specs


class _NoMemory:
    """A page of each layer's keys and values, without memory."""

    n_ctx = PAGE

    def __init__(self, layers: Sequence[KeysValues]) -> None:
        self.k = [Tensor(TYPES["f32"], (layer.d_k, PAGE, layer.n_head_kv)) for layer in layers]
        self.v = [Tensor(TYPES["f32"], (layer.d_v, PAGE, layer.n_head_kv)) for layer in layers]


# general.architecture of the file -> how to run it
ARCHITECTURES: dict[str, Architecture] = {
    "gpt2": Architecture(gpt2.hparams, gpt2.layers, gpt2.build),
    "llama": Architecture(llama.hparams, blocks.layers, llama.build),
    "qwen2": Architecture(qwen2.hparams, blocks.layers, llama.build),
    "qwen3": Architecture(qwen3.hparams, blocks.layers, qwen3.build),
    "gemma2": Architecture(gemma.hparams2, blocks.layers, gemma.build),
    "gemma3": Architecture(gemma.hparams3, blocks.layers, gemma.build),
    "phi3": Architecture(phi3.hparams, blocks.layers, llama.build),
    "gptneox": Architecture(gptneox.hparams, blocks.layers, gptneox.build),
}


def architecture(file: ModelFile) -> Architecture:
    """The architecture the file names. Raises ModelFileError for one ggtui does not run."""
    return ARCHITECTURES[Fields.of(file.metadata, file.path).choice("general.architecture", tuple(ARCHITECTURES))]


def check_model(file: ModelFile) -> None:
    """Raise ModelFileError unless ggtui runs the model: its architecture, sizes and tensors; weights are not read."""
    arch = architecture(file)
    arch.specs(arch.hparams(file), file)
