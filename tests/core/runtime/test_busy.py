"""What others use of the cores: from the system's counts, made up here."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from ggtui.core.runtime import busy
from ggtui.core.runtime.busy import Busy, Watch

HZ = os.sysconf("SC_CLK_TCK")


@pytest.fixture(autouse=True)
def made_up_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two cores this process may use the first; it and its children use nothing unless a test says so."""
    monkeypatch.setattr(busy, "usable_cpus", lambda: {0})
    monkeypatch.setattr(time, "process_time", lambda: 0.0)
    spend(monkeypatch, 0.0)


def spend(monkeypatch: pytest.MonkeyPatch, user: float, system: float = 0.0) -> None:
    """Of children that ended."""
    monkeypatch.setattr(os, "times", lambda: os.times_result((0.0, 0.0, user, system, 0.0)))


def write(root: Path, user: float, idle: float, stolen: float = 0.0) -> Path:
    """Seconds of the first core; the second one is always used."""
    (root / "proc").mkdir(exist_ok=True)
    mine = [round(HZ * seconds) for seconds in (user, 0, 0, idle, 0, 0, 0, stolen, 0, 0)]
    cores = {"cpu": mine, "cpu0": mine, "cpu1": [round(HZ * (user + idle + stolen)), *[0] * 9]}
    (root / "proc/stat").write_text("".join(f"{name} {' '.join(map(str, n))}\n" for name, n in cores.items()))
    return root


def test_others_and_the_hypervisor_are_told_as_parts_of_the_cores_that_may_be_used(tmp_path: Path) -> None:
    watch = Watch(root=write(tmp_path, 5, 5))
    write(tmp_path, 6, 7, 1)
    assert watch.busy == Busy(others=0.25, stolen=0.25)
    watch.begin()
    write(tmp_path, 6, 9, 1)
    assert watch.busy == Busy()


def test_what_this_process_and_its_children_used_is_not_of_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = Watch(root=write(tmp_path, 5, 5))
    write(tmp_path, 8, 6)
    assert watch.busy == Busy(others=0.75)
    monkeypatch.setattr(time, "process_time", lambda: 1.0)
    assert watch.busy == Busy(others=0.5)
    spend(monkeypatch, 0.5, 0.5)
    assert watch.busy == Busy(others=0.25)
    spend(monkeypatch, 9.0)
    assert watch.busy == Busy()


def test_where_the_system_does_not_tell_nothing_is_said(tmp_path: Path) -> None:
    assert Watch(root=tmp_path).busy == Busy()
    watch = Watch(root=write(tmp_path, 5, 5))
    write(tmp_path, 5.05, 5)  # too short to tell
    assert watch.busy == Busy()
    (tmp_path / "proc/stat").write_text("cpu0 1 2 3\n")
    assert watch.busy == Busy()
