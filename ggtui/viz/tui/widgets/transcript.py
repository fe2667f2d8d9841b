"""What was said, as a list of lines of which only those in sight are drawn."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import ClassVar

from rich.style import Style
from rich.text import Text
from textual import events
from textual.cache import LRUCache
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.selection import Selection
from textual.strip import Strip
from textual.widget import Widget

from ggtui.viz.live import Spoken
from ggtui.viz.text import model_name
from ggtui.viz.tui.widgets.blocks import Block, Place

NAME = 12  # columns at most of a name at the left
WIDEST = 100  # columns of text, since longer lines are hard to read
LEVEL_STYLES = ("transcript--sure", "transcript--likely", "transcript--unlikely", "transcript--rare")


def label(model: str) -> str:
    """What stands beside the answers of a model, by its file."""
    return model_name(model)[:NAME] or "model"


class Transcript(ScrollView):
    """The turns of a chat. It stays at the end while text comes, unless the person scrolled up."""

    class Moved(Message):
        """What is in sight changed."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "transcript--you", "transcript--model", "transcript--thought", *LEVEL_STYLES
    }  # fmt: skip
    DEFAULT_CSS = """
    Transcript { height: 1fr; scrollbar-size: 0 0; overflow-x: hidden; background: $background; color: $foreground; }
    Transcript .transcript--you { color: $secondary; text-style: bold; }
    Transcript .transcript--model { color: $primary; text-style: bold; }
    Transcript .transcript--thought { color: $secondary; text-style: italic; }
    Transcript .transcript--sure { color: $success; }
    Transcript .transcript--likely { color: $foreground; }
    Transcript .transcript--unlikely { color: $accent; text-style: underline; }
    Transcript .transcript--rare { color: $error; text-style: bold underline; }
    """
    can_focus = False

    def __init__(self) -> None:
        super().__init__()
        self.model = ""  # the file of the one that answers now
        self._labels = {label("")}
        self.hint: tuple[str, ...] = ()  # shown while there is no turn
        self.probabilities = False
        self.folded = False  # what the model thought is one line
        self._blocks: list[Block] = []
        self._fork: Block | None = None  # the turn at which keys go to other answers
        self._starts: list[int] = []  # the first line of each block
        self._strips: LRUCache[int, Strip] = LRUCache(512)
        self._width = 0
        self._following = True

    # ---- content ----

    def say(self, chat: Sequence[Spoken], model: str, hint: tuple[str, ...] = ()) -> None:
        """Bring it in line with the chat."""
        labels = {label(spoken.turn.by or model) for spoken in chat} or {label(model)}
        if (model, hint, labels) != (self.model, self.hint, self._labels):
            self.model, self.hint, self._labels = model, hint, labels
            self._blocks.clear()
            self._changed(0)
        width = min(self.size.width - self.indent - 1, WIDEST)
        if width <= 0:
            return
        if width != self._width:
            self._width = width
            self._blocks.clear()
        same = sum(1 for block, spoken in zip(self._blocks, chat, strict=False) if block.spoken is spoken)
        first: int | None = None  # line that changed
        if same < len(self._blocks) or not self._blocks:
            first = self._starts[same] if same < len(self._starts) else 0
            del self._blocks[same:]
        for n, block in enumerate(self._blocks):
            changed = block.bring_up()
            if changed is not None and first is None:
                first = self._starts[n] + changed
        for spoken in chat[same:]:
            first = self.virtual_size.height if first is None else first
            self._blocks.append(Block(spoken, width, self.folded))
        fork = next((block for block in reversed(self._blocks) if block.others), None)
        if fork is not self._fork:
            self._fork, first = fork, 0
        if first is not None:
            self._changed(first)

    @property
    def indent(self) -> int:
        """Columns at the left that names take, with the spaces around them."""
        return max(3, *map(len, self._labels)) + 2

    def fold(self, on: bool) -> bool:
        """Make what the model thought one line, or show it; False where there is none."""
        self.folded = on
        for block in self._blocks:
            block.fold(on)
        self._changed(0)
        return any(block.thoughts for block in self._blocks)

    def mark(self, on: bool) -> None:
        """Show the probability of tokens, or not."""
        self.probabilities = on
        self._changed(0)

    def _changed(self, first: int) -> None:
        """Lines from the `first` on are other ones."""
        heights = [len(block) for block in self._blocks]
        self._starts = [0, *accumulate(heights)][: len(heights)]
        height = sum(heights)
        for line in [line for line in self._strips.keys() if line >= first]:  # noqa: SIM118
            self._strips.discard(line)
        if height != self.virtual_size.height:  # without a new layout: it does not depend on the height
            self.set_reactive(Widget.virtual_size, Size(self.size.width, height))
            if self._following or self.scroll_y > self.max_scroll_y:
                self._go(self.max_scroll_y)
            self.post_message(self.Moved())
        top = self.scroll_offset.y
        first = max(first, top)
        if first < top + self.size.height:
            self.refresh_lines(first, top + self.size.height - first)

    # ---- scrolling ----

    @property
    def below(self) -> int:
        """Lines below those in sight."""
        return max(self.max_scroll_y - self.scroll_offset.y, 0)

    def move(self, pages: float) -> None:
        """Scroll by so many pages; far enough for the first or last line with -inf and inf."""
        page = max(self.size.height - 2, 1)
        limit = self.max_scroll_y
        self._go(min(max(self.scroll_offset.y + max(min(pages * page, limit), -limit), 0), limit))

    def _go(self, y: float) -> None:
        self.scroll_to(y=round(y), animate=False, force=True)

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        self._following = self.below == 0
        self.post_message(self.Moved())

    def on_resize(self, event: events.Resize) -> None:
        following = self._following
        self._strips.clear()
        self.say([block.spoken for block in self._blocks], self.model, self.hint)
        if following:
            self._go(self.max_scroll_y)
        self._following = following

    # ---- drawing ----

    def _at(self, line: int) -> tuple[Block, Place | None] | None:
        """The turn in a line, and what of it stands there; None where nothing does."""
        if not self._starts or not 0 <= line < self.virtual_size.height:
            return None
        n = bisect_right(self._starts, line) - 1
        return self._blocks[n], self._blocks[n].place(line - self._starts[n])

    def render_line(self, y: int) -> Strip:
        line = self.scroll_offset.y + y
        strip = self._strips.get(line)
        if strip is None:
            base = self.rich_style
            text = self._line(line)
            strip = Strip(text.render(self.app.console)).adjust_cell_length(self.size.width, base)
            strip = strip.apply_style(base).apply_offsets(0, line)
            self._strips[line] = strip
        return strip

    def _line(self, line: int) -> Text:
        text = Text(end="", no_wrap=True)
        if not self._blocks:
            if 1 <= line <= len(self.hint):
                text.append(f" {self.hint[line - 1]}", self.get_component_rich_style("transcript--you"))
            return text
        found = self._at(line)
        if found is None:
            return text
        block, place = found
        if place is None:
            if block.others:
                keys = "  alt+left, alt+right: the others" if block is self._fork else ""
                quiet = self.get_component_rich_style("transcript--you")
                text.append(f"{' ' * self.indent}{block.others}{keys}", quiet)
            return text
        said = label(block.spoken.turn.by or self.model)
        name, style = ("you", "transcript--you") if place.part == "prompt" else (said, "transcript--model")
        name = name if place.number == 0 else ""
        text.append(f" {name:{self.indent - 1}}", self.get_component_rich_style(style) if name else Style())
        start, end = place.text.lines[place.number]
        text.append(place.text.line(place.number))
        if place.part == "answer":
            quiet = self.get_component_rich_style("transcript--thought")
            for dim in block.dim:
                if dim.start < end and start < dim.stop:
                    first, last = max(dim.start, start), min(dim.stop, end)
                    text.stylize(quiet, self.indent + first - start, self.indent + last - start)
        if self.probabilities and place.part == "answer":
            for begin, until, level in block.levels(start, end):
                begin += place.text.text.startswith(" ", begin)  # no line under the space ahead of a word
                style_of = self.get_component_rich_style(LEVEL_STYLES[level])
                text.stylize(style_of, self.indent + begin - start, self.indent + until - start)
        selection = self.text_selection
        span = selection.get_span(line) if selection is not None else None
        if span is not None:
            until = len(text) if span[1] == -1 else span[1]
            text.stylize(self.screen.get_component_rich_style("screen--selection"), max(span[0], self.indent), until)
        return text

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._strips.clear()

    # ---- selecting ----

    def selection_updated(self, selection: Selection | None) -> None:
        self._strips.clear()
        self.refresh()

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        """The text alone, without names, and unbroken as it was said."""
        last = self.virtual_size.height - 1
        first = selection.start.y if selection.start is not None else 0
        pieces: list[str] = []
        for line in range(max(first, 0), min(selection.end.y if selection.end is not None else last, last) + 1):
            span, found = selection.get_span(line), self._at(line)
            place = None if found is None else found[1]
            if span is None or place is None:
                pieces.append("\n")
                continue
            start, end = place.text.lines[place.number]
            until = end if span[1] == -1 else min(start + max(span[1] - self.indent, 0), end)
            begin = min(start + max(span[0] - self.indent, 0), end)
            assert found is not None
            pieces.append(found[0].said(begin, until) if place.part == "answer" else place.text.text[begin:until])
            if span[1] == -1:
                is_last = place.number + 1 == len(place.text.lines)
                pieces.append("\n" if is_last else place.text.text[end : place.text.lines[place.number + 1][0]])
        return "".join(pieces), "\n"
