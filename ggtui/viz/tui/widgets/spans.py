"""The kept evaluations on one axis of time: what each lane did when, as arrays.

An evaluation is followed by its sampling, and that by the next evaluation. Where evaluations were not kept there is a
gap: how long it took is not known, so it has a fixed length and its time is not counted.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ggtui.core.runtime.record import COLUMNS, WAKE, GraphInfo, Lane, Records, TokenRecord, rested
from ggtui.perf.lanes import calling, lanes_of
from ggtui.perf.stage import lost_in_records
from ggtui.viz.text import printable_line

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Kind(NamedTuple):
    """What a lane can be at: a letter, a word, and the colours of text and ground."""

    letter: str
    word: str
    ink: str
    ground: str = ""


# In the order in which a column stacks them, the work first.
KINDS = (
    Kind("M", "mul_mat", "#e3eaff", "#3d59a1"),
    Kind("A", "attn", "#f3e6ff", "#7a4fa3"),
    Kind("q", "quant", "#dbfaff", "#2b767d"),
    Kind("n", "norm", "#f0ffd8", "#567a2a"),
    Kind("r", "rope", "#ffebcf", "#87581e"),
    Kind("e", "elem", "#e8edf6", "#55627a"),
    Kind("c", "copy", "#f4ecdd", "#6b6049"),
    Kind("o", "other", "#ececf0", "#55555f"),
    Kind("w", "wake", "#fff4d0", "#86690f"),
    Kind("s", "sample", "#ffe6ef", "#97395e"),
    Kind("?", "no node times", "#7d8597"),
    Kind("/", "not kept", "#7d8597"),
    Kind("-", "idle", "#7d8597"),
    Kind(".", "wait", "#d9506a"),
    Kind("x", "not scheduled", "#ffd7de", "#8c1f3c"),
)
_AT = {kind.word: i for i, kind in enumerate(KINDS)}
OTHER, WAKING, SAMPLE, UNSEEN, UNKEPT, IDLE, WAIT, LOST = (
    _AT[word] for word in ("other", "wake", "sample", "no node times", "not kept", "idle", "wait", "not scheduled")
)
N_WORK = WAKING  # kinds of work come before all others
NOTHING = len(KINDS)  # where there is no time: before the first evaluation and after the last
_WORDS = {  # kinds of ops, as records have them -> what a lane is at
    "product": "mul_mat", "attention": "attn", "soft_max": "attn", "round": "quant", "norm": "norm", "rope": "rope",
    **dict.fromkeys(("unary", "binary", "map", "glu"), "elem"),
    **dict.fromkeys(("copy", "move", "gather", "store"), "copy"),
}  # fmt: skip


def kind_of(kind: str) -> int:
    """What a lane is at in a part of that kind."""
    return _AT[_WORDS.get(kind, "other")]


_SEEN = 8  # stretches whose arrays are kept


def _numbered(lane: Lane) -> bool:
    return lane.is_thread and re.fullmatch(r"thread \d+", lane.name) is not None


class Gap(NamedTuple):
    """A stretch of the axis between evaluations that do not follow each other."""

    start: float
    end: float
    text: str


@dataclass(frozen=True)
class Track:
    """The records of one lane in the order of time, (n,) each, times in ns of the axis; and, over the whole axis, for
    each kind the times at which it begins and ends and how much of it there was until then.

    lost  of a record the time that its thread was not scheduled: at work, drawn from `worked` to `end`, and before it
          came back from waiting, drawn from `back` to `done`
    """

    start: Floats
    end: Floats
    done: Floats
    node: Ints
    part: Ints
    token: Ints
    worked: Floats
    back: Floats
    sums: dict[int, tuple[Floats, Floats]]

    @property
    def lost(self) -> Floats:
        return self.end - self.worked + self.done - self.back

    def spent(self, edges: Floats, total: float) -> Floats:
        """Nanoseconds of each kind between neighbouring edges: (kinds, edges - 1)."""
        spent = np.zeros((len(KINDS), len(edges) - 1))
        for kind, (times, until) in self.sums.items():
            spent[kind] = np.diff(np.interp(edges, times, until))
        covered = np.diff(np.clip(edges, 0.0, total))
        spent[IDLE] = np.maximum(covered - spent.sum(axis=0), 0.0)
        return spent

    def cells(self, edges: Floats, total: float, height: int) -> Ints:
        """The kinds to draw between neighbouring edges: (height, edges - 1), NOTHING outside of the axis. A single line
        has what took most of the time; more lines share it among the kinds, in their order."""
        spent = self.spent(edges, total)
        whole = spent.sum(axis=0)
        if height == 1:
            kinds = spent.argmax(axis=0)[None]
        else:
            until = spent.cumsum(axis=0)
            places = (np.arange(height) + 0.5) / height
            kinds = (until[None] <= places[:, None, None] * whole).sum(axis=1)
        return np.where(whole > 0, kinds, NOTHING).astype(np.int64)

    def within(self, left: float, right: float) -> range:
        """The records that have some of their time between two places."""
        return range(int(np.searchsorted(self.done, left, "right")), int(np.searchsorted(self.start, right, "left")))

    def at(self, place: float) -> int | None:
        """The record that a place lies in, work or wait."""
        i = int(np.searchsorted(self.start, place, "right")) - 1
        return i if i >= 0 and place < max(self.done[i], self.start[i] + 1) else None


@dataclass
class Spans:
    """Evaluations on their axis. `start` and `length` of each, without its sampling, and `sampling`, in ns: (n,).

    Records are only looked at where someone looks: `tracks` takes the evaluations between two places. `kind_table` has
    the kind of each part of each node of each graph, `lanes` the lanes of all graphs, and `numbers` of each graph those
    of its own among them.
    """

    graphs: tuple[GraphInfo, ...]
    tokens: tuple[TokenRecord, ...]
    start: Floats
    length: Floats
    sampling: Floats
    gaps: tuple[Gap, ...]
    kind_table: NDArray[np.int8]
    lanes: tuple[Lane, ...]
    numbers: tuple[tuple[int, ...], ...]
    _seen: dict[tuple[int, int], tuple[Track, ...]] = field(default_factory=dict)

    @cached_property
    def caller(self) -> int:
        """The lane that tokens are chosen on."""
        return calling(self.lanes)

    @cached_property
    def names(self) -> list[str]:
        """What the lanes are called: t0, t1, ... where they are threads."""
        names = (lane.name.replace("thread ", "t") if _numbered(lane) else lane.name for lane in self.lanes)
        return [printable_line(name) for name in names]

    @property
    def all_threads(self) -> bool:
        return all(lane.is_thread for lane in self.lanes)

    def tracks(self, left: float, right: float) -> tuple[Track, ...]:
        """Of each lane one, with the records of the evaluations that have some of their time between two places."""
        key = first, last = self.token_at(left), self.token_at(right)
        if key not in self._seen:
            if len(self._seen) >= _SEEN:
                self._seen.clear()
            self._seen[key] = _tracks(self, first, last + 1) if self.tokens else ()
        return self._seen[key]

    @property
    def total(self) -> float:
        """Length of the axis in ns."""
        return float(self.start[-1] + self.length[-1] + self.sampling[-1]) if self.tokens else 0.0

    @cached_property
    def times(self) -> Floats:
        """Nanoseconds of each evaluation and its sampling."""
        return self.length + self.sampling

    @property
    def typical(self) -> float:
        """Median time of a generated token; of any evaluation where there is none."""
        single = self.times[[t.stage == "token" for t in self.tokens]] if self.tokens else self.times
        return float(np.median(single if len(single) else self.times)) if self.tokens else 0.0

    @cached_property
    def kinds(self) -> list[int]:
        """The kinds that there can be."""
        graphs = [self.graphs[i] for i in {t.graph for t in self.tokens}]
        found = {kind_of(kind) for graph in graphs for node in graph.nodes for kind in node.kinds}
        found |= {WAKING, IDLE, WAIT} if self.tokens else set()
        found |= {SAMPLE} if self.sampling.any() else set()
        found |= {LOST} if self.lost else set()
        found |= {UNSEEN} if any(t.dropped or not len(t.records) for t in self.tokens) else set()
        return sorted(found | ({UNKEPT} if self.gaps else set()))

    @cached_property
    def lost(self) -> dict[int, tuple[Floats, Floats]]:
        """Of evaluations by their number what their threads lost, see perf/stage.py."""
        return lost_in_records(self.graphs, self.tokens)

    @cached_property
    def waits(self) -> tuple[Floats, Ints, float]:
        """Where the longest twentieth of all waits begin, in order, the lanes they are of, and their least length."""
        tracks = self.tracks(0.0, self.total)
        starts = np.concatenate([track.end for track in tracks] or [np.zeros(0)])
        lengths = np.concatenate([track.done - track.end for track in tracks] or [np.zeros(0)])
        lanes = np.repeat(np.arange(len(tracks)), [len(track.end) for track in tracks])
        some = lengths > 0
        least = float(np.percentile(lengths[some], 95)) if some.any() else 0.0
        long = some & (lengths >= least)
        order = np.lexsort((lanes[long], starts[long]))
        return starts[long][order], lanes[long][order], least

    def next_wait(self, place: float, lane: int, step: int) -> tuple[float, int] | None:
        """Where the next long wait after this place and lane begins (`step` 1; -1: before them), and its lane."""
        starts, lanes, _ = self.waits
        here = (starts < place) | ((starts == place) & (lanes < lane))
        before = int(here.sum())
        i = before - 1 if step < 0 else before + int(((starts == place) & (lanes == lane)).any())
        return (float(starts[i]), int(lanes[i])) if 0 <= i < len(starts) else None

    @property
    def slowest(self) -> int:
        """The generated token that took longest; a prompt where no token was generated."""
        single = np.array([t.stage == "token" for t in self.tokens])
        return int((self.times * single if single.any() else self.times).argmax())

    def moved(self, before: Spans) -> float:
        """By how much what was there before lies further left now: the oldest may be gone, or older ones be there."""
        for a, b, sign in ((before, self, 1), (self, before, -1)):
            i = next((i for i, token in enumerate(a.tokens) if token is b.tokens[0]), None)
            if i is not None:
                return sign * float(a.start[i])
        return before.total

    def token_at(self, place: float) -> int:
        """The evaluation that a place lies in, in its sampling or in the gap behind it."""
        return max(int(np.searchsorted(self.start, place, "right")) - 1, 0)

    def gap_at(self, place: float) -> Gap | None:
        return next((gap for gap in self.gaps if gap.start <= place < gap.end), None)

    def clock(self, place: float) -> float:
        """Recorded nanoseconds until a place: without the gaps before it."""
        return place - sum(min(gap.end, place) - gap.start for gap in self.gaps if gap.start < place)

    def place(self, clock: float) -> float:
        """The place at which so many nanoseconds were recorded."""
        for gap in self.gaps:
            if gap.start <= clock:
                clock += gap.end - gap.start
        return clock


def spans(graphs: tuple[GraphInfo, ...], tokens: Sequence[TokenRecord], before: Spans | None = None) -> Spans:
    """Lay evaluations one behind the other. `before` is what was laid of the same run the last time."""
    kinds = before.kind_table if before is not None and before.graphs is graphs else _kinds(graphs)
    kept = tuple(tokens)
    length = np.array([t.eval_ns for t in kept], np.float64)
    sampling = np.array([t.sample_ns for t in kept], np.float64)
    break_ns = max(float(np.median(length + sampling)), 1.0) if kept else 0.0
    start, gaps = np.zeros(len(kept)), []
    at = 0.0
    for i, token in enumerate(kept):
        text = _missing(kept[i - 1], token) if i else ""
        if text:
            gaps.append(Gap(at, at + break_ns, text))
            at += break_ns
        start[i] = at
        at += token.eval_ns + token.sample_ns
    return Spans(graphs, kept, start, length, sampling, tuple(gaps), kinds, *lanes_of(graphs))


def _missing(before: TokenRecord, token: TokenRecord) -> str:
    """What lies between two evaluations; nothing where one follows the other."""
    follows = before.n_past + before.n_tokens
    if token.n_past > follows:
        return f"{token.n_past - follows} not kept"
    return f"back to {token.n_past}" if token.n_past < follows and not token.training else ""


def _tracks(of: Spans, first: int, last: int) -> tuple[Track, ...]:
    """The tracks of evaluations `first` to `last` - 1. What is recorded past the end of an evaluation is cut off."""
    tokens = of.tokens[first:last]
    start, length, sampling = (a[first:last] for a in (of.start, of.length, of.sampling))
    stop = start + length
    tables = [_renumbered(Records.of(t.records).table, of.numbers[t.graph]) for t in tokens]
    counts = [len(table) for table in tables]
    columns = np.concatenate([*tables, np.zeros((0, len(COLUMNS)), np.int64)]).T.copy()
    of_token = np.repeat(np.arange(len(tokens)), counts)
    nothing = [(np.zeros(n), np.zeros(n)) for n in counts]
    known = [of.lost.get(first + i, none) for i, none in enumerate(nothing)]
    lost_work, lost_late = (np.concatenate([*(both[k] for both in known), np.zeros(0)]) for k in (0, 1))
    rests = rested(of_token, columns[2], len(tokens), of.lanes)[of_token, columns[2]]
    columns[3] = np.where(rests, columns[4], columns[3])  # of a thread that rested only what it waited then is drawn
    took_part = ~rests | (columns[5] > columns[4])
    columns, of_token = columns[:, took_part], of_token[took_part]
    lost_work, lost_late = lost_work[took_part], lost_late[took_part]
    begin, end = start[of_token], stop[of_token]
    placed = [np.minimum(columns[i] + begin, end) for i in (3, 4, 5)]
    graph = np.array([t.graph for t in tokens], np.int64)[of_token]
    kinds = of.kind_table[graph, columns[0], columns[1]]
    partial = np.array([not n or t.dropped > 0 for n, t in zip(counts, tokens, strict=True)], np.bool_)
    between = np.array([gap[:2] for gap in of.gaps if gap.end >= start[0] and gap.start <= of.total], np.float64)
    between = between.reshape(-1, 2)
    tracks = []
    for lane in range(len(of.lanes)):
        mine = np.flatnonzero(columns[2] == lane)
        begins = placed[0][mine]
        if (begins[1:] < begins[:-1]).any():
            mine = mine[np.argsort(begins, kind="stable")]
        begins, ends, done = (places[mine] for places in placed)
        token, kind = of_token[mine], kinds[mine]
        order = np.argsort(kind, kind="stable")
        bounds = np.searchsorted(kind[order], range(len(KINDS) + 1)).tolist()
        # Where in its work a thread lost its core is not known: it is drawn at the end.
        worked, back = ends - lost_work[mine], done - lost_late[mine]
        pieces = {k: (begins[order[a:b]], worked[order[a:b]]) for k, (a, b) in enumerate(pairwise(bounds)) if b > a}
        waited = back > ends
        pieces[WAIT] = ends[waited], back[waited]
        if of.lost:
            pieces[LOST] = np.stack([worked, back], axis=1).reshape(-1), np.stack([ends, done], axis=1).reshape(-1)
        pieces[UNKEPT] = between[:, 0], between[:, 1]
        if partial.any():
            seen = start.copy()
            np.maximum.at(seen, token, done)
            pieces[UNSEEN] = seen[partial], stop[partial]
        if lane == of.caller:
            pieces[SAMPLE] = stop, stop + sampling
        sums = {k: _until(*piece) for k, piece in pieces.items() if (piece[1] > piece[0]).any()}
        tracks.append(Track(begins, ends, done, columns[0][mine], columns[1][mine], token + first, worked, back, sums))
    return tuple(tracks)


def _renumbered(table: Ints, numbers: Sequence[int]) -> Ints:
    """Node records whose lanes have these numbers."""
    if list(numbers) == list(range(len(numbers))):
        return table
    found = table.copy()
    found[:, 2] = np.array(numbers)[table[:, 2]]
    return found


def _kinds(graphs: tuple[GraphInfo, ...]) -> NDArray[np.int8]:
    """The kind of each part of each node of each graph; the last node, which -1 means too, is waking up."""
    n_nodes = max((len(graph.nodes) for graph in graphs), default=0)
    n_parts = max((len(node.parts) for graph in graphs for node in graph.nodes), default=1)
    kinds = np.full((len(graphs), n_nodes + 1, n_parts), OTHER, np.int8)
    for i, graph in enumerate(graphs):
        for node in graph.nodes:
            kinds[i, node.id, : len(node.parts)] = [kind_of(kind) for kind in node.kinds]
    kinds[:, WAKE] = WAKING
    return kinds


def _until(begins: Floats, ends: Floats) -> tuple[Floats, Floats]:
    """The times at which pieces begin and end, and how long they were together until then."""
    until = np.cumsum(ends - begins)
    times = np.stack([begins, ends], axis=1).reshape(-1)
    return times, np.stack([np.concatenate([[0.0], until[:-1]]), until], axis=1).reshape(-1)
