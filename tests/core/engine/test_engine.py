"""Many sequences over one memory: each as if it were alone, to the bit."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from grouped import N_VOCAB, engine, text
from numpy.typing import NDArray

from ggtui.core.engine.batch import Piece
from ggtui.core.engine.engine import Engine
from ggtui.core.engine.memory import Sequence
from ggtui.core.errors import ContextFullError, GgtuiError, UsageError
from ggtui.core.graph.ops import KV_TYPES
from ggtui.core.runtime.cpu.native import usable_isas

Floats = NDArray[np.float32]
LENGTHS = (300, 1, 90, 41, 170)


def read(e: Engine, sequence: Sequence, tokens: list[int], chunk: int = 64) -> Floats:
    """The logits of all, read in chunks."""
    rows = []
    for at in range(0, len(tokens), chunk):
        part = tokens[at : at + chunk]
        rows.append(e.step([Piece(sequence, part, range(len(part)))]).logits.copy())
    return np.concatenate(rows)


@pytest.fixture(scope="module")
def alone() -> list[Floats]:
    """Of each of five texts the logits of all its tokens."""
    e = engine()
    return [read(e, e.open(), text(n, i)) for i, n in enumerate(LENGTHS)]


def nmse(got: Floats, want: Floats) -> float:
    return float(((got.astype(np.float64) - want) ** 2).sum() / (want.astype(np.float64) ** 2).sum())


@pytest.mark.parametrize(
    ("type", "kv_type", "bound"), [("f32", "f32", 1e-6), ("f16", "f32", 1e-6), ("f32", "q8_0", 1e-5)]
)
def test_the_reference_agrees(type: str, kv_type: str, bound: float) -> None:
    tokens = text(150)
    want = read(e := engine(type, "reference", kv_type=kv_type), e.open(), tokens, 50)
    got = read(e := engine(type, kv_type=kv_type), e.open(), tokens, 50)
    assert np.abs(want).max() > 1 and nmse(got, want) < bound


@pytest.mark.parametrize(("chunk", "threads"), [(1, 1), (1, 2), (1, 3), (7, 1), (63, 2), (64, 1)])
def test_any_chunking(alone: list[Floats], chunk: int, threads: int) -> None:
    e = engine(threads=threads)
    assert np.array_equal(read(e, e.open(), text(LENGTHS[0], 0), chunk), alone[0])


@pytest.mark.parametrize("isa", usable_isas())
@pytest.mark.parametrize("kv_type", KV_TYPES)
def test_threads_share_the_positions_of_few_heads(isa: str, kv_type: str) -> None:
    """A layer has one head of keys: its splits of 256 positions go to several threads and are joined in order."""
    rows = []
    for threads in (1, 2, 3):
        e = engine(threads=threads, isa=isa, kv_type=kv_type)
        s = e.open()
        e.read(s, text(530))
        rows.append([e.read(s, [token])[0] for token in text(8, 1)])
    assert np.array_equal(rows[0], rows[1]) and np.array_equal(rows[0], rows[2])


def in_company(e: Engine, rng: np.random.Generator) -> list[Floats]:
    """Five texts read together in pieces of any sizes, and the logits of each piece's last token."""
    sequences = [e.open() for _ in LENGTHS]
    got = [np.zeros((n, N_VOCAB), np.float32) for n in LENGTHS]
    while True:
        pieces, where = [], []
        room = e.batch
        for i in rng.permutation(len(LENGTHS)):
            s, left = sequences[i], LENGTHS[i] - sequences[i].n_past
            n = min(int(rng.integers(0, 40)), left, room)
            if n:
                wanted = sorted({0, n - 1})
                pieces.append(Piece(s, text(LENGTHS[i], i)[s.n_past : s.n_past + n], wanted))
                where += [(i, s.n_past + at) for at in wanted]
                room -= n
        if pieces:
            for (i, at), row in zip(where, e.step(pieces).logits, strict=True):
                got[i][at] = row
        if all(s.n_past == n for s, n in zip(sequences, LENGTHS, strict=True)):
            return got


def check(got: Iterable[Floats], want: Iterable[Floats]) -> None:
    for mine, all_ in zip(got, want, strict=True):
        known = mine.any(axis=1)
        assert known[-1] and np.array_equal(mine[known], all_[known])


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_five_sequences_of_different_lengths_in_one_batch_equal_each_alone(alone: list[Floats], threads: int) -> None:
    for seed in range(3):
        check(in_company(engine(threads=threads), np.random.default_rng(seed)), alone)


@pytest.mark.parametrize("isa", usable_isas())
def test_so_they_do_on_every_instruction_set(isa: str) -> None:
    e = engine(isa=isa)
    want = [read(e, e.open(), text(n, i)) for i, n in enumerate(LENGTHS)]
    check(in_company(engine(isa=isa, threads=2), np.random.default_rng(5)), want)


