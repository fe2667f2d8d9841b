"""A model in memory: what its file says, its weights and its vocabulary. Any number of engines and threads share it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Self

from ggtui.core.errors import GgtuiError, ModelFileError, UsageError
from ggtui.core.files import ModelFile, open_model
from ggtui.core.files.places import BUILT_IN
from ggtui.core.graph.tensor import Tensor
from ggtui.core.models import architecture
from ggtui.core.models.adapters import Adapted, check_adapter, read_adapter
from ggtui.core.models.attending import Attention
from ggtui.core.models.base import Inputs, ModelGraph, Placed, TensorSpec, Weights
from ggtui.core.models.loading import Filling, Progress, place_weights
from ggtui.core.models.store import KeysValues
from ggtui.core.runtime.cores import usable_cores
from ggtui.core.runtime.device import Device
from ggtui.core.runtime.several import device as device_called
from ggtui.core.vocab import TEMPLATE, vocabulary

__all__ = ["BUILT_IN", "Model"]


class Model:
    """What a model file holds, in the layout of a device. Its last reference frees it; `close` or a `with` lets go of
    the weights sooner, which engines that run it go on using.

    hparams  its sizes, as its architecture has them; layers  what each layer keeps of a token
    adapter  the file of matrices that are added to its own, or None
    graph(attention, inputs)  its graph, not planned yet
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
        adapter: str | Path | None = None,
        talk: bool = False,
        meanwhile: Callable[[Model], None] | None = None,
        progress: Progress | None = None,
    ) -> None:
        """The built-in model without a path; an open file stays open. `threads` pack its weights and tell `progress`
        how far they are, see Filling; `meanwhile` is called before they are done. `pre`: see `vocabulary`. `adapter`: a
        file of low-rank matrices that are added to its own, see models/adapters.py. `talk`: its
        chat template will be rendered soon, so the process for that starts now. Raises ModelFileError for what is no
        such file."""
        self.device = device_called(device)
        file = path if isinstance(path, ModelFile) else open_model(BUILT_IN if path is None else path)
        arch = architecture(file)
        h: Any = arch.hparams(file)
        self.path, self.hparams, self.adapter = file.path, h, adapter
        specs = arch.specs(h, file)
        low_rank = None if adapter is None else read_adapter(adapter)
        if low_rank is not None:
            check_adapter(low_rank, file.path.name, file.metadata, specs)
        _check_room(file, specs, self.device)
        if talk and TEMPLATE in file.metadata:
            from ggtui.core.vocab.template_helper import HELPER

            HELPER.prepare()
        self.layers: tuple[KeysValues, ...] = tuple(arch.layers(h))
        self.metadata = {key: value for key, value in file.metadata.items() if isinstance(value, str | int | float)}
        self.weights: dict[str, Tensor] = place_weights(file, specs, self.device)
        weights: Weights = Placed(self.weights)
        if low_rank is not None:
            weights = Adapted(weights, low_rank.placed(self.device.context()))
        self.graph: Callable[[Attention, Inputs], ModelGraph] = partial(arch.build, h, weights)
        n_threads = usable_cores() if threads is None else threads
        with Filling(file, self.weights, n_threads, progress) as filling:  # mostly in C
            self.tokenizer = vocabulary(file.metadata, file.path, pre)
            if self.tokenizer.n_vocab > h.n_vocab:
                problem = f"{self.tokenizer.n_vocab} tokens, but logits for {h.n_vocab}"
                raise ModelFileError(self.path, "tokenizer.ggml.tokens", problem)
            self.notes = (*file.notes, *self.tokenizer.notes)
            if meanwhile is not None:
                meanwhile(self)
            filling.finish()
        if file is not path:
            file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the weights. No engine can be made of it any more; those there are go on."""
        self.weights, self.graph = {}, _closed


def _check_room(file: ModelFile, specs: Mapping[str, TensorSpec], device: Device) -> None:
    """Raise GgtuiError where a device has not enough memory for its weights: the system would rather end some process,
    and a GPU's driver moves them out of its memory without a word."""
    need: Counter[str] = Counter()
    homes: dict[str, Device] = {}
    for name, info in file.tensors.items():
        home = device.home(name, info.type, "weights" if name in specs and specs[name].use == "matrix" else "rows")
        homes[home.name] = home
        need[home.name] += info.n_bytes
    for name, n_bytes in need.items():
        free = homes[name].free()
        if free is not None and n_bytes > free:
            where = "memory" if name == "cpu" else f"the memory of {name}"
            gb = f"{n_bytes / 1e9:.1f} GB of weights, and {free / 1e9:.1f} GB of {where} are free"
            less = "" if name == "cpu" else "put fewer layers on it (--layers-on), "
            raise GgtuiError(f"{file.path}: has {gb}; {less}take a smaller model or type, or end other programs")


def _closed(attention: Attention, inputs: Inputs) -> ModelGraph:
    raise UsageError("the model is closed; load it again")
