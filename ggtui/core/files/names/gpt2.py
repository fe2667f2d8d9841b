"""The names of GPT-2's tensors: in GGUF, in legacy ggml files, and in Hugging Face's."""

from __future__ import annotations

MAX_LAYERS = 1024

# %d stands for the layer
_NAMES = (
    ("token_embd.weight", "model/wte", "wte.weight"),
    ("position_embd.weight", "model/wpe", "wpe.weight"),
    ("output_norm.weight", "model/ln_f/g", "ln_f.weight"),
    ("output_norm.bias", "model/ln_f/b", "ln_f.bias"),
    ("output.weight", "model/lm_head", "lm_head.weight"),
    ("blk.%d.attn_norm.weight", "model/h%d/ln_1/g", "h.%d.ln_1.weight"),
    ("blk.%d.attn_norm.bias", "model/h%d/ln_1/b", "h.%d.ln_1.bias"),
    ("blk.%d.attn_qkv.weight", "model/h%d/attn/c_attn/w", "h.%d.attn.c_attn.weight"),
    ("blk.%d.attn_qkv.bias", "model/h%d/attn/c_attn/b", "h.%d.attn.c_attn.bias"),
    ("blk.%d.attn_output.weight", "model/h%d/attn/c_proj/w", "h.%d.attn.c_proj.weight"),
    ("blk.%d.attn_output.bias", "model/h%d/attn/c_proj/b", "h.%d.attn.c_proj.bias"),
    ("blk.%d.ffn_norm.weight", "model/h%d/ln_2/g", "h.%d.ln_2.weight"),
    ("blk.%d.ffn_norm.bias", "model/h%d/ln_2/b", "h.%d.ln_2.bias"),
    ("blk.%d.ffn_up.weight", "model/h%d/mlp/c_fc/w", "h.%d.mlp.c_fc.weight"),
    ("blk.%d.ffn_up.bias", "model/h%d/mlp/c_fc/b", "h.%d.mlp.c_fc.bias"),
    ("blk.%d.ffn_down.weight", "model/h%d/mlp/c_proj/w", "h.%d.mlp.c_proj.weight"),
    ("blk.%d.ffn_down.bias", "model/h%d/mlp/c_proj/b", "h.%d.mlp.c_proj.bias"),
)
_COLUMNS = {"legacy": 1, "huggingface": 2}


def gguf_names(kind: str, n_layer: int) -> dict[str, str]:
    """For a model of `n_layer` layers: each name of "legacy" or "huggingface" -> GGUF's."""
    column = _COLUMNS[kind]
    names = {row[column]: row[0] for row in _NAMES if "%d" not in row[0]}
    for il in range(n_layer):
        names |= {row[column] % il: row[0] % il for row in _NAMES if "%d" in row[0]}
    return names
