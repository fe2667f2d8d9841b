"""Prompt and generation speed against what the machine allows, measured in the same run.

    python benchmarks/speed.py [--shape 124M] [--types f16,q8_0,q4_0] [--threads 1,2] [--rounds 5]

Each round measures the limits (limits.c), then every model; the table gives medians, and the shares of the limits of
the same round with their 95% interval, ~ where it has 100%. Prompt: 512 tokens at once; generation: 64 tokens after a
prompt of 16.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path
from statistics import median

from found import MEANING, percent, ratio, watched
from random_model import write_random

import ggtui
from ggtui.core.engine.session import Session
from ggtui.perf.random_model import SHAPES

HERE = Path(__file__).parent


def generation_bytes(session: Session, n_past: float) -> float:
    """Bytes read for a token: every packed matrix once, and the keys and values so far."""
    packed = sum(t.n_bytes for t in session.weights.values() if t.packed)
    return packed + session.kv.bytes_per_token * n_past


def prompt_flops(session: Session, n: int) -> float:
    """Operations of a prompt's matrix products: all matrices for each token, the output matrix for the last alone."""
    body = sum(t.n_elements for name, t in session.weights.items() if t.packed and name.startswith("blk."))
    head = session.weights["token_embd.weight"].n_elements
    return 2.0 * (body * n + head)


def measure(session: Session, n_prompt: int, n_gen: int) -> tuple[float, float]:
    """Tokens a second: prompt, generation."""
    ids = [(7 * i) % 50000 for i in range(n_prompt)]
    session.reset()
    session.eval(ids[:32])
    session.reset()
    started = time.perf_counter()
    session.eval(ids)
    prompt = n_prompt / (time.perf_counter() - started)
    session.reset()
    session.eval(ids[:16])
    started = time.perf_counter()
    for i in range(n_gen):
        session.eval([ids[i]])
    return prompt, n_gen / (time.perf_counter() - started)


@watched()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", default="124M", choices=SHAPES)
    parser.add_argument("--types", default="f16,q8_0,q4_0")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--isa")
    args = parser.parse_args()
    threads = [int(n) for n in args.threads.split(",")]
    rows: dict[tuple[str, int], list[tuple[float, ...]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        limits = Path(folder) / "limits"
        subprocess.run(["gcc", "-O2", "-march=native", "-pthread", HERE / "limits.c", "-o", limits], check=True)
        sessions = {}
        for type in args.types.split(","):
            path = Path(folder) / f"{type}.gguf"
            write_random(path, args.shape, type)
            for n in threads:
                sessions[type, n] = ggtui.load(path, threads=n, isa=args.isa, rest=False)
        for _ in range(args.rounds):
            allowed = json.loads(subprocess.run([limits, str(max(threads))], check=True, capture_output=True).stdout)
            for (type, n), session in sessions.items():
                limit = allowed[str(n)]
                prompt, generation = measure(session, 512, 64)
                peak = limit["f32_gflops"] * 1e9 if type in ("f32", "f16", "bf16") else limit["int8_tops"] * 1e12
                prompt_share = prompt / 512 * prompt_flops(session, 512) / peak
                share = generation * generation_bytes(session, 48) / (limit["read_gb_s"] * 1e9)
                rows.setdefault((type, n), []).append((prompt, prompt_share, generation, share))
    print(f"{args.shape}, {ggtui.load().isa if not args.isa else args.isa}, {args.rounds} rounds: {MEANING}\n")
    print("| type | threads | pp512 tok/s | of the peak | tg64 tok/s | of the read bandwidth |")
    print("| --- | --- | --- | --- | --- | --- |")
    for (type, n), values in rows.items():
        pp, pp_shares, tg, tg_shares = zip(*values, strict=True)
        of_peak, of_bandwidth = ratio(pp_shares, percent), ratio(tg_shares, percent)
        print(f"| {type} | {n} | {median(pp):.0f} | {of_peak} | {median(tg):.1f} | {of_bandwidth} |")


if __name__ == "__main__":
    main()
