"""Reads GGUF, versions 2 and 3: header, key-value pairs, tensor descriptions, then the tensors' data.

Model files come from anywhere, so every count, length and offset is checked against the file's size before
anything is made from it. Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md; this reader is
stricter on purpose.
"""

from __future__ import annotations

import mmap
import struct
from math import prod
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from ggtui.core.files.model_file import ModelFile, TensorInfo
from ggtui.core.types import TYPES, TensorType, type_by_id

MAGIC = b"GGUF"
VERSIONS = (2, 3)
DEFAULT_ALIGNMENT = 32
MAX_ALIGNMENT = 1 << 20
MAX_NAME = 63  # bytes of a tensor's name
MAX_DIMS = 4
MAX_KEY = 65535
MAX_STRING = 1 << 24
MAX_ARRAY = 1 << 24
MAX_STRINGS = 1 << 22  # strings an array may hold; each becomes a Python object
MAX_KEYS = 1 << 16
MAX_TENSORS = 1 << 16
_INT64_MAX = (1 << 63) - 1
_CUT_SHORT = "which is cut short or damaged: download it again"

# The value types of GGUF by number. The numbers are written and read by these layouts.
BOOL, STRING, ARRAY = 7, 8, 9
NUMBERS: dict[int, struct.Struct] = {
    0: struct.Struct("<B"),
    1: struct.Struct("<b"),
    2: struct.Struct("<H"),
    3: struct.Struct("<h"),
    4: struct.Struct("<I"),
    5: struct.Struct("<i"),
    6: struct.Struct("<f"),
    BOOL: struct.Struct("<B"),
    10: struct.Struct("<Q"),
    11: struct.Struct("<q"),
    12: struct.Struct("<d"),
}
_U32, _U64, _I64 = NUMBERS[4], NUMBERS[10], NUMBERS[11]


class _Description(NamedTuple):
    """A tensor as its description in the header has it; `at` is where its offset stands in the file."""

    type: TensorType
    ne: tuple[int, int, int, int]
    offset: int
    at: int


def matches(head: bytes) -> bool:
    """Whether a file that begins with `head` is GGUF."""
    return head[:4] == MAGIC


