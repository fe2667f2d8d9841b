"""Converting models: every type and format, the errors it measures, and what it refuses."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from ggtui.core.errors import GgtuiError, ModelFileError, UsageError
from ggtui.core.files import ModelFile, OutTensor, TensorInfo, open_model, write_gguf
from ggtui.core.files import convert as module
from ggtui.core.files.convert import Conversion, convert
from ggtui.core.files.gguf import GgufFile
from ggtui.core.files.mixes import FILE_TYPES
from ggtui.core.graph.types import TYPES
from ggtui.core.runtime.reference.quants import dequantize, quantize

QUANTIZED = ["q4_0", "q4_1", "q5_0", "q5_1", "q8_0"]  # whose blocks fit the rows of the small model


def values(file: ModelFile, name: str) -> Any:
    info = file.tensors[name]
    return dequantize(file.data(name), info.type, info.ne[0])


def is_matrix(name: str) -> bool:
    return name.endswith(".weight") and "norm" not in name and name != "position_embd.weight"


@pytest.fixture
def dst(tmp_path: Path) -> Path:
    return tmp_path / "new.gguf"


@pytest.mark.parametrize("type", ["f32", "f16", "bf16", *QUANTIZED])
def test_every_type(folder: Path, dst: Path, type: str) -> None:
    with open_model(folder) as src, convert_to(src, dst, type) as new:
        assert new.tensors.keys() == src.tensors.keys()
        for name, info in new.tensors.items():
            assert info.ne == src.tensors[name].ne
            assert info.type.name == (type if is_matrix(name) else "f32")
            weights = values(src, name)
            assert new.data(name).tobytes() == quantize(weights, info.type).tobytes()
        about = {key: new.metadata[key] for key in new.metadata.keys() - src.metadata.keys()}
        assert about == {"general.file_type": FILE_TYPES[type], "general.quantization_version": 2}
        for key, value in src.metadata.items():
            wanted = np.float32(1e-5) if key.endswith("epsilon") else value
            np.testing.assert_equal(new.metadata[key], wanted, err_msg=key)


def convert_to(src: ModelFile, dst: Path, *args: Any, **options: Any) -> ModelFile:
    convert(src, dst, *args, **options)
    return open_model(dst)


def test_the_gguf_package_reads_it(folder: Path, dst: Path, model: Any) -> None:
    with open_model(folder) as src:
        convert(src, dst, "Q8_0")
    read = {t.name: t for t in gguf.GGUFReader(dst).tensors}
    assert len(read) == len(model.weights)
    weights = model.weights["h.1.mlp.c_fc.weight"].T
    up = read["blk.1.ffn_up.weight"]
    assert up.tensor_type == gguf.GGMLQuantizationType.Q8_0
    assert up.data.tobytes() == gguf.quants.quantize(np.ascontiguousarray(weights), up.tensor_type).tobytes()
    np.testing.assert_array_equal(read["position_embd.weight"].data, model.weights["wpe.weight"])


def test_without_a_type_matrices_keep_theirs(model: Any, tmp_path: Path, dst: Path) -> None:
    model.weights = {name: w.astype(np.float16) for name, w in model.weights.items()}
    with open_model(model.write(tmp_path / "m")) as src, convert_to(src, dst) as new:
        for name, info in new.tensors.items():
            assert info.type.name == ("f16" if is_matrix(name) else "f32")
            np.testing.assert_array_equal(values(new, name), values(src, name))


def test_from_one_quantized_type_to_another(folder: Path, tmp_path: Path, dst: Path) -> None:
    name = "blk.0.attn_qkv.weight"
    with open_model(folder) as src, convert_to(src, tmp_path / "q4_0.gguf", "q4_0") as first:
        with convert_to(first, dst, "q8_0") as new:
            assert new.data(name).tobytes() == quantize(values(first, name), "q8_0").tobytes()
        again = convert_to(first, tmp_path / "again.gguf", "q4_0")
    with again:
        assert again.tensors[name].type.name == "q4_0"
    assert (tmp_path / "again.gguf").read_bytes() == first.path.read_bytes()


def test_the_report(folder: Path, dst: Path) -> None:
    with open_model(folder) as src:
        report = convert(src, dst, "q4_0", errors=True)
        with open_model(dst) as new:
            assert [t.name for t in report.tensors] == list(src.tensors)
            for t in report.tensors:
                before, after = src.tensors[t.name], new.tensors[t.name]
                assert (t.src_type, t.type, t.ne) == (before.type.name, after.type.name, before.ne)
                assert (t.src_bytes, t.n_bytes, t.fallback) == (before.n_bytes, after.n_bytes, False)
                error = values(new, t.name).astype(np.float64) - values(src, t.name)
                assert t.rmse == pytest.approx(np.sqrt(np.mean(error**2)), rel=1e-6)
                assert t.max_error == pytest.approx(np.abs(error).max(), rel=1e-6)
                assert (t.rmse > 1e-3) == is_matrix(t.name)
        assert report.src_bytes == sum(t.n_bytes for t in src.tensors.values())
        assert 0 < report.n_bytes < report.src_bytes / 2
        plain = convert(src, dst, "q4_0", overwrite=True)
    assert all(t.rmse is None and t.max_error is None for t in plain.tensors)


def test_metadata_can_be_added_and_replaced(folder: Path, dst: Path) -> None:
    about = {"general.name": "another", "general.license": "MIT"}
    with open_model(folder) as src, convert_to(src, dst, metadata=about) as new:
        assert new.metadata.items() >= about.items()
        assert next(iter(new.metadata)) == "general.architecture"


def test_the_threads_make_no_difference(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_model(folder) as src:
        convert(src, tmp_path / "whole.gguf", "q8_0", threads=1)
        monkeypatch.setattr(module, "_CHUNK", 200)  # three rows a part
        for threads in (1, 3):
            calls: list[tuple[int, int]] = []
            path = tmp_path / f"{threads}.gguf"
            report = convert(src, path, "q8_0", threads=threads, errors=True, progress=lambda *n, c=calls: c.append(n))
            assert path.read_bytes() == (tmp_path / "whole.gguf").read_bytes()
            total = sum(int(np.prod(t.ne)) for t in src.tensors.values())
            done = [n for n, _ in calls]
            assert done == sorted(set(done)) and done[-1] == total and {n for _, n in calls} == {total}
            assert len(calls) > 300
            assert sum(t.rmse or 0 for t in report.tensors) > 0


def gguf_of(path: Path, **tensors: Any) -> GgufFile:
    """A file of f32 tensors, of any architecture."""
    out = [
        OutTensor(name.replace("__", "."), TYPES["f32"], array.shape[::-1], lambda array=array: [array])
        for name, array in tensors.items()
    ]
    write_gguf(path, {"general.architecture": "test"}, out)
    return GgufFile(path)


def test_rows_that_do_not_fit_the_type(tmp_path: Path, dst: Path) -> None:
    weights = {"a__weight": np.ones((3, 40), np.float32), "b__weight": np.ones((3, 64), np.float32)}
    with gguf_of(tmp_path / "a.gguf", **weights, c__bias=np.ones(40, np.float32)) as src:
        report = convert(src, dst, "q8_0")
    assert [(t.name, t.type, t.fallback) for t in report.tensors] == [
        ("a.weight", "f16", True),
        ("b.weight", "q8_0", False),
        ("c.bias", "f32", False),
    ]


def test_a_mix(tmp_path: Path, dst: Path) -> None:
    """Rows that do not fit its types fall back, and the report says so."""
    part = {"attn_qkv": 256, "attn_output": 256, "ffn_up": 320, "ffn_down": 1024}
    rng = np.random.default_rng(2)
    weights = {"token_embd__weight": rng.normal(size=(5, 256)).astype(np.float32)}
    for i in range(8):
        for name, ne0 in part.items():
            weights[f"blk__{i}__{name}__weight"] = rng.normal(size=(3, ne0)).astype(np.float32)
            weights[f"blk__{i}__{name}__bias"] = rng.normal(size=3).astype(np.float32)
    with gguf_of(tmp_path / "a.gguf", **weights) as src:
        report = convert(src, dst, "Q4_K_M")
    with open_model(dst) as new:
        assert new.metadata["general.file_type"] == 15
        for i in range(8):
            more = "q6_k" if i in (0, 3, 6, 7) else "q4_k"
            expected = {"attn_qkv": more, "attn_output": "q4_k", "ffn_up": "q5_0", "ffn_down": more}
            for name, type in expected.items():
                info = new.tensors[f"blk.{i}.{name}.weight"]
                x = weights[f"blk__{i}__{name}__weight"]
                assert info.type.name == type
                assert new.data(info.name).tobytes() == quantize(x, type).tobytes()
                assert new.tensors[f"blk.{i}.{name}.bias"].type.name == "f32"
        assert new.tensors["token_embd.weight"].type.name == "q6_k"
    assert {t.name for t in report.tensors if t.fallback} == {f"blk.{i}.ffn_up.weight" for i in range(8)}


def test_a_name_of_a_type_and_a_mix_means_the_mix_the_type_itself_the_type(tmp_path: Path, dst: Path) -> None:
    x = np.random.default_rng(3).normal(size=(3, 256)).astype(np.float32)
    with gguf_of(tmp_path / "a.gguf", output__weight=x, blk__0__ffn_up__weight=x) as src:
        for type, head in (("q2_k", "q6_k"), (TYPES["q2_k"], "q2_k")):
            report = convert(src, dst, type, overwrite=True)
            assert [t.type for t in report.tensors] == [head, "q2_k"]


def test_three_dimensions(tmp_path: Path, dst: Path) -> None:
    weights = np.random.default_rng(1).standard_normal((2, 3, 32)).astype(np.float32)
    with gguf_of(tmp_path / "a.gguf", ffn__weight=weights) as src, convert_to(src, dst, "q8_0") as new:
        assert new.tensors["ffn.weight"].ne == (32, 3, 2, 1)
        assert new.data("ffn.weight").tobytes() == quantize(weights, "q8_0").tobytes()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("type", [None, "f32", "q8_0"])
def test_weights_that_are_not_finite(tmp_path: Path, dst: Path, value: float, type: str | None) -> None:
    weights = np.ones((5, 32), np.float32)
    weights[3, 7] = value
    with gguf_of(tmp_path / "a.gguf", a__weight=weights) as src, pytest.raises(ModelFileError) as caught:
        convert(src, dst, type)
    assert (caught.value.path, caught.value.field) == (tmp_path / "a.gguf", "a.weight")
    assert caught.value.problem.startswith(f"element 7 of row 3 is {value}")
    assert [p.name for p in tmp_path.iterdir()] == ["a.gguf"]


def test_weights_too_large_for_the_type(tmp_path: Path, dst: Path) -> None:
    weights = np.ones((5, 32), np.float32)
    weights[1, 4] = -70000
    with gguf_of(tmp_path / "a.gguf", a__weight=weights) as src:
        for type, worst in (("f32", 0.0), ("bf16", 256.0), ("q8_0", 64.0)):
            report = convert(src, dst, type, errors=True, overwrite=True)
            assert report.tensors[0].max_error is not None and report.tensors[0].max_error <= worst
        for errors in (False, True):
            with pytest.raises(UsageError, match=r"type f16: cannot hold -70000, which is in a\.weight"):
                convert(src, dst, "f16", errors=errors, overwrite=True)
    assert open_model(dst).tensors["a.weight"].type.name == "q8_0"  # as it was before


def test_types_that_hold_no_weights(folder: Path, dst: Path) -> None:
    with open_model(folder) as src:
        with pytest.raises(UsageError, match="tensor type 'q3': choose one of f32"):
            convert(src, dst, "q3")
        for type in ("i32", "q8_a"):
            with pytest.raises(UsageError, match=f"type {type}: holds no weights; choose one of f32, f16"):
                convert(src, dst, type)


def test_a_file_that_exists_is_kept_unless_it_may_go(folder: Path, dst: Path) -> None:
    dst.write_text("precious")
    with open_model(folder) as src:
        with pytest.raises(UsageError, match="exists"):
            convert(src, dst)
        assert dst.read_text() == "precious"
        assert isinstance(convert(src, dst, overwrite=True), Conversion)
    with open_model(dst) as src:  # onto itself
        before = src.data("token_embd.weight").tobytes()
        convert(src, dst, "f16", overwrite=True)
    with open_model(dst) as new:
        assert new.data("token_embd.weight").tobytes() == np.frombuffer(before, "<f4").astype("<f2").tobytes()


def test_a_place_where_nothing_can_be_written(folder: Path, tmp_path: Path) -> None:
    with open_model(folder) as src, pytest.raises(GgtuiError, match="cannot be written: No such file or directory"):
        convert(src, tmp_path / "none" / "x.gguf")


@pytest.mark.bare
@pytest.mark.skipif(sys.platform != "linux", reason="measures memory as Linux tells it")
def test_memory_does_not_grow_with_the_model(tmp_path: Path, dst: Path) -> None:
    """Sixteen tensors of 16 MiB each: what was read of one is let go before the next."""

    def resident() -> int:
        status = Path("/proc/self/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) << 10

    path, n_bytes = tmp_path / "zeros", 16 << 20
    with open(path, "wb") as file:
        file.truncate(16 * n_bytes)  # one large hole, which reads as zeros
    f32, ne = TYPES["f32"], (1024, 4096, 1, 1)
    infos = [TensorInfo(f"blk.{i}.weight", f32, ne, i * n_bytes, n_bytes) for i in range(16)]
    seen = []
    with ModelFile(path) as src:
        src.tensors = {info.name: info for info in infos}
        before = resident()
        convert(src, dst, "q8_0", progress=lambda *_: seen.append(resident() - before))
    assert max(seen) < (3 * 16 + 64) << 20


@pytest.mark.parametrize("key", ["tokens", "merges", "token_type", "model", "pre", "bos_token_id"])
@pytest.mark.parametrize("value", [1 << 40, 0.5, ["a", 1], [[]], [b"a"], {}, np.array([0.5]), -1, True])
def test_an_odd_vocabulary_becomes_no_legacy_file(folder: Path, tmp_path: Path, key: str, value: Any) -> None:
    if key == "bos_token_id" and type(value) is int:
        return  # one outside the vocabulary is as none
    dst = tmp_path / "model.bin"
    with open_model(folder) as src, pytest.raises(ModelFileError, match=rf": tokenizer\.ggml\.{key}: ") as caught:
        convert(src, dst, metadata={f"tokenizer.ggml.{key}": value})
    assert caught.value.path == folder and not dst.exists()
