"""Gradients: one walk from a loss back to what it depends on, by the rule of each op.

The nodes of the walk are ordinary ones. What comes back through a node is called as that node is, with ":grad" behind
it, and so it stands in the same layer of traces and drawings; the whole gradient of a tensor that was asked for has
that tensor's name, unless it is another's, unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

from ggtui.core.errors import ShapeError
from ggtui.core.graph import ops
from ggtui.core.graph.dag import topological
from ggtui.core.graph.dim import Dim
from ggtui.core.graph.ops.backward import BACKWARD, Contribution
from ggtui.core.graph.tensor import Tensor, describe
from ggtui.core.graph.types import TYPES

Group = Callable[[Tensor], Hashable | None]


def gradients(loss: Tensor, wrt: Sequence[Tensor], again: Group | None = None) -> list[Tensor]:
    """Of each tensor of `wrt` the gradient of `loss`, one f32: f32 tensors of their sizes, zeros where the loss does
    not depend on it.

    `again` names the group of a tensor of the graph, such as its layer, or None: what the way back needs of a group is
    computed again when it comes there (Chen et al. 2016), so that in between only what groups hand to each other takes
    memory. The bits stay the same.

    Raises ShapeError for a loss that is not one f32, sizes that vary from run to run, and for what has no gradient: an
    op without a rule, one that writes over its sources, or a source that nothing comes back to, between the loss and a
    tensor of `wrt`.
    """
    if loss.type is not TYPES["f32"] or loss.n_elements != 1:
        raise ShapeError(f"gradients: the loss must be one f32; given {describe(loss)}")
    leaves = set(wrt)
    forward = list(topological([loss]))
    order = _between(forward, leaves)
    walk = _Walk(leaves, forward, None if again is None else _Again(again))
    if loss in order:
        walk.add(loss, loss, ops.fill(loss, 1.0))
    for t in reversed(order):
        if any(s in order for s in _reads(t)):
            walk.back(t, order)
    return [_like(walk.total(t) or _named(ops.fill(t, 0.0), f"{label(t)}:grad"), t) for t in wrt]


def _between(forward: list[Tensor], leaves: set[Tensor]) -> dict[Tensor, None]:
    """The leaves and what depends on them, in the order of the graph."""
    found: dict[Tensor, None] = {}
    for t in forward:
        if t in leaves or any(s in found for s in _reads(t)):
            if any(isinstance(n, Dim) for n in t.ne):
                raise ShapeError(f"gradients: sizes vary from run to run; given {describe(t)}")
            found[t] = None
    return found


def _like(g: Tensor, t: Tensor) -> Tensor:
    """With as many dimensions as `t`: ops may have added some of size 1."""
    return g if g.n_dims == t.n_dims else _named(ops.view(g, g.ne[: t.n_dims], g.nb[1 : t.n_dims]), g.name)


def _reads(t: Tensor) -> list[Tensor]:
    """What a tensor is made of: its sources, and what was in the memory that it is written to."""
    return [s for s in (*t.src, t.view_of) if s is not None]


def _named(t: Tensor, name: str) -> Tensor:
    t.name = name
    return t


class _Walk:
    """The gradients so far. Each is the sum of what came back to a tensor, in the order in which it did."""

    def __init__(self, leaves: set[Tensor], forward: list[Tensor], again: _Again | None) -> None:
        self._leaves, self._again = leaves, again
        self._forward = set(forward)
        self._sums: dict[Tensor, Tensor] = {}
        self._own: set[Tensor] = set()  # sums in memory that nothing else looks at: more can be added there

    def total(self, t: Tensor) -> Tensor | None:
        return self._sums.get(t)

    def back(self, t: Tensor, order: dict[Tensor, None]) -> None:
        """Through the op that made `t`."""
        g = self._sums.get(t) if t in self._leaves else self._sums.pop(t, None)
        if g is None:
            return
        self._own.discard(g)  # from here on the sums of sources look at it
        rule = BACKWARD.get(t.op)
        if rule is None:
            raise ShapeError(f"gradients: {t.op} has no gradient; given {describe(t)}")
        if t.view_src is not None and ops.OPS[t.op].moves_data:
            raise ShapeError(f"gradients: {t.op} writes over what it reads; build it without inplace: {describe(t)}")
        contributions = rule(t if self._again is None else self._again.of(t, g), g)
        for s, contribution in zip(t.src, contributions, strict=False):
            if s is None or s not in order:
                continue
            if contribution is not None:
                self.add(s, t, contribution, shared=contribution is g or contributions.count(contribution) > 1)
            elif s.type is not TYPES["i32"]:  # what indices are made of has no slope
                raise ShapeError(f"gradients: {t.op} has none of this source: {describe(s)}")

    def add(self, s: Tensor, through: Tensor, contribution: Contribution, *, shared: bool = False) -> None:
        """Add what came back to `s` through a node; `shared`: other sums look at its memory too."""
        name = f"{label(s if s in self._leaves else through)}:grad"
        before = self._sums.get(s)
        if isinstance(contribution, Tensor):
            mine = contribution.view_src is None and not shared
            self._name_new(contribution, name)
            if before is not None:
                contribution, mine = _named(ops.add(before, contribution), name), True
            self._set(s, contribution, own=mine)
            return
        assert contribution is not None
        if before is not None and before in self._own:
            self._set(s, _named(contribution(before), name), own=True)
            return
        place = _named(ops.fill(s, 0.0), name)
        added = _named(contribution(place), name)
        self._set(s, added if before is None else _named(ops.add(before, added), name), own=True)

    def _set(self, s: Tensor, g: Tensor, *, own: bool) -> None:
        self._sums[s] = g
        if own:
            self._own.add(g)

    def _name_new(self, t: Tensor, name: str) -> None:
        """Call a tensor, and those that a rule made it of, so."""
        waiting = [t]
        while waiting:
            t = waiting.pop()
            if not t.name and t not in self._forward:
                t.name = name
                waiting.extend(s for s in t.src if s is not None)


class _Again:
    """Tensors computed again, by the group that they are in."""

    def __init__(self, group: Group) -> None:
        self._group = group
        self._made: dict[Tensor, Tensor] = {}
        self._inputs: dict[tuple[Hashable, Tensor], Tensor] = {}
        self._began: dict[Hashable, Tensor] = {}  # the gradient with which the way back came to a group

    def of(self, t: Tensor, g: Tensor) -> Tensor:
        """What stands for `t`, to which the gradient `g` has come back."""
        group = self._group(t)
        if group is None:
            return t
        self._began.setdefault(group, g)
        return self._again(t, group)

    def _again(self, t: Tensor, group: Hashable) -> Tensor:
        waiting = [t]
        while waiting:
            t = waiting[-1]
            sources = [s for s in (*t.src, t.view_of) if s is not None]
            missing = [s for s in sources if self._inside(s, group) and s not in self._made]
            if missing:
                waiting.extend(missing)
                continue
            waiting.pop()
            if t not in self._made:
                self._made[t] = self._copy(t, group)
        return self._made[t]

    def _inside(self, t: Tensor, group: Hashable) -> bool:
        return t.op != "none" and self._group(t) == group

    def _source(self, s: Tensor, group: Hashable) -> Tensor:
        """A source of a tensor of the group. What other groups hand to it is copied once the way back is there, and
        only then can what is computed of it be; what is simply there, or has gaps, stays what it is."""
        if self._inside(s, group):
            return self._made[s]
        if s.root.op == "none" or s.type is not TYPES["f32"] or not s.is_contiguous:
            return s
        key = (group, s)
        if key not in self._inputs:
            self._inputs[key] = _named(ops.after(s, self._began[group]), f"{label(s)}:again")
        return self._inputs[key]

    def _copy(self, t: Tensor, group: Hashable) -> Tensor:
        view_of = None if t.view_of is None else self._source(t.view_of, group)
        offset = t.view_offs - (t.view_of.view_offs if t.view_of is not None else 0)
        return Tensor.of_op(
            t.op, t.type, t.ne, [None if s is None else self._source(s, group) for s in t.src], op_params=t.op_params,
            nb=t.nb, view_src=view_of, view_offs=offset, n_dims=t.n_dims, function=t.function,
            name=f"{label(t)}:again",
        )  # fmt: skip


def label(t: Tensor) -> str:
    """Its name; of a view without one that of what it looks at."""
    while not t.name and t.view_of is not None:
        t = t.view_of
    return t.name or t.op
