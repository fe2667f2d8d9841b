"""What other processes do."""

from __future__ import annotations

import subprocess
from contextlib import suppress
from pathlib import Path


def alive(pid: int) -> bool:
    """Whether it runs: not as a zombie that nobody has taken notice of. It may end while it is looked at."""
    if not Path("/proc/self/stat").exists():
        shown = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
        return shown.stdout.strip()[:1] not in ("", "Z")
    try:
        return _fields(Path(f"/proc/{pid}/stat"))[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # the file is gone, or its process is since the file was opened
        return False


def children(pid: int) -> list[int]:
    """All the processes that a process started, and those that they did. Where there is /proc."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):
            if int(_fields(stat)[1]) == pid:
                found.append(int(stat.parent.name))
    return [*found, *(grandchild for child in found for grandchild in children(child))]


def _fields(stat: Path) -> list[str]:
    """Those behind the program's name, which may hold blanks and parentheses: its state, its parent, ..."""
    return stat.read_text().rpartition(")")[2].split()
