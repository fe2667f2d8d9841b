"""What /show tells about a chat: lines of plain text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

from ggtui.chat.conversation import Chat
from ggtui.chat.settings import ANEW, LIVE, SETTINGS
from ggtui.viz.text import bytes_shown, size


def aligned(rows: list[tuple[str, object]]) -> list[str]:
    """Names and values in two columns."""
    width = max(len(name) for name, _ in rows)
    return [f"{name:{width}}  {value}" for name, value in rows]


def info(chat: Chat) -> list[str]:
    """The model and what computes it."""
    s = chat.session
    general = ("architecture", "name", "author", "license", "description")
    rows: list[tuple[str, object]] = [("file", s.path)]
    rows += [(name, s.metadata[key]) for name in general if (key := f"general.{name}") in s.metadata]
    sizes = asdict(s.hparams)
    if sizes.get("rope_window") == sizes.get("rope"):
        sizes.pop("rope_window", None)
    rows += [(name, _shown(value)) for name, value in sizes.items() if value or name not in _OFF]
    rows += [("parameters", f"{sum(t.n_elements for t in s.weights.values()):,}"), ("weights", _types(chat))]
    rows += [("instructions", s.isa), ("threads", s.threads), ("context", f"{len(s.tokens)} of {s.n_ctx} tokens")]
    rows += [("note", line) for line in chat.notes]
    return aligned(rows)


_OFF = ("attn_softcap", "logit_softcap", "parallel", "activation")  # which say nothing where they are 0 or ""


def _shown(value: object) -> object:
    """A hyper-parameter."""
    if isinstance(value, dict):
        return _rope(value)
    return _windows(value) if isinstance(value, tuple) else _number(value)


def _number(value: object) -> object:
    return f"{value:g}" if isinstance(value, float) else value


def _rope(rope: dict[str, object]) -> str:
    """Its parameters but for those that have no effect."""
    off = {"freq_scale": 1.0, "attn_factor": 1.0, "ext_factor": 0.0, "n_ctx_orig": 0}
    unused = () if rope["ext_factor"] else ("beta_fast", "beta_slow")
    told = ((name, v) for name, v in rope.items() if off.get(name) != v and name not in unused)
    return ", ".join(f"{name} {_number(value)}" for name, value in told)


def _windows(windows: tuple[int, ...]) -> str:
    """Of how many tokens, and on how many layers."""
    sizes = sorted({window for window in windows if window})
    told = (f"{size} tokens on {windows.count(size)} of {len(windows)} layers" for size in sizes)
    return ", ".join(told) or "none"


def _types(chat: Chat) -> str:
    counts: dict[str, int] = {}
    for t in chat.session.weights.values():
        counts[t.type.name] = counts.get(t.type.name, 0) + 1
    return ", ".join(f"{n} {name}" for name, n in counts.items())


def params(value: Callable[[str], object]) -> list[str]:
    """The settings that /set can change, by what `value` says of their names in Python."""
    return aligned([(name, SETTINGS[name].text(value(SETTINGS[name].key))) for name in (*LIVE, *ANEW)])


def prompt(chat: Chat) -> list[str]:
    """The tokens of the conversation as the model reads them, and who wrote them."""
    rows = chat.written()
    if not rows:
        return ["nothing was said yet"]
    return aligned([(f"{row.id:7}  {row.by:8}", bytes_shown(row.raw)) for row in rows])


def graph(chat: Chat) -> list[str]:
    """The nodes that run for one token, in their order."""
    nodes = chat.session.graphs()[0].nodes
    width, op_width = max(len(n.name) for n in nodes), max(len(n.op) for n in nodes)
    return [
        f"{n.id:4}  {n.name:{width}}  {n.op:{op_width}}  {n.result.type} {'x'.join(map(str, n.result.ne))}"
        for n in nodes
    ]


def mem(chat: Chat) -> list[str]:
    """Bytes by owner."""
    m = chat.session.memory()
    return aligned(
        [
            ("weights", size(m.weights)),
            ("keys and values", f"{size(m.kv)}, {chat.session.kv.bytes_per_token:,} bytes for each token"),
            ("activations", f"{size(m.activations)} for one token, {size(m.batch_activations)} for a batch"),
            ("scratch", size(m.scratch)),
            ("records", size(m.records)),
        ]
    )
