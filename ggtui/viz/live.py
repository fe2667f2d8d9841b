"""What the screens show of a run: brought up to date by the engine's events, or a saved trace.

Bounded: of the newest evaluations whole records are kept, of older ones a point of the growth.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

from ggtui.chat.conversation import Turn
from ggtui.chat.tree import Tree
from ggtui.core.engine.steps import Step
from ggtui.core.runtime.record import GraphInfo, Limits, MemoryUse, RunInfo, TokenRecord, Trace
from ggtui.viz.messages import (
    Alternative,
    AsRead,
    Batch,
    Began,
    Configured,
    Ended,
    Event,
    Failed,
    Gone,
    Likeliest,
    Loaded,
    Loading,
    Measured,
    MeasuredKl,
    Measuring,
    Turns,
)

if TYPE_CHECKING:
    from ggtui.perf.stage import Stage

KEPT = 256  # evaluations whose records are kept
KEPT_PROMPTS = 4
NEWEST = 64  # evaluations of a graph that the figures of a run under way are of, on every screen
POINTS = 2048  # of the growth; beyond them every other one is dropped
_RATE_OF = 32  # newest tokens that the shown speed is of


@dataclass(slots=True)
class Spoken:
    """A turn as the screen shows it.

    steps  the tokens of its answer as far as they were seen coming; a turn that was loaded or went through a restart
           has only its text
    place  the how manyth it is of how many that were said in each other's place
    """

    turn: Turn
    steps: list[Step] = field(default_factory=list)
    place: tuple[int, int] = (1, 1)


class Point(NamedTuple):
    """Bytes after so many evaluations: of the KV cache in use, and of the whole process."""

    evaluations: int
    n_past: int
    kv: int
    rss: int


class Live:
    """The state of a run.

    tree     all turns; those of the conversation, the one under way among them, are the chat
    replaced whether Undo brings back what was there before the chat was cleared or loaded
    next     the likeliest tokens: with `ahead` those that may follow the last one shown, else those it was chosen from
    loading  how much of the model is in memory, while it loads, once that is known
    state    "loading", "idle", "busy" (the model speaks) or "gone" (no engine); "saved" for a trace from a file
    measuring  how much of what fewer bits cost is measured, 0 to 1, while it is
    version  grows with every event, so that who draws can tell whether there is anything new
    message  the last thing to tell the person, one line
    n_told   grows with every message, also with the same one again
    """

    def __init__(self) -> None:
        self.state = "loading"
        self.version = 0
        self.message = ""
        self.n_told = 0
        self.loading: Loading | None = None
        self.loaded: Loaded | None = None
        self.tree: Tree[Spoken] = Tree()
        self.replaced = False
        self.next: tuple[Alternative, ...] = ()
        self.ahead = False
        self.likeliest: Likeliest | None = None
        self.as_read: AsRead | None = None
        self.settings: dict[str, object] = {}
        self.started: dict[str, object] = {}
        self.graphs: tuple[GraphInfo, ...] = ()
        self.memory = MemoryUse()
        self.limits: Limits | None = None
        self.kl: Mapping[str, Mapping[str, float]] = {}
        self.measuring: float | None = None
        self.run = RunInfo()
        self.evaluations: deque[TokenRecord] = deque(maxlen=KEPT)
        self.n_evaluations = 0
        self.unrecorded = 0
        self.n_past = 0
        self.rss = 0
        self.growth: list[Point] = []
        self._prompts: deque[TokenRecord] = deque(maxlen=KEPT_PROMPTS)  # of the evaluations, kept for longer
        self._every = 1
        self._recent: deque[int] = deque(maxlen=_RATE_OF)  # nanoseconds of the newest generated tokens
        self._whole: Trace | None = None
        self._stages: tuple[tuple[int, Limits | None], tuple[Stage, ...]] | None = None  # of which version
        self._begun: Spoken | None = None  # a turn that counts from its first token on
        self._instead = False  # of another one

    @classmethod
    def of(cls, trace: Trace) -> Live:
        """A saved run."""
        live = cls()
        live.state, live._whole, live.version = "saved", trace, 1
        live.graphs, live.memory, live.run = trace.graphs, trace.memory, trace.run
        live.limits, live.kl = trace.limits, trace.kl
        live.n_evaluations = len(trace.tokens)
        live.evaluations.extend(trace.tokens)
        for token in trace.tokens:
            live.n_past = token.n_past + token.n_tokens
            live._recent.append(token.eval_ns + token.sample_ns) if token.stage == "token" else None
        live.growth = [Point(i + 1, t.n_past + t.n_tokens, t.kv_bytes, 0) for i, t in enumerate(trace.tokens)]
        return live

    def stages(self) -> tuple[Stage, ...]:
        """What figures are of, the same on every screen: of a run under way the newest evaluations of each graph."""
        from ggtui.perf.stage import stages  # not before there is something to add up

        key = self.version, self.limits
        if self._stages is None or self._stages[0] != key:
            trace = self.trace()
            if self._whole is None:
                tokens = [
                    [t for t in trace.tokens if t.graph == i and len(t.records)] for i in range(len(trace.graphs))
                ]
                trace = replace(trace, tokens=tuple(t for mine in tokens for t in mine[-NEWEST:]))
            self._stages = key, stages(replace(trace, limits=self.limits))
        return self._stages[1]

    def trace(self, newest: int | None = None) -> Trace:
        """The run as a trace: of a live one the `newest` evaluations that are kept with their records, or all those."""
        if self._whole is not None:
            return self._whole
        tokens = tuple(self.evaluations)[-newest:] if newest else tuple(self.evaluations)
        known = {id(token) for token in tokens}
        tokens = (*(token for token in self._prompts if id(token) not in known), *tokens)
        return Trace(self.graphs, tokens, self.memory, self.run, limits=self.limits, kl=self.kl)

    @property
    def chat(self) -> list[Spoken]:
        """The conversation as it is shown."""
        return self.tree.path + ([] if self._begun is None else [self._begun])

    @property
    def turns(self) -> Tree[Turn]:
        """All turns that count: of an answer under way no token may come, and then the one before it stays."""
        tree = self.tree.map(lambda spoken: spoken.turn)
        if self._begun is not None and self._instead:
            tree.redo()
        return tree

    @property
    def unprofiled(self) -> bool:
        """Whether there were evaluations, but no node times of any."""
        return bool(self.unrecorded or self.evaluations) and not any(len(t.records) for t in self.evaluations)

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
            case Loading():
                self.loading = event
            case Loaded():
                if self.loaded is not None and self.loaded.path != event.path:
                    self._forget_steps()
                self.loading, self.loaded, self.state, self.run = None, event, "idle", event.run
                self.graphs, self.memory, self.limits = event.graphs, event.memory, event.limits
                self.kl, self.measuring = {}, None
                self.settings, self.started = dict(event.settings), dict(event.started)
                self._prompts.clear()
                self.evaluations.clear()  # after a restart: of graphs that are not there yet
                self.n_past = self.unrecorded = 0
                if event.notes:
                    self._tell("; ".join(event.notes))
            case Began():
                self._begin(event)
            case Batch():
                self._batch(event)
            case Ended():
                self._end(event)
            case Turns():
                self._restore(event.tree)
                self.n_past, self.next, self.replaced = event.n_past, (), event.replaced
            case Likeliest():
                self.likeliest = event
            case Configured():
                self.settings = dict(event.values)
            case AsRead():
                self.as_read = event
            case Measured():
                self.limits = event.limits
            case Measuring():
                self.measuring = event.part
            case MeasuredKl():
                self.kl, self.measuring = event.kl, None
            case Failed():
                self.measuring = None
                self._tell(event.message)
            case Gone():
                self._take_back()
                self.state, self.loading, self.measuring = "gone", None, None
                self._tell(event.message)

    def _forget_steps(self) -> None:
        """Another model has other tokens and times."""
        for spoken in self.tree.items:
            spoken.steps = []
        self.growth.clear()
        self._recent.clear()
        self.n_evaluations, self._every, self.rss, self.next, self.likeliest = 0, 1, 0, (), None

    def restarting(self) -> None:
        """Another engine begins; what was said stays."""
        self.state, self.loading = "loading", None
        self._tell("")
        self.version += 1

    def _tell(self, message: str) -> None:
        self.n_told += bool(message or self.message)
        self.message = message

    def _begin(self, event: Began) -> None:
        self.state, self.next = "busy", ()
        self._tell("")
        self._instead = event.replaces and bool(self.tree.path)
        seen = self.tree.undo().steps if self._instead else []
        steps = list(event.kept)
        for i, (step, old) in enumerate(zip(steps, seen, strict=False)):
            if step.token == old.token:
                steps[i] = replace(old, text=step.text)
        text = "".join(step.text for step in steps)
        number = len(self.tree.siblings(self.tree.end)) + 1
        turn = Turn(event.prompt, text, event.mode, sampled=[s.token for s in steps], by=self.run.model)
        self._begun = Spoken(turn, steps, (number, number))

    def _batch(self, event: Batch) -> None:
        if event.steps:
            self._count_begun()
            self.next = ()
        spoken = self.chat[-1] if self.chat else None
        for step in event.steps:
            if spoken is not None:
                spoken.steps.append(step)
                spoken.turn.text += step.text
                spoken.turn.sampled.append(step.token)
            if step.record.stage == "token":
                self._recent.append(step.record.eval_ns + step.record.sample_ns)
            self.n_past = step.n_kv
        self.evaluations.extend(event.evaluations)
        self._prompts.extend(token for token in event.evaluations if token.stage != "token")
        self.unrecorded += event.unrecorded
        self.n_evaluations += len(event.steps)
        if event.next:
            self.next, self.ahead = event.next, event.ahead
        self.graphs = event.graphs or self.graphs
        self.memory = event.memory or self.memory
        self.rss = event.rss or self.rss
        if event.busy is not None:
            self.run = replace(self.run, others=event.busy.others, stolen=event.busy.stolen)
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
        self.state = "idle"
        self._tell(event.note)
        self.n_past = event.n_past
        if event.turn is None:
            self._take_back()
        else:
            self._count_begun()
            if self.chat:
                self.chat[-1].turn = replace(event.turn)

    def _count_begun(self) -> None:
        """The turn that began is one of the conversation."""
        if self._begun is not None:
            self.tree.add(self._begun)
            self._begun, self.replaced = None, False
            self._place()

    def _take_back(self) -> None:
        """Not one token came of the turn that began, if one did."""
        if self._begun is not None:
            self._begun = None
            if self._instead:
                self.tree.redo()

    def _place(self) -> None:
        for spoken, place in zip(self.tree.path, self.tree.places, strict=True):
            spoken.place = place

    def _restore(self, tree: Tree[Turn]) -> None:
        """Other turns, with the steps of those that are as they were."""
        known = {(s.turn.prompt, s.turn.text): s.steps for s in self.tree.items}
        self._begun = None
        self.tree = tree.map(lambda turn: Spoken(replace(turn), known.get((turn.prompt, turn.text), [])))
        self._place()
