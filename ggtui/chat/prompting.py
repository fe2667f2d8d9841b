"""How turns become what the model reads: as text with a few words around it, or as the model's chat template has it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from ggtui.chat.modes import MODES, THINKS
from ggtui.core.errors import TemplateError, UsageError
from ggtui.core.files.places import template_of
from ggtui.core.reading import read_file
from ggtui.core.vocab import TEMPLATE
from ggtui.core.vocab.pieces import Piece
from ggtui.core.vocab.template import MOST, Template
from ggtui.core.vocab.template_names import NAMED, named

if TYPE_CHECKING:
    from ggtui.core.engine.session import Session

TEMPLATED = "chat"  # the mode that a template is for


class Said(Protocol):
    """A turn: what was asked, and what came."""

    prompt: str
    text: str


class Prompt(NamedTuple):
    """Tokens of a turn before its answer, and of each whether the template or the mode wrote it. anew: what was said
    before is in them, and the turns before are not. thinks: the template began what the model thinks."""

    ids: list[int]
    marks: list[bool]
    anew: bool = False
    thinks: bool = False


class Prompting:
    """Of a model and the template that was asked for: a name, or a file with one; without it that which the catalogue
    has for it, or else the model's own, if it has one.

    Raises UsageError where there is no such template.
    """

    def __init__(self, session: Session, asked: str | None = None) -> None:
        self._vocabulary = session.tokenizer
        asked = asked or template_of(session.path)
        text = _template(asked) if asked else session.metadata.get(TEMPLATE)
        begin, end = (
            "" if id is None else self._vocabulary.decode([id]) for id in (self._vocabulary.bos, self._vocabulary.eos)
        )
        self.template = Template(text, begin, end) if text else None

    @property
    def mode(self) -> str:
        """The mode to begin with."""
        return TEMPLATED if self.template else next(iter(MODES))

    def stop(self, mode: str) -> tuple[str, ...]:
        """Texts that end an answer; with a template tokens do."""
        return () if self.template and mode == TEMPLATED else MODES[mode].stop

    def prompt(self, before: Sequence[Said], read: Sequence[int], words: str, mode: str, system: str) -> Prompt:
        """What a turn begins with: after the turns `before`, of which the model has read the tokens `read`. Raises
        TemplateError where the template does not take them."""
        if not self.template or mode != TEMPLATED:
            pieces = MODES[mode].pieces(words, first=not before)
            return self._encoded(pieces) if before else self._begun(pieces)
        written = self._pieces(self.template, before, words, system)
        pieces = [Piece(self._vocabulary.normal_form(text), marks) for text, marks in written]
        last = pieces[-1] if pieces else Piece("", False)
        thinks = last.marks and last.text.rstrip().endswith(THINKS)
        said = self._vocabulary.decode(read[1:] if read[:1] == [self._vocabulary.bos] else read)
        text = "".join(piece.text for piece in pieces)
        for beginning in (said, self.template.bos + said):
            if before and text.startswith(beginning):
                return self._encoded(_after(pieces, len(beginning)))._replace(thinks=thinks)
        return self._begun(pieces)._replace(anew=bool(before), thinks=thinks)

    def _encoded(self, pieces: Sequence[Piece]) -> Prompt:
        return Prompt(*self._vocabulary.encode_marked(pieces))

    def _begun(self, pieces: Sequence[Piece]) -> Prompt:
        """With the token ahead that a text begins with, unless it is there; at least one token."""
        made, bos = self._encoded(pieces), self._vocabulary.bos
        if bos is not None and self._vocabulary.add_bos and made.ids[:1] != [bos]:
            return Prompt([bos, *made.ids], [True, *made.marks])
        return made if made.ids else Prompt(self._vocabulary.begin(""), [True])

    @staticmethod
    def _pieces(template: Template, before: Sequence[Said], words: str, system: str) -> list[Piece]:
        talk = [m for turn in before for m in (_said("user", turn.prompt), _said("assistant", turn.text))]
        talk.append(_said("user", words))
        if not system:
            return template.pieces(talk)
        try:
            return template.pieces([_said("system", system), *talk])
        except TemplateError as error:
            if not error.refused:
                raise
        first = talk[0]["content"]  # the template knows no system: its words come before the first question
        return template.pieces([_said("user", f"{system}\n\n{first}"), *talk[1:]])


def _said(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def _after(pieces: Iterable[Piece], n: int) -> list[Piece]:
    """Without the first n characters."""
    left = []
    for text, marks in pieces:
        if n < len(text):
            left.append(Piece(text[n:], marks))
        n = max(n - len(text), 0)
    return left


def _template(asked: str) -> str:
    """The text of the one called so. Raises UsageError for neither a name nor a file."""
    if asked in NAMED or not os.path.exists(asked):
        return named(asked)
    try:
        return read_file(asked, MOST).decode()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "is not text in UTF-8"
        raise UsageError(f"--template {asked}: {why}; name a file with a chat template") from error
