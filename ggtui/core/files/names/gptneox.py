"""The names of GPT-NeoX's tensors and sizes in Hugging Face's files."""

from __future__ import annotations

from ggtui.core.files.names.llama import KEYS, biases
from ggtui.core.files.names.table import ACTIVATIONS, Key, RopeKeys, Row, Table

_NORMS = (
    Row("output_norm.weight", "final_layer_norm.weight"),
    Row("blk.%d.attn_norm.weight", "layers.%d.input_layernorm.weight"),
    Row("blk.%d.ffn_norm.weight", "layers.%d.post_attention_layernorm.weight"),
)
_ATTENTION = (
    Row("blk.%d.attn_qkv.weight", "layers.%d.attention.query_key_value.weight", "by_part"),
    Row("blk.%d.attn_output.weight", "layers.%d.attention.dense.weight"),
)
_FEED_FORWARD = (
    Row("blk.%d.ffn_up.weight", "layers.%d.mlp.dense_h_to_4h.weight"),
    Row("blk.%d.ffn_down.weight", "layers.%d.mlp.dense_4h_to_h.weight"),
)

TABLE = Table(
    arch="gptneox",
    title="GPT-NeoX",
    rows=(
        Row("token_embd.weight", "embed_in.weight"),
        Row("output.weight", "lm_head.weight"),
        Row("output.weight", "embed_out.weight"),
        *_NORMS,
        *biases(_NORMS),
        *_ATTENTION,
        *biases(_ATTENTION, "attention_bias"),
        *_FEED_FORWARD,
        *biases(_FEED_FORWARD),
    ),
    keys=(
        *KEYS[:-1],
        Key("attention.layer_norm_epsilon", ("layer_norm_eps",), "fraction", 1e-5),
        Key("use_parallel_residual", ("use_parallel_residual",), "flag", True),
    ),
    tied=False,
    activation=("hidden_act", "gelu", ACTIVATIONS),
    written="gelu",
    prefixes=("gpt_neox.",),
    ignored=r"layers\.\d+\.attention\.(bias|masked_bias|rotary_emb\.inv_freq)",
    flags={"attention_bias": True},
    rope=RopeKeys(base=("rotary_emb_base", 10000.0), partial=("rotary_pct", 0.25)),
)
