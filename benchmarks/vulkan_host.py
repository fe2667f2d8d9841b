"""What a token costs the processor beside waiting for the queue: inputs, sizes, submitting, reading stamps.

    python benchmarks/vulkan_host.py [MODEL] [--runs 200] [--whole]

By default the queue does the first node alone, so that a driver which computes on the processor does not push what is
measured out of its caches; with --whole all of them. Prints medians and the least, in microseconds, without records and
with a stamp behind each node.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from statistics import median
from typing import Any

import ggtui
from ggtui.core.engine.batch import Piece
from ggtui.core.runtime.cpu.native import ffi


class Times:
    """When a run's parts were, without stamps; a recorder otherwise has them too."""

    submitted = None

    def __init__(self) -> None:
        self.c = ffi.new("gg_vk_times *")

    def of(self, step: int) -> Times:
        return self

    def begin(self) -> Any:
        return self.c

    def ran(self) -> None: ...


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?")
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--whole", action="store_true")
    args = parser.parse_args()
    with ggtui.load(args.model, device="vulkan", ctx=256, record="full") as session:
        engine, sequence = session.engine, session.sequence
        plan, feed = engine.one.plan, engine.one.feed
        for name, recorder in (("plain", Times()), ("stamped", engine.one.recorder)):
            took: dict[str, list[int]] = defaultdict(list)
            c = recorder.c if name == "plain" else recorder.of(len(plan.steps) - 1)._c
            for _ in range(args.runs):
                if sequence.n_past > 100:
                    sequence.rewind(0)
                sequence.make_room(1)
                began = time.perf_counter_ns()
                sizes = feed.fill([Piece(sequence, [5])])
                plan.run(engine.pool, sizes, recorder, stop_after=None if args.whole else 0)
                ended = time.perf_counter_ns()
                sequence.add([5])
                waited = c.done - c.submitted
                took["before"].append(c.asked - began)
                took["submit"].append(c.submitted - c.asked)
                took["wait"].append(waited)
                took["after"].append(ended - c.done)
                took["beside the wait"].append(ended - began - waited)
            told = ", ".join(f"{key} {median(ns) / 1e3:.1f} ({min(ns) / 1e3:.1f})" for key, ns in took.items())
            print(f"{name}: {told}")


if __name__ == "__main__":
    main()
