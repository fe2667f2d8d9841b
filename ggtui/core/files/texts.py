"""Many texts as they lie in a model file, each made a Python object only when someone asks for it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from ggtui.core.runtime.cpu.native import ffi, lib

LENGTH_BYTES = int(lib.GG_TEXT_LENGTH)  # of each text, before it


class Texts(Sequence[str]):
    """An immutable list of texts. A vocabulary has 100,000, and as strings they take 30 ms and 10 MB.

    data  GGUF's bytes of them: for each its length, 64 bits, and its UTF-8
    ends  where in `data` each ends, after a 0; int64 (n + 1,)

    Bytes that are no UTF-8 become halves of surrogate pairs, as Python does with file names.
    """

    __slots__ = ("data", "ends")

    def __init__(self, data: bytes, ends: NDArray[np.int64]) -> None:
        self.data, self.ends = data, ends

    @classmethod
    def of(cls, texts: Iterable[str]) -> Texts:
        """Strings in this form. Halves of surrogate pairs become bytes that stand for nothing else."""
        data, n = bytearray(), 0
        for text in texts:
            raw = text.encode("utf-8", "surrogatepass")
            data += len(raw).to_bytes(LENGTH_BYTES, "little")
            data += raw
            n += 1
        return cls(bytes(data), find_texts(data, n, len(data)))

    def raw(self, i: int) -> bytes:
        """The bytes of text `i`, which is 0 to n - 1."""
        return self.data[self.ends[i] + LENGTH_BYTES : self.ends[i + 1]]

    def places(self, raw: bytes) -> list[int]:
        """Which of the texts are just these bytes, in order."""
        wanted, places = len(raw).to_bytes(LENGTH_BYTES, "little") + raw, list[int]()
        at = self.data.find(wanted)
        while at >= 0:
            i = int(np.searchsorted(self.ends[:-1], at))
            if i < len(self) and self.ends[i] == at:
                places.append(i)
            at = self.data.find(wanted, at + 1)
        return places

    def __len__(self) -> int:
        return len(self.ends) - 1

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        places = range(len(self))[index]
        return [_text(self.raw(i)) for i in places] if isinstance(places, range) else _text(self.raw(places))

    def __iter__(self) -> Iterator[str]:
        return (_text(self.data[end + LENGTH_BYTES : next]) for end, next in pairwise(self.ends.tolist()))

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Texts):
            return self.data == other.data
        return list(self) == other if isinstance(other, list) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(list(self))


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def find_texts(data: Any, n: int, longest: int, at: int = 0) -> NDArray[np.int64]:
    """The ends, after a 0 and counted from byte `at` of `data` on, of those of `n` texts there that lie within it and
    are no longer than `longest`: all, or those before the first that does not."""
    ends = np.zeros(n + 1, np.int64)
    buffer = ffi.from_buffer("uint8_t[]", data)
    found = lib.gg_find_texts(buffer + at, len(buffer) - at, n, longest, ffi.from_buffer("int64_t[]", ends))
    return ends[: found + 1]
