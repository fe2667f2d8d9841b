"""The one way to write what is saved. A file gets its name when it is complete, so whatever ends the program before
leaves the old one as it was. What is no regular file (a device, a pipe, /dev/stdout) is written into, never replaced.
"""

from __future__ import annotations

import io
import os
import re
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from ggtui.core.errors import GgtuiError, UsageError

_OURS = re.compile(r"\.ggtui-[0-9a-f]{16}\.part")  # short, so that a name of any legal length can be saved under
_OLD = 86_400  # seconds after which an unfinished file has lost its writer
_TRIES = 100  # to look at a file that others keep replacing


@contextmanager
def output(
    path: str | Path, *, private: bool = False, durable: bool = False, overwrite: bool = True
) -> Iterator[BinaryIO]:
    """A file to write to, which takes the place of `path` at the end of the `with`, unless that raises.

    A link stays a link: what it leads to is replaced. The permissions and, where possible, the owner of a file that was
    there are kept. What is no regular file may be a pipe, so nothing here is to seek.
    private: a new file is for the user alone. durable: the data is on the disk before the file takes its place.
    overwrite: whether there may be a file already. Raises UsageError for a folder, and for a file that is not to be
    overwritten; GgtuiError where it cannot be written; BrokenPipeError where the reader of a pipe has gone.
    """
    path = Path(path)
    with _told(path):
        stream, target, before = _find(path, overwrite)
    if stream is not None:
        try:
            with _writing(stream, path) as file:
                yield file
        except BrokenPipeError as error:
            if _descriptor(os.fspath(path)) is not None:  # as that of standard output: who reads it has what it wanted
                raise
            raise GgtuiError(f"{path}: cannot be written: who read it has gone") from error
        return
    folder = os.path.dirname(target)
    _sweep(folder)
    temporary = os.path.join(folder, f".ggtui-{os.urandom(8).hex()}.part")
    try:
        with _told(path):
            mode = 0o600 if private or before is not None else 0o666  # of which the system takes the umask
            made = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
        with _writing(made, path) as file:
            if before is not None:
                _make_like(made, before)
            yield file
            if durable:
                file.flush()
                with _told(path):
                    os.fsync(made)
        with _told(path):
            _place(temporary, target, overwrite)
        if durable:
            _sync(folder)
    finally:
        with suppress(OSError):
            os.unlink(temporary)


def write(path: str | Path, data: bytes | str, *, private: bool = False, durable: bool = False) -> None:
    """Save bytes, or text as UTF-8, as `output` does."""
    with output(path, private=private, durable=durable) as file:
        file.write(data.encode("utf-8", "replace") if isinstance(data, str) else data)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """What goes wrong inside is told of `path`, whichever file it was."""
    try:
        yield
    except BrokenPipeError:
        raise
    except IsADirectoryError as error:
        raise UsageError(f"{path}: is a folder; name the file to write") from error
    except FileExistsError as error:
        raise UsageError(f"{path}: exists; choose another name or let it be overwritten") from error
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        raise GgtuiError(f"{path}: cannot be written: {getattr(error, 'strerror', None) or error}") from error


class _Raw(io.FileIO):
    """A descriptor, whose errors are told of `path`: only here are they those of writing."""

    def __init__(self, descriptor: int, path: Path) -> None:
        super().__init__(descriptor, "wb")
        self._path = path

    def write(self, data: Any) -> int:
        with _told(self._path):
            return super().write(data)

    def close(self) -> None:
        with _told(self._path):
            super().close()


@contextmanager
def _writing(descriptor: int, path: Path) -> Iterator[BinaryIO]:
    raw = _Raw(descriptor, path)
    try:
        file = io.BufferedWriter(raw, 1 << 17)
        yield file
        file.flush()
    finally:
        raw.close()  # without what an error left to write: for a pipe that nobody reads, it would wait


def _find(path: Path, overwrite: bool) -> tuple[int | None, str, os.stat_result | None]:
    """A descriptor to write straight into; or None, the real path of the file and what is there, None for nothing.

    Opening is left to the system and its own rules, of other people's links in /tmp for one.
    """
    number = _descriptor(os.fspath(path))
    if number is not None:
        return os.dup(number), "", None
    for _ in range(_TRIES):
        try:
            opened = os.open(path, os.O_WRONLY | os.O_NOCTTY)
        except FileNotFoundError:
            return None, os.path.realpath(path), None
        there = os.fstat(opened)
        if not overwrite and (stat.S_ISREG(there.st_mode) or stat.S_ISBLK(there.st_mode)):
            os.close(opened)
            raise FileExistsError
        if not stat.S_ISREG(there.st_mode):
            return opened, "", None
        os.close(opened)
        real = os.path.realpath(path)
        with suppress(FileNotFoundError):
            if os.path.samestat(os.stat(real), there):
                return None, real, there
    raise GgtuiError(f"{path}: cannot be written: it is replaced all the time, or was deleted")


def _descriptor(path: str) -> int | None:
    """The number of a descriptor of ours that `path` names or leads to, such as /dev/fd/1 and /dev/stdout: to open one
    anew would begin at the start of the file behind it."""
    ours = os.path.realpath("/dev/fd")
    for _ in range(_TRIES):
        folder, name = os.path.realpath(os.path.dirname(path)), os.path.basename(path)
        if folder == ours and re.fullmatch("[0-9]{1,9}", name):
            return int(name)
        try:
            path = os.path.join(folder, os.readlink(os.path.join(folder, name)))
        except OSError:  # no link
            break
    return None


def _make_like(descriptor: int, before: os.stat_result) -> None:
    """With the group, the owner and the permissions of the file that was there, each where the system allows it."""
    with suppress(OSError):
        os.fchown(descriptor, -1, before.st_gid)
    with suppress(OSError):
        os.fchown(descriptor, before.st_uid, -1)
    with suppress(OSError):
        os.fchmod(descriptor, before.st_mode & 0o777)


def _place(temporary: str, target: str, overwrite: bool) -> None:
    """Raises FileExistsError for a file that is not to be overwritten, also where it came a moment ago."""
    if not overwrite:
        try:
            os.link(temporary, target)
        except FileExistsError:
            raise
        except OSError:  # a file system without links
            os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        else:
            return
    os.replace(temporary, target)


def _sync(folder: str) -> None:
    """The new name too is on the disk. Where a folder can't be opened, the system does so in its own time."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _sweep(folder: str) -> None:
    """Remove what a killed program of this user left unfinished."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if _OURS.fullmatch(entry.name):
                about = entry.stat(follow_symlinks=False)
                if about.st_uid == os.geteuid() and time.time() - about.st_mtime > _OLD:
                    os.unlink(entry.path)
