"""How much memory is left, on made-up systems, and how much there is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ggtui.core.runtime.room import free_memory, resident_bytes

MEMINFO = {"proc/meminfo": "MemTotal: 9000 kB\nMemAvailable:    4000 kB\n"}
V2, V1 = "sys/fs/cgroup", "sys/fs/cgroup/memory"
CASES: tuple[tuple[str, dict[str, str], int | None], ...] = (
    ("nothing is known", {}, None),
    ("no limit", {"proc/self/cgroup": "0::/\n"}, 4096000),
    (
        "a limit",
        {"proc/self/cgroup": "0::/a\n", f"{V2}/a/memory.max": "1000000\n", f"{V2}/a/memory.current": "300000\n"},
        700000,
    ),
    (
        "what is cached can be dropped",
        {
            "proc/self/cgroup": "0::/a\n",
            f"{V2}/a/memory.max": "1000000",
            f"{V2}/a/memory.current": "900000",
            f"{V2}/a/memory.stat": "anon 5\ninactive_file 250000\n",
        },
        350000,
    ),
    (
        "a limit above",
        {
            "proc/self/cgroup": "0::/a/b\n",
            f"{V2}/a/b/memory.max": "max",
            f"{V2}/a/b/memory.current": "1",
            f"{V2}/a/memory.max": "500000",
            f"{V2}/a/memory.current": "600000",
        },
        0,
    ),
    (
        "version 1",
        {
            "proc/self/cgroup": "4:cpu,cpuacct:/x\n3:memory:/x\n",
            f"{V1}/x/memory.limit_in_bytes": "800000",
            f"{V1}/x/memory.usage_in_bytes": "100000",
            f"{V1}/memory.limit_in_bytes": "9223372036854771712",
            f"{V1}/memory.usage_in_bytes": "1",
        },
        700000,
    ),
    ("odd numbers", {"proc/self/cgroup": "0::/\n", f"{V2}/memory.max": "many", f"{V2}/memory.current": "3"}, 4096000),
)


@pytest.mark.parametrize(("name", "files", "want"), CASES, ids=[case[0] for case in CASES])
def test_free_memory(tmp_path: Path, name: str, files: dict[str, str], want: int | None) -> None:
    for file, content in ({**MEMINFO, **files} if files else {}).items():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(content)
    assert free_memory(tmp_path) == want


def test_this_machine() -> None:
    free = free_memory()
    assert free is None or free > 1 << 20


def test_resident_bytes() -> None:
    code = """
from ggtui.core.runtime.room import resident_bytes
before = resident_bytes()
made = bytes(range(256)) * 400_000
print(resident_bytes() - before, before)
"""
    grown, before = map(int, subprocess.check_output([sys.executable, "-c", code]).split())
    assert grown > 90_000_000 and before > 1_000_000 and resident_bytes() > 1_000_000
