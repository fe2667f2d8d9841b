"""The full screen: how soon a key is seen, what it costs the generation, how soon it is there.

    python benchmarks/screen.py [keys] [memory] [cost] [start] [--rounds 7]

All in a pseudo-terminal of 120x36; figures of several runs have a 95% interval. Without names, all four:

keys    2,500 tokens at 250 tok/s from a recorded engine, Perf open: time from a key, pressed at random times, to the
        frame that shows it
memory  of the screen's process after 1,000 and after 10,000 such tokens
cost    tok/s of the built-in model on one thread: a chat that only prints, and the full screen with Perf open, in turn
start   of `ggtui chat`: to the first frame, and to the first words of an answer to a prompt typed as soon as it can be
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
import tty
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from statistics import median, quantiles
from types import SimpleNamespace

from found import change, ratio, shown, watched
from pseudo_terminal import Terminal

from ggtui.core.runtime.record import TokenRecord
from ggtui.viz.live import Live
from ggtui.viz.messages import Batch, Began, Command, Event, Say
from ggtui.viz.outbox import KEPT
from ggtui.viz.packed import PackedSteps
from ggtui.viz.wire import frame, take_frames

HERE = Path(__file__).resolve().parent
SIZE = (120, 36)
RATE, STREAM_HZ, RECORD_HZ = 250, 20, 4  # tokens, batches, and batches with records, a second
PROMPT = "Once upon a time"
N_COST = 4000  # tokens of a generation whose speed is measured: long against the time between batches


def child(*args: object) -> list[str]:
    return [sys.executable, str(Path(__file__).resolve()), "--child", *map(str, args)]


# ---- in the pseudo-terminal ----


class Paced:
    """An engine that says recorded tokens at RATE, packed as they come through the socket; at the end it writes the
    bytes in memory after each of `marks` tokens to a file."""

    def __init__(self, n: int, marks: tuple[int, ...], out: Path) -> None:
        sys.path.insert(0, str(HERE.parent / "tests" / "viz" / "tui"))
        from recorded import batch, loaded

        self._events: list[Event] = [replace(loaded(), n_ctx=1 << 20)]
        self._n, self._marks, self._out = n, marks, out
        self._said = self._batches = 0
        self._started = 0.0
        self._rss: dict[int, int] = {}
        # A few seconds of batches, said again and again.
        self._recordings = []
        for i in range(4 * STREAM_HZ):
            first, after = RATE * i // STREAM_HZ, RATE * (i + 1) // STREAM_HZ
            said = batch(first, after - first, 100 + first)
            kept = batch(first, KEPT, 100 + first).evaluations if i % (STREAM_HZ // RECORD_HZ) == 0 else ()
            self._recordings.append(frame(packed(said, kept)))

    def send(self, command: Command) -> None:
        if isinstance(command, Say):
            self._started = time.monotonic()
            self._events.append(Began(command.prompt, "complete"))

    def receive(self) -> list[Event]:
        events, self._events = self._events, []
        due = int((time.monotonic() - self._started) * STREAM_HZ) if self._started else 0
        while self._batches < due and self._said < self._n:
            (said,) = take_frames(bytearray(self._recordings[self._batches % len(self._recordings)]))
            self._batches += 1
            self._said += len(said.steps)
            events.append(said)
            for mark in self._marks:
                if self._said >= mark and mark not in self._rss:
                    self._rss[mark] = resident()
            if self._said >= self._n:
                self._out.write_text(json.dumps(self._rss))
        return events

    def restart(self) -> None:
        raise AssertionError

    def close(self) -> None:
        pass


def packed(said: Batch, kept: Sequence[TokenRecord]) -> Batch:
    """The batch with the records of these evaluations, as the engine's process sends it."""
    unrecorded = max(len(said.steps) - len(kept), 0)
    return replace(said, steps=PackedSteps(said.steps).sent, evaluations=tuple(kept), unrecorded=unrecorded)


class Timed:
    """The engine itself; what came when, of the answer, goes to a file."""

    def __init__(self, out: Path) -> None:
        from ggtui.viz.engine import EngineProcess

        self._engine = EngineProcess(settings())
        self._out = out
        self._came: list[tuple[float, int]] = []

    def receive(self) -> list[Event]:
        from ggtui.viz.messages import Ended

        events = self._engine.receive()
        for event in events:
            if isinstance(event, Batch) and event.steps:
                self._came.append((time.monotonic(), len(event.steps)))
            elif isinstance(event, Ended):
                seconds = self._came[-1][0] - self._came[0][0]
                self._out.write_text(json.dumps({"tok/s": sum(n for _, n in self._came[1:]) / seconds}))
        return events

    def send(self, command: Command) -> None:
        self._engine.send(command)

    def restart(self) -> None:
        self._engine.restart()

    def close(self) -> None:
        self._engine.close()


