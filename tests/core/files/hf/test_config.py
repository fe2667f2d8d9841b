"""What configs of Hugging Face say, in the spellings of several years, and what is refused."""

from __future__ import annotations

import json
import re
from math import log, sqrt
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest

from ggtui.core.files.hf.config import MODELS, Config

REFERENCES = Path(__file__).parents[3] / "references" / "architectures"


class Refused(Exception):
    pass


def config(values: dict[str, Any]) -> Config:
    def refuse(key: str, problem: str) -> NoReturn:
        raise Refused(f"{key}: {problem}")

    return Config(values, refuse)


def reference(name: str, **changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((REFERENCES / name / "config.json").read_text())
    return values | changes


SIZES = {
    "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3, "num_attention_heads": 4,
    "max_position_embeddings": 512,
}  # fmt: skip


def of(model_type: str, **more: Any) -> dict[str, Any]:
    """The metadata of a config that says little, without the architecture's name before the keys."""
    values = {"model_type": model_type, **SIZES, **more}
    said = config(values).metadata
    return {key.removeprefix(f"{said['general.architecture']}."): value for key, value in said.items()}


def test_a_config_that_says_little() -> None:
    assert of("llama") == {
        "general.architecture": "llama", "block_count": 3, "context_length": 512, "embedding_length": 64,
        "feed_forward_length": 96, "attention.head_count": 4, "attention.layer_norm_rms_epsilon": 1e-6,
        "rope.freq_base": 10000.0, "rope.dimension_count": 16,
    }  # fmt: skip
    assert of("mistral")["attention.sliding_window"] == 4096
    assert of("mistral")["attention.head_count_kv"] == 8
    assert "attention.head_count_kv" not in of("mistral", num_key_value_heads=None)
    assert "attention.sliding_window" not in of("mistral", sliding_window=None)
    assert of("qwen3")["attention.key_length"] == of("qwen3")["attention.value_length"] == 128
    gemma3 = of("gemma3_text", num_attention_heads=None, max_position_embeddings=None)
    assert (gemma3["attention.head_count"], gemma3["attention.head_count_kv"], gemma3["context_length"]) == (
        8, 4, 131072,
    )  # fmt: skip
    assert (gemma3["rope.freq_base"], gemma3["rope.freq_base_swa"]) == (1e6, 1e4)
    assert "attention.scale" not in gemma3 and gemma3["attention.key_length"] == 256
    gemma2 = of("gemma2")
    assert (gemma2["attn_logit_softcapping"], gemma2["final_logit_softcapping"]) == (50.0, 30.0)
    assert "attn_logit_softcapping" not in of("gemma2", attn_logit_softcapping=None)
    assert of("phi3")["rope.scaling.original_context_length"] == 4096
    neox = of("gpt_neox")
    assert (neox["rope.dimension_count"], neox["use_parallel_residual"]) == (4, True)
    assert "activation_function" not in neox


def old_spelling(values: dict[str, Any]) -> dict[str, Any]:
    """As transformers 4 wrote it."""
    values = {**values}
    said = values.pop("rope_parameters")
    window = said.get("sliding_attention")
    said = {**said.get("full_attention", said)}
    if window is not None:
        values["rope_local_base_freq"] = window["rope_theta"]
    base, part = ("rotary_emb_base", "rotary_pct") if values["model_type"] == "gpt_neox" else (
        "rope_theta", "partial_rotary_factor",
    )  # fmt: skip
    values[base] = said.pop("rope_theta")
    if "partial_rotary_factor" in said:
        values[part] = said.pop("partial_rotary_factor")
    kind = said.pop("rope_type")
    values["rope_scaling"] = None if kind == "default" else {"type": kind, **said}
    if "layer_types" in values:
        values.pop("layer_types")
        values["sliding_window_pattern"] = 6 if values["model_type"] == "gemma3_text" else None
    return values


@pytest.mark.parametrize("name", sorted(folder.name for folder in REFERENCES.iterdir()))
def test_old_spellings_say_the_same(name: str) -> None:
    new, old = config(reference(name)), config(old_spelling(reference(name)))
    assert new.metadata == old.metadata
    assert new.made.keys() == old.made.keys()
    assert all(np.array_equal(new.made[key], old.made[key]) for key in new.made)


def test_windows() -> None:
    def windows(model_type: str, **more: Any) -> tuple[Any, Any]:
        said = of(model_type, **more)
        return said.get("attention.sliding_window"), said.get("attention.sliding_window_pattern")

    full, window = "full_attention", "sliding_attention"
    assert windows("llama", layer_types=[full] * 3) == (None, None)
    assert windows("mistral", sliding_window=9) == (9, None)
    assert windows("mistral", sliding_window=9, layer_types=[full, window, full]) == (9, [False, True, False])
    assert windows("mistral", sliding_window=9, layer_types=[full] * 3) == (None, None)
    assert windows("qwen2", sliding_window=9) == (None, None)
    assert windows("qwen2", sliding_window=9, use_sliding_window=True) == (None, None)  # all layers come before it
    used = {"sliding_window": 9, "use_sliding_window": True}
    assert windows("qwen2", **used, max_window_layers=1) == (9, [False, True, True])
    assert windows("qwen3", **used, max_window_layers=0) == (9, None)
    assert windows("gemma2", sliding_window=9) == (9, None)
    assert windows("gemma2", sliding_window=9, layer_types=[window, full, window]) == (9, None)
    assert windows("gemma3_text", sliding_window=9, sliding_window_pattern=2) == (9, [True, False, True])
    assert windows("gemma3_text", sliding_window=9, layer_types=[full] * 3) == (9, [False] * 3)
    assert windows("phi3", sliding_window=9) == (9, None)
    assert config({"model_type": "phi3", **SIZES, "sliding_window": 9}).notes == [
        "its window of 9 tokens is not used: all layers see everything"
    ]


def test_scales_of_gemma() -> None:
    assert of("gemma2", head_dim=16, query_pre_attn_scalar=64)["attention.scale"] == 0.125
    assert "attention.scale" not in of("gemma2", head_dim=16, query_pre_attn_scalar=16)
    large = {"num_hidden_layers": 46, "head_dim": 8}
    assert "attention.scale" not in of("gemma2", **large, query_pre_attn_scalar=16)
    assert of("gemma2", **large, query_pre_attn_scalar=8)["attention.scale"] == np.float32(1 / sqrt(8))


def test_yarn_and_longrope() -> None:
    yarn = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 128}
    said = of("qwen2", rope_scaling=yarn)
    assert said["rope.scaling.type"] == "yarn" and "rope.scaling.attn_factor" not in said
    assert said["rope.scaling.original_context_length"] == 128
    usual = 1 + 0.1 * log(4)
    got = of("qwen2", rope_scaling=yarn | {"attention_factor": 1.5})["rope.scaling.attn_factor"]
    assert got == pytest.approx(1.5 / usual)
    got = of("qwen2", rope_scaling=yarn | {"mscale": 2.0, "mscale_all_dim": 3.0})["rope.scaling.attn_factor"]
    assert got == pytest.approx((1 + 0.2 * log(4)) / (1 + 0.3 * log(4)) / usual)
    factors = {"short_factor": [1.0] * 8, "long_factor": [2] * 8}
    for kind in ("longrope", "su", "yarn"):
        said = of("phi3", rope_scaling={"type": kind, **factors}, original_max_position_embeddings=128)
        assert said["rope.scaling.type"] == "longrope"
        assert said["rope.scaling.attn_factor"] == pytest.approx(sqrt(1 + log(4) / log(128)))


