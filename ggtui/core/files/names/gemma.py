"""The names of Gemma 2's and 3's tensors and sizes in Hugging Face's files. Their norms multiply by 1 + weight."""

from __future__ import annotations

from dataclasses import replace

from ggtui.core.files.names.llama import ATTENTION, ENDS, FEED_FORWARD, HEADS_KV, KEYS, biases
from ggtui.core.files.names.qwen3 import HEAD_NORMS
from ggtui.core.files.names.table import OMIT, TANH_GELU, Key, RopeKeys, Row, Table, Windows


def _cap(name: str, default: object) -> Key:
    return Key(name, (name,), "number", default, null=True)


_NORMS = tuple(
    Row(f"blk.%d.{ours}.weight", f"layers.%d.{raw}.weight", "plus_one")
    for ours, raw in (
        ("attn_norm", "input_layernorm"),
        ("post_attention_norm", "post_attention_layernorm"),
        ("ffn_norm", "pre_feedforward_layernorm"),
        ("post_ffw_norm", "post_feedforward_layernorm"),
    )
)
_ENDS = (ENDS[0], ENDS[1]._replace(change="plus_one"), ENDS[2])

GEMMA2 = Table(
    arch="gemma2",
    title="Gemma 2",
    rows=(*_ENDS, *_NORMS, *ATTENTION, *biases(ATTENTION, "attention_bias"), *FEED_FORWARD),
    keys=(
        *KEYS,
        HEADS_KV._replace(default=4),
        _cap("attn_logit_softcapping", 50.0),
        _cap("final_logit_softcapping", 30.0),
    ),
    tied=True,
    activation=("hidden_activation", "gelu_pytorch_tanh", TANH_GELU),
    flags={"attention_bias": False},
    only={"use_bidirectional_attention": (False, None)},
    head_dim=256,
    rope=RopeKeys(),
    windows=Windows(default=4096, period=2),
    scale=True,
)

_DEFAULTS = {"max_position_embeddings": 131072, "num_attention_heads": 8}

GEMMA3 = replace(
    GEMMA2,
    arch="gemma3",
    title="Gemma 3",
    rows=(*GEMMA2.rows, *(row._replace(change="plus_one") for row in HEAD_NORMS)),
    keys=(
        *(key._replace(default=_DEFAULTS.get(key.raw[0], key.default)) for key in KEYS),
        HEADS_KV._replace(default=4),
        _cap("final_logit_softcapping", OMIT),
    ),
    only={"use_bidirectional_attention": (False, None), "attn_logit_softcapping": (None,)},
    rope=RopeKeys(base=("rope_theta", 1e6), local=("rope_local_base_freq", 1e4)),
    windows=Windows(default=4096, period=6),
)

# The one with eyes: the text model's config is its text_config.
GEMMA3_WITH_PICTURES = replace(
    GEMMA3,
    prefixes=("model.language_model.", "language_model.model.", "language_model.", "model."),
    others=("vision_tower.", "multi_modal_projector.", "model.vision_tower.", "model.multi_modal_projector."),
)
