"""The reader of GGUF: what it reads, and everything it refuses, on files built byte by byte."""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from pathlib import Path

import gguf
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ggtui.core.errors import GgtuiError, ModelFileError, UsageError
from ggtui.core.files.gguf import GgufFile
from ggtui.core.graph.types import TYPES

VOCABULARY = Path(__file__).parents[2] / "data/ggml-vocab-gpt-2.gguf"

U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 = range(13)
FORMATS = {U8: "B", I8: "b", U16: "H", I16: "h", U32: "I", I32: "i", F32: "f", BOOL: "B", U64: "Q", I64: "q", F64: "d"}


def number(kind: int, value: float) -> bytes:
    return struct.pack("<" + FORMATS[kind], value)


def u32(value: int) -> bytes:
    return number(U32, value)


def u64(value: int) -> bytes:
    return number(U64, value)


def string(text: str | bytes) -> bytes:
    raw = text.encode() if isinstance(text, str) else text
    return u64(len(raw)) + raw


def pair(key: str | bytes, kind: int, value: bytes) -> bytes:
    return string(key) + u32(kind) + value


def array(kind: int, items: Sequence[bytes], n: int | None = None) -> bytes:
    return u32(kind) + u64(len(items) if n is None else n) + b"".join(items)


def tensor(name: str, ne: Sequence[int], offset: int = 0, type: int = 0, n_dims: int | None = None) -> bytes:
    """The description of a tensor."""
    sizes = b"".join(number(I64, n) for n in ne)
    return string(name) + u32(len(ne) if n_dims is None else n_dims) + sizes + u32(type) + u64(offset)


def build(
    pairs: Sequence[bytes] = (),
    tensors: Sequence[bytes] = (),
    data: bytes = b"",
    magic: bytes = b"GGUF",
    version: bytes = b"\3\0\0\0",
    n_tensors: int | None = None,
    n_pairs: int | None = None,
    alignment: int = 32,
) -> bytes:
    """A file. Its first key starts at byte 24."""
    counts = u64(len(tensors) if n_tensors is None else n_tensors) + u64(len(pairs) if n_pairs is None else n_pairs)
    header = magic + version + counts + b"".join(pairs) + b"".join(tensors)
    return header + bytes(-len(header) % alignment) + data


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.gguf"


def test_values_of_every_type(path: Path) -> None:
    values = {
        "u8": (U8, 200), "i8": (I8, -100), "u16": (U16, 60000), "i16": (I16, -30000), "u32": (U32, 1 << 31),
        "i32": (I32, -(1 << 31)), "f32": (F32, 0.5), "bool": (BOOL, True), "u64": (U64, (1 << 64) - 1),
        "i64": (I64, -(1 << 63)), "f64": (F64, 0.1),
    }  # fmt: skip
    pairs = [pair(key, kind, number(kind, value)) for key, (kind, value) in values.items()]
    pairs += [pair(f"{key}s", ARRAY, array(kind, [number(kind, v)] * 3)) for key, (kind, v) in values.items()]
    pairs += [
        pair("text", STRING, string("Ġhé")),
        pair("texts", ARRAY, array(STRING, [string(t) for t in ("a", "", "ü")])),
    ]
    path.write_bytes(build(pairs))
    with GgufFile(path) as file:
        expected = {key: value for key, (_, value) in values.items()}
        expected |= {f"{key}s": [value] * 3 for key, (_, value) in values.items()}
        expected |= {"text": "Ġhé", "texts": ["a", "", "ü"]}
        np.testing.assert_equal(dict(file.metadata), expected)
        assert list(file.metadata) == list(expected)
        for key, value in expected.items():
            assert type(file.metadata[key]) is type(value) or isinstance(value, list)
        assert [file.metadata[f"{key}s"].dtype.str[1:] for key in ("u8", "f32", "bool")] == ["u1", "f4", "b1"]


