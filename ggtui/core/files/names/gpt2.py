"""The names of GPT-2's tensors: in GGUF, in legacy ggml files, and in Hugging Face's."""

from __future__ import annotations

from ggtui.core.files.names.table import ACTIVATIONS, Key, Row, Table

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
# Weights of linear layers are (in, out) with Hugging Face, GGUF's rows are outputs.
_TRANSPOSED = ("attn_qkv.weight", "attn_output.weight", "ffn_up.weight", "ffn_down.weight")

TABLE = Table(
    arch="gpt2",
    title="GPT-2",
    rows=tuple(Row(ours, raw, "transpose" if ours.endswith(_TRANSPOSED) else "") for ours, _, raw in _NAMES),
    keys=(
        Key("context_length", ("n_positions", "n_ctx")),
        Key("embedding_length", ("n_embd",)),
        Key("feed_forward_length", ("n_inner",), default=lambda config: 4 * config["n_embd"]),
        Key("attention.head_count", ("n_head",)),
        Key("attention.layer_norm_epsilon", ("layer_norm_epsilon",), "fraction", 1e-5),
    ),
    tied=True,
    activation=("activation_function", "gelu_new", ACTIVATIONS),
    written="gelu_new",
    layers="n_layer",
    prefixes=("transformer.",),
    ignored=r"h\.\d+\.attn\.(bias|masked_bias)",  # the mask, saved along by older versions
    only={
        "scale_attn_weights": (True,),
        "scale_attn_by_inverse_layer_idx": (False,),
        "reorder_and_upcast_attn": (False,),
        "add_cross_attention": (False,),
    },
)


def legacy_names(n_layer: int) -> dict[str, str]:
    """Of a model of `n_layer` layers: each name in legacy ggml files -> GGUF's."""
    names = {legacy: ours for ours, legacy, _ in _NAMES if "%d" not in ours}
    for il in range(n_layer):
        names |= {legacy % il: ours % il for ours, legacy, _ in _NAMES if "%d" in ours}
    return names
