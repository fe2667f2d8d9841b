"""The Memory screen: who owns the bytes, how they grow, what the model file is made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, NamedTuple

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical

from ggtui.viz.live import Live
from ggtui.viz.tui.base import RunScreen, Send
from ggtui.viz.tui.screens import ScreenRow
from ggtui.viz.tui.widgets.lines import Lines

if TYPE_CHECKING:
    from ggtui.viz.tui.widgets.model_bytes import Group

_OWNERS = 9  # lines of their table
_SIDE_BY_SIDE = 100  # columns from which on the model stands at the right
_GROWTH_MOST, _GROWTH_LEAST, _AIRY = 18, 5, 30
_PARTS = ("owners", "kv", "growth", "model")


class Heights(NamedTuple):
    """Lines of the curves and of the model's table, 0 for what has no room, and blank lines before each."""

    growth: int
    model: int
    between: int


def heights(room: int, kv: int, *, stacked: bool) -> Heights:
    """How `room` lines are shared, of which the owners and the KV cache take theirs, the latter `kv`."""
    between = int(room >= _AIRY)
    left = room - _OWNERS - kv - 2 * between
    if not stacked:
        return Heights(min(max(left, 0), _GROWTH_MOST), max(room, 2), between)
    growth = min((left - between) // 2, _GROWTH_MOST)
    growth = growth if growth >= _GROWTH_LEAST else 0
    return Heights(growth, max(left - growth - (between if growth else 0), 2), between)


class MemoryScreen(RunScreen):
    """Owners, the KV cache, curves; and the model's tensors, which the arrows scroll."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("t", "group", "layer/type/tensor", tooltip="the model's bytes by layer, type or tensor"),
        Binding("b", "unit", "bytes/MiB", tooltip="sizes in bytes or in MiB"),
        Binding("up", "scroll_model(-1)", "scroll", key_display="arrows"),
        Binding("down", "scroll_model(1)", "scroll down", show=False),
        Binding("pageup", "page(-1)", "page up", show=False),
        Binding("pagedown", "page(1)", "page down", show=False),
        Binding("home", "scroll_model(-1000000)", "first", show=False),
        Binding("end", "scroll_model(1000000)", "last", show=False),
    ]
    CSS = """
    MemoryScreen #mem-panels { height: 1fr; }
    MemoryScreen #mem-panels.-stacked { layout: vertical; }
    MemoryScreen #mem-left { width: 1fr; height: auto; }
    MemoryScreen #mem-right { width: 1fr; height: auto; padding-left: 3; }
    MemoryScreen .-stacked #mem-left, MemoryScreen .-stacked #mem-right { width: 100%; padding-left: 0; }
    """

    def __init__(self, live: Live, send: Send, row: ScreenRow) -> None:
        super().__init__(live, send, row)
        self._by, self._mib, self._first = 0, True, 0
        self._shown_rows = 1
        self._groups: tuple[object, str, list[Group]] | None = None

    def body(self) -> ComposeResult:
        with Horizontal(id="mem-panels"):
            with Vertical(id="mem-left"):
                for name in _PARTS[:-1]:
                    yield Lines(id=f"mem-{name}")
            with Vertical(id="mem-right"):
                yield Lines(id="mem-model")

    def on_resize(self) -> None:
        self.call_after_refresh(self.show)

    def show(self) -> None:
        from ggtui.viz.tui.widgets import owners

        stacked = self.size.width < _SIDE_BY_SIDE
        self.query_one("#mem-panels").set_class(stacked, "-stacked")
        parts: dict[str, list[Text]] = {name: [] for name in _PARTS}
        if self.lacking:
            parts["owners"] = [Text(""), Text(f"  {self.lacking}", no_wrap=True)]
        else:
            live, mib = self.live, self._mib
            ascii_only: bool = getattr(self.app, "ascii_only", False)
            width = self.size.width if stacked else self.size.width // 2
            left = width if stacked else width - 1
            kv = owners.kv_lines(live, left, mib=mib, ascii_only=ascii_only)
            room = heights(self.size.height - 2, len(kv), stacked=stacked)
            blank = [Text("")] * room.between
            parts["owners"] = owners.owner_table(live.memory, live.rss, left, mib=mib, ascii_only=ascii_only)
            parts["kv"] = [*blank, *kv]
            curves = owners.growth(live.growth, left, room.growth, mib=mib, ascii_only=ascii_only)
            parts["growth"] = [*blank, *curves] if curves else []
            before = blank if stacked else []
            parts["model"] = [*before, *self._model(width if stacked else self.size.width - width - 3, room.model)]
        for name, lines in parts.items():
            self.query_one(f"#mem-{name}", Lines).put(lines)

    def _model(self, width: int, height: int) -> list[Text]:
        """The table of the model's tensors."""
        from ggtui.viz.tui.widgets import model_bytes

        rows, by = self._rows()
        known = self.live.loaded is not None
        said = [] if known else [Text("Of a saved run only the types are known.", style="italic")]
        self._shown_rows = max(height - 1 - len(said), 1)
        self._first = min(max(self._first, 0), max(len(rows) - self._shown_rows, 0))
        ascii_only: bool = getattr(self.app, "ascii_only", False)
        table = model_bytes.table(
            rows, by, width, self._shown_rows + 1, self._first, mib=self._mib, ascii_only=ascii_only
        )
        return [*table, *said]

    def _rows(self) -> tuple[list[Group], str]:
        """The groups, made once for each grouping, and by what they are."""
        from ggtui.viz.tui.widgets import model_bytes

        loaded = self.live.loaded
        source: object = loaded if loaded is not None else self.live.run.types
        by = model_bytes.GROUPINGS[self._by] if loaded is not None else "type"
        if self._groups is None or self._groups[0] is not source or self._groups[1] != by:
            made = (
                model_bytes.groups(loaded.tensors, by)
                if loaded is not None
                else model_bytes.of_types(self.live.run.types)
            )
            self._groups = source, by, made
        return self._groups[2], by

    # ---- keys ----

    def action_group(self) -> None:
        """The next grouping."""
        from ggtui.viz.tui.widgets.model_bytes import GROUPINGS

        if self.live.loaded is None:
            self.notify("Layers and tensors are told by the model file; this run has only its types.")
            return
        self._by, self._first = (self._by + 1) % len(GROUPINGS), 0
        self.show()

    def action_unit(self) -> None:
        self._mib = not self._mib
        self.show()

    def action_scroll_model(self, lines: int) -> None:
        self._first += lines
        self.show()

    def action_page(self, pages: int) -> None:
        self.action_scroll_model(pages * self._shown_rows)