ROPES: list[tuple[str, dict[str, Any], str]] = [
    ("llama", {"type": "dynamic", "factor": 2.0}, r"rope_scaling.rope_type: is 'dynamic'; .* knows default, linear"),
    ("qwen3", {"type": "llama3", "factor": 2.0}, r"rope_scaling.rope_type: is 'llama3'"),
    ("gemma2", {"rope_type": ["linear"]}, r"rope_scaling.rope_type: is \['linear'\]"),
    ("llama", {"type": "linear"}, r"rope_scaling.factor: is missing"),
    ("llama", {"type": "linear", "factor": 0}, r"rope_scaling.factor: is 0, not a number above 0"),
    ("llama", {"type": "linear", "factor": 2.0, "mrope_section": [1]}, r"rope_scaling.mrope_section: is \[1\]"),
    ("llama", {"type": "yarn", "factor": 0.5}, r"rope_scaling.factor: is 0.5, below 1"),
    ("llama", {"type": "yarn", "factor": 2.0, "truncate": False}, r"rope_scaling.truncate: is false"),
    (
        "llama",
        {"type": "llama3", "factor": 2.0, "low_freq_factor": 4.0, "high_freq_factor": 4.0},
        r"rope_scaling.low_freq_factor: is 4, not below high_freq_factor, 4",
    ),
    ("phi3", {"type": "longrope", "short_factor": [1.0] * 8}, r"rope_scaling.long_factor: is None, not a list of 8"),
    ("phi3", {"type": "longrope", "long_factor": [1.0] * 7 + [0]}, r"rope_scaling.long_factor: has a factor that"),
    ("llama", {"rope_theta": "big"}, r"rope_scaling.rope_theta: is 'big', not a number"),
    ("llama", {"partial_rotary_factor": 0.5}, r"partial_rotary_factor: is 0.5; of heads of 16, 8 numbers"),
    ("phi3", {"partial_rotary_factor": 0.1}, r"partial_rotary_factor: is 0.1; of heads of 16, 1 numbers"),
    ("llama", {"full_attention": {}, "sliding_attention": {"rope_theta": 1e3}}, r"rope_scaling: differs between"),
    ("gemma3_text", {"full_attention": 3}, r"rope_scaling: is \{'full_attention': 3\}, not an object"),
    (
        "gemma3_text",
        {"full_attention": {}, "sliding_attention": {"rope_type": "linear", "factor": 2.0}},
        r"rope_scaling.sliding_attention.rope_type: is 'linear'; ggtui knows default",
    ),
]


