"""Files that are read whole. What is no regular file is refused, since opening a FIFO would wait and reading a device
never end, and so is what is larger than any honest file of its kind."""

from __future__ import annotations

import errno
import json
import os
import select
import stat
import time
from pathlib import Path
from typing import Any, NoReturn

WRITER_WITHIN_S = 10


def read_file(path: str | Path, most: int | None = None, *, pipe: bool = False) -> bytes:
    """The bytes of a file, at most `most`. `pipe` takes a FIFO too, such as a shell's <(command): it waits some
    seconds for a writer, and reads until all of them have closed it.

    Raises OSError, also for what is no such file or longer.
    """
    # Without O_NONBLOCK, opening a FIFO would wait for its writer.
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(fd)
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not (stat.S_ISREG(status.st_mode) or (pipe and stat.S_ISFIFO(status.st_mode))):
            raise OSError(errno.EINVAL, "is not a regular file", str(path))
        head = _first_of_pipe(fd, path) if stat.S_ISFIFO(status.st_mode) else b""
        os.set_blocking(fd, True)
        with open(fd, "rb", closefd=False) as file:
            if most is None:
                return head + file.read()
            data = head + file.read(most + 1) if status.st_size <= most else b""
        if status.st_size > most or len(data) > most:
            raise OSError(errno.EFBIG, f"is over the limit of {most:,} bytes for such a file", str(path))
        return data
    finally:
        os.close(fd)


def read_object(path: str | Path, most: int | None = None, *, pipe: bool = False) -> dict[str, Any]:
    """The JSON object in a file, read as by read_file.

    Raises OSError as that does, and ValueError, in words for a person, for a file that holds something else.
    """
    data = read_file(path, most, pipe=pipe)
    if not data.strip():
        raise ValueError("it is empty")
    try:
        found: object = json.loads(data.decode(), parse_constant=_constant)
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not text in UTF-8 (byte {error.start})") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"it is not JSON: {error.msg} (line {error.lineno}, column {error.colno})") from error
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except ArithmeticError as error:
        raise ValueError(f"it has {error}, which is not JSON") from error
    except ValueError as error:
        raise ValueError("it has a number of far too many digits") from error
    if not isinstance(found, dict):
        raise ValueError("it is JSON, but no object")
    return found


def _constant(name: str) -> NoReturn:
    raise ArithmeticError(name)


def _first_of_pipe(fd: int, path: str | Path) -> bytes:
    """What is in a FIFO once it has a writer, who may be slow to write anything."""
    waiting = select.poll()
    waiting.register(fd, select.POLLIN)
    end = time.monotonic() + WRITER_WITHIN_S
    while True:
        try:
            if (head := os.read(fd, 1 << 16)) or waiting.poll(
                10
            ):  # all that was written, or a writer has come and gone
                return head
        except BlockingIOError:
            return b""
        if time.monotonic() > end:
            raise OSError(errno.ETIMEDOUT, "is a pipe that nobody opened for writing", str(path))
