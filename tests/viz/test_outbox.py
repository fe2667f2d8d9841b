"""What waits to be sent, and what it is made of."""

from __future__ import annotations

import pickle
import socket
from dataclasses import fields, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ggtui.core.engine.session import load
from ggtui.core.engine.steps import Step
from ggtui.core.runtime.record import NodeRecord, Records, TokenRecord, Unscheduled
from ggtui.viz.messages import Alternative, Batch, Began, Clear, Loading, Say
from ggtui.viz.outbox import KEPT, Newest, Outbox
from ggtui.viz.packed import PackedSteps
from ggtui.viz.wire import frame, take_frames


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
        steps = [Step(i, str(i), -1.0, TokenRecord(i, 1, 1, 1))] * 50
        outbox.add(steps, newest, (Alternative(i, "next", 0.5),))
    outbox.put(Began("y", "chat"))
    outbox.add([], None, ())
    buffer, found = bytearray(), list[Any]()
    ours.settimeout(60)
    while len(found) < 4:
        buffer += ours.recv(1 << 20)
        found += take_frames(buffer)
    outbox.close()
    ours.close()
    theirs.close()
    assert [type(message) for message in found] == [Began, Batch, Began, Batch]
    batch = found[1]
    assert [step.text for step in batch.steps] == [str(i) for i in range(n) for _ in range(50)]
    expected = [n_past for i in range(n) for n_past in range(i, i + 3)][-KEPT:]
    assert [run.n_past for run in batch.evaluations] == [1000, 1000, *expected]
    assert batch.unrecorded == 5 * n - KEPT - 2
    assert batch.next[0].token == n - 1 and batch.memory == session.memory() and batch.rss > 0
    assert found[3] == Batch()


def test_what_is_loaded_is_told_a_few_times_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("ggtui.viz.outbox.time", SimpleNamespace(monotonic=lambda: now))
    ours, theirs = socket.socketpair()
    outbox = Outbox(theirs)
    tell = outbox.loading("king")
    for i in range(101):
        now = i / 100  # 101 times in a second
        tell(i, 200)
    outbox.close()
    found = list(take_frames(bytearray(ours.recv(1 << 20))))
    ours.close()
    theirs.close()
    assert found == [Loading("king", part) for part in (0.125, 0.25, 0.375, 0.5)]


def test_a_batch_arrives_as_it_was(session: Any) -> None:
    """With the records and the costs that a trace of the session has, and the graphs that were not told before. Node
    records come with evaluations, never with steps."""
    ours, theirs = socket.socketpair()
    outbox = Outbox(theirs)
    outbox.know(session, 1)
    session.reset()
    steps = list(session.generate("Once upon a time", 3, seed=1))
    runs = [run for step in steps for run in step.runs]
    assert all(len(run.records) for run in runs)
    newest = Newest()
    newest.add(runs)
    likely = (Alternative(1, " a", 0.5), Alternative(2, " the", 0.25))
    outbox.add(steps, newest, likely, ahead=True)
    outbox.close()
    buffer = bytearray(ours.recv(1 << 20))
    ours.close()
    theirs.close()
    (batch,) = take_frames(buffer)
    without = tuple(replace(step, record=replace(step.record, records=()), runs=()) for step in steps)
    assert batch == Batch(
        without, session.trace(runs).tokens, 0, likely, True, session.graphs(), session.memory(), batch.rss, batch.busy
    )
    assert type(batch.steps) is tuple and len(batch.graphs) > 1


def test_steps_travel_with_all_fields_of_their_records_but_those_of_nodes() -> None:
    nodes, said = (NodeRecord(0, 0, 0, 1, 2, 3),), (Unscheduled(1, 20, 5),)
    record = TokenRecord(3, 9, 100, 5, 1, nodes, 7, 4096, 11, said, 2, ((0, 3, 4), (1, 0, 5)), 1, True)
    unlike = TokenRecord(0, 0, 0, n_outputs=0)
    assert all(getattr(record, f.name) != getattr(unlike, f.name) for f in fields(TokenRecord)), "each says something"
    step = Step(5, " a", -1.5, record, (record, record))
    packed = PackedSteps([step])
    packed.join(PackedSteps([step] * 2))
    (found,) = take_frames(bytearray(frame(packed)))
    assert found == (Step(5, " a", -1.5, replace(record, records=())),) * 3
    assert pickle.loads(pickle.dumps(PackedSteps())) == ()


def test_node_records_travel_as_their_table() -> None:
    """Also those that nobody looked at yet."""
    table = np.arange(12, dtype=np.int64).reshape(2, 6)
    found = pickle.loads(pickle.dumps(Records(lambda: table)))
    assert isinstance(found, Records) and found.table.dtype == np.int64 and found == Records(table)
