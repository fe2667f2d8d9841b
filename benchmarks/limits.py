"""Whether what one session says of the machine's limits holds for the next.

    python benchmarks/limits.py [--sessions 20] [--threads 2] [--pause 0]

So many fresh processes measure the limits, one after the other, as `ggtui perf` does: before and after two seconds in
which something else would be measured. Two figures for each limit: in how many pairs of sessions the intervals of their
own probes overlap, and how often a session's probes overlap what is stated of the earlier ones (the least and the most
of up to sixteen), from the fifth session on.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from itertools import combinations

SESSION = """
import json, sys, time
from dataclasses import asdict
from ggtui.core.runtime.device import one_device
from ggtui.perf.roofline import joined, keep, measure
cpu, threads = one_device("cpu"), int(sys.argv[1])
pool = cpu.pool(threads)
before = measure(cpu, pool)
time.sleep(2)
print(json.dumps(asdict(keep(joined(before, measure(cpu, pool)), cpu.limits_key(threads, None)))))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--pause", type=float, default=0.0, help="seconds between two sessions")
    args = parser.parse_args()
    found = []
    with tempfile.TemporaryDirectory() as cache:
        environ = {**os.environ, "XDG_CACHE_HOME": cache}
        for _ in range(args.sessions):
            command = [sys.executable, "-c", SESSION, str(args.threads)]
            found.append(json.loads(subprocess.run(command, env=environ, check=True, capture_output=True).stdout))
            time.sleep(args.pause)
    names = ["int8", "f32", *(f"reading {size >> 10:,} KiB" for size, _ in found[0]["read"])]
    own = [list(zip(f["least"], [f["int8"], f["f32"], *(r for _, r in f["read"])], strict=True)) for f in found]
    print(f"{'limit':20} {'pairs':>6} {'next':>6}   least to most")
    for i, name in enumerate(names):
        pairs = [_overlap(a[i], b[i]) for a, b in combinations(own, 2)]
        stated = [_overlap(o[i], f["earlier"][i]) for o, f in list(zip(own, found, strict=True))[4:]]
        low, high = min(o[i][0] for o in own), max(o[i][1] for o in own)
        print(f"{name:20} {_share(pairs):>6} {_share(stated):>6}   {low / 1e9:.0f} to {high / 1e9:.0f}")


def _overlap(a: tuple[float, float], b: tuple[float, float]) -> bool:
    return a[0] <= b[1] and b[0] <= a[1]


def _share(held: list[bool]) -> str:
    return f"{sum(held) / len(held):.0%}" if held else "-"


if __name__ == "__main__":
    main()
