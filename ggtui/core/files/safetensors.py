"""Reads safetensors files: the length of a JSON header, the header, then the tensors' data.

Every length and offset is checked against the file's size before anything is made from it. Format:
https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import struct
from math import prod
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, NoReturn

from ggtui.core.files.fields import shown
from ggtui.core.files.json_file import parse_json
from ggtui.core.files.model_file import ModelFile, TensorInfo
from ggtui.core.graph.types import TYPES

MAX_HEADER = 16 << 20
MAX_TENSORS = 1 << 16
_MAX_SHAPE = 8  # dimensions; tensors that are read have at most 4
_LENGTH = struct.Struct("<Q")

# Bits an element of each dtype takes; those that are read, and as which tensor type.
_BITS = {"BOOL": 8, "U8": 8, "I8": 8, "U16": 16, "I16": 16, "U32": 32, "I32": 32, "U64": 64, "I64": 64}
_BITS |= {"F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F4": 4, "F16": 16, "BF16": 16, "F32": 32, "F64": 64, "C64": 64}
_READ = {"F32": "f32", "F16": "f16", "BF16": "bf16"}


class Entry(NamedTuple):
    """A tensor as the header describes it, outermost dimension first; `offset` is where its bytes start in the file."""

    dtype: str
    shape: tuple[int, ...]
    offset: int
    n_bytes: int


class SafetensorsFile(ModelFile):
    """A safetensors file: its `entries` by name. It does not say what they are to a model: `tensors` stays empty."""

    def __init__(self, path: str | Path) -> None:
        """Raises ModelFileError, which names the byte and the field, for anything that is not sound safetensors."""
        super().__init__(path)
        try:
            self.entries = MappingProxyType(self._read())
        except BaseException:
            self.close()
            raise

    def _read(self) -> dict[str, Entry]:
        end = self.size
        if end < _LENGTH.size:
            self.refuse("header length", f"takes 8 bytes, the file has {end}; it is cut short", 0)
        (n,) = _LENGTH.unpack(self.head(_LENGTH.size))
        if n > MAX_HEADER:
            self.refuse("header length", f"is {n}, over the limit of {MAX_HEADER}", 0)
        if n > end - 8:
            problem = f"is {n}, but {end - 8} bytes follow; the file is cut short or damaged, download it again"
            self.refuse("header length", problem, 0)
        described = parse_json(self, "header", 8, n)
        described.pop("__metadata__", None)
        if not 0 < len(described) <= MAX_TENSORS:
            self.refuse("header", f"describes {len(described)} tensors; 1 to {MAX_TENSORS} are read", 8)
        entries = {name: self._entry(name, value, 8 + n, end) for name, value in described.items()}
        free, before = 8 + n, "the header"
        for name, entry in sorted(entries.items(), key=lambda e: (e[1].offset, e[1].n_bytes)):
            if entry.offset != free:
                how = "its data overlaps that of" if entry.offset < free else "its data leaves a hole behind"
                self._refuse("data_offsets", name, f"{how} {before}")
            free, before = entry.offset + entry.n_bytes, name
        if free != end:
            problem = f"{end - free} bytes follow the last tensor, {before}; the file is damaged, download it again"
            self.refuse("data", problem, free)
        return entries

    def _entry(self, name: str, value: Any, start: int, end: int) -> Entry:
        if not isinstance(value, dict) or value.keys() != {"dtype", "shape", "data_offsets"}:
            self._refuse("description", name, "is not made of dtype, shape and data_offsets")
        dtype, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
        if not isinstance(dtype, str) or dtype not in _BITS:
            self._refuse("dtype", name, f"is {shown(dtype)}, which safetensors does not have")
        if not _sizes(shape) or len(shape) > _MAX_SHAPE:
            self._refuse("shape", name, f"is {shown(shape)}, not a list of at most {_MAX_SHAPE} sizes")
        if not _sizes(offsets) or len(offsets) != 2:
            self._refuse("data_offsets", name, f"are {shown(offsets)}, not a start and an end")
        begin, stop = offsets
        if not begin <= stop <= end - start:
            problem = f"are {begin} and {stop}; the data has {end - start} bytes; it is cut short or damaged"
            self._refuse("data_offsets", name, f"{problem}, download it again")
        bits = prod(shape) * _BITS[dtype]
        if bits != 8 * (stop - begin):
            self._refuse("shape", name, f"{shape} of {dtype} takes {bits // 8} bytes, data_offsets give {stop - begin}")
        return Entry(dtype, tuple(shape), start + begin, stop - begin)

    def _refuse(self, field: str, name: str, problem: str) -> NoReturn:
        # where the header describes it; a name written with escapes is not found
        at = self.head(8 + MAX_HEADER).find(f'"{name}"'.encode(), 8)
        self.refuse(f"{field} of {name}", problem, max(at, 8))

    def tensor(self, name: str) -> TensorInfo:
        """A tensor of the file, its sizes as ne. Raises ModelFileError unless it has floats in 1 to 4 dimensions."""
        entry = self.entries[name]
        if entry.dtype not in _READ:
            self._refuse("dtype", name, f"is {entry.dtype}, which ggtui does not read; it reads {', '.join(_READ)}")
        if not 1 <= len(entry.shape) <= 4 or min(entry.shape) < 1:
            self._refuse("shape", name, f"is {list(entry.shape)}, not 1 to 4 sizes of at least 1")
        ne = (*reversed(entry.shape), 1, 1, 1)
        return TensorInfo(name, TYPES[_READ[entry.dtype]], (ne[0], ne[1], ne[2], ne[3]), entry.offset, entry.n_bytes)


def _sizes(value: Any) -> bool:
    return isinstance(value, list) and all(type(v) is int and 0 <= v < 1 << 63 for v in value)
