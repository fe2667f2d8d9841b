"""What /perf and /trace do in the line-by-line conversation: record node times, show them, draw the graph that ran."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ggtui.core.errors import UsageError

if TYPE_CHECKING:
    from ggtui.core.engine.session import Session
    from ggtui.core.engine.steps import Step
    from ggtui.core.runtime.record import TokenRecord, Trace

KEPT = 256  # evaluations


class Profile:
    """The newest records of a session that was loaded with record="full"."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._kept: deque[TokenRecord] = deque(maxlen=KEPT)

    def take(self, step: Step) -> None:
        """Keep what was recorded of a step."""
        if self._session.recording:
            self._kept.extend(step.runs)

    def record(self, on: bool) -> str:
        """Record node times, or not; what to tell."""
        self._session.recording = on
        return "Node times are recorded; /perf shows them." if on else "No more node times are recorded."

    def save(self, name: str) -> str:
        """Write what was recorded into a file; what to tell."""
        from ggtui.core.engine.trace_file import save

        if not name:
            raise UsageError("/perf save: name a file, such as run.json")
        save(self._trace(), name)
        return f"Saved; ggtui perf --open {name} shows it."

    def tables(self, top: int) -> Iterator[str]:
        """The nodes that took longest, of each kind of evaluation."""
        from ggtui.perf.stage import stages
        from ggtui.viz import tables

        trace = self._trace()
        for stage in stages(trace):
            title, columns, lines = tables.node_table(stage, top=top)
            yield from tables.text_table(title, *tables.fitted(columns, lines, 79)).splitlines()
            yield ""
        yield from tables.notes(trace)

    def draw(self, name: str) -> str:
        """What /trace says when it has drawn the graph of the newest kind of evaluation."""
        from ggtui.perf.stage import stages
        from ggtui.perf.words import what_ran
        from ggtui.viz.dot import dot_text
        from ggtui.viz.picture import check_ending, has_markup, write_picture

        if not name:
            raise UsageError("/trace: name a file to draw the graph into, such as graph.svg")
        ending = check_ending(Path(name))
        stage = stages(self._trace())[0]
        title = f"{self._session.path.name}, {what_ran(stage.name)}"
        write_picture(dot_text(stage.graph, stage, title=title, markup=has_markup(ending)), name)
        return f"Drawn: {name}"

    def _trace(self) -> Trace:
        if not self._kept:
            raise UsageError("nothing is recorded yet; /perf on, and let the model say something")
        return self._session.trace(self._kept)
