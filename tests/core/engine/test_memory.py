"""Pages: who has them, who shares them, and that none is lost."""

from __future__ import annotations

import numpy as np
import pytest

from ggtui.core.engine.memory import Memory, Sequence
from ggtui.core.errors import ContextFullError, UsageError
from ggtui.core.models.store import KeysValues
from ggtui.core.runtime.device import one_device

FULL, WINDOW = KeysValues(8, 8, 1), KeysValues(8, 8, 1, 100)


def memory(*layers: KeysValues, n_ctx: int = 512, n_sequences: int = 4, batch: int = 64) -> Memory:
    return Memory(layers or (FULL,), n_ctx, "f16", one_device("cpu"), batch=batch, n_sequences=n_sequences)


def read(sequence: Sequence, n: int, token: int = 7) -> None:
    sequence.make_room(n)
    sequence.add([token] * n)


def pages(sequence: Sequence, group: int = 0) -> list[int]:
    return sequence.pages(group).tolist()


def free(m: Memory) -> list[int]:
    return [m.n_free(group) for group in range(len(m.tables))]


def test_pages_are_taken_as_tokens_come_and_given_back() -> None:
    m = memory()
    a, b = m.open(), m.open()
    read(a, 64)
    read(b, 65)
    read(a, 1)
    assert pages(a) == [0, 3] and pages(b) == [1, 2] and free(m) == [28]
    assert a.rewind(64) == 64 and pages(a) == [0] and a.n_past == 64
    assert a.rewind(0) == 0 and pages(a) == [] and a.tokens == [7] * 65, (
        "whose tokens they are is the caller's business"
    )
    b.close()
    b.close()
    assert free(m) == [32]
    with pytest.raises(UsageError, match="rewind: 1 is not 0 to 0"):
        a.rewind(1)


def test_there_are_so_many_sequences() -> None:
    m = memory(n_sequences=2)
    a = m.open()
    m.open()
    with pytest.raises(UsageError, match="there are 2 sequences already"):
        m.open()
    with pytest.raises(UsageError, match="there are 2 sequences already"):
        a.fork()
    a.close()
    assert m.open().row == 0


def test_a_full_context_changes_nothing() -> None:
    m = memory(n_ctx=100)
    a = m.open()
    read(a, 60)
    with pytest.raises(ContextFullError, match="41 tokens after 60 don't fit into 100"):
        a.make_room(41)
    assert pages(a) == [0]


def test_a_fork_shares_pages_until_one_writes() -> None:
    m = memory()
    a = m.open()
    read(a, 100)
    held = m.store.k[0].numpy()
    m.store.k[0].set(np.arange(held.size).reshape(held.shape) % 1000)
    b = a.fork()
    assert b.tokens == a.tokens and b.n_past == 100 and pages(b) == pages(a) == [0, 1] and free(m) == [30]
    read(b, 1)  # into the second page, which is a's too
    assert pages(a) == [0, 1] and pages(b) == [0, 2] and free(m) == [29]
    k = m.store.k[0].numpy()
    assert np.array_equal(k[:, 128:192], k[:, 64:128]), "the copy has all that the page had"
    read(a, 1)
    assert pages(a) == [0, 1], "by now it is a's alone"
    a.close()
    assert pages(b) == [0, 2] and free(m) == [30]
    b.close()
    assert free(m) == [32]


def test_a_rewind_into_a_shared_page_copies_it_when_written() -> None:
    m = memory()
    a = m.open()
    read(a, 128)
    b = a.fork()
    assert b.rewind(70) == 70 and pages(b) == [0, 1]
    read(b, 58)
    assert pages(a) == [0, 1] and pages(b) == [0, 2]
    c = a.fork()
    read(c, 1)
    assert pages(c)[:2] == [0, 1], "what lies before a whole page is not written"


