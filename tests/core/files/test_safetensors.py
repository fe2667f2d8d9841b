"""The reader of safetensors: hand-made files, and everything it refuses."""

from __future__ import annotations

import json
import re
import struct
from pathlib import Path
from typing import Any

import pytest

from ggtui.core.errors import ModelFileError
from ggtui.core.files.model_file import Rows
from ggtui.core.files.safetensors import MAX_HEADER, SafetensorsFile


def container(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(begin: Any = 0, end: Any = 8, shape: Any = (2,), dtype: Any = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def test_a_hand_made_container(tmp_path: Path) -> None:
    path = tmp_path / "x"
    header = {
        "__metadata__": {"format": "pt"},
        "b": entry(8, 12, [1, 1], "F32"),
        "a": entry(),
        "m": entry(12, 14, [2], "BOOL"),
    }
    path.write_bytes(container(header, bytes(range(14))))
    with SafetensorsFile(path) as file:
        at = len(path.read_bytes()) - 14
        assert {name: (e.shape, e.offset - at, e.n_bytes) for name, e in file.entries.items()} == {
            "b": ((1, 1), 8, 4),
            "a": ((2,), 0, 8),
            "m": ((2,), 12, 2),
        }
        assert Rows(file, file.tensor("b"))[:].tobytes() == bytes([8, 9, 10, 11])


@pytest.mark.parametrize(
    ("content", "offset", "field", "said"),
    [
        (b"\x02\0\0\0", 0, "header length", "takes 8 bytes, the file has 4"),
        (container({}, length=MAX_HEADER + 1), 0, "header length", "is 16777217, over the limit"),
        (container({}, length=3), 0, "header length", "is 3, but 2 bytes follow"),
        (container({}), 8, "header", "describes 0 tensors"),
        (container(b"{x"), 9, "header", "is not JSON"),
        (container(b"[]"), 8, "header", "is a list, not an object"),
        (container(b'{"a":1,"a":1}'), 8, "header", "has the key 'a' twice"),
        (container(b'{"a":' + b"[" * 100_000), 8, "header", "is nested too deeply"),
        (container({"a": 1}), 9, "description of a", "is not made of dtype, shape and data_offsets"),
        (container({"a": {"dtype": "F32"}}), 9, "description of a", "is not made of"),
        (container({"a": {**entry(), "x": 1}}, bytes(8)), 9, "description of a", "is not made of"),
        (container({"a": entry(dtype="F31")}, bytes(8)), 9, "dtype of a", "is 'F31', which safetensors does not have"),
        (container({"a": entry(dtype=[])}, bytes(8)), 9, "dtype of a", r"is \[\], which"),
        (container({"a": entry(shape=[-2])}, bytes(8)), 9, "shape of a", r"is \[-2\], not a list of at most 8 sizes"),
        (container({"a": entry(shape=[True, 2])}, bytes(8)), 9, "shape of a", r"is \[True, 2\], not"),
        (container({"a": entry(shape=2)}, bytes(8)), 9, "shape of a", "is 2, not"),
        (container({"a": entry(shape=[1] * 9)}, bytes(8)), 9, "shape of a", "is .* not a list of at most 8 sizes"),
        (container({"a": entry(shape=[1 << 63, 0])}, bytes(8)), 9, "shape of a", "is .* not a list of at most 8"),
        (container({"a": entry(shape=[3])}, bytes(8)), 9, "shape of a", r"\[3\] of F32 takes 12 bytes, .* give 8"),
        (container({"a": entry(shape=[1 << 62, 4])}, bytes(8)), 9, "shape of a", ".* takes .* bytes, data_offsets"),
        (container({"a": entry(end=16, shape=[4])}, bytes(8)), 9, "data_offsets of a", "are 0 and 16; the data has 8"),
        (container({"a": entry(begin=8, end=0)}, bytes(8)), 9, "data_offsets of a", "are 8 and 0"),
        (container({"a": entry(begin=-8, end=0)}, bytes(8)), 9, "data_offsets of a", "are .* not a start and an end"),
        (container({"a": {**entry(), "data_offsets": [8]}}, bytes(8)), 9, "data_offsets of a", "are .* not a start"),
        (
            container({"a": entry(), "b": entry(4, 12)}, bytes(12)),
            70,
            "data_offsets of b",
            "its data overlaps that of a",
        ),
        (container({"a": entry(), "b": entry()}, bytes(8)), 70, "data_offsets of b", "its data overlaps that of a"),
        (container({"a": entry(), "b": entry(12, 20)}, bytes(20)), 70, "data_offsets of b", "its data leaves a hole"),
        (container({"a": entry(4, 12)}, bytes(12)), 9, "data_offsets of a", "its data leaves a hole behind the header"),
        (container({"a": entry()}, bytes(9)), 77, "data", "1 bytes follow the last tensor, a"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_containers_that_are_refused(tmp_path: Path, content: bytes, offset: int, field: str, said: str) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(ModelFileError) as caught:
        SafetensorsFile(path)
    assert (caught.value.path, caught.value.offset, caught.value.field) == (path, offset, field)
    assert re.match(said, caught.value.problem), caught.value.problem
