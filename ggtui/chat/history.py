"""What was typed, in one file for every front end."""

from __future__ import annotations

import os
import stat
from datetime import datetime
from pathlib import Path

from ggtui.chat import folders
from ggtui.core.errors import GgtuiError

MOST = 1 << 20  # bytes read of the file, its end


def _kept_at() -> Path | None:
    """The file, which is there and the user's alone; None where no history is wanted. Raises OSError, GgtuiError."""
    if os.environ.get("GGTUI_NOHISTORY", "0") not in ("", "0"):
        return None
    path = folders.history()
    folders.make_private(path.parent)
    fd = os.open(path, os.O_CREAT | os.O_RDWR | os.O_APPEND | os.O_NONBLOCK, 0o600)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):  # to open a FIFO again would wait for its other end
            raise GgtuiError(f"{path}: is not a regular file")
    finally:
        os.close(fd)
    return path


def newest(path: Path) -> list[str]:
    """The texts in the last MOST bytes of the file, the oldest first. Raises OSError."""
    with path.open("rb") as file:
        file.seek(max(os.fstat(file.fileno()).st_size - MOST, 0))
        return parse(file.read(MOST).decode("utf-8", "replace"))


class History:
    """Texts, the oldest first. In the file each is a comment and its lines behind a `+`, as prompt_toolkit has it.

    trouble  why nothing is kept, one line, else ""
    """

    def __init__(self) -> None:
        self.trouble = ""
        self.texts: list[str] = []
        self._kept = False
        self._back = 0  # how many texts back the person went
        self._draft = ""
        try:
            path = _kept_at()
            if path is not None:
                self.texts = newest(path)
                self._kept = True
        except (OSError, GgtuiError) as error:
            self._fail(error)

    def _fail(self, error: OSError | GgtuiError) -> None:
        why = f"{folders.history()}: {error.strerror or error}" if isinstance(error, OSError) else str(error)
        self._kept, self.trouble = False, f"no history is kept: {why}"

    def add(self, text: str) -> None:
        """Keep a text, unless it is the last one again."""
        self._back = 0
        if not text.strip() or (self.texts and self.texts[-1] == text):
            return
        self.texts.append(text)
        if not self._kept:
            return
        rows = "".join(f"+{line}\n" for line in text.split("\n"))
        try:
            with open(folders.history(), "ab") as file:
                file.write(f"\n# {datetime.now()}\n{rows}".encode("utf-8", "replace"))
        except (OSError, GgtuiError) as error:
            self._fail(error)

    def older(self, text: str) -> str | None:
        """The text before; `text` is in the editor, and comes back after the newest. None where there is none."""
        if self._back == len(self.texts):
            return None
        if self._back == 0:
            self._draft = text
        self._back += 1
        return self.texts[-self._back]

    def newer(self) -> str | None:
        """The text after."""
        if self._back == 0:
            return None
        self._back -= 1
        return self.texts[-self._back] if self._back else self._draft


def parse(data: str) -> list[str]:
    """The texts of a file."""
    texts: list[str] = []
    lines: list[str] = []
    for line in [*data.split("\n"), ""]:
        if line.startswith("+"):
            lines.append(line[1:])
        elif lines:
            texts.append("\n".join(lines))
            lines = []
    return texts
