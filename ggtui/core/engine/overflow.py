"""Why a model gives no numbers: its weights, or keys and values that the type of the cache does not hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from ggtui.core.engine.batch import Feed, Piece
from ggtui.core.engine.memory import Memory
from ggtui.core.errors import LogitsError
from ggtui.core.models.base import ModelGraph


class Engine(Protocol):
    """What this needs of one (engine.Engine)."""

    pool: Any
    kv_type: str
    batch: int

    @property
    def options(self) -> Mapping[str, Any]: ...
    def new_memory(self, kv_type: str) -> Memory: ...
    def new_graph(self, n_tokens: int, n_outputs: int, memory: Memory) -> tuple[ModelGraph, Feed]: ...


def blamed(engine: Engine, tokens: Sequence[int], error: LogitsError) -> LogitsError:
    """The error, or one that says what to do where it is the cache that is to blame. `tokens` are those that were
    read."""
    if engine.kv_type == "f32" or not _numbers_in_f32(engine, tokens):
        return error
    return LogitsError(
        f"the logits are not all numbers: a key or value is too large for {engine.kv_type}; use --kv-type f32"
    )


def _numbers_in_f32(engine: Engine, tokens: Sequence[int]) -> bool:
    """Whether the tokens give numbers with keys and values in f32: all are read again, into a memory that is
    dropped."""
    memory = engine.new_memory("f32")
    sequence = memory.open()
    for at in range(0, len(tokens), engine.batch):
        part = tokens[at : at + engine.batch]
        graph, feed = engine.new_graph(len(part), 1, memory)
        sequence.make_room(len(part))
        graph.plan(**engine.options).run(engine.pool, feed.fill([Piece(sequence, part)]))
        sequence.add(part)
    return bool(tokens) and bool(np.isfinite(graph.logits.numpy()).all())
