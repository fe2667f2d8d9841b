"""Reads GGUF, versions 2 and 3: header, key-value pairs, tensor descriptions, then the tensors' data.

Model files come from anywhere, so every count, length and offset is checked against the file's size before
anything is made from it. Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md; this reader is
stricter on purpose.
"""

from __future__ import annotations

import re
import struct
from math import prod
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy.typing as npt

from ggtui.core.files.fields import Fields, shown
from ggtui.core.files.model_file import ModelFile, TensorInfo
from ggtui.core.files.texts import Texts, find_texts
from ggtui.core.graph.types import TYPES, TensorType, type_by_id

MAGIC = b"GGUF"
VERSIONS = (2, 3)
DEFAULT_ALIGNMENT = 32
MAX_ALIGNMENT = 1 << 20
MAX_NAME = 63  # bytes of a tensor's name
MAX_DIMS = 4
MAX_KEY = 65535
MAX_STRING = 1 << 24
MAX_ARRAY = 1 << 24
MAX_STRINGS = 1 << 22  # strings an array may hold; each may become a Python object
MAX_KEYS = 1 << 16
MAX_TENSORS = 1 << 16
# Types of a user's own: number OWN_TYPE + i in a file is the type whose name is entry i of a list of the metadata, and
# whose head, block and bytes (see TensorType) are entries 3 i to 3 i + 2 of another.
OWN_TYPE = 1000
OWN_NAMES, OWN_SIZES = "ggtui.own_types", "ggtui.own_type_sizes"
# Of a model in several files: how many, which this is, and the number of all tensors.
SPLIT_COUNT, SPLIT_NUMBER, SPLIT_TENSORS = "split.count", "split.no", "split.tensors.count"
MAX_FILES = 1 << 10
_SPLIT_NAME = re.compile(r"(.*)-(\d{5})-of-(\d{5})\.gguf", re.DOTALL)
_TEXT_BYTES = 24  # of a text and its length, more or less; so much is read for each at first
_INT64_MAX = (1 << 63) - 1
_CUT_SHORT = "which is cut short or damaged: download it again"

# The value types of GGUF by number. The numbers are written and read by these layouts.
U32, BOOL, STRING, ARRAY = 4, 7, 8, 9
NUMBERS: dict[int, struct.Struct] = {
    0: struct.Struct("<B"),
    1: struct.Struct("<b"),
    2: struct.Struct("<H"),
    3: struct.Struct("<h"),
    U32: struct.Struct("<I"),
    5: struct.Struct("<i"),
    6: struct.Struct("<f"),
    BOOL: struct.Struct("<B"),
    10: struct.Struct("<Q"),
    11: struct.Struct("<q"),
    12: struct.Struct("<d"),
}
_U32, _U64, _I64 = NUMBERS[U32], NUMBERS[10], NUMBERS[11]


