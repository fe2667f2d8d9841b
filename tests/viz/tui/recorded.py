"""A recorded engine: it tells of a run that is kept in a file (see make_frozen.py), so that screens look the same every
time, on every machine, and no engine runs."""

from __future__ import annotations

import asyncio
import difflib
import gc
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

from textual import _wait
from textual.pilot import Pilot
from textual.screen import ModalScreen

from ggtui.chat.conversation import Turn
from ggtui.core.engine.steps import Step
from ggtui.core.engine.trace_file import load
from ggtui.core.runtime.record import TokenRecord, Trace
from ggtui.perf.stage import stages
from ggtui.viz.live import Live
from ggtui.viz.messages import Alternative, Batch, Began, Command, Ended, Event, Loaded, Say, TensorFact
from ggtui.viz.tui.app import GgtuiApp
from ggtui.viz.tui.screens import SCREENS
from ggtui.viz.tui.widgets.node_figures import Figures

KEYS_OF_SCREENS = {row.key for row in SCREENS}
SIZES = ((80, 24), (120, 40), (200, 60))
SNAPSHOTS = Path(__file__).parent / "snapshots"
RUN = load(Path(__file__).parents[2] / "data" / "tales-trace.json")  # of each graph a few evaluations
LIMITS = RUN.limits
assert LIMITS is not None
BYTES = {"f32": (1, 4), "q8_0": (32, 34)}  # weights of a block, and bytes, of the types in that file
WRITE = os.environ.get("GGTUI_SNAPSHOTS") == "write"  # tests run without the variables of ggtui
_STORY = """there lived a king who had three daughters , and the youngest of them was so fair that the sun himself , who
has seen so much , wondered each time he shone on her face . Close by the castle lay a great dark wood , and under
an old lime tree was a well ."""
STORY = _STORY.split()
SETTINGS: dict[str, Any] = {
    "n_predict": 200, "temp": 0.9, "top_k": 40, "top_p": 0.9, "min_p": 0.0, "repeat_penalty": 1.0, "stop": (),
    "ctx_shift": False, "ignore_eos": False, "speed": 0.0, "seed": None, "mode": "complete",
    "system": "",
}  # fmt: skip


