"""Where this runs: the processor and its name, and how many of its cores this process may use."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ggtui.core.runtime.record import RunInfo


def usable_cores(root: Path = Path("/")) -> int:
    """Physical cores among the processors this process may run on, within its cgroup's quota; at least 1.

    `root` is where /proc and /sys are looked for.
    """
    cores = {_core(root, cpu) for cpu in usable_cpus()}
    quota = cgroup_quota(root)
    return max(1, min(len(cores), math.ceil(quota) if quota else len(cores)))


def usable_cpus() -> set[int]:
    """The numbers of the processors that this process may run on."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))


def processor(root: Path = Path("/")) -> str:
    """The processor's own name, as far as the system tells it."""
    import platform  # here, since few need it

    try:
        lines = (root / "proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    name = fields.get("model name") or fields.get("Model") or fields.get("Hardware")
    if not name and "CPU part" in fields:  # Arm's numbers
        name = f"implementer {fields.get('CPU implementer')}, part {fields['CPU part']}"
    return f"{name} ({platform.machine()})" if name else platform.machine()


def _core(root: Path, cpu: int) -> tuple[str, str]:
    """What tells the core of a processor from others: hyper-threads share it."""
    topology = root / f"sys/devices/system/cpu/cpu{cpu}/topology"
    try:
        return (topology / "physical_package_id").read_text().strip(), (topology / "core_id").read_text().strip()
    except OSError:
        return "", str(cpu)


def cgroup_quota(root: Path = Path("/")) -> float | None:
    """Processors' worth of time that the cgroups (v2, or v1) of this process allow; None without a limit."""
    limits = [_v2_limit(folder) for folder in cgroup_folders(root)]
    for mount in ("cpu", "cpu,cpuacct"):
        limits += [_v1_limit(folder) for folder in cgroup_folders(root, "cpu", mount)]
    found = [limit for limit in limits if limit is not None]
    return min(found) if found else None


def cgroup_folders(root: Path = Path("/"), controller: str = "", mount: str = "") -> list[Path]:
    """Where the limits of this process stand: in the folder of its cgroup of version 2, or in that of a controller of
    version 1, which is below `mount`, and in those above it."""
    base = root / "sys/fs/cgroup" / mount
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    paths = [path for _, names, path in (line.split(":", 2) for line in lines) if controller in names.split(",")]
    return [folder for path in paths for folder in _upwards(base, path)]


def _upwards(base: Path, path: str) -> list[Path]:
    """The cgroup's folder and those above it; in a container the path may not exist and the mount is the cgroup."""
    folder = base / path.lstrip("/")
    return [folder, *(p for p in folder.parents if p == base or base in p.parents)]


def _v2_limit(folder: Path) -> float | None:
    try:
        quota, period = (folder / "cpu.max").read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None


def _v1_limit(folder: Path) -> float | None:
    try:
        quota = int((folder / "cpu.cfs_quota_us").read_text())
        period = int((folder / "cpu.cfs_period_us").read_text())
        return quota / period if quota > 0 and period > 0 else None
    except (OSError, ValueError):
        return None


def here(**run: Any) -> RunInfo:
    """A RunInfo with the fields of `run`, and of this machine, this ggtui and this moment."""
    import platform
    from datetime import UTC, datetime
    from importlib.metadata import PackageNotFoundError, version

    from ggtui.core.runtime.record import RunInfo

    try:
        ggtui = version("ggtui")
    except PackageNotFoundError:  # not installed, run from its folder
        ggtui = ""
    return RunInfo(
        ggtui=ggtui,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        system=f"{platform.system()} {platform.machine()}",
        processor=processor(),
        cores=os.cpu_count() or 0,
        **run,
    )
