"""Makes the saved references of training: what PyTorch says, in float64 on a CPU.

    python tests/references/make_gradients.py

writes gradients.npz beside this file; README.md lists its arrays. It needs torch alone. The two models are written out
here in plain torch, by the names of their tensors in GGUF: that these are GPT-2 and Llama, other tests show, which hold
ggtui's logits against those of transformers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR

HERE = Path(__file__).resolve().parent
VOCAB, TEXT, BATCH, EPS = 61, 24, 2, 1e-5
STEPS, WARM_UP, RATE, LAST, DECAY, CLIP = 20, 5, 1e-2, 0.1, 0.1, 1.0
SGD_STEPS, SGD_RATE, MOMENTUM = 5, 0.2, 0.9

Weights = dict[str, Tensor]


def gpt2_shapes() -> dict[str, tuple[int, ...]]:
    """embd=24, layer=2, head=3, ff=80, ctx=32"""
    n, ff = 24, 80
    shapes: dict[str, tuple[int, ...]] = {"token_embd.weight": (VOCAB, n), "position_embd.weight": (32, n)}
    for il in range(2):
        for name, sizes in (
            ("attn_qkv", (3 * n, n)),
            ("attn_output", (n, n)),
            ("ffn_up", (ff, n)),
            ("ffn_down", (n, ff)),
        ):
            shapes |= {f"blk.{il}.{name}.weight": sizes, f"blk.{il}.{name}.bias": sizes[:1]}
        for name in ("attn_norm", "ffn_norm"):
            shapes |= {f"blk.{il}.{name}.weight": (n,), f"blk.{il}.{name}.bias": (n,)}
    return shapes | {"output_norm.weight": (n,), "output_norm.bias": (n,)}


def llama_shapes() -> dict[str, tuple[int, ...]]:
    """embd=32, layer=2, head=4, kv=2, ff=48, ctx=32"""
    n, kv, ff = 32, 16, 48
    shapes: dict[str, tuple[int, ...]] = {"token_embd.weight": (VOCAB, n), "output_norm.weight": (n,)}
    for il in range(2):
        matrices = {
            "attn_q": (n, n), "attn_k": (kv, n), "attn_v": (kv, n), "attn_output": (n, n),
            "ffn_gate": (ff, n), "ffn_up": (ff, n), "ffn_down": (n, ff), "attn_norm": (n,), "ffn_norm": (n,),
        }  # fmt: skip
        shapes |= {f"blk.{il}.{name}.weight": sizes for name, sizes in matrices.items()}
    return shapes


def heads(x: Tensor, n_head: int) -> Tensor:
    """(batch, text, n) as (batch, n_head, text, n / n_head)."""
    return x.unflatten(-1, (n_head, -1)).transpose(1, 2)


def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Of heads (batch, n_head, text, d), each token to those before it: (batch, text, n_head d)."""
    group = q.shape[1] // k.shape[1]
    k, v = (x.repeat_interleave(group, dim=1) for x in (k, v))
    scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
    later = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
    return (scores.masked_fill(later, -torch.inf).softmax(-1) @ v).transpose(1, 2).flatten(2)


def gpt2(w: Weights, ids: Tensor) -> Tensor:
    """Logits (batch, text, VOCAB)."""

    def norm(name: str, x: Tensor) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], w[f"{name}.weight"], w[f"{name}.bias"], EPS)

    def linear(name: str, x: Tensor) -> Tensor:
        return F.linear(x, w[f"{name}.weight"], w[f"{name}.bias"])

    x = w["token_embd.weight"][ids] + w["position_embd.weight"][: ids.shape[1]]
    for il in range(2):
        blk = f"blk.{il}"
        q, k, v = (heads(part, 3) for part in linear(f"{blk}.attn_qkv", norm(f"{blk}.attn_norm", x)).chunk(3, -1))
        x = x + linear(f"{blk}.attn_output", attention(q, k, v))
        up = F.gelu(linear(f"{blk}.ffn_up", norm(f"{blk}.ffn_norm", x)), approximate="tanh")
        x = x + linear(f"{blk}.ffn_down", up)
    return norm("output_norm", x) @ w["token_embd.weight"].T


def rope(x: Tensor) -> Tensor:
    """Pairs of neighbours (2i, 2i + 1) of a head turn by position / 10000^(2i / d)."""
    text, d = x.shape[-2:]
    angles = torch.arange(text)[:, None] * 10000.0 ** (-torch.arange(0, d, 2, dtype=x.dtype) / d)
    turned = torch.view_as_complex(x.unflatten(-1, (-1, 2)).contiguous()) * torch.polar(torch.ones_like(angles), angles)
    return torch.view_as_real(turned).flatten(-2)


