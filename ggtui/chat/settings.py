"""The settings a person can change: one table for the flags, the environment, config.toml and `/set`."""

from __future__ import annotations

import ast
import math
from collections.abc import Iterable
from typing import Any, NamedTuple

from ggtui.chat.modes import MODES
from ggtui.core.errors import UsageError

MAX_THREADS = 512
MAX_BATCH = 4096
MAX_SEED = (1 << 64) - 1


class Setting(NamedTuple):
    """A row of the table. `name` makes the flag (--top-k), the variable (GGTUI_TOP_K) and the key (top-k).

    kind      int, float, str or bool
    low, high the range of a number; with `above`, low itself is outside
    many      a list of values, one each time the flag is given
    live      can be changed in a chat under way, where it begins with the next answer
    anew      can be changed there too, and the model is loaded anew for it
    alias     a name it had before, which flags, variables and the file still know
    default   None where it depends on the machine or the model; `help` then says on what
    """

    name: str
    kind: type
    default: Any
    help: str
    low: float = 0
    high: float = math.inf
    above: bool = False
    choices: tuple[str, ...] = ()
    many: bool = False
    live: bool = False
    anew: bool = False
    short: str = ""
    alias: str = ""
    metavar: str = "N"

    @property
    def key(self) -> str:
        """Its name in Python: top_k."""
        return self.name.replace("-", "_")

    @property
    def variables(self) -> tuple[str, ...]:
        """Of the environment."""
        return tuple(f"GGTUI_{name.replace('-', '_').upper()}" for name in (self.name, self.alias) if name)

    @property
    def wanted(self) -> str:
        """What a value must be, in words."""
        if self.kind is bool:
            return "on or off"
        if self.choices:
            return " or ".join(self.choices)
        if self.kind is str:
            return "a text" if self.default == "" else "a text of at least one character"
        start = f"over {self.low:g}" if self.above else f"{self.low:g}"
        if self.high == math.inf:
            return start if self.above else f"{start} or more"
        return f"{start} to {int(self.high) if self.kind is int else f'{self.high:g}'}"

    def parse(self, value: object, source: str) -> Any:
        """The value that `value`, a text or what TOML gave, stands for. Raises UsageError in the name of `source`."""
        parsed = self._convert(value)
        if parsed is None:
            what = {int: "a whole number, ", float: "a number, "}.get(self.kind, "")
            raise UsageError(f"{source} {_shown(value)}: must be {what}{self.wanted}")
        if self.kind in (int, float):
            too_low = parsed <= self.low if self.above else parsed < self.low
            if too_low or parsed > self.high:
                raise UsageError(f"{source} {_shown(value)}: must be {self.wanted}")
        return parsed

    def _convert(self, value: object) -> Any:
        """As this kind, or None."""
        if self.kind is bool:
            return value if isinstance(value, bool) else _WORDS.get(str(value).lower())
        if self.kind is str:
            fits = isinstance(value, str) and (value or self.default == "")
            return value if fits and (not self.choices or value in self.choices) else None
        if isinstance(value, bool) or not isinstance(value, (str, int, self.kind)):
            return None
        try:
            number = self.kind(value)
            return number if math.isfinite(number) else None
        except (ValueError, OverflowError):
            return None

    def text(self, value: Any) -> str:
        """A value as a person would write it."""
        if value is None:
            return "automatic"
        if isinstance(value, bool):
            return "on" if value else "off"
        if self.many:
            return ", ".join(map(repr, value)) or "none"
        return f"{value:g}" if self.kind is float else str(value)


_WORDS = {
    **dict.fromkeys(("1", "true", "yes", "on"), True),
    **dict.fromkeys(("0", "false", "no", "off"), False),
}


_MOST_SHOWN = 80  # characters of a value in a message


def _shown(value: object) -> str:
    text = str(value)
    text = text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."
    return text if text.strip() == text and text else repr(text)


