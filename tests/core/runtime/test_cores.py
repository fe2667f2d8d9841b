"""How many cores may be used, on made-up systems."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

import ggtui
from ggtui.core.runtime.cores import cgroup_quota, usable_cores


def system(root: Path, files: Mapping[str, str]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


def topology(cores: Mapping[int, tuple[int, int]]) -> dict[str, str]:
    """Processor -> (package, core) as files."""
    files = {}
    for cpu, (package, core) in cores.items():
        folder = f"sys/devices/system/cpu/cpu{cpu}/topology"
        files |= {f"{folder}/physical_package_id": f"{package}\n", f"{folder}/core_id": f"{core}\n"}
    return files


@pytest.fixture
def allowed(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """The processors this process may run on; tests change it."""
    cpus: set[int] = {0, 1, 2, 3}
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: cpus, raising=False)
    return cpus


PAIRS = topology({0: (0, 0), 1: (0, 1), 2: (0, 0), 3: (0, 1)})  # two cores, two threads each


def test_threads_of_a_core_count_once(tmp_path: Path, allowed: set[int]) -> None:
    assert usable_cores(system(tmp_path, PAIRS)) == 2


def test_cores_of_two_packages_may_have_the_same_number(tmp_path: Path, allowed: set[int]) -> None:
    assert usable_cores(system(tmp_path, topology({0: (0, 0), 1: (0, 1), 2: (1, 0), 3: (1, 1)}))) == 4


def test_affinity(tmp_path: Path, allowed: set[int]) -> None:
    system(tmp_path, PAIRS)
    for cpus, want in (({0, 2}, 1), ({0, 1}, 2), ({3}, 1), ({1, 2, 3}, 2)):
        allowed.clear()
        allowed.update(cpus)
        assert usable_cores(tmp_path) == want


def test_without_a_topology_processors_count(tmp_path: Path, allowed: set[int]) -> None:
    assert usable_cores(tmp_path) == 4


def test_a_system_without_affinity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    for count, want in ((6, 6), (None, 1)):
        monkeypatch.setattr(os, "cpu_count", lambda count=count: count)
        assert usable_cores(tmp_path) == want


@pytest.mark.parametrize(("quota", "want"), [("100000", 1), ("150000", 2), ("1000", 1), ("400000", 4), ("900000", 4)])
def test_a_quota_is_rounded_up_and_never_adds_cores(tmp_path: Path, allowed: set[int], quota: str, want: int) -> None:
    system(tmp_path, {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": f"{quota} 100000\n"})
    assert usable_cores(tmp_path) == want


V2 = "sys/fs/cgroup"
CASES: tuple[tuple[str, dict[str, str], float | None], ...] = (
    ("no-proc", {}, None),
    ("v2-none", {"proc/self/cgroup": "0::/\n"}, None),
    ("v2-max", {"proc/self/cgroup": "0::/\n", f"{V2}/cpu.max": "max 100000\n"}, None),
    ("v2-root", {"proc/self/cgroup": "0::/\n", f"{V2}/cpu.max": "250000 100000\n"}, 2.5),
    ("v2-own", {"proc/self/cgroup": "0::/a/b\n", f"{V2}/a/b/cpu.max": "50000 100000\n"}, 0.5),
    (
        "v2-above",
        {"proc/self/cgroup": "0::/a/b\n", f"{V2}/a/cpu.max": "300000 100000\n", f"{V2}/a/b/cpu.max": "max 100000\n"},
        3,
    ),
    (
        "v2-tightest",
        {"proc/self/cgroup": "0::/a/b\n", f"{V2}/a/cpu.max": "100000 100000\n", f"{V2}/a/b/cpu.max": "400000 100000\n"},
        1,
    ),
    ("v2-container", {"proc/self/cgroup": "0::/not/here\n", f"{V2}/cpu.max": "200000 100000\n"}, 2),
    ("v2-colon", {"proc/self/cgroup": "0::/a:b\n", f"{V2}/a:b/cpu.max": "200000 100000\n"}, 2),
    ("v2-damaged", {"proc/self/cgroup": "0::/\n", f"{V2}/cpu.max": "much\n"}, None),
    ("v2-no-period", {"proc/self/cgroup": "0::/\n", f"{V2}/cpu.max": "1000 0\n"}, None),
    (
        "v1",
        {
            "proc/self/cgroup": "5:cpu,cpuacct:/x\n2:memory:/y\n",
            f"{V2}/cpu/x/cpu.cfs_quota_us": "150000\n",
            f"{V2}/cpu/x/cpu.cfs_period_us": "100000\n",
        },
        1.5,
    ),
    (
        "v1-mount-of-both",
        {
            "proc/self/cgroup": "5:cpu,cpuacct:/\n",
            f"{V2}/cpu,cpuacct/cpu.cfs_quota_us": "300000\n",
            f"{V2}/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
        },
        3,
    ),
    (
        "v1-no-limit",
        {
            "proc/self/cgroup": "5:cpu:/\n",
            f"{V2}/cpu/cpu.cfs_quota_us": "-1\n",
            f"{V2}/cpu/cpu.cfs_period_us": "100000\n",
        },
        None,
    ),
    (
        "v1-above",
        {
            "proc/self/cgroup": "5:cpu:/a/b\n",
            f"{V2}/cpu/a/cpu.cfs_quota_us": "200000\n",
            f"{V2}/cpu/a/cpu.cfs_period_us": "100000\n",
        },
        2,
    ),
    (
        "v1-other-controllers",
        {"proc/self/cgroup": "5:cpuset:/\n3:memory:/\n", f"{V2}/cpu.max": "100000 100000\n"},
        None,
    ),
)


@pytest.mark.parametrize(("files", "want"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_quota(tmp_path: Path, files: dict[str, str], want: float | None) -> None:
    assert cgroup_quota(system(tmp_path, files)) == want


def test_this_system() -> None:
    assert 1 <= usable_cores() <= (os.cpu_count() or 1)


def test_a_session_takes_the_usable_cores_and_more_where_that_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ggtui.core.engine.engine.usable_cores", lambda: 1)
    one = ggtui.load()
    assert one.threads == 1
    many = ggtui.load(threads=4 * (os.cpu_count() or 1) + 1)
    for ids in ([1, 2, 3], [4]):
        assert np.array_equal(many.eval(ids), one.eval(ids))
