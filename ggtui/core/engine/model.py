"""A model in memory: what its file says, its weights and its vocabulary. Any number of engines and threads share it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Self

from ggtui.core.errors import GgtuiError, ModelFileError, UsageError
from ggtui.core.files import ModelFile, open_model
from ggtui.core.files.places import BUILT_IN
from ggtui.core.graph.tensor import Tensor
from ggtui.core.models import architecture
from ggtui.core.models.base import Inputs, ModelGraph, Placed
from ggtui.core.models.loading import Packing, place_weights
from ggtui.core.models.store import KeysValues, Store
from ggtui.core.runtime.context import Context
from ggtui.core.runtime.cores import usable_cores
from ggtui.core.runtime.device import device as device_called
from ggtui.core.runtime.room import free_memory
from ggtui.core.vocab import TEMPLATE, vocabulary

__all__ = ["BUILT_IN", "Model"]


class Model:
    """What a model file holds, in the layout of a device. Its last reference frees it; `close` or a `with` lets go of
    the weights sooner, which engines that run it go on using.

    hparams  its sizes, as its architecture has them; layers  what each layer keeps of a token
    graph(store, inputs)  its graph, not planned yet
    weights  by name; tokenizer  its vocabulary; metadata  of the file, without its lists
    notes    what of the file is not as it seems, or is left out, in lines
    """

    def __init__(
        self,
        path: str | Path | ModelFile | None = None,
        *,
        device: str = "cpu",
        threads: int | None = None,
        pre: str | None = None,
        talk: bool = False,
        meanwhile: Callable[[Model], None] | None = None,
    ) -> None:
        """The built-in model without a path; an open file stays open. `threads` pack its weights, and `meanwhile` is
        called before they are done. `pre`: see `vocabulary`. `talk`: its chat template will be rendered soon, so the
        process for that starts now. Raises ModelFileError for what is no such file."""
        self.device = device_called(device)
        file = path if isinstance(path, ModelFile) else open_model(BUILT_IN if path is None else path)
        arch = architecture(file)
        h: Any = arch.hparams(file)
        self.path, self.hparams = file.path, h
        specs = arch.specs(h, file)
        _check_room(file)
        if talk and TEMPLATE in file.metadata:
            from ggtui.core.vocab.template_helper import HELPER

            HELPER.prepare()
        self.layers: tuple[KeysValues, ...] = tuple(arch.layers(h))
        self.metadata = {key: value for key, value in file.metadata.items() if isinstance(value, str | int | float)}
        self.weights: dict[str, Tensor] = place_weights(file, specs, Context(huge_pages=True), self.device.layout)
        self.graph: Callable[[Store, Inputs], ModelGraph] = partial(arch.build, h, Placed(self.weights))
        with Packing(file, self.weights, usable_cores() if threads is None else threads) as packing:  # mostly in C
            self.tokenizer = vocabulary(file.metadata, file.path, pre)
            if self.tokenizer.n_vocab > h.n_vocab:
                problem = f"{self.tokenizer.n_vocab} tokens, but logits for {h.n_vocab}"
                raise ModelFileError(self.path, "tokenizer.ggml.tokens", problem)
            self.notes = (*file.notes, *self.tokenizer.notes)
            if meanwhile is not None:
                meanwhile(self)
            packing.finish()
        if file is not path:
            file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the weights. No engine can be made of it any more; those there are go on."""
        self.weights, self.graph = {}, _closed


def _check_room(file: ModelFile) -> None:
    """Raise GgtuiError where there is not enough memory for its weights: the system would rather end some process."""
    need, free = sum(info.n_bytes for info in file.tensors.values()), free_memory()
    if free is not None and need > free:
        gb = f"{need / 1e9:.1f} GB of weights, and {free / 1e9:.1f} GB of memory are free"
        raise GgtuiError(f"{file.path}: has {gb}; take a smaller model or type, or end other programs")


def _closed(store: Store, inputs: Inputs) -> ModelGraph:
    raise UsageError("the model is closed; load it again")
