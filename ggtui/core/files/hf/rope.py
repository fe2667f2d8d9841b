"""How heads turn, by the rope_parameters or rope_scaling of a Hugging Face config: GGUF's keys, and factors by which
frequencies are divided. What the kinds mean is in transformers' modeling_rope_utils.py."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import log, pi, sqrt
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from ggtui.core.files.fields import Fields, shown
from ggtui.core.files.names.table import RopeKeys

Floats = npt.NDArray[np.float32]
Refuse = Callable[[str, str], NoReturn]

_MOST = 1e12  # of a base or a factor
MAX_CTX = 1 << 30
_FULL, _WINDOW = "full_attention", "sliding_attention"

# What each kind says, beside what all may.
_SAID: dict[str, tuple[str, ...]] = {
    "default": (),
    "linear": ("factor",),
    "llama3": ("factor", "low_freq_factor", "high_freq_factor"),
    "yarn": ("factor", "attention_factor", "beta_fast", "beta_slow", "mscale", "mscale_all_dim", "truncate"),
    "longrope": ("factor", "attention_factor", "long_factor", "short_factor"),
}
_ALWAYS = ("rope_type", "type", "rope_theta", "partial_rotary_factor", "original_max_position_embeddings", "finetuned")


def f32(x: float) -> float:
    """As GGUF keeps it: infinite where that is too small for it."""
    with np.errstate(over="ignore"):
        return float(np.float32(x))


class Rope:
    """What a config says of rotary positions: `metadata`, without the architecture's name before its keys, and
    `factors` (pairs), by the names of their tensors."""

    def __init__(self, config: Mapping[str, Any], table: RopeKeys, d_head: int, n_ctx: int, refuse: Refuse) -> None:
        """Raises what `refuse` raises for kinds and keys that ggtui does not know, and for odd values."""
        self._table, self._refuse = table, refuse
        self.metadata: dict[str, Any] = {}
        self.factors: dict[str, Floats] = {}
        self._name = "rope_parameters" if config.get("rope_parameters") is not None else "rope_scaling"
        above, said, window = Fields(config, refuse), *self._said(config.get(self._name))
        self._fields = Fields(said, lambda key, problem: refuse(f"{self._name}.{key}", problem))
        kind = self._kind(said)

        key, default = table.base
        default = above.number("rope_theta", 0.0, _MOST, above.number(key, 0.0, _MOST, default))
        self._base = self._number("rope_theta", default)
        self.metadata["rope.freq_base"] = f32(self._base)
        if table.local is not None:
            default = above.number(table.local[0], 0.0, _MOST, table.local[1])
            fields = Fields(window, lambda key, problem: refuse(f"{self._name}.{_WINDOW}.{key}", problem))
            self.metadata["rope.freq_base_swa"] = f32(fields.number("rope_theta", 0.0, _MOST, default))

        key, default = table.partial or ("partial_rotary_factor", 1.0)
        part = self._number("partial_rotary_factor", above.number(key, 0.0, 1.0, default))
        self._n_dims = int(d_head * part)
        if part > 1 or self._n_dims % 2 or not self._n_dims or (table.partial is None and self._n_dims != d_head):
            refuse(key, f"is {part}; of heads of {d_head}, {self._n_dims} numbers can't turn here")
        self.metadata["rope.dimension_count"] = self._n_dims

        original = above.whole("original_max_position_embeddings", 1, MAX_CTX, table.original or n_ctx)
        self._original = self._fields.whole("original_max_position_embeddings", 1, MAX_CTX, original)
        if kind in ("yarn", "longrope") or table.original is not None:
            self.metadata["rope.scaling.original_context_length"] = self._original
        if kind == "linear":
            self.metadata |= {"rope.scaling.type": kind, "rope.scaling.factor": f32(self._number("factor"))}
        elif kind == "llama3":
            self._llama3()
        elif kind == "yarn":
            self._yarn()
        elif kind == "longrope":
            self._longrope(said, n_ctx)

    def _said(self, said: Any) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """What the config says of layers that see everything, and what of those with a window."""
        nested = isinstance(said, dict) and (_FULL in said or _WINDOW in said)
        full, window = (said.get(_FULL), said.get(_WINDOW)) if nested else (said, None)
        full, window = ({} if one is None else one for one in (full, window))
        if not isinstance(full, dict) or not isinstance(window, dict):
            self._refuse(self._name, f"is {shown(said)}, not an object")
        if nested and self._table.local is None and full != window:
            self._refuse(self._name, f"differs between {_FULL} and {_WINDOW}, which ggtui does not know here")
        kind = window.get("rope_type", "default")
        if nested and self._table.local is not None and kind != "default":
            self._refuse(f"{self._name}.{_WINDOW}.rope_type", f"is {shown(kind)}; ggtui knows default")
        return full, window

    def _kind(self, said: Mapping[str, Any]) -> str:
        kind = said.get("rope_type") or said.get("type") or "default"
        kind = self._table.old.get(kind, kind) if isinstance(kind, str) else kind
        if not isinstance(kind, str) or kind not in self._table.kinds:
            known = ", ".join(self._table.kinds)
            self._refuse(f"{self._name}.rope_type", f"is {shown(kind)}; for this model ggtui knows {known}")
        for key, value in said.items():
            if value is not None and key not in _ALWAYS and key not in _SAID[kind]:
                self._refuse(f"{self._name}.{key}", f"is {shown(value)}, which ggtui does not know of {kind}")
        return kind

    def _number(self, key: str, default: float | None = None) -> float:
        return self._fields.number(key, 0.0, _MOST, default)

    def _llama3(self) -> None:
        """Slow frequencies are divided by the factor, fast ones stay; those between are mixed."""
        factor, low, high = (self._number(key) for key in _SAID["llama3"])
        if not low < high:
            self._refuse(f"{self._name}.low_freq_factor", f"is {low:g}, not below high_freq_factor, {high:g}")
        with np.errstate(over="ignore"):
            turns = self._original * self._base ** (-np.arange(0, self._n_dims, 2) / self._n_dims) / (2 * pi)
        smooth = np.clip((turns - low) / (high - low), 0, 1)
        self.factors["rope_freqs.weight"] = (1 / ((1 - smooth) / factor + smooth)).astype(np.float32)

    def _yarn(self) -> None:
        """GGUF's readers multiply sizes by 1 + 0.1 ln(factor), and by what is written."""
        factor = self._number("factor")
        if factor < 1:
            self._refuse(f"{self._name}.factor", f"is {factor:g}, below 1")
        if not self._fields.flag("truncate", True):
            self._refuse(f"{self._name}.truncate", "is false, which ggtui does not know")

        def size(multiplier: float) -> float:
            return 1 + 0.1 * multiplier * log(factor)

        both = "mscale" in self._fields and "mscale_all_dim" in self._fields
        default = size(self._number("mscale")) / size(self._number("mscale_all_dim")) if both else size(1)
        attention = self._number("attention_factor", default)
        self.metadata |= {
            "rope.scaling.type": "yarn",
            "rope.scaling.factor": f32(factor),
            "rope.scaling.yarn_beta_fast": f32(self._number("beta_fast", 32.0)),
            "rope.scaling.yarn_beta_slow": f32(self._number("beta_slow", 1.0)),
        }
        if attention != size(1):
            self.metadata["rope.scaling.attn_factor"] = f32(attention / size(1))

    def _longrope(self, said: Mapping[str, Any], n_ctx: int) -> None:
        """Factors for texts within the original context, and for longer ones."""
        for kind in ("long", "short"):
            value, field = said.get(f"{kind}_factor"), f"{self._name}.{kind}_factor"
            n = self._n_dims // 2
            if not isinstance(value, list) or len(value) != n:
                self._refuse(field, f"is {shown(value)}, not a list of {n} factors")
            if not all(type(x) in (int, float) and 0 < x < _MOST for x in value):
                self._refuse(field, f"has a factor that is not a number above 0 and up to {_MOST:g}")
            self.factors[f"rope_factors_{kind}.weight"] = np.array(value, np.float32)
        factor = self._number("factor", n_ctx / self._original)
        grown = sqrt(1 + log(factor) / log(self._original)) if factor > 1 and self._original > 1 else 1.0
        self.metadata["rope.scaling.type"] = "longrope"
        self.metadata["rope.scaling.attn_factor"] = f32(self._number("attention_factor", grown))
