"""The models to choose from: the built-in one, those found on this machine, and those of the catalogue that are not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ggtui.core.files.catalogue import ROWS, Row
from ggtui.core.files.places import BUILT_IN, BUILT_IN_NAME, Found, models, path_of
from ggtui.core.models.overview import Overview, overview
from ggtui.core.runtime.record import Limits
from ggtui.perf.bounds import read_rate
from ggtui.viz.text import size


@dataclass(frozen=True, slots=True)
class Choice:
    """A model to choose.

    model  what to load, as a setting
    about  what its file says of it; None where it is to be fetched, by its `row`
    """

    name: str
    size: int  # bytes
    model: str
    about: Overview | None = None
    row: Row | None = None

    @property
    def path(self) -> Path | None:
        """Its file or folder; None where it is to be fetched."""
        return self.about.found.path if self.about else None

    @property
    def told(self) -> str:
        """Its size, and what is to be known of it, in a line."""
        if self.row is not None:
            return f"{size(self.size)}, to be fetched with: ggtui pull {self.name}"
        problem = self.about.problem if self.about else None
        return size(self.size) + (f", not run: {problem}" if problem else "")

    def room(self, free: int | None) -> bool:
        """Whether its weights fit into so many bytes of memory."""
        need = self.about.weights if self.about else self.size
        return free is None or need <= free

    def most(self, limits: Limits | None) -> float | None:
        """Tokens a second that reading its weights allows; None where it is not known."""
        n_bytes = self.about.token_bytes if self.about else self.size
        rate = read_rate(limits, n_bytes) if limits and n_bytes else None
        return rate / n_bytes if rate else None


def _overview(found: Found) -> Overview:
    """As the last time, where the file is as it was."""
    try:
        changed = found.path.stat().st_mtime_ns
    except OSError:
        return overview(found)
    kept = _KEPT.get(found)
    if kept is None or kept[0] != changed:
        kept = _KEPT[found] = changed, overview(found)
    return kept[1]


_KEPT: dict[Found, tuple[int, Overview]] = {}


def choices() -> Iterator[Choice]:
    """Each as soon as its file was looked into."""
    found = Found(BUILT_IN_NAME, BUILT_IN, "ggtui", BUILT_IN.parent, BUILT_IN.stat().st_size)
    yield Choice(found.name, found.size, found.name, _overview(found))
    for found in models():
        yield Choice(found.name, found.size, str(found.path), _overview(found))
    for row in ROWS:
        if path_of(row) is None:
            yield Choice(row.name, row.size, row.name, row=row)
