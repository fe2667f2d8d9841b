"""ggtui against llama.cpp: the same weights, types and threads, in turn, in one run.

    pip install llama-cpp-python     # builds llama.cpp for this machine; minutes
    python benchmarks/versus_llama_cpp.py [--models 124M,1.1B,tales] [--types q4_0,q8_0] [--threads 1,2] [--rounds 5]
                                          [--isa avx2] [--python PYTHON]

Models: random weights in the shape of GPT-2s (124M, 355M, ...) or of TinyLlama (1.1B), or `tales`, the built-in one
converted to each type, or files as they are. A name that is a type and a mix means the type, so that body and head are
of one type; Q4_K_M and the like are mixes.
Each figure is a process of its own, so that neither waits with threads beside the other: ours, theirs, ours, theirs ...
Prompt: 512 tokens at once, the logits of the last one; generation: 128 tokens, one at a time, after a prompt of 16.
--isa: both programs use this instruction set and none beyond; without it each what it chooses itself. llama.cpp has a
library for each where it is built as its releases are: `make bench ARGS="--isa avx2"` builds that too, once, beside the
other (the Makefile says how).
Prints a Markdown table: medians, and the median of the ratios round by round with its 95% interval, ~ where it has 1.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

N_PROMPT, N_FIRST, N_GEN = 512, 16, 128
IDS = [(7 * i) % 4000 for i in range(N_PROMPT)]
COLLAPSED = 600  # seconds after which a figure is given up: a peer beside busy neighbours


class Variant(NamedTuple):
    """llama.cpp's build for an instruction set: the end of its library's name, and which of SETS it must say it has."""

    name: str
    has: frozenset[str]


SETS = frozenset({"AVX2", "FMA", "F16C", "AVX_VNNI", "AVX512", "AVX512_VNNI", "AVX512_VBMI", "AVX512_BF16", "AMX_INT8"})
_AVX2 = frozenset({"AVX2", "FMA", "F16C"})
VARIANTS = {  # ggtui's name -> what is compiled for the same
    "avx2": Variant("haswell", _AVX2),
    "avxvnni": Variant("alderlake", _AVX2 | {"AVX_VNNI"}),
    "avx512": Variant("cascadelake", _AVX2 | {"AVX512", "AVX512_VNNI"}),
}


def ours(path: str, threads: int, n_prompt: int, n_gen: int, isa: str | None) -> tuple[float, float]:
    """Tokens a second: prompt, generation."""
    import ggtui

    session = ggtui.load(path, threads=threads, isa=isa)
    for warm_up in (IDS[:n_prompt], [1]):  # what is touched the first time is not measured, as in llama-bench
        session.eval(warm_up)
        session.reset()
    started = time.perf_counter()
    session.eval(IDS[:n_prompt])
    prompt = n_prompt / (time.perf_counter() - started)
    session.reset()
    session.eval(IDS[:N_FIRST])
    started = time.perf_counter()
    for token in IDS[:n_gen]:
        session.eval([token])
    return prompt, n_gen / (time.perf_counter() - started)


def interface(isa: str | None) -> Any:
    """llama.cpp's own in C, silent. Ends with a line if it isn't there, or not for this instruction set."""
    import ctypes

    try:
        import llama_cpp as ll
    except (ImportError, OSError, RuntimeError):
        raise SystemExit(f"{sys.executable} can't import llama_cpp; `make bench` makes one that can") from None
    ll.silent = ll.llama_log_callback(lambda level, text, data: None)  # must live as long as llama.cpp may log
    ll.llama_log_set(ll.silent, ctypes.c_void_p(0))
    ll.llama_backend_init()
    if isa is None:
        return ll
    variant = VARIANTS[isa]
    library = Path(ll.__file__).parent / "lib" / f"libggml-cpu-{variant.name}.so"
    if not library.is_file():
        raise SystemExit(f'{library}: is missing; `make bench ARGS="--isa {isa}"` builds a llama.cpp that has it')
    load = ll.llama_cpp._lib.ggml_backend_load
    load.argtypes, load.restype = [ctypes.c_char_p], ctypes.c_void_p
    if not load(str(library).encode()):
        raise SystemExit(f"--isa {isa}: llama.cpp says that this processor can't run {library.name}")
    has = SETS & set(re.findall(r"(\w+) = 1", ll.llama_print_system_info().decode()))
    if has != variant.has:
        raise SystemExit(f"--isa {isa}: llama.cpp uses {', '.join(sorted(has))}, not {', '.join(sorted(variant.has))}")
    return ll


def theirs(path: str, threads: int, n_prompt: int, n_gen: int, isa: str | None) -> tuple[float, float]:
    """The same of llama.cpp."""
    ll = interface(isa)
    model = ll.llama_model_load_from_file(path.encode(), ll.llama_model_default_params())
    options = ll.llama_context_default_params()
    options.n_ctx = options.n_batch = options.n_ubatch = N_PROMPT
    options.n_threads = options.n_threads_batch = threads
    context = ll.llama_init_from_model(model, options)

    def read(tokens: list[int]) -> None:
        array = (ll.llama_token * len(tokens))(*tokens)
        if ll.llama_decode(context, ll.llama_batch_get_one(array, len(tokens))):
            raise RuntimeError("llama_decode failed")
        ll.llama_synchronize(context)

    def forget() -> None:
        ll.llama_memory_clear(ll.llama_get_memory(context), True)

    for warm_up in (IDS[:n_prompt], [1]):
        read(warm_up)
        forget()
    started = time.perf_counter()
    read(IDS[:n_prompt])
    prompt = n_prompt / (time.perf_counter() - started)
    forget()
    read(IDS[:N_FIRST])
    started = time.perf_counter()
    for token in IDS[:n_gen]:
        read([token])
    return prompt, n_gen / (time.perf_counter() - started)


def measure(
    who: str, path: Path, threads: int, python: str,
    n_prompt: int = N_PROMPT, n_gen: int = N_GEN, isa: str | None = None,
) -> tuple[float, float]:  # fmt: skip
    """Tokens a second of `ours` or `theirs`, in a process of its own."""
    settings = ["--n-prompt", str(n_prompt), "--n-gen", str(n_gen), *(["--isa", isa] if isa else [])]
    command = [python, __file__, "--one", who, "--path", str(path), "--threads", str(threads), *settings]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=COLLAPSED)
    prompt, generation = json.loads(done.stdout.splitlines()[-1])
    return prompt, generation


def compare(path: Path, threads: int, rounds: int, python: str, isa: str | None) -> str:
    """The cells of a table's row: prompt and generation, ours, theirs, ratio and its interval."""
    from found import by_round, ratio

    pairs = [
        (measure("ours", path, threads, sys.executable, isa=isa), measure("theirs", path, threads, python, isa=isa))
        for _ in range(rounds)
    ]
    cells = []
    for i in range(2):
        a, b = [p[0][i] for p in pairs], [p[1][i] for p in pairs]
        cells.append(f"{median(a):.0f} | {median(b):.0f} | {ratio(by_round(a, b))}")
    return " | ".join(cells)


