"""How well a model predicts a text, and how far its predictions are from another model's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import exp, sqrt

import numpy as np
from numpy.typing import NDArray

from ggtui.core.engine.session import Session
from ggtui.core.errors import UsageError

Doubles = NDArray[np.float64]

_ROWS = 64  # of logits whose softmax is taken at a time, and at least read at a time
_LOGITS = 1 << 24  # read at a time, where that is more


@dataclass(frozen=True, slots=True)
class Perplexity:
    """Of a text.

    nll    (n_chunks,) sum of -ln p of the tokens that count in each chunk, in nats
    count  how many tokens counted in all; value  exp of their mean -ln p; error  its standard error
    against  where there is a base model, what it was compared to
    """

    nll: Doubles
    count: int
    value: float
    error: float
    n_tokens: int
    against: Divergence | None = None


@dataclass(frozen=True, slots=True)
class Divergence:
    """From the predictions of a base model, over the positions that count.

    kl       mean of KL(base || model) in nats; kl_error  its standard error
    same_top part of the positions where both find the same token likeliest; same_top_error  its standard error
    base     the base's perplexity
    """

    kl: float
    kl_error: float
    same_top: float
    same_top_error: float
    base: float


def perplexity(
    session: Session,
    tokens: Sequence[int],
    *,
    ctx: int = 512,
    stride: int | None = None,
    n_chunks: int | None = None,
    base: Session | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Perplexity:
    """The perplexity of `session` over `tokens`, as llama.cpp's tool defines it.

    The text is cut into chunks of `ctx` tokens, the rest dropped; each is read from an empty context, where the
    vocabulary wants that with the token that begins a text in place of its first one. What follows each token of its
    second half, within the chunk, counts. With `stride` chunks begin that many tokens apart instead and what is
    predicted for the last `stride` positions of each counts, so that more text stands before what counts.

    base: a model to compare with, which must have the same vocabulary. progress: called with the number of chunks that
    are read and of all. Both sessions end empty. Raises UsageError for a text of less than two tokens a chunk, sizes
    out of range and vocabularies that differ, LogitsError for a model that gives no numbers.
    """
    starts = _starts(len(tokens), session, ctx, stride)[:n_chunks]
    if base is not None and base.tokenizer.n_vocab != session.tokenizer.n_vocab:
        raise UsageError(
            f"the base model has {base.tokenizer.n_vocab} tokens, the model {session.tokenizer.n_vocab}; "
            "only models of one vocabulary can be compared"
        )
    first = ctx - stride - 1 if stride else ctx // 2
    bos = session.tokenizer.bos if session.tokenizer.add_bos else None
    read = (session,) if base is None else (session, base)
    step = max(_LOGITS // max(s.hparams.n_vocab for s in read), _ROWS)
    losses: list[Doubles] = []
    comparisons: list[Doubles] = []  # rows of KL, same top, loss of the base
    for i, start in enumerate(starts):
        chunk = list(tokens[start : start + ctx])
        if bos is not None:  # each chunk is a text that begins
            chunk[0] = bos
        parts, at = [], first + 1
        of_base = _log_probabilities(base, chunk, first, step) if base is not None else None
        for logp in _log_probabilities(session, chunk, first, step):
            targets = np.asarray(chunk[at : at + len(logp)])
            at += len(logp)
            parts.append(-logp[np.arange(len(targets)), targets].astype(np.float64))
            if of_base is not None:
                comparisons.append(_compare(next(of_base), logp, targets))
        losses.append(np.concatenate(parts))
        if progress is not None:
            progress(i + 1, len(starts))
    for s in read:
        s.reset()
    loss = np.concatenate(losses)
    value = exp(loss.mean())
    n_tokens = len(starts) * ctx
    against = _divergence(np.concatenate(comparisons, axis=1)) if base is not None else None
    nll = np.array([part.sum() for part in losses])
    return Perplexity(nll, len(loss), value, value * _standard_error(loss), n_tokens, against)


def _starts(n: int, session: Session, ctx: int, stride: int | None) -> range:
    """Where the chunks begin."""
    if not 4 <= ctx <= session.n_ctx:
        raise UsageError(f"ctx {ctx}: must be 4 to {session.n_ctx}, the model's context")
    if stride is not None and not 1 <= stride < ctx:
        raise UsageError(f"stride {stride}: must be 1 to {ctx - 1}, one less than ctx")
    if n < ctx:
        raise UsageError(f"the text has {n} tokens, less than one chunk of {ctx}; use a longer text or a smaller ctx")
    return range(0, n - ctx + 1, stride or ctx)


def _log_probabilities(session: Session, chunk: Sequence[int], first: int, step: int) -> Iterator[NDArray[np.float32]]:
    """ln p of every token after positions `first` to the one before the last, (step, n_vocab) at a time."""
    session.reset()
    if first:
        session.eval(chunk[:first])
    for start in range(first, len(chunk) - 1, step):
        ids = chunk[start : min(start + step, len(chunk) - 1)]
        logits = session.eval(ids, all_logits=True).reshape(-1, session.hparams.n_vocab)
        session.top(1)  # refuses what is no number, and says why
        logits = logits[:, : session.tokenizer.n_vocab]  # some models have more logits than tokens
        for at in range(0, len(logits), _ROWS):
            rows = logits[at : at + _ROWS]
            rows -= rows.max(axis=1, keepdims=True)
            rows -= np.log(np.exp(rows).sum(axis=1, keepdims=True, dtype=np.float64)).astype(np.float32)
        yield logits


def _compare(base: NDArray[np.float32], logp: NDArray[np.float32], targets: NDArray[np.int64]) -> Doubles:
    """Of each position: KL(base || model), whether both have the same likeliest token, and the base's loss."""
    kl = np.empty(len(logp))
    for at in range(0, len(logp), _ROWS):
        b, q = base[at : at + _ROWS], logp[at : at + _ROWS]
        kl[at : at + _ROWS] = (np.exp(b) * (b - q)).sum(axis=1, dtype=np.float64)
    same = base.argmax(axis=1) == logp.argmax(axis=1)
    return np.stack([kl, same.astype(np.float64), -base[np.arange(len(targets)), targets].astype(np.float64)])


def _divergence(rows: Doubles) -> Divergence:
    kl, same, loss = rows
    return Divergence(
        float(kl.mean()), _standard_error(kl), float(same.mean()), _standard_error(same), exp(loss.mean())
    )


def _standard_error(x: Doubles) -> float:
    """Of the mean of x; 0 of a single value."""
    return float(x.std(ddof=1)) / sqrt(len(x)) if len(x) > 1 else 0.0