@pytest.mark.parametrize(("type", "kv_type"), [("f16", "f16"), ("q8_0", "f16"), ("q4_0", "f32"), ("q8_0", "q8_0")])
def test_so_they_do_with_other_types(type: str, kv_type: str) -> None:
    e = engine(type, kv_type=kv_type)
    want = [read(e, e.open(), text(n, i)) for i, n in enumerate(LENGTHS)]
    check(in_company(engine(type, kv_type=kv_type, threads=2), np.random.default_rng(6)), want)


def test_pages_scattered_at_random(alone: list[Floats]) -> None:
    e = engine()
    for free in e.memory._free:
        np.random.default_rng(3).shuffle(free)
    check(in_company(e, np.random.default_rng(1)), alone)


def test_a_fork_goes_its_own_way(alone: list[Floats]) -> None:
    e = engine()
    base = text(LENGTHS[0], 0)
    first = e.open()
    read(e, first, base[:150])
    second, third = first.fork(), first.fork()
    other = [*base[:150], *text(100, 9)]
    want = read(fresh := engine(), fresh.open(), other)
    assert np.array_equal(read(e, second, other[150:], 13), want[150:])
    assert np.array_equal(read(e, first, base[150:], 64), alone[0][150:])
    first.close()
    assert np.array_equal(read(e, third, base[150:], 1), alone[0][150:]), "what they shared is still there"


@pytest.mark.parametrize(("n_past", "to"), [(100, 90), (100, 64), (300, 299), (300, 260), (300, 100), (130, 0)])
def test_a_rewind_says_what_is_left_and_the_rest_is_read_again(alone: list[Floats], n_past: int, to: int) -> None:
    e = engine()
    base = text(LENGTHS[0], 0)
    one = e.open()
    read(e, one, base[:n_past])
    known = one.rewind(to)
    assert known == one.n_past and known in (0, to)
    assert np.array_equal(read(e, one, base[known:]), alone[0][known:])


@pytest.mark.parametrize("known", [90, 0])
def test_a_stop_loses_nothing_and_lends_nothing(
    alone: list[Floats], monkeypatch: pytest.MonkeyPatch, known: int
) -> None:
    """A fork after a stopped step goes its own way, and so does who was stopped."""
    e = engine()
    one = e.open()
    base, other = text(LENGTHS[0], 0), text(LENGTHS[4], 4)
    if known:
        read(e, one, base[:known])
    e.one.plan.stop()
    e._runner(90).plan.stop()
    with pytest.raises(GgtuiError, match="stopped"):
        read(e, one, base[known : known + 64])
    assert one.n_past == known
    two = one.fork()
    if not known:
        assert np.array_equal(read(e, two, other), alone[4])
    assert np.array_equal(read(e, one, base[known:]), alone[0][known:])
    one.close()
    two.close()
    assert [e.memory.n_free(g) for g in range(2)] == [group.n_pages for group in e.memory.store.groups]


def test_a_rewind_that_is_stopped_keeps_its_place(alone: list[Floats]) -> None:
    e = engine()
    base = text(LENGTHS[0], 0)
    one = e.open()
    read(e, one, base)
    e._runner(90).plan.stop()
    with pytest.raises(GgtuiError, match="stopped"):
        e.rewind(one, 100)
    assert one.tokens == base[:100] and one.n_past < 100
    assert np.array_equal(read(e, one, base[one.n_past :])[-1], alone[0][-1])


def test_a_step_waits_for_no_reader_but_says_so() -> None:
    e = engine()
    one, caught = e.open(), []

    def step() -> None:
        try:
            e.step([Piece(one, [1])])
        except UsageError as error:
            caught.append(str(error))

    with one.reader:
        thread = threading.Thread(target=step)
        thread.start()
        thread.join()
    assert len(caught) == 1 and "another thread reads tokens" in caught[0] and one.n_past == 0


def test_a_step_that_finds_no_room_ends_no_generation_of_others() -> None:
    e = engine(ctx=128, n_sequences=2)
    one, other = e.open(), e.open()
    read(e, one, text(128))
    e.memory.take(0), e.memory.take(0)
    changes = one.reader.changes, other.reader.changes
    with pytest.raises(ContextFullError):
        e.step([Piece(other, [1])])
    assert (one.reader.changes, other.reader.changes) == changes


