"""The table of nodes: lines of fixed columns over the figures of perf, and the widget that shows them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from ggtui.perf.table import Row
from ggtui.viz import tables
from ggtui.viz.text import printable_line

GAP = 2  # columns between two of the table; the first one holds the mark of the sorted column
# As wide as the widest of their texts: 1000 us, 100.0%, 12345, 1234% mem.
_WIDTHS = {"time": 7, "share": 6, "sd": 7, "p95": 7, "wait": 7, "GB/s": 5, "GFLOP/s": 7, "limit": 8, tables.KL: 7}


@dataclass(frozen=True, slots=True)
class Column:
    """`name` is its heading, of the first one what a line is of: node, op, layer or type."""

    name: str
    width: int
    left: bool


def columns(rows: Sequence[Row], by: str, width: int) -> tuple[Column, ...]:
    """The columns that have room in `width`: as wide for any figures of the same rows."""
    words = tables.words_of(by)
    told = [tables.cells(row) for row in rows]
    found = [Column(by, max([len(by), *(len(printable_line(row.key)) for row in rows)]), True)]
    found += [Column(w, max([len(w), *(len(cells[w]) for cells in told)]), True) for w in words]
    found += [Column(name, _WIDTHS[name], False) for name in tables.figures_of(rows)]
    left, _ = tables.fitted([(c.name, "") for c in found], [["x" * c.width for c in found]], width, GAP)
    names = {name for name, _ in left}
    return tuple(c for c in found if c.name in names)


def heading(cols: Sequence[Column], sort: str, reverse: bool, *, ascii_only: bool = False) -> str:
    """The names of the columns; the sorted one is marked, by where its figures fall or rise."""
    rising, falling = ("+", "-") if ascii_only else ("▲", "▼")
    text = ""
    for c in cols:
        mark = "" if c.name != sort else falling if (c.name in tables.FIGURES) != reverse else rising
        named = mark + c.name
        text += " " * (GAP - len(mark)) + named.ljust(c.width + len(mark)) if c.left else named.rjust(GAP + c.width)
    return text


def line(cols: Sequence[Column], row: Row) -> str:
    """The row in these columns; what is too long for its column is cut."""
    told = tables.cells(row)
    text = ""
    for c in cols:
        cell = told.get(c.name, "") if c is not cols[0] else printable_line(row.key)
        cell = cell[: c.width]
        text += " " * GAP + (cell.ljust(c.width) if c.left else cell.rjust(c.width))
    return text


def matching(rows: Sequence[Row], words: str) -> list[Row]:
    """Rows with all these words in key, op or type."""
    wanted = words.lower().split()
    return [row for row in rows if all(w in f"{row.key} {row.op} {row.type}".lower() for w in wanted)]


def in_order(rows: Sequence[Row], by: str, sort: str, reverse: bool) -> list[Row]:
    """By a column: the largest figure first, words from a on; `reverse` turns it round. What is not known is last."""
    if sort in tables.FIGURES:
        known = [row for row in rows if _figure(row, sort) is not None]
        known.sort(key=lambda row: _figure(row, sort) or 0.0, reverse=not reverse)
        return known + [row for row in rows if _figure(row, sort) is None]
    if sort == "shape":
        return sorted(rows, key=lambda row: (row.shape, _natural(row.key)), reverse=reverse)
    name = "key" if sort == by else sort
    return sorted(rows, key=lambda row: (_natural(getattr(row, name)), _natural(row.key)), reverse=reverse)


def _figure(row: Row, column: str) -> float | None:
    t = row.time
    match column:
        case "sd":
            return t.sd
        case "p95":
            return t.p95
        case "wait":
            return row.wait_ns
        case "GB/s":
            return row.bytes_per_s
        case "GFLOP/s":
            return row.flops_per_s
        case "limit":
            return row.of_limit
        case tables.KL:
            return tables.kl_of(row)
    return t.mean  # time and share


def _natural(text: str) -> list[tuple[int, str]]:
    """For an order in which blk.2 comes before blk.10."""
    return [(int(part) if part.isdigit() else -1, part) for part in re.split(r"(\d+)", text)]


class NodeTable(ScrollView, can_focus=True):
    """Lines of fixed columns with a cursor. The cursor stays on its row wherever that moves to; until it is moved for
    the first time it is on the first line."""

    DEFAULT_CSS = """
    NodeTable {
        height: 1fr; background: $background; overflow-x: hidden; scrollbar-gutter: stable;
        scrollbar-size-vertical: 1;
    }
    NodeTable > .node-table--heading { background: $background; color: $primary; text-style: bold; }
    NodeTable > .node-table--hot { background: $background; text-style: bold; }
    NodeTable > .node-table--cursor { background: $panel; text-style: bold; }
    NodeTable:focus > .node-table--cursor { background: $primary 30%; }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {"node-table--heading", "node-table--hot", "node-table--cursor"}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1)", "a line up", show=False),
        Binding("down", "move(1)", "a line down", show=False),
        Binding("pageup", "page(-1)", "a page up", show=False),
        Binding("pagedown", "page(1)", "a page down", show=False),
        Binding("home", "move(-1000000)", "the first line", show=False),
        Binding("end", "move(1000000)", "the last line", show=False),
    ]
    HOT = 0.1  # share of the evaluation from which on a line is bold

    class Chosen(Message):
        """The line under the cursor was clicked."""

    def __init__(self, *, ascii_only: bool = False) -> None:
        super().__init__()
        self._ascii = ascii_only
        self._rows: list[Row] = []
        self._every: Sequence[Row] = ()
        self._by, self._sort, self._reverse = "node", "time", False
        self._columns: tuple[Column, ...] = ()
        self._for: object = None  # what the columns were chosen for
        self._key = ""  # of the row under the cursor, once it was moved
        self._at = 0
        self._texts: dict[int, str] = {}  # lines of the rows, as far as they were seen
        self._drawn: dict[int, tuple[str, bool]] = {}  # what stands on the screen
        self._looks: dict[str, Style] = {}

    # ---- what is shown ----

    def show_rows(self, every: Sequence[Row], rows: Sequence[Row], by: str, sort: str, reverse: bool) -> None:
        """Show `rows` in this order; `every` row, also those left out by a filter, decides how wide the columns are."""
        self._every, self._by, self._sort, self._reverse = every, by, sort, reverse
        self._rows = list(rows)
        self._fit()
        self._texts.clear()
        found = next((i for i, row in enumerate(self._rows) if row.key == self._key), None) if self._key else 0
        seen = self._first <= self._at < self._first + self._page
        self._at = max(0, min(self._at if found is None else found, len(self._rows) - 1))
        size = Size(self.size.width, len(self._rows) + 1)
        if size != self.virtual_size:
            self.virtual_size = size
        if seen:
            self._follow()
        self._redraw()

    def _fit(self) -> None:
        width = self.scrollable_content_region.width
        wanted = (width, self._by, tuple((row.key, row.op, row.type, row.shape, bool(row.kl)) for row in self._every))
        if wanted != self._for:
            self._for, self._columns = wanted, columns(self._every, self._by, width)

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of those that have room."""
        return tuple(c.name for c in self._columns)

    @property
    def cursor(self) -> Row | None:
        """The row under the cursor."""
        return self._rows[self._at] if self._rows else None

    def forget_cursor(self) -> None:
        """Back to the first line."""
        self._key, self._at = "", 0
        self.scroll_to(y=0, animate=False, force=True)

    @property
    def _first(self) -> int:
        return self.scroll_offset.y

    @property
    def _page(self) -> int:
        return max(self.size.height - 1, 1)

    def _redraw(self) -> None:
        """Draw those lines anew that differ from what stands on the screen."""
        width, height = self.size
        other = [Region(0, y, width, 1) for y in range(height) if self._drawn.get(y) != self._told(y)]
        if other:
            self.refresh(*other)

    def _told(self, y: int) -> tuple[str, bool]:
        """The text of a line of the widget, and whether it is the cursor's."""
        if y == 0:
            return heading(self._columns, self._sort, self._reverse, ascii_only=self._ascii), False
        at = self._first + y - 1
        if at >= len(self._rows):
            return "", False
        if at not in self._texts:
            self._texts[at] = line(self._columns, self._rows[at])
        text = self._texts[at]
        return (f">{text[1:]}", True) if at == self._at else (text, False)

    def render_line(self, y: int) -> Strip:
        text, chosen = self._drawn[y] = self._told(y)
        name = "heading" if y == 0 else "cursor" if chosen else ""
        if not name and text and self._rows[self._first + y - 1].share >= self.HOT:
            name = "hot"
        style = self._look(name)
        return Strip([Segment(text, style)]).adjust_cell_length(self.scrollable_content_region.width, style)

    def _look(self, name: str) -> Style:
        if name not in self._looks:
            own = self.get_component_rich_style(f"node-table--{name}") if name else Style()
            self._looks[name] = self.rich_style + own
        return self._looks[name]

    def notify_style_update(self) -> None:
        """Other colours, or the focus came or went."""
        super().notify_style_update()
        self._looks.clear()

    # ---- the cursor ----

    def action_move(self, lines: int) -> None:
        if self._rows:
            self._at = max(0, min(self._at + lines, len(self._rows) - 1))
            self._key = self._rows[self._at].key
            self._follow()
            self._redraw()

    def action_page(self, pages: int) -> None:
        self.action_move(pages * self._page)

    def _follow(self) -> None:
        """Scroll so that the cursor is seen."""
        top = self._first
        wanted = min(max(top, self._at - self._page + 1), self._at)
        if wanted != top:
            self.scroll_to(y=wanted, animate=False, force=True)

    def on_resize(self) -> None:
        self._drawn.clear()
        self.show_rows(self._every, self._rows, self._by, self._sort, self._reverse)
        self.refresh()

    def on_click(self, event: events.Click) -> None:
        at = self._first + event.y - 1
        if event.y > 0 and at < len(self._rows):
            if at == self._at and self.has_focus:
                self.post_message(self.Chosen())
            self.action_move(at - self._at)
