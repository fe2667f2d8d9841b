"""The table of tensor types. Its rows live in csrc/codec/types.def, which C includes and this module reads."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from ggtui.core.errors import ShapeError, UsageError

_ROWS = Path(__file__).parents[2] / "csrc" / "codec" / "types.def"
_ROW = re.compile(r"^GG_TYPE\(\w+, *(\w+), *(\d+), *(\d+), *(\d+), *([01])\)", re.M)
FIRST_OWN = 1000  # GG_OWN_TYPE of gg.h: the ids of types of a user's own begin here
MAX_OWN = 64


@dataclass(frozen=True, slots=True)
class TensorType:
    """How the elements of a tensor are stored: `block` elements together take `bytes` bytes.

    `id` is the number GGUF files use. `file`: a model file may hold the type; otherwise only the runtime
    makes it. `head` bytes begin each row, before its blocks.
    """

    name: str
    id: int
    block: int
    bytes: int
    file: bool
    head: int = 0

    def row_bytes(self, ne0: int) -> int:
        """Bytes of a row of `ne0` elements. Raises ShapeError unless they are whole blocks."""
        if ne0 % self.block:
            raise ShapeError(f"{self.name}: a row of {ne0} is no whole number of blocks of {self.block}")
        return self.head + ne0 // self.block * self.bytes

    @property
    def own(self) -> bool:
        """Of a user's own (see own_types): its codec is Python's."""
        return self.id >= FIRST_OWN

    @property
    def whole_rows(self) -> bool:
        """Single elements have no places of their own in a row."""
        return self.block > 1 or self.own


def _rows() -> list[TensorType]:
    rows = _ROW.findall(_ROWS.read_text(encoding="utf-8"))
    return [TensorType(name, int(id), int(block), int(n), file == "1") for name, id, block, n, file in rows]


TYPES: dict[str, TensorType] = {t.name: t for t in _rows()}
_BY_ID: dict[int, TensorType] = {t.id: t for t in TYPES.values()}
_ADDING = Lock()


def add_type(name: str, block: int, bytes: int, head: int) -> TensorType:
    """A new row of the table, or the one that was added with this name and these sizes.

    Raises UsageError for a name that is taken, and when there are MAX_OWN already.
    """
    with _ADDING:
        known = TYPES.get(name)
        if known is not None and known.own and (block, bytes, head) == (known.block, known.bytes, known.head):
            return known
        if known is not None:
            raise UsageError(f"tensor type {name}: exists; choose another name")
        id = FIRST_OWN + len(own_types())
        if id == FIRST_OWN + MAX_OWN:
            raise UsageError(f"type {name}: there are {MAX_OWN} types of one's own already, and no room for more")
        TYPES[name] = _BY_ID[id] = TensorType(name, id, block, bytes, True, head)
        return TYPES[name]


def own_types() -> list[TensorType]:
    """The types that were added to the table, by their numbers. It may be called beside add_type."""
    return [t for t in list(TYPES.values()) if t.own]  # the list is taken at once: others may add meanwhile


def type_by_id(id: int) -> TensorType | None:
    """The type with GGUF's number `id`, or None."""
    return _BY_ID.get(id)


def type_of(name: str | TensorType) -> TensorType:
    """The type called `name` (Q4_0 and q4_0 are the same). Raises UsageError for an unknown name."""
    if isinstance(name, TensorType):
        return name
    found = TYPES.get(name.lower()) if isinstance(name, str) else None
    if found is None:
        raise UsageError(f"tensor type {name!r}: choose one of {', '.join(TYPES)}")
    return found