class _Description(NamedTuple):
    """A tensor as its description in the header has it; `at` is where its offset stands in the file."""

    type: TensorType
    ne: tuple[int, int, int, int]
    offset: int
    at: int


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
    """A GGUF file. Arrays of its metadata are numpy's, of strings Texts; single numbers are Python's own.

    Of a split model, NAME-00001-of-00003.gguf and so on, the first file opens all: it has the metadata, and each has
    tensors, whose offsets are those in their own file.
    """

    version: int

    def __init__(self, path: str | Path, *, alone: bool = False) -> None:
        """`alone`: without the others that it was split into. Raises ModelFileError, which names the byte and the
        field, for what is not a sound GGUF file."""
        super().__init__(path)
        self._others: list[GgufFile] = []
        self._home: dict[str, GgufFile] = {}  # of the tensors of other files
        try:
            self._read(_Cursor(self))
            if not alone and SPLIT_COUNT in self.metadata:
                self._open_others()
        except BaseException:
            self.close()
            raise

    def _open_others(self) -> None:
        fields = Fields(self.metadata, self.refuse)
        count, number = fields.whole(SPLIT_COUNT, 1, MAX_FILES), fields.whole(SPLIT_NUMBER, 0, MAX_FILES, 0)
        named = _SPLIT_NAME.fullmatch(self.path.name)
        if count > 1 and (named is None or int(named[3]) != count):
            name = f"NAME-{number + 1:05}-of-{count:05}.gguf"
            self.refuse(SPLIT_COUNT, f"is {count}: this is a part of a model; call it {name} again, beside the others")
        if number:
            first = f"{named[1]}-00001-of-{count:05}.gguf" if named else "the first one"
            self.refuse(SPLIT_NUMBER, f"is {number}: this is not the first part of a model; name {first}")
        tensors = dict(self.tensors)
        for i in range(1, count):
            assert named is not None
            other = GgufFile(self.path.with_name(f"{named[1]}-{i + 1:05}-of-{count:05}.gguf"), alone=True)
            self._others.append(other)
            if (other.metadata.get(SPLIT_NUMBER), other.metadata.get(SPLIT_COUNT)) != (i, count):
                other.refuse(
                    SPLIT_NUMBER, f"is not {i} of {count}; the files do not belong together, download them again"
                )
            again = next((name for name in other.tensors if name in tensors), None)
            if again is not None:
                other.refuse(again, "is in another part of the model too")
            tensors |= other.tensors
            self._home |= dict.fromkeys(other.tensors, other)
        total = fields.whole(SPLIT_TENSORS, 0, MAX_TENSORS, len(tensors))
        if total != len(tensors):
            self.refuse(SPLIT_TENSORS, f"is {total}, but the parts have {len(tensors)} tensors")
        whole = {key: value for key, value in self.metadata.items() if not key.startswith("split.")}
        self.metadata, self.tensors = MappingProxyType(whole), MappingProxyType(tensors)

    def _file_of(self, name: str) -> ModelFile:
        return self._home.get(name, self)

    def close(self) -> None:
        for other in self._others:
            other.close()
        super().close()

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
            kind = cursor.number(_U32, f"type of {key}")
            metadata[key] = cursor.value(key, kind)
            if key == "general.alignment":
                alignment = self._check_alignment(metadata[key], kind == U32, at)

        described: dict[str, _Description] = {}
        for i in range(n_tensors):
            at = cursor.pos
            name = cursor.string(f"name of tensor {i}", MAX_NAME)
            if not name:
                self.refuse(f"name of tensor {i}", "is empty", at)
            if name in described:
                self.refuse(name, "stands in the file twice", at)
            described[name] = self._describe(cursor, name, metadata)

        self.metadata = MappingProxyType(metadata)
        start = data_start(cursor.pos, alignment)
        self.tensors = MappingProxyType(self._place(described, start, cursor.end, alignment))

    def _check_alignment(self, value: Any, is_u32: bool, at: int) -> int:
        if not is_u32 or not 1 <= value <= MAX_ALIGNMENT or value & (value - 1):
            problem = f"is {shown(value)}, not a power of two from 1 to {MAX_ALIGNMENT} (as u32)"
            self.refuse("general.alignment", problem, at)
        return int(value)

    def _describe(self, cursor: _Cursor, name: str, metadata: dict[str, Any]) -> _Description:
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
        type = self._own_type(id - OWN_TYPE, name, metadata, type_at) if id >= OWN_TYPE else type_by_id(id)
        if type is None or not type.file:
            known = ", ".join(f"{t.id} {t.name}" for t in TYPES.values() if t.file)
            self.refuse(f"type of {name}", f"is {id}, which ggtui does not read; it reads {known}", type_at)
        if ne[0] % type.block:
            problem = f"is {ne[0]}, no whole number of {type.name}'s blocks of {type.block}"
            self.refuse(f"ne[0] of {name}", problem, at)
        at = cursor.pos
        offset = cursor.number(_U64, f"offset of {name}")
        return _Description(type, (ne[0], ne[1], ne[2], ne[3]), offset, at)

    def _own_type(self, i: int, name: str, metadata: dict[str, Any], at: int) -> TensorType | None:
        """Entry `i` of the list of types of a user's own; None if there is no such entry."""
        fields = Fields.of(metadata, self.path)
        names, sizes = fields.texts(OWN_NAMES, []), fields.wholes(OWN_SIZES, [])
        if not i < len(names) == len(sizes) // 3:
            return None
        type = TYPES.get(names[i])
        field, (head, block, n_bytes) = f"type of {name}", sizes[3 * i : 3 * i + 3].tolist()
        if type is None or not type.own:
            what = "a type of someone's own, which is not registered"
            self.refuse(
                field, f"is {str(names[i])[:40]!r}, {what}; name the Python file that does: --type-from FILE", at
            )
        if (type.head, type.block, type.bytes) != (head, block, n_bytes):
            here = f"{type.head} + {type.bytes} bytes for each {type.block} weights"
            there = f"{head} + {n_bytes} bytes for each {block}"
            self.refuse(field, f"is {type.name}, in the file of {there}, as registered of {here}", at)
        return type

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
        # Not all programs pad the last tensor, but none pads a part of it.
        padded = start + data_start(free - start, alignment)
        if tensors and free < end < padded:
            problem = f"has {end - free} of {padded - free} bytes; the file is cut short or damaged, download it again"
            self.refuse(f"padding of {before}", problem, free)
        return tensors


