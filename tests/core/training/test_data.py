"""What is trained on: texts, their tokens, and that batches go through all of them."""

from __future__ import annotations

import os
import threading
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ggtui.core.engine.model import BUILT_IN
from ggtui.core.errors import UsageError
from ggtui.core.files import open_model
from ggtui.core.training.data import Batches, Corpus, read_texts, split, windows
from ggtui.core.vocab import vocabulary


class Characters:
    """A vocabulary whose tokens are code points."""

    def __init__(self, eos: int | None, bos: int | None = None, add_bos: bool = False) -> None:
        self.bos, self.eos, self.add_bos = bos, eos, add_bos

    def encode(self, text: str) -> list[int]:
        return list(map(ord, text))


def numbered(n: int) -> np.ndarray:
    return np.arange(n, dtype=np.int32)


def test_files_and_folders_are_read_in_order(tmp_path: Path) -> None:
    for name, text in {"b.txt": "b\r\n", "a/z.txt": "z", "a/y/x.txt": "é", "c.md": "c", "a/d.TXT": "d"}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(text.encode())
    assert read_texts([tmp_path]) == ["é", "z", "b\r\n"]
    assert read_texts([tmp_path / "c.md", str(tmp_path / "a"), tmp_path / "c.md"]) == ["c", "é", "z", "c"]


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").touch()
    (tmp_path / "latin.txt").write_bytes("ab caf\xe9".encode("latin-1"))
    (tmp_path / "none").mkdir()
    for name, problem in {
        "empty.txt": "is empty; leave it out",
        "latin.txt": "byte 6 is not UTF-8",
        "none": "has no *.txt files in it",
        "missing.txt": "No such file or directory; name a text file",
    }.items():
        with pytest.raises(UsageError) as caught:
            read_texts([tmp_path / name])
        assert str(caught.value).startswith(f"{tmp_path / name}: ") and problem in str(caught.value)


def test_a_pipe_is_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_text, args=("a pipe",))
    writer.start()
    assert read_texts([tmp_path / "pipe"]) == ["a pipe"]
    writer.join()


@pytest.mark.parametrize(
    ("encoder", "ids"),
    [
        (Characters(7), [97, 233, 7, 7, 98, 7]),
        (Characters(7, 6), [97, 233, 7, 7, 98, 7]),
        (Characters(7, 6, True), [6, 97, 233, 7, 6, 7, 6, 98, 7]),
        (Characters(None, None, True), [97, 233, 98]),
    ],
)
def test_each_text_begins_and_ends_with_the_tokens_for_that(encoder: Characters, ids: list[int]) -> None:
    corpus = Corpus.of(["aé", "", "b"], encoder)
    assert corpus.ids.dtype == np.int32 and corpus.ids.tolist() == ids
    assert (corpus.n_texts, corpus.n_bytes) == (3, 4)
    assert Corpus.of([], encoder).ids.shape == (0,)


def test_tokens_are_those_of_the_model() -> None:
    with open_model(BUILT_IN) as file:
        t = vocabulary(file.metadata, file.path)
    texts = ["Once upon a time", "<|endoftext|> there"]
    corpus = Corpus.of(texts, t)
    assert t.decode(corpus.ids.tolist()) == "".join(text + "<|endoftext|>" for text in texts)
    assert np.count_nonzero(corpus.ids == t.eos) == 2  # its name in a text is text


@pytest.mark.parametrize(("share", "n"), [(0, 0), (0.1, 10), (0.999, 100), (0.004, 0)])
def test_the_last_part_validates(share: float, n: int) -> None:
    trained, validated = split(numbered(100), share)
    assert len(validated) == n and np.concatenate([trained, validated]).tolist() == list(range(100))


@pytest.mark.parametrize("share", [-0.1, 1.0, float("nan")])
def test_a_share_out_of_range(share: float) -> None:
    with pytest.raises(UsageError, match="must be 0 to less than 1"):
        split(numbered(9), share)


sizes = st.integers(1, 9)


