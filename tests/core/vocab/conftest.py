from __future__ import annotations

import functools
import json
import lzma
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

DATA = Path(__file__).parents[2] / "data" / "vocab"


class Listed(NamedTuple):
    """A vocabulary of llama.cpp's, as its file has it, and texts with the tokens that llama.cpp lists for them."""

    metadata: dict[str, Any]
    cases: list[tuple[str, list[int]]]


@functools.lru_cache(2)
def read(name: str) -> Listed:
    """See tests/references/make_vocabularies.py."""
    line, _, rest = lzma.decompress((DATA / f"{name}.xz").read_bytes()).partition(b"\n")
    header = json.loads(line)
    metadata = {f"tokenizer.ggml.{key}": value for key, value in header["metadata"].items()}
    cases = [(text, ids) for text, ids in header["cases"]]
    if header["like"]:
        return Listed(read(header["like"]).metadata | metadata, cases)
    ends = np.cumsum([0, *header["sizes"]]).tolist()
    text, *arrays = (rest[start:end] for start, end in pairwise(ends))
    lengths, types, scores, made, left = (
        np.frombuffer(array, dtype)
        for array, dtype in zip(arrays, ("u2", "u1", "f4", "i4", "u2"), strict=True)
    )  # fmt: skip
    places = np.cumsum([0, *lengths.tolist()]).tolist()
    characters = text.decode()
    tokens = [characters[start:end] for start, end in pairwise(places)]
    wholes = [tokens[id] for id in np.cumsum(made).tolist()]
    merges = [f"{whole[:n]} {whole[n:]}" for whole, n in zip(wholes, left.tolist(), strict=True)]
    lists = {"tokens": tokens, "token_type": types, "merges": merges or None, "scores": scores if len(scores) else None}
    return Listed(metadata | {f"tokenizer.ggml.{key}": value for key, value in lists.items()}, cases)


@pytest.fixture(scope="session")
def listed() -> Callable[[str], Listed]:
    return read
