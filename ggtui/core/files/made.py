"""A model in memory, as its file would be: what a training begins with, and what it has come to."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ggtui.core.files.model_file import Bytes, ModelFile, TensorInfo
from ggtui.core.graph.types import TYPES


class MadeModel(ModelFile):
    """Metadata as a GGUF file has it, and float32 arrays by name: (out, in) or (n,). What is changed in them later is
    read so."""

    def __init__(self, name: str, metadata: Mapping[str, Any], arrays: Mapping[str, NDArray[np.float32]]) -> None:
        super().__init__(name)
        self.metadata, self._arrays = metadata, dict(arrays)
        f32 = TYPES["f32"]
        self.tensors = {
            tensor: TensorInfo(tensor, f32, tuple([*array.shape[::-1], 1, 1, 1][:4]), 0, array.nbytes)
            for tensor, array in self._arrays.items()
        }

    def _open_file(self) -> None:
        """There is nothing to open."""

    def rows(self, name: str) -> Bytes:
        info = self._info(name)
        rows = np.ascontiguousarray(self._arrays[name], np.float32)
        return rows.view(np.uint8).reshape(prod(info.ne[1:]), -1)

    def reads_whole(self, name: str) -> bool:
        return True

    def close(self) -> None:
        pass
