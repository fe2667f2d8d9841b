"""Looking into a token that was read before: it is evaluated again, on a plan that keeps inner results.

Keys and values of the tokens before it still lie in their pages, and on the CPU a plan that keeps more gives the same
bits, so it is the same run: what it writes to the pages is what lies there, and its logits are those it had. On a GPU a
token alone is added up in another order than in a prompt, so both may differ in their last bits.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ggtui.core.engine.engine import Engine
from ggtui.core.engine.memory import Sequence
from ggtui.core.errors import UsageError
from ggtui.core.graph.ops import PAGE
from ggtui.core.graph.ops.in_numpy.attention import soft_max
from ggtui.core.graph.tensor import Tensor
from ggtui.core.models.base import values
from ggtui.core.runtime.describe import unique_keys

Doubles = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Inner:
    """Of one token its logits, float32 (n_vocab,), and the values of nodes by their keys, as `Tensor.numpy` shapes
    them."""

    logits: NDArray[np.float32]
    values: dict[str, NDArray[np.float32]]


class Attention(NamedTuple):
    """How each head of a layer weighs what a token saw: weights (n_head, n), of positions `first` on. They sum to 1, or
    with a sink to less."""

    first: int
    weights: Doubles


class Looker:
    """Evaluates tokens of an engine's sequences again and keeps what the nodes of these keys made, or all. Keys are
    those of a graph in which nothing is fused (`NodeInfo.key`)."""

    def __init__(self, engine: Engine, names: Iterable[str] | None = None) -> None:
        """Raises UsageError for a key that no node has."""
        self._engine = engine
        self._graph, self._feed = engine.new_graph(1, 1)
        nodes = self._graph.dag().nodes
        by_key = {key: node.dst for key, node in zip(unique_keys(nodes), nodes, strict=True) if node.op != "set_rows"}
        names = list(by_key) if names is None else list(names)  # but of the pages, where these lie
        for name in names:
            if name not in by_key:
                raise UsageError(f"there is no node {name!r}; the first ones are {', '.join(list(by_key)[:5])}")
        self._kept = {name: by_key[name] for name in names}
        self._attention = [node.dst for node in nodes if node.op == "paged_attention"]
        queries = [node.src[0] for node in nodes if node.op == "paged_attention"]
        for t in (*self._kept.values(), *(q.root for q in queries if q is not None)):
            self._graph.keep(t)
        self._plan = self._graph.plan(fused=engine.fused, **engine.options)

    def at(self, sequence: Sequence, position: int) -> Inner:
        """The token that the sequence read at that position.

        Raises UsageError where there is none, where a window has passed what it saw, and while another thread reads on
        the sequence.
        """
        with self._engine.alone, sequence.reader:
            self._run(sequence, position)
            kept = {name: t.numpy().copy() for name, t in self._kept.items()}
            return Inner(self._graph.logits.numpy().reshape(-1).copy(), kept)

    def attention(self, sequence: Sequence, position: int, layer: int) -> Attention:
        """How the token at that position weighed those that it saw, computed from its query and the keys in the pages.
        Raises what `at` does, and UsageError for a layer that there is not."""
        if not 0 <= layer < len(self._attention):
            raise UsageError(f"layer {layer}: the model has 0 to {len(self._attention) - 1}")
        t = self._attention[layer]
        q, k, _, seen, pages, sinks = t.src
        assert q is not None and k is not None and seen is not None and pages is not None
        with self._engine.alone, sequence.reader:
            self._run(sequence, position)
            row, first, end = values(seen).tolist()
            at = np.arange(first, end)
            slots = values(pages).reshape(pages.ne[1], -1)[row, at // PAGE] * PAGE + at % PAGE
            keys = self._keys(k, slots)  # (n_head_kv, n, d_k)
            queries = q.numpy()[:, 0].astype(np.float64)  # (n_head, d_k)
        scale, softcap = (float(p) for p in t.op_params)
        scores = np.einsum("hd,hnd->hn", queries, np.repeat(keys, len(queries) // len(keys), axis=0)) * scale
        if softcap > 0:
            scores = softcap * np.tanh(scores / softcap)
        of_sinks = None if sinks is None else sinks.numpy().astype(np.float64)
        return Attention(first, soft_max((1.0, 0.0), scores[None, :, None], None, of_sinks)[0, :, 0])

    def _keys(self, k: Tensor, slots: NDArray[np.int64]) -> Doubles:
        root = k.root  # what is stored, before and after this run
        return np.asarray(root.numpy()[:, slots], np.float64)

    def _run(self, sequence: Sequence, position: int) -> None:
        engine = self._engine
        engine.check_owner(sequence)
        if not 0 <= position < sequence.n_past:
            raise UsageError(f"position {position}: the sequence has read 0 to {sequence.n_past - 1}")
        for group, told in enumerate(engine.memory.store.groups):
            if told.window and sequence.first[group] * PAGE > max(0, position - told.window + 1):
                raise UsageError(
                    f"position {position}: a window has passed what it saw; read the text again as far as there"
                )
        self._feed.fill_one(sequence, sequence.tokens[position], position)
        self._plan.show()
        self._plan.run(engine.pool, {"n_tokens": 1})
