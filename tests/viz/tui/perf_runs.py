"""What the tests of the Perf screen and its dialogs share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

from recorded import RecordedEngine, answer, drive, evaluation, lines, loaded, settle, trace
from textual.pilot import Pilot
from textual.widgets import Input

from ggtui.core.runtime.record import NodeTotal, Trace
from ggtui.viz.live import Live
from ggtui.viz.messages import Batch, Event
from ggtui.viz.tui.app import GgtuiApp

Script = Callable[[Pilot[int], GgtuiApp], Awaitable[None]]
PROMPTS = Batch(evaluations=(evaluation(0, 1, 12), evaluation(30, 1, 9)))


def perf(script: Script, *events: Event, size: tuple[int, int] = (80, 24), ascii_only: bool = False) -> RecordedEngine:
    """Run `script` at the Perf screen of a run of these events; of a whole answer without any."""
    engine = RecordedEngine(*(events or (loaded(), *answer())))
    seen(script, GgtuiApp(Live(), engine, ascii_only=ascii_only), size)
    return engine


def saved(script: Script, run: Trace, size: tuple[int, int] = (80, 24)) -> None:
    seen(script, GgtuiApp(Live.of(run)), size)


def seen(script: Script, app: GgtuiApp, size: tuple[int, int]) -> None:
    async def run(pilot: Pilot[int]) -> None:
        await keys(pilot, "f3")
        await settle(pilot)
        await script(pilot, app)

    drive(app, run, size)


async def keys(pilot: Pilot[int], *pressed: str) -> None:
    await pilot.press(*pressed)
    app = pilot.app
    assert isinstance(app, GgtuiApp)
    app.refresh_now()
    await pilot.pause()


async def typed(pilot: Pilot[int], text: str) -> None:
    """As a paste into the input that has the focus."""
    field = pilot.app.screen.focused
    assert isinstance(field, Input)
    field.value = text
    await settle(pilot)


async def threads_end(pilot: Pilot[int]) -> None:
    await pilot.app.workers.wait_for_complete()
    await settle(pilot)


def heading(app: GgtuiApp) -> str:
    return next(line for line in lines(app) if "share" in line and "time" in line)


def table(app: GgtuiApp) -> list[str]:
    """The lines under the heading, each without the mark of the cursor."""
    shown = lines(app)
    at = shown.index(heading(app))
    return [line[2:] for line in shown[at + 1 : -1] if line.strip()]


def first_words(app: GgtuiApp) -> list[str]:
    return [line.split()[0] for line in table(app)]


def cursor(app: GgtuiApp) -> str:
    return next(line.split()[1] for line in lines(app) if line.startswith("> "))


def light() -> Trace:
    """The sums of a run alone."""
    full = trace()
    found: dict[tuple[int, int, int], list[tuple[int, int]]] = {}
    for token in full.tokens:
        for r in token.records:
            found.setdefault((r.node, r.part, r.lane), []).append((r.end - r.start, r.done - r.end))
    totals = []
    for (node, part, thread), times in found.items():
        work = [w for w, _ in times]
        wait, squares = sum(w for _, w in times), float(sum(w * w for w in work))
        totals.append(NodeTotal(0, node, part, thread, len(work), sum(work), min(work), max(work), wait, squares))
    bare = tuple(replace(token, records=()) for token in full.tokens)
    return replace(full, tokens=bare, totals=tuple(totals), run=replace(full.run, profile="light"))
