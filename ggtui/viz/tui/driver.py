"""Textual's driver, made to outlast its terminal for as long as the app takes to leave."""

from __future__ import annotations

import io
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from textual.drivers.linux_driver import LinuxDriver

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class LastingDriver(LinuxDriver):
    """Its thread that writes would end with the first error, and 30 writes later the app would wait for it forever."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if self._file is not None:
            lasting = io.BufferedWriter(_Lasting(self._file.fileno(), "w", closefd=False))
            self._file = io.TextIOWrapper(lasting, "utf-8", "replace")

    def write(self, data: str) -> None:
        """Nothing without that thread: it is not begun where the terminal is gone already."""
        if self._writer_thread is not None and self._writer_thread.is_alive():
            super().write(data)


class _Lasting(io.FileIO):
    """What cannot be written is lost."""

    def write(self, data: ReadableBuffer, /) -> int:
        with suppress(OSError):
            return super().write(data)
        return memoryview(data).nbytes
