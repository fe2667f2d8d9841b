"""What the config.json of a Hugging Face folder says: which model it is of, and its sizes under GGUF's keys."""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt
from typing import Any

from ggtui.core.files.fields import Fields, are_texts, shown
from ggtui.core.files.hf.rope import MAX_CTX, Floats, Refuse, Rope, f32
from ggtui.core.files.names import gemma, gpt2, gptneox, llama, phi3, qwen2, qwen3
from ggtui.core.files.names.table import OMIT, Key, Table

MAX_LAYERS = 1024
MAX_SIZE = 1 << 24  # of a hyper-parameter
MAX_HEAD = 1 << 16
_MOST = 1e12

MODELS: dict[str, Table] = {
    "gpt2": gpt2.TABLE,
    "llama": llama.TABLE,
    "mistral": llama.MISTRAL,
    "qwen2": qwen2.TABLE,
    "qwen3": qwen3.TABLE,
    "gemma2": gemma.GEMMA2,
    "gemma3_text": gemma.GEMMA3,
    "gemma3": gemma.GEMMA3_WITH_PICTURES,
    "phi3": phi3.TABLE,
    "gpt_neox": gptneox.TABLE,
}

# Of any model: what would make another of it.
_ONLY: dict[str, tuple[Any, ...]] = {
    "num_local_experts": (None, 0, 1),
    "num_experts": (None, 0, 1),
    "is_encoder_decoder": (False,),
}


