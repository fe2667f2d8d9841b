"""Makes a small random model of each architecture with transformers, and the logits it gives: the oracle of
tests/core/models/test_transformers.py. Run it as README.md says; it writes architectures/NAME/."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM

HERE = Path(__file__).resolve().parent / "architectures"
VOCAB = 256

_SMALL = {"vocab_size": VOCAB, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2}
_HEADS = {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 256}

# name -> (config, tokens): a window and an original context are shorter than the text
MODELS: dict[str, tuple[dict[str, Any], int]] = {
    "llama": (
        {
            "model_type": "llama", **_SMALL, **_HEADS, "tie_word_embeddings": True,
            "rope_parameters": {
                "rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0,
                "high_freq_factor": 4.0, "original_max_position_embeddings": 32,
            },
        },
        96,
    ),
    "llama-yarn": (
        {
            "model_type": "llama", **_SMALL, **_HEADS, "attention_bias": True, "mlp_bias": True,
            "tie_word_embeddings": False, "rms_norm_eps": 1e-5,
            "rope_parameters": {
                "rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 64,
            },
        },
        128,
    ),
    "mistral": (
        {
            "model_type": "mistral", **_SMALL, **_HEADS, "head_dim": 24, "sliding_window": 20, "rms_norm_eps": 1e-5,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e6}, "tie_word_embeddings": False,
        },
        100,
    ),
    "qwen2": (
        {
            "model_type": "qwen2", **_SMALL, **_HEADS, "num_hidden_layers": 3, "use_sliding_window": True,
            "sliding_window": 17, "max_window_layers": 1, "tie_word_embeddings": True,
            "rope_parameters": {"rope_type": "linear", "rope_theta": 1e6, "factor": 2.5},
        },
        80,
    ),
    "qwen3": (
        {
            "model_type": "qwen3", **_SMALL, **_HEADS, "head_dim": 32, "tie_word_embeddings": False,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e6},
        },
        80,
    ),
    "gemma2": (
        {
            "model_type": "gemma2", **_SMALL, **_HEADS, "num_hidden_layers": 4, "head_dim": 24, "sliding_window": 24,
            "query_pre_attn_scalar": 20, "attn_logit_softcapping": 5.0, "final_logit_softcapping": 3.0,
        },
        100,
    ),
    "gemma3": (
        {
            "model_type": "gemma3_text", **_SMALL, **_HEADS, "num_hidden_layers": 7, "head_dim": 16,
            "intermediate_size": 64, "num_key_value_heads": 1, "sliding_window": 16, "query_pre_attn_scalar": 16,
            "rope_parameters": {
                "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
                "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
            },
        },
        100,
    ),
    "phi3": (
        {
            "model_type": "phi3", **_SMALL, **_HEADS, "original_max_position_embeddings": 48,
            "rope_parameters": {
                "rope_type": "longrope", "rope_theta": 10000.0, "partial_rotary_factor": 0.75,
                "short_factor": [1.0, 1.1, 1.2, 1.3, 1.4, 1.5], "long_factor": [1.5, 2.0, 3.0, 4.5, 6.0, 8.0],
                "original_max_position_embeddings": 48,
            },
        },
        96,
    ),
    "gpt_neox": (
        {
            "model_type": "gpt_neox", **_SMALL, "num_attention_heads": 4, "max_position_embeddings": 256,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.25},
            "use_parallel_residual": True,
        },
        80,
    ),
    "gpt_neox-serial": (
        {
            "model_type": "gpt_neox", **_SMALL, "num_attention_heads": 4, "max_position_embeddings": 256,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5},
            "use_parallel_residual": False, "hidden_act": "gelu_new",
        },
        80,
    ),
}  # fmt: skip


def randomize(model: torch.nn.Module, generator: torch.Generator) -> None:
    """Weights that bf16 holds, of sizes at which all parts of the model show in its logits."""
    for name, weight in model.named_parameters():
        x = torch.randn(weight.shape, generator=generator)
        if weight.ndim == 2:
            x *= (1.0 if "embed" in name else 1.5) / weight.shape[1] ** 0.5
        elif name.endswith("norm.weight") and getattr(model.config, "model_type", "").startswith("gemma"):
            x *= 0.3
        elif name.endswith(("norm.weight", "layernorm.weight")):
            x = 1 + 0.3 * x
        else:
            x *= 0.3
        weight.data = x.bfloat16().float()


def main(names: list[str]) -> None:
    for i, (name, (config, n_tokens)) in enumerate(MODELS.items()):
        if names and name not in names:
            continue
        config = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None, **config}
        made = AutoConfig.for_model(**config)
        model = AutoModelForCausalLM.from_config(made, attn_implementation="eager", dtype=torch.float32).eval()
        generator = torch.Generator().manual_seed(i)
        randomize(model, generator)
        model.tie_weights()
        tokens = torch.randint(0, VOCAB, (n_tokens,), generator=generator)
        with torch.no_grad():
            logits = model(tokens[None]).logits[0].numpy()
        folder = HERE / name
        shutil.rmtree(folder, ignore_errors=True)
        model.save_pretrained(folder)
        (folder / "generation_config.json").unlink(missing_ok=True)
        weights = {k: v.bfloat16() for k, v in load_file(folder / "model.safetensors").items()}
        save_file(weights, folder / "model.safetensors", {"format": "pt"})
        np.savez_compressed(folder / "logits.npz", tokens=tokens.numpy().astype(np.int32), logits=logits)
        size = sum(f.stat().st_size for f in folder.iterdir())
        print(name, logits.min(), logits.max(), size, json.dumps(json.loads((folder / "config.json").read_text())))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(sys.argv[1:])
