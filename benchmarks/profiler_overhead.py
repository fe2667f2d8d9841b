"""What profiling costs the generation, light and full, against the same tokens without a profile.

    python benchmarks/profiler_overhead.py [MODEL] [--threads 2] [-n 128] [--rounds 20]

Evaluations are recorded in turns within one session: every other token in one generation, the rest in the next, so each
token is timed with and without a profile at the same position, with everything else equal. A round's figure is the
ratio of the medians of its two kinds; the table gives the median of all rounds with its 95% interval, ~ where it may be
that there is none, and beside it what the stamps alone come to.
"""

from __future__ import annotations

import argparse
from statistics import median

from found import change, ratio, watched

import ggtui
from ggtui.perf.measure import made_up_prompt, measure
from ggtui.perf.stage import stages
from ggtui.perf.words import overhead


@watched()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?")
    parser.add_argument("--threads", type=int)
    parser.add_argument("-n", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=20)
    args = parser.parse_args()
    print("| profile | tok/s | overhead | stamps a token | of a stamp | stamps alone |")
    print("| --- | --- | --- | --- | --- | --- |")
    for profile in ("light", "full"):
        session = ggtui.load(args.model, threads=args.threads, record=profile, rest=False)
        prompt = made_up_prompt(session, 16)
        ratios, speeds = [], []
        for _ in range(args.rounds):
            trace = measure(session, prompt, args.n, 1)
            ratios.append(trace.run.token_ns / trace.run.plain_token_ns)
            speeds.append(stages(trace)[0].tokens_per_s)
        cost = overhead(trace)
        stamps = f"{cost['stamps']:.0f} | {cost['stamp_ns']:.0f} ns | {cost['share']:.2%}"
        print(f"| {profile} | {median(speeds):.1f} | {ratio(ratios, change)} | {stamps} |")


if __name__ == "__main__":
    main()
