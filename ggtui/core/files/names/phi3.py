"""The names of Phi-3's tensors and sizes in Hugging Face's files."""

from __future__ import annotations

from ggtui.core.files.names.llama import ATTENTION, ENDS, FEED_FORWARD, HEADS_KV, KEYS, NORMS
from ggtui.core.files.names.table import SILU, RopeKeys, Row, Table, Windows

TABLE = Table(
    arch="phi3",
    title="Phi-3",
    rows=(
        *ENDS,
        *NORMS,
        Row("blk.%d.attn_qkv.weight", "layers.%d.self_attn.qkv_proj.weight"),
        ATTENTION[3],
        Row("blk.%d.ffn_up.weight", "layers.%d.mlp.gate_up_proj.weight"),
        FEED_FORWARD[2],
    ),
    keys=(*KEYS[:-1], KEYS[-1]._replace(default=1e-5), HEADS_KV),
    tied=False,
    activation=("hidden_act", "silu", SILU),
    rope=RopeKeys(
        kinds=("default", "longrope"),
        old={"su": "longrope", "yarn": "longrope"},
        partial=("partial_rotary_factor", 1.0),
        original=4096,
    ),
    windows=Windows(ignored=True),
)
