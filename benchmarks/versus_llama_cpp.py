"""ggtui against llama.cpp: the same weights, types and threads, in turn, in one run.

    pip install llama-cpp-python     # builds llama.cpp for this machine; minutes
    python benchmarks/versus_llama_cpp.py [--shape 124M] [--types q4_0,q8_0,f16] [--threads 1,2] [--rounds 5]

Each figure is a process of its own, so that neither waits with threads beside the other: ours, theirs, ours, theirs ...
Prompt: 512 tokens at once, the logits of the last one; generation: 64 tokens, one at a time, after a prompt of 16.
Prints a Markdown table: medians, and the median of the ratios round by round with their range.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

N_PROMPT, N_FIRST, N_GEN = 512, 16, 64
IDS = [(7 * i) % 50000 for i in range(N_PROMPT)]


def ours(path: str, threads: int) -> tuple[float, float]:
    """Tokens a second: prompt, generation."""
    import ggtui

    session = ggtui.load(path, threads=threads)
    session.eval(IDS[:32])
    session.eval([1])
    session.reset()
    started = time.perf_counter()
    session.eval(IDS)
    prompt = N_PROMPT / (time.perf_counter() - started)
    session.reset()
    session.eval(IDS[:N_FIRST])
    started = time.perf_counter()
    for token in IDS[:N_GEN]:
        session.eval([token])
    return prompt, N_GEN / (time.perf_counter() - started)


def theirs(path: str, threads: int) -> tuple[float, float]:
    """The same through llama.cpp's own C interface."""
    import ctypes

    import llama_cpp as ll

    silent = ll.llama_log_callback(lambda level, text, data: None)  # must live as long as llama.cpp may log
    ll.llama_log_set(silent, ctypes.c_void_p(0))
    ll.llama_backend_init()
    model = ll.llama_model_load_from_file(path.encode(), ll.llama_model_default_params())
    options = ll.llama_context_default_params()
    options.n_ctx, options.n_batch, options.n_ubatch = 1024, N_PROMPT, N_PROMPT
    options.n_threads = options.n_threads_batch = threads
    context = ll.llama_init_from_model(model, options)

    def read(tokens: list[int]) -> None:
        array = (ll.llama_token * len(tokens))(*tokens)
        if ll.llama_decode(context, ll.llama_batch_get_one(array, len(tokens))):
            raise RuntimeError("llama_decode failed")
        ll.llama_synchronize(context)

    def forget() -> None:
        ll.llama_memory_clear(ll.llama_get_memory(context), True)

    read(IDS[:32])
    read([1])
    forget()
    started = time.perf_counter()
    read(IDS)
    prompt = N_PROMPT / (time.perf_counter() - started)
    forget()
    read(IDS[:N_FIRST])
    started = time.perf_counter()
    for token in IDS[:N_GEN]:
        read([token])
    return prompt, N_GEN / (time.perf_counter() - started)


def measure(who: str, path: Path, threads: int, python: str) -> tuple[float, float]:
    command = [python, __file__, "--one", who, "--path", str(path), "--threads", str(threads)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    prompt, generation = json.loads(done.stdout.splitlines()[-1])
    return prompt, generation


def compare(path: Path, threads: int, rounds: int, python: str) -> str:
    """The cells of a table's row: prompt and generation, ours, theirs, ratio and its range."""
    pairs = [
        (measure("ours", path, threads, sys.executable), measure("theirs", path, threads, python))
        for _ in range(rounds)
    ]
    cells = []
    for i in range(2):
        a, b = [p[0][i] for p in pairs], [p[1][i] for p in pairs]
        ratios = sorted(x / y for x, y in zip(a, b, strict=True))
        spread = f"**{median(ratios):.2f}** ({ratios[0]:.2f}-{ratios[-1]:.2f})"
        cells.append(f"{median(a):.0f} | {median(b):.0f} | {spread}")
    return " | ".join(cells)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", default="124M")
    parser.add_argument("--types", default="q4_0,q8_0,f16")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--python", default=sys.executable, help="of the environment that has llama-cpp-python")
    parser.add_argument("--one", choices=("ours", "theirs"), help=argparse.SUPPRESS)
    parser.add_argument("--path", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps((ours if args.one == "ours" else theirs)(args.path, int(args.threads))))
        return

    from random_model import write_random

    import ggtui

    version = "import llama_cpp as l; print(l.__version__, l.llama_print_system_info().decode())"
    peer = subprocess.run([args.python, "-c", version], check=True, capture_output=True, text=True).stdout.strip()
    print(f"ggtui {ggtui.__version__} ({ggtui.load().isa}) against llama-cpp-python {peer}")
    print(f"GPT-2 {args.shape}, random weights, body and head of one type, medians of {args.rounds} rounds, tok/s\n")
    print("| type | threads | pp512 | llama.cpp | ratio (range) | tg64 | llama.cpp | ratio (range) |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        for kind in args.types.split(","):
            path = Path(folder) / f"{kind}.gguf"
            write_random(path, args.shape, kind)
            for threads in (int(n) for n in args.threads.split(",")):
                print(f"| {kind} | {threads} | {compare(path, threads, args.rounds, args.python)} |", flush=True)
            path.unlink()


if __name__ == "__main__":
    main()
