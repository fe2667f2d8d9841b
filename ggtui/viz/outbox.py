"""What the engine's process has to tell, written by a thread of its own: a slow screen holds nothing up."""

from __future__ import annotations

import os
import socket
import threading
import time
import traceback
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ggtui.core.runtime.busy import Busy, Watch
from ggtui.core.runtime.record import GraphInfo, TokenRecord
from ggtui.core.runtime.room import resident_bytes
from ggtui.viz.messages import Alternative, Batch, Loading
from ggtui.viz.packed import PackedSteps
from ggtui.viz.wire import frame

if TYPE_CHECKING:
    from ggtui.core.engine.session import Session
    from ggtui.core.engine.steps import Step
    from ggtui.core.models.loading import Progress

KEPT = 32  # evaluations of a batch: four times a second, so many are as much as a screen can show
PROMPTS = 4  # of prompts
LOADING_SECONDS = 0.25  # between two times that the screen is told how much of the model is loaded
_BUSY_SECONDS = 1.0  # between two looks at what else uses the cores


class Newest:
    """The newest evaluations, those of prompts apart, so that a long answer does not push its prompt out. `n` counts
    them and all that came before them."""

    def __init__(self) -> None:
        self._of_tokens: deque[tuple[int, TokenRecord]] = deque(maxlen=KEPT)
        self._of_prompts: deque[tuple[int, TokenRecord]] = deque(maxlen=PROMPTS)
        self.n = 0

    def add(self, runs: Iterable[TokenRecord], *, recorded: bool = True) -> None:
        """`recorded`: with node times; others only count."""
        for run in runs:
            self.n += 1
            if recorded:
                (self._of_tokens if run.stage == "token" else self._of_prompts).append((self.n, run))

    def runs(self) -> list[TokenRecord]:
        """The oldest first."""
        both = sorted((*self._of_prompts, *self._of_tokens), key=lambda numbered: numbered[0])
        return [run for _, run in both]

    def join(self, later: Newest) -> None:
        """Add what came after these."""
        n = self.n + later.n
        self.add(later.runs())
        self.n = n


class Gathered:
    """Of a batch what was not sent yet: all of the text, and the newest evaluations."""

    def __init__(self) -> None:
        self.steps = PackedSteps()
        self.newest = Newest()
        self.next: tuple[Alternative, ...] = ()
        self.ahead = False


class Outbox:
    """Sends events in their order. Batches that wait become one."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._items: deque[object] = deque()
        self._ready = threading.Condition()
        self._closing = False
        self._packer: _Packer | None = None
        self._thread = threading.Thread(target=self._send, name="ggtui-outbox", daemon=True)
        self._thread.start()

    def know(self, session: Session, n_graphs: int) -> None:
        """Batches are of this session; so many of its graphs were told already."""
        self._packer = _Packer(session, n_graphs)

    def put(self, event: object) -> None:
        with self._ready:
            self._items.append(event)
            self._ready.notify()

    def add(
        self, steps: Iterable[Step], newest: Newest | None, next: tuple[Alternative, ...], *, ahead: bool = False
    ) -> None:
        """A batch: its steps, evaluations, and what was likeliest where the last step was taken; `ahead`: is after
        it. What waits holds no node records but those of the newest evaluations."""
        packed = PackedSteps(steps)
        with self._ready:
            last = self._items[-1] if self._items else None
            if not isinstance(last, Gathered):
                last = Gathered()
                self._items.append(last)
            last.steps.join(packed)
            if newest is not None:
                last.newest.join(newest)
            if next:
                last.next, last.ahead = next, ahead
            self._ready.notify()

    def loading(self, model: str) -> Progress:
        """What to call with how much of the weights is loaded, as often as one likes."""
        told_at = time.monotonic()

        def tell(done: int, total: int) -> None:
            nonlocal told_at
            now = time.monotonic()
            if now - told_at >= LOADING_SECONDS:
                told_at = now
                self.put(Loading(model, done / total))

        return tell

    def close(self) -> None:
        """Wait until all is sent."""
        with self._ready:
            self._closing = True
            self._ready.notify()
        self._thread.join()

    def _send(self) -> None:
        try:
            while True:
                with self._ready:
                    self._ready.wait_for(lambda: self._items or self._closing)
                    if not self._items:
                        return
                    item = self._items.popleft()
                if isinstance(item, Gathered):
                    assert self._packer is not None
                    item = self._packer.pack(item)
                self._socket.sendall(frame(item))
        except ConnectionError:  # nobody is there to hear of it
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)


class _Packer:
    """Makes batches of what was gathered."""

    def __init__(self, session: Session, n_graphs: int) -> None:
        self._session, self._n_graphs = session, n_graphs
        # The process that made this one draws the screen: it is no other program.
        self._watch, self._begun = Watch((os.getppid(),)), time.monotonic()

    def _busy(self) -> Busy | None:
        """What else used the cores in the last second, once a second."""
        if time.monotonic() - self._begun < _BUSY_SECONDS:
            return None
        busy, self._begun = self._watch.busy, time.monotonic()
        self._watch.begin()
        return busy

    def pack(self, gathered: Gathered) -> Batch:
        session, runs, n_runs = self._session, gathered.newest.runs(), gathered.newest.n
        graphs: tuple[GraphInfo, ...] = ()
        memory, rss = None, 0
        if n_runs:
            memory, rss = session.memory(), resident_bytes()
        if any(run.graph >= self._n_graphs for run in runs):
            graphs = session.graphs()
            self._n_graphs = len(graphs)
        busy = self._busy() if n_runs else None
        n_left = n_runs - len(runs)
        steps, next, ahead = gathered.steps.sent, gathered.next, gathered.ahead
        return Batch(steps, tuple(runs), n_left, next, ahead, graphs, memory, rss, busy)
