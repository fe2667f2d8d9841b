"""Engines to test with: real ones, with the built-in model."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, TypeVar

import pytest

from ggtui.chat.conversation import Chat
from ggtui.chat.settings import SETTINGS
from ggtui.viz.engine import EngineProcess
from ggtui.viz.messages import Batch, Clear, Configure, Configured, Event, Gone, Loaded, Turns

LIMIT = 60.0  # seconds after which something is wrong
N = 12
E = TypeVar("E")


def settings(**changed: Any) -> SimpleNamespace:
    defaults = {s.key: s.default for s in SETTINGS.values()}
    return SimpleNamespace(**{**defaults, "threads": 1, "seed": 1, "n_predict": N, **changed})


class Listener:
    """An engine, and what was heard of it."""

    loaded: Loaded  # of the one that tests share

    def __init__(self, engine: EngineProcess) -> None:
        self.engine = engine
        self.heard: list[Event] = []

    def until(self, kind: type[E], met: Callable[[E], bool] = lambda _: True) -> E:
        """The next event of a kind. What came before it is in `heard`."""
        deadline = time.monotonic() + LIMIT
        while time.monotonic() < deadline:
            for i, event in enumerate(self.heard):
                if isinstance(event, kind) and met(event):
                    self.before, self.heard = self.heard[:i], self.heard[i + 1 :]
                    return event
                assert not isinstance(event, Gone), event
            self.heard += self.engine.receive()
            time.sleep(0.002)
        raise AssertionError(f"no {kind.__name__} but {self.heard}")

    def ask(self, command: Any, kind: type[E]) -> E:
        self.engine.send(command)
        return self.until(kind)

    def steps(self) -> list[Any]:
        return [step for event in self.before if isinstance(event, Batch) for step in event.steps]


def started(**changed: Any) -> Listener:
    return Listener(EngineProcess(settings(**changed)))


@pytest.fixture(scope="module")
def shared() -> Iterator[Listener]:
    listener = started()
    listener.loaded = listener.until(Loaded)
    yield listener
    listener.engine.close()


@pytest.fixture
def engine(shared: Listener) -> Listener:
    """With no turns, and answers of N tokens without chance."""
    shared.ask(Clear(), Turns)
    live = [s.key for s in SETTINGS.values() if s.live or s.key == "mode"]
    shared.ask(Configure({**{key: getattr(settings(), key) for key in live}, "temp": 0.0}), Configured)
    shared.heard.clear()
    return shared


@pytest.fixture
def here(new_chat: Any) -> Chat:
    """The same in this process."""
    chat: Chat = new_chat(temp=0.0, n_predict=N)
    return chat
