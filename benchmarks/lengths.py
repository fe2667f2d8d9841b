"""Does speed hold over lengths? Prompts of 64 and 512 tokens, and generation after 10 and after 1,000.

    python benchmarks/lengths.py [--shape 124M] [--type q4_0] [--threads 1,2] [--rounds 7]

Each round measures the limits and then all four, so that they share what the machine does; the table has medians, and
shares and ratios, those of each round, have their 95% interval, ~ where it has 1. Of generation the ratio is that of
the shares of the read bandwidth, with the bytes of weights and KV cache that a token reads; bandwidth is that of
reading so many bytes.
"""

from __future__ import annotations

import argparse
from statistics import median

from found import MEANING, by_round, percent, ratio, watched

import ggtui
from ggtui.perf.bench import Task, bench
from ggtui.perf.bounds import read_rate
from ggtui.perf.random_model import SHAPES, random_model
from ggtui.perf.roofline import measure, runs_on

PROMPTS = (Task(64, 0), Task(512, 0))
GENERATIONS = (Task(0, 24, 10), Task(0, 24, 1000))


@watched()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", default="124M", choices=SHAPES)
    parser.add_argument("--type", default="q4_0")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    model = random_model(args.shape, args.type)
    print(f"{args.shape} {args.type}, {ggtui.load(threads=1).isa}, {args.rounds} rounds: {MEANING}\n")
    for threads in (int(n) for n in args.threads.split(",")):
        session = ggtui.load(model, threads=threads, rest=False)
        speeds: dict[Task, list[float]] = {task: [] for task in (*PROMPTS, *GENERATIONS)}
        shares: dict[Task, list[float]] = {task: [] for task in GENERATIONS}
        n_bytes: dict[Task, float] = {}
        for _ in range(args.rounds):
            limits = measure(*runs_on(session))
            for task, found in speeds.items():
                result = bench(session, model, task, limits, 3)
                found.append(result.avg_ts)
                if task in shares:
                    n_bytes[task] = result.bytes_per_token
                    rate = read_rate(limits, result.bytes_per_token) or float("nan")
                    shares[task].append(result.avg_ts * result.bytes_per_token / rate)
        print(f"| {threads} thread{'s' * (threads > 1)} | tok/s | MB a token | of the read bandwidth |")
        print("| --- | ---: | ---: | ---: |")
        for task in PROMPTS:
            print(f"| {task.name} | {median(speeds[task]):.0f} | | |")
        for task in GENERATIONS:
            share = f"{n_bytes[task] / 1e6:.1f} | {ratio(shares[task], percent)}"
            print(f"| {task.name} | {median(speeds[task]):.1f} | {share} |")
        short, long = PROMPTS
        near, far = GENERATIONS
        print(f"\n{long.name} over {short.name}: {ratio(by_round(speeds[long], speeds[short]))}")
        kept = ratio(by_round(shares[far], shares[near]))
        print(f"share at {far.n_depth} over share at {near.n_depth}: {kept}\n", flush=True)


if __name__ == "__main__":
    main()