@pytest.mark.parametrize(("model_type", "said", "problem"), ROPES)
def test_rotary_positions_that_are_refused(model_type: str, said: dict[str, Any], problem: str) -> None:
    with pytest.raises(Refused) as caught:
        of(model_type, rope_scaling=said)
    assert re.match(problem, str(caught.value)), caught.value


@pytest.mark.parametrize(
    ("model_type", "more", "problem"),
    [
        ("mixtral", {}, "model_type: is 'mixtral'; ggtui knows"),
        ("qwen3_moe", {}, "model_type: is 'qwen3_moe'"),
        ("llama", {"num_local_experts": 8}, "num_local_experts: is 8, which ggtui does not do; it must be None"),
        ("llama", {"quantization_config": {"bits": 4}}, "quantization_config: is given"),
        ("llama", {"hidden_act": "gelu"}, "hidden_act: is 'gelu'; ggtui knows silu, swish"),
        ("gemma2", {"hidden_activation": "gelu"}, "hidden_activation: is 'gelu'; ggtui knows gelu_new"),
        ("gpt_neox", {"hidden_act": "gelu_10"}, "hidden_act: is 'gelu_10'; ggtui knows"),
        ("gemma3_text", {"use_bidirectional_attention": True}, "use_bidirectional_attention: is True"),
        ("gemma3_text", {"attn_logit_softcapping": 50.0}, "attn_logit_softcapping: is 50.0"),
        ("llama", {"layer_types": ["full_attention"]}, r"layer_types: has \['full_attention'\]; ggtui knows"),
        ("qwen3", {"layer_types": ["linear_attention"] * 3}, "layer_types: has 'linear_attention'; ggtui knows"),
        ("qwen2", {"layer_types": 3}, "layer_types: has 3; ggtui knows"),
        ("llama", {"layer_types": ["sliding_attention"] * 3}, "layer_types: has sliding_attention, but there is no"),
        ("llama", {"num_attention_heads": 5}, "num_attention_heads: 5 does not divide hidden_size, 64"),
        ("llama", {"rms_norm_eps": 1}, "rms_norm_eps: is 1, not a number between 0 and 1"),
        ("llama", {"head_dim": "16"}, "head_dim: is '16', not a whole number"),
        ("llama", {"hidden_size": None}, "hidden_size: is missing"),
        ("llama", {"num_hidden_layers": 5000}, "num_hidden_layers: is 5000, not a whole number from 1 to 1024"),
        ("llama", {"tie_word_embeddings": 1}, "tie_word_embeddings: is 1, not true or false"),
    ],
)
def test_configs_that_are_refused(model_type: str, more: dict[str, Any], problem: str) -> None:
    with pytest.raises(Refused) as caught:
        of(model_type, **more)
    assert re.match(problem, str(caught.value)), caught.value


def test_tables_name_each_tensor_once() -> None:
    for table in MODELS.values():
        raws = [row.raw for row in table.rows]
        assert len(set(raws)) == len(raws)
        assert {row.when for row in table.rows} - {""} <= table.flags.keys()
