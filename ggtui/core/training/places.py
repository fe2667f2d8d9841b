"""Where a training writes: the model or adapter, its checkpoint beside it, and a log. All of it is looked at before
anything is learnt, so that hours are not lost for a place that can't be written, or that held something else."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

from ggtui.core.errors import UsageError
from ggtui.core.training.checkpoint import checkpoint_path
from ggtui.core.training.data import files_of
from ggtui.core.training.settings import Settings


def check_places(settings: Settings, log: str | None = None, *, overwrite: bool = False, goes_on: bool = False) -> None:
    """Raise UsageError for a place that can't be written, that is one of what is read, or another of those written, and
    for what is there already, unless it may be overwritten or the training goes on."""
    out = settings.out
    written = {"--out": out, "its checkpoint": str(checkpoint_path(out))} | ({} if log is None else {"--json": log})
    read = {_real(path) for path in _read(settings)}
    taken: set[Path] = set()
    for name, place in written.items():
        path = Path(place)
        if not place or place.endswith("/") or path.is_dir():
            raise UsageError(f"{name} {place!r}: is no name of a file; name the file to write")
        if _real(path) in read:
            raise UsageError(f"{place}: is what the training reads; choose another name for {name}")
        if _real(path) in taken:
            raise UsageError(f"{place}: is written already; choose another name for {name}")
        taken.add(_real(path))
        if path.is_file() and not overwrite and not goes_on:
            more = "go on with it by --resume, give --force to overwrite it, or choose another name"
            raise UsageError(f"{place}: exists; {more}")
        _check_writable(path)


def _read(settings: Settings) -> Iterable[str | Path]:
    yield from files_of((*settings.texts, *settings.valid))
    yield from (name for name in (settings.model, settings.vocab) if name and Path(name).exists())


def _real(path: str | Path) -> Path:
    return Path(path).resolve()


def _check_writable(path: Path) -> None:
    """By a file beside it, as it will be written itself."""
    if path.exists() and not path.is_file():  # a pipe, a device
        return
    try:
        tempfile.TemporaryFile(dir=path.absolute().parent).close()
    except OSError as error:
        problem = f"can't be written there: {error.strerror or error}"
        raise UsageError(f"{path}: {problem}; name a file in a folder that you may write to") from error
