"""A training that is made up: its steps are taken when a test lets them be, and it notes what it was asked."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ggtui.core.engine.trace_file import load
from ggtui.core.errors import UsageError
from ggtui.core.runtime.record import GraphInfo, MemoryUse, TokenRecord, Trace
from ggtui.core.training.events import Began, Ended, Event, Measured, Saved, Stepped

RUN = load(Path(__file__).parent.parent / "data" / "tales-trace.json")
MEMORY = MemoryUse(weights=4 << 20, optimizer=8 << 20, batch_activations=30 << 20, scratch=1 << 20)
PATIENCE = 10.0


@dataclass
class MadeUpTrainer:
    stopped: bool = False
    path: Path = Path("tales.gguf")

    def graphs(self) -> tuple[GraphInfo, ...]:
        return RUN.graphs

    def memory(self) -> MemoryUse:
        return MEMORY

    def trace(self, steps: tuple[TokenRecord, ...]) -> Trace:
        return replace(RUN, tokens=tuple(steps), memory=MEMORY)

    def stop(self) -> None:
        self.stopped = True


@dataclass
class MadeUpTraining:
    """`may` counts the steps that it may take still; it waits for it in step `under_way`. At step `fails` it raises."""

    out: str = "tales.gguf"
    steps: int = 100
    fails: int = 0
    may: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    asked: list[str] = field(default_factory=list)
    trainer: Any = field(default_factory=MadeUpTrainer)
    last: TokenRecord | None = None
    under_way: int = 0

    def __post_init__(self) -> None:
        self.settings = SimpleNamespace(out=self.out)
        self.progress = SimpleNamespace(step=0, slowed=1.0)
        self._wants_end = self._wants_save = False

    def slow_down(self, times: float) -> None:
        self.asked.append(f"slow_down {times}")
        if self.progress.slowed * times < 0.2:
            raise UsageError("rate times 0.125: too far from what was asked for")
        self.progress.slowed *= times

    def end(self) -> None:
        self._wants_end = True
        self.asked.append("end")
        self.may.release()

    def save(self) -> None:
        self._wants_save = True
        self.asked.append("save")

    def events(self) -> Iterator[Event]:
        yield Began(0, {"steps": self.steps, "out": self.out}, 184_608, 10_741, 565, 43 << 20, 2, "tales.gguf")
        yield Measured(0, 8.3, 100, "nothing yet")
        while self.progress.step < self.steps and not self._wants_end:
            self.under_way = self.progress.step + 1
            self.may.acquire()
            self.progress.step = step = self.progress.step + 1
            if step == self.fails:
                raise UsageError(f"step {step}: the loss is nan")
            self.last = RUN.tokens[step % len(RUN.tokens)]
            yield Stepped(step, 8.0 / step, 1e-3 * self.progress.slowed, 1.5, 256, 10_000_000, {"blk.0": 0.5})
            if self._wants_save:
                self._wants_save = False
                yield Saved(step, self.out)
        yield Saved(self.progress.step, self.out)
        yield Ended(self.progress.step, "stopped" if self.progress.step < self.steps else "done")


def until(met: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not met():
        assert time.monotonic() < deadline, "it does not come"
        time.sleep(0.002)
