"""Texts that a model is trained on: read from files, made into tokens, cut into windows.

A window has n_ctx + 1 tokens: a model reads the first n_ctx of them, and is asked for what follows each.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ggtui.core.errors import UsageError
from ggtui.core.reading import read_file
from ggtui.core.training.seeds import generator

Ids = NDArray[np.int32]

_ENDING = ".txt"  # of the files that are read of a folder


def read_texts(paths: Iterable[str | Path]) -> list[str]:
    """The text of each file, and of a folder those of all its *.txt files, also in folders below, by name. Line ends
    stay as they are. Raises UsageError for what is not there, is empty or is no UTF-8, and for a folder without any."""
    return [_text(path) for path in files_of(paths)]


def files_of(paths: Iterable[str | Path]) -> Iterator[Path]:
    """The files themselves, and of folders those that are read of them."""
    for path in map(Path, paths):
        if not path.is_dir():
            yield path
            continue
        found = sorted(file for file in path.rglob(f"*{_ENDING}") if not file.is_dir())
        if not found:
            raise UsageError(f"{path}: has no *{_ENDING} files in it; name a folder with texts, or text files")
        yield from found


def _text(path: Path) -> str:
    try:
        text = read_file(path, pipe=True).decode("utf-8")
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}; name a text file") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: byte {error.start} is not UTF-8; convert the text, e.g. with iconv") from error
    if not text:
        raise UsageError(f"{path}: is empty; leave it out")
    return text


class Encoder(Protocol):
    """What makes tokens of texts: a Vocabulary."""

    bos: int | None
    eos: int | None
    add_bos: bool

    def encode(self, text: str) -> list[int]: ...


@dataclass(frozen=True, slots=True)
class Corpus:
    """Texts as tokens.

    ids  i32 (n_tokens,): those of each text, before them the one that begins a text where the vocabulary wants that,
         after them the one that ends a text where it has one
    n_texts, n_bytes  of the texts, in UTF-8
    """

    ids: Ids
    n_texts: int
    n_bytes: int

    @classmethod
    def of(cls, texts: Sequence[str], encoder: Encoder) -> Corpus:
        """The names of control tokens in a text are text like any other."""
        begin = [encoder.bos] if encoder.bos is not None and encoder.add_bos else []
        end = [encoder.eos] if encoder.eos is not None else []
        parts = [np.array([*begin, *encoder.encode(text), *end], np.int32) for text in texts]
        n_bytes = sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)
        return cls(np.concatenate([np.empty(0, np.int32), *parts]), len(texts), n_bytes)


def split(ids: Ids, share: float = 0.0) -> tuple[Ids, Ids]:
    """The tokens to train on, and those at the end, which are this share of all, to validate with. Raises UsageError
    for a share out of range."""
    if not 0 <= share < 1:
        raise UsageError(f"share {share}: must be 0 to less than 1, of the tokens")
    at = len(ids) - round(len(ids) * share)
    return ids[:at], ids[at:]


class Batches:
    """Batches without end of windows of `ids`: batches[i] is i32 (batch, n_ctx + 1), always the same for the same
    arguments, so that a run that goes on sees what it would have seen.

    In an epoch the tokens, taken as a circle, are cut from a new place on into windows of n_ctx tokens; the last token
    of each is the first one of the next. Each is taken once, shuffled. In the circle the first text follows the last
    one as any text follows another, and no token is seen less often than others. Where an epoch's rest fills no batch,
    the batch goes on with the next epoch's.

    n_windows  of an epoch
    """

    def __init__(self, ids: Ids, batch: int, n_ctx: int, seed: int) -> None:
        """Raises UsageError for numbers out of range, and for a text that is shorter than a window."""
        if batch < 1:
            raise UsageError(f"batch {batch}: must be at least 1")
        _check_length(ids, n_ctx)
        self.n_windows = len(ids) // n_ctx
        self._ids, self._batch, self._n_ctx, self._seed = ids, batch, n_ctx, seed
        self._known = 0, self._make_starts(0)

    def __getitem__(self, i: int) -> Ids:
        """Raises UsageError for a negative number."""
        if i < 0:
            raise UsageError(f"batch {i}: must be at least 0; the batches have no end to count from")
        at, end = i * self._batch, (i + 1) * self._batch
        parts = []
        while at < end:
            epoch, first = divmod(at, self.n_windows)
            parts.append(self._starts(epoch)[first : first + end - at])
            at += len(parts[-1])
        return self._ids.take(np.concatenate(parts)[:, None] + np.arange(self._n_ctx + 1), mode="wrap")

    def _starts(self, epoch: int) -> NDArray[np.int64]:
        """Where the windows of an epoch begin, in the order in which they are taken."""
        known, starts = self._known
        if known != epoch:
            starts = self._make_starts(epoch)
            self._known = epoch, starts  # one pair, so that threads that ask for two epochs never mix them
        return starts

    def _make_starts(self, epoch: int) -> NDArray[np.int64]:
        rng = generator(self._seed, epoch)
        offset = rng.integers(len(self._ids))
        return offset + self._n_ctx * rng.permutation(self.n_windows)


def windows(ids: Ids, n_ctx: int, most: int) -> Ids:
    """At most so many windows of `ids`, always the same: i32 (n, n_ctx + 1), in order and evenly spread, none of whose
    tokens but the last is in another. Raises UsageError for numbers out of range, and for a text that is shorter than a
    window."""
    if most < 1:
        raise UsageError(f"{most} windows: must be at least 1")
    _check_length(ids, n_ctx)
    there = (len(ids) - 1) // n_ctx
    n = min(there, most)
    found: Ids = ids[(np.arange(n) * there // n * n_ctx)[:, None] + np.arange(n_ctx + 1)]
    return found


def _check_length(ids: Ids, n_ctx: int) -> None:
    if n_ctx < 1:
        raise UsageError(f"ctx {n_ctx}: must be at least 1")
    if len(ids) <= n_ctx:
        problem = f"has {len(ids)} tokens, fewer than a window of ctx {n_ctx} and the token after it"
        raise UsageError(f"the text {problem}; give a longer text or a smaller ctx")
