"""How the tensors of other architectures are read. What they compute: tests/core/models/test_transformers.py."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import deserialize

from ggtui.core.errors import ModelFileError
from ggtui.core.files import open_model
from ggtui.core.vocab.bpe import BYTE_ALPHABET

REFERENCES = Path(__file__).parents[3] / "references" / "architectures"


def refusal(path: Path) -> ModelFileError:
    with pytest.raises(ModelFileError) as caught:
        open_model(path)
    return caught.value


def reference(name: str, where: Path) -> Path:
    """A copy of a reference's model with a vocabulary."""
    folder = where / name
    shutil.copytree(REFERENCES / name, folder)
    (folder / "vocab.json").write_text(json.dumps({c: i for i, c in enumerate(BYTE_ALPHABET)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return folder


def raw_tensors(folder: Path) -> dict[str, Any]:
    """bf16 as uint16."""
    found = deserialize((folder / "model.safetensors").read_bytes())
    return {name: np.frombuffer(t["data"], np.uint16).reshape(t["shape"]) for name, t in found}


@pytest.mark.parametrize("name", ["llama-yarn", "mistral"])
def test_rows_of_heads_change_places_however_they_are_read(tmp_path: Path, name: str) -> None:
    folder = reference(name, tmp_path)
    raw, config = raw_tensors(folder), json.loads((folder / "config.json").read_text())
    n, n_kv, d = (config[f"{key}"] for key in ("num_attention_heads", "num_key_value_heads", "head_dim"))
    with open_model(folder) as file:
        for part, heads in (("q", n), ("k", n_kv)):
            weight = raw[f"model.layers.1.self_attn.{part}_proj.weight"]
            want = [weight[h * d + s * d // 2 + i] for h in range(heads) for i in range(d // 2) for s in range(2)]
            rows = file.rows(f"blk.1.attn_{part}.weight")
            assert not file.reads_whole(f"blk.1.attn_{part}.weight")
            assert len(rows) == heads * d
            for start, stop in ((0, heads * d), (1, d - 1), (d - 1, d + 1), (3, 3), (heads * d - 1, heads * d + 9)):
                assert rows[start:stop].tobytes() == np.array(want[start:stop]).tobytes()
            if name == "llama-yarn":
                bias = raw[f"model.layers.1.self_attn.{part}_proj.bias"]
                want = [bias[h * d + s * d // 2 + i] for h in range(heads) for i in range(d // 2) for s in range(2)]
                assert file.data(f"blk.1.attn_{part}.bias").tobytes() == np.array(want).tobytes()
        plain = raw["model.layers.1.self_attn.v_proj.weight"]
        assert file.data("blk.1.attn_v.weight").tobytes() == plain.tobytes()


def test_queries_keys_and_values_of_gpt_neox(tmp_path: Path) -> None:
    folder = reference("gpt_neox", tmp_path)
    raw = raw_tensors(folder)
    with open_model(folder) as file:
        for kind in ("weight", "bias"):
            stored = raw[f"gpt_neox.layers.0.attention.query_key_value.{kind}"]
            want = [stored[h * 48 + p * 16 + i] for p in range(3) for h in range(4) for i in range(16)]
            assert file.data(f"blk.0.attn_qkv.{kind}").tobytes() == np.array(want).tobytes()
            rows = file.rows(f"blk.0.attn_qkv.{kind}")
            if kind == "weight":
                assert rows[15:70].tobytes() == np.array(want[15:70]).tobytes()


def test_norms_of_gemma_are_one_more(tmp_path: Path) -> None:
    folder = reference("gemma2", tmp_path)
    raw = raw_tensors(folder)["model.layers.0.pre_feedforward_layernorm.weight"]
    with open_model(folder) as file:
        assert file.tensors["blk.0.ffn_norm.weight"].type.name == "f32"
        assert file.tensors["blk.0.ffn_norm.weight"].n_bytes == 4 * 64
        got = file.data("blk.0.ffn_norm.weight").view(np.float32)
        np.testing.assert_array_equal(got, 1 + (raw.astype(np.uint32) << 16).view(np.float32))
        assert file.reads_whole("blk.0.ffn_norm.weight")


def test_tensors_that_the_config_tells_of(tmp_path: Path) -> None:
    with open_model(reference("phi3", tmp_path)) as file:
        info = file.tensors["rope_factors_long.weight"]
        assert (info.type.name, info.ne, info.offset, info.n_bytes) == ("f32", (6, 1, 1, 1), 0, 24)
        assert file.data(info.name).view(np.float32).tolist() == [1.5, 2.0, 3.0, 4.5, 6.0, 8.0]
        assert file.rows(info.name)[:].shape == (1, 24)


@pytest.mark.parametrize("prefix", ["model.language_model.", "language_model.model."])
def test_of_a_gemma_3_with_pictures_the_text_model_is_read(
    tmp_path: Path, as_safetensors: Callable[..., bytes], prefix: str
) -> None:
    folder = reference("gemma3", tmp_path)
    with open_model(folder) as file:
        want, about = {name: file.data(name).tobytes() for name in file.tensors}, dict(file.metadata)
        assert file.notes == ()
    tensors = {name.replace("model.", prefix): array for name, array in raw_tensors(folder).items()}
    tensors |= {f"vision_tower.layers.{i}.weight": np.zeros((2, 2), np.float32) for i in range(3)}
    (folder / "model.safetensors").write_bytes(as_safetensors(tensors))
    config = json.loads((folder / "config.json").read_text())
    whole = {"model_type": "gemma3", "text_config": config, "vision_config": {"hidden_size": 3}}
    (folder / "config.json").write_text(json.dumps(whole))
    with open_model(folder) as file:
        assert {name: file.data(name).tobytes() for name in file.tensors} == want
        assert dict(file.metadata) == about
        assert file.notes == ("3 tensors of vision_tower are left out: ggtui runs the text model alone",)
    (folder / "config.json").write_text(json.dumps({"model_type": "gemma3"}))
    error = refusal(folder)
    assert (error.field, error.problem) == ("text_config", "is None, not an object")


def test_rows_that_are_not_those_of_the_heads(tmp_path: Path) -> None:
    folder = reference("llama", tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_attention_heads": 5, "num_key_value_heads": 5}))
    error = refusal(folder)
    assert error.path == folder / "model.safetensors"
    assert error.field == "model.layers.0.self_attn.q_proj.weight"
    assert error.problem == "its 64 rows are not those of 5 heads"


def test_tensors_of_flags(tmp_path: Path) -> None:
    folder = reference("llama-yarn", tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"mlp_bias": False}))
    assert refusal(folder).problem == "a Llama of 2 layers has no such tensor"
    (folder / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": True}))
    assert "lm_head.weight differs from embed_tokens.weight" in refusal(folder).problem


def test_old_buffers_are_skipped(tmp_path: Path, as_safetensors: Callable[..., bytes]) -> None:
    folder = reference("gpt_neox", tmp_path)
    tensors = raw_tensors(folder)
    n = len(tensors)
    tensors["gpt_neox.layers.0.attention.bias"] = np.ones((1, 1, 4, 4), bool)
    tensors["gpt_neox.layers.1.attention.rotary_emb.inv_freq"] = np.ones(2, np.float32)
    (folder / "model.safetensors").write_bytes(as_safetensors(tensors))
    with open_model(folder) as file:
        assert len(file.tensors) == n
