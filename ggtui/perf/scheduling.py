"""Takes out of the records of nodes what was not theirs: the time in which the system did not let a thread run.

The system says for how long a thread had no core, over some milliseconds (`Unscheduled`); stamps say which records of
these milliseconds took longer than such records do. So the lost time is given to them, first where most is too much:

- work that took all threads together longer than is typical of steps of its kind in evaluations near it: what a thread
  is slow to do others take over, so that only their sum tells;
- what a thread took to come back from a barrier that was already open, or from the caller's call, to work.

And where a thread lost time before a barrier, the others waited for it longer than for its work: they were held up.
Lanes that are no threads neither lose time nor are held up: what they wait for a late thread stays waiting.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ggtui.core.runtime.record import GraphInfo, NodeInfo, TokenRecord

Floats = NDArray[np.float64]

NEAR = 32  # evaluations in a row that are held against each other
_LEAST_LOST = 0.01  # of a span: below that the clocks' own jitter
_LEAST_LATE_NS = 1e3
_LEAST_EXCESS_NS = 20e3  # no program is let in for a shorter time
_EXCESS = 1.25  # times the typical time
_WAKE_NS = 5e3  # that waking a thread takes where there is a core for it


@dataclass(frozen=True)
class Times:
    """Nanoseconds; what fills the time of a graph on each of its lanes, (evaluations, nodes, parts, lanes) or
    (evaluations, lanes).

    work   at a node; wait: for others at work, at the barrier after it or until the lane's next node
    wake   until the lane began; rest: of an evaluation in which others did without it, all of the time
    lost   it was not scheduled, by what the system says; held: it waited for threads that were not
    first  it waited for others before its first node
    lost_at  where it was lost: in waking up (evaluations, lanes), at work and, after it, in coming late, both like
             work; None where nothing was
    """

    work: Floats
    wait: Floats
    wake: Floats
    rest: Floats
    lost: Floats
    held: Floats
    first: Floats
    lost_at: tuple[Floats, Floats, Floats] | None = None

    @classmethod
    def of(cls, work: Floats, wait: Floats, wake: Floats, first: Floats, rested: NDArray[np.bool_]) -> Times:
        """Where the system said nothing. Threads that `rested` (evaluations, lanes) woke up when all was done."""
        rest = np.where(rested, wake, 0.0)
        return cls(work, wait, wake - rest, rest, np.zeros_like(wake), np.zeros_like(wake), first)


@dataclass
class Said:
    """What the system said of a thread: between two moments it had no core for so long, of which `left` is not given to
    records yet."""

    thread: int
    start: int
    end: int
    left: float


def said_of(tokens: Iterable[TokenRecord]) -> list[Said]:
    """All that the system said at the ends of evaluations."""
    found = []
    for token in tokens:
        end = token.start_ns + token.eval_ns
        for u in token.unscheduled:
            if u.lost_ns > _LEAST_LOST * u.span_ns:
                found.append(Said(u.thread, end - u.span_ns, end, u.lost_ns))
    return found


def settle(graph: GraphInfo, tokens: Sequence[TokenRecord], times: Times, late: Floats, said: Sequence[Said]) -> Times:
    """The times with what was lost and held apart. `late` is the part of each wait after the barrier had opened. What
    evaluations take of `said` is taken off there."""
    threads = [i for i, lane in enumerate(graph.lanes) if lane.is_thread]
    if not said or not threads:
        return times
    n_evals, lanes, shape = len(tokens), len(graph.lanes), times.work.shape
    work, wait, late = (a.reshape(n_evals, -1, lanes) for a in (times.work, times.wait, late))
    wake = times.wake[:, np.newaxis]
    # All that may have been lost, of each lane: in waking up, at work and in coming late.
    together = work.sum(axis=2)
    working = _excess(together, _typical(together, _kinds(graph, shape[2])))
    working = working[..., np.newaxis] * work / np.maximum(together, 1.0)[..., np.newaxis]
    coming = np.where(late > _LEAST_LATE_NS, late, 0.0)
    excess = np.concatenate((np.maximum(wake - _WAKE_NS, 0.0), working, coming), axis=1)
    lost = _lost(excess, tokens, said)
    lost_wake, lost_work, lost_late = np.split(lost, [1, 1 + work.shape[1]], axis=1)
    held = np.zeros_like(wait)
    waking, at_work, coming = (a[..., threads] for a in (lost_wake, lost_work, lost_late))
    held[..., threads] = _held((wait - late)[..., threads], waking, at_work, coming, times.rest[:, threads] > 0)
    return Times(
        (work - lost_work).reshape(shape), (wait - lost_late - held).reshape(shape), times.wake - lost_wake[:, 0],
        times.rest, lost.sum(axis=1), held.sum(axis=1), times.first,
        (lost_wake[:, 0], lost_work.reshape(shape), lost_late.reshape(shape)),
    )  # fmt: skip


def _kinds(graph: GraphInfo, n_parts: int) -> list[int]:
    """A number for each step (node and part): of equal ones equally much is to do."""
    numbers: dict[object, int] = {}

    def number(node: NodeInfo, part: int) -> int:
        inputs = tuple((t.type, t.ne) for t in node.inputs)
        return numbers.setdefault((node.op, node.type, node.result.ne, node.parts, part, inputs), len(numbers))

    return [number(node, part) for node in graph.nodes for part in range(n_parts)]


def _typical(times: Floats, kinds: Iterable[int]) -> Floats:
    """(evaluations, steps): the median over the steps of one kind in some evaluations in a row."""
    found = np.empty_like(times)
    of_kind: dict[int, list[int]] = {}
    for step, kind in enumerate(kinds):
        of_kind.setdefault(kind, []).append(step)
    for first in range(0, len(times), NEAR):
        near = slice(first, first + NEAR)
        for steps in of_kind.values():
            found[near, steps] = np.median(times[near, steps])
    return found


def _excess(times: Floats, typical: Floats) -> Floats:
    return np.where(times > _EXCESS * typical + _LEAST_EXCESS_NS, times - typical, 0.0)


def _lost(excess: Floats, tokens: Sequence[TokenRecord], said: Iterable[Said]) -> Floats:
    """Of the excess as much as the system's word covers, of the largest first: those are what it speaks of."""
    starts = np.array([t.start_ns for t in tokens])
    ends = starts + np.array([t.eval_ns for t in tokens])
    lost = np.zeros_like(excess)
    for word in said:
        covered = (ends > word.start) & (starts < word.end)
        left = (excess[covered, :, word.thread] - lost[covered, :, word.thread]).reshape(-1)
        if not left.any():
            continue
        order = np.argsort(-left)
        largest = left[order]
        given = np.empty_like(left)
        given[order] = np.clip(word.left - (np.cumsum(largest) - largest), 0.0, largest)
        lost[covered, :, word.thread] += given.reshape(-1, excess.shape[1])
        word.left -= float(given.sum())
    return lost


