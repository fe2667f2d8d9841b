"""The lines over the table: what is shown, the run in plain words, how near it is to the machine's limit, and what each
lane did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace
from textwrap import wrap
from typing import ClassVar

from rich.style import Style
from rich.text import Text
from textual.widgets import Static

from ggtui.core.runtime.record import Lane, RunInfo
from ggtui.perf.stage import LaneTime, Stage
from ggtui.perf.words import busy_machine, stage_in_words
from ggtui.viz import tables
from ggtui.viz.text import printable_line
from ggtui.viz.tui.widgets import plot

_LABEL, _NUMBERS, _LONGEST = 10, 47, 60  # columns: of the first word, of the figures, of a bar at most
_LABEL_MOST = 24
_PARTS = ("work", "wait", "wake", "lost")  # lost: not scheduled, or held up by a thread that was not


@dataclass(frozen=True, slots=True)
class Place:
    """The room for the lines, of which their first word takes `label` columns, and how to draw."""

    width: int
    height: int
    ascii_only: bool = False
    label: int = _LABEL

    @property
    def words(self) -> int:
        """Lines for the summary."""
        return 0 if self.height < 20 else 2

    @property
    def lanes(self) -> int:
        """Lines for lanes at most."""
        return 1 if self.height < 20 else 2 if self.height < 30 else 8

    @property
    def bar(self) -> int:
        return max(min(self.width - self.label - _NUMBERS - 3, _LONGEST), 0)


def title(stage: Stage) -> str:
    """The stage and its speed, in columns that stay where they are."""
    n = len(stage.tokens)
    speed = f"{tables.duration(stage.evals.mean):>7} a {stage.each}, {stage.tokens_per_s:7.1f} tok/s"
    return f"{stage.name}: {n:3} evaluation{'s' if n != 1 else ' '}, {speed}"


def words(stage: Stage, run: RunInfo, place: Place) -> list[str]:
    """Whether the machine is busy, what binds the run and where its time goes: as many whole sentences as there is room
    for."""
    said = [*busy_machine(run), *stage_in_words(stage)[1:]]
    if stage.dropped:  # what figures can't be trusted for comes first
        said = [said[-1], *said[:-1]]
    lines: list[str] = []
    for sentence in said:
        wrapped = wrap(printable_line(sentence), max(place.width - 2, 1))
        if not lines or len(lines) + len(wrapped) <= place.words:
            lines += wrapped
    return (lines + [""] * place.words)[: place.words]


def limit_line(stage: Stage, place: Place, hint: str) -> Text:
    """How much of what the machine allows is reached; `hint` says what to do where that was not measured."""
    binds, reached = stage.bound
    if reached is None:
        if stage.limits is not None and not stage.limited.all():
            hint = f"only those of {printable_line(stage.limits.device)} are known"
        return Text(f" {'limit':{place.label}}{hint}"[: place.width])
    allowed = stage.compute_limit if binds == "compute" else (stage.read_limit or 0.0)
    unit = "GFLOP/s" if binds == "compute" else "GB/s"
    told = f"{binds:7} {reached:4.0%} of {tables.rate(allowed):>5} {unit}"
    text = Text(f" {'limit':{place.label}}{told:{_NUMBERS}}")
    bar = plot.bar(reached, place.bar, ascii_only=place.ascii_only).rstrip()
    text.append(bar, style="limit").append(("-" if place.ascii_only else "·") * (place.bar - len(bar)), style="words")
    return text


def lane_line(name: str, lane: LaneTime, place: Place) -> Text:
    """What a lane did, as shares and as a bar of pieces; where it rested there is none."""
    total = max(lane.total, 1.0)
    total -= lane.call  # of which there is no bar: it is the same for all
    shares = [ns / max(total, 1.0) for ns in (lane.work, lane.wait, lane.wake, lane.lost + lane.held)]
    told = "  ".join(f"{part} {share:5.1%}" for part, share in zip(_PARTS, shares, strict=True))
    text = Text(f" {printable_line(name)[: place.label - 1]:{place.label}}{told:{_NUMBERS}}")
    ends = [round(sum(shares[: i + 1]) * place.bar) for i in range(len(shares))]
    for part, glyph, start, end in zip(_PARTS, "#=.x" if place.ascii_only else "█▒░▞", [0, *ends], ends, strict=False):
        text.append(glyph * (end - start), style=part)
    return text


def lane_lines(stage: Stage, place: Place) -> list[Text]:
    """A line a lane; where there are too many, those left over together."""
    times = stage.lanes
    alone = len(times) if len(times) <= place.lanes else place.lanes - 1
    lines = [lane_line(lane.name, t, place) for lane, t in zip(stage.graph.lanes, times[:alone], strict=False)]
    rest = times[alone:]
    if rest:
        mean = LaneTime(*(sum(times) / len(rest) for times in zip(*map(astuple, rest), strict=True)))
        last = len(times) - 1
        lines.append(lane_line(f"all {len(times)}" if not alone else f"{alone} to {last}", mean, place))
    return lines


def _label(lanes: Sequence[Lane]) -> int:
    """Columns for the names of these."""
    return min(max(_LABEL, *(len(printable_line(lane.name)) + 1 for lane in lanes)), _LABEL_MOST)


def head(stage: Stage, run: RunInfo, place: Place, lines: str, *, paused: bool, hint: str) -> Text:
    """All of it. `lines` says what those of the table are."""
    text = Text(no_wrap=True, end="")
    first = f" PAUSED  {title(stage)}" if paused else f" {title(stage)}"
    text.append(first, style="title")
    if len(first) + len(lines) + 3 <= place.width:
        text.append(f"{lines} ".rjust(place.width - len(first)))
    place = replace(place, label=_label(stage.graph.lanes[: place.lanes]))
    for said in words(stage, run, place):
        text.append(f"\n {said}", style="words")
    for line in (limit_line(stage, place, hint), *lane_lines(stage, place)):
        text.append("\n").append_text(line)
    return text


class RooflineBar(Static):
    """Shows `head`; where there is no stage, what to do."""

    DEFAULT_CSS = """
    RooflineBar { height: auto; background: $background; text-wrap: nowrap; text-overflow: clip; }
    RooflineBar > .roofline-bar--title { text-style: bold; }
    RooflineBar > .roofline-bar--words { color: $secondary; }
    RooflineBar > .roofline-bar--limit { color: $accent; }
    RooflineBar > .roofline-bar--work { color: $success; }
    RooflineBar > .roofline-bar--wait { color: $accent; }
    RooflineBar > .roofline-bar--wake { color: $error; }
    RooflineBar > .roofline-bar--lost { color: $error; }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {f"roofline-bar--{name}" for name in ("title", "words", "limit", *_PARTS)}

    def __init__(self) -> None:
        super().__init__(markup=False)
        self._shown: Text | None = None
        self._looks: dict[str, Style] = {}

    def show_text(self, text: Text) -> None:
        """Show it, if it is another text; its styles are the names of the classes above."""
        if self._shown is not None and text == self._shown and text.spans == self._shown.spans:
            return
        tall = self._shown is None or text.plain.count("\n") != self._shown.plain.count("\n")
        self._shown = text
        drawn = text.copy()
        drawn.spans = [span._replace(style=self._look(str(span.style))) for span in text.spans]
        self.update(drawn, layout=tall)

    def _look(self, name: str) -> Style:
        if name not in self._looks:
            self._looks[name] = self.get_component_rich_style(f"roofline-bar--{name}", partial=True)
        return self._looks[name]

    def notify_style_update(self) -> None:
        """Other colours: the same text once more."""
        super().notify_style_update()
        self._looks.clear()
        shown, self._shown = self._shown, None
        if shown is not None:
            self.show_text(shown)