def llama(w: Weights, ids: Tensor) -> Tensor:
    """Logits (batch, text, VOCAB)."""

    def norm(name: str, x: Tensor) -> Tensor:
        return F.rms_norm(x, x.shape[-1:], w[f"{name}.weight"], EPS)

    def linear(name: str, x: Tensor) -> Tensor:
        return F.linear(x, w[f"{name}.weight"])

    x = w["token_embd.weight"][ids]
    for il in range(2):
        blk, y = f"blk.{il}", norm(f"blk.{il}.attn_norm", x)
        q, k, v = (heads(linear(f"{blk}.attn_{part}", y), n) for part, n in (("q", 4), ("k", 2), ("v", 2)))
        x = x + linear(f"{blk}.attn_output", attention(rope(q), rope(k), v))
        y = norm(f"{blk}.ffn_norm", x)
        x = x + linear(f"{blk}.ffn_down", F.silu(linear(f"{blk}.ffn_gate", y)) * linear(f"{blk}.ffn_up", y))
    return norm("output_norm", x) @ w["token_embd.weight"].T


Model = Callable[[Weights, Tensor], Tensor]
MODELS: dict[str, tuple[Model, dict[str, tuple[int, ...]]]] = {
    "gpt2": (gpt2, gpt2_shapes()),
    "llama": (llama, llama_shapes()),
}


def random_weights(shapes: dict[str, tuple[int, ...]], rng: np.random.Generator) -> Weights:
    """Such as float16 holds, of sizes at which attention is neither flat nor one-hot and no gradient is tiny."""
    found = {}
    for name, sizes in shapes.items():
        x = rng.standard_normal(sizes) * (1.2 / sizes[-1] ** 0.5 if len(sizes) > 1 else 0.2)
        x += 1.0 if name.endswith("norm.weight") else 0.0
        found[name] = torch.tensor(x.astype(np.float16).astype(np.float64), requires_grad=True)
    return found


def texts(rng: np.random.Generator) -> np.ndarray[Any, np.dtype[np.int32]]:
    """(STEPS, BATCH, TEXT + 1): most tokens follow from those before them, so that there is something to learn."""
    ids = np.empty((STEPS, BATCH, TEXT + 1), np.int32)
    ids[..., 0] = rng.integers(VOCAB, size=ids.shape[:2])
    for i in range(1, TEXT + 1):
        chance = rng.integers(VOCAB, size=ids.shape[:2])
        ids[..., i] = np.where(rng.random(ids.shape[:2]) < 0.8, (3 * ids[..., i - 1] + 7) % VOCAB, chance)
    return ids


def loss_of(model: Model, w: Weights, ids: Tensor) -> Tensor:
    return F.cross_entropy(model(w, ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten())


def steps(
    model: Model, w: Weights, batches: Iterable[Tensor], optimizer: torch.optim.Optimizer, schedule: Any = None
) -> dict[str, np.ndarray[Any, Any]]:
    """Of each step the loss before it, the length of all gradients before they are clipped, and the rate."""
    losses, norms, rates = [], [], []
    for ids in batches:
        optimizer.zero_grad()
        loss = loss_of(model, w, ids)
        loss.backward()
        norms.append(float(nn.utils.clip_grad_norm_(w.values(), CLIP)))
        losses.append(loss.item())
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if schedule is not None:
            schedule.step()
    return {"losses": np.array(losses), "norms": np.array(norms), "rates": np.array(rates)}


def adamw(w: Weights) -> tuple[torch.optim.Optimizer, Any]:
    groups = [
        {"params": [t for t in w.values() if t.ndim > 1], "weight_decay": DECAY},
        {"params": [t for t in w.values() if t.ndim == 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=RATE, betas=(0.9, 0.95), eps=1e-8)
    rise = LinearLR(optimizer, start_factor=1 / WARM_UP, total_iters=WARM_UP - 1)
    fall = CosineAnnealingLR(optimizer, STEPS - WARM_UP, eta_min=LAST * RATE)
    return optimizer, SequentialLR(optimizer, [rise, fall], [WARM_UP - 1])


def main() -> None:
    torch.set_num_threads(1)
    rng = np.random.default_rng(20)
    ids = texts(rng)
    batches = [torch.tensor(part, dtype=torch.long) for part in ids]
    arrays: dict[str, Any] = {"ids": ids.astype(np.uint8)}
    for name, (model, shapes) in MODELS.items():
        w = random_weights(shapes, rng)
        loss = loss_of(model, w, batches[0])
        loss.backward()
        arrays[f"{name}/loss"] = loss.item()
        for tensor, t in w.items():
            arrays[f"{name}/weights/{tensor}"] = t.detach().numpy().astype(np.float16)
            arrays[f"{name}/gradients/{tensor}"] = t.grad.numpy().astype(np.float32)
        if name != "gpt2":
            continue
        start = {tensor: t.detach().clone() for tensor, t in w.items()}
        arrays |= {f"adamw/{key}": found for key, found in steps(model, w, batches, *adamw(w)).items()}
        for tensor, t in w.items():
            t.data = start[tensor]
        sgd = torch.optim.SGD(w.values(), lr=SGD_RATE, momentum=MOMENTUM)
        arrays |= {f"sgd/{key}": found for key, found in steps(model, w, batches[:SGD_STEPS], sgd).items()}
    path = HERE / "gradients.npz"
    np.savez_compressed(path, **arrays)
    for key in ("gpt2/loss", "llama/loss", "adamw/losses", "adamw/norms", "adamw/rates", "sgd/losses", "sgd/norms"):
        print(key, arrays[key])
    print(path.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
