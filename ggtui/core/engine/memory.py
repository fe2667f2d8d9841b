"""What sequences remember: which pages of a store hold the keys and values of which tokens.

A page belongs to as many sequences as it has references: a fork shares all pages, and whoever writes to a shared one
gets a copy of its own first. The page tables are what paged attention reads: a row for each sequence.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence as Seq
from itertools import count

import numpy as np
from numpy.typing import NDArray

from ggtui.core.engine.locks import ForkedLock, OneReader
from ggtui.core.errors import ContextFullError, UsageError
from ggtui.core.graph.ops import PAGE
from ggtui.core.models.base import values
from ggtui.core.models.store import KeysValues, Store
from ggtui.core.runtime.device import Device

Spans = tuple[tuple[int, int], ...]  # of each group the first page, and behind the last
UNKNOWN: NDArray[np.float32] = np.empty(0, np.float32)  # logits


class Memory:
    """The pages of n_sequences sequences of up to n_ctx tokens each.

    tables  of each of the store's groups: i32 (pages of n_ctx tokens, n_sequences)
    """

    def __init__(
        self, layers: Seq[KeysValues], n_ctx: int, type: str, device: Device, *, batch: int, n_sequences: int = 1
    ) -> None:
        self.n_ctx, self.n_sequences, self.closed = n_ctx, n_sequences, False
        self.store = Store(layers, n_ctx, type, device, batch=batch, n_sequences=n_sequences)
        context, ne = device.context(), (-(-n_ctx // PAGE), n_sequences)
        self.tables = [context.new_tensor("i32", ne, "pages") for _ in self.store.groups]
        self.rows = [values(table).reshape(n_sequences, -1) for table in self.tables]
        self.lock = ForkedLock()  # held while pages change hands; sequences of several threads share them
        self._numbers = count()
        self.dropped: deque[tuple[int, Spans]] = deque()  # rows and pages of sequences that nobody holds any more
        self._free_rows = list(reversed(range(n_sequences)))
        self._free = [list(reversed(range(group.n_pages))) for group in self.store.groups]
        self._references = [np.zeros(group.n_pages, np.int32) for group in self.store.groups]

    def open(self) -> Sequence:
        """An empty sequence. Raises UsageError where there are n_sequences already."""
        with self.lock:
            self.take_back_dropped()
            if not self._free_rows:
                raise UsageError(f"there are {self.n_sequences} sequences already; close one, or ask for room for more")
            return Sequence(self, self._free_rows.pop(), next(self._numbers))

    def take_back(self, row: int, spans: Spans) -> None:
        """The row and the pages of a sequence that has ended."""
        for group, (first, end) in enumerate(spans):
            if first < end:
                self.drop(group, self.rows[group][row, first:end])
        self._free_rows.append(row)

    def take_back_dropped(self) -> None:
        """With the lock, while no page is changing hands."""
        while self.dropped:
            self.take_back(*self.dropped.popleft())

    def close(self) -> None:
        """Give back all pages; none of its sequences can go on."""
        with self.lock:
            if not self.closed:
                self.closed = True
                del self.store, self.tables, self.rows

    def expect(self, n_tokens: int) -> None:
        """To be called before a sequence gets so many tokens in several steps: where nobody has a page yet, the memory
        for a large prompt is made in larger pages of the system's."""
        with self.lock:
            if not any(references.any() for references in self._references):
                self.store.expect(n_tokens)

    def n_free(self, group: int) -> int:
        """Pages that nobody has."""
        return len(self._free[group])

    def check_free(self, group: int, n: int) -> None:
        """Raise ContextFullError where there are fewer."""
        if n > len(self._free[group]):
            raise ContextFullError("all pages of keys and values are in use; close a sequence or ask for room for more")

    def take(self, group: int) -> int:
        """A page of nobody's; there must be one."""
        page = self._free[group].pop()
        self._references[group][page] = 1
        return page

    def is_shared(self, group: int, at: int, row: int) -> bool:
        """Whether others have the page at index `at` of a row of the table."""
        return bool(self._references[group][self.rows[group][row, at]] > 1)

    def share(self, group: int, pages: NDArray[np.int32]) -> None:
        """One more sequence has these."""
        self._references[group][pages] += 1

    def drop(self, group: int, pages: NDArray[np.int32]) -> None:
        """One sequence less has these."""
        self._references[group][pages] -= 1
        unused = [int(page) for page in pages if not self._references[group][page]]
        self._free[group] += reversed(unused)  # so that they are taken again in their order

    def own(self, group: int, page: int) -> int:
        """A copy of a page that others have too, in its place."""
        copy = self.take(group)
        self.store.copy_page(group, page, copy)
        self._references[group][page] -= 1
        return copy


