"""What a run leaves behind: plain frozen records. core/engine/trace_file.py keeps them in a file.

Screens, tables, drawings and exports are functions of these records. Times are nanoseconds; within an evaluation they
count from the moment the caller asked for it. This module needs nothing compiled, so a saved trace opens anywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, overload

from ggtui.core.graph.cost import Cost

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WAKE = -1  # the node number of waking up
RUN_STAGES = ("token", "prompt", "mixed", "train")
DISTURBED = 1.5  # times the median: what takes longer was disturbed, and is not typical


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """A tensor as a trace knows it: its name, type and sizes (ne[0] the row; the largest ones of run-time sizes)."""

    name: str
    type: str
    ne: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class OriginalInfo:
    """An op of the user's graph that a node computes."""

    name: str
    op: str
    result: TensorInfo


@dataclass(frozen=True, slots=True)
class NodeInfo:
    """A node of the graph that ran.

    id, src  its number, and those of the nodes it reads
    inputs   the tensors it reads that no node made
    parts    the loops it consists of, by the op that each does; kinds: of what kind each is (see KINDS of the ops)
    phase    between nodes of one phase there is no barrier, but before attention whose heads threads can't share evenly
    flops, traffic  operations, and bytes read and written, as they hang on the sizes of a run (TokenRecord.sizes)
    key      its name, made unique: the same node has the same key in every graph of the model
    layer    the number of its layer; None outside of them
    type     of the tensor that most of the bytes it reads belong to: weights, keys and values
    device   the name of the device that runs it; "" in traces that did not say
    """

    id: int
    name: str
    op: str
    result: TensorInfo
    src: tuple[int, ...]
    inputs: tuple[TensorInfo, ...]
    originals: tuple[OriginalInfo, ...]
    parts: tuple[str, ...]
    phase: int
    flops: Cost
    traffic: Cost
    kinds: tuple[str, ...] = ()
    key: str = ""
    layer: int | None = None
    type: str = ""
    device: str = ""


@dataclass(frozen=True, slots=True)
class Lane:
    """What does one thing after the other and has a clock: a thread of the CPU, a queue of a GPU.

    name      what is shown: "thread 0", "reference", "vulkan queue"; no other lane of the device has it
    error_ns  by how much its times may be off those of the first lane
    """

    name: str
    device: str = "cpu"
    error_ns: float = 0.0

    @property
    def is_thread(self) -> bool:
        """Whether it is a thread of the CPU: what the system may not schedule, and what meets others at barriers."""
        return self.device == "cpu"


def thread_lanes(n: int) -> tuple[Lane, ...]:
    """The lanes of so many threads of the CPU."""
    return tuple(Lane(f"thread {i}") for i in range(n))


@dataclass(frozen=True, slots=True)
class GraphInfo:
    """The graph that ran, and on what. `n_tokens` is the most that one evaluation of it reads: 1 for generation."""

    nodes: tuple[NodeInfo, ...]
    isa: str
    lanes: tuple[Lane, ...]
    n_tokens: int = 1

    @property
    def n_threads(self) -> int:
        """How many of its lanes are threads of the CPU."""
        return sum(lane.is_thread for lane in self.lanes)


@dataclass(frozen=True, slots=True)
class NodeRecord:
    """One part of a node on one lane: it worked from start to end and waited for the others until done.

    lane  its number among the lanes of the graph. A node may have records on some lanes only. The records of a lane
          leave no gap: where it has nothing to do, done reaches to the start of its next record, which may be that of
          WAKE, before its first node
    """

    node: int
    part: int
    lane: int
    start: int
    end: int
    done: int


COLUMNS = tuple(f.name for f in fields(NodeRecord))


