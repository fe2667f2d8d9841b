"""The model under training as engines run it, and what it says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ggtui.core.engine.engine import Engine
from ggtui.core.engine.model import Model
from ggtui.core.graph.tensor import Tensor
from ggtui.core.models.attending import Attention
from ggtui.core.models.base import Inputs, ModelGraph
from ggtui.core.models.store import KeysValues
from ggtui.core.runtime.device import Device
from ggtui.core.vocab import vocabulary


class LiveModel(Model):
    """A model on weights that others change: nothing is copied, and the next run sees what they are then."""

    def __init__(
        self, path: Path, metadata: Mapping[str, Any], hparams: Any, layers: tuple[KeysValues, ...],
        weights: dict[str, Tensor], graph: Callable[[Attention, Inputs], ModelGraph], device: Device,
    ) -> None:  # fmt: skip
        """metadata: of its file. Raises ModelFileError where it has no vocabulary."""
        self.device, self.path, self.hparams, self.layers = device, path, hparams, layers
        self.metadata = {key: value for key, value in metadata.items() if isinstance(value, str | int | float)}
        self.weights, self.graph, self.adapter, self.notes = weights, graph, None, ()
        self.tokenizer = vocabulary(metadata, path)


def go_on(engine: Engine, prompt: str, n_predict: int, seed: int) -> str:
    """The prompt and what the model goes on with: so many tokens at most, by chance, the same for the same seed."""
    tokenizer = engine.model.tokenizer
    ids = tokenizer.begin(prompt)
    if not ids:  # of a vocabulary that nothing begins with
        ids = [tokenizer.eos if tokenizer.eos is not None else 0]
    n = min(n_predict, max(0, engine.n_ctx - len(ids)))
    return prompt + "".join(step.text for step in engine.submit(ids, n, seed=seed, temp=0.8))