def loaded() -> Loaded:
    """The built-in model, as an engine tells of it."""
    inputs = {tensor.name: tensor for graph in RUN.graphs for node in graph.nodes for tensor in node.inputs}
    names = [name for name in inputs if name.endswith((".weight", ".bias"))]
    weights = [inputs[name] for name in sorted(names, key=lambda name: name.startswith("blk."))]  # as in a file
    tensors = tuple(
        TensorFact(t.name, t.type, t.ne, prod(t.ne) * BYTES[t.type][1] // BYTES[t.type][0]) for t in weights
    )
    return Loaded(
        path="tales.gguf", run=RUN.run, graphs=RUN.graphs, memory=RUN.memory, limits=LIMITS,
        n_ctx=RUN.run.n_ctx, n_vocab=8192, eos=0, kv_bytes_per_token=_per_token(), load_ns=40_000_000,
        metadata={"general.name": "tales", "general.license": "MIT"}, tensors=tensors, settings=SETTINGS,
    )  # fmt: skip


def _per_token() -> int:
    run = RUN.tokens[0]
    return run.kv_bytes // (run.n_past + run.n_tokens)


def evaluation(n_past: int, graph: int = 0, n_tokens: int = 1) -> TokenRecord:
    """One of the frozen evaluations, as if it had been here. Every 7th, with n_past 6, 13, ..., is twice as long."""
    found = [run for run in RUN.tokens if run.graph == graph]
    run = found[n_past % len(found)]
    return replace(run, n_past=n_past, n_tokens=n_tokens, kv_bytes=(n_past + n_tokens) * _per_token())


def step(i: int, n_kv: int, n_tokens: int = 1) -> Step:
    word = STORY[i % len(STORY)]
    logprob = -0.05 * (1 + i * 37 % 71)
    record = TokenRecord(n_kv - n_tokens, n_tokens, evaluation(n_kv).eval_ns, 20_000)
    return Step(100 + i, f" {word}", logprob, record)


def batch(first: int, n: int, n_past: int, n_prompt: int = 1) -> Batch:
    """`n` tokens from the `first` of the story on, the first of them after a prompt of `n_prompt`."""
    sizes = [n_prompt, *[1] * (n - 1)]
    ends = [n_past + sum(sizes[: i + 1]) for i in range(n)]
    steps = tuple(step(first + i, ends[i], sizes[i]) for i in range(n))
    runs = tuple(evaluation(ends[i] - sizes[i], n_tokens=1) for i in range(n) if sizes[i] == 1)
    following = STORY[(first + n) % len(STORY)]
    likely = tuple(
        Alternative(7 + j, f" {w}", p) for j, (w, p) in enumerate(((following, 0.31), ("a", 0.12), ("my", 0.06)))
    )
    return Batch(steps, runs, next=likely, ahead=True, rss=60_000_000 + 1000 * ends[-1])


def answer(prompt: str = "Once upon a time", n: int = 40, n_past: int = 0) -> list[Event]:
    """A whole answer of `n` tokens."""
    n_prompt = len(prompt.split())
    text = "".join(f" {STORY[i % len(STORY)]}" for i in range(n))
    made: list[Event] = [Began(prompt, "complete"), batch(0, min(n, 20), n_past, n_prompt)]
    if n > 20:
        made.append(batch(20, n - 20, n_past + n_prompt + 19))
    turn = Turn(prompt, text, "complete", "n_predict", list(range(n_prompt + n)))
    return [*made, Ended("n_predict", turn, n_past=n_past + n_prompt + n - 1)]


def figures_of(run: Trace) -> Figures:
    """Of the first kind of evaluation."""
    return Figures.of(stages(run)[0])


def trace(n: int = 40) -> Trace:
    """A saved run of `n` tokens."""
    live = Live()
    for event in (loaded(), *answer(n=n)):
        live.take(event)
    return live.trace()


class RecordedEngine:
    """Says what it was given to say, and remembers what it was asked. With `replies` it answers every Say."""

    def __init__(self, *events: Event, replies: bool = False) -> None:
        self.events = list(events)
        self.asked: list[Command] = []
        self.replies, self.closed, self.restarts = replies, False, 0
        self.settings: dict[str, Any] = {
            "model": None,
            "threads": None,
            "ctx": None,
            "kv_type": "f16",
            "template": None,
            "pre": None,
            "adapter": None,
        }

    def say(self, *events: Event) -> None:
        self.events += events

    def send(self, command: Command) -> None:
        self.asked.append(command)
        if self.replies and isinstance(command, Say):
            self.say(*answer(command.prompt, 12))

    def receive(self) -> list[Event]:
        events, self.events = self.events, []
        return events

    def restart(self, changes: Mapping[str, Any]) -> None:
        self.restarts += 1
        self.settings = {**self.settings, **changes}

    def close(self) -> None:
        self.closed = True


# Pilots wait until the process is idle, looked at fifty times a second; most of the time of these tests is that.
_wait.SLEEP_GRANULARITY, _wait.SLEEP_IDLE = 0.004, 0.0008
_wait.wait_for_idle.__defaults__ = (0.004, 1)


def drive(app: GgtuiApp, script: Callable[[Pilot[int]], Awaitable[None]], size: tuple[int, int] = (80, 24)) -> None:
    """Run the app without a terminal, and `script` over it."""
    app.animation_level = "none"  # what scrolls into sight is there at once

    async def run() -> None:
        async with app.run_test(size=size) as pilot:
            await settle(pilot)
            await script(pilot)

    gc.disable()  # a quarter of the time goes into looking for garbage among widgets that are all in use
    try:
        asyncio.run(run())
    finally:
        gc.enable()


async def settle(pilot: Pilot[int]) -> None:
    """Let the app take in what the engine said, and draw it."""
    app = pilot.app
    assert isinstance(app, GgtuiApp)
    await pilot.pause()
    while not app.prepared.is_set():
        await asyncio.sleep(0.001)
    app.refresh_now()
    before: list[str] = []
    for _ in range(50):  # on a busy machine the bar and the keys are laid out a moment later
        await pilot.pause()
        shown = lines(app)
        if shown == before and (isinstance(app.screen, ModalScreen) or (shown[0].strip() and shown[-1].strip())):
            break
        before = shown


def lines(app: GgtuiApp) -> list[str]:
    """What the screen shows, a line each."""
    return [strip.text.rstrip() for strip in app.screen._compositor.render_strips()]


async def pressed(pilot: Pilot[int], *keys: str) -> list[str]:
    """The screen's lines after some keys. A key after one that opens a screen waits until that is in front."""
    for key in keys:
        await pilot.press(key)
        if key in KEYS_OF_SCREENS:
            await settle(pilot)
    await settle(pilot)
    assert isinstance(pilot.app, GgtuiApp)
    return lines(pilot.app)


def starting(screen: list[str], word: str) -> str:
    """The first line that begins so."""
    return next(line for line in screen if line.startswith(word))


def _of_dialog(app: GgtuiApp) -> list[str]:
    """The lines of the dialog in front, if there is one: what stands behind it is sometimes drawn and sometimes not."""
    if not isinstance(app.screen, ModalScreen):
        return []
    x, y, width, height = app.screen.children[0].region
    return [line.ljust(x + width)[x : x + width].rstrip() for line in lines(app)[y : y + height]]


def check_snapshot(app: GgtuiApp, name: str) -> None:
    """Compare the screen with snapshots/NAME.txt; GGTUI_SNAPSHOTS=write makes it anew, to be looked at before it is
    kept."""
    path = SNAPSHOTS / f"{name}.txt"
    shown = "\n".join(_of_dialog(app) or lines(app)) + "\n"
    if WRITE:
        path.write_text(shown, encoding="utf-8")
    assert path.exists(), f"{path} is missing; make it with GGTUI_SNAPSHOTS=write and look at it"
    kept = path.read_text(encoding="utf-8")
    changes = "\n".join(difflib.unified_diff(kept.splitlines(), shown.splitlines(), "kept", "shown", lineterm="", n=0))
    assert shown == kept, f"{path.name}:\n{changes}"
