"""Tables of what is measured beside traces: kernels alone, and one quantization or device against another."""

from __future__ import annotations

from collections.abc import Sequence

from ggtui.perf.against import Blame
from ggtui.perf.kernels import KernelTime
from ggtui.viz.tables import DASH, Columns, duration, rate
from ggtui.viz.text import printable_line

Table = tuple[str, Columns, list[list[str]]]


def kernel_table(kernels: Sequence[KernelTime], where: str) -> Table:
    """`where`: what each ran on."""
    columns = [("kernel", "left"), ("isa", "left"), ("shape", "left")]
    columns += [(name, "right") for name in ("time", "GB/s", "GFLOP/s", "limit")]
    lines = []
    for k in kernels:
        limit = DASH if k.of_limit is None else f"{k.of_limit:.0%} {k.limit[:3]}"
        lines.append(
            [k.kernel, k.isa, k.shape, duration(k.ns), rate(k.traffic / k.ns * 1e9), rate(k.flops / k.ns * 1e9), limit]
        )
    return f"kernels, each alone on {where}", columns, lines


def blame_table(blame: Blame, top: int | None = None) -> Table:
    """What brings in most error first."""
    columns = [("node", "left"), ("op", "left"), ("type", "left")]
    columns += [(name, "right") for name in ("added", "NMSE", "cosine", "time", "time 2", "change")]
    lines = []
    for n in blame.nodes[:top]:
        kind = n.type if n.type == n.type2 else f"{n.type} > {n.type2}"
        change = f"{n.ns2 / n.ns - 1:+.0%}" if n.ns else DASH
        lines.append(
            [
                n.key,
                n.op,
                kind,
                f"{n.added:.2e}",
                f"{n.nmse:.2e}",
                f"{n.cosine:.6f}",
                duration(n.ns),
                duration(n.ns2),
                change,
            ]
        )
    title = f"{blame.second} against {blame.first}: {blame.n_tokens} tokens, most error added first"
    return title, columns, lines


def blame_notes(blame: Blame) -> list[str]:
    """What comes of it, in plain words."""
    change = f" ({blame.ns2 / blame.ns - 1:+.0%})" if blame.ns else ""
    times = f"{blame.first} {duration(blame.ns)}, {blame.second} {duration(blame.ns2)}{change}"
    return [
        f"logits: KL divergence {blame.kl:.3e} nats a token; the likeliest token is the same for {blame.same_top:.1%}",
        printable_line(f"time, every op by itself: {times}"),
    ]
