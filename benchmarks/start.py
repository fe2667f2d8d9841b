"""What starting costs: wall time of commands and of the first token, and memory beyond weights and KV cache.

    python benchmarks/start.py [--shape 124M] [--type q4_0] [--rounds 7] [--models FILE ...]

Each figure is the median of so many fresh processes, with its 95% interval. They find Python's compiled files, as
those of an installed program do, also where PYTHONDONTWRITEBYTECODE is set. "Cached" is a model file that lies in the
system's memory, "from disk" one that was thrown out of it. The first token is that of `ggtui chat` after a prompt of 16
tokens, with all the program does besides; of `--models` that of the answer to a question, through their chat template,
on one thread and as many as it chooses. Memory is the process's resident size right after 16 tokens and with a full
context, less the weights and the part of the KV cache in use.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from found import MEANING, shown, watched
from pseudo_terminal import COMPILED
from random_model import write_random

from ggtui.perf.random_model import SHAPES

PROMPT = "! " * 15  # 16 tokens of the made-up vocabulary
QUESTION = "What is the capital of France?"
GGTUI = Path(sys.executable).with_name("ggtui")

MEMORY = """
import json, sys
import ggtui

def resident():
    fields = dict(line.split(":", 1) for line in open("/proc/self/status"))
    return int(fields["VmRSS"].split()[0]) * 1024

session = ggtui.load(sys.argv[1])
rows = {}
for name, n in (("16 tokens", 16), ("a full context", session.n_ctx - 16)):
    session.eval([(7 * i) % 4000 for i in range(n - 1)])
    session.eval([1])
    memory = session.memory()
    used = session.n_past * session.kv.bytes_per_token
    rows[name] = (resident(), memory.weights, used)
print(json.dumps(rows))
"""


def seconds(command: Sequence[str | Path]) -> float:
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, env=COMPILED)
    took = time.perf_counter() - started
    if done.returncode:
        raise SystemExit(f"{command}: {done.stderr.strip()}")
    return took


def drop_from_memory(path: Path) -> None:
    """Have the system forget what it keeps of a file."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def check_prompt(path: Path) -> None:
    import ggtui

    n = len(ggtui.load(path).tokenizer.encode(PROMPT))
    if n != 16:
        raise SystemExit(f"the prompt has {n} tokens and not 16")


@watched()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", default="124M", choices=SHAPES)
    parser.add_argument("--type", default="q4_0")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--models", type=Path, nargs="*", default=[], help="files to ask a question too")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        COMPILED["PYTHONPYCACHEPREFIX"] = folder
        path = Path(folder) / "model.gguf"
        write_random(path, args.shape, args.type)
        check_prompt(path)
        first = [GGTUI, "chat", path, "-q", "-n", "1", "-p", PROMPT]

        def from_disk() -> float:
            drop_from_memory(path)
            return seconds(first)

        runs: dict[str, Callable[[], float]] = {
            "`ggtui --help`": lambda: seconds([GGTUI, "--help"]),
            "`ggtui chat -p x -n 1`, built-in model": lambda: seconds([GGTUI, "chat", "-p", "x", "-n", "1"]),
            f"first token, {args.shape} {args.type}, cached": lambda: seconds(first),
            f"first token, {args.shape} {args.type}, from disk": from_disk,
        }
        for model in args.models:
            ask = [GGTUI, "chat", model, "-q", "-n", "1", "-p", QUESTION]
            runs[f"first token, {model.name}"] = partial(seconds, ask)
            runs[f"first token, {model.name}, one thread"] = partial(seconds, [*ask, "-t", "1"])
        for run in runs.values():
            run()  # so that Python's own files lie in memory
        times: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(args.rounds):
            for name, run in runs.items():
                times[name].append(1e3 * run())
        beyond: dict[str, list[float]] = {}
        for _ in range(args.rounds):
            out = subprocess.run(
                [sys.executable, "-c", MEMORY, path], check=True, capture_output=True, text=True, env=COMPILED
            ).stdout
            for name, (resident, weights, kv) in json.loads(out).items():
                beyond.setdefault(name, []).append((resident - weights - kv) / 1e6)
    print(f"{args.rounds} runs: {MEANING}\n")
    print("| what | |")
    print("| --- | ---: |")
    for name, values in times.items():
        print(f"| {name} | {shown(values, '{:.0f} ms'.format)} |")
    for name, values in beyond.items():
        print(f"| memory beyond weights and KV, {name} | {shown(values, '{:.0f} MB'.format)} |")


if __name__ == "__main__":
    main()
