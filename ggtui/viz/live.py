"""What the screens show of a run: brought up to date by the engine's events, or a saved trace.

Bounded: of the newest evaluations whole records are kept, of older ones a point of the growth.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from ggtui.core.trace import GraphInfo, Limits, MemoryUse, RunInfo, TokenRecord, Trace
from ggtui.viz.chat import Turn
from ggtui.viz.messages import (
    Alternative,
    Batch,
    Began,
    Configured,
    Ended,
    Event,
    Failed,
    Gone,
    Likeliest,
    Loaded,
    Measured,
    TokenStep,
    Turns,
)

KEPT = 256  # evaluations whose records are kept
POINTS = 2048  # of the growth; beyond them every other one is dropped
_RATE_OF = 32  # newest tokens that the shown speed is of


@dataclass(slots=True)
class Spoken:
    """A turn as the screen shows it. `steps` are the tokens of its answer as far as they were seen coming; a turn that
    was loaded or went through a restart has only its text."""

    turn: Turn
    steps: list[TokenStep] = field(default_factory=list)


class Point(NamedTuple):
    """Bytes after so many evaluations: of the KV cache in use, and of the whole process."""

    evaluations: int
    n_past: int
    kv: int
    rss: int


class Live:
    """The state of a run.

    state    "loading", "idle", "busy" (the model speaks) or "gone" (no engine); "saved" for a trace from a file
    version  grows with every event, so that who draws can tell whether there is anything new
    message  the last thing to tell the person, one line
    """

    def __init__(self) -> None:
        self.state = "loading"
        self.version = 0
        self.message = ""
        self.loaded: Loaded | None = None
        self.chat: list[Spoken] = []
        self.next: tuple[Alternative, ...] = ()
        self.likeliest: Likeliest | None = None
        self.settings: dict[str, object] = {}
        self.graphs: tuple[GraphInfo, ...] = ()
        self.memory = MemoryUse()
        self.limits: Limits | None = None
        self.run = RunInfo()
        self.evaluations: deque[TokenRecord] = deque(maxlen=KEPT)
        self.n_evaluations = 0
        self.unrecorded = 0
        self.n_past = 0
        self.rss = 0
        self.growth: list[Point] = []
        self._every = 1
        self._recent: deque[int] = deque(maxlen=_RATE_OF)  # nanoseconds of the newest generated tokens
        self._whole: Trace | None = None

    @classmethod
    def of(cls, trace: Trace) -> Live:
        """A saved run."""
        live = cls()
        live.state, live._whole, live.version = "saved", trace, 1
        live.graphs, live.memory, live.limits, live.run = trace.graphs, trace.memory, trace.limits, trace.run
        live.n_evaluations = len(trace.tokens)
        live.evaluations.extend(trace.tokens)
        for token in trace.tokens:
            live.n_past = token.n_past + token.n_tokens
            live._recent.append(token.eval_ns + token.sample_ns) if token.n_tokens == 1 else None
        live.growth = [Point(i + 1, t.n_past + t.n_tokens, t.kv_bytes, 0) for i, t in enumerate(trace.tokens)]
        return live

    def trace(self, newest: int | None = None) -> Trace:
        """The run as a trace: of a live one the `newest` evaluations that are kept with their records, or all those."""
        if self._whole is not None:
            return self._whole
        tokens = tuple(self.evaluations)[-newest:] if newest else tuple(self.evaluations)
        return Trace(self.graphs, tokens, self.memory, self.run, limits=self.limits)

    @property
    def tokens_per_s(self) -> float:
        """Of the newest tokens generated: evaluation and sampling; 0 before there are any."""
        total = sum(self._recent)
        return len(self._recent) / total * 1e9 if total else 0.0

    @property
    def token_times(self) -> list[int]:
        """Nanoseconds of the newest tokens generated, the oldest first."""
        return list(self._recent)

    def take(self, event: Event) -> None:
        """Bring the state up to date."""
        self.version += 1
        match event:
            case Loaded():
                self.loaded, self.state, self.run = event, "idle", event.run
                self.graphs, self.memory, self.limits = event.graphs, event.memory, event.limits
                self.settings = dict(event.settings)
            case Began():
                self._begin(event)
            case Batch():
                self._batch(event)
            case Ended():
                self._end(event)
            case Turns():
                self.chat = self._spoken(event.turns)
                self.n_past, self.next = event.n_past, ()
            case Likeliest():
                self.likeliest = event
            case Configured():
                self.settings = dict(event.values)
            case Measured():
                self.limits = event.limits
            case Failed():
                self.message = event.message
            case Gone():
                self.state, self.message = "gone", event.message

    def _begin(self, event: Began) -> None:
        self.state, self.message, self.next = "busy", "", ()
        if event.replaces and self.chat:
            self.chat.pop()
        text = "".join(step.text for step in event.kept)
        self.chat.append(Spoken(Turn(event.prompt, text, event.mode), list(event.kept)))

    def _batch(self, event: Batch) -> None:
        spoken = self.chat[-1] if self.chat else None
        for step in event.steps:
            if spoken is not None:
                spoken.steps.append(step)
                spoken.turn.text += step.text
            if step.n_tokens == 1:
                self._recent.append(step.eval_ns + step.sample_ns)
            self.n_past = step.n_past
        self.evaluations.extend(event.evaluations)
        self.unrecorded += event.unrecorded
        self.n_evaluations += len(event.steps)
        self.next = event.next or self.next
        self.graphs = event.graphs or self.graphs
        self.memory = event.memory or self.memory
        self.rss = event.rss or self.rss
        if event.steps and self.loaded is not None:
            self._grow(Point(self.n_evaluations, self.n_past, self.n_past * self.loaded.kv_bytes_per_token, self.rss))

    def _grow(self, point: Point) -> None:
        if self.growth and point.evaluations - self.growth[-1].evaluations < self._every:
            return
        self.growth.append(point)
        if len(self.growth) >= POINTS:
            del self.growth[1::2]
            self._every *= 2

    def _end(self, event: Ended) -> None:
        self.state, self.message = "idle", event.note
        self.n_past = event.n_past
        if self.chat and event.turn is not None:
            self.chat[-1].turn = replace(event.turn)
        elif self.chat and not self.chat[-1].steps:
            self.chat.pop()

    def _spoken(self, turns: tuple[Turn, ...]) -> list[Spoken]:
        """The turns, with the steps of those that are as they were."""
        known = {(s.turn.prompt, s.turn.text): s.steps for s in self.chat}
        return [Spoken(replace(t), known.get((t.prompt, t.text), [])) for t in turns]
