"""Generation beside other busy processes against generation on a quiet machine: ours, and llama.cpp's if it is there.

    python benchmarks/neighbours.py [--shape 124M] [--types q4_0,f16] [--threads 2] [--busy 1] [--rounds 9]
                                    [--python PYTHON]

As many cores are used as threads, and `--busy` processes that do nothing but count want them too. Quiet and busy runs
take turns, each a process of its own: the built-in model, and random weights of each type, some tens of milliseconds of
tokens after a prompt of 16. The table has medians, and the median of the ratios busy / quiet with its 95% interval.
Beside it the fair share: with n cores, as many threads and b busy processes n / (n + b); and what is aimed at.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from found import MEANING, by_round, ratio, watched
from random_model import write_random
from versus_llama_cpp import COLLAPSED, measure

from ggtui.core.engine.model import BUILT_IN
from ggtui.core.runtime.cores import usable_cores, usable_cpus
from ggtui.perf.random_model import SHAPES

N_PROMPT, N_GEN, N_GEN_SMALL = 16, 32, 400  # tokens of random weights, and of the built-in model, which are faster
AIM = 0.6
COUNT = "while True: pass"


@contextmanager
def busy(n: int) -> Iterator[None]:
    """n processes that never wait."""
    others = [subprocess.Popen([sys.executable, "-c", COUNT]) for _ in range(n)]
    try:
        time.sleep(0.5)  # until they count
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def hold_to(n: int) -> None:
    """Leave n cores to this process and to those that it starts, so that what is busy can't go to others."""
    held: set[int] = set()
    for cpu in sorted(usable_cpus()):
        os.sched_setaffinity(0, held | {cpu})
        if len(held) < usable_cores() <= n:
            held.add(cpu)
    os.sched_setaffinity(0, held)
    if len(held) < n:
        raise SystemExit(f"--threads {n}: this process may use {len(held)} cores")


def speed(who: str, path: Path, threads: int, python: str, n_gen: int) -> float:
    """Tokens a second; where it takes longer than anyone would wait, more than it can have been."""
    try:
        return measure(who, path, threads, python, N_PROMPT, n_gen)[1]
    except subprocess.TimeoutExpired:
        return n_gen / COLLAPSED


def has_llama_cpp(python: str) -> bool:
    return subprocess.run([python, "-c", "import llama_cpp"], capture_output=True).returncode == 0


def rows(model: str, path: Path, n_gen: int, programs: dict[str, str], args: argparse.Namespace) -> Iterator[str]:
    """Of a model, for each program."""
    figures: dict[str, tuple[list[float], list[float]]] = {who: ([], []) for who in programs}
    for _ in range(args.rounds):
        for who, python in programs.items():
            quiet, beside = figures[who]
            quiet.append(speed(who, path, args.threads, python, n_gen))
            with busy(args.busy):
                beside.append(speed(who, path, args.threads, python, n_gen))
    for who, (quiet, beside) in figures.items():
        program = "ggtui" if who == "ours" else "llama.cpp"
        part = ratio(by_round(beside, quiet))
        yield f"| {model} | {program} | {median(quiet):.1f} | {median(beside):.1f} | {part} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", default="124M", choices=SHAPES)
    parser.add_argument("--types", default="q4_0,f16")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--busy", type=int, default=1, help="other processes (default 1)")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--python", default=sys.executable, help="of the environment that may have llama-cpp-python")
    args = parser.parse_args()
    hold_to(args.threads)
    programs = {"ours": sys.executable, **({"theirs": args.python} if has_llama_cpp(args.python) else {})}
    print(f"{args.threads} threads on as many cores, {args.busy} busy beside them, {args.rounds} rounds: {MEANING}")
    print(f"fair share: {args.threads / (args.threads + args.busy):.2f}; aim: {AIM:.2f}\n")
    print("| model | program | quiet tok/s | busy tok/s | busy / quiet |")
    print("| --- | --- | ---: | ---: | --- |", flush=True)
    with watched(), tempfile.TemporaryDirectory() as folder:
        print(*rows("built-in", BUILT_IN, N_GEN_SMALL, programs, args), sep="\n", flush=True)
        path = Path(folder) / "model.gguf"
        for kind in args.types.split(","):
            write_random(path, args.shape, kind)
            print(*rows(f"{args.shape} {kind}", path, N_GEN, programs, args), sep="\n", flush=True)


if __name__ == "__main__":
    main()
