"""The names of Qwen2's tensors and sizes in Hugging Face's files: Llama's, with some biases."""

from __future__ import annotations

from ggtui.core.files.names.llama import ATTENTION, ENDS, FEED_FORWARD, HEADS_KV, KEYS, NORMS, biases
from ggtui.core.files.names.table import SILU, RopeKeys, Table, Windows

WINDOWS = Windows(default=4096, switch="use_sliding_window", since=("max_window_layers", 28))

TABLE = Table(
    arch="qwen2",
    title="Qwen2",
    rows=(*ENDS, *NORMS, *ATTENTION, *biases(ATTENTION[:3]), *FEED_FORWARD),
    keys=(*KEYS, HEADS_KV._replace(default=32)),
    tied=False,
    activation=("hidden_act", "silu", SILU),
    rope=RopeKeys(kinds=("default", "linear", "llama3", "yarn", "longrope")),
    windows=WINDOWS,
)