def _held(wait: Floats, lost_wake: Floats, lost_work: Floats, lost_late: Floats, rested: NDArray[np.bool_]) -> Floats:
    """Of each wait for others at work, the part that it would not have taken had no thread lost time since the barrier
    before: the last to come would have come earlier."""
    barriers = np.flatnonzero((wait > 0).any(axis=(0, 2)))
    held = np.zeros_like(wait)
    if not len(barriers):
        return held
    firsts = np.concatenate(([0], barriers[:-1] + 1))
    since = np.add.reduceat(lost_work[:, : barriers[-1] + 1], firsts, axis=1)
    since[:, 0] += lost_wake[:, 0]
    since[:, 1:] += lost_late[:, barriers[:-1]]
    waited = wait[:, barriers]
    # What all of them waited was for another device, and no thread's fault.
    together = np.where(rested[:, np.newaxis], np.inf, waited).min(axis=2, keepdims=True)
    waited = waited - np.where(np.isinf(together), 0.0, together)
    # A thread came at `-waited`, counted from the opening, and would have come at `-waited - since`.
    came = np.where(rested[:, np.newaxis], -np.inf, -waited - since)
    alone = np.maximum(came.max(axis=2, keepdims=True) + waited + since, 0.0)
    held[:, barriers] = waited - np.minimum(waited, alone)
    return held
