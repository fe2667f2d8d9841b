"""The files that llama.cpp's tests/test-gguf.cpp makes by hand, under its names, and what becomes of them.

What it expects to fail is refused here, too; what it expects to load loads, with the same contents, but for
TENSORS_ZERO_DIM: a dimension of zero is refused. Its TENSORS files have no data at all, which here is a file cut short,
so those that should load get theirs.
"""

from __future__ import annotations

import random
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ggtui.core.errors import ModelFileError
from ggtui.core.files import open_model
from ggtui.core.files.gguf import GgufFile
from ggtui.core.graph.types import TYPES, type_by_id

ALL_ONES = (1 << 64) - 1
STRING, ARRAY, U32 = 8, 9, 4
FORMATS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
KINDS = (*FORMATS, STRING, ARRAY)  # without GGUF's number of kinds, 13
N_KINDS = 13
N_TYPES = 200  # no tensor type yet


@dataclass
class Pair:
    key: bytes
    kind: int
    raw: bytes  # as it stands in the file, after the kind
    value: Any  # as it is read
    key_size: int | None = None


@dataclass
class Entry:
    """A tensor; `offset` is found when the file is put together, unless it is given."""

    name: bytes
    type: int
    ne: list[int]
    n_dims: int | None = None
    offset: int | None = None


