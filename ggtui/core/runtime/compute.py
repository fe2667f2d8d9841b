"""Where graphs run: the table of backends, and the graph that a user computes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from ggtui.core.errors import MissingPartError, UsageError
from ggtui.core.graph.dag import Dag, Node, format_node, topological
from ggtui.core.graph.ops import OPS
from ggtui.core.graph.tensor import Tensor
from ggtui.core.runtime.cpu.passes import run_passes
from ggtui.core.runtime.cpu.plan import Plan, Pool

# What a backend must offer: a Dag that went through the passes, and options, in; something with Plan's methods out.
BACKENDS: dict[str, Callable[..., Plan]] = {"cpu": Plan}
PLANNED = ("vulkan",)


def backend(name: str) -> Callable[..., Plan]:
    """The backend called `name`. Raises UsageError for an unknown one, MissingPartError for one not built yet."""
    if name in BACKENDS:
        return BACKENDS[name]
    if name in PLANNED:
        raise MissingPartError(f"backend {name}: this ggtui has none; use --backend cpu")
    raise UsageError(f"backend {name!r}: choose one of {', '.join(BACKENDS)}")


@lru_cache(maxsize=8)
def shared_pool(threads: int) -> Pool:
    """The pool that graphs computed by hand share."""
    return Pool(threads)


class Graph:
    """Results to compute, and the ops that lead to them.

    >>> g = Graph(); g.build_forward_expand(c); g.compute(threads=2); c.numpy()
    """

    def __init__(self) -> None:
        self._outputs: list[Tensor] = []
        self._kept: set[Tensor] = set()
        self._plans: dict[Any, Plan] = {}

    def build_forward_expand(self, t: Tensor) -> None:
        """Ask for `t`: it and all it depends on will be computed, after what was asked for before."""
        if t not in self._outputs:
            self._outputs.append(t)
            self._plans.clear()

    def keep(self, t: Tensor) -> None:
        """Keep the memory of an intermediate, so that `t.numpy()` works after a run."""
        self._kept.add(t)
        self._plans.clear()

    def dag(self) -> Dag:
        """The nodes as they were written down, in an order in which they can run."""
        nodes = [
            Node(t, t.op, t.src, t.op_params)
            for t in topological(self._outputs)
            if t.op != "none" and OPS[t.op].moves_data
        ]
        return Dag(nodes, list(self._outputs), set(self._kept))

    def plan(
        self, *, isa: str | None = None, fused: bool = True, backend_name: str = "cpu", threads: int | None = None
    ) -> Plan:
        """The graph made ready to run; the same one when asked again. Any number of threads can run it; `threads` says
        for how many it is to be fast."""
        key = (isa, fused, backend_name, threads)
        if key not in self._plans:
            dag = run_passes(self.dag(), fused=fused, threads=threads)
            self._plans[key] = backend(backend_name)(dag, isa)
        return self._plans[key]

    def compute(
        self,
        threads: int = 1,
        values: Mapping[str, int] | None = None,
        *,
        isa: str | None = None,
        fused: bool = True,
    ) -> None:
        """Compute everything asked for, with `values` for the run-time sizes. Results: `t.numpy()`.

        The result is the same to the bit for any number of threads. Raises UsageError for threads below 1.
        """
        plan = self.plan(isa=isa, fused=fused)
        plan.use_huge_pages()
        plan.show()
        plan.run(shared_pool(threads), values)

    def format(self, *, fused: bool = False) -> str:
        """The graph as text, a node a line; `fused` shows it as it runs."""
        dag = run_passes(self.dag()) if fused else self.dag()
        return "\n".join(format_node(i, node) for i, node in enumerate(dag.nodes))

    def print(self, *, fused: bool = False) -> None:
        """Print `format()` to stdout."""
        print(self.format(fused=fused))
