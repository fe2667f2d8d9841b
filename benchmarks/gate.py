"""How often `ggtui perf --compare --fail-above` is wrong: pairs of equal runs beside another program must not fail, and
a node that became slower must be found.

  python benchmarks/gate.py [MODEL] [--pairs 10] [--threads 2]

Equal pairs run beside one program that never rests. For the other pairs, at a real-time priority where that is allowed,
the records of the largest node are stretched by 10% in the second run of each: real noise, and a change that is known.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import ggtui
from ggtui.core.runtime.record import Records, Trace
from ggtui.perf.compare import compare

GATE, SLOWER = 0.05, 1.10


def perf(args: argparse.Namespace, *more: str, quiet: bool = False) -> int:
    def first() -> None:
        if quiet:
            with suppress(OSError):
                os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(20))

    command = [sys.executable, "-m", "ggtui", "perf", *([args.model] if args.model else [])]
    command += ["--threads", str(args.threads), "-q", "--top", "1", *more]
    return subprocess.run(command, stdout=subprocess.DEVNULL, check=False, preexec_fn=first).returncode


def slowed(trace: Trace, key: str) -> Trace:
    """The same, with the work of one node stretched; what comes after it moves along."""
    tokens = []
    for token in trace.tokens:
        node = next(n.id for n in trace.graphs[token.graph].nodes if n.key == key)
        table = Records.of(token.records).table.copy()
        mine = table[:, 0] == node
        longer = round(float((table[mine, 4] - table[mine, 3]).max()) * (SLOWER - 1))
        table[mine, 4] += ((table[mine, 4] - table[mine, 3]) * (SLOWER - 1)).round().astype(int)
        table[mine, 5] += longer
        after = table[:, 0] > node
        table[after, 3:6] += longer
        tokens.append(replace(token, records=Records(table), eval_ns=token.eval_ns + longer))
    return replace(trace, tokens=tuple(tokens))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?")
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        base, now = Path(folder, "base.json"), Path(folder, "now.json")
        codes = []
        busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
        time.sleep(0.3)
        for _ in range(args.pairs):
            perf(args, "--json", str(base))
            codes.append(perf(args, "--json", str(now), "--compare", str(base), "--fail-above", f"{GATE:.0%}"))
        busy.kill()
        busy.wait()
        print(f"equal pairs beside a busy program: {codes.count(3)} of {len(codes)} fail (codes {codes})")
        found = wrong = 0
        for _ in range(args.pairs):
            perf(args, "--json", str(base), quiet=True)
            perf(args, "--json", str(now), "--compare", str(base), quiet=True)
            first, second = ggtui.perf.load(base), ggtui.perf.load(now)
            top = ggtui.perf.summary(first)["generation"]["nodes"][0]
            told = compare(first, slowed(second, top["node"]), GATE)
            found += any(c.key == top["node"] and c.stage == "generation" for c in told.worse)
            wrong += bool(compare(first, second, GATE).worse)
        name = f"{top['node']}, {top['work_share']:.0%} of the work,"
        print(
            f"quiet pairs: {name} slowed by {SLOWER - 1:.0%} is found in {found} of {args.pairs}; equal, {wrong} fail"
        )


if __name__ == "__main__":
    main()
