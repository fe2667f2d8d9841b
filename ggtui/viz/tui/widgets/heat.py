"""What colours and bars of the graph stand for, and how they are drawn: each step of colour is twice the one before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, log2

from ggtui.viz.tables import DASH, duration, percent, size
from ggtui.viz.tui.widgets.node_figures import Figures

HEATS = ("time", "waiting", "bytes", "limit")
MEANING = {
    "time": "time at work", "waiting": "waiting for {others}", "bytes": "bytes read and written",
    "limit": "part of what the machine allows",
}  # fmt: skip

_DARK = ("#6b7385", "#a39a72", "#d0b45c", "#e89a4a", "#ec6f47", "#f7566e")
_LIGHT = ("#6a7180", "#7d7340", "#8a6a00", "#a85a00", "#b83a10", "#b3203a")

STEPS = len(_DARK)  # colours


@dataclass(frozen=True, slots=True)
class Look:
    """What the terminal can show: `ascii_only`: no other characters; `dark`: a dark ground."""

    ascii_only: bool = False
    dark: bool = True

    def color(self, part: float) -> str:
        """Of a value that is this part of the hottest."""
        colors = _DARK if self.dark else _LIGHT
        return colors[max(0, len(colors) - 1 + ceil(log2(min(part, 1.0))))] if part > 0 else colors[0]

    @property
    def accent(self) -> str:
        """A colour that is not of the heat."""
        return "#7aa2f7" if self.dark else "#2e5cb8"

    def bar(self, part: float, width: int) -> str:
        """A line of `width` columns, drawn along this part of it; what is more than nothing shows."""
        halves = max(round(min(part, 1.0) * width * 2), int(part > 0))
        if self.ascii_only:
            return ("=" * ((halves + 1) // 2)).ljust(width)
        return ("━" * (halves // 2) + "╸" * (halves % 2)).ljust(width)

    def dots(self) -> str:
        """Ends what was cut short."""
        return "~" if self.ascii_only else "…"


def value(figures: Figures, nodes: Sequence[int], heat: str) -> float:
    """Of these nodes together; 0 where it is not known."""
    if heat == "limit":
        return figures.limit(nodes)[1] or 0.0
    column = {"time": figures.time, "waiting": figures.wait, "bytes": figures.traffic}[heat]
    return sum(column[i] for i in nodes)


def told(value: float, heat: str) -> str:
    """With its unit."""
    if heat == "limit":
        return f"{value:.0%}" if value else DASH
    return size(round(value)) if heat == "bytes" else duration(value)


def share_told(share: float) -> str:
    return percent(share) if share < 0.9995 else "100%"
