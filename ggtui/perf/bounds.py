"""What the machine's limits allow nodes and whole evaluations, and how near they come."""

from __future__ import annotations

from collections.abc import Sequence
from math import log

import numpy as np

from ggtui.core.runtime.record import Limits, NodeInfo

_FLOATS = ("f32", "f16", "bf16", "i32")


def limited(limits: Limits, node: NodeInfo) -> bool:
    """Whether the limits are those of the device that runs the node; of what costs nothing they say nothing either."""
    return node.device in ("", limits.device) or not (node.flops.terms or node.traffic.terms)


def peak(limits: Limits, node: NodeInfo) -> float:
    """Operations a second that the machine allows a node: 8-bit products for quantized weights where its device has
    them, else f32."""
    return limits.int8 or limits.f32 if "product" in node.kinds and node.type not in _FLOATS else limits.f32


def read_rate(limits: Limits, n_bytes: float) -> float | None:
    """Bytes a second at which so many bytes are read over and over, between the measured sizes on a log scale."""
    return _between_sizes(limits, [rate for _, rate in limits.read], n_bytes)


def read_least(limits: Limits, n_bytes: float) -> float | None:
    """As read_rate, of the slowest probes."""
    return _between_sizes(limits, limits.least[2:], n_bytes) if limits.least else read_rate(limits, n_bytes)


def read_earlier(limits: Limits, n_bytes: float) -> tuple[float, float] | None:
    """As read_rate, the least and the most of earlier measurements; None where there were none."""
    low, high = (_between_sizes(limits, [pair[i] for pair in limits.earlier[2:]], n_bytes) for i in range(2))
    return None if low is None or high is None else (low, high)


def _between_sizes(limits: Limits, rates: Sequence[float], n_bytes: float) -> float | None:
    """None where there are no rates; else one of each size of limits.read."""
    if not rates:
        return None
    known = sorted(zip((log(size) for size, _ in limits.read), rates, strict=True))
    return float(np.interp(log(max(n_bytes, 1.0)), [x for x, _ in known], [rate for _, rate in known]))


def binding(
    limits: Limits | None, n_bytes: float, in_all: float, compute: float, ns: float
) -> tuple[str, float | None]:
    """What binds work of `ns` on n_bytes, and what part of that limit it reached: "memory", "cache" or "compute"; ""
    and None where limits were not measured or there is nothing to bind.

    in_all   bytes that the whole evaluation touches over and over, which memory or a cache gives at the rate of as many
    compute  seconds that arithmetic needs at least

    What is faster than that rate was still in a cache nearer by, and is held against that cache: the largest one that
    is fast enough. What is faster than all of them shows that the probes were slow, and takes the limit's place.
    """
    rate = read_rate(limits, in_all) if limits else None
    if limits is None or rate is None or not ns or not (n_bytes or compute):
        return "", None
    seconds = ns * 1e-9
    if compute >= n_bytes / rate:
        return "compute", min(compute / seconds, 1.0)
    reached = n_bytes / seconds
    if reached <= rate:
        return "memory", reached / rate
    nearer = [r for size, r in sorted(limits.read, reverse=True) if size < in_all and r >= reached]
    return "cache", reached / nearer[0] if nearer else 1.0