_F, _I = float, int
SETTINGS: dict[str, Setting] = {
    s.name: s
    for s in (
        Setting("model", str, None, "the model; without it the built-in one", metavar="MODEL"),
        Setting("type-from", str, (), "a Python file that registers a tensor type (see examples/07_custom_quant.py); "
                "can be given several times", many=True, metavar="FILE"),
        Setting("threads", _I, None, "threads; without it the physical cores this process may use; chat's full screen "
                "keeps one of them",
                low=1, high=MAX_THREADS, anew=True, short="t"),
        Setting("ctx", _I, None, "tokens of context; without it, and at most, what the model was made for",
                low=1, anew=True, short="c"),
        Setting("seed", _I, None, "seed of the random numbers; without it another one each time",
                high=MAX_SEED, live=True),
        Setting("device", str, "cpu", "what computes: cpu, reference (numpy), vulkan or vulkan:N (a GPU, see ggtui "
                "info); single ops on another one: cpu,reference:soft_max", metavar="NAME", alias="backend"),
        Setting("layers-on", str, None, "the first N layers on another device, where a model does not fit: vulkan=20",
                metavar="DEVICE=N"),
        Setting("isa", str, None, "instruction set; without it the best one of this machine",
                choices=("scalar", "avx2", "avxvnni", "avx512", "neon"), metavar="NAME"),
        Setting("n-predict", _I, 200, "tokens to generate at most; -1: no limit", low=-1, live=True, short="n"),
        Setting("temp", _F, 0.9, "temperature; 0 always takes the likeliest token", live=True, metavar="X"),
        Setting("top-k", _I, 40, "only the N likeliest tokens; 0: all", live=True),
        Setting("top-p", _F, 0.9, "only the likeliest tokens that together reach this probability; 1: all",
                high=1, above=True, live=True, metavar="X"),
        Setting("min-p", _F, 0.0, "only tokens at least this fraction as likely as the likeliest; 0: all",
                high=1, live=True, metavar="X"),
        Setting("repeat-penalty", _F, 1.0, "makes recent tokens less likely; 1: off",
                above=True, live=True, metavar="X"),
        Setting("stop", str, (), "a text at which to end; it is not printed. Can be given several times",
                many=True, live=True, metavar="TEXT"),
        Setting("ctx-shift", bool, False,
                "when the context is full, drop the older half and read the rest again; without it, end there",
                live=True),
        Setting("ignore-eos", bool, False, "go on past the end-of-text token", live=True),
        Setting("speed", float, 0.0, "tokens a second to show at most, to read along; 0: as fast as it can", live=True),
        Setting("batch", _I, 512, "tokens of a prompt to read at once", low=1, high=MAX_BATCH),
        Setting("kv-type", str, "f16", "type of the keys and values kept for each token",
                choices=("f16", "f32", "q8_0"), anew=True, metavar="TYPE"),
        Setting("pre", str, None, "how a vocabulary splits text before merging; without it as the model's file says",
                metavar="NAME"),
        Setting("adapter", str, None, "a LoRA adapter of the model, in GGUF, as ggtui train --rank makes them",
                metavar="FILE"),
        Setting("mode", str, None, "complete: the model goes on with your text; chat: it answers you; without it chat "
                "where the model has a template for that", choices=tuple(MODES), metavar="MODE", live=True),
        Setting("system", str, "", "what the model is told before a chat, where it has a template", metavar="TEXT",
                live=True),
        Setting("template", str, None, "a chat template, by its name or a file; without it the model's own",
                metavar="NAME|FILE"),
    )
}  # fmt: skip

# Those of the answers to come: first how a prompt becomes text, then how an answer is drawn.
LIVE = tuple(sorted((s.name for s in SETTINGS.values() if s.live), key=lambda name: name != "mode"))
CHAT = (*LIVE, "template")  # what a Chat is made with
ANEW = tuple(s.name for s in SETTINGS.values() if s.anew)
# What a Session is made with, and what Session.generate takes, under their names there.
LOADING = ("threads", "ctx", "kv-type", "batch", "isa", "device", "layers-on", "pre", "adapter")
GENERATION = ("n-predict", "temp", "top-k", "top-p", "min-p", "repeat-penalty", "stop", "ctx-shift", "ignore-eos")


def live_value(name: str, text: str, source: str) -> Any:
    """The value that a text stands for, of a setting that can be changed in a chat; "" or "default" for its default.
    Several texts are written in quotes with commas between. Raises UsageError in the name of `source`."""
    setting = SETTINGS.get(name)
    if setting is None:
        meant = nearest(name, (*LIVE, *ANEW))
        raise UsageError(f"{source}: no such setting; {f'did you mean {meant}?' if meant else '/set lists them'}")
    if not (setting.live or setting.anew):
        raise UsageError(f"{source}: only at the start, by ggtui chat --{name} {setting.metavar}")
    if text in ("", "default", "automatic" if setting.default is None else "default"):
        return setting.default
    if not setting.many:
        return setting.parse(text, source)
    values: object = text
    if text[0] in "'\"":
        try:
            values = ast.literal_eval(text)
        except (ValueError, SyntaxError) as error:
            raise UsageError(f"{source} {text}: a quote is missing; write 'one', 'two'") from error
    each = values if isinstance(values, tuple) else (values,)
    return tuple(setting.parse(value, source) for value in each)


def values_of(settings: object, names: Iterable[str]) -> dict[str, Any]:
    """The attributes of `settings` called `names`, under their names in Python."""
    keys = [SETTINGS[name].key for name in names]
    return {key: getattr(settings, key) for key in keys}


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that `word` was probably meant to be."""
    from difflib import get_close_matches

    return next(iter(get_close_matches(word, list(known), 1, 0.5)), None)
