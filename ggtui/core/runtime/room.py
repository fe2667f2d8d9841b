"""How much memory there is for a model, and how much this process has."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from ggtui.core.runtime.cores import cgroup_folders

_NO_LIMIT = 1 << 62  # version 1 of cgroups says this or more


def free_memory(root: Path = Path("/")) -> int | None:
    """Bytes that this process can still take: what the system could give, and what its cgroups still allow. None where
    that is not known."""
    found = [_available(root)]
    found += [_left(folder, "memory.max", "memory.current") for folder in cgroup_folders(root)]
    found += [
        _left(folder, "memory.limit_in_bytes", "memory.usage_in_bytes")
        for folder in cgroup_folders(root, "memory", "memory")
    ]
    known = [n for n in found if n is not None]
    return min(known) if known else None


def _available(root: Path) -> int | None:
    try:
        lines = (root / "proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, ValueError, IndexError, StopIteration):
        return None


def _left(folder: Path, limit: str, usage: str) -> int | None:
    """What a cgroup has left; pages of files that nothing has written to can be dropped."""
    try:
        most, used = int((folder / limit).read_text()), int((folder / usage).read_text())
    except (OSError, ValueError):  # "max"
        return None
    return None if most >= _NO_LIMIT else max(most - used + _cached(folder), 0)


def _cached(folder: Path) -> int:
    try:
        fields = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        return int(fields.get("inactive_file", fields.get("total_inactive_file", 0)))
    except (OSError, ValueError):
        return 0


def resident_bytes() -> int:
    """Memory of this process that is in RAM; where a system tells only the most it ever was, that."""
    if sys.platform == "linux":
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
