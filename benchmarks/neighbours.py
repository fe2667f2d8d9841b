"""Generation beside other busy processes against generation on a quiet machine: ours, and llama.cpp's if it is there.

    python benchmarks/neighbours.py [--shape 124M] [--types q4_0,f16] [--busy 1] [--rounds 5] [--python PYTHON]

All cores are used, and `--busy` processes that do nothing but count want them too. Quiet and busy runs take turns, each
a process of its own, 32 tokens after a prompt of 16; the table has medians, and the median of the ratios busy / quiet
with their range. Beside it the fair share: with n cores, as many threads and b busy processes n / (n + b).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from random_model import write_random
from versus_llama_cpp import measure, ratio

from ggtui.core.runtime.cores import usable_cores
from ggtui.perf.random_model import SHAPES

N_PROMPT, N_GEN = 16, 32
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


def speed(who: str, path: Path, python: str) -> float:
    """Tokens a second; 0 where it takes longer than anyone would wait."""
    try:
        return measure(who, path, usable_cores(), python, N_PROMPT, N_GEN)[1]
    except subprocess.TimeoutExpired:
        return 0.0


def has_llama_cpp(python: str) -> bool:
    return subprocess.run([python, "-c", "import llama_cpp"], capture_output=True).returncode == 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", default="124M", choices=SHAPES)
    parser.add_argument("--types", default="q4_0,f16")
    parser.add_argument("--busy", type=int, default=1, help="other processes (default 1)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--python", default=sys.executable, help="of the environment that may have llama-cpp-python")
    args = parser.parse_args()
    programs = {"ours": sys.executable, **({"theirs": args.python} if has_llama_cpp(args.python) else {})}
    cores = usable_cores()
    print(f"GPT-2 {args.shape}, random weights, {cores} threads on as many cores, {args.busy} busy beside them")
    print(f"fair share: {cores / (cores + args.busy):.0%}\n")
    print("| type | program | quiet tok/s | busy tok/s | busy / quiet |")
    print("| --- | --- | ---: | ---: | --- |", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.gguf"
        for kind in args.types.split(","):
            write_random(path, args.shape, kind)
            figures: dict[str, tuple[list[float], list[float]]] = {who: ([], []) for who in programs}
            for _ in range(args.rounds):
                for who, python in programs.items():
                    figures[who][0].append(speed(who, path, python))
                    with busy(args.busy):
                        figures[who][1].append(speed(who, path, python))
            for who, (quiet, beside) in figures.items():
                name = "ggtui" if who == "ours" else "llama.cpp"
                print(f"| {kind} | {name} | {median(quiet):.1f} | {median(beside):.1f} | {ratio(beside, quiet)} |")


if __name__ == "__main__":
    main()
