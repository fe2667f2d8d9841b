"""The log of a training: JSON, an object a line, as it goes along. What was logged can be shown again.

    {"event": "began", "step": 0, "settings": {...}, "parameters": n, "tokens": n, "valid_tokens": n, "bytes": n, ...}
    {"event": "step", "step": 1, "loss": nats, "rate": ..., "norm": ..., "norms": {"blk.0": ...}, "tokens": n, "ns": n,
     "times": {"forward": ns, "backward": ns, "optimizer": ns}}
    {"event": "measured", "step": 100, "loss": nats, "tokens": n, "sample": text}
    {"event": "saved", "step": 200, "path": ...}
    {"event": "ended", "step": 1000, "reason": "done"}

A training that is resumed goes on in the same file: of several lines of one step the last one counts.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from ggtui.core.errors import GgtuiError, UsageError
from ggtui.core.training.events import EVENTS, Began, Event, as_dict, from_dict

_LONGEST = 1 << 24  # bytes of a line


class Log:
    """Writes events to a file, each at once. In a `with`."""

    def __init__(self, path: str | Path, *, go_on: bool = False) -> None:
        """`go_on`: behind what is there. Raises GgtuiError where it can't be written."""
        self.path = Path(path)
        try:
            self._file = open(self.path, "a" if go_on else "w", encoding="utf-8")  # noqa: SIM115
        except OSError as error:
            raise GgtuiError(f"{self.path}: cannot be written: {error.strerror or error}") from error
        if go_on and self.path.is_file() and self.path.stat().st_size:
            with open(self.path, "rb") as there:  # what was killed may have left half a line
                there.seek(-1, os.SEEK_END)
                if there.read(1) != b"\n":
                    self._file.write("\n")

    def write(self, event: Event) -> None:
        try:
            self._file.write(json.dumps(as_dict(event)) + "\n")
            self._file.flush()
        except OSError as error:
            raise GgtuiError(f"{self.path}: cannot be written: {error.strerror or error}") from error

    def __enter__(self) -> Log:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):  # `write` has said it
            self._file.close()


def read_log(path: str | Path) -> list[Event]:
    """The events of a log, in their order; of a step that was taken again the last. A line that is cut off where the
    training ended is left out. Raises UsageError for a file that is missing or no such log."""
    try:
        return _latest(list(_events(Path(path))))
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}; name a log that `ggtui train --json` wrote") from error


def _events(path: Path) -> Iterator[Event]:
    """A line that can't be read may be the last one, or the one before a training went on: what was killed while it
    wrote left half of it."""
    known, unread, empty = ", ".join(EVENTS), None, True
    with open(path, "rb") as file:
        for number, line in enumerate(iter(lambda: file.readline(_LONGEST), b""), 1):
            if not line.strip():
                continue
            try:
                event = from_dict(json.loads(line))
            except (ValueError, RecursionError) as error:
                problem = f"line {number} is no event of a training ({known}): {error}"
                found = UsageError(f"{path}: {problem}; name a log that `ggtui train --json` wrote")
                if empty or unread is not None:
                    raise (unread or found) from error
                unread = found
                continue
            if unread is not None and event.kind != Began.kind:
                raise unread
            unread, empty = None, False
            yield event


def _latest(events: list[Event]) -> list[Event]:
    """Without what a training that was resumed took back: all that is of later steps than the one it went on from."""
    kept: list[Event] = []
    for event in events:
        if event.kind == "began":
            kept = [e for e in kept if e.step <= event.step and e.kind != "ended"]
            if any(e.kind == "began" for e in kept):
                continue
        kept.append(event)
    return kept