class Records(Sequence[NodeRecord]):
    """The node records of an evaluation, as rows of one array; `table` has COLUMNS, int64 (n, 6).

    Made from the array, or from a function that makes it when it is first looked at, so that taking records costs a
    run next to nothing. numpy loads when records are made or compared, so that a screen can show itself without it.
    """

    __slots__ = ("_table",)

    def __init__(self, table: NDArray[np.int64] | Callable[[], NDArray[np.int64]]) -> None:
        self._table = table

    @classmethod
    def of(cls, records: Sequence[NodeRecord]) -> Records:
        """Any sequence of records as this kind."""
        if isinstance(records, Records):
            return records
        import numpy as np

        rows = [[getattr(r, name) for name in COLUMNS] for r in records]
        return cls(np.array(rows, np.int64).reshape(-1, len(COLUMNS)))

    @property
    def table(self) -> NDArray[np.int64]:
        if callable(self._table):
            self._table = self._table()
        return self._table

    def __reduce__(self) -> tuple[type[Records], tuple[NDArray[np.int64]]]:
        return Records, (self.table,)  # a function that makes it stays where it is

    def __len__(self) -> int:
        return len(self.table)

    @overload
    def __getitem__(self, index: int) -> NodeRecord: ...
    @overload
    def __getitem__(self, index: slice) -> Records: ...
    def __getitem__(self, index: int | slice) -> NodeRecord | Records:
        if isinstance(index, slice):
            return Records(self.table[index])
        return NodeRecord(*self.table[index].tolist())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or len(self) != len(other):
            return NotImplemented if not isinstance(other, Sequence) else False
        import numpy as np

        return bool(np.array_equal(self.table, Records.of(other).table))


def rested(evaluation: NDArray[np.int64], lane: NDArray[np.int64], n: int, lanes: Sequence[Lane]) -> NDArray[np.bool_]:
    """(n, lanes): which threads rested in which evaluations, all of whose records are of these evaluations and lanes,
    (records,) each. Of such a thread there is one record, as if it had woken up at the end. Other lanes never rest."""
    import numpy as np

    counts = np.bincount(evaluation * len(lanes) + lane, minlength=n * len(lanes))
    return np.asarray((counts.reshape(n, len(lanes)) == 1) & [own.is_thread for own in lanes])