@given(n=st.integers(2, 60), batch=sizes, n_ctx=sizes, seed=st.integers(0, (1 << 64) - 1), first=st.integers(0, 5))
def test_each_epoch_goes_through_each_window_once(n: int, batch: int, n_ctx: int, seed: int, first: int) -> None:
    n_ctx = min(n_ctx, n - 1)
    batches = Batches(numbered(n), batch, n_ctx, seed)
    assert batches.n_windows == n // n_ctx
    rows = np.concatenate([batches[i] for i in range((first + 1) * batches.n_windows // batch + 1)])
    assert rows.dtype == np.int32 and rows.shape[1] == n_ctx + 1
    assert (np.diff(rows.astype(np.int64), axis=1) % n == 1 % n).all()  # each goes on in the circle
    epoch = rows[first * batches.n_windows : (first + 1) * batches.n_windows]
    assert len(np.unique(epoch[:, :-1])) == epoch[:, :-1].size == n // n_ctx * n_ctx


def test_a_batch_depends_on_the_seed_and_its_number_alone() -> None:
    ids = numbered(1000)
    batches = Batches(ids, 7, 16, 3)
    in_order = [batches[i] for i in range(40)]
    for i in (39, 0, 17, 17, 5):
        assert np.array_equal(Batches(ids, 7, 16, 3)[i], in_order[i])
        assert np.array_equal(batches[i], in_order[i])
    assert all(np.array_equal(a, b) for a, b in zip(in_order, islice(batches, 40), strict=True))
    assert not np.array_equal(Batches(ids, 7, 16, 4)[0], in_order[0])


def test_epochs_begin_at_places_of_their_own_and_are_shuffled() -> None:
    batches = Batches(numbered(1000), 62, 16, 0)
    epochs = [batches[i][:, 0] for i in range(20)]
    assert len({int(starts[0]) % 16 for starts in epochs}) > 5
    assert all(
        (np.diff(np.sort(starts)) >= 16).all() and not np.array_equal(starts, np.sort(starts)) for starts in epochs
    )
    seen = np.bincount(np.concatenate([batches[i][:, :-1].ravel() for i in range(400)]), minlength=1000)
    assert seen.sum() == 400 * 62 * 16 and seen.min() > 380  # the first and the last ones too


@pytest.mark.parametrize("n", [0, 4, 5])
def test_a_text_shorter_than_a_window_is_refused(n: int) -> None:
    problem = f"the text has {n} tokens, fewer than a window of ctx 5"
    for make in (lambda: Batches(numbered(n), 1, 5, 0), lambda: windows(numbered(n), 5, 1)):
        with pytest.raises(UsageError, match=problem):
            make()


@pytest.mark.parametrize(
    ("batch", "n_ctx", "seed", "problem"),
    [(0, 4, 0, "batch 0"), (1, 0, 0, "ctx 0"), (1, 4, -1, "seed -1"), (1, 4, 1 << 64, "seed 18446744073709551616")],
)
def test_numbers_out_of_range(batch: int, n_ctx: int, seed: int, problem: str) -> None:
    with pytest.raises(UsageError, match=f"{problem}: must be"):
        Batches(numbered(9), batch, n_ctx, seed)


def test_batches_are_counted_from_the_first() -> None:
    with pytest.raises(UsageError, match="batch -1"):
        Batches(numbered(9), 1, 4, 0)[-1]


@given(n=st.integers(2, 60), n_ctx=sizes, most=sizes)
def test_windows_to_validate_with(n: int, n_ctx: int, most: int) -> None:
    n_ctx = min(n_ctx, n - 1)
    found = windows(numbered(n), n_ctx, most)
    assert found.dtype == np.int32 and len(found) == min(most, (n - 1) // n_ctx)
    assert (np.diff(found, axis=1) == 1).all()
    places = found[:, 0] // n_ctx
    assert (found[:, 0] % n_ctx == 0).all() and places[0] == 0
    gaps = np.diff([*places, (n - 1) // n_ctx])
    assert gaps.min() >= 1 and gaps.max() - gaps.min() <= 1


def test_windows_out_of_range() -> None:
    with pytest.raises(UsageError, match="0 windows: must be at least 1"):
        windows(numbered(9), 4, 0)
