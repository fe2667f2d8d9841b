"""How often `ggtui perf --compare --fail-above` is wrong: pairs of equal runs beside another program must not fail, and
a node that became slower must be found.

  python benchmarks/gate.py [MODEL] [--pairs 10] [--threads 2]

Equal pairs run beside one program that never rests. Against each quiet run, at a real-time priority where that is
allowed, go an equal one and one in which all that is measured of the largest node is stretched by 10%: real noise, and
a change that is known.
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
from typing import NoReturn

import ggtui.cli
import ggtui.perf.measure
from ggtui.core.runtime.record import Records, Trace
from ggtui.perf.compare import compare

GATE, SLOWER = 0.05, 1.10
SLOWER_PERF = "slower-perf"  # how this file calls itself


def perf(args: argparse.Namespace, *more: str, quiet: bool = False, program: tuple[str, ...] = ("-m", "ggtui")) -> int:
    def first() -> None:
        if quiet:
            with suppress(OSError):
                os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(20))

    command = [sys.executable, *program, "perf", *([args.model] if args.model else [])]
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


def slower_perf(key: str, *args: str) -> NoReturn:
    """`ggtui` with these arguments, and with that node slowed in whatever it measures."""
    measure = ggtui.perf.measure.measure
    ggtui.perf.measure.measure = lambda *a, **named: slowed(measure(*a, **named), key)
    sys.exit(ggtui.cli.main(list(args)))


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
        found, equal = [], []
        gate = ("--compare", str(base), "--fail-above", f"{GATE:.0%}")
        for _ in range(args.pairs):
            perf(args, "--json", str(base), quiet=True)
            top = ggtui.perf.summary(ggtui.perf.load(base))["generation"]["nodes"][0]
            equal.append(perf(args, *gate, quiet=True))
            slower = (__file__, SLOWER_PERF, top["node"])
            perf(args, "--json", str(now), *gate, quiet=True, program=slower)
            told = compare(ggtui.perf.load(base), ggtui.perf.load(now), GATE)
            found.append(any(c.key == top["node"] and c.stage == "generation" for c in told.worse))
        name = f"{top['node']}, {top['work_share']:.0%} of the work,"
        print(
            f"quiet pairs: {name} slowed by {SLOWER - 1:.0%} is found in {sum(found)} of {len(found)}; equal, "
            f"{equal.count(3)} fail"
        )


if __name__ == "__main__":
    if sys.argv[1:2] == [SLOWER_PERF]:
        slower_perf(*sys.argv[2:])
    main()
