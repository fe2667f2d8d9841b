"""The table of commands, over a front end that writes down what it is asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from ggtui.chat.commands import COMMANDS, SUBJECTS, FrontEnd, Reports, completions, run
from ggtui.core.errors import UsageError

# The commands of the contract, in its order.
NAMES = [
    *("/help", "/bye", "/clear", "/regen", "/edit", "/prev", "/next", "/undo", "/redo", "/save", "/load", "/sessions"),
    *("/mode", "/system", "/speed", "/set", "/model", "/show", "/stats", "/perf", "/trace", "/topk"),
]


class Asked:
    """Both halves of a front end: `calls` are what was asked of it, `told` what it was to tell."""

    def __init__(self, keys: Mapping[str, str] | None = None) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.told: list[str] = []
        self.reports: Reports | None = self if keys is None else None  # type: ignore[assignment]
        self.keys = keys or {}

    def __getattr__(self, name: str) -> Any:
        def call(*args: Any) -> Any:
            self.calls.append((name, *args))
            return [f"{name} told"] if name not in ("save", "load") else f"{name} told"

        return call

    def tell(self, line: str) -> None:
        self.told.append(line)

    def unknown(self, word: str, meant: str | None) -> str:
        return f"{word}? {meant}"

    def value(self, key: str) -> object:
        return {"mode": "chat", "temp": 0.5, "stop": (), "speed": 2.5}[key]


def asked(line: str, keys: Mapping[str, str] | None = None) -> Asked:
    front: Any = Asked(keys)
    checked: FrontEnd = front
    run(checked, line)
    made: Asked = front
    return made


@pytest.mark.parametrize(
    ("line", "call"),
    [
        ("/help", ("help",)),
        ("/?", ("help",)),
        ("/bye", ("leave",)),
        ("/quit ", ("leave",)),
        ("/clear", ("clear",)),
        ("/regen", ("regen",)),
        ("/undo", ("undo",)),
        ("/redo", ("redo",)),
        ("/prev", ("branch", -1)),
        ("/next", ("branch", 1)),
        ("/speed 5", ("configure", "speed", 5.0, "speed = 5")),
        ("/speed 0", ("configure", "speed", 0.0, "speed = 0")),
        ("/edit", ("edit",)),
        ("/save  a b ", ("save", "a b")),
        ("/load a b", ("load", "a b")),
        ("/sessions", ("sessions",)),
        ("/mode complete", ("configure", "mode", "complete", "Mode complete: the model goes on")),
        ("/set", ("settings",)),
        ("/set top_k 5", ("configure", "top_k", 5, "top-k = 5")),
        ("/set seed default", ("configure", "seed", None, "seed = automatic")),
        ("/set stop 'a', 'b'", ("configure", "stop", ("a", "b"), "stop = 'a', 'b'")),
        ("/set mode chat", ("configure", "mode", "chat", "mode = chat")),
        ("/show info", ("info",)),
        ("/show params", ("params",)),
        ("/show graph", ("graph",)),
        ("/show mem", ("mem",)),
        ("/stats", ("stats",)),
        ("/perf on", ("record", True)),
        ("/perf off", ("record", False)),
        ("/perf", ("node_times", 10)),
        ("/perf top 3", ("node_times", 3)),
        ("/perf save run 1.json", ("save_times", "run 1.json")),
        ("/trace graph 1.svg", ("draw", "graph 1.svg")),
        ("/topk", ("alternatives", 10)),
        ("/topk 100", ("alternatives", 100)),
    ],
)
def test_what_a_line_asks_for(line: str, call: tuple[Any, ...]) -> None:
    front = asked(line)
    made = front.calls[0]
    assert len(front.calls) == 1 and made[:-1] == call[:-1]
    assert str(made[-1]).startswith(call[-1]) if call[0] == "configure" else made == call
    if call[0] in ("save", "load", "stats", "node_times", "save_times", "draw", *SUBJECTS):
        assert front.told == [f"{call[0]} told"]


def test_every_command_of_the_contract_is_there() -> None:
    assert [command.names[0] for command in COMMANDS] == NAMES
    names = [name for command in COMMANDS for name in command.names]
    assert len(set(names)) == len(names)


def test_values_are_told() -> None:
    assert asked("/set temp").told == ["temp = 0.5"]
    assert asked("/set stop").told == ["stop = none"]
    assert asked("/speed").told == ["speed = 2.5"]
    assert asked("/mode").told == ["Mode chat: what you type is a question, and the model answers it."]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("/perf", "F3 shows node times; there, e writes them into a file."),
        ("/perf save x", "F3 shows node times; there, e writes them into a file."),
        ("/trace x.svg", "F8 shows the graph; there, o writes it into a file."),
        ("/show info", "info: the bar at the top shows it."),
        ("/show graph", "graph: F8 shows it."),
        ("/show mem", "mem: F6 shows it."),
        ("/show params", "params: ^S shows it."),
    ],
)
def test_where_a_front_end_with_screens_shows_it(line: str, told: str) -> None:
    front = asked(line, {"perf": "F3", "graph": "F8", "mem": "F6"})
    assert front.told == [told] and not front.calls


def test_what_a_front_end_with_screens_does_itself() -> None:
    assert asked("/perf on", {"perf": "F3"}).calls == [("record", True)]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("/regne", r"/regne\? /regen"),
        ("/xyzzy", r"/xyzzy\? None"),
        ("/mode sing", "/mode sing: must be complete or chat"),
        ("/set tmep 1", "/set tmep: no such setting; did you mean temp?"),
        ("/set xyzzy 1", "/set xyzzy: no such setting; /set lists them"),
        ("/set batch 2", "/set batch: only at the start, by ggtui chat --batch N"),
        ("/set threads 0", "/set threads 0: must be 1 to 512"),
        ("/set temp -1", "/set temp -1: must be 0 or more"),
        ("/speed fast", "^/speed fast: must be a number, 0 or more"),
        ("/speed -1", "^/speed -1: must be 0 or more"),
        ("/show", "/show : must be info or params or graph or mem or prompt"),
        ("/perf sideways", "/perf sideways: must be on, off, top or save"),
        ("/perf top 0", "/perf top 0: must be a whole number, 1 or more"),
        ("/perf top many", "/perf top many: must be a whole number, 1 or more"),
        ("/topk 101", "/topk 101: must be a whole number, 1 to 100"),
        ("/topk ²", "must be a whole number"),
    ],
)
def test_what_is_refused(line: str, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        asked(line)


@pytest.mark.parametrize(
    ("typed", "part", "found"),
    [
        ("/s", "/s", ["/save", "/sessions", "/system", "/speed", "/set", "/show", "/stats"]),
        ("/show ", "", list(SUBJECTS)),
        ("/perf s", "s", ["save"]),
        ("/quit x", "x", []),
        ("/unknown x", "x", []),
        ("once /s", "once /s", []),
        ("", "", []),
    ],
)
def test_completions(typed: str, part: str, found: Iterable[str]) -> None:
    assert completions(typed) == (part, found)
