"""Qwen2 (Yang et al. 2024): built as Llama, with biases on queries, keys and values, and pairs half a head apart."""

from __future__ import annotations

from ggtui.core.files import ModelFile
from ggtui.core.models.hparams import Hparams, listed_windows, read_hparams


def hparams(file: ModelFile) -> Hparams:
    return read_hparams(file, "qwen2", mode="neox", windows=listed_windows)