class Sequence:
    """Tokens, read one after the other.

    tokens  those that were read, n_past of them, and after them those chosen that are still to be read
    row     of the page tables; number: counts the sequences as they were opened
    reader  to be held by who reads or forgets tokens
    logits  of the last token read, float32 (n_vocab,), as they lie where they were computed; UNKNOWN before there is
            one, of a fork, after a rewind, and where the step after it was stopped. Engine.logits_of knows them always
    first   of each group the first page that is still held; those before it lay outside of the window
    """

    def __init__(self, memory: Memory, row: int, number: int) -> None:
        self.memory, self.row, self.number = memory, row, number
        self.reader = OneReader()
        self.tokens: list[int] = []
        self.n_past = 0
        self.logits = UNKNOWN
        self.first = [0] * len(memory.tables)
        self._end = [0] * len(memory.tables)  # of each group, behind its last page
        self._room = 0  # it has pages of its own for tokens up to here

    def pages(self, group: int) -> NDArray[np.int32]:
        """The numbers of the pages it holds, in order."""
        return self.memory.rows[group][self.row, self.first[group] : self._end[group]]

    def make_room(self, n_tokens: int) -> None:
        """Pages of its own for so many tokens more. Raises ContextFullError where there are none, or n_ctx is passed,
        UsageError for a closed sequence; then it has those it had."""
        if self.n_past + n_tokens <= self._room:
            return
        memory, at, end = self.memory, self.n_past // PAGE, pages_for(self.n_past + n_tokens)
        if self.n_past + n_tokens > memory.n_ctx:
            raise ContextFullError(f"{n_tokens} tokens after {self.n_past} don't fit into {memory.n_ctx}")
        with memory.lock:
            memory.take_back_dropped()
            self.check_open()
            for group in range(len(self._end)):
                memory.check_free(group, max(0, end - self._end[group]) + self._is_shared(group, at))
            for group, rows in enumerate(memory.rows):
                row = rows[self.row]
                if self._is_shared(group, at):
                    row[at] = memory.own(group, int(row[at]))
                while self._end[group] < end:
                    row[self._end[group]] = memory.take(group)
                    self._end[group] += 1
            self._room = min(end * PAGE, memory.n_ctx)

    def give_room_back(self) -> None:
        """Let go of pages that were taken for tokens which were not read then."""
        with self.memory.lock:
            if self.row >= 0 and not self.memory.closed:
                self._cut(pages_for(self.n_past))

    def add(self, tokens: Seq[int] | NDArray[np.int64]) -> None:
        """They were read: they take the place of what was still to be. Pages outside of the windows of the last one and
        of those to come are given back."""
        with self.memory.lock:
            self.check_open()
            self.reader.changes += 1
            self.tokens[self.n_past :] = map(int, tokens)
            self.n_past += len(tokens)
            for group, told in enumerate(self.memory.store.groups):
                if told.window:
                    first = min(max(0, self.n_past - told.window) // PAGE, self._end[group])
                    self._drop(group, self.first[group], first)
                    self.first[group] = max(first, self.first[group])

    def rewind(self, n_tokens: int) -> int:
        """Forget the keys and values after the first n_tokens. Returns of how many of these it still has them: of all,
        or where a window has passed what the next token would see, of none. `tokens` stays as it is."""
        with self.memory.lock:
            self.check_open()
            if not 0 <= n_tokens <= self.n_past:
                raise UsageError(f"rewind: {n_tokens} is not 0 to {self.n_past}")
            self.reader.changes += 1
            for group, told in enumerate(self.memory.store.groups):
                if told.window and self.first[group] * PAGE > max(0, n_tokens - told.window + 1):
                    n_tokens = 0
            if n_tokens < self.n_past:
                self.logits = UNKNOWN
            self.n_past = n_tokens
            self._cut(pages_for(n_tokens))
            return n_tokens

    def fork(self) -> Sequence:
        """Another sequence of the same tokens, which shares the pages of what was read. Raises UsageError as `open`
        does, and for a closed sequence."""
        with self.memory.lock:
            self.check_open()
            other, self._room = self.memory.open(), 0
            other.tokens, other.n_past = self.tokens.copy(), self.n_past
            other.first = self.first.copy()
            other._end = [min(end, pages_for(self.n_past)) for end in self._end]
            for group, rows in enumerate(self.memory.rows):
                rows[other.row] = rows[self.row]
                self.memory.share(group, other.pages(group))
            return other

    def close(self) -> None:
        """Give back its pages and its row; it may be called twice."""
        with self.memory.lock:
            if self.row >= 0 and not self.memory.closed:
                self.reader.changes += 1
                self.memory.take_back(self.row, self._spans())
            self.row = -1

    def close_later(self) -> None:
        """The same from a destructor, which may run in the midst of anything, and with the lock held: what is given
        back is taken when others need it."""
        row, self.row = self.row, -1
        if row >= 0 and not self.memory.closed:
            self.memory.dropped.append((row, self._spans()))

    def _spans(self) -> Spans:
        return tuple(zip(self.first, self._end, strict=True))

    def check_open(self) -> None:
        """Raise UsageError for a closed one."""
        if self.row < 0 or self.memory.closed:
            raise UsageError("the sequence is closed; open another one")

    def _is_shared(self, group: int, page: int) -> bool:
        """Whether it holds the page, and others do so too."""
        return self.first[group] <= page < self._end[group] and self.memory.is_shared(group, page, self.row)

    def _cut(self, end: int) -> None:
        """Give back the pages from index `end` on."""
        self._room = 0
        for group in range(len(self._end)):
            self._drop(group, max(end, self.first[group]), self._end[group])
            self._end[group] = min(end, self._end[group])
            self.first[group] = min(self.first[group], end)

    def _drop(self, group: int, first: int, end: int) -> None:
        if first < end:
            self.memory.drop(group, self.memory.rows[group][self.row, first:end])


def pages_for(n_tokens: int) -> int:
    return -(-n_tokens // PAGE)
