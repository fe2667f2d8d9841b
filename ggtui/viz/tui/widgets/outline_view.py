"""The outline on the screen: lines of our own, of which only those are drawn anew that changed."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from ggtui.core.runtime.record import GraphInfo
from ggtui.viz.tui.widgets.heat import Look
from ggtui.viz.tui.widgets.node_figures import Figures
from ggtui.viz.tui.widgets.outline import Columns, Item, hottest, items_of, line, visible


class Outline(ScrollView, can_focus=True):
    """The lines, one of which is the current one. Layers are folded at first."""

    DEFAULT_CSS = """
    Outline { scrollbar-size-vertical: 1; overflow-x: hidden; background: $background; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1)", "up", show=False),
        Binding("down", "move(1)", "down", show=False),
        Binding("pageup", "page(-1)", "page up", show=False),
        Binding("pagedown", "page(1)", "page down", show=False),
        Binding("home", "end(0)", "first", show=False),
        Binding("end", "end(-1)", "last", show=False),
        Binding("right", "unfold", "unfold", show=False),
        Binding("left", "fold", "fold", show=False),
        Binding("enter,space", "flip", "fold or unfold", show=False),
    ]

    class Moved(Message):
        """Another line is the current one."""

    class Entered(Message):
        """Enter on a node."""

    def __init__(self) -> None:
        super().__init__()
        self.items: tuple[Item, ...] = ()
        self.originals = False
        self._folded: set[str] = set()
        self._seen: set[str] = set()  # groups that were there at some time
        self.lines: list[Item] = []
        self._key = ""
        self._figures: Figures | None = None
        self._heat = "time"
        self._look = Look()
        self._columns = Columns.of(0, self._heat)
        self.most = 0.0
        self._drawn: dict[int, Text] = {}

    # ---- what is shown ----

    @property
    def current(self) -> Item | None:
        """The line that the cursor is at."""
        return next((item for item in self.lines if item.key == self._key), None)

    def take(self, graph: GraphInfo) -> None:
        """Show another graph, at the same place of it where it has that."""
        self.items = items_of(graph)
        layers = {item.key for item in self.items if item.kind == "layer" and item.key.startswith("blk.")}
        self._folded |= layers - self._seen
        self._seen |= layers
        if not any(item.key == self._key for item in self.items):
            self._key = next((item.key for item in self.items if item.kind == "node"), "")
        self._lay_out()

    def show(self, figures: Figures | None, heat: str, look: Look) -> None:
        """Draw the lines whose text changed."""
        self._figures, self._heat, self._look = figures, heat, look
        self.most = hottest(self.items, figures, heat)
        self._columns = Columns.of(self.size.width, heat)
        top = self.scroll_offset.y
        for y in range(top, min(top + self.size.height, len(self.lines))):
            text = self._text(y)
            if text != self._drawn.get(y):
                self._drawn[y] = text
                self.refresh(Region(0, y - top, self.size.width, 1))

    def set_originals(self, on: bool) -> None:
        """Whether each node is followed by the ops it stands for."""
        self.originals = on
        self._lay_out()

    def reveal(self, key: str) -> None:
        """Make a line the current one, and unfold what it is in."""
        by_key = {item.key: item for item in self.items}
        parent = by_key[key].parent
        while parent:
            self._folded.discard(parent)
            parent = by_key[parent].parent
        self._lay_out()
        self._go(key)

    def fold_all(self) -> None:
        """Unfold all groups; fold the layers where all are unfolded."""
        self._folded = set() if self._folded else {i.key for i in self.items if i.key in self._seen}
        self._lay_out()
        self.scroll_to_current()

    def _lay_out(self) -> None:
        self.lines = visible(self.items, self._folded, self.originals)
        by_key = {item.key: item for item in self.items}
        shown = {item.key for item in self.lines}
        while self._key and self._key not in shown:
            self._key = by_key[self._key].parent
            self.post_message(self.Moved())
        self.virtual_size = Size(self.size.width, len(self.lines))
        self._drawn.clear()
        self.refresh()

    def _text(self, y: int) -> Text:
        item = self.lines[y]
        return line(
            item, self._columns, self._figures, self._heat, self.most, self._look,
            folded=item.key in self._folded, current=item.key == self._key, focused=self.has_focus,
        )  # fmt: skip

    def render_line(self, y: int) -> Strip:
        at = self.scroll_offset.y + y
        width, style = self.size.width, self.rich_style
        if at >= len(self.lines):
            return Strip.blank(width, style)
        text = self._drawn[at] = self._text(at)
        strip = Strip(text.render(self.app.console), text.cell_len)
        return strip.apply_style(style).adjust_cell_length(width, style)

    def on_resize(self) -> None:
        self._columns = Columns.of(self.size.width, self._heat)
        self.virtual_size = Size(self.size.width, len(self.lines))
        self.scroll_to_current()

    # ---- keys ----

    def _row(self) -> int:
        return next((y for y, item in enumerate(self.lines) if item.key == self._key), 0)

    def _go(self, key: str) -> None:
        if key != self._key:
            self._key = key
            self.post_message(self.Moved())
        self.scroll_to_current()
        self.refresh()

    def scroll_to_current(self) -> None:
        y, top, height = self._row(), self.scroll_offset.y, self.size.height
        if height and not top <= y < top + height:
            self.scroll_to(y=y if y < top else y - height + 1, animate=False)

    def action_move(self, by: int) -> None:
        if self.lines:
            self._go(self.lines[min(max(self._row() + by, 0), len(self.lines) - 1)].key)

    def action_page(self, by: int) -> None:
        self.action_move(by * max(self.size.height - 1, 1))

    def action_end(self, index: int) -> None:
        if self.lines:
            self._go(self.lines[index].key)

    def action_unfold(self) -> None:
        item = self.current
        if item is not None and item.key in self._folded:
            self.action_flip()
        elif item is not None and any(other.parent == item.key for other in self.lines):
            self.action_move(1)

    def action_fold(self) -> None:
        item = self.current
        if item is not None and item.is_group and item.key not in self._folded:
            self.action_flip()
        elif item is not None and item.parent:
            self._go(item.parent)

    def action_flip(self) -> None:
        item = self.current
        if item is not None and item.is_group:
            self._folded ^= {item.key}
            self._lay_out()
        elif item is not None:
            self.post_message(self.Entered())

    def on_click(self, event: events.Click) -> None:
        y = self.scroll_offset.y + event.y
        if y >= len(self.lines):
            return
        item = self.lines[y]
        if item.key == self._key or (item.is_group and event.x < 4):
            self._go(item.key)
            if item.is_group:
                self.action_flip()
        else:
            self._go(item.key)