@pytest.mark.parametrize("version", [2, 3])
def test_tensors_are_those_of_the_file(path: Path, version: int) -> None:
    one, two = np.arange(6, dtype=np.float32), np.arange(18 * 2, dtype=np.uint8)
    described = [tensor("two", (32, 2), 64, type=2), tensor("one", (3, 1, 2), 0)]
    path.write_bytes(build((), described, one.tobytes() + bytes(64 - 24) + two.tobytes(), version=u32(version)))
    with GgufFile(path) as file:
        assert list(file.tensors) == ["two", "one"]
        info = file.tensors["one"]
        assert (info.name, info.type, info.ne, info.n_bytes) == ("one", TYPES["f32"], (3, 1, 2, 1), 24)
        assert info.offset % 32 == 0
        assert np.array_equal(file.data("one").view(np.float32), one)
        assert np.array_equal(file.data("two"), two)
        assert np.array_equal(file.rows("two")[1:], two[18:].reshape(1, 18))
        assert file.rows("one")[5:].shape == (0, 12) and len(file.rows("one")) == 2
        with pytest.raises(UsageError, match="has no tensor 'three'"):
            file.data("three")
        kept = file.data("two")
    assert np.array_equal(kept, two)
    with pytest.raises(GgtuiError, match="is closed"):
        file.data("two")


def test_alignment_is_read_from_the_file(path: Path) -> None:
    header = ([pair("general.alignment", U32, u32(512))], [tensor("a", (1,), 0), tensor("b", (1,), 512)])
    path.write_bytes(build(*header, number(F32, 1) + bytes(508) + number(F32, 2), alignment=512))
    with GgufFile(path) as file:
        assert file.tensors["b"].offset == 1024
        assert file.data("b").view(np.float32) == 2


