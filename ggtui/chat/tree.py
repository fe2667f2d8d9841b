"""What was said, and all that was said in its place: a tree, of which one path is the conversation."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from ggtui.core.errors import UsageError

T = TypeVar("T")
U = TypeVar("U")


class Tree(Generic[T]):
    """Items, each after another one or a first; nothing that was added is lost. The conversation is the path to the
    `end`. Those with the same item before them are siblings: of them a path has one.

    items   as they were added, so that each comes later than the one it is after
    before  of each which one it is after, FIRST where it is a first
    end     the last one of the conversation, FIRST where it has none
    """

    FIRST = -1

    def __init__(self, items: Iterable[T] = ()) -> None:
        """Each of `items` after the one ahead of it."""
        self.items: list[T] = []
        self.before: list[int] = []
        self.end = self.FIRST
        self._way: dict[int, int] = {}  # of each item which of those after it the conversation went on with last
        for item in items:
            self.add(item)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tree) and self._state == other._state

    __hash__ = None  # type: ignore[assignment]

    @property
    def _state(self) -> tuple[list[T], list[int], int]:
        return self.items, self.before, self.end

    @classmethod
    def of(cls, items: Iterable[T], before: Iterable[int], end: int) -> Tree[T]:
        """One that was kept. Raises ValueError where these are none: each is to be after one that comes ahead of it."""
        tree = cls()
        for item, place in zip(items, before, strict=True):
            if place != tree.end:
                tree._go(place)
            tree.add(item)
        tree._go(end)
        return tree

    def map(self, function: Callable[[T], U]) -> Tree[U]:
        """The same tree of other items."""
        made: Tree[U] = Tree()
        made.items, made.before = [function(item) for item in self.items], list(self.before)
        made.end, made._way = self.end, dict(self._way)
        return made

    def add(self, item: T) -> None:
        """Go on with it from the end."""
        self.before.append(self.end)
        self._way[self.end] = len(self.items)  # up to the end the way is this path already
        self.end = len(self.items)
        self.items.append(item)

    def _go(self, end: int) -> None:
        """End the conversation with this one. Raises ValueError where there is no such one."""
        if not self.FIRST <= end < len(self.items):
            raise ValueError(f"{end} is none of {len(self.items)} items")
        self.end = end
        while end != self.FIRST:
            self._way[self.before[end]] = end
            end = self.before[end]

    @property
    def _path(self) -> list[int]:
        path, at = [], self.end
        while at != self.FIRST:
            path.append(at)
            at = self.before[at]
        return path[::-1]

    @property
    def path(self) -> list[T]:
        """The conversation."""
        return [self.items[n] for n in self._path]

    def siblings(self, after: int) -> list[int]:
        """Those that are after an item."""
        return [n for n, before in enumerate(self.before) if before == after]

    @property
    def places(self) -> list[tuple[int, int]]:
        """Of each item of the conversation the how manyth of how many siblings it is: (2, 3)."""
        groups: dict[int, list[int]] = {}
        for n, before in enumerate(self.before):
            groups.setdefault(before, []).append(n)
        return [((group := groups[self.before[n]]).index(n) + 1, len(group)) for n in self._path]

    def undo(self) -> T:
        """Take the last item back from the conversation, and return it. Raises UsageError without one."""
        if self.end == self.FIRST:
            raise UsageError("there is nothing to take back yet")
        item = self.items[self.end]
        self.end = self.before[self.end]
        return item

    def redo(self) -> T:
        """Bring back what the conversation went on with last, and return it. Raises UsageError without such one."""
        if self.end not in self._way:
            raise UsageError("there is nothing to bring back")
        self.end = self._way[self.end]
        return self.items[self.end]

    def branch(self, by: int) -> None:
        """At the last item that has siblings, go on with the one `by` further, round and round, as far as that went.
        Raises UsageError where no item has any."""
        for n in reversed(self._path):
            group = self.siblings(self.before[n])
            if len(group) > 1:
                self._go(group[(group.index(n) + by) % len(group)])
                while self.end in self._way:
                    self.end = self._way[self.end]
                return
        raise UsageError("there is no other answer to go to; /regen and /edit make one")