def settings() -> SimpleNamespace:
    """Of the generations whose speed is measured."""
    from ggtui.chat.settings import SETTINGS

    values = {s.key: s.default for s in SETTINGS.values()}
    return SimpleNamespace(
        **{
            **values,
            "n_predict": N_COST,
            "seed": 1,
            "ctx_shift": True,
            "threads": 1,
            "model": None,
            "type_from": (),
            "mode": "complete",
        }
    )


def plain(out: Path) -> None:
    """A chat that only prints."""
    from ggtui.chat.conversation import Chat
    from ggtui.core.engine.session import load

    chat = Chat(load(threads=1), settings())
    times = []
    for step in chat.say(PROMPT):
        sys.stdout.write(step.text)
        sys.stdout.flush()
        times.append(time.monotonic())
    out.write_text(json.dumps({"tok/s": (len(times) - 1) / (times[-1] - times[0])}))


def echo() -> None:
    """Writes each key back, at the end of the first line."""
    tty.setraw(0)
    os.write(1, b"\x1b[1;1Hready")
    while key := os.read(0, 1):
        os.write(1, b"\x1b[1;%dH%s" % (SIZE[0], key))


def in_terminal(kind: str, out: Path, *numbers: int) -> None:
    """What `child` runs."""
    if kind in ("plain", "echo"):
        plain(out) if kind == "plain" else echo()
        return
    from ggtui.viz.tui.app import GgtuiApp

    engine = Timed(out) if kind == "real" else Paced(numbers[0], numbers[1:], out)
    app = GgtuiApp(Live(), engine)
    try:
        app.run()
    finally:
        engine.close()


# ---- what is measured ----


def chosen(terminal: Terminal) -> str:
    """The node whose line has the cursor; "" without any."""
    marked = (line.strip() for line in terminal.text())
    return next((line[1:].split()[0] for line in marked if line.startswith(">") and line[1:].split()), "")


def ready(terminal: Terminal) -> bool:
    """Whether the screen is there and nothing is under way."""
    return "ready" in terminal.text()[0]


def open_perf(terminal: Terminal) -> None:
    """From the first frame to the Perf screen, with an answer under way."""
    terminal.wait(ready)
    terminal.drain(0.5)
    terminal.type(f"{PROMPT}\r")
    terminal.wait(lambda t: not ready(t))
    terminal.type("\x1bOR")  # F3
    terminal.wait(lambda t: "[2 perf]" in t.text()[0] and bool(chosen(t)))


def press(
    terminal: Terminal, keys: Sequence[str], shown: Callable[[Terminal], str], ended: Callable[[], bool]
) -> list[float]:
    """Seconds from a key, pressed at a random time, until what `shown` tells is another and not ""."""
    dice = random.Random(1)
    found: list[float] = []
    while not ended():
        terminal.drain(dice.uniform(0.01, 0.15))
        before = shown(terminal)
        pressed = terminal.type(keys[len(found) % len(keys)])

        def changed(t: Terminal, before: str = before) -> bool:
            return shown(t) not in ("", before)

        found.append(terminal.wait(changed) - pressed)
    return found


def lags(n: int, out: Path) -> list[float]:
    """Of keys that move the cursor while `n` tokens come."""
    terminal = Terminal(child("recorded", out, n), *SIZE)
    try:
        open_perf(terminal)
        return press(terminal, ("\x1b[B", "\x1b[A"), chosen, out.exists)
    finally:
        terminal.close()


def echo_lags(seconds: float, out: Path) -> list[float]:
    """Of keys to a program that only writes them back: what this machine does to any program."""
    terminal = Terminal(child("echo", out), *SIZE)
    try:
        terminal.wait(lambda t: "ready" in t.text()[0])
        end = time.monotonic() + seconds
        return press(terminal, "xy", lambda t: t.text()[0][SIZE[0] - 1], lambda: time.monotonic() > end)
    finally:
        terminal.close()


def until_written(out: Path, terminal: Terminal, timeout: float = 90.0) -> None:
    """Raises TimeoutError with what the screen shows, EOFError if the program ended before."""
    end = time.monotonic() + timeout
    while not out.exists():
        if time.monotonic() > end:
            raise TimeoutError("\n".join(terminal.text()))
        terminal.drain(0.2)


