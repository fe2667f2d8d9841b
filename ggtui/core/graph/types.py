"""The table of tensor types. Its rows live in csrc/types.def; the compiled module hands them to Python."""

from __future__ import annotations

from dataclasses import dataclass

from ggtui.core.errors import ShapeError, UsageError
from ggtui.core.runtime.cpu import native


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
        return bool(self.id >= native.lib.GG_OWN_TYPE)

    @property
    def whole_rows(self) -> bool:
        """Single elements have no places of their own in a row."""
        return self.block > 1 or self.own


def _rows() -> list[TensorType]:
    infos = (native.lib.gg_type_at(i) for i in range(native.lib.gg_n_types()))
    return [TensorType(native.text(t.name), t.id, t.block, t.bytes, bool(t.file)) for t in infos]


TYPES: dict[str, TensorType] = {t.name: t for t in _rows()}
_BY_ID: dict[int, TensorType] = {t.id: t for t in TYPES.values()}


def add_type(name: str, block: int, bytes: int, head: int) -> TensorType:
    """A new row of the table. Raises UsageError for a name that is taken and for sizes out of range."""
    if name in TYPES:
        raise UsageError(f"tensor type {name}: exists; choose another name")
    id = native.lib.gg_add_type(name.encode(), block, bytes, head)
    if id < 0:
        raise UsageError(native.last_error())
    TYPES[name] = _BY_ID[id] = TensorType(name, id, block, bytes, True, head)
    return TYPES[name]


def type_by_id(id: int) -> TensorType | None:
    """The type with GGUF's number `id`, or None."""
    return _BY_ID.get(id)


def type_of(name: str | TensorType) -> TensorType:
    """The type called `name` (Q4_0 and q4_0 are the same). Raises UsageError for an unknown name."""
    if isinstance(name, TensorType):
        return name
    found = TYPES.get(name.lower())
    if found is None:
        raise UsageError(f"tensor type {name!r}: choose one of {', '.join(TYPES)}")
    return found
