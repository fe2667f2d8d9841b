"""A model's graph, ready to run, and its memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ggtui.core.models.base import Inputs, ModelGraph
from ggtui.core.runtime.device import Executable


@dataclass(slots=True)
class Runner:
    """The graph for up to `capacity` tokens."""

    index: int
    inputs: Inputs
    graph: ModelGraph
    plan: Executable
    recorder: Any
    capacity: int
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
