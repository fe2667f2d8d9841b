"""How commands and events travel between the screen's process and the engine's: pickles, each behind its length."""

from __future__ import annotations

import pickle
import struct
from collections.abc import Iterator
from typing import Any

_LENGTH = struct.Struct("<Q")


def frame(value: object) -> bytes:
    """A message as bytes."""
    data = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    return _LENGTH.pack(len(data)) + data


def take_frames(buffer: bytearray) -> Iterator[Any]:
    """The messages that are complete in the buffer, and takes them out of it."""
    while len(buffer) >= _LENGTH.size:
        end = _LENGTH.size + _LENGTH.unpack_from(buffer)[0]
        if len(buffer) < end:
            return
        data = bytes(buffer[_LENGTH.size : end])
        del buffer[:end]
        yield pickle.loads(data)
