"""Text as a vocabulary takes it: in pieces that say who wrote them."""

from __future__ import annotations

from typing import NamedTuple


class Piece(NamedTuple):
    """A run of text. `marks`: a template wrote it, so that control tokens named in it are meant; elsewhere they are
    plain text."""

    text: str
    marks: bool
