"""The names of Qwen3's tensors and sizes in Hugging Face's files: Llama's, with norms of queries and keys."""

from __future__ import annotations

from ggtui.core.files.names.llama import ATTENTION, ENDS, FEED_FORWARD, HEADS_KV, KEYS, NORMS, biases
from ggtui.core.files.names.qwen2 import WINDOWS
from ggtui.core.files.names.table import SILU, RopeKeys, Row, Table

HEAD_NORMS = tuple(
    Row(f"blk.%d.attn_{part}_norm.weight", f"layers.%d.self_attn.{part}_norm.weight") for part in ("q", "k")
)

TABLE = Table(
    arch="qwen3",
    title="Qwen3",
    rows=(*ENDS, *NORMS, *ATTENTION, *biases(ATTENTION, "attention_bias"), *HEAD_NORMS, *FEED_FORWARD),
    keys=(*KEYS, HEADS_KV._replace(default=32)),
    tied=False,
    activation=("hidden_act", "silu", SILU),
    flags={"attention_bias": False},
    head_dim=128,
    rope=RopeKeys(),
    windows=WINDOWS,
)
