"""What waits to be sent, and what it is made of."""

from __future__ import annotations

import socket
import subprocess
import sys
from typing import Any

import pytest

from ggtui.core.engine.session import load
from ggtui.core.runtime.record import TokenRecord
from ggtui.viz.messages import Batch, Began, Clear, Say
from ggtui.viz.outbox import KEPT, Newest, Outbox, resident_bytes
from ggtui.viz.wire import PackedBatch, frame, take_frames


@pytest.fixture(scope="module")
def session() -> Any:
    made = load(threads=1, record=True)
    made.eval([1, 2, 3])
    return made


def test_frames_come_out_as_they_become_complete() -> None:
    messages = [Say("a"), Clear(), list(range(1000))]
    data = b"".join(map(frame, messages))
    buffer, found = bytearray(), []
    for at in range(0, len(data), 7):
        buffer += data[at : at + 7]
        found += take_frames(buffer)
    assert found == messages and not buffer


def test_batches_that_wait_become_one(session: Any) -> None:
    """Nobody reads, and nothing waits for that. What was too much is counted, the text is all there."""
    ours, theirs = socket.socketpair()
    outbox = Outbox(theirs)
    outbox.know(session, 1)
    runs = [TokenRecord(n_past, 1, 100) for n_past in range(500)]
    prompt = TokenRecord(1000, 9, 100)
    n = 400
    outbox.put(Began("x" * (1 << 20), "complete"))  # more than there is room for
    for i in range(n):
        newest = Newest()
        newest.add([prompt] * 2 if i == 7 else runs[:2], recorded=i == 7)
        newest.add(runs[i : i + 3])
        outbox.add([(i, str(i), -1.0, i, 1, 1, 1)] * 50, newest, [(i, "next", 0.5)])
    outbox.put(Began("y", "chat"))
    outbox.add([], None, [])
    buffer, found = bytearray(), list[Any]()
    ours.settimeout(60)
    while len(found) < 4:
        buffer += ours.recv(1 << 20)
        found += take_frames(buffer)
    outbox.close()
    ours.close()
    theirs.close()
    assert [type(message) for message in found] == [Began, PackedBatch, Began, PackedBatch]
    batch = found[1].unpacked()
    assert [step.text for step in batch.steps] == [str(i) for i in range(n) for _ in range(50)]
    expected = [n_past for i in range(n) for n_past in range(i, i + 3)][-KEPT:]
    assert [run.n_past for run in batch.evaluations] == [1000, 1000, *expected]
    assert batch.unrecorded == 5 * n - KEPT - 2
    assert batch.next[0].token == n - 1 and batch.memory == session.memory() and batch.rss > 0
    assert found[3].unpacked() == Batch()


def test_a_batch_arrives_as_it_was(session: Any) -> None:
    """With the records and the costs that a trace of the session has, and the graphs that were not told before."""
    ours, theirs = socket.socketpair()
    outbox = Outbox(theirs)
    outbox.know(session, 1)
    session.reset()
    steps = list(session.generate("Once upon a time", 3, seed=1))
    runs = [run for step in steps for run in step.runs]
    newest = Newest()
    newest.add(runs)
    outbox.add([], newest, [])
    outbox.close()
    buffer = bytearray(ours.recv(1 << 20))
    ours.close()
    theirs.close()
    (packed,) = take_frames(buffer)
    batch = packed.unpacked()
    assert batch.evaluations == session.trace(runs).tokens
    assert batch.graphs == session.graphs() and len(batch.graphs) > 1


def test_resident_bytes() -> None:
    code = (
        "from ggtui.viz.outbox import resident_bytes as r; a = r(); b = bytes(range(256)) * 400_000; print(r() - a, a)"
    )
    grown, before = map(int, subprocess.check_output([sys.executable, "-c", code]).split())
    assert grown > 90_000_000 and before > 1_000_000 and resident_bytes() > 1_000_000
