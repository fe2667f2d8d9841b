"""What Hugging Face calls the tensors and sizes of an architecture, and GGUF: the form of one table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

OMIT = object()  # the default of a key that is left out where the config lacks it

# Activation functions in the config's words -> ours; those of one formula have one name.
TANH_GELU = {name: "gelu_new" for name in ("gelu_new", "gelu_pytorch_tanh", "gelu_fast", "gelu_python_tanh")}
SILU = {"silu": "silu", "swish": "silu"}
ACTIVATIONS = {**TANH_GELU, **SILU, "gelu": "gelu", "gelu_python": "gelu", "relu": "relu", "quick_gelu": "quick_gelu"}


class Row(NamedTuple):
    """A tensor. %d in its names stands for the layer.

    change  what becomes of its rows, or of the numbers of a vector: "transpose"; "pairs_q", "pairs_k": the halves of
            each head, which turn together, interleaved; "by_part": q, k, v of each head to all q, all k, all v;
            "plus_one": 1 more. "": nothing
    when    the flag of the config with which a model has it, see Table.flags; "": always
    """

    gguf: str
    raw: str
    change: str = ""
    when: str = ""


class Key(NamedTuple):
    """A number or flag of the config: "size", "fraction", "number" above 0, or "flag". `raw`: its names there, of which
    the first that is given counts. `default`: a value, what makes it of the config, or None if the config must have it.
    null: whether null leaves the key out, rather than standing for the default."""

    gguf: str
    raw: tuple[str, ...]
    kind: str = "size"
    default: Any = None
    null: bool = False


@dataclass(frozen=True, slots=True)
class Windows:
    """Which layers see only the tokens just before.

    default  sliding_window where the config lacks it; None: there is none
    period   each so-many-th layer has none, unless the config's sliding_window_pattern or layer_types say otherwise;
             0: all have one. What GGUF takes for granted too
    ignored  whether readers of GGUF pay no heed to it
    switch   the flag without which there is none; since: the key, and its default, of how many layers have none first
    """

    default: int | None = None
    period: int = 0
    ignored: bool = False
    switch: str = ""
    since: tuple[str, int] | None = None


@dataclass(frozen=True, slots=True)
class RopeKeys:
    """Rotary positions: where the config keeps what rope_parameters or rope_scaling don't say, and what holds where it
    does not either.

    kinds    of scaling that the graph does; old: other names of them
    partial  the part of a head that turns: key and default; None: all does, and nothing else is taken
    local    key and default of the base of layers with a window; None: they have that of all others
    original  of original_max_position_embeddings; None: max_position_embeddings
    """

    kinds: tuple[str, ...] = ("default", "linear", "yarn")
    old: Mapping[str, str] = field(default_factory=lambda: {"su": "longrope"})
    base: tuple[str, float] = ("rope_theta", 10000.0)
    partial: tuple[str, float] | None = None
    local: tuple[str, float] | None = None
    original: int | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """An architecture.

    arch        general.architecture of GGUF; title: as people call it
    prefixes    which names of tensors may begin with; ignored: a regular expression of tensors that are no weights;
                others: how names begin that belong to another part of a model with pictures
    flags       of the config, that rows tell of -> their defaults
    only        keys of the config -> values that leave the model as it is here; the first one holds without the key
    activation  key, default, and what is taken, as our names; written: our name where no key is needed, None: never
    head_dim    where the config does not have it; None: n_embd / n_head, which GGUF takes for granted too
    scale       whether queries are scaled by query_pre_attn_scalar
    """

    arch: str
    title: str
    rows: tuple[Row, ...]
    keys: tuple[Key, ...]
    tied: bool
    activation: tuple[str, str, Mapping[str, str]]
    written: str | None = None
    layers: str = "num_hidden_layers"
    prefixes: tuple[str, ...] = ("model.",)
    ignored: str = r"layers\.\d+\.self_attn\.rotary_emb\.inv_freq"
    others: tuple[str, ...] = ()
    flags: Mapping[str, bool] = field(default_factory=dict)
    only: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    head_dim: int | None = None
    rope: RopeKeys | None = None
    windows: Windows | None = None
    scale: bool = False