class _Cursor:
    """Takes one field after the other from the file and refuses what does not fit into it."""

    def __init__(self, file: ModelFile) -> None:
        self.file, self.pos, self.end = file, 0, file.size

    def need(self, n: int, field: str) -> None:
        if n > self.end - self.pos:
            problem = f"needs {n} bytes, {self.end - self.pos} are left in the file, {_CUT_SHORT}"
            self.file.refuse(field, problem, self.pos)

    def bytes(self, n: int, field: str) -> bytes:
        self.need(n, field)
        self.pos += n
        return self.file.field(self.pos - n, n)

    def number(self, layout: struct.Struct, field: str) -> Any:
        (value,) = layout.unpack(self.bytes(layout.size, field))
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

    def string(self, field: str, most: int, *, strict: bool = True) -> str:
        """Not `strict`: bytes that are no UTF-8 become halves of surrogate pairs, as Python does with file names."""
        at = self.pos
        n = self.number(_U64, field)
        if n > most:
            self.file.refuse(field, f"is {n} bytes long, over the limit of {most}", at)
        raw = self.bytes(n, field)
        try:
            return raw.decode("utf-8", "strict" if strict else "surrogateescape")
        except UnicodeDecodeError:
            self.file.refuse(field, "is not valid UTF-8", at)

    def value(self, key: str, kind: int) -> Any:
        """The value that follows its kind."""
        if kind in NUMBERS:
            number = self.number(NUMBERS[kind], key)
            return bool(number) if kind == BOOL else number
        if kind == STRING:
            return self.string(key, MAX_STRING, strict=False)
        if kind == ARRAY:
            return self.array(key)
        self.file.refuse(f"type of {key}", f"is {kind}, which GGUF does not have", self.pos - _U32.size)

    def array(self, key: str) -> npt.NDArray[Any] | Texts:
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
        self.need(n * layout.size, key)
        numbers = self.file.read(self.pos, n * layout.size).view(layout.format)
        self.pos += numbers.nbytes
        return numbers != 0 if kind == BOOL else numbers

    def strings(self, n: int, key: str) -> Texts:
        """As `string` n times, in C: a vocabulary holds 100,000."""
        start, room = self.pos, _TEXT_BYTES * n
        while True:
            data = self.file.read(start, min(room, self.end - start))
            ends = find_texts(data, n, MAX_STRING)
            self.pos = start + int(ends[-1])
            if len(ends) > n:
                return Texts(data[: ends[-1]].tobytes(), ends)
            self.string(f"{key}[{len(ends) - 1}]", MAX_STRING, strict=False)  # says what is wrong there, or it fits
            room = max(2 * room, self.pos - start)
