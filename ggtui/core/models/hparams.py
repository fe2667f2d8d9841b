"""The sizes of a decoder with rotary positions, as most architectures name them in their files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import log, sqrt
from typing import Any, NoReturn

import numpy as np

from ggtui.core.errors import ModelFileError
from ggtui.core.files import ModelFile
from ggtui.core.files.fields import Fields

MAX_LAYERS = 1024
MAX_SIZE = 1 << 24
_MOST = 1e12  # of a base or a factor


@dataclass(frozen=True, slots=True)
class Rope:
    """How heads turn with their positions: the parameters of ops.rope."""

    n_dims: int
    mode: str
    freq_base: float = 10000.0
    freq_scale: float = 1.0
    attn_factor: float = 1.0
    ext_factor: float = 0.0
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    n_ctx_orig: int = 0


@dataclass(frozen=True, slots=True)
class Hparams:
    """The sizes of a decoder.

    d_head      of queries, keys and values
    rope        of layers that see everything; rope_window: of those with a window
    windows     of each layer: how many tokens it sees, 0 for all
    parallel    whether the feed-forward reads what attention reads, and not what comes out of it
    activation  of a feed-forward without a gate, in Hugging Face's words
    attn_scale  of q . k; attn_softcap, logit_softcap: c tanh(x / c) of scores and of logits, 0 for none
    """

    n_vocab: int
    n_ctx: int
    n_embd: int
    n_layer: int
    n_head: int
    n_head_kv: int
    d_head: int
    n_ff: int
    eps: float
    rope: Rope
    rope_window: Rope
    windows: tuple[int, ...]
    attn_scale: float
    attn_softcap: float = 0.0
    logit_softcap: float = 0.0
    parallel: bool = False
    activation: str = ""


class Keys:
    """The hyper-parameters of a file, by their names without the architecture's. What is wrong with one is raised as
    ModelFileError, in the name of the file and the whole key."""

    def __init__(self, file: ModelFile, arch: str) -> None:
        self._file, self._arch = file, arch
        self._fields = Fields.of(self._flat(file.metadata), file.path)

    def _flat(self, metadata: Mapping[str, Any]) -> dict[str, Any]:
        """Lists with a value a layer stand for that value where all are equal."""
        flat = {}
        for key, value in metadata.items():
            if key.startswith(f"{self._arch}.") and isinstance(value, list | np.ndarray) and len(value):
                value = value[0] if all(v == value[0] for v in value) else value
                value = value.item() if isinstance(value, np.generic) else value
            flat[key] = value
        return flat

    def __contains__(self, key: str) -> bool:
        return f"{self._arch}.{key}" in self._fields

    def size(self, key: str, default: int | None = None, high: int = MAX_SIZE, low: int = 1) -> int:
        return self._fields.whole(f"{self._arch}.{key}", low, high, default)

    def fraction(self, key: str, default: float | None = None) -> float:
        return self._fields.fraction(f"{self._arch}.{key}", default)

    def number(self, key: str, default: float) -> float:
        """Above 0, and no absurd one."""
        return self._fields.number(f"{self._arch}.{key}", 0.0, _MOST, default)

    def choice(self, key: str, choices: tuple[str, ...], default: str) -> str:
        return self._fields.choice(f"{self._arch}.{key}", choices, default)

    def flag(self, key: str, default: bool) -> bool:
        return self._fields.flag(f"{self._arch}.{key}", default)

    def flags(self, key: str, n: int) -> Sequence[bool] | None:
        """A list of so many; None where there is no list."""
        value = self._file.metadata.get(f"{self._arch}.{key}")
        if not isinstance(value, list | np.ndarray):
            return None
        if len(value) != n or set(np.asarray(value).tolist()) - {False, True}:
            self.refuse(key, f"is not true or false for each of {n} layers")
        return [bool(v) for v in value]

    def refuse(self, key: str, problem: str) -> NoReturn:
        raise ModelFileError(self._file.path, f"{self._arch}.{key}", problem)


def read_hparams(
    file: ModelFile,
    arch: str,
    *,
    mode: str,
    eps: str = "attention.layer_norm_rms_epsilon",
    windows: Callable[[Keys, int], tuple[int, ...]] | None = None,
) -> Hparams:
    """Those of the architecture `arch`, checked against one another. Raises ModelFileError.

    mode     of its ropes; eps: the key of its norms' epsilon
    windows  of each of so many layers, by its file; without it none has one
    """
    keys = Keys(file, arch)
    if "token_embd.weight" not in file.tensors:
        raise ModelFileError(file.path, "token_embd.weight", "the tensor is missing")
    n_embd, n_head = keys.size("embedding_length"), keys.size("attention.head_count")
    n_head_kv, n_layer = keys.size("attention.head_count_kv", n_head), keys.size("block_count", high=MAX_LAYERS)
    if n_head % n_head_kv:
        keys.refuse("attention.head_count_kv", f"{n_head_kv} does not divide {n_head} heads")
    if "attention.key_length" not in keys and n_embd % n_head:
        keys.refuse("attention.head_count", f"{n_head} does not divide {n_embd}")
    d_head = keys.size("attention.key_length", max(n_embd // n_head, 1))
    if n_head * d_head > MAX_SIZE:
        keys.refuse("attention.key_length", f"{n_head} heads of {d_head} are too many")
    if keys.size("attention.value_length", d_head) != d_head:
        keys.refuse("attention.value_length", f"is not that of keys, {d_head}")
    n_ctx = keys.size("context_length", high=1 << 30)
    rope = _rope(keys, mode, d_head, n_ctx)
    return Hparams(
        n_vocab=file.tensors["token_embd.weight"].ne[1],
        n_ctx=n_ctx,
        n_embd=n_embd,
        n_layer=n_layer,
        n_head=n_head,
        n_head_kv=n_head_kv,
        d_head=d_head,
        n_ff=keys.size("feed_forward_length"),
        eps=keys.fraction(eps),
        rope=rope,
        rope_window=rope,
        windows=windows(keys, n_layer) if windows else (0,) * n_layer,
        attn_scale=1 / sqrt(d_head),
    )


def listed_windows(keys: Keys, n_layer: int) -> tuple[int, ...]:
    """The same on all layers, or on those that the file lists."""
    window = keys.size("attention.sliding_window", 0, low=0)
    flags = keys.flags("attention.sliding_window_pattern", n_layer) or [True] * n_layer
    return tuple(window if has_one else 0 for has_one in flags)


def _rope(keys: Keys, mode: str, d_head: int, n_ctx: int) -> Rope:
    n_dims = keys.size("rope.dimension_count", d_head, high=d_head)
    if n_dims % 2:
        keys.refuse("rope.dimension_count", f"{n_dims} is odd")
    base = keys.number("rope.freq_base", 10000.0)
    kind = keys.choice("rope.scaling.type", ("none", "linear", "yarn", "longrope"), "linear")
    factor = keys.number("rope.scaling.factor", keys.number("rope.scale_linear", 1.0))
    scale = 1.0 if kind in ("none", "longrope") else 1 / factor
    attn_factor = keys.number("rope.scaling.attn_factor", 1.0)
    if kind != "yarn":
        n_ctx_orig = keys.size("rope.scaling.original_context_length", 0, 1 << 30, low=0)
        return Rope(n_dims, mode, base, scale, attn_factor, n_ctx_orig=n_ctx_orig)
    return Rope(
        n_dims,
        mode,
        base,
        scale,
        attn_factor * _yarn_size(keys, factor),
        1.0,
        keys.number("rope.scaling.yarn_beta_fast", 32.0),
        keys.number("rope.scaling.yarn_beta_slow", 1.0),
        keys.size("rope.scaling.original_context_length", n_ctx, 1 << 30),
    )


def _yarn_size(keys: Keys, factor: float) -> float:
    """What ops.rope multiplies sizes with is for models without a multiplier of their own: 1 + 0.1 ln(factor). Those
    with one want the quotient of that, and of the same with the multiplier before the logarithm."""
    multiplier = keys.number("rope.scaling.yarn_log_multiplier", 0.0)
    return 1 / (1 + 0.1 * multiplier * log(factor)) if factor > 1 else 1.0
