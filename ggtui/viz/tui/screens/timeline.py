"""The Timeline screen: what each lane did when, token by token."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, NamedTuple

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from ggtui.viz.live import Live
from ggtui.viz.tui.base import RunScreen, Send
from ggtui.viz.tui.screens import ScreenRow
from ggtui.viz.tui.widgets.lines import Lines

if TYPE_CHECKING:
    from ggtui.viz.tui.widgets.spans import Spans
    from ggtui.viz.tui.widgets.window import Window

FOLLOWED = 64  # newest evaluations that are laid out while following; all that are kept when someone looks back
_PARTS = ("status", "ruler", "rows", "readout", "legend", "totals", "bars")
_MOST_HIGH, _BARS_MOST = 6, 10  # lines of a lane and of the bars
_BARS = 6  # lines that bars need at least: a blank one, heading, three of bars, mark


class Heights(NamedTuple):
    """Lines of a lane's row, blank lines between rows, lanes that have room, whether their totals have, and lines
    of bars."""

    row: int
    between: int
    lanes: int
    totals: bool
    bars: int


def heights(room: int, n_lanes: int) -> Heights:
    """How `room` lines under the ruler are shared: first the lanes, then their totals, then the bars of token times,
    then higher rows."""
    n = max(n_lanes, 1)
    for totals, bars in ((n + 2, _BARS), (n + 2, 0), (0, 0)):
        free = room - totals - bars
        if free < 2 * n and totals:
            continue
        between = int((free - (n - 1)) // n >= 3)
        row = max(min((free - between * (n - 1)) // n, _MOST_HIGH), 1)
        left = room - totals - n * row - between * (n - 1)
        return Heights(row, between, min(n, max(room, 1)), totals > 0, min(left - 3, _BARS_MOST) if bars else 0)
    raise AssertionError("the last choice needs no room")


class TimelineScreen(RunScreen):
    """Lanes over time: zoom, pan, a cursor that tells what it stands on."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("plus", "zoom(0.5)", "zoom", key_display="+ -", tooltip="show less time, larger"),
        Binding("equals_sign", "zoom(0.5)", "zoom", show=False),
        Binding("minus", "zoom(2)", "zoom out", show=False, tooltip="show more time, smaller"),
        Binding("left", "move(-1)", "move", key_display="arrows"),
        Binding("right", "move(1)", "move right", show=False),
        Binding(
            "left_square_bracket", "token(-1)", "token", key_display="[ ]", tooltip="to the evaluation before this one"
        ),
        Binding("right_square_bracket", "token(1)", "next token", show=False, tooltip="to the next evaluation"),
        Binding("n", "wait(1)", "wait", key_display="n N", tooltip="to the next long wait of any thread"),
        Binding("N", "wait(-1)", "previous wait", show=False, tooltip="to the long wait before this one"),
        Binding("w", "slowest", "slowest", tooltip="to the generated token that took longest"),
        Binding("f", "follow", "follow", tooltip="keep the newest token in view"),
        Binding("0", "whole", "whole", tooltip="show all that is kept"),
        Binding("up", "lane(-1)", "thread above", show=False),
        Binding("down", "lane(1)", "thread below", show=False),
        Binding("shift+left,pageup", "page(-1)", "back a screen", show=False),
        Binding("shift+right,pagedown", "page(1)", "on a screen", show=False),
        Binding("home", "end(-1)", "begin", show=False),
        Binding("end", "end(1)", "end", show=False),
    ]

    def __init__(self, live: Live, send: Send, row: ScreenRow) -> None:
        super().__init__(live, send, row)
        self._spans: Spans | None = None
        self._window: Window | None = None
        self._lane = 0
        self._first_lane = 0  # of those that are seen

    def body(self) -> ComposeResult:
        for name in _PARTS:
            yield Lines(id=f"time-{name}")

    def on_resize(self) -> None:
        self.call_after_refresh(self.show)

    # ---- state ----

    def _update(self) -> tuple[Spans, Window] | None:
        """Bring arrays and window in line with the run; None while there is nothing."""
        from ggtui.viz.tui.widgets.spans import spans
        from ggtui.viz.tui.widgets.timeline_rows import gutter
        from ggtui.viz.tui.widgets.window import Window

        if not self.live.evaluations:
            self._spans = self._window = None
            return None
        if self._window is None:
            self._window = Window(follow=self.live.state != "saved")
        old, window = self._spans, self._window
        tokens = self.live.trace(FOLLOWED if window.follow else None).tokens
        if old is None or len(old.tokens) != len(tokens) or old.tokens[-1] is not tokens[-1]:
            self._spans = spans(self.live.graphs, tokens, old)
            moved = self._spans.moved(old) if old is not None else 0.0
            window.extend(self._spans.total, float(self._spans.start[-1]), self._spans.typical, moved)
        assert self._spans is not None
        window.resize(self.size.width - gutter(self._spans))
        self._lane = min(self._lane, max(len(self._spans.lanes) - 1, 0))
        return self._spans, window

    def show(self) -> None:
        from ggtui.viz.tui.widgets import timeline_rows as rows

        state = self._update()
        parts: dict[str, list[Text]] = {name: [] for name in _PARTS}
        if state is None:
            parts["status"] = [Text(""), Text(f"  {self.lacking}", no_wrap=True)]
        else:
            spans, window = state
            width, n = self.size.width, len(spans.lanes)
            legend = rows.legend(spans, width)
            room = heights(self.size.height - 2 - 7 - len(legend), n)
            self._first_lane = min(max(self._first_lane, self._lane - room.lanes + 1), self._lane)
            lanes = range(self._first_lane, min(self._first_lane + room.lanes, n))
            parts["status"] = [rows.status(spans, window, self.live.state == "saved", lanes)]
            parts["ruler"] = rows.ruler(spans, window)
            for i in lanes:
                parts["rows"] += [Text("")] * (room.between if i > lanes.start else 0)
                parts["rows"] += rows.lane_rows(spans, window, i, room.row, i == self._lane)
            parts["readout"] = [rows.cursor_line(spans, window), *rows.readout(spans, window, self._lane)]
            parts["legend"] = [Text(""), *legend]
            if room.totals:
                parts["totals"] = [Text(""), *rows.totals(spans, window, lanes)]
            if room.bars:
                bars = rows.token_bars(
                    spans,
                    spans.token_at(window.at),
                    width,
                    room.bars,
                    ascii_only=getattr(self.app, "ascii_only", False),
                )
                parts["bars"] = [Text(""), *bars]
        for name, lines in parts.items():
            self.query_one(f"#time-{name}", Lines).put(lines)

    # ---- keys ----

    def action_zoom(self, factor: float) -> None:
        if self._window is not None:
            self._window.zoom(factor)
            self.show()

    def action_whole(self) -> None:
        if self._window is not None:
            self._window.whole()
            self.show()

    def action_follow(self) -> None:
        """The newest token in view, and of a live run every one to come."""
        if self._spans is None or self._window is None:
            return
        self._window.go(float(self._spans.start[-1]))
        if self.live.state != "saved":
            self._window.follow, self._spans = True, None
        self.show()

    def _held(self) -> tuple[Spans, Window] | None:
        """All evaluations that are kept, in a window that follows no longer."""
        if self._window is not None:
            self._window.hold()
        return self._update()

    def _go(self, window: Window, place: float) -> None:
        window.go(place)
        self.show()

    def action_move(self, columns: int) -> None:
        if held := self._held():
            held[1].move(columns)
            self.show()

    def action_page(self, screens: int) -> None:
        if held := self._held():
            held[1].page(screens)
            self.show()

    def action_token(self, step: int) -> None:
        """The cursor on the beginning of the next evaluation, or of this one, or of the one before."""
        if held := self._held():
            spans, window = held
            i = spans.token_at(window.at)
            if step > 0 or window.at <= spans.start[i]:
                i += step
            self._go(window, float(spans.start[min(max(i, 0), len(spans.tokens) - 1)]))

    def action_slowest(self) -> None:
        """The cursor on the generated token that took longest."""
        if held := self._held():
            self._go(held[1], float(held[0].start[held[0].slowest]))

    def action_wait(self, step: int) -> None:
        """The cursor on the next, or the previous, of the longest twentieth of the waits, of any lane."""
        if held := self._held():
            spans, window = held
            found = spans.next_wait(window.at, self._lane, step)
            if found is None:
                self.notify("No longer wait that way." if len(spans.waits[0]) else "No wait was recorded.")
            else:
                self._lane = found[1]
                self._go(window, found[0])

    def action_lane(self, step: int) -> None:
        if self._spans is not None:
            self._lane = min(max(self._lane + step, 0), max(len(self._spans.lanes) - 1, 0))
            self.show()

    def action_end(self, side: int) -> None:
        """The cursor on the begin or the end of the axis."""
        if held := self._held():
            self._go(held[1], 0.0 if side < 0 else held[0].total)