def test_it_reads_what_the_gguf_package_writes(path: Path) -> None:
    writer = gguf.GGUFWriter(path, "gpt2")
    writer.add_block_count(3)
    writer.add_layer_norm_eps(1e-5)
    writer.add_token_list(["a", "Ġb"])
    writer.add_token_types([1, 3])
    writer.add_bool("flag", True)
    x = np.random.default_rng(1).normal(size=(4, 64)).astype(np.float32)
    writer.add_tensor("x", x)
    packed = gguf.quants.quantize(x, gguf.GGMLQuantizationType.Q4_0)
    writer.add_tensor("q", packed, raw_dtype=gguf.GGMLQuantizationType.Q4_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with GgufFile(path) as file:
        assert file.metadata["general.architecture"] == "gpt2"
        assert file.metadata["gpt2.block_count"] == 3
        assert file.metadata["gpt2.attention.layer_norm_epsilon"] == np.float32(1e-5)
        assert file.metadata["tokenizer.ggml.tokens"] == ["a", "Ġb"]
        assert file.metadata["tokenizer.ggml.token_type"].tolist() == [1, 3]
        assert file.metadata["flag"] is True
        assert file.tensors["x"].ne == file.tensors["q"].ne == (64, 4, 1, 1)
        assert file.tensors["q"].type is TYPES["q4_0"]
        assert np.array_equal(file.data("x").view(np.float32).reshape(4, 64), x)
        assert np.array_equal(file.data("q").reshape(4, 36), packed)


def test_a_whole_vocabulary() -> None:
    with GgufFile(VOCABULARY) as file:
        assert not file.tensors
        assert file.metadata["gpt2.embedding_length"] == 768
        tokens, types, merges = (file.metadata[f"tokenizer.ggml.{key}"] for key in ("tokens", "token_type", "merges"))
        assert (len(tokens), tokens[:2], tokens[-1]) == (50257, ["!", '"'], "<|endoftext|>")
        assert (len(types), set(types[:-1]), types[-1]) == (50257, {1}, 3)
        assert (len(merges), merges[0], merges[-1]) == (50000, "Ġ t", "Ġg azed")


SHORT = pair("k", U8, b"\1")
ONE = tensor("a", (8,))
ALIGNMENT = "general.alignment"
REFUSED: dict[str, tuple[bytes, str, str, int]] = {  # file, field, problem, byte
    "bad magic": (build(magic=b"GGML"), "magic", "is b'GGML', not b'GGUF'", 0),
    "only three bytes": (b"GGU", "magic", "needs 4 bytes, 3 are left", 0),
    "no version": (b"GGUF\3", "version", "needs 4 bytes, 1 are left", 4),
    "version 0": (build(version=u32(0)), "version", "is 0; ggtui reads 2 and 3; convert the model anew", 4),
    "version 1": (build(version=u32(1)), "version", "is 1; ggtui reads 2 and 3; convert the model anew", 4),
    "version of the future": (build(version=u32(4)), "version", "is 4; .* a newer ggtui may read it", 4),
    "byte-swapped version": (build(version=b"\0\0\0\3"), "version", "is 3 in big-endian order", 4),
    "no counts": (build()[:12], "n_tensors", "needs 8 bytes, 4 are left", 8),
    "tensors past the end": (build(n_tensors=9), "n_tensors", "is 9, but at most 0 fit", 8),
    "tensors over the cap": (build(n_tensors=1 << 63), "n_tensors", "over the limit of 65536", 8),
    "keys past the end": (build([SHORT], n_pairs=3), "n_kv", "is 3, but at most 2 fit", 16),
    "keys over the cap": (build(n_pairs=1 << 63), "n_kv", "over the limit of 65536", 16),
    "empty key": (build([pair("", STRING, string("xxxx"))]), "key 0", "is empty", 24),
    "key over the cap": (build([pair("k" * 65536, U8, b"\1")]), "key 0", "is 65536 bytes long, over the limit", 24),
    "key past the end": (build([u64(60000) + bytes(9)]), "key 0", "needs 60000 bytes", 32),
    "key of 2^64 - 1 bytes": (build([u64((1 << 64) - 1) + bytes(9)]), "key 0", "over the limit", 24),
    "key that is no UTF-8": (build([pair(b"\xff", U32, u32(1))]), "key 0", "is not valid UTF-8", 24),
    "repeated key": (build([SHORT, SHORT]), "k", "stands in the file twice", 38),
    "unknown value type": (build([pair("k", 13, bytes(9))]), "type of k", "is 13, which GGUF does not have", 33),
    "value past the end": (build([pair("key", U64, u64(1))])[:44], "key", "needs 8 bytes, 5 are left", 39),
    "text past the end": (build([pair("k", STRING, u64(99) + b"abc")]), "k", "needs 99 bytes", 45),
    "text over the cap": (build([pair("k", STRING, u64(1 << 62))]), "k", "over the limit of 16777216", 37),
    "nested array": (build([pair("k", ARRAY, array(ARRAY, [array(U8, [b"1"])]))]), "element type of k", "is array", 37),
    "unknown element type": (build([pair("k", ARRAY, array(99, []))]), "element type of k", "is 99, which", 37),
    "array past the end": (build([pair("k", ARRAY, array(U64, [], 9))]), "length of k", "is 9, but at most 1 fit", 41),
    "array over the cap": (build([pair("k", ARRAY, array(U8, [], 1 << 40))]), "length of k", "over the limit", 41),
    "texts past the end": (build([pair("k", ARRAY, array(STRING, [], 9))]), "length of k", "is 9, but at most 1", 41),
    "texts over the cap": (build([pair("k", ARRAY, array(STRING, [], 1 << 40))]), "length of k", "over the limit", 41),
    "text of an array past the end": (
        build([pair("k", ARRAY, array(STRING, [string("ab"), u64(999)]))]), r"k\[1\]", "needs 999 bytes", 67,
    ),
    "text of an array over the cap": (
        build([pair("k", ARRAY, array(STRING, [string("ab"), u64(1 << 63)]))]), r"k\[1\]", "over the limit", 59,
    ),
    "text of an array that ends in its length": (
        build([pair("k", ARRAY, array(STRING, [string("a" * 8), string("bcd")]))])[:68], r"k\[1\]", "needs 8 bytes", 65,
    ),
    "alignment 0": (build([pair(ALIGNMENT, U32, u32(0))]), ALIGNMENT, "is 0, not a power", 24),
    "alignment 48": (build([pair(ALIGNMENT, U32, u32(48))]), ALIGNMENT, "is 48, not a power", 24),
    "alignment as u64": (build([pair(ALIGNMENT, U64, u64(32))]), ALIGNMENT, "is 32, not .*as u32", 24),
    "alignment true": (build([pair(ALIGNMENT, BOOL, b"\1")]), ALIGNMENT, "is True, not .*as u32", 24),
    "alignment over 1 MiB": (build([pair(ALIGNMENT, U32, u32(1 << 21))]), ALIGNMENT, "is 2097152", 24),
    "alignment in words": (build([pair(ALIGNMENT, STRING, string("32"))]), ALIGNMENT, "is '32'", 24),
    "tensor without a name": (build((), [tensor("", (8,)), ONE], bytes(64)), "name of tensor 0", "is empty", 24),
    "name over 63 bytes": (build((), [tensor("x" * 64, (8,))], bytes(32)), "name of tensor 0", "is 64 bytes long", 24),
    "repeated name": (build((), [ONE, tensor("a", (8,), 32)], bytes(64)), "a", "stands in the file twice", 57),
    "descriptions past the end": (build((), [tensor("a" * 60, (8,))])[:90], "name of tensor 0", "needs 60 bytes", 32),
    "no dimensions": (build((), [tensor("ab", ()), ONE], bytes(32)), "n_dims of ab", "is 0, not 1 to 4", 34),
    "five dimensions": (build((), [tensor("a", (1,) * 5)], bytes(32)), "n_dims of a", "is 5, not 1 to 4", 33),
    "2^32 - 1 dimensions": (build((), [tensor("a", (1,), n_dims=(1 << 32) - 1)]), "n_dims of a", "is 4294967295", 33),
    "dimension 0": (build((), [tensor("a", (8, 0))], bytes(32)), r"ne\[1\] of a", "is 0; a dimension is at least", 45),
    "negative dimension": (build((), [tensor("a", (-8,))], bytes(32)), r"ne\[0\] of a", "is -8", 37),
    "elements that overflow": (build((), [tensor("a", (1 << 31, 1 << 31, 2))]), "ne of a", "overflow 64 bits", 37),
    "bytes that overflow": (build((), [tensor("a", (1 << 62,))], bytes(32)), "offset of a", "reach past the end", 49),
    "unknown tensor type": (build((), [tensor("a", (32,), type=999)], bytes(64)), "type of a", "is 999, .*0 f32", 45),
    "tensor type of the runtime": (build((), [tensor("a", (32,), type=256)], bytes(64)), "type of a", "is 256", 45),
    "part of a block": (build((), [tensor("a", (33,), type=2)], bytes(64)), r"ne\[0\] of a", "is 33, no whole", 37),
    "unaligned offset": (build((), [tensor("a", (8,), 4)], bytes(64)), "offset of a", "is 4, no multiple of .* 32", 49),
    "offset past the end": (build((), [tensor("a", (8,), 64)], bytes(64)), "offset of a", "32 bytes reach past", 49),
    "offset that overflows": (build((), [tensor("a", (8,), (1 << 64) - 32)], bytes(64)), "offset of a", "past", 49),
    "overlapping tensors": (
        build((), [tensor("a", (9,), 32), tensor("b", (9,), 64), tensor("c", (8,), 0)], bytes(100)),
        "offset of b", "its data overlaps that of a", 82,
    ),
    "the same offset twice": (build((), [ONE, tensor("b", (8,))], bytes(64)), "offset of b", "overlaps that of a", 82),
    "data cut short": (build((), [ONE], bytes(32))[:-1], "offset of a", "is 0; its 32 bytes reach past the end", 49),
    "no data at all": (build((), [ONE])[:57], "offset of a", "reach past the end of the file, which is cut short", 49),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused(path: Path, name: str) -> None:
    content, field, problem, offset = REFUSED[name]
    path.write_bytes(content)
    with pytest.raises(ModelFileError) as caught:
        GgufFile(path)
    error = caught.value
    assert (error.path, error.exit_code) == (path, 4)
    assert re.fullmatch(field, error.field), error
    assert re.search(problem, error.problem), error
    assert error.offset == offset, error


def test_what_the_refused_are_close_to_is_read(path: Path) -> None:
    """Longest name, all dimensions, neighbours without a gap, an array without elements, the last byte of the file."""
    pairs = [pair("k" * 65535, ARRAY, array(STRING, [])), pair("e", ARRAY, array(U8, []))]
    tensors = [tensor("x" * 63, (2, 2, 2, 1), 32), tensor("b", (8,), 0), tensor("c", (32,), 64, type=2)]
    path.write_bytes(build(pairs, tensors, bytes(64 + 18)))
    with GgufFile(path) as file:
        assert file.metadata["k" * 65535] == [] and len(file.metadata["e"]) == 0
        assert file.tensors["x" * 63].ne == (2, 2, 2, 1)
        assert file.data("c").shape == (18,)


def a_small_model() -> bytes:
    tokens = [string(t) for t in ("a", "b", "Ġc")]
    pairs = [
        pair("general.architecture", STRING, string("gpt2")),
        pair("general.alignment", U32, u32(32)),
        pair("tokens", ARRAY, array(STRING, tokens)),
        pair("types", ARRAY, array(I32, [number(I32, 1)] * 3)),
        pair("flags", ARRAY, array(BOOL, [b"\0\1"], 2)),
        pair("eps", F32, number(F32, 1e-5)),
    ]
    tensors = [tensor("q", (64, 2), 0, type=2), tensor("w", (8, 3), 96), tensor("b", (2,), 192, type=1)]
    return build(pairs, tensors, bytes(range(72)) + bytes(24) + bytes(96) + bytes(4))


MODEL = a_small_model()
INTERESTING = [
    0,
    1,
    2,
    7,
    8,
    9,
    31,
    32,
    33,
    127,
    128,
    255,
    1 << 16,
    (1 << 31) - 1,
    1 << 31,
    1 << 32,
    1 << 62,
    (1 << 64) - 1,
]


@st.composite
def mutations(draw: st.DrawFn) -> bytes:
    data = bytearray(MODEL)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(data) - 1)) if data else 0
        match draw(st.integers(0, 4)):
            case 0:
                data[at : at + 1] = draw(st.binary(min_size=1, max_size=1))
            case 1:
                width = draw(st.sampled_from([4, 8]))
                value = draw(st.sampled_from(INTERESTING)) % (1 << 8 * width)
                data[at : at + width] = value.to_bytes(width, "little")
            case 2:
                del data[at:]
            case 3:
                del data[at : at + draw(st.integers(1, 16))]
            case 4:
                data[at:at] = draw(st.binary(min_size=1, max_size=16))
    return bytes(data)


@settings(max_examples=1000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(mutations())
def test_a_damaged_file_is_read_or_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    try:
        file = GgufFile(path)
    except ModelFileError as error:
        assert error.offset is None or 0 <= error.offset <= len(content)
        return
    with file:
        for name, info in file.tensors.items():
            assert len(file.data(name)) == info.n_bytes > 0


@pytest.mark.parametrize("length", range(len(MODEL)))
def test_every_prefix_is_refused(path: Path, length: int) -> None:
    path.write_bytes(MODEL[:length])
    with pytest.raises(ModelFileError):
        GgufFile(path)
