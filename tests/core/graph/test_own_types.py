"""Tensor types of a user's own: by blocks and by rows, in memory, in files, in a model that runs."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ggtui import Context, Graph, ops, register_type
from ggtui.core.engine.model import BUILT_IN
from ggtui.core.engine.session import Session
from ggtui.core.errors import GgtuiError, ModelFileError, ShapeError, UsageError
from ggtui.core.files import OutTensor, open_model, write_gguf
from ggtui.core.files.check import bad_blocks
from ggtui.core.files.convert import convert
from ggtui.core.graph.own_types import register_from
from ggtui.core.graph.types import TYPES
from ggtui.core.runtime.cpu.codec import decode_rows, encode_rows
from ggtui.core.runtime.cpu.native import check, ffi, lib
from ggtui.core.runtime.reference.quants import dequantize, quantize

EXAMPLE = Path(__file__).parents[3] / "examples" / "07_custom_quant.py"


@register_type
class Row8:
    """One f32 scale a row, 8 bits a weight."""

    name, head, block, bytes = "test_row8", 4, 1, 1

    @staticmethod
    def encode(rows: Any) -> Any:
        scale = np.maximum(np.abs(rows).max(axis=1, keepdims=True), np.float32(1e-20)) / np.float32(127)
        return np.hstack([scale.view(np.uint8), np.rint(rows / scale).astype(np.int8).view(np.uint8)])

    @staticmethod
    def decode(rows: Any) -> Any:
        return np.ascontiguousarray(rows[:, :4]).view(np.float32) * rows[:, 4:].view(np.int8)


@register_type
class Block4:
    """4 bits a weight, 16 weights sharing an f16 scale."""

    name, head, block, bytes = "test_block4", 0, 16, 10

    @staticmethod
    def encode(rows: Any) -> Any:
        x = rows.reshape(-1, 16)
        scale = np.abs(x).max(axis=1, keepdims=True).astype(np.float16)
        d = np.where(scale > 0, scale, 1).astype(np.float32) / 7
        q = (np.rint(np.clip(x / d, -7, 7)) + 8).astype(np.uint8)
        return np.hstack([scale.view(np.uint8), q[:, :8] | q[:, 8:] << 4]).reshape(len(rows), -1)

    @staticmethod
    def decode(rows: Any) -> Any:
        b = rows.reshape(-1, 10)
        d = np.ascontiguousarray(b[:, :2]).view(np.float16).astype(np.float32) / 7
        q = np.hstack([b[:, 2:] & 15, b[:, 2:] >> 4]).astype(np.float32) - 8
        return (d * q).reshape(len(rows), -1)


OWN = (Row8, Block4)


def random(*shape: int) -> Any:
    return np.random.default_rng(5).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("own", OWN)
def test_a_row_of_the_table(own: Any) -> None:
    type = TYPES[own.name]
    assert type.own and type.file and type.id >= 1000
    assert type.row_bytes(64) == own.head + 64 // own.block * own.bytes
    rows = encode_rows(type, random(3, 64))
    assert rows.shape == (3, type.row_bytes(64)) and rows.dtype == np.uint8
    np.testing.assert_allclose(decode_rows(type, rows), random(3, 64), atol=0.3)
    np.testing.assert_array_equal(quantize(random(3, 1, 64), own.name), rows[:, None])
    np.testing.assert_array_equal(dequantize(rows.tobytes(), own.name, 64), decode_rows(type, rows))


@pytest.mark.parametrize("own", OWN)
@pytest.mark.parametrize("shape", [(33, 64), (2, 3, 17, 32)])
def test_a_tensor(own: Any, shape: tuple[int, ...]) -> None:
    t = Context().tensor(random(*shape), type=own.name)
    rows = random(*shape).reshape(-1, shape[-1])
    wanted = own.decode(own.encode(rows)).reshape(shape)
    np.testing.assert_array_equal(t.numpy(), wanted)
    part = ops.view(t, (shape[-1], 3), offset=2 * t.nb[1])
    np.testing.assert_array_equal(part.numpy(), wanted.reshape(-1, shape[-1])[2:5])


@pytest.mark.parametrize("own", OWN)
@pytest.mark.parametrize("n", [1, 5])
@pytest.mark.parametrize("threads", [1, 3])
def test_mul_mat_and_get_rows(own: Any, n: int, threads: int) -> None:
    """Weights whose rows are no whole number of tiles; b in its place and turned round."""
    ctx = Context()
    w = ctx.tensor(random(35, 64), "w", own.name)
    b = ctx.tensor(random(n, 64), "b")
    turned = ops.transpose(ctx.tensor(np.ascontiguousarray(random(n, 64).T)))
    bias = ctx.tensor(random(35))
    rows = ctx.tensor(np.array([34, 0, 17], np.int32))
    results = [ops.add(ops.mul_mat(w, b), bias), ops.add(ops.mul_mat(w, turned), bias), ops.get_rows(w, rows)]
    g = Graph()
    for t in results:
        g.build_forward_expand(t)
    g.compute(threads=threads)
    x = own.decode(own.encode(random(35, 64)))
    for t in results[:2]:
        np.testing.assert_allclose(t.numpy(), random(n, 64) @ x.T + random(35), rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(results[2].numpy(), x[[34, 0, 17]])


def test_part_of_the_rows(own: Any = Row8) -> None:
    """A view whose rows do not follow each other: every second one."""
    ctx = Context()
    w = ctx.tensor(random(40, 64), "w", own.name)
    t = ops.mul_mat(ops.view(w, (64, 20), (2 * w.nb[1],)), ctx.tensor(random(2, 64)))
    g = Graph()
    g.build_forward_expand(t)
    g.compute()
    x = own.decode(own.encode(random(40, 64)))[::2]
    np.testing.assert_allclose(t.numpy(), random(2, 64) @ x.T, rtol=1e-4, atol=1e-4)


def test_what_rows_cannot_do() -> None:
    t = Context().tensor(random(4, 64), type="test_row8")
    with pytest.raises(ShapeError, match="rows of blocks can't be turned"):
        ops.transpose(t)
    with pytest.raises(ShapeError, match="rows of blocks can't be turned"):
        ops.permute(t, 1, 0, 2, 3)
    with pytest.raises(ShapeError, match="keep their length"):
        ops.reshape(t, 128, 2)
    with pytest.raises(ShapeError, match="is not where a row"):
        ops.view(t, (32, 4), (t.nb[1],), offset=36)
    with pytest.raises(UsageError, match="can't be packed"):
        Context().new_tensor("test_row8", (64, 4), packed=True)


def graph_of(decode: Any, name: str) -> Graph:
    """A product with weights of a type that is Row8 but for its decode."""
    codec = type(name, (Row8,), {"name": name, "decode": staticmethod(decode)})
    register_type(codec)
    ctx = Context()
    g = Graph()
    g.build_forward_expand(ops.mul_mat(ctx.tensor(random(40, 64), type=name), ctx.tensor(random(1, 64))))
    return g


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_what_a_codec_raises_comes_out(error: type[BaseException]) -> None:
    def decode(rows: Any) -> Any:
        raise error("no")

    g = graph_of(decode, "test_raises")
    for _ in range(2):
        with pytest.raises(error, match="no"):
            g.compute(threads=3)


def test_a_codec_of_the_wrong_shape() -> None:
    g = graph_of(lambda rows: np.zeros((len(rows), 63)), "test_shape")
    with pytest.raises(ShapeError, match=r"type test_shape: decode gave \(32, 63\) for 32 rows, not \(32, 64\)"):
        g.compute()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"name": "Q4"}, "lower-case"),
        ({"name": "x" * 32}, "at most 31"),
        ({"name": "q4_0"}, "q4_0: exists"),
        ({"name": "test_block4"}, "test_block4: exists"),
        ({"name": "test_x", "block": 0}, "at least 1, 1 and 0"),
        ({"name": "test_x", "bytes": 1.5}, "at least 1, 1 and 0"),
        ({"name": "test_x", "head": -1}, "at least 1, 1 and 0"),
    ],
)
def test_refused_classes(change: dict[str, Any], problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        register_type(type("Bad", (Row8,), change))


def test_the_same_again_replaces_the_codec() -> None:
    again = type("Again", (Row8,), {})
    id = TYPES["test_row8"].id
    assert register_type(again) is again and TYPES["test_row8"].id == id
    register_type(Row8)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (None, "is no file"),
        ("x = 1", "registers no type"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("import ggtui\nggtui.register_type(int)", "AttributeError"),
    ],
)
def test_files_that_register_nothing(tmp_path: Path, text: str | None, problem: str) -> None:
    path = tmp_path / "own.py"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UsageError, match=problem):
        register_from(path)


def write(path: Path, *types: str) -> Path:
    tensors = [
        OutTensor(name, TYPES[name], (64, 3), lambda name=name: [encode_rows(TYPES[name], random(3, 64))])  # type: ignore[misc]
        for name in types
    ]
    write_gguf(path, {"general.architecture": "gpt2"}, tensors)
    return path


def test_a_file_holds_them(tmp_path: Path) -> None:
    """In a file their numbers begin anew, whatever they are in this process."""
    with open_model(write(tmp_path / "m.gguf", "test_block4", "q8_0", "test_row8")) as file:
        assert file.metadata["ggtui.own_types"] == ["test_block4", "test_row8"]
        assert file.metadata["ggtui.own_type_sizes"].tolist() == [0, 16, 10, 4, 1, 1]
        for own in OWN:
            info = file.tensors[own.name]
            assert info.type is TYPES[own.name]
            rows = file.data(own.name).reshape(3, -1)
            np.testing.assert_array_equal(rows, own.encode(random(3, 64)))


@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [
        (b"test_row8", b"test_none", "'test_none', a type of someone's own, which is not registered; name the Python"),
        (b"test_row8", b"q8_0\0\0\0\0\0", "a type of someone's own, which is not registered"),
        (b"ggtui.own_types", b"ggtui.xyz_types", "is 1000, which ggtui does not read"),
        (b"own_type_sizes\x09", b"own_type_numbr\x09", "is 1000, which ggtui does not read"),
        (b"\x04\0\0\0\x01\0\0\0\x01", b"\x02\0\0\0\x01\0\0\0\x01", "in the file of 2 . 1 bytes .* as registered of 4"),
        (b"\xe8\x03\0\0", b"\xe9\x03\0\0", "is 1001, which ggtui does not read"),
    ],
)
def test_files_are_refused_by_name(tmp_path: Path, before: bytes, after: bytes, problem: str) -> None:
    path = write(tmp_path / "m.gguf", "test_row8")
    data = path.read_bytes()
    assert before in data
    at = data.rindex(before) if before.startswith(b"\xe8") else data.index(before)
    path.write_bytes(data[:at] + after + data[at + len(before) :])
    with pytest.raises(ModelFileError, match=problem):
        open_model(path)


def test_a_model_runs_from_them(tmp_path: Path) -> None:
    """As well as from the same values in f32, fused or not, and back in another type the lists are gone."""
    paths = [tmp_path / f"{name}.gguf" for name in ("own", "f32", "q8_0")]
    with open_model(BUILT_IN) as src:
        done = convert(src, paths[0], "test_row8", errors=True)
    assert {t.type for t in done.tensors} == {"test_row8", "f32"}
    with open_model(paths[0]) as file:
        assert "general.file_type" not in file.metadata  # it has no number
    assert 0 < max(t.rmse or 0 for t in done.tensors) < 0.01
    for path in paths[1:]:
        with open_model(paths[0]) as src:
            assert bad_blocks(src) == []
            convert(src, path, path.stem)
        with open_model(path) as file:
            assert "ggtui.own_types" not in file.metadata
    tokens = [700, 3, 1500, 42]
    wanted = Session(paths[1], threads=2).eval(tokens)
    for fused in (True, False):
        got = Session(paths[0], threads=2, fused=fused).eval(tokens)
        np.testing.assert_allclose(got, wanted, rtol=1e-3, atol=1e-3 * np.abs(wanted).max())


def test_a_legacy_file_cannot_hold_them(tmp_path: Path) -> None:
    with open_model(BUILT_IN) as src, pytest.raises(UsageError, match="test_row8"):
        convert(src, tmp_path / "m.bin", "test_row8")


MEASURE = """
import re, sys, threading
from ggtui.core.graph.own_types import register_from
from ggtui.core.engine.session import Session

