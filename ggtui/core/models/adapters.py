"""Low-rank adapters (LoRA, Hu et al. 2021): what a matrix W of a model gives gets something added that two small
matrices make, W x + alpha/rank B (A x).

In a GGUF file of general.type "adapter", A is "NAME.lora_a" (n_in, rank) and B "NAME.lora_b" (rank, n_out), NAME being
that of the matrix; alpha is adapter.lora.alpha, and without it, or with 0, what they make is added as it is. llama.cpp
reads and writes the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ggtui.core.errors import ModelFileError, UsageError
from ggtui.core.files import ModelFile, open_model
from ggtui.core.files.fields import Fields
from ggtui.core.files.model_file import RowsOf
from ggtui.core.graph import ops
from ggtui.core.graph.tensor import Tensor
from ggtui.core.graph.types import TYPES
from ggtui.core.models import architecture
from ggtui.core.models.base import TensorSpec, Weights, named
from ggtui.core.runtime.context import Context
from ggtui.core.runtime.cpu.codec import decode_rows

LORA_A, LORA_B = ".lora_a", ".lora_b"
MAX_ALPHA = 1e6
_FLOATS = ("f32", "f16", "bf16")


def check_alpha(alpha: Any, rank: int) -> None:
    """Raise UsageError for an alpha that `read_adapter` would refuse, or read as none: files have it in f32."""
    if not rank:
        raise UsageError(f"alpha {alpha}: is of an adapter; give its rank too")
    if not isinstance(alpha, int | float | np.number) or not 0 < alpha <= MAX_ALPHA or not np.float32(alpha):
        raise UsageError(f"alpha {alpha}: must be above 0, as f32 has it, and up to {MAX_ALPHA:g}")


def scale_of(alpha: float, rank: int) -> float:
    """What B (A x) is multiplied with; an alpha of 0 is none."""
    return alpha / rank if alpha else 1.0


@dataclass(frozen=True, slots=True)
class LowRank:
    """Of one matrix: a (n_in, rank), b (rank, n_out), both f32, and what their product is multiplied with."""

    a: Tensor
    b: Tensor
    scale: float


def low_rank_pairs(tensors: Mapping[str, Tensor], scale: float) -> dict[str, LowRank]:
    """By their matrix, of tensors that are called as a file calls them."""
    matrices = [name.removesuffix(LORA_A) for name in tensors if name.endswith(LORA_A)]
    return {name: LowRank(tensors[name + LORA_A], tensors[name + LORA_B], scale) for name in matrices}


class Adapted:
    """Weights of which some matrices have an adapter, by their names."""

    def __init__(self, base: Weights, pairs: Mapping[str, LowRank]) -> None:
        self._base, self._pairs = base, pairs

    def has(self, name: str) -> bool:
        return self._base.has(name)

    def get(self, name: str, spec: TensorSpec) -> Tensor:
        return self._base.get(name, spec)

    def adapt(self, name: str, x: Tensor, y: Tensor) -> Tensor:
        pair = self._pairs.get(name)
        if pair is None:
            return y
        label = name.removesuffix(".weight")
        low = named(f"{label}.lora_a", ops.mul_mat(pair.a, x))  # (rank, n_tokens)
        made = named(f"{label}.lora_b", ops.mul_mat(pair.b, low))
        return named(f"{label}.adapted", ops.add(y, named(f"{label}.lora", ops.scale(made, pair.scale))))


@dataclass(frozen=True, slots=True)
class Adapter:
    """What an adapter file holds. alpha: 0 for none. pairs: by the matrix's name A (rank, n_in) and B (n_out, rank),
    float32."""

    path: Path
    architecture: str
    alpha: float
    pairs: Mapping[str, tuple[NDArray[np.float32], NDArray[np.float32]]]

    @property
    def rank(self) -> int:
        return max(len(a) for a, _ in self.pairs.values())

    def delta(self, name: str) -> NDArray[np.float32]:
        """What it adds to a matrix: float32 (n_out, n_in)."""
        a, b = self.pairs[name]
        made: NDArray[np.float32] = np.float32(scale_of(self.alpha, len(a))) * (b @ a)
        return made

    def placed(self, context: Context) -> dict[str, LowRank]:
        """In memory of a device, for graphs."""
        return {
            name: LowRank(
                context.tensor(a, f"{name}{LORA_A}", "f32", use="weights"),
                context.tensor(b, f"{name}{LORA_B}", "f32", use="weights"),
                scale_of(self.alpha, len(a)),
            )
            for name, (a, b) in self.pairs.items()
        }


def read_adapter(path: str | Path) -> Adapter:
    """Raises ModelFileError for what is no LoRA adapter in GGUF."""
    with open_model(path) as file:
        fields = Fields.of(file.metadata, file.path)
        if file.metadata.get("general.type") != "adapter":
            raise ModelFileError(
                file.path, "general.type", "is no adapter; name a GGUF file that `ggtui train --rank` made"
            )
        fields.choice("adapter.type", ("lora",))
        alpha = fields.number("adapter.lora.alpha", 0, MAX_ALPHA, default=0.0)
        architecture = fields.text("general.architecture")
        pairs: dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]] = {}
        for name in file.tensors:
            if not name.endswith(LORA_A):
                continue
            matrix = name.removesuffix(LORA_A)
            if not matrix.startswith("blk."):
                problem = "is of a matrix outside of the layers; only adapters of matrices in layers can be used"
                raise ModelFileError(file.path, name, problem)
            if matrix + LORA_B not in file.tensors:
                raise ModelFileError(file.path, matrix + LORA_B, "the tensor is missing")
            pairs[matrix] = _values(file, name), _values(file, matrix + LORA_B)
        extra = next((n for n in file.tensors if n.removesuffix(LORA_A).removesuffix(LORA_B) not in pairs), None)
        if extra is not None or not pairs:
            raise ModelFileError(file.path, extra or "tensors", "is no part of an adapter")
        for matrix, (a, b) in pairs.items():
            if len(a) != b.shape[1]:
                problem = f"its rank is {b.shape[1]}, that of {LORA_A[1:]} is {len(a)}"
                raise ModelFileError(file.path, matrix + LORA_B, problem)
        return Adapter(file.path, architecture, alpha, pairs)


def _values(file: ModelFile, name: str) -> NDArray[np.float32]:
    info = file.tensors[name]
    if info.type.name not in _FLOATS or info.ne[2:] != (1, 1):
        raise ModelFileError(file.path, name, f"type {info.type.name} can't be used for it", info.offset)
    values = decode_rows(info.type, file.rows(name)[:])
    if not np.isfinite(values).all():
        raise ModelFileError(file.path, name, "holds what is no number; the adapter is damaged", info.offset)
    return values


class Merged(ModelFile):
    """A model whose matrices have what an adapter adds: those are f32. It closes the model's file with itself."""

    def __init__(self, model: ModelFile, adapter: Adapter) -> None:
        self._model, self._adapter = model, adapter
        super().__init__(model.path)
        f32 = TYPES["f32"]
        self.metadata, self.notes = model.metadata, model.notes
        self.tensors = {
            name: replace(info, type=f32, n_bytes=4 * prod(info.ne)) if name in adapter.pairs else info
            for name, info in model.tensors.items()
        }

    def _open_file(self) -> None:
        """It is open."""

    def rows(self, name: str) -> RowsOf:
        rows = self._model.rows(name)
        if name not in self._adapter.pairs:
            return rows
        values = decode_rows(self._model.tensors[name].type, rows[:]) + self._adapter.delta(name)
        return np.ascontiguousarray(values).view(np.uint8)

    def reads_whole(self, name: str) -> bool:
        return name in self._adapter.pairs or self._model.reads_whole(name)

    def close(self) -> None:
        self._model.close()


def merged(model: ModelFile, path: str | Path) -> Merged:
    """With what the adapter in this file adds. Raises ModelFileError for an adapter of another model."""
    found, arch = read_adapter(path), architecture(model)
    check_adapter(found, model.path.name, model.metadata, arch.specs(arch.hparams(model), model))
    return Merged(model, found)


def check_adapter(adapter: Adapter, model: str, metadata: Mapping[str, Any], specs: Mapping[str, TensorSpec]) -> None:
    """Raise ModelFileError unless an adapter fits the matrices of a model."""
    made_for = metadata.get("general.architecture")
    if adapter.architecture != made_for:
        problem = f"it was made for a {adapter.architecture}, {model} is a {made_for}"
        raise ModelFileError(adapter.path, "general.architecture", problem)
    for name, (a, b) in adapter.pairs.items():
        spec = specs.get(name)
        if spec is None or spec.use != "matrix":
            raise ModelFileError(adapter.path, name, f"{model} has no such matrix in its layers")
        if spec.ne != (a.shape[1], len(b)):
            problem = f"its sizes are {(a.shape[1], len(b))}, the matrix of {model} has {spec.ne}"
            raise ModelFileError(adapter.path, name, problem)
