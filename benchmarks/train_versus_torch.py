"""Training by ggtui against PyTorch: the same model, batches and optimizer, in turn, in one run.

    pip install torch     # in an environment of its own
    python benchmarks/train_versus_torch.py --python PYTHON [--shape gpt2:embd=768,layer=12,head=12,ctx=1024]
        [--vocab 50257] [--batch 4] [--ctx 64] [--threads 1,2] [--rounds 5] [--steps 5]
    python benchmarks/train_versus_torch.py --python PYTHON --shape ... --vocab 4096 --curve 300 TEXT...

PYTHON has torch. A step is that of a GPT-2 in f32 with AdamW and clipping; torch's has scaled_dot_product_attention
and the fused optimizer. Each figure is a process of its own, the median of --steps steps behind the first one. Prints a
Markdown table: medians, and the median of the ratios round by round with the least and the greatest.

--curve: so many steps from the same weights on the same batches of the texts, and how far the curves of the loss are
apart: smoothed over 20 steps, the greatest difference.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

RATE, DECAY, CLIP, BETAS, EPS, SMOOTHED = 1e-3, 0.1, 1.0, (0.9, 0.95), 1e-8, 20


def ours(file: str, threads: int) -> tuple[list[float], list[float]]:
    """Losses, and seconds of each step."""
    from ggtui.core.files.made import MadeModel
    from ggtui.core.training.trainer import Trainer

    saved = np.load(file, allow_pickle=False)
    metadata = {key.removeprefix("about/"): saved[key].item() for key in saved if key.startswith("about/")}
    weights = {key.removeprefix("w/"): saved[key] for key in saved if key.startswith("w/")}
    trainer = Trainer(MadeModel("model", metadata, weights), threads=threads, rate=RATE, clip=CLIP)
    del weights
    losses, seconds = [], []
    for ids in saved["batches"]:
        started = time.perf_counter()
        losses.append(trainer.step(ids).loss)
        seconds.append(time.perf_counter() - started)
    return losses, seconds


def theirs(file: str, threads: int) -> tuple[list[float], list[float]]:
    """The same by torch; a GPT-2 by the names of its tensors in GGUF."""
    import torch
    from torch.nn import functional as F

    torch.set_num_threads(threads)
    saved = np.load(file, allow_pickle=False)
    w = {key.removeprefix("w/"): torch.tensor(saved[key], requires_grad=True) for key in saved if key.startswith("w/")}
    n_layer, n_head = (int(saved[f"about/gpt2.{key}"]) for key in ("block_count", "attention.head_count"))

    def norm(name: str, x: Any) -> Any:
        return F.layer_norm(x, x.shape[-1:], w[f"{name}.weight"], w[f"{name}.bias"], 1e-5)

    def linear(name: str, x: Any) -> Any:
        return F.linear(x, w[f"{name}.weight"], w[f"{name}.bias"])

    def loss_of(ids: Any) -> Any:
        tokens = ids[:, :-1]
        x = w["token_embd.weight"][tokens] + w["position_embd.weight"][: tokens.shape[1]]
        for il in range(n_layer):
            blk = f"blk.{il}"
            parts = linear(f"{blk}.attn_qkv", norm(f"{blk}.attn_norm", x)).chunk(3, -1)
            q, k, v = (part.unflatten(-1, (n_head, -1)).transpose(1, 2) for part in parts)
            attn = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2)
            x = x + linear(f"{blk}.attn_output", attn)
            up = F.gelu(linear(f"{blk}.ffn_up", norm(f"{blk}.ffn_norm", x)), approximate="tanh")
            x = x + linear(f"{blk}.ffn_down", up)
        logits = norm("output_norm", x) @ w["token_embd.weight"].T
        return F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())

    groups = [
        {"params": [t for t in w.values() if t.ndim > 1], "weight_decay": DECAY},
        {"params": [t for t in w.values() if t.ndim == 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=RATE, betas=BETAS, eps=EPS, fused=True)
    losses, seconds = [], []
    for ids in torch.tensor(saved["batches"], dtype=torch.long):
        started = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(ids)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(w.values(), CLIP)
        optimizer.step()
        losses.append(loss.item())
        seconds.append(time.perf_counter() - started)
    return losses, seconds


SIDES = {"ours": ours, "theirs": theirs}


def model(args: argparse.Namespace, batches: Any) -> dict[str, Any]:
    """What both begin with, as arrays of one file."""
    from ggtui.core.training.shapes import Shape, initial

    shape = Shape.parse(args.shape)
    about = {f"about/{key}": np.array(value) for key, value in shape.metadata(args.vocab).items()}
    weights = {f"w/{name}": array for name, array in initial(shape, args.vocab, seed=1).items()}
    return {**about, **weights, "batches": batches}


def run(side: str, python: str, file: str, threads: int) -> tuple[list[float], list[float]]:
    out = f"{file}.{side}.npz"
    subprocess.run([python, __file__, "--side", side, file, str(threads), out], check=True)
    found = np.load(out)
    return found["losses"].tolist(), found["seconds"].tolist()


def batches_of(args: argparse.Namespace) -> Any:
    if args.curve is None:
        return np.random.default_rng(0).integers(0, args.vocab, (args.steps + 1, args.batch, args.ctx + 1), np.int32)
    from ggtui.core.training.data import Batches, Corpus, read_texts
    from ggtui.core.training.vocabulary import train_vocabulary
    from ggtui.core.vocab import vocabulary

    texts = read_texts(args.texts)
    ids = Corpus.of(texts, vocabulary(train_vocabulary(texts, args.vocab), Path("texts"))).ids
    all_batches = Batches(ids, args.batch, args.ctx, seed=1)
    return np.stack([all_batches[i] for i in range(args.curve)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("texts", nargs="*")
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--shape", default="gpt2:embd=768,layer=12,head=12,ctx=1024")
    parser.add_argument("--vocab", type=int, default=50257)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--ctx", type=int, default=64)
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--curve", type=int)
    args = parser.parse_args()
    threads = [int(n) for n in args.threads.split(",")]
    with tempfile.TemporaryDirectory() as folder:
        file = f"{folder}/start.npz"
        np.savez(file, **model(args, batches_of(args)))
        if args.curve is not None:
            curve(args, file, threads[-1])
            return
        print("| threads | ggtui, s | PyTorch, s | ratio |\n| --- | --- | --- | --- |")
        for n in threads:
            rounds = []
            for _ in range(args.rounds):
                a, b = (
                    median(run(side, p, file, n)[1][1:])
                    for side, p in zip(SIDES, (sys.executable, args.python), strict=True)
                )
                rounds.append((a, b, b / a))
            a, b, ratio = (median(column) for column in zip(*rounds, strict=True))
            least, most = min(r[2] for r in rounds), max(r[2] for r in rounds)
            print(f"| {n} | {a:.2f} | {b:.2f} | {ratio:.2f} [{least:.2f}, {most:.2f}] |", flush=True)


def curve(args: argparse.Namespace, file: str, threads: int) -> None:
    a, b = (
        np.array(run(side, p, file, threads)[0]) for side, p in zip(SIDES, (sys.executable, args.python), strict=True)
    )
    smooth = [np.convolve(x, np.ones(SMOOTHED) / SMOOTHED, "valid") for x in (a, b)]
    apart = np.abs(smooth[0] / smooth[1] - 1)
    print(f"{len(a)} steps: from {a[0]:.4f} to {smooth[0][-1]:.4f} (PyTorch {b[0]:.4f} to {smooth[1][-1]:.4f}); "
          f"smoothed, at most {apart.max():.3%} apart, single steps {np.abs(a / b - 1).max():.3%}")  # fmt: skip


if __name__ == "__main__":
    if sys.argv[1:2] == ["--side"]:
        side, file, threads, out = sys.argv[2:]
        losses, seconds = SIDES[side](file, int(threads))
        np.savez(out, losses=losses, seconds=seconds)
    else:
        main()
