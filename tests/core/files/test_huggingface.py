"""Hugging Face folders: what is read of them, against the `safetensors` package, and everything that is refused."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import deserialize
from safetensors.numpy import load_file, save_file

from ggtui.core.errors import GgtuiError, ModelFileError, UsageError
from ggtui.core.files import open_model
from ggtui.core.files.huggingface import HuggingFaceFile
from ggtui.core.models import check_model
from ggtui.core.runtime.reference.quants import dequantize

NAMES = {
    "token_embd.weight": "wte.weight",
    "position_embd.weight": "wpe.weight",
    "output_norm.bias": "ln_f.bias",
    "blk.1.attn_norm.weight": "h.1.ln_1.weight",
    "blk.0.attn_qkv.weight": "h.0.attn.c_attn.weight",
    "blk.1.attn_output.weight": "h.1.attn.c_proj.weight",
    "blk.0.ffn_norm.bias": "h.0.ln_2.bias",
    "blk.0.ffn_up.weight": "h.0.mlp.c_fc.weight",
    "blk.0.ffn_up.bias": "h.0.mlp.c_fc.bias",
    "blk.1.ffn_down.weight": "h.1.mlp.c_proj.weight",
}


def values(file: HuggingFaceFile, name: str) -> Any:
    info = file.tensors[name]
    return dequantize(file.data(name), info.type, info.ne[0]).reshape(info.ne[1::-1])


def refusal(path: Path) -> ModelFileError:
    with pytest.raises(ModelFileError) as caught:
        open_model(path)
    return caught.value


def test_metadata(folder: Path) -> None:
    with open_model(folder) as file:
        assert isinstance(file, HuggingFaceFile)
        assert file.path == folder
        sizes = {key: value for key, value in file.metadata.items() if not key.startswith("tokenizer")}
    assert sizes == {
        "general.architecture": "gpt2",
        "general.name": "small",
        "gpt2.block_count": 2,
        "gpt2.context_length": 16,
        "gpt2.embedding_length": 64,
        "gpt2.feed_forward_length": 256,
        "gpt2.attention.head_count": 4,
        "gpt2.attention.layer_norm_epsilon": 1e-5,
    }


def test_the_model_fits_the_architecture(folder: Path) -> None:
    with open_model(folder) as file:
        check_model(file)


@pytest.mark.parametrize("prefix", ["", "transformer."])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_tensors_are_those_of_the_safetensors_package(model: Any, tmp_path: Path, dtype: Any, prefix: str) -> None:
    folder = model.write(tmp_path / "m")
    save_file({prefix + n: w.astype(dtype) for n, w in model.weights.items()}, folder / "model.safetensors")
    expected = load_file(folder / "model.safetensors")
    with open_model(folder) as file:
        assert len(file.tensors) == len(model.weights)
        for name, raw in NAMES.items():
            array = expected[prefix + raw]
            array = array.T if name.endswith(".weight") and name.startswith("blk") and array.ndim == 2 else array
            info, data = file.tensors[name], file.data(name)
            assert info.ne == (*array.shape[::-1], *[1] * (4 - array.ndim))
            assert (info.type.name, info.n_bytes) == ("f32" if dtype == np.float32 else "f16", array.nbytes)
            assert data.dtype == np.uint8 and data.shape == (array.nbytes,)
            assert data.tobytes() == array.tobytes()


def test_bf16(model: Any, tmp_path: Path) -> None:
    halves = {name: (w.view(np.uint32) >> 16).astype(np.uint16) for name, w in model.weights.items()}
    floats = {name: (w.astype(np.uint32) << 16).view(np.float32) for name, w in halves.items()}
    model.weights = halves
    with open_model(model.write(tmp_path / "m")) as file:
        assert file.tensors["token_embd.weight"].type.name == "bf16"
        np.testing.assert_array_equal(values(file, "token_embd.weight"), floats["wte.weight"])
        np.testing.assert_array_equal(values(file, "blk.0.ffn_up.weight"), floats["h.0.mlp.c_fc.weight"].T)


def test_data_is_aligned(folder: Path, model: Any, as_safetensors: Callable[..., bytes]) -> None:
    for padding in range(8):
        (folder / "model.safetensors").write_bytes(as_safetensors(model.weights, padding))
        with open_model(folder) as file:
            for name, raw in NAMES.items():
                data = file.data(name)
                assert data.ctypes.data % 8 == 0
                assert data.nbytes == model.weights[raw].nbytes
            assert file.data("token_embd.weight").tobytes() == model.weights["wte.weight"].tobytes()


def test_rows_are_read_as_a_whole_where_they_are_transposed(folder: Path, model: Any) -> None:
    with open_model(folder) as file:
        for name, raw in (("token_embd.weight", "wte.weight"), ("blk.0.ffn_up.weight", "h.0.mlp.c_fc.weight")):
            assert file.reads_whole(name) == name.startswith("blk")
            wanted = model.weights[raw].T if file.reads_whole(name) else model.weights[raw]
            rows = file.rows(name)
            assert len(rows) == len(wanted)
            assert rows[3:5].tobytes() == wanted[3:5].tobytes()
        for read in (file.data, file.rows, file.reads_whole):
            with pytest.raises(UsageError, match="has no tensor 'x'"):
                read("x")
    with pytest.raises(GgtuiError, match="closed"):
        file.data("token_embd.weight")


def test_masks_are_skipped(model: Any, tmp_path: Path) -> None:
    n = len(model.weights)
    model.weights["h.0.attn.bias"] = np.ones((1, 1, 16, 16), bool)
    model.weights["transformer.h.1.attn.bias"] = np.ones((1, 1, 16, 16), np.float32)
    model.weights["h.0.attn.masked_bias"] = np.array(-1e4, np.float32)
    with open_model(model.write(tmp_path / "m")) as file:
        assert len(file.tensors) == n


def test_an_output_matrix_that_is_tied_is_dropped(model: Any, tmp_path: Path) -> None:
    model.weights["lm_head.weight"] = model.weights["wte.weight"].copy()
    with open_model(model.write(tmp_path / "m")) as file:
        assert "output.weight" not in file.tensors
    model.config["tie_word_embeddings"] = False
    with open_model(model.write(tmp_path / "m")) as file:
        np.testing.assert_array_equal(values(file, "output.weight"), model.weights["wte.weight"])
    model.weights["lm_head.weight"][3, 5] += 1
    with open_model(model.write(tmp_path / "m")) as file:
        np.testing.assert_array_equal(values(file, "output.weight"), model.weights["lm_head.weight"])
    model.config["tie_word_embeddings"] = True
    assert "lm_head.weight differs from wte.weight" in refusal(model.write(tmp_path / "m")).problem
    model.weights.pop("lm_head.weight")
    model.config["tie_word_embeddings"] = False
    assert "there is no lm_head.weight" in refusal(model.write(tmp_path / "m")).problem


def test_sizes_that_the_config_leaves_out_or_names(model: Any, tmp_path: Path) -> None:
    model.config |= {"n_inner": 96, "n_ctx": 16, "layer_norm_epsilon": 0.5, "activation_function": "gelu_new"}
    model.config.pop("n_positions")
    for il in range(2):
        model.weights[f"h.{il}.mlp.c_fc.weight"] = np.zeros((64, 96), np.float32)
        model.weights[f"h.{il}.mlp.c_fc.bias"] = np.zeros(96, np.float32)
        model.weights[f"h.{il}.mlp.c_proj.weight"] = np.zeros((96, 64), np.float32)
    with open_model(model.write(tmp_path / "m")) as file:
        assert file.metadata["gpt2.feed_forward_length"] == 96
        assert file.metadata["gpt2.context_length"] == 16
        assert file.metadata["gpt2.attention.layer_norm_epsilon"] == 0.5
        assert "gpt2.activation_function" not in file.metadata
        assert file.tensors["blk.0.ffn_up.weight"].ne == (64, 96, 1, 1)
        assert file.tensors["blk.0.ffn_down.weight"].ne == (96, 64, 1, 1)


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("gelu", "gelu"),
        ("gelu_python", "gelu"),
        ("relu", "relu"),
        ("swish", "silu"),
        ("quick_gelu", "quick_gelu"),
        ("gelu_pytorch_tanh", None),
        ("gelu_fast", None),
    ],
)
def test_another_activation_is_recorded(model: Any, tmp_path: Path, name: str, ours: str | None) -> None:
    model.config["activation_function"] = name
    with open_model(model.write(tmp_path / "m")) as file:
        assert file.metadata.get("gpt2.activation_function") == ours
        check_model(file)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("model_type", "mamba", "is 'mamba'; ggtui knows gpt2, llama, "),
        ("model_type", None, "is missing"),
        ("activation_function", "gelu_10", "is 'gelu_10'; ggtui knows gelu_new, gelu_pytorch_tanh, "),
        ("activation_function", ["gelu"], r"is \['gelu'\]"),
        ("scale_attn_by_inverse_layer_idx", True, "is True"),
        ("reorder_and_upcast_attn", True, "is True"),
        ("add_cross_attention", True, "is True"),
        ("scale_attn_weights", False, "is False"),
        ("quantization_config", {"bits": 4}, "is given"),
        ("n_layer", 0, "is 0, not a whole number from 1 to 1024"),
        ("n_layer", 1025, "is 1025, not a whole number from 1 to 1024"),
        ("n_layer", True, "is True, not"),
        ("n_embd", "64", "is '64', not"),
        ("n_head", None, "is missing"),
        ("n_head", -4, "is -4, not"),
        ("n_positions", 1 << 25, "is 33554432, not"),
        ("n_inner", 1.5, "is 1.5, not"),
        ("vocab_size", 300, "is 300, but wte.weight has 264 rows"),
        ("layer_norm_epsilon", 0.0, "is 0.0, not a number between 0 and 1"),
        ("layer_norm_epsilon", "tiny", "is 'tiny', not a number between 0 and 1"),
        ("tie_word_embeddings", "yes", "is 'yes', not true or false"),
        ("eos_token_id", 264, "is 264, not a whole number from 0 to 263"),
        ("eos_token_id", [263, 264], r"is \[263, 264\], not whole numbers from 0 to 263"),
        ("bos_token_id", -1, "is -1"),
    ],
)
def test_configs_that_are_refused(model: Any, tmp_path: Path, key: str, value: Any, said: str) -> None:
    model.config[key] = value
    error = refusal(model.write(tmp_path / "m"))
    assert (error.path, error.field) == (tmp_path / "m" / "config.json", key)
    assert re.match(said, error.problem), error.problem


def test_tensors_that_are_missing_or_unknown(model: Any, tmp_path: Path) -> None:
    bias = model.weights.pop("h.1.attn.c_proj.bias")
    error = refusal(model.write(tmp_path / "m"))
    assert (error.field, error.problem) == ("h.1.attn.c_proj.bias", "the tensor is missing")
    model.weights |= {"h.1.attn.c_proj.bias": bias, "h.2.attn.c_proj.bias": bias}
    error = refusal(model.write(tmp_path / "m"))
    assert error.path == tmp_path / "m" / "model.safetensors"
    assert (error.field, error.problem) == ("h.2.attn.c_proj.bias", "a GPT-2 of 2 layers has no such tensor")
    model.weights["transformer.h.1.attn.c_proj.bias"] = model.weights.pop("h.2.attn.c_proj.bias")
    assert refusal(model.write(tmp_path / "m")).problem.startswith("the model has h.1.attn.c_proj.bias too")


def test_dtypes_and_shapes_that_are_refused(model: Any, tmp_path: Path) -> None:
    whole = model.weights["ln_f.bias"]
    for array, field, said in (
        (whole.astype(np.int64), "dtype", "is I64, which ggtui does not read; it reads F32, F16, BF16"),
        (whole.reshape(2, 2, 2, 4, 2), "shape", "is [2, 2, 2, 4, 2], not 1 to 4 sizes of at least 1"),
        (whole[:0], "shape", "is [0], not 1 to 4 sizes of at least 1"),
        (np.float32(3), "shape", "is [], not 1 to 4 sizes of at least 1"),
    ):
        model.weights["ln_f.bias"] = array
        path = model.write(tmp_path / "m") / "model.safetensors"
        error = refusal(path.parent)
        assert (error.path, error.field, error.problem) == (path, f"{field} of ln_f.bias", said)
        assert path.read_bytes()[error.offset :].startswith(b'"ln_f.bias"')


# Shards, and files by name.


def shard(folder: Path, weights: dict[str, Any], n: int = 3) -> dict[str, str]:
    """Spread the weights over `n` files. Returns the map in the index."""
    (folder / "model.safetensors").unlink(missing_ok=True)
    names = sorted(weights)
    where = {name: f"model-0000{i % n + 1}-of-0000{n}.safetensors" for i, name in enumerate(names)}
    for file in set(where.values()):
        save_file({name: weights[name] for name in names if where[name] == file}, folder / file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": where}))
    return where


def test_shards_are_one_model(folder: Path, model: Any) -> None:
    with open_model(folder) as file:
        expected = {name: file.data(name).tobytes() for name in file.tensors}
    shard(folder, model.weights)
    for path in (folder, folder / "model-00002-of-00003.safetensors"):
        with open_model(path) as file:
            assert file.path == folder
            assert {name: file.data(name).tobytes() for name in file.tensors} == expected


def test_a_safetensors_file_brings_its_folder(folder: Path) -> None:
    with open_model(folder / "model.safetensors") as file:
        assert isinstance(file, HuggingFaceFile)
        assert "blk.0.ffn_up.weight" in file.tensors
    (folder / "model.safetensors").rename(folder / "mine.st")
    with open_model(folder / "mine.st") as file:
        assert "blk.0.ffn_up.weight" in file.tensors
    error = refusal(folder)
    assert (error.field, error.problem) == ("model.safetensors", "does not exist; download it too")
    (folder / "config.json").unlink()
    assert refusal(folder / "mine.st").path == folder / "config.json"


def test_shards_that_do_not_belong_together(folder: Path, model: Any) -> None:
    where = shard(folder, model.weights, 2)
    first, second = sorted(set(where.values()))
    index = folder / "model.safetensors.index.json"

    def said(weight_map: Any) -> tuple[Path, str]:
        index.write_text(json.dumps({"weight_map": weight_map}))
        error = refusal(folder)
        return error.path, error.problem

    path, problem = said({name: first for name in where})
    assert path == folder / first and problem.startswith("model.safetensors.index.json lists it for this file")
    path, problem = said({name: file for name, file in where.items() if name != "wte.weight"})
    assert path == folder / where["wte.weight"] and problem.startswith(
        "model.safetensors.index.json does not list it here"
    )
    path, problem = said({**where, "wte.weight": "model-00003-of-00003.safetensors"})
    assert path == folder / where["wte.weight"]
    for bad in ("../" + first, "", "..", "/etc/passwd", 3, None):
        assert said({**where, "wte.weight": bad}) == (index, f"is {bad!r}, not the name of a file")
    for bad in ({}, None, [first]):
        assert said(bad) == (index, "is missing or empty")
    (folder / second).unlink()
    assert said(where) == (folder / second, "does not exist; check the spelling")


def test_a_pickle_is_refused_with_the_way_to_convert_it(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"PK\x03\x04")
    error = refusal(folder)
    assert (error.path, error.field) == (folder, "pytorch_model.bin")
    assert "is a pickle" in error.problem and f'from_pretrained("{folder}").save_pretrained' in error.problem
    assert "save_pretrained" in refusal(folder / "pytorch_model.bin").problem
    assert refusal(folder / "config.json").problem.startswith("is JSON and not a model's weights")


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "vocab.json", "merges.txt"])
def test_an_empty_file_is_called_empty(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"")
    error = refusal(folder)
    assert error.path == folder / name and "is empty" in error.problem


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "vocab.json", "merges.txt"])
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_folders_end_in_an_error_or_a_model(
    one_folder: Path, tmp_path_factory: pytest.TempPathFactory, name: str, data: st.DataObject
) -> None:
    """Nothing but ModelFileError comes of changed bytes, and whatever opens can be read."""
    folder = tmp_path_factory.getbasetemp() / f"damaged-{name}"
    if not folder.exists():
        shutil.copytree(one_folder, folder)
    raw = bytearray((one_folder / name).read_bytes())
    header = min(len(raw), 6000)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, header - 1))
        raw[at] = data.draw(st.one_of(st.integers(0, 255), st.sampled_from(b'0123456789"{}[],:-\\')))
    cut = data.draw(st.one_of(st.none(), st.integers(0, len(raw))))
    (folder / name).write_bytes(raw[:cut])
    try:
        file = open_model(folder)
    except ModelFileError:
        return
    with file:
        for tensor in file.tensors.values():
            assert file.data(tensor.name).nbytes == tensor.n_bytes
        assert len(file.metadata["tokenizer.ggml.tokens"]) == file.tensors["token_embd.weight"].ne[1]
    deserialize((folder / "model.safetensors").read_bytes())  # what opens here, the package opens too


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("a\nb", "does not exist"),
        ("\u2028", "does not exist"),
        ("x" * 255, "does not exist"),
        ("x" * 256, "is 'xxx"),
        ("é" * 128, "is 'ééé"),
    ],
    ids=ascii,
)
def test_a_file_of_any_name_is_refused_in_one_line(folder: Path, name: str, said: str) -> None:
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"wte.weight": name}}))
    (folder / "model.safetensors").unlink()
    error = refusal(folder)
    assert len(str(error).splitlines()) == 1 and len(str(error)) < 1000
    assert error.problem.startswith(said)
