"""How what a person types becomes text for the model."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from ggtui.core.vocab.pieces import Piece


THINKS, THOUGHT = "<think>", "</think>"  # what models put around what they think before they answer


class Mode(NamedTuple):
    """A row of MODES.

    help       what it means, for who chose it
    hint       what to do first, for who sees an empty chat; a line each
    before, after, between  go around a prompt, and ahead of a turn that is not the first
    stop       texts that end an answer
    goes_on    an empty prompt lets the model go on with its own text
    """

    help: str
    hint: tuple[str, ...]
    before: str = ""
    after: str = ""
    between: str = ""
    stop: tuple[str, ...] = ()
    goes_on: bool = False

    def text(self, prompt: str, first: bool) -> str:
        return "".join(piece.text for piece in self.pieces(prompt, first))

    def pieces(self, prompt: str, first: bool) -> list[Piece]:
        """The same, with marks on what is not the person's."""
        from ggtui.core.vocab.pieces import Piece  # not for who only wants the names: it brings numpy

        return [
            Piece(("" if first else self.between) + self.before, True),
            Piece(prompt, False),
            Piece(self.after, True),
        ]


MODES: dict[str, Mode] = {
    "complete": Mode(
        "the model goes on with what you type; Enter alone lets it go on with its own text.",
        ("Type the beginning of a tale, and Enter: the model goes on with it.",
         "Enter alone lets it go on with its own text."),
        goes_on=True,
    ),
    "chat": Mode(
        "what you type is a question, and the model answers it.",
        ("Type a question, and Enter: the model answers it.",),
        "User: ", "\nAssistant:", "\n", ("\nUser:", "\nAssistant:"),
    ),
}  # fmt: skip


def told(mode: str) -> str:
    """The line that says which mode it is."""
    return f"Mode {mode}: {MODES[mode].help}"
