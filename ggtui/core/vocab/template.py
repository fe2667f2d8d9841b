"""Chat templates: how a model wants a conversation written down. A model file has one, in jinja2's language.

A template is a program of a stranger's, so it is rendered in a process of its own that has limits
(rendering/process.py). That process also tells the template's words from those of the messages.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ggtui.core.errors import TemplateError, UsageError
from ggtui.core.vocab.pieces import Piece
from ggtui.core.vocab.template_helper import HELPER

MOST = 1 << 20  # characters of a template
_DEEPEST = 100


class Template:
    """A chat template.

    text  in jinja2's language, with what transformers' apply_chat_template adds to it
    bos   what a template writes as bos_token, the text of the vocabulary's token; likewise eos

    Raises TemplateError for a text longer than MOST. Whatever else is wrong with it shows when it renders.
    """

    def __init__(self, text: str, bos: str = "", eos: str = "") -> None:
        if len(text) > MOST:
            raise TemplateError(f"has {len(text):,} characters, over the limit of {MOST:,}")
        self.text, self.bos, self.eos = text, bos, eos

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        generation: bool = True,
        tools: Sequence[Mapping[str, Any]] | None = None,
        **variables: Any,
    ) -> str:
        """The conversation as one text, for people to read: `pieces` says what of it may be control tokens.

        messages    each with a `role` and a `content`: a text, or a list of parts such as
                    {"type": "text", "text": ...}
        generation  ends it where the model's answer is to begin
        tools       what the model may call, as JSON schemas
        variables   whatever else the template looks at, such as enable_thinking

        Raises TemplateError when the template is damaged, does not take the messages, or takes too much (2 s, 4 MB of
        text, 512 MB of memory); UsageError for messages that are no JSON.
        """
        return "".join(piece.text for piece in self.pieces(messages, generation=generation, tools=tools, **variables))

    def pieces(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        generation: bool = True,
        tools: Sequence[Mapping[str, Any]] | None = None,
        **variables: Any,
    ) -> list[Piece]:
        """As `render`, cut where the template's own words begin and end. These are marks; what the messages, the tools
        and other variables say is not, nor is anything that the template made of it. A role is the template's."""
        fixed = {"bos_token": self.bos, "eos_token": self.eos, "documents": None}
        request = {
            "template": self.text,
            "messages": _plain(messages, "messages"),
            "variables": _plain(
                {**fixed, **variables, "tools": tools, "add_generation_prompt": generation}, "variables"
            ),
        }
        answer = HELPER.ask(request)
        if "error" in answer:
            raise TemplateError(str(answer["error"]), refused=bool(answer.get("refused")))
        return list(_cut(answer["text"], answer["spans"]))


def _cut(text: str, spans: Sequence[tuple[int, int]]) -> Iterator[Piece]:
    at = 0
    for start, stop in spans:
        if at < start:
            yield Piece(text[at:start], False)
        yield Piece(text[start:stop], True)
        at = stop
    if at < len(text):
        yield Piece(text[at:], False)


def _plain(value: object, where: str, depth: int = 0) -> Any:
    """As JSON has it. Raises UsageError."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if depth < _DEEPEST:
        if isinstance(value, Mapping) and all(isinstance(name, str) for name in value):
            return {name: _plain(item, where, depth + 1) for name, item in value.items()}
        if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray | memoryview):
            return [_plain(item, where, depth + 1) for item in value]
    what = "what is nested so deeply" if depth >= _DEEPEST else f"a {type(value).__name__}"
    raise UsageError(f"{where}: a chat template takes texts, numbers, lists and objects with names, not {what}")
