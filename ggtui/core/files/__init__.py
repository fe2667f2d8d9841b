"""Model files. `open_model` tells the formats apart by their content, never by the name of the file."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ggtui.core.errors import ModelFileError
from ggtui.core.files import gguf, legacy, safetensors
from ggtui.core.files.gguf import GgufFile
from ggtui.core.files.gguf_writer import OutTensor, write_gguf
from ggtui.core.files.huggingface import AS_SAFETENSORS, CONFIG, IS_PICKLE, HuggingFaceFile
from ggtui.core.files.legacy import LegacyFile
from ggtui.core.files.model_file import ModelFile, TensorInfo

__all__ = ["READERS", "ModelFile", "OutTensor", "Reader", "TensorInfo", "open_model", "write_gguf"]

_HEAD = 64  # bytes that `matches` gets to see


@dataclass(frozen=True, slots=True)
class Reader:
    """A format: its name, whether a file that begins with `head` is one, and what opens it."""

    name: str
    matches: Callable[[bytes], bool]
    open: Callable[[Path], ModelFile]


READERS: tuple[Reader, ...] = (
    Reader("GGUF", gguf.matches, GgufFile),
    Reader("legacy ggml GPT-2", legacy.matches, LegacyFile),
    Reader("safetensors", safetensors.matches, HuggingFaceFile),  # with the rest of its folder
)

# Kinds that people try and that no reader takes: how they begin, and what to say.
_OTHERS: tuple[tuple[Callable[[bytes], bool], str], ...] = (
    (
        lambda head: head[:4] in (b"fmgg", b"tjgg"),
        "is an old llama.cpp model (ggmf or ggjt), which ggtui does not read; use a GGUF file",
    ),
    (
        lambda head: head[:4] == b"PK\x03\x04" or head[:1] == b"\x80",
        f"{IS_PICKLE}; {AS_SAFETENSORS}",
    ),
    (
        lambda head: head.startswith(b"version https://git-lfs"),
        "is a Git LFS pointer and not the model; fetch it with: git lfs pull",
    ),
    (lambda head: head.lstrip()[:1] == b"{", "is JSON and not a model's weights; name the folder it is in"),
    (lambda head: head.lstrip()[:1] == b"<", "is a web page and not a model; download the file itself"),
)


def open_model(path: str | Path) -> ModelFile:
    """Open a model: a file of one of the formats in READERS, or the folder of a Hugging Face model.

    Raises ModelFileError if it is missing, damaged, or of a kind that ggtui does not read.
    """
    path = Path(path)
    if os.path.isdir(path):
        if not os.path.exists(path / CONFIG):
            problem = f"has no {CONFIG} in it, so it is no Hugging Face model; name a model file"
            raise ModelFileError(path, "folder", problem)
        return HuggingFaceFile(path)
    with ModelFile(path) as file:
        head = file.head(_HEAD)
    for reader in READERS:
        if reader.matches(head):
            return reader.open(path)
    for matches, problem in _OTHERS:
        if matches(head):
            raise ModelFileError(path, "format", problem, 0)
    known = ", ".join(reader.name for reader in READERS)
    raise ModelFileError(path, "format", f"is unknown: {head[:4]!r}; ggtui reads {known}", 0)
