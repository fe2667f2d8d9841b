"""The names of Llama's tensors and sizes in Hugging Face's files, and Mistral's."""

from __future__ import annotations

from dataclasses import replace

from ggtui.core.files.names.table import OMIT, SILU, Key, RopeKeys, Row, Table, Windows

ENDS = (
    Row("token_embd.weight", "embed_tokens.weight"),
    Row("output_norm.weight", "norm.weight"),
    Row("output.weight", "lm_head.weight"),
)
NORMS = (
    Row("blk.%d.attn_norm.weight", "layers.%d.input_layernorm.weight"),
    Row("blk.%d.ffn_norm.weight", "layers.%d.post_attention_layernorm.weight"),
)
ATTENTION = tuple(
    Row(f"blk.%d.attn_{ours}.weight", f"layers.%d.self_attn.{raw}.weight")
    for ours, raw in (("q", "q_proj"), ("k", "k_proj"), ("v", "v_proj"), ("output", "o_proj"))
)
FEED_FORWARD = tuple(
    Row(f"blk.%d.ffn_{part}.weight", f"layers.%d.mlp.{part}_proj.weight") for part in ("gate", "up", "down")
)


def biases(rows: tuple[Row, ...], when: str = "") -> tuple[Row, ...]:
    """Of these weights."""
    return tuple(
        Row(row.gguf.replace(".weight", ".bias"), row.raw.replace(".weight", ".bias"), row.change, when) for row in rows
    )


KEYS = (
    Key("context_length", ("max_position_embeddings",)),
    Key("embedding_length", ("hidden_size",)),
    Key("feed_forward_length", ("intermediate_size",)),
    Key("attention.head_count", ("num_attention_heads",)),
    Key("attention.layer_norm_rms_epsilon", ("rms_norm_eps",), "fraction", 1e-6),
)
HEADS_KV = Key("attention.head_count_kv", ("num_key_value_heads",), default=OMIT, null=True)

# What a head's halves are to Hugging Face, neighbours are to GGUF's Llama.
_TURNED = (ATTENTION[0]._replace(change="pairs_q"), ATTENTION[1]._replace(change="pairs_k"), *ATTENTION[2:])

TABLE = Table(
    arch="llama",
    title="Llama",
    rows=(
        *ENDS,
        *NORMS,
        *_TURNED,
        *biases(_TURNED, "attention_bias"),
        *FEED_FORWARD,
        *biases(FEED_FORWARD, "mlp_bias"),
    ),
    keys=(*KEYS, HEADS_KV, Key("vocab_size", ("vocab_size",), default=OMIT)),
    tied=False,
    activation=("hidden_act", "silu", SILU),
    flags={"attention_bias": False, "mlp_bias": False},
    rope=RopeKeys(kinds=("default", "linear", "llama3", "yarn", "longrope")),
)
MISTRAL = replace(
    TABLE,
    title="Mistral",
    rows=(*ENDS, *NORMS, *_TURNED, *FEED_FORWARD),
    keys=(*KEYS, HEADS_KV._replace(default=8), TABLE.keys[-1]),
    flags={},
    windows=Windows(default=4096),
)
