"""Turns as a tree, here of letters."""

from __future__ import annotations

import pickle
import random

import pytest

from ggtui.chat.tree import Tree
from ggtui.core.errors import UsageError


def said(tree: Tree[str]) -> str:
    return "".join(tree.path)


def forked() -> Tree[str]:
    """a b c, then B in place of b, then D and E after it, E in place of D."""
    tree = Tree("abc")
    tree.undo()
    tree.undo()
    for item in "BD":
        tree.add(item)
    tree.undo()
    tree.add("E")
    return tree


def test_what_is_said_instead_leaves_the_other_there() -> None:
    tree = forked()
    assert said(tree) == "aBE" and "".join(tree.items) == "abcBDE"
    assert tree.places == [(1, 1), (2, 2), (2, 2)]
    assert tree.siblings(0) == [1, 3]


def test_every_turn_can_be_reached_from_every_other() -> None:
    """By the ways a person has: undo and redo, up and down, and to the sides at the last fork."""
    start = forked()
    ways = (Tree.undo, Tree.redo, lambda tree: tree.branch(1), lambda tree: tree.branch(-1))
    seen = {said(start)}
    todo = [start]
    while todo:
        tree = todo.pop()
        for way in ways:
            other = tree.map(str)
            try:
                way(other)
            except UsageError:
                continue
            if said(other) not in seen:
                seen.add(said(other))
                todo.append(other)
    assert seen == {"", "a", "ab", "abc", "aB", "aBD", "aBE"}


def test_to_the_sides_it_goes_as_far_as_it_went() -> None:
    tree = forked()
    tree.branch(-1)
    assert said(tree) == "aBD"
    tree.branch(1)
    assert said(tree) == "aBE", "round and round"
    tree.undo()
    tree.branch(-1)
    assert said(tree) == "abc" and tree.places == [(1, 1), (1, 2), (1, 1)]
    tree.branch(1)
    assert said(tree) == "aBE"


def test_redo_goes_back_down_to_what_was_left_last() -> None:
    tree = forked()
    tree.branch(1)
    while tree.path:
        tree.undo()
    for expected in ("a", "aB", "aBD"):
        tree.redo()
        assert said(tree) == expected


@pytest.mark.parametrize(
    ("act", "problem"),
    [
        (Tree.undo, "there is nothing to take back yet"),
        (Tree.redo, "there is nothing to bring back"),
        (lambda tree: tree.branch(1), "there is no other answer to go to; /regen and /edit make one"),
    ],
)
def test_where_there_is_nothing_it_says_so(act, problem: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UsageError, match=f"^{problem}$"):
        act(Tree())


def test_a_kept_tree_is_the_same_again() -> None:
    tree = forked()
    again = Tree.of(tree.items, tree.before, tree.end)
    assert again == tree and again.places == tree.places
    tree.undo()
    assert again != tree
    assert Tree.of(tree.items, tree.before, tree.end) == tree == pickle.loads(pickle.dumps(tree)) == tree.map(str)


@pytest.mark.parametrize(("before", "end"), [([0, 0], 1), ([-1, 1], 1), ([-2, 0], 1), ([-1, 0], 2), ([-1], 0)])
def test_what_is_no_tree_is_refused(before: list[int], end: int) -> None:
    with pytest.raises(ValueError):
        Tree.of("ab", before, end)


def test_a_long_conversation_is_as_quick_as_a_short_one_is_deep() -> None:
    """No way through it is recursive."""
    tree = Tree(range(20_000))
    assert pickle.loads(pickle.dumps(tree)) == tree and len(tree.path) == len(tree.places) == 20_000
    tree.undo()
    tree.add(-1)
    tree.branch(1)
    assert tree.path[-1] == 19_999


def test_whatever_is_done_nothing_is_lost() -> None:
    chance = random.Random(1)
    tree: Tree[int] = Tree()
    for n in range(300):
        try:
            match chance.randrange(4):
                case 0:
                    tree.add(n)
                case 1:
                    tree.undo()
                case 2:
                    tree.redo()
                case _:
                    tree.branch(chance.choice((-1, 1)))
        except UsageError:
            tree.add(n)
        assert all(before < item for item, before in enumerate(tree.before))
        assert tree.path == [tree.items[i] for i in sorted(map(tree.items.index, tree.path))]
    assert len(tree.items) == len(set(tree.items)) > 100
