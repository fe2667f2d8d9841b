"""Figures of a graph's nodes, by number: the same as those of the tables, see perf/table.py."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ggtui.perf.scheduling import Floats
from ggtui.perf.stage import Stage


@dataclass(frozen=True)
class Figures:
    """What one evaluation takes. The lists go by the number of the node.

    n         evaluations that these figures are of
    evaluation  nanoseconds of all of it
    time      nanoseconds of the slowest lane at work; work: the mean over lanes
    wait      nanoseconds of waiting for other lanes after it, the mean over lanes
    flops, traffic   operations and bytes
    history   nanoseconds (evaluations, nodes), the oldest first; None of a light profile
    parts     nanoseconds of each node's loops
    """

    stage: Stage
    n: int
    evaluation: float
    time: list[float]
    work: list[float]
    wait: list[float]
    flops: list[float]
    traffic: list[float]
    history: Floats | None
    parts: list[list[float]]

    @classmethod
    def of(cls, stage: Stage) -> Figures:
        time = stage.node_times.mean(axis=0)
        work, wait = (a.sum(axis=2).mean(axis=(0, 2)).tolist() for a in (stage.work, stage.wait))
        history = None if stage.light is not None else stage.node_times
        return cls(
            stage, int(stage.typical.sum()), stage.evals.mean, time.tolist(), work, wait, stage.flops.tolist(),
            stage.traffic.tolist(), history, stage.work.max(axis=3).mean(axis=0).tolist(),
        )  # fmt: skip

    def share(self, nodes: Iterable[int]) -> float:
        """Of the lanes' time in an evaluation."""
        return sum(self.work[i] for i in nodes) / self.evaluation if self.evaluation else 0.0

    def limit(self, nodes: Sequence[int]) -> tuple[str, float | None]:
        """What binds these nodes, and what part of it they reach, see Stage.limit."""
        n_bytes, seconds = (sum(column[i] for i in nodes) for column in (self.traffic, self.stage.compute_seconds))
        ns = sum(self.time[i] for i in nodes)
        return self.stage.limit(nodes, n_bytes, float(seconds), ns)
