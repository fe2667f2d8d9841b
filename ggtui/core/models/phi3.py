"""Phi-3 (Abdin et al. 2024): built as Llama, with one tensor for queries, keys and values, and one for gate and up.

Long and short texts have frequency factors of their own (longrope). The window that files tell of is none: llama.cpp
ignores it too, since converters wrote it wrongly.
"""

from __future__ import annotations

from ggtui.core.files import ModelFile
from ggtui.core.models.hparams import Hparams, read_hparams


def hparams(file: ModelFile) -> Hparams:
    return read_hparams(file, "phi3", mode="neox")
