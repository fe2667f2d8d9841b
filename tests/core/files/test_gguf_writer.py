"""What the writer writes, the gguf package and the reader read; what GGUF cannot hold it refuses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from ggtui.core.errors import GgtuiError, ShapeError, UsageError
from ggtui.core.files.gguf import GgufFile
from ggtui.core.files.gguf_writer import OutTensor, write_gguf
from ggtui.core.graph.types import TYPES
from ggtui.core.runtime.reference.quants import quantize

METADATA: dict[str, Any] = {
    "general.architecture": "gpt2",
    "gpt2.block_count": 12,
    "negative": -3,
    "large": 1 << 40,
    "large negative": -(1 << 40),
    "eps": 0.5,
    "yes": True,
    "short": np.uint16(7),
    "double": np.float64(0.1),
    "tokens": ["a", "Ġb", "ü"],
    "types": [1, 3, -1],
    "large list": [1, 1 << 40],
    "scores": [0, 0.5, -1.25],
    "flags": [True, False],
    "bytes": np.arange(5, dtype=np.uint8),
    "empty": [],
}
KINDS = {
    "general.architecture": "STRING", "gpt2.block_count": "UINT32", "negative": "INT32", "large": "UINT64",
    "large negative": "INT64", "eps": "FLOAT32", "yes": "BOOL", "short": "UINT16", "double": "FLOAT64",
    "tokens": "ARRAY STRING", "types": "ARRAY INT32", "large list": "ARRAY INT64", "scores": "ARRAY FLOAT32",
    "flags": "ARRAY BOOL", "bytes": "ARRAY UINT8",
}  # fmt: skip


def out_tensor(name: str, x: np.ndarray, type: str) -> OutTensor:
    """A tensor of the rows of x, given row by row."""
    packed = quantize(x, type)
    return OutTensor(name, TYPES[type], x.shape[::-1], lambda: iter(packed.reshape(-1, packed.shape[-1])))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.gguf"


def a_model() -> tuple[list[OutTensor], np.ndarray]:
    x = np.random.default_rng(1).normal(size=(5, 64)).astype(np.float32)
    return [out_tensor(name, x, name) for name in ("f32", "q4_0", "f16", "bf16", "q8_0")], x


def test_the_gguf_package_reads_it(path: Path) -> None:
    tensors, x = a_model()
    write_gguf(path, {k: v for k, v in METADATA.items() if k != "empty"}, iter(tensors))  # it cannot read empty arrays
    reader = gguf.GGUFReader(path)
    assert {key: " ".join(t.name for t in reader.fields[key].types) for key in KINDS} == KINDS
    for key in KINDS:
        assert np.array_equal(reader.fields[key].contents(), METADATA[key])
    assert reader.fields["GGUF.version"].contents() == 3
    assert [t.name for t in reader.tensors] == [t.name for t in tensors]
    for theirs in reader.tensors:
        assert theirs.tensor_type.name.lower() == theirs.name
        assert theirs.shape.tolist() == [64, 5]
        assert theirs.data_offset % 32 == 0
        assert np.array_equal(theirs.data.view(np.uint8), quantize(x, theirs.name))
    assert path.stat().st_size % 32 == 0


def test_the_reader_reads_it(path: Path) -> None:
    tensors, x = a_model()
    write_gguf(path, METADATA | {"general.alignment": 4096}, tensors)
    with GgufFile(path) as file:
        expected = METADATA | {"bytes": [0, 1, 2, 3, 4]}
        np.testing.assert_equal(dict(file.metadata), expected)
        assert list(file.metadata) == list(expected)
        for t in tensors:
            assert file.tensors[t.name].ne == (64, 5, 1, 1)
            assert np.array_equal(file.data(t.name), quantize(x, t.name).ravel())


def test_metadata_survives_reading_and_writing(path: Path) -> None:
    write_gguf(path, METADATA, [])
    with GgufFile(path) as file:
        first = dict(file.metadata)
    write_gguf(path, first, [])
    with GgufFile(path) as file:
        del first["double"]  # Python's float does not say that it was a f64
        np.testing.assert_equal({key: file.metadata[key] for key in first}, first)


def test_data_is_asked_for_one_tensor_at_a_time(path: Path) -> None:
    events: list[str] = []

    def chunks(name: str) -> Iterator[bytes]:
        for i in range(2):
            events.append(f"{name}{i}")
            yield bytes([i]) * 16

    tensors = [OutTensor(name, TYPES["f32"], (4, 2), lambda name=name: chunks(name)) for name in "ab"]
    write_gguf(path, {}, tensors)
    assert events == ["a0", "a1", "b0", "b1"]
    with GgufFile(path) as file:
        assert file.data("b").tobytes() == bytes(16) + b"\1" * 16


F32 = TYPES["f32"]
REFUSED: dict[str, tuple[dict[str, Any], list[tuple[Any, ...]], type[GgtuiError], str]] = {
    "empty key": ({"": 1}, [], UsageError, "metadata key '': must be 1 to 65535 bytes"),
    "long key": ({"k" * 65536: 1}, [], UsageError, "must be 1 to 65535 bytes"),
    "no value": ({"k": None}, [], UsageError, "metadata k: GGUF cannot hold None"),
    "mapping": ({"k": {}}, [], UsageError, "metadata k: GGUF cannot hold {}"),
    "mixed list": ({"k": [1, "a"]}, [], UsageError, "metadata k: GGUF cannot hold"),
    "nested list": ({"k": [[1]]}, [], UsageError, "metadata k: GGUF cannot hold"),
    "matrix": ({"k": np.zeros((2, 2))}, [], UsageError, "metadata k: GGUF cannot hold"),
    "complex number": ({"k": np.complex64(1)}, [], UsageError, "metadata k: GGUF cannot hold"),
    "huge number": ({"k": 1 << 64}, [], UsageError, "metadata k: GGUF cannot hold"),
    "empty name": ({}, [("", F32, (4,))], UsageError, "tensor '': its name must be 1 to 63 bytes"),
    "long name": ({}, [("ü" * 32, F32, (4,))], UsageError, "its name must be 1 to 63 bytes"),
    "repeated name": ({}, [("a", F32, (4,)), ("a", F32, (4,))], UsageError, "tensor a: given twice"),
    "type of the runtime": ({}, [("a", TYPES["q8_a"], (32,))], UsageError, "a file cannot hold type q8_a"),
    "no dimensions": ({}, [("a", F32, ())], UsageError, r"tensor a: ne \(\) must be 1 to 4 numbers over 0"),
    "five dimensions": ({}, [("a", F32, (1, 1, 1, 1, 1))], UsageError, "tensor a: ne "),
    "dimension 0": ({}, [("a", F32, (4, 0))], UsageError, "tensor a: ne "),
    "part of a block": ({}, [("a", TYPES["q4_0"], (33,))], ShapeError, "q4_0: a row of 33"),
    "too little data": ({}, [("a", F32, (5,))], GgtuiError, "tensor a: takes 20 bytes, 16 were given"),
    "too much data": ({}, [("a", F32, (3,))], GgtuiError, "tensor a: takes 12 bytes, 16 were given"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_and_the_old_file_is_kept(path: Path, name: str) -> None:
    metadata, described, error, message = REFUSED[name]
    path.write_bytes(b"old")
    with pytest.raises(error, match=message):
        write_gguf(path, metadata, [OutTensor(*args, lambda: [bytes(16)]) for args in described])
    assert path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path]


def test_a_failing_source_leaves_nothing(path: Path) -> None:
    def chunks() -> Iterator[bytes]:
        yield bytes(4)
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        write_gguf(path, {}, [OutTensor("a", F32, (4,), chunks)])
    assert not list(path.parent.iterdir())


def test_a_place_that_cannot_be_written(path: Path) -> None:
    with pytest.raises(GgtuiError, match=r"none/model\.gguf: cannot be written: No such file or directory"):
        write_gguf(path.parent / "none" / path.name, {}, [])


def test_a_float_beyond_f32_stays_what_it_is(path: Path) -> None:
    numbers = {"a": 1e300, "b": [0.5, -1e39], "c": float("inf"), "d": 3.4028234e38, "e": float("nan")}
    write_gguf(path, numbers, [])
    with GgufFile(path) as file:
        for key, value in numbers.items():
            np.testing.assert_equal(file.metadata[key], np.float32(value) if key in "cde" else value)
