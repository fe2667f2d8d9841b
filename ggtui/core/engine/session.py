"""Sessions: a model in memory, the tokens it has read, and what it says next."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self, Unpack

import numpy as np
from numpy.typing import NDArray

from ggtui.core.engine.engine import Engine, check_options
from ggtui.core.engine.generation import Generation, Options
from ggtui.core.engine.model import Model
from ggtui.core.engine.overflow import blamed
from ggtui.core.engine.run_info import run_info
from ggtui.core.engine.sampler import top
from ggtui.core.engine.steps import Stats
from ggtui.core.errors import LogitsError, UsageError
from ggtui.core.files import ModelFile
from ggtui.core.graph.tensor import Tensor
from ggtui.core.models.loading import Progress
from ggtui.core.models.store import Store
from ggtui.core.runtime.busy import Watch
from ggtui.core.runtime.record import GraphInfo, MemoryUse, RunInfo, TokenRecord, Trace
from ggtui.core.vocab import TEMPLATE, Vocabulary


class Session:
    """One model and one sequence. `load` makes one; `close` or a `with` gives back what it holds at once, else its last
    reference.

    model, engine, sequence   what it runs, on what, and what it has read
    n_past  tokens in the context; tokens  which they are, and after them, when a generation has ended, the last token
            chosen, which the model has not read yet
    logits  of the last token read, float32 (n_vocab,)
    stop_reason  why the last generation ended: "n_predict", "end of text", "stop text" or "context full"
    """

    def __init__(
        self,
        path: str | Path | ModelFile | None = None,
        *,
        device: str = "cpu",
        layers_on: str | None = None,
        threads: int | None = None,
        pre: str | None = None,
        adapter: str | Path | None = None,
        talk: bool = False,
        progress: Progress | None = None,
        **options: Any,
    ) -> None:
        started = time.perf_counter_ns()
        self._closed = False
        check_options(**options)  # sooner than a large file is read

        def ready(model: Model) -> None:
            self.engine = Engine(model, threads=threads, **options)
            self.engine.began_ns = started
            if talk and TEMPLATE in model.metadata:  # its prompts are never a single token
                self.engine.prepare()

        if layers_on is not None:
            if not re.fullmatch(r"[a-z]+(:[0-9]+)?=[0-9]+", layers_on):
                raise UsageError(f"layers-on {layers_on!r}: say DEVICE=N, for example vulkan=20")
            device = f"{device},{layers_on}"
        self.model = Model(
            path,
            device=device,
            threads=threads,
            pre=pre,
            adapter=adapter,
            talk=talk,
            meanwhile=ready,
            progress=progress,
        )
        self.sequence = self.engine.open()
        self._generation: Generation | None = None
        self.stats, self.watch = Stats(), Watch()
        self.stats.load_ns = time.perf_counter_ns() - started

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give back weights, cache and threads now. Afterwards nothing can be read or generated; what is known of the
        model, and the tokens, stay."""
        if not self._closed:
            self._closed = True
            self.engine.close()
            self.model.close()

    def _check_open(self) -> None:
        if self._closed:
            raise UsageError("the session is closed; load the model again")

    @property
    def path(self) -> Path:
        return self.model.path

    @property
    def hparams(self) -> Any:
        return self.model.hparams

    @property
    def metadata(self) -> dict[str, Any]:
        return self.model.metadata

    @property
    def weights(self) -> dict[str, Tensor]:
        return self.model.weights

    @property
    def tokenizer(self) -> Vocabulary:
        return self.model.tokenizer

    @property
    def n_ctx(self) -> int:
        return int(self.engine.n_ctx)

    @property
    def batch(self) -> int:
        return int(self.engine.batch)

    @property
    def threads(self) -> int:
        self._check_open()
        return self.engine.threads

    @property
    def pool(self) -> Any:
        self._check_open()
        return self.engine.pool

    @property
    def options(self) -> dict[str, Any]:
        self._check_open()
        return self.engine.options

    @property
    def kv_type(self) -> str:
        return self.engine.kv_type

    @property
    def fused(self) -> bool:
        return self.engine.fused

    @property
    def profile(self) -> str:
        return self.engine.profile

    @property
    def isa(self) -> str:
        self._check_open()
        return self.engine.isa

    @property
    def device(self) -> str:
        return self.engine.device.name

    @property
    def kv(self) -> Store:
        self._check_open()
        return self.engine.memory.store

    @property
    def tokens(self) -> list[int]:
        return self.sequence.tokens

    @property
    def n_past(self) -> int:
        return self.sequence.n_past

    @property
    def logits(self) -> NDArray[np.float32]:
        return self.engine.logits_of(self.sequence) if self.n_past else np.zeros(self.hparams.n_vocab, np.float32)

    @property
    def recording(self) -> bool:
        """Whether runs are recorded, as `profile` says."""
        return self.engine.recording

    @recording.setter
    def recording(self, on: bool) -> None:
        self.engine.recording = on

    def reset(self) -> None:
        """Forget all tokens."""
        self.rewind(0)

    def rewind(self, n_tokens: int) -> None:
        """Forget all but the first `n_tokens` tokens."""
        self._check_open()
        self.engine.rewind(self.sequence, n_tokens)

    def eval(self, ids: Sequence[int], all_logits: bool = False) -> NDArray[np.float32]:
        """Read `ids` after what was read before.

        Returns the logits of the last token, float32 (n_vocab,), or of each of `ids`, (n_tokens, n_vocab).
        Raises UsageError for no tokens or a token that does not exist, ContextFullError when they don't fit; then
        nothing is read.
        """
        self._check_open()
        with self.sequence.reader:
            del self.tokens[self.n_past :]
            return self.engine.read(self.sequence, ids, all_logits=all_logits)[0]

    def generate(self, prompt: str | Sequence[int], n_predict: int = 200, **options: Unpack[Options]) -> Generation:
        """Go on from what was read, then `prompt`, for up to `n_predict` tokens: an iterator of Steps, see Generation
        and Options. Afterwards `stop_reason` says why it ended."""
        self._check_open()
        self._generation = Generation(self.engine, self.sequence, prompt, n_predict, stats=self.stats, **options)
        return self._generation

    @property
    def stop_reason(self) -> str:
        return "" if self._generation is None else self._generation.stop_reason

    def top(self, k: int) -> list[tuple[int, float]]:
        """The k likeliest tokens after the last one read, with their probabilities under the model, likeliest first.
        Raises LogitsError, as `generate` does, where the logits are not all numbers."""
        try:
            return top(self.logits[: self.tokenizer.n_vocab], k)
        except LogitsError as error:
            raise blamed(self.engine, self.tokens[: self.n_past], error) from None

    def memory(self) -> MemoryUse:
        """Bytes by owner, now."""
        self._check_open()
        return self.engine.memory_use()

    def graphs(self) -> tuple[GraphInfo, ...]:
        """The graphs that token records point at by `graph`."""
        self._check_open()
        return self.engine.graphs()

    def clear_totals(self) -> None:
        """Begin a light profile's sums anew, and what is said of how busy the machine is."""
        self.watch.begin()
        self.engine.clear_totals()

    def trace(self, tokens: Iterable[TokenRecord]) -> Trace:
        """A trace of the given evaluations, to save or show; of a light profile with the sums since clear_totals()."""
        return Trace(self.graphs(), tuple(tokens), self.memory(), self.run_info(), self.engine.totals())

    def run_info(self) -> RunInfo:
        """What this session runs, where and how."""
        return run_info(self)

    def stop(self) -> None:
        """End the evaluation under way, if there is one, at its next node, or layer on a GPU; from any thread."""
        if not self._closed:
            self.engine.stop()


def load(path: str | Path | ModelFile | None = None, **options: Any) -> Session:
    """Load a model, or without a path the built-in one. An open file stays open.

    Options: threads (default: the cores this process may use), ctx (tokens of context, at most the model's own,
    which is the default), kv_type ("f16", "f32" or "q8_0"), batch (tokens read at once), isa, device (a name as
    runtime/several.py has it), layers_on (another device for the first layers: "vulkan=20"), fused, record
    ("full" or True: node records in each Step; "light": only their sums, in `trace()`), rest (True: threads may, where
    fewer are faster beside other programs), pre (how the vocabulary splits text, whatever the file says),
    adapter (a LoRA adapter's file), talk (get
    ready for prompts by its chat template), progress (called with the bytes of the weights that are in memory, and of
    all, from the threads that fill it; see Filling). Prints nothing. Raises UsageError, ModelFileError,
    MissingPartError.
    """
    return Session(path, **options)
