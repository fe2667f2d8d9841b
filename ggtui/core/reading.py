"""Files that are read whole. What is no regular file is refused, since opening a FIFO would wait and reading a device
never end, and so is what is larger than any honest file of its kind."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path


def read_file(path: str | Path, most: int | None = None, *, pipe: bool = False) -> bytes:
    """The bytes of a file, at most `most`. `pipe` takes a FIFO too, such as a shell's <(command): it waits for a
    writer, and reads until all of them have closed it.

    Raises OSError, also for what is no such file or longer.
    """
    # Without O_NONBLOCK, opening a FIFO waits for its writer.
    waits = pipe and stat.S_ISFIFO(os.stat(path).st_mode)
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | (0 if waits else os.O_NONBLOCK))
    try:
        status = os.fstat(fd)
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not (stat.S_ISREG(status.st_mode) or (pipe and stat.S_ISFIFO(status.st_mode))):
            raise OSError(errno.EINVAL, "is not a regular file", str(path))
        os.set_blocking(fd, True)
        with open(fd, "rb", closefd=False) as file:
            if most is None:
                return file.read()
            data = file.read(most + 1) if status.st_size <= most else b""
        if status.st_size > most or len(data) > most:
            raise OSError(errno.EFBIG, f"is over the limit of {most:,} bytes for such a file", str(path))
        return data
    finally:
        os.close(fd)
