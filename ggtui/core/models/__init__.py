"""The architectures: one table, one file each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ggtui.core.files import ModelFile
from ggtui.core.files.fields import Fields
from ggtui.core.models import gpt2
from ggtui.core.models.base import Inputs, ModelGraph, TensorSpec, Weights, check_tensors
from ggtui.core.models.store import KeysValues, Store


@dataclass(frozen=True, slots=True)
class Architecture:
    """How to read the sizes of a model from its file, which tensors it has, what its layers keep, and its graph."""

    hparams: Callable[[ModelFile], Any]
    tensors: Callable[[Any], dict[str, TensorSpec]]
    layers: Callable[[Any], Sequence[KeysValues]]
    build: Callable[[Any, Weights, Store, Inputs], ModelGraph]


# general.architecture of the file -> how to run it
ARCHITECTURES: dict[str, Architecture] = {
    "gpt2": Architecture(gpt2.hparams, gpt2.tensors, gpt2.layers, gpt2.build),
}


def architecture(file: ModelFile) -> Architecture:
    """The architecture the file names. Raises ModelFileError for one ggtui does not run."""
    return ARCHITECTURES[Fields.of(file.metadata, file.path).choice("general.architecture", tuple(ARCHITECTURES))]


def check_model(file: ModelFile) -> None:
    """Raise ModelFileError unless ggtui runs the model: its architecture, sizes and tensors; weights are not read."""
    arch = architecture(file)
    check_tensors(file, arch.tensors(arch.hparams(file)))