def test_windows_hold_a_window() -> None:
    m = memory(FULL, WINDOW, n_ctx=100_000, n_sequences=1, batch=64)
    a = m.open()
    assert m.store.groups[1].n_pages == 4
    for _ in range(100_000 // 50):
        read(a, 50)
        seen_from = max(0, a.n_past - 99)
        assert a.first[1] == seen_from // 64 and len(pages(a, 1)) <= 3
        assert len(pages(a)) == -(-a.n_past // 64)
    a.close()
    assert free(m) == [m.store.groups[0].n_pages, 4]


def test_a_rewind_says_what_a_window_still_holds() -> None:
    m = memory(FULL, WINDOW)
    a = m.open()
    read(a, 60)
    read(a, 40)
    assert a.rewind(90) == 90, "nothing was given back yet"
    read(a, 60)
    read(a, 60)  # n_past 210: of the window the first page is gone
    assert a.first == [0, 1]
    assert a.rewind(170) == 170, "which sees from 71 on"
    assert a.rewind(163) == 163
    assert a.rewind(162) == 0, "which would see 63"
    assert a.n_past == 0 and pages(a) == pages(a, 1) == [] and free(m) == [32, m.store.groups[1].n_pages]
    read(a, 10)
    assert a.first == [0, 0]


def test_where_no_page_is_left_nothing_changes() -> None:
    m = memory(n_ctx=128, n_sequences=2)
    a, b = m.open(), m.open()
    read(a, 128)
    read(b, 64)
    m.take(0)
    before = free(m)
    with pytest.raises(ContextFullError, match="all pages"):
        b.make_room(10)
    assert free(m) == before and len(pages(b)) == 1


def test_room_that_was_made_and_not_used_does_not_count_for_a_copy() -> None:
    m = memory(n_ctx=192, n_sequences=2)
    a = m.open()
    read(a, 70)
    a.make_room(100)  # for tokens that were not read then: a page more than it fills
    b = a.fork()
    for _ in range(m.n_free(0)):
        m.take(0)
    with pytest.raises(ContextFullError, match="all pages"):
        b.make_room(10)
    assert pages(a)[:2] == pages(b)[:2] == [0, 1]


def test_a_fork_has_no_part_in_room_that_was_made_for_more() -> None:
    m = memory()
    a = m.open()
    read(a, 10)
    a.make_room(150)  # and nothing is read: the run was stopped, or another thread forks meanwhile
    b = a.fork()
    assert pages(a) == [0, 1, 2] and pages(b) == [0]
    read(b, 100)
    read(a, 100)
    assert not {*pages(a)} & {*pages(b)}
    a.give_room_back()
    assert len(pages(a)) == 2
    a.close()
    b.close()
    assert free(m) == [32]


def test_a_closed_sequence_is_of_no_use() -> None:
    m = memory()
    a, b = m.open(), m.open()
    read(b, 100)
    a.close()
    for use in (lambda: a.make_room(100), a.fork, lambda: a.rewind(0), lambda: a.add([1])):
        with pytest.raises(UsageError, match="the sequence is closed"):
            use()
    a.give_room_back()
    assert pages(b) == [0, 1] and free(m) == [30]


def test_only_an_empty_memory_is_moved_to_larger_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    m = memory()
    told: list[int] = []
    monkeypatch.setattr(m.store, "expect", told.append)
    a, b = m.open(), m.open()
    m.expect(400)
    read(a, 1)
    m.expect(401)
    b.close()
    a.rewind(0)
    m.expect(402)
    assert told == [400, 402]


def test_no_page_is_lost_in_any_order() -> None:
    rng = np.random.default_rng(0)
    m = memory(FULL, WINDOW, n_ctx=600, n_sequences=6, batch=64)
    open_: list[Sequence] = []
    for _ in range(3000):
        what = rng.integers(5)
        one = open_[rng.integers(len(open_))] if open_ else None
        if (what == 0 or one is None) and len(open_) < 6:
            open_.append(m.open())
        elif one is None:
            continue
        elif what == 1 and len(open_) < 6:
            open_.append(one.fork())
        elif what == 2:
            one.rewind(int(rng.integers(one.n_past + 1)))
        elif what == 3 and rng.random() < 0.2:
            one.close()
            open_.remove(one)
        elif one.n_past < 536:
            n = int(rng.integers(1, 64))
            one.make_room(n)
            at = one.n_past // 64
            for group in range(2):
                row = m.rows[group][one.row]
                writes = set(row[at : -(-(one.n_past + n) // 64)].tolist())
                others = {p for s in open_ if s is not one for p in pages(s, group)}
                assert not writes & others, "what is written to is nobody else's"
            one.add([1] * n)
        for group, told in enumerate(m.store.groups):
            assert m.n_free(group) + len({p for s in open_ for p in pages(s, group)}) == told.n_pages
    for one in open_:
        one.close()
    assert free(m) == [g.n_pages for g in m.store.groups]
