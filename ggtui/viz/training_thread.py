"""A training in a thread of its own, so that a screen answers keys meanwhile.

A thread is enough: steps, validations and samples are computed in C, without the interpreter's lock, and what Python
does between two steps gives the lock away every 5 ms. In a process of its own each record would have to be sent.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from queue import SimpleQueue
from typing import TYPE_CHECKING, Protocol

from ggtui.core.errors import GgtuiError
from ggtui.core.runtime.record import Limits, TokenRecord, Trace
from ggtui.core.training.events import Event, Saved, Stepped, Trouble

if TYPE_CHECKING:
    from ggtui.core.training.loop import Training

TRACED = 8  # steps that a saved trace is of


@dataclass(frozen=True, slots=True)
class Told:
    """What was done of what was asked for, or why it was not."""

    text: str
    problem: bool = False


@dataclass(frozen=True, slots=True)
class Failed:
    """The training came to an end by this."""

    error: BaseException


News = Event | Told | Failed


class Source(Protocol):
    """Where a screen has a training from: one under way, or a log.

    runs    whether it is under way; paused: whether it is to wait; ending: whether it is to end
    newest  the trace of the last step
    """

    runs: bool
    paused: bool
    ending: bool
    newest: Trace | None

    def receive(self) -> list[News]:
        """What came since the last call."""

    def pause(self) -> None:
        """Wait after the step under way, or go on."""

    def slow_down(self, times: float) -> None:
        """Multiply the rate, from the next step on."""

    def save(self) -> None:
        """A checkpoint, after the step under way; of one that is paused at once."""

    def trace(self) -> None:
        """Save the last steps' records, for `ggtui perf --open`."""

    def end(self) -> None:
        """After the step under way, save and end."""

    def close(self) -> None:
        """End it as `end` does, and wait for that."""

    def abandon(self) -> None:
        """Leave it: what is under way ends at its next node, and nothing is saved."""


class SavedLog:
    """A log: nothing is under way, and nothing can be asked for."""

    runs = paused = ending = False
    newest: Trace | None = None

    def __init__(self, events: Iterable[Event]) -> None:
        self._events: list[News] = list(events)

    def receive(self) -> list[News]:
        events, self._events = self._events, []
        return events

    def pause(self) -> None: ...
    def slow_down(self, times: float) -> None: ...
    def save(self) -> None: ...
    def trace(self) -> None: ...
    def end(self) -> None: ...
    def close(self) -> None: ...
    def abandon(self) -> None: ...


class TrainingThread:
    """`events` are those of the training, perhaps with somebody listening. `limits` says what the machine allows; it is
    asked in the thread, before the training begins. All methods are for one other thread."""

    def __init__(
        self,
        training: Training,
        events: Iterable[Event] | None = None,
        limits: Callable[[], Limits | None] = lambda: None,
    ) -> None:
        self.training = training
        self.runs, self.paused, self.ending = True, False, False
        self.newest: Trace | None = None
        self._events = training.events() if events is None else events
        self._measure = limits
        self._limits: Limits | None = None
        self._records: deque[TokenRecord] = deque(maxlen=TRACED)
        self._saving = False
        self._news: SimpleQueue[News] = SimpleQueue()
        self._asked: SimpleQueue[Callable[[], str]] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="ggtui-training", daemon=True)
        self._thread.start()

    # ---- from outside ----

    def receive(self) -> list[News]:
        found = []
        while not self._news.empty():
            found.append(self._news.get())
        return found

    def pause(self) -> None:
        self.paused = not self.paused
        self._asked.put(lambda: f"Paused behind step {self._step}." if self.paused else "Going on.")

    def slow_down(self, times: float) -> None:
        def slow() -> str:
            self.training.slow_down(times)
            return f"The rate is {self.training.progress.slowed:g} of the schedule's from step {self._step + 1} on."

        self._asked.put(slow)

    def save(self) -> None:
        self._saving = True
        self.training.save()
        self._asked.put(lambda: "")

    def trace(self) -> None:
        self._asked.put(self._trace)

    def end(self) -> None:
        self.ending = True
        self.training.end()
        self._asked.put(lambda: "")

    def close(self) -> None:
        if self._thread.is_alive():
            self.end()
        self._thread.join()

    def abandon(self) -> None:
        self.training.trainer.stop()

    # ---- in the thread ----

    @property
    def _step(self) -> int:
        return self.training.progress.step

    def _run(self) -> None:
        try:
            self._limits = self._measure()
            for event in self._events:
                self._take(event)
                self._between()
        except BaseException as error:  # of whatever kind: who looks at the screen is to know
            self._news.put(Failed(error))
        self.runs = False

    def _take(self, event: Event) -> None:
        if isinstance(event, Stepped) and self.training.last is not None:
            record, trainer = self.training.last, self.training.trainer
            self._records.append(record)
            self.newest = Trace(trainer.graphs(), (record,), trainer.memory(), limits=self._limits)
        elif isinstance(event, Saved | Trouble):
            self._saving = False
        self._news.put(event)

    def _between(self) -> None:
        """Do what was asked for; wait while it is paused. Nothing of the training is under way now."""
        while not self._asked.empty() or (self.paused and not self.ending and not self._saving):
            try:
                told = Told(self._asked.get()())
            except (GgtuiError, OSError) as error:
                told = Told(str(error), problem=True)
            if told.text:
                self._news.put(told)

    def _trace(self) -> str:
        from ggtui.core.engine.trace_file import save

        if not self._records:
            return "No step was recorded yet."
        path = f"{self.training.settings.out}.step-{self._step}.json"
        found = self.training.trainer.trace(tuple(self._records))
        save(replace(found, limits=self._limits), path)
        n = len(self._records)
        return f"Saved the last {n} step{'s' * (n > 1)}: ggtui perf --open {path}"


def limits_of(training: Training) -> Limits | None:
    """What the machine allows the threads of a training: what is known, or else measured now, which takes a second.
    None where that is not possible."""
    from ggtui.core.runtime.several import device
    from ggtui.perf.roofline import known_limits, limits

    pool = training.trainer.pool
    cpu = device("cpu")  # which trains
    try:
        return known_limits(cpu, pool.threads, None) or limits(cpu, pool)
    except GgtuiError:
        return None
