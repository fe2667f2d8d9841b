"""How a training begins: from nothing, from a model, or from where it was left."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from ggtui.core.errors import UsageError
from ggtui.core.files import ModelFile, open_model
from ggtui.core.files.made import MadeModel
from ggtui.core.files.places import BUILT_IN
from ggtui.core.runtime.room import resident_bytes
from ggtui.core.training.checkpoint import Checkpoint, read_checkpoint
from ggtui.core.training.checks import check_weights
from ggtui.core.training.data import Corpus, Ids, read_texts, split
from ggtui.core.training.loop import Training
from ggtui.core.training.settings import CTX, VALID_SHARE, Settings
from ggtui.core.training.shapes import Shape, initial
from ggtui.core.training.trainer import Trainer
from ggtui.core.training.vocabulary import n_vocab, train_vocabulary, vocabulary_of
from ggtui.core.vocab import vocabulary


def begin(settings: Settings, **options: Any) -> Training:
    """A training as it was asked for; options: threads, record and isa of Trainer. Raises UsageError, ModelFileError
    and GgtuiError for texts, models and sizes that don't go together."""
    texts, valid = read_texts(settings.texts), read_texts(settings.valid)
    with _start(settings, texts) as model:
        train_ids, valid_ids = _tokens(model, texts, valid)
        beside = _beside(sum(t.n_bytes for t in model.tensors.values()) if settings.shape else 0)
        trainer, base = _trainer(settings, model, options), _hash(model, settings)
    if settings.ctx > trainer.n_ctx:
        raise UsageError(f"ctx {settings.ctx}: the model is made for {trainer.n_ctx} tokens")
    settings = replace(settings, ctx=settings.ctx or min(CTX, trainer.n_ctx))
    return Training(settings, trainer, train_ids, valid_ids, base=base, beside=beside)


def resume(out: str | Path, rate: float | None = None, **options: Any) -> Training:
    """The training of a model or an adapter that was left, from its checkpoint on: to the bits that it would have come
    to, unless it goes on at another rate. Raises as `begin` does, and UsageError where texts or the model of an adapter
    were changed, or there is no checkpoint."""
    there = read_checkpoint(out)
    settings = replace(there.settings, out=str(out))
    if rate is not None:
        settings = replace(settings, rate=rate)
    texts, valid = read_texts(settings.texts), read_texts(settings.valid)
    with _learnt(out, there) if not settings.rank else open_model(settings.model or BUILT_IN) as model:
        train_ids, valid_ids = _tokens(model, texts, valid)
        beside = _beside(0 if settings.rank else sum(t.n_bytes for t in model.tensors.values()))
        trainer, base = _trainer(settings, model, options), _hash(model, settings)
    del model  # its weights, before what the optimizer keeps is read
    trainer.restore(there.states, there.progress.step)
    return Training(settings, trainer, train_ids, valid_ids, there.progress, base=base, beside=beside)


def _beside(weights: int) -> int:
    """What the program takes by itself, with texts and vocabulary: without so many bytes of weights that it holds for a
    moment."""
    return max(0, resident_bytes() - weights)


def _hash(model: ModelFile, settings: Settings) -> str:
    """Of what an adapter is of: all bytes of its tensors."""
    if not settings.rank:
        return ""
    found = hashlib.blake2b(digest_size=16)
    for name in sorted(model.tensors):
        found.update(name.encode())
        found.update(np.ascontiguousarray(model.rows(name)[:]).data)
    return found.hexdigest()


def _learnt(out: str | Path, there: Checkpoint) -> ModelFile:
    """The model that a training has come to."""
    return MadeModel(str(out), there.metadata, {**there.constant, **there.states.weights()})


def _start(settings: Settings, texts: list[str]) -> ModelFile:
    """The model that learning begins with."""
    if not settings.shape:
        return open_model(settings.model or BUILT_IN)
    shape = Shape.parse(settings.shape)
    learnt = settings.vocab.isascii() and settings.vocab.isdigit() and len(settings.vocab) <= 9
    words = train_vocabulary(texts, int(settings.vocab)) if learnt else vocabulary_of(_place(settings.vocab))
    n = n_vocab(words)
    n_params = sum(prod(ne) for ne in shape.tensors(n).values())
    check_weights(settings.out, n_params, len(settings.make_optimizer().kept), "a smaller shape")
    return MadeModel(settings.out, {**shape.metadata(n), **words}, initial(shape, n, settings.seed))


def _place(vocab: str) -> str | Path:
    return BUILT_IN if vocab in ("", "built-in") else vocab


def _trainer(settings: Settings, model: ModelFile, options: dict[str, Any]) -> Trainer:
    return Trainer(
        model, optimizer=settings.make_optimizer(), clip=settings.clip, rank=settings.rank,
        alpha=settings.alpha or None, seed=settings.seed,
        recompute=settings.recompute, **options,
    )  # fmt: skip


def _tokens(model: ModelFile, texts: list[str], valid: list[str]) -> tuple[Ids, Ids]:
    """Those to train on, and those to validate with."""
    words = vocabulary(model.metadata, model.path)
    ids = Corpus.of(texts, words).ids
    if valid:
        return ids, Corpus.of(valid, words).ids
    train, last = split(ids, VALID_SHARE)
    return np.ascontiguousarray(train), np.ascontiguousarray(last)