def test_steps_that_are_refused_change_nothing() -> None:
    e = engine(ctx=100)
    one, other = e.open(), e.open()
    read(e, one, text(60))
    for pieces, error, words in (
        ([Piece(one, [1]), Piece(one, [2])], UsageError, "a sequence is there twice"),
        ([Piece(one, [1] * 30), Piece(other, [2] * 67)], UsageError, "97 tokens, 2 with logits"),
        ([Piece(one, [1, 2]), Piece(other, [])], UsageError, "no tokens"),
        ([Piece(one, [1], ())], UsageError, "0 with logits"),
        ([Piece(one, [1] * 40, range(40)), Piece(other, [1] * 30, range(30))], UsageError, "70 with logits"),
        ([Piece(one, [1]), Piece(other, [N_VOCAB])], UsageError, f"token {N_VOCAB} is not"),
        ([Piece(one, [1], (1,))], UsageError, "token 1 of 1"),
        ([Piece(one, [1], (0, 0))], UsageError, "1 tokens, 2 with logits"),
        ([Piece(engine().open(), [1])], UsageError, "another engine's"),
        ([Piece(other, [1] * 50), Piece(one, [1] * 41)], ContextFullError, "41 tokens after 60"),
    ):  # fmt: skip
        before = [e.memory.n_free(g) for g in range(2)]
        with pytest.raises(error, match=words):
            e.step(pieces)
        assert (one.n_past, other.n_past) == (60, 0) and [e.memory.n_free(g) for g in range(2)] == before


def test_where_pages_run_out_nothing_is_read() -> None:
    e = engine(ctx=128, n_sequences=2)
    one, other = e.open(), e.open()
    read(e, one, text(128))
    for _ in range(2):
        e.memory.take(0)
    assert one.rewind(108) == 108
    with pytest.raises(ContextFullError, match="all pages"):
        e.step([Piece(one, [1] * 20), Piece(other, [1] * 20)])
    assert (one.n_past, other.n_past) == (108, 0) and e.memory.n_free(0) == 0
    e.step([Piece(one, [1] * 20)])


def test_a_record_tells_all_pieces() -> None:
    e = engine(record="full")
    one, other = e.open(), e.open()
    read(e, one, text(10))
    record = e.step([Piece(one, [1, 2]), Piece(other, [3, 4, 5], (0, 1))]).record
    assert (record.n_past, record.n_tokens, record.n_outputs, record.parts) == (10, 5, 3, ((0, 10, 2), (1, 0, 3)))
    assert record.sizes == {"n_tokens": 5, "n_outputs": 3, "n_kv": 15, "n_read": 15, "n_seen": 11 + 12 + 1 + 2 + 3}
    assert record.kv_bytes == 15 * e.memory.store.bytes_per_token and len(record.records)


@pytest.mark.parametrize("bad", [{"batch": 0}, {"ctx": 0}, {"n_sequences": 0}, {"record": "all"}, {"kv_type": "q8"}])
def test_options_out_of_range(bad: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        engine(**bad)


def test_logits_stay_those_of_the_last_token_read(alone: list[Floats]) -> None:
    """They lie where a run puts its own: of another sequence they are kept, of a run that was stopped they are computed
    again."""
    e = engine()
    one, other = e.open(), e.open()
    assert not len(e.logits_of(one))
    e.read(one, text(LENGTHS[0], 0)[:70])
    first = e.logits_of(one)
    forked = one.fork()
    assert np.array_equal(first, alone[0][69])
    for n in (5, 1, 1):  # the plan of many tokens and that of one
        e.read(other, text(LENGTHS[2], 2)[other.n_past : other.n_past + n])
        assert np.array_equal(e.logits_of(other), alone[2][other.n_past - 1])
        assert np.array_equal(e.logits_of(one), first) and np.array_equal(e.logits_of(forked), first)
    e.read(one, text(LENGTHS[0], 0)[70:71])
    e.step([Piece(one, text(LENGTHS[0], 0)[71:72])])
    assert np.array_equal(e.logits_of(one), alone[0][71]) and np.array_equal(first, alone[0][69])
    e.one.plan.stop()
    with pytest.raises(GgtuiError, match="stopped"):
        e.read(one, text(LENGTHS[0], 0)[72:73])
    assert one.n_past == 72 and np.array_equal(e.logits_of(one), alone[0][71])
    assert one.tokens == text(LENGTHS[0], 0)[:72]
    for _ in range(2):
        e.one.plan.stop()
        with pytest.raises(GgtuiError, match="stopped"):
            e.read(one, text(LENGTHS[0], 0)[72:73]) if one.n_past == 72 and len(one.logits) else e.logits_of(one)
    assert one.tokens == text(LENGTHS[0], 0)[:72] and one.n_past == 71, "the last one is still to be read"
    e.read(one, one.tokens[71:])
    e.rewind(one, 40)
    assert np.array_equal(e.logits_of(one), alone[0][39]) and one.n_past == 40
    e.rewind(one, 0)
    assert not len(e.logits_of(one))
    e.read(one, text(LENGTHS[0], 0)[:72])
    e.close()
    assert np.array_equal(e.logits_of(one), alone[0][71])
