"""How much a model says otherwise when a tensor is stored in fewer bits, told by gradients and not by trying.

For small changes d of the weights, the Kullback-Leibler divergence of what the model says then from what it says now is
1/2 d F d a token, F being the Fisher information: the mean of g g', with g the gradient of the log of a token's
probability and the token drawn from the model itself (Amari 1998). Of F the diagonal is kept, as Optimal Brain Damage
does (LeCun et al. 1989). The gradient of the mean over n tokens that were so drawn has, squared and times n, that
diagonal as its mean: one walk back for a batch gives it for all tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ggtui.core.engine.session import Session
from ggtui.core.errors import UsageError
from ggtui.core.files import ModelFile, open_model
from ggtui.core.files.convert import is_matrix
from ggtui.core.files.mixes import fitting
from ggtui.core.graph.types import TYPES, TensorType
from ggtui.core.models.adapters import merged
from ggtui.core.runtime.cpu.codec import decode_rows, encode_rows
from ggtui.core.training.data import windows
from ggtui.core.training.graph import Ids
from ggtui.core.training.optimizers import Sgd
from ggtui.core.training.seeds import generator
from ggtui.core.training.trainer import Trainer

Floats = NDArray[np.float32]
# What a matrix may be stored as, smallest first.
CANDIDATES = ("q2_k", "q3_k", "iq4_xs", "q4_k", "q5_k", "q6_k", "q8_0", "f16")
SHOWN = ("q8_0", "q6_k", "q5_k", "q4_k", "q3_k", "q2_k")  # types whose costs are told
Progress = Callable[[int, int], None]  # how much is done, and of how much
_ROWS = 1 << 20  # weights that are stored and read back at a time


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """A matrix. fisher: the sum of its diagonal; costs: of each type it may have, smallest first, the type, its bytes
    and the divergence in nats a token that it is expected to bring."""

    name: str
    ne: tuple[int, ...]
    fisher: float
    costs: tuple[tuple[TensorType, int, float], ...]


def texts_of(model: ModelFile, text: str | None, threads: int | None, n_ctx: int = 256, n_texts: int = 16) -> list[Ids]:
    """What a model is asked about, i32 (1, n + 1) each: windows of a text, or where there is none what it says by
    itself. Raises UsageError for a text of fewer than two tokens."""
    with Session(model, threads=threads) as session:
        n_ctx = min(n_ctx, session.n_ctx - 1)
        if text is not None:
            ids = np.array(session.tokenizer.begin(text), np.int32)
            if len(ids) < 2:
                raise UsageError(f"the text has {len(ids)} tokens; give one of at least 2, rather of some thousands")
            return list(windows(ids, min(n_ctx, len(ids) - 1), n_texts)[:, None])
        first = session.tokenizer.bos if session.tokenizer.bos is not None else session.tokenizer.eos or 0
        told = []
        for seed in range(n_texts):
            session.reset()
            steps = session.generate([first], n_ctx, temp=1, top_k=0, top_p=1, seed=seed, ignore_eos=True)
            told.append(np.array([[first, *(step.token for step in steps)]], np.int32))
    return told


def fisher(
    trainer: Trainer, batches: Sequence[Ids], seed: int = 0, progress: Progress | None = None
) -> dict[str, Floats]:
    """The diagonal of the Fisher information, of each tensor in its shape: a mean over all tokens of the batches, i32
    (batch, n + 1)."""
    sums: dict[str, Floats] = {}
    for i, ids in enumerate(batches):
        n = ids[:, 1:].size
        drawn = _drawn(trainer.logits(ids), generator(seed, i))
        _, gradients = trainer.loss_and_gradients(ids, drawn.reshape(ids[:, 1:].shape))
        for name, g in gradients.items():
            g *= g
            g *= np.float32(n / len(batches))
            if name in sums:
                sums[name] += g
            else:
                sums[name] = g
        if progress is not None:
            progress(i + 1, len(batches))
    return sums


def _drawn(logits: Floats, rng: np.random.Generator) -> NDArray[np.int32]:
    """A token of each row, (n, n_vocab), by the probabilities that the logits say."""
    found = np.empty(len(logits), np.int32)
    for row, (values, part) in enumerate(zip(logits, rng.random(len(logits)), strict=True)):
        sums = np.cumsum(np.exp(values - values.max(), dtype=np.float64))
        found[row] = np.searchsorted(sums, part * sums[-1], side="right")
    return found


def sensitivities(
    weights: Mapping[str, Floats],
    diagonal: Mapping[str, Floats],
    types: Iterable[str] = CANDIDATES,
    progress: Progress | None = None,
    own: Mapping[str, TensorType] | None = None,
) -> list[Sensitivity]:
    """Of each matrix what types it may have cost. Types that its rows are no whole blocks of stand for what takes their
    place. `own`: the types of the matrices as they are, which cost nothing; larger ones are none that they may have."""
    matrices = {n: w for n, w in weights.items() if w.ndim == 2 and is_matrix(n, len(w))}
    if not matrices:
        raise UsageError("the model has no matrices to store otherwise")
    found, done, total = [], 0, sum(w.size for w in matrices.values())
    for name, w in matrices.items():
        kinds = dict.fromkeys(fitting(TYPES[t], w.shape[1]) for t in types)
        costs = [(t, t.row_bytes(w.shape[1]) * len(w), _cost(t, w, diagonal[name])) for t in kinds]
        if own is not None:
            n_bytes = own[name].row_bytes(w.shape[1]) * len(w)
            costs = [*(cost for cost in costs if cost[1] < n_bytes), (own[name], n_bytes, 0.0)]
        costs.sort(key=lambda cost: cost[1:])
        found.append(Sensitivity(name, w.shape[::-1], float(diagonal[name].sum(dtype=np.float64)), tuple(costs)))
        done += w.size
        if progress is not None:
            progress(done, total)
    return found


def nats(found: Iterable[Sensitivity]) -> dict[str, dict[str, float]]:
    """Of each matrix the divergence that it would bring as each of SHOWN, or as what takes the place of one."""
    told = {}
    for s in found:
        costs = {type.name: kl for type, _, kl in s.costs}
        told[s.name] = {t: costs[fitting(TYPES[t], s.ne[0]).name] for t in SHOWN}
    return told


def kl_over(
    session: Session, ids: Sequence[int], tell: Callable[[float], None], n_ctx: int = 256, n_texts: int = 8
) -> dict[str, dict[str, float]]:
    """`nats` of a session's model, with its adapter, over windows of these tokens. `tell` hears how much is done, 0 to
    1. Raises UsageError for fewer than two tokens, and as Trainer does."""
    if len(ids) < 2:
        raise UsageError("nothing was said yet that fewer bits could change")
    texts = windows(np.array(ids, np.int32), max(1, min(n_ctx, session.n_ctx - 1, len(ids) - 1)), n_texts)
    adapter = session.model.adapter
    with open_model(session.path) as file:
        trainer = Trainer(file if adapter is None else merged(file, adapter), optimizer=Sgd(), threads=session.threads)
    diagonal = fisher(trainer, list(texts[:, None]), progress=lambda done, total: tell(done / total / 2))
    return nats(sensitivities(trainer.weights(), diagonal, SHOWN, lambda done, total: tell((1 + done / total) / 2)))


def _cost(type: TensorType, w: Floats, diagonal: Floats) -> float:
    """1/2 the sum of diagonal times squared error."""
    total, step = 0.0, max(1, _ROWS // w.shape[1])
    for first in range(0, len(w), step):
        rows = np.ascontiguousarray(w[first : first + step])
        error = decode_rows(type, encode_rows(type, rows)) - rows
        total += float(np.einsum("ij,ij,ij->", diagonal[first : first + step], error, error, dtype=np.float64))
    return total / 2


def choose(found: Sequence[Sensitivity], n_bytes: int, beside: int = 0) -> dict[str, TensorType]:
    """The type of each matrix, so that all together, with what a file has `beside` them, take at most n_bytes and the
    divergence is about the least: from the smallest on, always the step that lowers it most for its bytes. Raises
    UsageError where even the smallest take more."""
    ladders = {s.name: _hull(s.costs) for s in found}
    at = dict.fromkeys(ladders, 0)
    used = beside + sum(ladder[0][1] for ladder in ladders.values())
    if used > n_bytes:
        raise UsageError(f"budget: the file takes at least {used:,} bytes, in the smallest types; allow more")
    steps = sorted(
        ((a[2] - b[2]) / (b[1] - a[1]), b[1] - a[1], name, i + 1)
        for name, ladder in ladders.items()
        for i, (a, b) in enumerate(pairwise(ladder))
    )
    stuck: set[str] = set()
    # Along a hull steps gain less and less, so those of a matrix come in order.
    for _, more, name, i in reversed(steps):
        if name in stuck or used + more > n_bytes:
            stuck.add(name)
            continue
        used, at[name] = used + more, i
    return {name: ladders[name][i][0] for name, i in at.items()}


def _hull(costs: Sequence[tuple[TensorType, int, float]]) -> list[tuple[TensorType, int, float]]:
    """The types that no mixture of others beats: bytes rise, divergence falls, less and less for a byte."""
    kept: list[tuple[TensorType, int, float]] = []
    for cost in costs:
        if kept and cost[2] >= kept[-1][2]:
            continue
        while len(kept) > 1 and _gain(kept[-1], cost) >= _gain(kept[-2], kept[-1]):
            kept.pop()
        kept.append(cost)
    return kept


def _gain(a: tuple[TensorType, int, float], b: tuple[TensorType, int, float]) -> float:
    return (a[2] - b[2]) / max(1, b[1] - a[1])
