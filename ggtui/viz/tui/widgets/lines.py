"""A widget of some lines of text, as high as there are lines, that is only drawn anew when they change."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text
from textual.content import Content, Span
from textual.widgets import Static


def text_line(text: str, style: str = "") -> Text:
    """A line of its own, to which more can be appended."""
    return Text(no_wrap=True, end="").append(text, style)


class Lines(Static):
    """Lines of text; hidden while there are none."""

    DEFAULT_CSS = "Lines { width: 100%; height: 0; text-wrap: nowrap; text-overflow: clip; }"

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id, markup=False)
        self._drawn: list[Text] = []

    def put(self, lines: Sequence[Text]) -> None:
        """Show these lines."""
        new = list(lines)
        if new == self._drawn:
            return
        if len(new) != len(self._drawn):
            self.styles.height = len(new)
        self._drawn = new
        joined = Text("\n", no_wrap=True, end="").join(new)
        # Textual would take apart the style of each span; as text it looks most of them up.
        spans = [Span(start, end, str(style)) for start, end, style in joined.spans if style]
        self.update(Content(joined.plain, spans), layout=False)
