"""How commands and events travel between the screen's process and the engine's: pickles, each behind its length.

A batch travels as rows of plain values and arrays, since thousands of tokens a second are to cost the engine next to
nothing; the other side makes the records of them.
"""

from __future__ import annotations

import pickle
import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from ggtui.core.runtime.busy import Busy
    from ggtui.core.runtime.record import GraphInfo, MemoryUse
    from ggtui.viz.messages import Batch

_LENGTH = struct.Struct("<Q")

StepRow = tuple[int, str, float, int, int, int, int]  # the fields of a TokenStep
# The fields of a TokenRecord; its records as their table, and what the system said as rows.
EvaluationRow = tuple[
    int, int, int, int, int, Any, int, int, int, tuple[tuple[int, int, int], ...],
    int, tuple[tuple[int, int, int], ...], int
]  # fmt: skip


def frame(value: object) -> bytes:
    """A message as bytes."""
    data = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    return _LENGTH.pack(len(data)) + data


def take_frames(buffer: bytearray) -> Iterator[Any]:
    """The messages that are complete in the buffer, and takes them out of it."""
    while len(buffer) >= _LENGTH.size:
        end = _LENGTH.size + _LENGTH.unpack_from(buffer)[0]
        if len(buffer) < end:
            return
        data = bytes(buffer[_LENGTH.size : end])
        del buffer[:end]
        yield pickle.loads(data)


class PackedBatch(NamedTuple):
    """A Batch on its way."""

    steps: list[StepRow]
    evaluations: list[EvaluationRow]
    unrecorded: int
    next: list[tuple[int, str, float]]
    ahead: bool
    graphs: tuple[GraphInfo, ...]
    memory: MemoryUse | None
    rss: int
    busy: Busy | None

    def unpacked(self) -> Batch:
        from ggtui.core.runtime.record import Records, TokenRecord, Unscheduled
        from ggtui.viz.messages import Alternative, Batch, TokenStep

        return Batch(
            tuple(TokenStep(*row) for row in self.steps),
            tuple(
                TokenRecord(
                    *row[:5], Records(row[5]), *row[6:9], tuple(Unscheduled(*said) for said in row[9]), *row[10:]
                )
                for row in self.evaluations
            ),
            self.unrecorded,
            tuple(Alternative(*row) for row in self.next),
            self.ahead,
            self.graphs,
            self.memory,
            self.rss,
            self.busy,
        )
