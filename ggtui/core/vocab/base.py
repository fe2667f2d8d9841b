"""What all vocabularies have in common: named tokens, decoding, and texts of which only parts may name tokens."""

from __future__ import annotations

import codecs
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import accumulate
from unicodedata import normalize

from ggtui.core.errors import UsageError
from ggtui.core.vocab.names import Names
from ggtui.core.vocab.pieces import Piece
from ggtui.core.vocab.roles import Roles

# Unicode's White_Space; Python's own idea of it has four control characters more
WHITE_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
WHITE_SPACE += "\u2028\u2029\u202f\u205f\u3000"


class Vocabulary(ABC):
    """Turns text into token ids and back.

    bos, eos  begin and end a text; None without one
    add_bos   whether a text begins with `bos`; whoever encodes puts it there
    ends      all tokens that end a text or a turn of a talk
    notes     what is odd about the vocabulary, a line each
    """

    def __init__(self, roles: Roles, notes: Iterable[str] = ()) -> None:
        self.bos, self.eos, self.add_bos, self.ends = roles.bos, roles.eos, roles.add_bos, roles.ends
        self.notes = tuple(notes)
        self._lstrip, self._rstrip, self._nfc = roles.lstrip, roles.rstrip, roles.nfc
        self._user_defined, self._all_names = Names(roles.user_defined), Names(roles.user_defined | roles.control)

    @property
    @abstractmethod
    def n_vocab(self) -> int:
        """How many tokens there are."""

    @abstractmethod
    def token_bytes(self, id: int) -> bytes:
        """The bytes of a token, maybe a part of a character. Raises UsageError if there is no such token."""

    @abstractmethod
    def _encode_plain(self, text: str, begins: bool, after_name: bool) -> list[int]:
        """The tokens of a text that names none, and is valid Unicode. `begins`: nothing is before it; `after_name`: a
        named token is."""

    def encode(self, text: str, special: bool = False) -> list[int]:
        """The tokens of `text`.

        With `special`, the names of control tokens in it, such as <|endoftext|>, become those tokens; otherwise they
        are text like any other. The names of user-defined tokens become those tokens in either case.
        """
        return self.encode_pieces([Piece(text, special)])

    def normal_form(self, text: str) -> str:
        """The text as it is encoded."""
        return normalize("NFC", _valid(text)) if self._nfc else _valid(text)

    def begin(self, text: str) -> list[int]:
        """The tokens of a text that nothing comes before: with `bos` ahead of it where the vocabulary wants that, and
        at least one."""
        ids = self.encode(text)
        if self.bos is not None and self.add_bos:
            ids.insert(0, self.bos)
        return ids or [next((id for id in (self.bos, self.eos) if id is not None), 0)]

    def encode_pieces(self, pieces: Iterable[Piece]) -> list[int]:
        """The tokens of pieces one after the other. Text is split as if it were one: that a piece ends is seen only by
        names, which lie within pieces of one kind that are neighbours."""
        return [id for ids, _, _ in self._encoded(pieces) for id in ids]

    def encode_marked(self, pieces: Iterable[Piece]) -> tuple[list[int], list[bool]]:
        """The same, and of each token whether the piece that it ends in has marks."""
        all_ids: list[int] = []
        found: list[bool] = []
        for ids, parts, n_stripped in self._encoded(pieces):
            all_ids += ids
            lengths = [len(self.token_bytes(id)) for id in ids]
            n_bytes = [len(text.encode()) for text, _ in parts]
            ends = [*accumulate(n_bytes)]
            # A vocabulary may put a space ahead of a text that has none.
            at = n_stripped - max(sum(lengths) - (ends[-1] - n_stripped), 0)
            for end in accumulate(lengths, initial=at):
                found.append(parts[min(bisect_right(ends, max(end - 1, n_stripped)), len(parts) - 1)].marks)
            del found[-len(lengths) - 1]  # of where the first begins
        return all_ids, found

    def _encoded(self, pieces: Iterable[Piece]) -> Iterator[tuple[list[int], list[Piece], int]]:
        """Of each run of text without names, and each name: its tokens, the pieces it is of, and how many bytes at its
        beginning became none."""
        runs: list[tuple[str | int, list[Piece]]] = []
        for text, marks in _joined(pieces):
            names = self._all_names if marks else self._user_defined
            for part in names.split(self.normal_form(text)):
                before = runs[-1][0] if runs else None
                if isinstance(part, str) and isinstance(before, str):
                    runs[-1] = before + part, [*runs[-1][1], Piece(part, marks)]
                else:
                    runs.append((part, [Piece(part if isinstance(part, str) else "", marks)]))
        for n, (run, parts) in enumerate(runs):
            if isinstance(run, int):
                yield [run], parts, 0
                continue
            before, after = (runs[i][0] if 0 <= i < len(runs) else None for i in (n - 1, n + 1))
            left = run.lstrip(WHITE_SPACE) if before in self._rstrip else run
            n_stripped = len(run.encode()) - len(left.encode())
            left = left.rstrip(WHITE_SPACE) if after in self._lstrip else left
            if left:
                yield self._encode_plain(left, before is None, isinstance(before, int)), parts, n_stripped

    def decode(self, ids: Iterable[int]) -> str:
        """The text of tokens, U+FFFD for what is no UTF-8. Raises UsageError if there is no such token."""
        return b"".join(map(self.token_bytes, ids)).decode("utf-8", "replace")

    def stream(self) -> TokenStream:
        """A decoder for tokens that come one at a time."""
        return TokenStream(self)

    def _check(self, id: int) -> None:
        if not 0 <= id < self.n_vocab:
            raise UsageError(f"token {id}: the vocabulary has 0 to {self.n_vocab - 1}")


class TokenStream:
    """Text of tokens as they come. A character spread over several tokens comes with the last of them."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, id: int) -> str:
        """What the token adds to the text. Raises UsageError if there is no such token."""
        return self._decoder.decode(self._vocabulary.token_bytes(id))

    def flush(self) -> str:
        """The end of the text: U+FFFD if a character was left incomplete, else nothing."""
        text = self._decoder.decode(b"", final=True)
        self._decoder.reset()
        return text


def _joined(pieces: Iterable[Piece]) -> list[Piece]:
    """The same with neighbours of one kind made one."""
    runs: list[tuple[list[str], bool]] = []
    for text, marks in pieces:
        if runs and runs[-1][1] == marks:
            runs[-1][0].append(text)
        else:
            runs.append(([text], marks))
    return [Piece("".join(texts), marks) for texts, marks in runs]


def _valid(text: str) -> str:
    """The text with U+FFFD for what is no character: halves of surrogate pairs, as from a terminal."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
