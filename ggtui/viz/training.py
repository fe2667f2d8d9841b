"""What is known of a training, made of its events one by one: of one under way, and of one in a log."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

from ggtui.core.training.events import Began, Ended, Event, Measured, Saved, Stepped, Trouble

MOST = 4096  # points of the curves: beyond that two neighbours become one
_NEAR = 20  # steps that the speed is taken of
_SMOOTHED = (5, 50)  # steps that losses are smoothed over, at least and at most
_PART = 50  # of all steps so many parts: one of them, within _SMOOTHED


@dataclass(frozen=True, slots=True)
class Point:
    """Steps up to `step`: the least and the greatest of their losses, and the smoothed loss behind the last of them."""

    step: int
    low: float
    high: float
    smooth: float


class Course:
    """How far a training is.

    points    of its losses, at most MOST
    measured  all validations so far, the newest last
    version   changes with every event
    """

    def __init__(self) -> None:
        self.began: Began | None = None
        self.last: Stepped | None = None
        self.saved: Saved | None = None
        self.ended: Ended | None = None
        self.points: list[Point] = []
        self.measured: list[Measured] = []
        self.ns = 0  # of all steps
        self.version = 0
        self._smooth, self._n = 0.0, 0
        self._each = 1  # steps of a point
        self._recent: deque[Stepped] = deque(maxlen=_NEAR)

    def take(self, event: Event) -> None:
        self.version += 1
        match event:
            case Began():
                self.began, self.ended = event, None
            case Stepped():
                self._step(event)
            case Measured():
                self.measured.append(event)
            case Saved():
                self.saved = event
            case Ended():
                self.ended = event
            case Trouble():
                pass  # said when it comes, and over then

    def _step(self, e: Stepped) -> None:
        self.last = e
        self.ns += e.ns
        self._recent.append(e)
        self._n += 1
        over = min(max(self.steps // _PART, _SMOOTHED[0]), _SMOOTHED[1])
        self._smooth += (e.loss - self._smooth) / min(self._n, over)  # the mean, until there are enough
        point = Point(e.step, e.loss, e.loss, self._smooth)
        if (self._n - 1) % self._each:
            point = _joined(self.points.pop(), point)
        self.points.append(point)
        if len(self.points) > MOST:
            pairs = zip(self.points[::2], self.points[1::2], strict=False)
            odd = self.points[-1:] if len(self.points) % 2 else []
            self.points = [*(_joined(a, b) for a, b in pairs), *odd]
            self._each *= 2

    @property
    def step(self) -> int:
        """The last one that was taken."""
        return self.last.step if self.last is not None else self.began.step if self.began is not None else 0

    @property
    def steps(self) -> int:
        """How many there will be in all; 0 if that is not known."""
        asked = self.began.settings.get("steps") if self.began is not None else None
        return asked if isinstance(asked, int) else 0

    @property
    def best(self) -> Measured | None:
        """The validation with the least loss."""
        return min(self.measured, key=lambda m: m.loss, default=None)

    @property
    def tokens_per_s(self) -> float:
        """Of the newest steps."""
        ns = sum(s.ns for s in self._recent)
        return sum(s.tokens for s in self._recent) / ns * 1e9 if ns else 0.0

    @property
    def left_ns(self) -> float:
        """What the steps that are left take, if they go on like the newest ones."""
        each = sum(s.ns for s in self._recent) / max(len(self._recent), 1)
        return each * max(self.steps - self.step, 0)


def _joined(a: Point, b: Point) -> Point:
    return replace(b, low=min(a.low, b.low), high=max(a.high, b.high))


def clock(ns: float) -> str:
    """Hours, minutes and seconds: 1:02:03."""
    minutes, seconds = divmod(round(ns / 1e9), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}"
