"""Makes text that came from outside safe to show: from a model, a file's metadata, a file name."""

from __future__ import annotations

import os
import re
from typing import TextIO

# The control characters, which a terminal obeys; halves of surrogate pairs, which no stream can encode; and the
# characters that turn the direction of writing, which make a line read as what it is not.
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_UNSAFE_IN_LINE = re.compile(f"{_UNSAFE.pattern}|[\t\n\u2028\u2029]")
_SHORT = {"\t": r"\t", "\n": r"\n", "\r": r"\r"}


def printable(text: str) -> str:
    """`text` with what could act on a terminal shown escaped, such as \\x1b; line feed and tab stay as they are.

    Each character is looked at alone, so a text may come in pieces.
    """
    return _UNSAFE.sub(_escape, text)


def printable_line(text: str) -> str:
    """Like `printable`, for what must stay on one line: line feed and tab are escaped too."""
    return _UNSAFE_IN_LINE.sub(_escape, text)


def text_for(stream: TextIO, text: str) -> str:
    """`text` as it is to be written: for a terminal as `printable` has it, for anything else the text itself."""
    return printable(text) if stream.isatty() else text


def _escape(match: re.Match[str]) -> str:
    character = match[0]
    code = ord(character)
    return _SHORT.get(character) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")


def color_wanted(stream: TextIO) -> bool:
    """Whether to write colours to `stream`: a terminal that has them, of a person who wants them (no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def size(n_bytes: int) -> str:
    """Bytes as a person reads them: 3,981,312 bytes (3.8 MiB)."""
    exact = f"{n_bytes:,} bytes"
    for unit, shift in (("GiB", 30), ("MiB", 20), ("KiB", 10)):
        if n_bytes >= 1 << shift:
            return f"{exact} ({n_bytes / (1 << shift):.1f} {unit})"
    return exact


def model_name(file: str) -> str:
    """Of a model, by its file or folder, as it is shown: a folder's name may have a dot that ends nothing."""
    return printable_line(file.removesuffix(".gguf").removesuffix(".bin"))


def asked_name(model: str | None) -> str:
    """Of a model that was asked for by a file or a name, None for the built-in one, before it is known what it is."""
    return "the built-in model" if model is None else model_name(os.path.basename(os.path.abspath(model)))


def bytes_shown(raw: bytes) -> str:
    """In quotes; where they are no text, a part of a character, as bytes."""
    try:
        return repr(raw.decode())
    except UnicodeDecodeError:
        return repr(raw)
