"""The graph that a user computes."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import ggtui.core.runtime.cpu.device  # noqa: F401  not at the first run: in a fork() by then, its lock would stay held
from ggtui.core.graph.dag import Dag, format_node
from ggtui.core.graph.grad import gradients
from ggtui.core.graph.tensor import Tensor
from ggtui.core.runtime.device import Executable
from ggtui.core.runtime.several import device


@lru_cache(maxsize=8)
def _pool(device_name: str, threads: int, process: int) -> Any:
    return device(device_name).pool(threads)


def shared_pool(device_name: str, threads: int) -> Any:
    """The threads that graphs computed by hand share in this process."""
    return _pool(device_name, threads, os.getpid())


class Graph:
    """Results to compute, and the ops that lead to them.

    >>> g = Graph(); g.build_forward_expand(c); g.compute(threads=2); c.numpy()
    """

    def __init__(self) -> None:
        self._outputs: list[Tensor] = []
        self._kept: set[Tensor] = set()
        self._plans: dict[Any, Executable] = {}

    def build_forward_expand(self, t: Tensor) -> None:
        """Ask for `t`: it and all it depends on will be computed, after what was asked for before."""
        if t not in self._outputs:
            self._outputs.append(t)
            self._plans.clear()

    def build_backward_expand(self, loss: Tensor, wrt: Sequence[Tensor]) -> list[Tensor]:
        """Ask for `loss`, one f32, and its gradients with respect to the tensors of `wrt`: f32 in their sizes, in that
        order. Raises ShapeError for what has none, see graph/grad.py."""
        made = gradients(loss, wrt)
        for t in (loss, *made):
            self.build_forward_expand(t)
        return made

    def keep(self, t: Tensor) -> None:
        """Keep the memory of an intermediate, so that `t.numpy()` works after a run."""
        self._kept.add(t)
        self._plans.clear()

    def dag(self) -> Dag:
        """The nodes as they were written down, in an order in which they can run."""
        return Dag.of(self._outputs, self._kept)

    def plan(self, *, isa: str | None = None, fused: bool = True, device_name: str = "cpu") -> Executable:
        """The graph made ready to run on a device; the same one when asked again."""
        key = (isa, fused, device_name)
        if key not in self._plans:
            self._plans[key] = device(device_name).compile(self.dag(), fused=fused, isa=isa)
        return self._plans[key]

    def compute(
        self,
        threads: int = 1,
        values: Mapping[str, int] | None = None,
        *,
        isa: str | None = None,
        fused: bool = True,
        device: str = "cpu",
    ) -> None:
        """Compute everything asked for, with `values` for the run-time sizes. Results: `t.numpy()`.

        The result is the same to the bit for any number of threads. Raises UsageError for threads below 1.
        """
        plan = self.plan(isa=isa, fused=fused, device_name=device)
        plan.use_huge_pages()
        plan.show()
        plan.run(shared_pool(device, threads), values)

    def format(self, *, fused: bool = False) -> str:
        """The graph as text, a node a line; `fused` shows it as the CPU runs it."""
        dag = self.plan().dag if fused else self.dag()
        return "\n".join(format_node(i, node) for i, node in enumerate(dag.nodes))

    def print(self, *, fused: bool = False) -> None:
        """Print `format()` to stdout."""
        print(self.format(fused=fused))