def memory(marks: tuple[int, ...], out: Path) -> dict[int, int]:
    """Bytes in memory after so many tokens."""
    terminal = Terminal(child("recorded", out, marks[-1], *marks), *SIZE)
    try:
        open_perf(terminal)
        until_written(out, terminal)
    finally:
        terminal.close()
    return {int(mark): n for mark, n in json.loads(out.read_text()).items()}


def speed(kind: str, out: Path) -> float:
    """Tokens a second of the built-in model."""
    terminal = Terminal(child(kind, out), *SIZE)
    try:
        if kind == "real":
            open_perf(terminal)
        until_written(out, terminal)
    except EOFError:  # the chat that only prints has ended
        pass
    finally:
        terminal.close()
    return float(json.loads(out.read_text())["tok/s"])


def start(words: str) -> tuple[float, float]:
    """Seconds from the start of `ggtui chat` to the first frame, and to the first words of an answer to a prompt that
    is typed as soon as that is there."""
    terminal = Terminal(chat_command(), *SIZE)
    try:
        frame = terminal.wait(lambda t: "[1 chat]" in t.text()[0])
        terminal.type(f"{PROMPT}\r")
        token = terminal.wait(lambda t: any(words in line for line in t.text()))
        terminal.type("\x03")
        terminal.drain(0.2)
        terminal.type("\x03\x03")
    finally:
        terminal.close()
    return frame - terminal.started, token - terminal.started


def chat_command(*more: str) -> list[str]:
    return [sys.executable, "-m", "ggtui", "chat", "--temp", "0", "-n", "20", *more]


def first_words() -> str:
    """Two, of the answer that `start` waits for."""
    done = subprocess.run(chat_command("-p", PROMPT, "-q"), check=True, capture_output=True, text=True)
    return " ".join(done.stdout.split()[:2])


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", metavar="WHAT")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        kind, out, *numbers = args.child
        in_terminal(kind, Path(out), *map(int, numbers))
        return
    with watched(), tempfile.TemporaryDirectory() as folder:
        names = (Path(folder) / str(i) for i in count())
        print("| what | measured | of |")
        print("| --- | --- | --- |")
        for what in args.what or KINDS:
            for row in KINDS[what](args.rounds, names):
                print(f"| {' | '.join(row)} |", flush=True)


Rows = Iterator[tuple[str, str, str]]


def keys_rows(rounds: int, names: Iterator[Path]) -> Rows:
    ours: list[float] = []
    bare: list[float] = []
    for _ in range(rounds):
        ours += lags(2500, next(names))
        bare += echo_lags(2500 / RATE, next(names))
    for what, every in (("key to screen", ours), ("key to a program that only echoes", bare)):
        of = f"{len(every)} keys, {rounds} runs" + (f" of 2,500 tokens at {RATE} tok/s" if every is ours else "")
        for name, seconds in (
            ("median", median(every)),
            ("99th percentile", quantiles(every, n=100)[98]),
            ("longest", max(every)),
        ):
            yield f"{what}, {name}", f"{seconds * 1e3:.1f} ms", of


def memory_rows(rounds: int, names: Iterator[Path]) -> Rows:
    marks = (1000, 2500, 5000, 10000)
    for mark, n in memory(marks, next(names)).items():
        yield f"memory after {mark:,} tokens", f"{n / (1 << 20):.1f} MiB", "1 run, without the engine's process"


def cost_rows(rounds: int, names: Iterator[Path]) -> Rows:
    pairs = []
    for i in range(rounds):
        order = ("plain", "real") if i % 2 == 0 else ("real", "plain")
        found = {kind: speed(kind, next(names)) for kind in order}
        pairs.append((found["plain"], found["real"]))
    ratios = [screen / plain for plain, screen in pairs]
    of = f"{rounds} rounds in turn, {N_COST:,} tokens each, 1 thread"
    yield "generation, only printed", f"{median(plain for plain, _ in pairs):.0f} tok/s", of
    yield "generation, with Perf open", f"{median(screen for _, screen in pairs):.0f} tok/s", of
    yield "what the screen costs, median of the ratios", ratio(ratios, change), of


def start_rows(rounds: int, names: Iterator[Path]) -> Rows:
    words = first_words()
    frames, tokens = zip(*(start(words) for _ in range(rounds)), strict=True)
    of = f"{rounds} starts"
    for what, times in (("first frame", frames), ("first token of an answer", tokens)):
        yield f"start to the {what}, median", shown([1e3 * seconds for seconds in times], "{:.0f} ms".format), of


KINDS = {"keys": keys_rows, "memory": memory_rows, "cost": cost_rows, "start": start_rows}

if __name__ == "__main__":
    main()