def write_model(path: Path, model: str, kind: str) -> None:
    from random_model import write_random

    from ggtui.core.engine.model import BUILT_IN
    from ggtui.core.files import open_model
    from ggtui.core.files.convert import convert
    from ggtui.core.graph.types import TYPES

    if model != "tales":
        write_random(path, model, kind)
        return
    with open_model(BUILT_IN) as built_in:
        convert(built_in, path, TYPES.get(kind.lower(), kind), overwrite=True)


def versions(python: str, isa: str | None) -> str:
    """The machine, both programs, and how they were compiled."""
    import ggtui
    from ggtui.core.errors import GgtuiError
    from ggtui.core.runtime.cores import processor, usable_cores
    from ggtui.csrc import build_ffi

    try:
        isa_used = ggtui.load(threads=1, isa=isa).isa
    except GgtuiError as error:
        raise SystemExit(str(error)) from None
    flags = next(row.flags for row in build_ffi.INSTRUCTION_SETS if row.name == isa_used)
    compiler = subprocess.run(["cc", "--version"], capture_output=True, text=True).stdout.partition("\n")[0]
    command = [python, __file__, "--one", "about", *(["--isa", isa] if isa else [])]
    answer = subprocess.run(command, capture_output=True, text=True)
    if answer.returncode:
        raise SystemExit(answer.stderr.strip())
    version, _, system = answer.stdout.strip().partition(" | ")
    load = f"{os.getloadavg()[0]:.1f} processes wanted to run in the minute before"
    return (
        f"- {processor()}, {usable_cores()} cores; {load}\n"
        f"- ggtui {ggtui.__version__}, {isa_used}: {' '.join([*build_ffi.FLAGS, *flags])} ({compiler})\n"
        f"- llama.cpp of llama-cpp-python {version}: {system.strip(' |')}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="124M", help="sizes of random weights, tales, files (default 124M)")
    parser.add_argument("--types", default="q4_0,q4_k,q8_0,f16")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--python", default=sys.executable, help="of the environment that has llama-cpp-python")
    parser.add_argument("--isa", choices=VARIANTS, help="the instruction set of both (default: each takes its own)")
    parser.add_argument("--one", choices=("ours", "theirs", "about"), help=argparse.SUPPRESS)
    parser.add_argument("--path", help=argparse.SUPPRESS)
    parser.add_argument("--n-prompt", type=int, default=N_PROMPT, help=argparse.SUPPRESS)
    parser.add_argument("--n-gen", type=int, default=N_GEN, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one == "about":
        ll = interface(args.isa)
        print(ll.__version__, "|", ll.llama_print_system_info().decode())
        return
    if args.one:
        one = ours if args.one == "ours" else theirs
        print(json.dumps(one(args.path, int(args.threads), args.n_prompt, args.n_gen, args.isa)))
        return

    from found import MEANING, watched

    print(versions(args.python, args.isa))
    print(f"\nTokens a second and ratios, ours over theirs, of {args.rounds} rounds: {MEANING}\n")
    print("| model | type | threads | pp512 | llama.cpp | ratio | tg128 | llama.cpp | ratio |")
    print("| --- | --- | ---: | ---: | ---: | --- | ---: | ---: | --- |", flush=True)
    with watched(), tempfile.TemporaryDirectory() as folder:
        for model in args.models.split(","):
            is_file = Path(model).is_file()
            name = Path(model).stem if is_file else model
            for kind in ["as it is"] if is_file else args.types.split(","):
                path = Path(model) if is_file else Path(folder) / "model.gguf"
                if not is_file:
                    write_model(path, model, kind)
                for threads in (int(n) for n in args.threads.split(",")):
                    cells = compare(path, threads, args.rounds, args.python, args.isa)
                    print(f"| {name} | {kind} | {threads} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
