"""Why a model gives no numbers: its weights, or keys and values that the type of the cache does not hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from ggtui.core.errors import LogitsError
from ggtui.core.models.base import Inputs, ModelGraph
from ggtui.core.models.kv_cache import KVCache


class Session(Protocol):
    """What this needs of one (session.Session)."""

    pool: Any
    kv_type: str
    batch: int
    n_past: int

    @property
    def tokens(self) -> Sequence[int]: ...
    @property
    def options(self) -> Mapping[str, Any]: ...
    def new_cache(self, kv_type: str) -> KVCache: ...
    def new_graph(self, n_tokens: int, *, last_only: bool, kv: KVCache | None) -> tuple[ModelGraph, Inputs]: ...


def blamed(session: Session, error: LogitsError) -> LogitsError:
    """The error, or one that says what to do where it is the cache that is to blame."""
    if session.kv_type == "f32" or not _numbers_in_f32(session):
        return error
    return LogitsError(
        f"the logits are not all numbers: a key or value is too large for {session.kv_type}; use --kv-type f32"
    )


def _numbers_in_f32(session: Session) -> bool:
    """Whether the tokens in the context give numbers with keys and values in f32: all are read again, into a cache that
    is dropped."""
    tokens = session.tokens[: session.n_past]
    kv = session.new_cache("f32")
    for at in range(0, len(tokens), session.batch):
        part = tokens[at : at + session.batch]
        graph, inputs = session.new_graph(len(part), last_only=True, kv=kv)
        graph.plan(**session.options).run(session.pool, inputs.fill(part, at))
    return bool(tokens) and bool(np.isfinite(graph.logits.numpy()).all())