def anonymous():
    return int(re.search(r"RssAnon:\\s+(\\d+) kB", open("/proc/self/status").read())[1]) << 10

register_from(sys.argv[2])
Session(threads=1, batch=8, ctx=64).eval([1, 2, 3])  # what every session needs, and what Python keeps
before, most, done = anonymous(), 0, threading.Event()

def watch():
    global most
    while not done.wait(0.001):
        most = max(most, anonymous())

watcher = threading.Thread(target=watch)
watcher.start()
session = Session(sys.argv[1], threads=1, batch=8, ctx=64)
n = len(list(session.generate([5, 6, 7], n_predict=4, ignore_eos=True)))
done.set()
watcher.join()
own = [t for t in session.weights.values() if t.type.own]
print(n, most - before - sum(t.n_bytes for t in own), 4 * sum(t.n_elements for t in own))
"""


@pytest.mark.bare
@pytest.mark.skipif(sys.platform != "linux", reason="measures memory as Linux tells it")
def test_no_float_copy_of_the_model(tmp_path: Path) -> None:
    """What the process takes beside the weights while it generates is a fraction of them as floats."""
    path = tmp_path / "row6.gguf"
    register_from(EXAMPLE)
    with open_model(BUILT_IN) as src:
        convert(src, path, "row6")
    args = [sys.executable, "-c", MEASURE, str(path), str(EXAMPLE)]
    done = subprocess.run(args, capture_output=True, text=True, cwd=EXAMPLE.parents[1], timeout=100)
    assert done.returncode == 0, done.stderr
    n, grown, floats = map(int, done.stdout.split())
    assert n == 4 and floats > 20 << 20
    assert grown < floats // 4, f"{grown} bytes more while it ran; as floats the weights take {floats}"


def test_c_has_no_codec_of_them() -> None:
    out = ffi.new("float[]", 1)
    with pytest.raises(GgtuiError, match="not possible for type test_row8"):
        check(lib.gg_dequantize(TYPES["test_row8"].id, 1, out, out))


def test_an_array_that_a_codec_keeps_stays_readable() -> None:
    kept: list[Any] = []

    @register_type
    class Keeping:
        name, block, bytes, head = "test_keeping", 1, 4, 0

        @staticmethod
        def encode(rows: Any) -> Any:
            return np.ascontiguousarray(rows).view(np.uint8)

        @staticmethod
        def decode(rows: Any) -> Any:
            kept.append(rows)
            return rows.view(np.float32)

    ctx = Context()
    w = ctx.tensor(random(40, 64), "w", "test_keeping")
    g = Graph()
    g.build_forward_expand(ops.mul_mat(w, ctx.tensor(random(2, 64))))
    g.compute(threads=2)
    del w, g, ctx
    gc.collect()
    assert {row.shape[1] for row in kept} == {256} and sum(len(rows) for rows in kept) == 40
    assert all(np.isfinite(rows.view(np.float32)).all() for rows in kept)
