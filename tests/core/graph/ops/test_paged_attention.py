"""Paged attention: the same bits in any company, in any pieces, wherever pages lie, and on any number of threads."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pytest
from every_way import ISAS
from numpy.typing import NDArray

from ggtui import Context, Graph, ops
from ggtui.core.errors import GgtuiError, ShapeError
from ggtui.core.runtime.cases.base import normal

Array = NDArray[Any]
N_HEAD, N_HEAD_KV, D = 6, 2, 40
LENGTHS = (1, 70, 300, 64, 600)


class Read(NamedTuple):
    """Tokens `first` to `end` - 1 of a sequence are read."""

    sequence: int
    first: int
    end: int


class Sequences:
    """Queries, keys and values of some texts, and pages for them, scattered at random over a store full of NaN."""

    def __init__(self, lengths: Sequence[int], seed: int = 0, type: str = "f16") -> None:
        rng = np.random.default_rng(seed)
        self.q, self.k, self.v = (
            [
                normal(np.random.default_rng(zlib.crc32(f"{i} {n} {h}".encode())), (h, n, D))
                for i, n in enumerate(lengths)
            ]
            for h in (N_HEAD, N_HEAD_KV, N_HEAD_KV + 100)
        )
        self.v = [v[:N_HEAD_KV] for v in self.v]
        counts = [-(-n // ops.PAGE) for n in lengths]
        n_pages = sum(counts) + 5
        free = iter(rng.permutation(n_pages).tolist())
        self.table = np.full((len(lengths), max(counts)), -1, np.int32)
        k = np.full((N_HEAD_KV, n_pages * ops.PAGE, D), np.nan, np.float32)
        v = k.copy()
        for row, n in enumerate(lengths):
            self.table[row, : counts[row]] = [next(free) for _ in range(counts[row])]
            at = self.table[row, np.arange(n) // ops.PAGE] * ops.PAGE + np.arange(n) % ops.PAGE
            k[:, at], v[:, at] = self.k[row], self.v[row]
        self.context = Context()
        self.stored_k = self.context.tensor(k, type=type, packed=True)
        self.stored_v = self.context.tensor(v, type=type)

    def attend(
        self, reads: Sequence[Read], *, window: int = 1 << 30, threads: int = 2, isa: str | None = None
    ) -> Array:
        """(tokens, heads, d) of all that is read, in one batch."""
        q = np.concatenate([self.q[r.sequence][:, r.first : r.end] for r in reads], axis=1)
        tokens = [(r.sequence, max(p + 1 - window, 0), p + 1) for r in reads for p in range(r.first, r.end)]
        c = self.context
        numbers = [c.tensor(np.array(a, np.int32), type="i32") for a in (tokens, self.table)]
        y = ops.paged_attention(c.tensor(q), self.stored_k, self.stored_v, *numbers, scale=0.2)
        g = Graph()
        g.build_forward_expand(y)
        g.compute(threads=threads, isa=isa)
        return y.numpy()


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("window", [1 << 30, 100])
def test_sequences_in_one_batch_are_each_as_alone(isa: str, window: int) -> None:
    s = Sequences(LENGTHS)
    whole = [s.attend([Read(i, 0, n)], window=window, threads=1, isa=isa) for i, n in enumerate(LENGTHS)]
    assert all(np.isfinite(y).all() for y in whole)
    last = [Read(i, n - 1, n) for i, n in enumerate(LENGTHS)]
    mixed = [Read(4, 0, 599), *last[:4], Read(1, 3, 50), last[4]]
    for reads in (last, mixed, [Read(2, at, at + 1) for at in (0, 63, 64, 255, 256, 257, 299)]):
        want = np.concatenate([whole[r.sequence][r.first : r.end] for r in reads])
        for threads in (1, 2, 3):
            assert np.array_equal(s.attend(reads, window=window, threads=threads, isa=isa), want), reads


@pytest.mark.parametrize("isa", ISAS)
def test_pieces_of_a_text_give_what_the_whole_gives(isa: str) -> None:
    s = Sequences([600])
    whole = s.attend([Read(0, 0, 600)], isa=isa)
    for step in (1, 7, 48, 49, 256):
        firsts = range(0, 600, step) if step > 1 else range(500, 600)
        pieces = [s.attend([Read(0, at, min(at + step, 600))], isa=isa) for at in firsts]
        assert np.array_equal(np.concatenate(pieces), whole[firsts[0] :]), step


@pytest.mark.parametrize("type", ["f32", "f16"])
def test_where_pages_lie_does_not_matter(type: str) -> None:
    reads = [Read(i, n // 2, n) for i, n in enumerate(LENGTHS)]
    first, second = (Sequences(LENGTHS, seed, type).attend(reads) for seed in (1, 2))
    assert np.array_equal(first, second)


def test_a_prefix_may_be_shared() -> None:
    """Two rows of the table with the same pages, but for the last."""
    s = Sequences([200, 200])
    s.table[1, :2] = s.table[0, :2]
    alone = s.attend([Read(0, 199, 200)])
    s.q[1] = s.q[0]
    together = s.attend([Read(0, 199, 200), Read(1, 199, 200)])
    assert np.array_equal(together[:1], alone) and not np.array_equal(together[1], together[0])


def test_what_is_stored_in_the_same_run_is_seen() -> None:
    """Where threads have as many heads each there is no barrier in between."""
    s = Sequences([130])
    want = s.attend([Read(0, 129, 130)])
    c, at = s.context, int(s.table[0, 2]) * ops.PAGE + 1
    slots = c.tensor(np.array([at], np.int32), type="i32")
    tokens = c.tensor(np.array([[0, 0, 130]], np.int32), type="i32")
    pages = c.tensor(s.table, type="i32")
    k, v = (ops.scale(c.tensor(part[0][:, 129:130]), 1.0) for part in (s.k, s.v))
    for threads in (1, 2, 3):
        for stored in (s.stored_k, s.stored_v):
            values = stored.numpy().copy()
            values[:, at] = np.nan
            stored.set(values)
        stored_k, stored_v = ops.set_rows(s.stored_k, k, slots), ops.set_rows(s.stored_v, v, slots)
        y = ops.paged_attention(c.tensor(s.q[0][:, 129:130]), stored_k, stored_v, tokens, pages, scale=0.2)
        g = Graph()
        g.build_forward_expand(y)
        g.compute(threads=threads)
        assert np.array_equal(y.numpy(), want)


@pytest.mark.parametrize(
    ("tokens", "table", "said"),
    [
        ([[1, 0, 5]], [[0, 1]], "token 0 sees positions 0 to 5 of row 1; the table has 1 rows of 2 pages"),
        ([[0, 0, 129]], [[0, 1]], "token 0 sees positions 0 to 129 of row 0"),
        ([[0, 5, 4]], [[0, 1]], "token 0 sees positions 5 to 4"),
        ([[0, -1, 4]], [[0, 1]], "token 0 sees positions -1 to 4"),
        ([[0, 0, 70]], [[0, 2]], "page 1 of row 0 is 2 of 2"),
        ([[0, 0, 70]], [[0, -1]], "page 1 of row 0 is -1 of 2"),
    ],
)
def test_what_there_is_not_is_refused(tokens: list[list[int]], table: list[list[int]], said: str) -> None:
    c = Context()
    k = c.tensor(np.zeros((1, 128, 8), np.float32), packed=True)
    v = c.tensor(np.zeros((1, 128, 8), np.float32))
    numbers = [c.tensor(np.array(a, np.int32), type="i32") for a in (tokens, table)]
    g = Graph()
    g.build_forward_expand(ops.paged_attention(c.tensor(np.zeros((1, 1, 8), np.float32)), k, v, *numbers))
    with pytest.raises(GgtuiError, match=said):
        g.compute(threads=2)
    with pytest.raises(GgtuiError, match=said.partition(";")[0] if "token" in said else "has a page that there is not"):
        g.compute(device="reference")


def test_shapes_that_do_not_fit_are_refused() -> None:
    c = Context()
    q, k, v = (c.new_tensor("f32", ne) for ne in ((8, 1, 4), (8, 128, 2), (8, 128, 2)))
    tokens, pages = c.new_tensor("i32", (3, 1)), c.new_tensor("i32", (2, 1))
    good = {"q": q, "k": k, "v": v, "tokens": tokens, "pages": pages}
    assert ops.paged_attention(**good).ne == (8, 4, 1, 1)
    for name, ne, type, said in (
        ("k", (8, 100, 2), "f32", "differ in number"),
        ("k", (7, 128, 2), "f32", "differ in length"),
        ("k", (8, 128, 2), "f16", "both be f32, f16 or q8_0"),
        ("q", (8, 1, 3), "f32", "heads don't fit"),
        ("tokens", (2, 1), "i32", "3 numbers for each token"),
        ("tokens", (3, 2), "i32", "3 numbers for each token"),
        ("pages", (2, 1), "f32", "a table of i32 pages"),
        ("sinks", (3,), "f32", "a sink for each head"),
    ):
        with pytest.raises(ShapeError, match=f"paged_attention: .*{said}"):
            ops.paged_attention(**good | {name: c.new_tensor(type, ne)})
    odd = {name: c.new_tensor("f32", (8, 100, 2)) for name in ("k", "v")}
    with pytest.raises(ShapeError, match="whole pages of 64"):
        ops.paged_attention(**good | odd)
