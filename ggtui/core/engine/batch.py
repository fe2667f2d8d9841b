"""What an engine reads in one step: tokens of one or several sequences, and the plan that they go through."""

from __future__ import annotations

from collections.abc import Sequence as Seq
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ggtui.core.engine.memory import Memory, Sequence
from ggtui.core.graph.ops import PAGE
from ggtui.core.models.base import Inputs, ModelGraph, values
from ggtui.core.runtime.device import Executable

MAX_OUTPUTS = 64  # tokens of a step whose logits are wanted: those of many tokens and a large vocabulary are gigabytes


class Piece(NamedTuple):
    """The next tokens of a sequence, and of which of them logits are wanted."""

    sequence: Sequence
    tokens: Seq[int] | NDArray[np.int64]
    outputs: Seq[int] = (-1,)


class _Group(NamedTuple):
    """What lies in the memory of a memory group's inputs; `seen` has a row for each token, `rows` one for each
    sequence."""

    slots: NDArray[np.int32]
    seen: NDArray[np.int32]
    rows: NDArray[np.int32]
    window: int


class Feed:
    """Fills a graph's inputs with pieces of a memory's sequences."""

    def __init__(self, inputs: Inputs, memory: Memory) -> None:
        self.n_tokens, self._outputs = inputs.n_tokens, None if inputs.outputs is None else values(inputs.outputs)
        self._tokens, self._positions = values(inputs.tokens), values(inputs.positions)
        self._groups = []
        for group, rows in zip(memory.store.groups, memory.rows, strict=True):
            attended = inputs.layers[group.layers[0]]
            seen = values(attended.seen).reshape(-1, 3)
            seen[:] = 0
            self._groups.append(_Group(values(attended.slots), seen, rows, group.window))

    def fill(self, pieces: Seq[Piece]) -> dict[str, int]:
        """The inputs, with pieces that have room. Returns the run-time sizes."""
        if self.n_tokens == 1:  # which a generation waits for
            ((sequence, tokens, _),) = pieces
            self.fill_one(sequence, int(tokens[0]), sequence.n_past)
            return {"n_tokens": 1}
        at, wanted = 0, []
        for sequence, tokens, outputs in pieces:
            n = len(tokens)
            positions = np.arange(sequence.n_past, sequence.n_past + n)
            part = slice(at, at + n)
            self._tokens[part], self._positions[part] = tokens, positions
            for slots, seen, rows, window in self._groups:
                slots[part] = rows[sequence.row, positions // PAGE] * PAGE + positions % PAGE
                seen[part, 0] = sequence.row
                seen[part, 1] = np.maximum(positions - (window - 1), 0) if window else 0
                seen[part, 2] = positions + 1
            wanted += [at + i % n for i in outputs]
            at += n
        if self._outputs is None:
            return {"n_tokens": at}
        self._outputs[: len(wanted)] = wanted
        return {"n_tokens": at, "n_outputs": len(wanted)} if len(self._outputs) > 1 else {"n_tokens": at}

    def fill_one(self, sequence: Sequence, token: int, position: int) -> None:
        """The inputs of a single token, with one at that position of a sequence, which has room there."""
        row = sequence.row
        self._tokens[0], self._positions[0] = token, position
        for slots, seen, rows, window in self._groups:
            slots[0] = int(rows[row, position // PAGE]) * PAGE + position % PAGE
            seen[0, 0] = row
            seen[0, 1] = max(0, position - window + 1) if window else 0
            seen[0, 2] = position + 1


@dataclass(slots=True)
class Runner:
    """The graph for up to `capacity` tokens, ready to run.

    logits  float32 (most that it gives, n_vocab), where runs put them
    """

    index: int
    graph: ModelGraph
    feed: Feed
    plan: Executable
    recorder: Any
    capacity: int
    logits: NDArray[np.float32]
    filled: bool = False  # much of its memory

    def take_memory(self, n_tokens: int) -> None:
        """To be called before it runs so many tokens."""
        if 4 * n_tokens > self.capacity:  # else most of a huge page would be empty
            self.filled = True
            self.plan.use_huge_pages()

    def give_memory_back(self) -> None:
        """Hand the memory of a large batch's intermediates to the system while single tokens are run: 12 MB for 512
        tokens of GPT-2 124M, which the next batch gets anew within a millisecond."""
        if self.filled and self.capacity > 1:
            self.filled = False
            self.plan.give_back()