class Config:
    """The config of a model: its `table`, how many layers it has, whether its head is the token embedding, and

    metadata  GGUF's keys, but those of the vocabulary
    made      tensors that it tells of: f32 (n), by name
    notes     what is not done as it says, in a line each
    """

    def __init__(self, values: Mapping[str, Any], refuse: Refuse) -> None:
        """Raises what `refuse` raises, given a key and a problem, for a model that ggtui does not run."""
        if values.get("quantization_config") is not None:
            refuse("quantization_config", "is given; ggtui reads the weights before they were quantized")
        self.table = table = MODELS[Fields(values, refuse).choice("model_type", tuple(MODELS))]
        text = values.get("text_config") if table.others else None
        if table.others and not isinstance(text, dict):
            refuse("text_config", f"is {shown(text)}, not an object")
        # what is not the text model's own holds for all
        self.values = {**values, **(text or {})}
        self._refuse, self.fields = refuse, Fields(self.values, refuse)
        for key, allowed in {**_ONLY, **table.only}.items():
            value = self.values.get(key, allowed[0])
            if not any(type(value) is type(one) and value == one for one in allowed):
                refuse(key, f"is {shown(value)}, which ggtui does not do; it must be {shown(allowed[0])}")
        self.n_layer = self.fields.whole(table.layers, 1, MAX_LAYERS)
        self.tied = self.fields.flag("tie_word_embeddings", table.tied)
        self.made: dict[str, Floats] = {}
        self.notes: list[str] = []
        said: dict[str, Any] = {"block_count": self.n_layer}
        valued = {key.gguf: self._value(key) for key in table.keys}
        said |= {name: value for name, value in valued.items() if value is not OMIT}
        said |= self._heads(said) | self._activation()
        self.metadata: dict[str, Any] = {"general.architecture": table.arch}
        self.metadata |= {f"{table.arch}.{key}": value for key, value in said.items()}

    def has(self, flag: str) -> bool:
        """Whether the model has the tensors of rows with this `when`."""
        return not flag or self.fields.flag(flag, self.table.flags[flag])

    def _value(self, key: Key) -> Any:
        raw = next((name for name in key.raw if name in self.fields), key.raw[0])
        default = key.default(self.values) if callable(key.default) else key.default
        null = key.null and raw in self.values and self.values[raw] is None
        if null or (default is OMIT and raw not in self.fields):
            return OMIT
        default = None if default is OMIT else default
        if key.kind == "size":
            long = key.gguf == "context_length" and self.table.rope is not None
            return self.fields.whole(raw, 1, MAX_CTX if long else MAX_SIZE, default)
        if key.kind == "fraction":
            return self.fields.fraction(raw, default)
        if key.kind == "flag":
            return self.fields.flag(raw, default)
        return f32(self.fields.number(raw, 0.0, _MOST, default))

    def _heads(self, said: Mapping[str, Any]) -> dict[str, Any]:
        """The size of heads, how they turn, how far they see, and the scale of their products."""
        if self.table.rope is None:
            return {}
        n_embd, n_head = said["embedding_length"], said["attention.head_count"]
        more: dict[str, Any] = {}
        d_head = self.fields.whole(
            "head_dim", 1, MAX_HEAD, self.table.head_dim or min(max(n_embd // n_head, 1), MAX_HEAD)
        )
        if "head_dim" in self.fields or self.table.head_dim is not None:
            more = {"attention.key_length": d_head, "attention.value_length": d_head}
        elif n_embd % n_head:
            self._refuse("num_attention_heads", f"{n_head} does not divide hidden_size, {n_embd}")
        rope = Rope(self.values, self.table.rope, d_head, said["context_length"], self._refuse)
        self.made |= rope.factors
        more |= rope.metadata
        if self.table.scale:
            scalar = self.fields.number("query_pre_attn_scalar", 0.0, _MOST, 256.0)
            if scalar != _default_scalar(self.table.arch, self.n_layer, n_embd, n_head, d_head):
                more["attention.scale"] = f32(1 / sqrt(scalar))
        return more | self._windows()

    def _windows(self) -> dict[str, Any]:
        """GGUF's keys for the layers that have a window; none where no layer has, unless GGUF takes one for granted."""
        rule, flags = self.table.windows, self._flags()
        on = rule is not None and (not rule.switch or self.fields.flag(rule.switch, False))
        if rule is None or not on or self.values.get("sliding_window", rule.default) is None:
            if any(flags) and ("layer_types" in self.fields or (rule and rule.period)):
                self._refuse("layer_types", "has sliding_attention, but there is no sliding_window")
            return {}
        window = self.fields.whole("sliding_window", 1, MAX_CTX, rule.default)
        if rule.ignored:
            if window < self.fields.whole("max_position_embeddings", 1, MAX_CTX):
                self.notes.append(f"its window of {window} tokens is not used: all layers see everything")
            return {"attention.sliding_window": window}
        if not rule.period and not any(flags):
            return {}
        usual = [not rule.period or (il + 1) % rule.period != 0 for il in range(self.n_layer)]
        pattern = {} if flags == usual else {"attention.sliding_window_pattern": flags}
        return {"attention.sliding_window": window} | pattern

    def _flags(self) -> list[bool]:
        """Whether each layer has a window, if there is one."""
        rule = self.table.windows
        kinds = self.values.get("layer_types")
        if kinds is not None:
            known = {"full_attention": False, "sliding_attention": True}
            odd = next((k for k in kinds if k not in known), None) if are_texts(kinds) else kinds
            if odd is not None or len(kinds) != self.n_layer:
                what = shown(kinds if odd is None else odd)
                self._refuse("layer_types", f"has {what}; ggtui knows {', '.join(known)} for each of the layers")
            return [known[kind] for kind in kinds]
        if rule is None:
            return [False] * self.n_layer
        if rule.period:
            named = (name for name in ("sliding_window_pattern", "_sliding_window_pattern") if name in self.fields)
            period = self.fields.whole(next(named, "sliding_window_pattern"), 1, MAX_LAYERS, rule.period)
            return [(il + 1) % period != 0 for il in range(self.n_layer)]
        first = self.fields.whole(rule.since[0], 0, MAX_LAYERS, rule.since[1]) if rule.since is not None else 0
        return [il >= first for il in range(self.n_layer)]

    def _activation(self) -> dict[str, str]:
        key, default, known = self.table.activation
        ours = known[self.fields.choice(key, tuple(known), default)]
        return {} if self.table.written in (None, ours) else {"activation_function": ours}


def _default_scalar(arch: str, n_layer: int, n_embd: int, n_head: int, d_head: int) -> float:
    """The query_pre_attn_scalar that readers of GGUF take for granted: that of Gemma's largest models is its own."""
    return n_embd // n_head if n_layer == {"gemma2": 46, "gemma3": 62}[arch] else d_head
