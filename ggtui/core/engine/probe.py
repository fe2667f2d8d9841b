"""Looks into the computation: the values that nodes make, and what the model would say after each of its layers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ggtui.core.engine.batch import Feed, Piece
from ggtui.core.engine.sampler import top
from ggtui.core.engine.session import Session
from ggtui.core.graph.dim import Dim
from ggtui.core.graph.ops import OPS
from ggtui.core.models.base import ModelGraph
from ggtui.core.runtime.compute import Graph
from ggtui.core.runtime.context import Context
from ggtui.core.runtime.device import Executable

CHUNK = 64  # tokens looked at together: all that is kept of them lies in memory at once
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class NodeValues:
    """What a node made, over all tokens. Least, most and mean are of what is a number; NaN where nothing is."""

    name: str
    op: str
    least: float
    most: float
    mean: float
    n: int
    n_nan: int


@dataclass(frozen=True, slots=True)
class Prediction:
    """The likeliest next tokens after one token, with their probabilities: of the model, and of each layer as if it
    were the last (the "logit lens": the output head applied to what the layer hands on)."""

    alternatives: tuple[tuple[int, float], ...]
    layers: tuple[tuple[tuple[int, float], ...], ...]


def _run(session: Session, feed: Feed, plan: Executable, part: Sequence[int]) -> None:
    sequence = session.sequence
    sequence.make_room(len(part))
    plan.run(session.pool, feed.fill([Piece(sequence, part)]))
    sequence.add(part)


def _parts(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    return (ids[at : at + CHUNK] for at in range(0, len(ids), CHUNK))


def node_values(session: Session, ids: Sequence[int]) -> list[NodeValues]:
    """The values of every node while `ids` are read from an empty context, without fusion, in the order of the graph.

    The session forgets its tokens.
    """
    session.reset()
    found: dict[int, list[float]] = {}  # of each node least, most, sum, n, n_nan
    for part in _parts(ids):
        graph, feed = session.engine.new_graph(len(part))
        nodes = graph.dag().nodes
        for node in nodes:
            graph.keep(node.dst)
        _run(session, feed, graph.plan(fused=False, **session.options), part)
        for i, node in enumerate(nodes):
            values = node.dst.numpy()
            if OPS[node.op].kind == "store":  # of the whole store only what was stored now
                slots = node.src[-1]
                assert slots is not None
                values = values[:, slots.numpy().astype(int)]
            numbers = values[~np.isnan(values)]
            s = found.setdefault(i, [np.inf, -np.inf, 0.0, 0, 0])
            if numbers.size:
                s[0], s[1] = min(s[0], float(numbers.min())), max(s[1], float(numbers.max()))
                s[2] += float(numbers.sum(dtype=np.float64))
            s[3], s[4] = s[3] + values.size, s[4] + values.size - numbers.size
    session.reset()
    return [_values(nodes[i].name, nodes[i].op, *s) for i, s in found.items()]


def _values(name: str, op: str, least: float, most: float, total: float, n: float, n_nan: float) -> NodeValues:
    n_numbers = n - n_nan
    if not n_numbers:
        least = most = total = float("nan")
    return NodeValues(name, op, least, most, total / (n_numbers or 1), int(n), int(n_nan))


def predictions(session: Session, ids: Sequence[int], k: int = 5) -> list[Prediction]:
    """What the model, and each of its layers, expects after each of `ids`, read from an empty context; the k likeliest.

    The session forgets its tokens.
    """
    session.reset()
    found = []
    n_vocab = session.tokenizer.n_vocab  # some models have more logits than tokens
    for part in _parts(ids):
        graph, feed = session.engine.new_graph(len(part))
        for x in graph.layers:
            graph.keep(x)
        _run(session, feed, graph.plan(**session.options), part)
        rows = graph.logits.numpy().reshape(len(part), -1)
        own = [tuple(top(row[:n_vocab], k)) for row in rows]
        states = [x.numpy().reshape(len(part), -1) for x in graph.layers]
        lens = [[tuple(top(row[:n_vocab], k)) for row in logits] for logits in _heads(session, graph, states)]
        found += [Prediction(mine, tuple(layers)) for mine, *layers in zip(own, *lens, strict=True)]
    session.reset()
    return found


def _heads(session: Session, graph: ModelGraph, states: Sequence[Floats]) -> Iterator[Floats]:
    """The logits (n_tokens, n_vocab) of each layer's state (n_tokens, n_embd)."""
    n_tokens, n_embd = states[0].shape
    x = Context().new_tensor_2d("f32", n_embd, Dim("n_tokens", n_tokens) if n_tokens > 1 else 1)
    logits = graph.head(x)
    lens = Graph()
    lens.build_forward_expand(logits)
    plan = lens.plan(**session.options)
    for state in states:
        x.bytes().view(np.float32)[:] = state.reshape(-1)
        plan.run(session.pool, {"n_tokens": n_tokens})
        yield logits.numpy().reshape(n_tokens, -1)