def data_start(end_of_header: int, alignment: int) -> int:
    """Where the tensors' data begins: after the header, at the next multiple of the alignment."""
    return -(-end_of_header // alignment) * alignment


def _what_version(version: int) -> str:
    swapped = int.from_bytes(version.to_bytes(4, "little"), "big")
    if swapped in (1, *VERSIONS):
        return f"is {swapped} in big-endian order; ggtui reads little-endian files"
    known = " and ".join(map(str, VERSIONS))
    advice = "convert the model anew" if version < VERSIONS[0] else "a newer ggtui may read it"
    return f"is {version}; ggtui reads {known}; {advice}"


class GgufFile(ModelFile):
    """A GGUF file. Arrays of its metadata are lists, numbers Python's own."""

    version: int

    def __init__(self, path: str | Path) -> None:
        """Raises ModelFileError, which names the byte and the field, for what is not a sound GGUF file."""
        super().__init__(path)
        try:
            self._read(_Cursor(self, self._map))
        except BaseException:
            self.close()
            raise

    def _read(self, cursor: _Cursor) -> None:
        magic = cursor.bytes(4, "magic")
        if magic != MAGIC:
            self.refuse("magic", f"is {magic!r}, not {MAGIC!r}: not a GGUF file", 0)
        at = cursor.pos
        self.version = cursor.number(_U32, "version")
        if self.version not in VERSIONS:
            self.refuse("version", _what_version(self.version), at)
        # a tensor takes at least 33 bytes (name of one letter, one dimension), a key 14
        n_tensors = cursor.count("n_tensors", MAX_TENSORS, 33)
        n_keys = cursor.count("n_kv", MAX_KEYS, 14)

        metadata: dict[str, Any] = {}
        alignment = DEFAULT_ALIGNMENT
        for i in range(n_keys):
            at = cursor.pos
            key = cursor.string(f"key {i}", MAX_KEY)
            if not key:
                self.refuse(f"key {i}", "is empty", at)
            if key in metadata:
                self.refuse(key, "stands in the file twice", at)
            metadata[key] = cursor.value(key)
            if key == "general.alignment":
                alignment = self._check_alignment(metadata[key], at)

        described: dict[str, _Description] = {}
        for i in range(n_tensors):
            at = cursor.pos
            name = cursor.string(f"name of tensor {i}", MAX_NAME)
            if not name:
                self.refuse(f"name of tensor {i}", "is empty", at)
            if name in described:
                self.refuse(name, "stands in the file twice", at)
            described[name] = self._describe(cursor, name)

        self.metadata = MappingProxyType(metadata)
        start = data_start(cursor.pos, alignment)
        self.tensors = MappingProxyType(self._place(described, start, cursor.end, alignment))

    def _check_alignment(self, value: Any, at: int) -> int:
        # GGUF wants a multiple of 8, which the loads of the kernels rely on
        if not isinstance(value, int) or not 8 <= value <= MAX_ALIGNMENT or value & (value - 1):
            problem = f"is {value!r}, not a power of two from 8 to {MAX_ALIGNMENT}"
            self.refuse("general.alignment", problem, at)
        return value

    def _describe(self, cursor: _Cursor, name: str) -> _Description:
        at = cursor.pos
        n_dims = cursor.number(_U32, f"n_dims of {name}")
        if not 1 <= n_dims <= MAX_DIMS:
            self.refuse(f"n_dims of {name}", f"is {n_dims}, not 1 to {MAX_DIMS}", at)
        at = cursor.pos
        ne = [1] * MAX_DIMS
        for i in range(n_dims):
            ne[i] = cursor.number(_I64, f"ne[{i}] of {name}")
            if ne[i] <= 0:
                self.refuse(f"ne[{i}] of {name}", f"is {ne[i]}; a dimension is at least 1", at + 8 * i)
        if prod(ne) > _INT64_MAX:
            self.refuse(f"ne of {name}", f"{' × '.join(map(str, ne))} elements overflow 64 bits", at)
        type_at = cursor.pos
        id = cursor.number(_U32, f"type of {name}")
        type = type_by_id(id)
        if type is None or not type.file:
            known = ", ".join(f"{t.id} {t.name}" for t in TYPES.values() if t.file)
            self.refuse(f"type of {name}", f"is {id}, which ggtui does not read; it reads {known}", type_at)
        if ne[0] % type.block:
            problem = f"is {ne[0]}, no whole number of {type.name}'s blocks of {type.block}"
            self.refuse(f"ne[0] of {name}", problem, at)
        at = cursor.pos
        offset = cursor.number(_U64, f"offset of {name}")
        return _Description(type, (ne[0], ne[1], ne[2], ne[3]), offset, at)

    def _place(self, described: dict[str, _Description], start: int, end: int, alignment: int) -> dict[str, TensorInfo]:
        """Where in the file each tensor lies, checked against its end and against the others."""
        tensors = {}
        for name, (type, ne, offset, at) in described.items():
            n_bytes = type.row_bytes(ne[0]) * prod(ne[1:])
            if offset % alignment:
                self.refuse(f"offset of {name}", f"is {offset}, no multiple of the alignment {alignment}", at)
            if start + offset + n_bytes > end:
                problem = f"is {offset}; its {n_bytes} bytes reach past the end of the file, {_CUT_SHORT}"
                self.refuse(f"offset of {name}", problem, at)
            tensors[name] = TensorInfo(name, type, ne, start + offset, n_bytes)
        free, before = start, ""
        for tensor in sorted(tensors.values(), key=lambda t: t.offset):
            if tensor.offset < free:
                at = described[tensor.name].at
                self.refuse(f"offset of {tensor.name}", f"its data overlaps that of {before}", at)
            free, before = tensor.offset + tensor.n_bytes, tensor.name
        return tensors


class _Cursor:
    """Takes one field after the other from the mapped file and refuses what does not fit into it."""

    def __init__(self, file: ModelFile, buffer: mmap.mmap) -> None:
        self.file, self.buffer, self.pos, self.end = file, buffer, 0, len(buffer)

    def need(self, n: int, field: str) -> None:
        if n > self.end - self.pos:
            problem = f"needs {n} bytes, {self.end - self.pos} are left in the file, {_CUT_SHORT}"
            self.file.refuse(field, problem, self.pos)

    def bytes(self, n: int, field: str) -> bytes:
        self.need(n, field)
        self.pos += n
        return self.buffer[self.pos - n : self.pos]

    def number(self, layout: struct.Struct, field: str) -> Any:
        self.need(layout.size, field)
        (value,) = layout.unpack_from(self.buffer, self.pos)
        self.pos += layout.size
        return value

    def count(self, field: str, most: int, item_bytes: int) -> int:
        """A 64-bit count of items that take at least `item_bytes` each."""
        at = self.pos
        n: int = self.number(_U64, field)
        left = (self.end - self.pos) // item_bytes
        if n > most:
            self.file.refuse(field, f"is {n}, over the limit of {most}", at)
        if n > left:
            self.file.refuse(field, f"is {n}, but at most {left} fit into the file, {_CUT_SHORT}", at)
        return n

    def string(self, field: str, most: int) -> str:
        at = self.pos
        n = self.number(_U64, field)
        if n > most:
            self.file.refuse(field, f"is {n} bytes long, over the limit of {most}", at)
        raw = self.bytes(n, field)
        try:
            return raw.decode()
        except UnicodeDecodeError:
            self.file.refuse(field, "is not valid UTF-8", at)

    def value(self, key: str) -> Any:
        at = self.pos
        kind = self.number(_U32, f"type of {key}")
        if kind in NUMBERS:
            at = self.pos
            number = self.number(NUMBERS[kind], key)
            if kind != BOOL:
                return number
            if number > 1:
                self.file.refuse(key, f"is {number}, neither true (1) nor false (0)", at)
            return bool(number)
        if kind == STRING:
            return self.string(key, MAX_STRING)
        if kind == ARRAY:
            return self.array(key)
        self.file.refuse(f"type of {key}", f"is {kind}, which GGUF does not have", at)

    def array(self, key: str) -> list[Any]:
        at = self.pos
        kind = self.number(_U32, f"element type of {key}")
        if kind == STRING:
            return self.strings(self.count(f"length of {key}", MAX_STRINGS, 8), key)
        if kind == ARRAY:
            self.file.refuse(f"element type of {key}", "is array; arrays in arrays are not read", at)
        if kind not in NUMBERS:
            self.file.refuse(f"element type of {key}", f"is {kind}, which GGUF does not have", at)
        layout = NUMBERS[kind]
        n = self.count(f"length of {key}", MAX_ARRAY, layout.size)
        at = self.pos
        numbers = np.frombuffer(self.bytes(n * layout.size, key), layout.format)
        if kind != BOOL:
            values: list[Any] = numbers.tolist()
            return values
        if n and numbers.max() > 1:
            i = int(np.argmax(numbers > 1))
            self.file.refuse(f"{key}[{i}]", f"is {numbers[i]}, neither true (1) nor false (0)", at + i)
        return list(map(bool, numbers))

    def strings(self, n: int, key: str) -> list[str]:
        """As `string` n times, in a loop of its own: a vocabulary holds 100,000."""
        buffer, end, length_at = self.buffer, self.end, _U64.unpack_from
        values: list[str] = []
        at = self.pos
        try:
            for _ in range(n):
                (length,) = length_at(buffer, at)
                start = at + 8
                stop = start + length
                if stop > end or length > MAX_STRING:
                    break
                values.append(str(buffer[start:stop], "utf-8"))
                at = stop
        except (struct.error, UnicodeDecodeError):
            pass
        self.pos = at
        if len(values) < n:  # `string` says what is wrong there
            self.string(f"{key}[{len(values)}]", MAX_STRING)
        return values