@dataclass
class File:
    magic: bytes = b"GGUF"
    version: int = 3
    n_tensors: int | None = None
    n_kv: int | None = None
    pairs: list[Pair] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    alignment: int = 32  # of the data, and of the offsets unless `offset_alignment` says otherwise
    offset_alignment: int | None = None
    data: int | None = 0  # bytes more than the tensors take, or fewer; None: no data

    def content(self) -> bytes:
        counts = (len(self.entries) if self.n_tensors is None else self.n_tensors,
                  len(self.pairs) if self.n_kv is None else self.n_kv)  # fmt: skip
        out = self.magic + struct.pack("<IQQ", self.version, *counts)
        for pair in self.pairs:
            size = len(pair.key) if pair.key_size is None else pair.key_size
            out += struct.pack("<Q", size) + pair.key + struct.pack("<i", pair.kind) + pair.raw
        offset = 0
        for e in self.entries:
            out += struct.pack("<Q", len(e.name)) + e.name
            out += struct.pack("<I", len(e.ne) if e.n_dims is None else e.n_dims)
            out += struct.pack(f"<{len(e.ne)}qi", *e.ne, e.type)
            out += struct.pack("<Q", offset if e.offset is None else e.offset)
            offset += -(-self.bytes_of(e) // self.step) * self.step
        out += bytes(-len(out) % self.alignment)
        if self.data is not None:
            out += bytes(i % 256 for i in range(max(0, offset + self.data)))
        return out

    @property
    def step(self) -> int:
        return self.offset_alignment or self.alignment

    @staticmethod
    def bytes_of(entry: Entry) -> int:
        type = type_by_id(entry.type)
        n = prod(entry.ne)
        return 0 if type is None or not 0 <= n < 1 << 24 else n // type.block * type.bytes


def random_value(rng: random.Random, kind: int) -> tuple[bytes, Any]:
    """Any bytes will do: texts need not be UTF-8, and a truth value may be any byte."""
    raw = rng.randbytes(struct.calcsize(FORMATS[kind])) if kind in FORMATS else b""
    if kind in FORMATS:
        return raw, raw != b"\0" if kind == 7 else struct.unpack("<" + FORMATS[kind], raw)[0]
    if kind == STRING:
        text = rng.randbytes(rng.randrange(64))
        return struct.pack("<Q", len(text)) + text, text.decode("utf-8", "surrogateescape")
    of = rng.choice([k for k in KINDS if k != ARRAY])
    items = [random_value(rng, of) for _ in range(rng.randrange(17))]
    return struct.pack("<iQ", of, len(items)) + b"".join(raw for raw, _ in items), [value for _, value in items]


def pairs(rng: random.Random) -> list[Pair]:
    kinds = [*KINDS, *(rng.choice(KINDS) for _ in range(60))]
    return [Pair(f"my_key_{i}".encode(), kind, *random_value(rng, kind)) for i, kind in enumerate(kinds)]


def entries(rng: random.Random) -> list[Entry]:
    types = [t for t in TYPES.values() if t.file and not t.own]
    types += [rng.choice(types) for _ in range(60)]
    types.append(TYPES["f32"])  # the last one: its bytes are no multiple of 32
    shapes = [[rng.randint(1, 10) * t.block, *(rng.randint(1, 10) for _ in range(rng.randrange(4)))] for t in types]
    shapes[-1] = [3]
    return [Entry(f"my_tensor_{i}".encode(), t.id, ne) for i, (t, ne) in enumerate(zip(types, shapes, strict=True))]


def header(_: random.Random) -> File:
    return File()


def with_pairs(rng: random.Random) -> File:
    return File(pairs=pairs(rng))


def with_tensors(rng: random.Random) -> File:
    return File(pairs=pairs(rng), entries=entries(rng))


def aligned(value: int, kind: int = U32) -> Callable[[File], None]:
    def change(file: File) -> None:
        file.pairs.append(Pair(b"general.alignment", kind, struct.pack("<I", value), value))
        file.alignment = value

    return change


def each_pair(**changes: Any) -> Callable[[File], None]:
    return lambda file: [vars(pair).update(changes) for pair in file.pairs] and None


def each_entry(**changes: Any) -> Callable[[File], None]:
    return lambda file: [vars(entry).update(changes) for entry in file.entries] and None


def fields(**changes: Any) -> Callable[[File], None]:
    return lambda file: vars(file).update(changes)


def duplicate_keys(file: File) -> None:
    for i, pair in enumerate(file.pairs):
        pair.key = f"my_key_{i // 2}".encode()


def long_names(file: File) -> None:
    for entry in file.entries:
        entry.name += b"_with_a_name_that_is_longer_than_what_is_allowed_for_tensors"


def in_all_dims(size: int, at_least: int = 1) -> Callable[[File], None]:
    def change(file: File) -> None:
        for entry in file.entries:
            entry.ne = [size] * max(len(entry.ne), at_least)

    return change


def too_many_bytes(file: File) -> None:
    """So many elements that their number is one of 64 bits and their bytes are not."""
    in_all_dims(1 << 31, 2)(file)
    for entry in file.entries:
        entry.ne[2:] = []
        entry.type = TYPES["f32"].id


def memory_overflow(type: int, size: int) -> Callable[[File], None]:
    def change(file: File) -> None:
        file.entries = [Entry(f"my_tensor_{i}".encode(), type, [size], offset=i * size % (1 << 64)) for i in range(2)]
        file.data = 32

    return change


I8 = 24  # GGUF's number of a type that is no type for weights
NOT_U32 = r"is .*, not a power of two from 1 to \d+ \(as u32\)"
UNREAD_TYPE = "is .*, which ggtui does not read"

# name there -> the file, the change to it, and the refusal: field and problem; None where it loads
CASES: dict[str, tuple[Callable[[random.Random], File], Callable[[File], object], tuple[str, str] | None]] = {
    "HEADER_BAD_MAGIC": (header, fields(magic=b"FUGG"), ("magic", "is b'FUGG', not b'GGUF'")),
    "HEADER_BAD_VERSION_0": (header, fields(version=0), ("version", "is 0; ggtui reads 2 and 3")),
    "HEADER_BAD_VERSION_1": (header, fields(version=1), ("version", "is 1; ggtui reads 2 and 3")),
    "HEADER_BAD_VERSION_FUTURE": (header, fields(version=4), ("version", "is 4; .*newer ggtui")),
    "HEADER_BAD_N_KV": (header, fields(n_kv=ALL_ONES), ("n_kv", "over the limit")),
    "HEADER_BAD_N_TENSORS": (header, fields(n_tensors=ALL_ONES), ("n_tensors", "over the limit")),
    "HEADER_EMPTY": (header, fields(), None),
    "KV_BAD_KEY_SIZE": (with_pairs, each_pair(key_size=ALL_ONES), ("key 0", "over the limit")),
    "KV_EMPTY_KEY": (with_pairs, each_pair(key=b""), ("key 0", "is empty")),
    "KV_BAD_TYPE": (with_pairs, each_pair(kind=N_KINDS), ("type of my_key_0", "is 13, which GGUF does not have")),
    "KV_DUPLICATE_KEY": (with_pairs, duplicate_keys, ("my_key_0", "stands in the file twice")),
    "KV_BAD_ALIGN": (with_pairs, aligned(13), ("general.alignment", NOT_U32)),
    "KV_WRONG_TYPE_ALIGN": (with_pairs, aligned(32, kind=5), ("general.alignment", NOT_U32)),
    "KV_SUCCESS": (with_pairs, fields(), None),
    "TENSORS_BAD_NAME_SIZE": (with_tensors, long_names, ("name of tensor 0", "over the limit of 63")),
    "TENSORS_BAD_N_DIMS": (with_tensors, each_entry(n_dims=5), ("n_dims of my_tensor_0", "is 5, not 1 to 4")),
    "TENSORS_BAD_SHAPE": (with_tensors, in_all_dims(-1), (r"ne\[0\] of my_tensor_0", "is -1")),
    "TENSORS_ZERO_DIM": (with_tensors, each_entry(ne=[256, 0]), (r"ne\[1\] of my_tensor_0", "is 0")),
    "TENSORS_NE_TOO_BIG": (with_tensors, in_all_dims(4 * (2**31 - 1), 2), ("ne of my_tensor_0", "overflow 64 bits")),
    "TENSORS_NBYTES_TOO_BIG": (with_tensors, too_many_bytes, ("offset of my_tensor_0", "reach past the end")),
    "TENSORS_BAD_TYPE": (with_tensors, each_entry(type=N_TYPES), ("type of my_tensor_0", UNREAD_TYPE)),
    "TENSORS_BAD_OFFSET": (with_tensors, each_entry(offset=ALL_ONES), ("offset of my_tensor_0", "no multiple")),
    "TENSORS_DUPLICATE_NAME": (with_tensors, each_entry(name=b"my_tensor"), ("my_tensor", "in the file twice")),
    "TENSORS_BAD_ALIGN": (with_tensors, aligned(13), ("general.alignment", NOT_U32)),
    "TENSORS_INCONSISTENT_ALIGN": (with_tensors, fields(offset_alignment=1), ("offset of .*", "no multiple of")),
    "TENSORS_SUCCESS": (with_tensors, fields(), None),
    "TENSORS_CUSTOM_ALIGN": (with_tensors, aligned(1), None),
    "TENSORS_SUCCESS without its data": (with_tensors, fields(data=None), ("offset of .*", "reach past the end")),
    "DATA_NOT_ENOUGH_DATA": (with_tensors, fields(data=-1), ("padding of .*", "has 19 of 20 bytes; .* cut short")),
    "DATA_NOT_ENOUGH_DATA by more": (with_tensors, fields(data=-21), ("offset of .*", "past the end of the file")),
    "DATA_BAD_ALIGN": (with_tensors, aligned(13), ("general.alignment", NOT_U32)),
    "DATA_INCONSISTENT_ALIGN": (with_tensors, fields(offset_alignment=1), ("offset of .*", "no multiple of")),
    "DATA_MEM_SIZE_OVERFLOW": (with_tensors, memory_overflow(I8, (1 << 63) - 64), ("type of .*", UNREAD_TYPE)),
    "DATA_MEM_SIZE_OVERFLOW in f32": (
        with_tensors, memory_overflow(TYPES["f32"].id, (1 << 61) - 16), ("offset of .*", "reach past the end"),
    ),
    "DATA_SUCCESS": (with_tensors, fields(), None),
    "DATA_CUSTOM_ALIGN": (with_tensors, aligned(1), None),
}  # fmt: skip


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("name", CASES)
def test_handcrafted(tmp_path: Path, name: str, seed: int) -> None:
    make, change, refusal = CASES[name]
    made = make(random.Random(seed))
    change(made)
    path = tmp_path / "model.gguf"
    path.write_bytes(made.content())
    if refusal is not None:
        with pytest.raises(ModelFileError) as caught:
            GgufFile(path)
        assert caught.value.exit_code == 4 and caught.value.offset is not None
        assert re.fullmatch(refusal[0], caught.value.field), caught.value
        assert re.search(refusal[1], caught.value.problem), caught.value
        return
    with open_model(path) as file:
        assert list(file.metadata) == [pair.key.decode() for pair in made.pairs]
        for pair in made.pairs:
            np.testing.assert_equal(file.metadata[pair.key.decode()], pair.value)  # NaN is NaN
        assert [t.name.encode() for t in file.tensors.values()] == [e.name for e in made.entries]
        start = min((t.offset for t in file.tensors.values()), default=0)
        for t, e in zip(file.tensors.values(), made.entries, strict=True):
            assert (t.type.id, t.ne) == (e.type, (*e.ne, *[1] * (4 - len(e.ne))))
            wanted = np.arange(t.offset - start, t.offset - start + t.n_bytes).astype(np.uint8)
            np.testing.assert_array_equal(file.data(t.name), wanted)
