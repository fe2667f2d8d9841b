"""Text broken into lines between words, as it comes."""

from __future__ import annotations

from rich.cells import get_character_cell_size


class Lines:
    """`text` in lines of at most `width` columns. Text is added at the end, and only the last line is broken anew, so
    that what an addition costs does not depend on what is there.

    lines  where each begins and ends in the text; what lies between two of them, spaces or a line feed, is not shown
    """

    def __init__(self, width: int, text: str = "") -> None:
        self.width = max(width, 1)
        self.text = ""
        self.lines: list[tuple[int, int]] = [(0, 0)]
        self.add(text)

    def add(self, text: str) -> int:
        """Add text; returns the first line that it changed."""
        first = len(self.lines) - 1
        start, _ = self.lines.pop()
        self.text += text
        self._break(start)
        return first

    def line(self, index: int) -> str:
        """What is shown in a line."""
        start, end = self.lines[index]
        return self.text[start:end]

    def _break(self, start: int) -> None:
        text, width, lines = self.text, self.width, self.lines
        word = start  # where the word at hand begins
        end = start  # of the line, if it is broken ahead of that word
        columns, in_word = 0, True
        for i in range(start, len(text)):
            c = text[i]
            if c == "\n":
                lines.append((start, i))
                start = word = end = i + 1
                columns, in_word = 0, True
            elif c == " ":
                if in_word:
                    end = i
                columns += 1
                word, in_word = i + 1, False
            else:
                wide = 1 if c < "\x7f" else get_character_cell_size(c)
                while columns and columns + wide > width:
                    if word > start:
                        lines.append((start, end))
                        start = end = word
                        columns = sum(map(get_character_cell_size, text[word:i]))
                    else:  # a word longer than a line
                        lines.append((start, i))
                        start = word = end = i
                        columns = 0
                columns += wide
                in_word = True
        lines.append((start, len(text)))