@dataclass(frozen=True, slots=True)
class Unscheduled:
    """What the system said of a thread at the end of an evaluation: of the last `span_ns`, which reach back over
    earlier evaluations, it had no core for `lost_ns`, though it wanted one. `thread` is the number of a lane that is a
    thread."""

    thread: int
    span_ns: int
    lost_ns: int


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """One evaluation: n_tokens tokens after n_past earlier ones.

    n_outputs  of how many of them the logits were computed
    sequence   the number of the sequence, counted as they were opened
    parts    where they are of several sequences: (sequence, n_past, n_tokens) of each; n_past is the first one's then

    eval_ns, sample_ns  the time of the graph and of choosing the next token
    start_ns when it began, since the session was made
    unscheduled  what the system was asked at its end: at most every 10 ms, and after a run that took unusually long
    graph    index of the graph that ran, in the trace's list
    records  of its nodes, where they were asked for; dropped counts those there was no room for
    kv_bytes bytes of the KV cache in use afterwards
    training whether it was a run of a training: of n_tokens tokens of a batch
    """

    n_past: int
    n_tokens: int
    eval_ns: int
    sample_ns: int = 0
    graph: int = 0
    records: Sequence[NodeRecord] = ()
    dropped: int = 0
    kv_bytes: int = 0
    start_ns: int = 0
    unscheduled: tuple[Unscheduled, ...] = ()
    n_outputs: int = 1
    parts: tuple[tuple[int, int, int], ...] = ()
    sequence: int = 0
    training: bool = False

    @property
    def stage(self) -> str:
        """One of RUN_STAGES: "token" where each sequence read one token, "prompt" where each read several, "mixed";
        "train" of a training."""
        if self.training:
            return "train"
        counts = {n for _, _, n in self.parts} or {self.n_tokens}
        return "prompt" if 1 not in counts else "token" if len(counts) == 1 else "mixed"

    @property
    def sizes(self) -> dict[str, int]:
        """The run-time sizes that it had: what costs are valued at. Token i sees all before it, up to itself."""
        parts = self.parts or ((self.sequence, self.n_past, self.n_tokens),)
        n_read = sum(n_past + n for _, n_past, n in parts)
        n_seen = sum(n * (n_past + n) - n * (n - 1) // 2 for _, n_past, n in parts)
        return {
            "n_tokens": self.n_tokens, "n_kv": n_read, "n_seen": n_seen, "n_read": n_read, "n_outputs": self.n_outputs
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class NodeTotal:
    """All records of one part of a node on one lane added up: what a light profile keeps instead of them.

    work is nanoseconds of `count` evaluations, least and most those of one, work_squared the sum of their squares, and
    wait the nanoseconds of waiting for others afterwards.
    """

    graph: int
    node: int
    part: int
    lane: int
    count: int
    work: int
    least: int
    most: int
    wait: int
    work_squared: float


@dataclass(frozen=True, slots=True)
class MemoryUse:
    """Bytes by owner. `activations` is one token's, what ggml's example prints as mem per token; `optimizer` what a
    training remembers of gradients."""

    weights: int = 0
    kv: int = 0
    activations: int = 0
    batch_activations: int = 0
    scratch: int = 0
    records: int = 0
    optimizer: int = 0


@dataclass(frozen=True, slots=True)
class Limits:
    """What a machine allows so many threads with an instruction set, or another device: the most that any of several
    probes reached.

    read     (bytes, bytes a second): reading so many bytes, all threads together, over and over
    int8, f32, f16  operations a second of multiply-adds, each counted as two; 0 of what was not measured, f32 never
    barrier_ns  the threads meeting once, on a GPU a dispatch that does nothing, behind a barrier: the least;
             barrier_most_ns: the most that a probe took, 0 of a single probe
    submit_ns   submitting one such dispatch and waiting for it, the least; 0 of the CPU
    least    what the slowest probe reached, of int8, f32 and then of each size of `read`; empty of a single probe
    earlier  the least and the most that probes of earlier measurements reached, in the same order; empty where there
             were none. Other guests of the hardware change what memory gives by two times from minute to minute
    n_earlier   how many these were
    device   whose limits they are: nodes of others are not held against them
    """

    isa: str
    threads: int
    read: tuple[tuple[int, float], ...]
    int8: float
    f32: float
    barrier_ns: float
    least: tuple[float, ...] = ()
    barrier_most_ns: float = 0.0
    earlier: tuple[tuple[float, float], ...] = ()
    n_earlier: int = 0
    device: str = "cpu"
    f16: float = 0.0
    submit_ns: float = 0.0


@dataclass(frozen=True, slots=True)
class RunInfo:
    """What ran, where and how: what two traces must share to be compared.

    types    bytes of the model's matrices by their type
    profile  "full": every record; "light": totals alone; "off": neither
    stamp_ns what taking one time stamp costs, measured in this run; 0 where it was not
    token_ns, plain_token_ns  time of a generated token with this profile and without any, the mean of the middle four
             fifths; 0: not measured
    loads    how often the model was loaded anew for it, so that its pages lay elsewhere
    others, stolen  parts of the usable cores' time that other programs used meanwhile, and other virtual machines
    """

    ggtui: str = ""
    created: str = ""
    system: str = ""
    processor: str = ""
    cores: int = 0
    device: str = ""
    isa: str = ""
    threads: int = 0
    model: str = ""
    architecture: str = ""
    types: Mapping[str, int] = field(default_factory=dict)
    kv_type: str = ""
    n_ctx: int = 0
    batch: int = 0
    fused: bool = True
    profile: str = "off"
    stamp_ns: float = 0.0
    token_ns: float = 0.0
    plain_token_ns: float = 0.0
    others: float = 0.0
    stolen: float = 0.0
    loads: int = 1


@dataclass(frozen=True, slots=True)
class Trace:
    """Everything one session recorded.

    kl       of matrices, by their names, by how many nats a token the model is expected to say otherwise if one were
             stored in a type, by the types' names (core/training/sensitivity.py); empty where that was not measured
    """

    graphs: tuple[GraphInfo, ...]
    tokens: tuple[TokenRecord, ...]
    memory: MemoryUse
    run: RunInfo = field(default_factory=RunInfo)
    totals: tuple[NodeTotal, ...] = ()
    limits: Limits | None = None
    kl: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
