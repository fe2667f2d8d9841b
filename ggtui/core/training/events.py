"""What a training tells of itself, as it goes along: plain records. A screen, a terminal and a log show them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from reprlib import repr as shown
from typing import Any, ClassVar

PARTS = ("forward", "backward", "optimizer")  # of a step's time


@dataclass(frozen=True, slots=True)
class Began:
    """It begins, or goes on behind `step`. settings: what it was asked for; parameters: how many numbers learn; tokens,
    valid_tokens: of the texts; bytes: the memory that it takes in all; ctx, batch, steps: of the settings."""

    kind: ClassVar[str] = "began"
    step: int
    settings: Mapping[str, Any]
    parameters: int
    tokens: int
    valid_tokens: int
    bytes: int
    threads: int
    model: str = ""
    processor: str = ""


@dataclass(frozen=True, slots=True)
class Stepped:
    """A step was taken. loss: before it, in nats a token; norm: the length of all gradients, norms: of those of each
    layer ("blk.3") or tensor outside of layers; ns: nanoseconds in all, times: of its PARTS, where they are known."""

    kind: ClassVar[str] = "step"
    step: int
    loss: float
    rate: float
    norm: float
    tokens: int
    ns: int
    norms: Mapping[str, float] = field(default_factory=dict)
    times: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Measured:
    """The loss on texts that are not trained on, in nats a token, and what the model says by now."""

    kind: ClassVar[str] = "measured"
    step: int
    loss: float
    tokens: int
    sample: str = ""


@dataclass(frozen=True, slots=True)
class Saved:
    """A checkpoint, and the model, are written."""

    kind: ClassVar[str] = "saved"
    step: int
    path: str


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something failed that the training goes on without: a save, which is tried again, a sample, the log."""

    kind: ClassVar[str] = "trouble"
    step: int
    message: str


@dataclass(frozen=True, slots=True)
class Ended:
    """reason: "done", or "stopped" by the person."""

    kind: ClassVar[str] = "ended"
    step: int
    reason: str


Event = Began | Stepped | Measured | Saved | Trouble | Ended
EVENTS: dict[str, type[Event]] = {kind.kind: kind for kind in (Began, Stepped, Measured, Saved, Trouble, Ended)}
_KINDS: dict[str, tuple[type, ...]] = {
    "int": (int,), "float": (int, float), "str": (str,), "Mapping[str, Any]": (dict,), "Mapping[str, float]": (dict,),
    "Mapping[str, int]": (dict,),
}  # fmt: skip
_MOST = 1 << 63  # no number of an event is so large, nor is infinity


def _is_number(value: Any) -> bool:
    """Whether it is one that a training can tell of: none is below zero."""
    return type(value) in (int, float) and 0 <= value < _MOST


def as_dict(event: Event) -> dict[str, Any]:
    """As JSON has it."""
    return {"event": event.kind, **asdict(event)}


def from_dict(data: Any) -> Event:
    """Raises ValueError for what `as_dict` did not make."""
    if not isinstance(data, dict) or data.get("event") not in EVENTS:
        raise ValueError("it names no event")
    kind = EVENTS[data["event"]]
    given = {key: value for key, value in data.items() if key != "event"}
    for f in fields(kind):
        value = given.get(f.name)
        if f.name in given and type(value) not in _KINDS[str(f.type)]:
            raise ValueError(f"{f.name} is {shown(value)}")
        if str(f.type) in ("int", "float") and f.name in given and not _is_number(value):
            raise ValueError(f"{f.name} is {shown(value)}")
        numbers = given.get(f.name, {}) if str(f.type) in ("Mapping[str, float]", "Mapping[str, int]") else {}
        if not all(_is_number(n) for n in numbers.values()):
            raise ValueError(f"{f.name} are not all numbers")
    try:
        return kind(**given)
    except TypeError as error:
        raise ValueError(str(error)) from error
