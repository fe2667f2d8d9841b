"""Model files. `open_model` tells the formats apart by their content, never by the name of the file.

The module of a format is imported when such a file is opened.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ggtui.core.errors import ModelFileError
from ggtui.core.files.model_file import ModelFile, TensorInfo

if TYPE_CHECKING:
    from ggtui.core.files.gguf_writer import OutTensor, write_gguf

__all__ = ["READERS", "ModelFile", "OutTensor", "Reader", "TensorInfo", "open_model", "write_gguf"]

_HEAD = 64  # bytes that `matches` gets to see
_WRITER = ("OutTensor", "write_gguf")


def __getattr__(name: str) -> Any:
    if name in _WRITER:
        return getattr(import_module("ggtui.core.files.gguf_writer"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class Reader(NamedTuple):
    """A format: its name, whether a file that begins with `head` is one, and the class that opens it, in which
    module."""

    name: str
    matches: Callable[[bytes], bool]
    module: str
    file: str

    def open(self, path: Path) -> ModelFile:
        made: ModelFile = getattr(import_module(self.module), self.file)(path)
        return made

    def opened(self, file: ModelFile) -> bool:
        """Whether `file` came from here."""
        return (type(file).__module__, type(file).__name__) == (self.module, self.file)


def _is_safetensors(head: bytes) -> bool:
    return len(head) > 8 and head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 1 << 32


READERS: tuple[Reader, ...] = (
    Reader("GGUF", lambda head: head[:4] == b"GGUF", "ggtui.core.files.gguf", "GgufFile"),
    Reader("legacy ggml GPT-2", lambda head: head[:4] == b"lmgg", "ggtui.core.files.legacy", "LegacyFile"),
    # with the rest of its folder
    Reader("safetensors", _is_safetensors, "ggtui.core.files.huggingface", "HuggingFaceFile"),
)

CONFIG = "config.json"
IS_PICKLE = "is a pickle (a PyTorch checkpoint), which can run code and is never read"
AS_SAFETENSORS = (
    "write it as safetensors with: python -c 'from transformers import AutoModelForCausalLM as M; "
    'M.from_pretrained("FOLDER").save_pretrained("FOLDER")\''
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
    """Open a model: a file of one of the formats in READERS, the folder of a Hugging Face model, or what a name means
    (see places.find_model).

    Raises ModelFileError if it is missing, damaged, or of a kind that ggtui does not read.
    """
    path = Path(path)
    if not os.path.exists(path):
        from ggtui.core.files.places import find_model

        path = find_model(str(path))
    if os.path.isdir(path):
        if not os.path.exists(path / CONFIG):
            problem = f"has no {CONFIG} in it, so it is no Hugging Face model; name a model file"
            raise ModelFileError(path, "folder", problem)
        return READERS[-1].open(path)
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
