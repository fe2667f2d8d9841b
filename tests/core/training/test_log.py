"""The log: lines at once, lines that are cut off, and trainings that went on from an earlier step."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from ggtui.core.errors import GgtuiError, UsageError
from ggtui.core.training.events import Began, Ended, Event, Measured, Saved, Stepped, as_dict
from ggtui.core.training.log import Log, read_log


def began(step: int = 0) -> Began:
    return Began(step, {"steps": 9}, 10, 20, 3, 400, 2)


def stepped(step: int, loss: float = 2.0) -> Stepped:
    return Stepped(step, loss, 1e-3, 0.5, 64, 1000)


RUN: list[Event] = [began(), Measured(0, 3.0, 8), stepped(1), stepped(2), Saved(2, "m.gguf"), Ended(2, "stopped")]


def written(path: Path, events: list[Event], *, go_on: bool = False) -> Path:
    with Log(path, go_on=go_on) as log:
        for event in events:
            log.write(event)
    return path


def test_what_is_written_is_read(tmp_path: Path) -> None:
    assert read_log(written(tmp_path / "a.jsonl", RUN)) == RUN


def test_each_event_is_there_at_once(tmp_path: Path) -> None:
    with Log(tmp_path / "a.jsonl") as log:
        for i, event in enumerate(RUN):
            log.write(event)
            assert read_log(log.path) == RUN[: i + 1]


def test_a_new_one_begins_anew(tmp_path: Path) -> None:
    written(tmp_path / "a.jsonl", RUN)
    assert read_log(written(tmp_path / "a.jsonl", RUN[:3])) == RUN[:3]


def test_steps_that_were_taken_again_are_there_once(tmp_path: Path) -> None:
    """The training went on from step 2, three steps before it was killed."""
    path = written(tmp_path / "a.jsonl", [*RUN[:5], *(stepped(i) for i in (3, 4, 5)), Measured(5, 2.0, 8)])
    again = [began(2), stepped(3, 1.5), stepped(4, 1.25), Saved(4, "m.gguf"), Ended(4, "done")]
    assert read_log(written(path, again, go_on=True)) == [*RUN[:5], *again[1:]]


def test_one_that_went_on_twice_has_one_beginning_and_one_end(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", RUN)
    written(path, [began(2), stepped(3), Ended(3, "stopped")], go_on=True)
    written(path, [began(3), stepped(4), Ended(4, "done")], go_on=True)
    found = read_log(path)
    assert [e.step for e in found if e.kind == "step"] == [1, 2, 3, 4]
    assert [e.kind for e in found].count("began") == 1 and found[-1] == Ended(4, "done") and found[0] == RUN[0]
    assert [e.kind for e in found].count("ended") == 1


@pytest.mark.parametrize("cut", [1, 2, 10, 30])
def test_a_last_line_that_is_cut_off_is_left_out(tmp_path: Path, cut: int) -> None:
    path = written(tmp_path / "a.jsonl", RUN)
    path.write_bytes(path.read_bytes()[:-cut])
    assert read_log(path) == (RUN if cut == 1 else RUN[:-1])  # the end of a line may be missing


@pytest.mark.parametrize("cut", [2, 10, 30])
def test_what_goes_on_behind_a_line_that_is_cut_off_is_read(tmp_path: Path, cut: int) -> None:
    """A training that was killed while it wrote, and resumed."""
    path = written(tmp_path / "a.jsonl", [*RUN[:5], stepped(3)])
    path.write_bytes(path.read_bytes()[:-cut])
    again = [began(2), stepped(3, 1.5), Ended(3, "done")]
    assert read_log(written(path, again, go_on=True)) == [*RUN[:5], *again[1:]]


def test_going_on_with_an_empty_or_missing_one(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    for name in ("empty", "missing"):
        assert read_log(written(tmp_path / name, RUN, go_on=True)) == RUN


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"\x89PNG\r\n\x1a\n", "line 1 is no event of a training"),
        (b"[" * 100_000 + b"\n", "line 1 is no event"),
        (b'{"event": "step"', "line 1 is no event"),
        (json.dumps(as_dict(RUN[0])).encode() + b'\n{"event": "step", "step": "1"}\n{"a": 1}\n', "line 2 is no event"),
        (b"\n\nnull\n", "line 3 is no event"),
    ],
)
def test_what_is_no_log_is_told_in_a_line(tmp_path: Path, content: bytes, problem: str) -> None:
    (tmp_path / "a.jsonl").write_bytes(content)
    with pytest.raises(UsageError, match=problem) as caught:
        read_log(tmp_path / "a.jsonl")
    assert "\n" not in str(caught.value) and str(tmp_path / "a.jsonl") in str(caught.value)


def test_where_there_is_none(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(UsageError, match="name a log that `ggtui train --json` wrote"):
            read_log(path)
    with pytest.raises(GgtuiError, match="cannot be written"):
        Log(tmp_path)


@pytest.mark.bare
def test_a_full_disk_is_told(tmp_path: Path, full_disk: Callable[[int], AbstractContextManager[None]]) -> None:
    with Log(tmp_path / "a.jsonl") as log, full_disk(64), pytest.raises(GgtuiError, match="cannot be written"):
        log.write(RUN[0])
