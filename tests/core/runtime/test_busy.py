"""What else uses the cores: against /proc as it might be, and against a program that never rests."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ggtui.core.runtime import busy
from ggtui.core.runtime.busy import Busy, Watch


class Machine:
    """A folder with the files of /proc that are looked at, of two cores."""

    def __init__(self, root: Path) -> None:
        self.root, self.ticks = root, [[0] * 10, [0] * 10]
        (root / "proc").mkdir()
        self.write()

    def write(self) -> None:
        lines = [f"cpu{i} {' '.join(map(str, core))}" for i, core in enumerate(self.ticks)]
        (self.root / "proc/stat").write_text("\n".join(["cpu 1 2 3", *lines, "intr 5"]))

    def passes(self, core: int, **ticks: int) -> None:
        for name, n in ticks.items():
            self.ticks[core][("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal").index(name)] += n
        self.write()

    def other(self, pid: int, ticks: int) -> None:
        (self.root / f"proc/{pid}").mkdir(exist_ok=True)
        (self.root / f"proc/{pid}/stat").write_text(f"{pid} (a) b) S " + "0 " * 10 + f"{ticks} 0 0 0")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.setattr(busy, "usable_cpus", lambda: {0, 1})
    monkeypatch.setattr(os, "sysconf", lambda name: 100)
    monkeypatch.setattr(time, "process_time", lambda: 0.0)
    monkeypatch.setattr(os, "times", lambda: os.times_result((0.0,) * 5))
    return Machine(tmp_path)


def test_what_is_not_idle_and_not_ours_is_others(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    watch = Watch(root=machine.root)
    machine.passes(0, user=60, system=20, idle=20)
    machine.passes(1, user=10, idle=70, iowait=20)
    monkeypatch.setattr(time, "process_time", lambda: 0.5)  # 50 of the 90 that were used
    assert watch.busy == Busy(pytest.approx(0.2), 0.0)
    watch.begin()
    assert watch.busy == Busy()  # nothing has passed


def test_what_children_used_is_not_of_others(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    watch = Watch(root=machine.root)
    machine.passes(0, user=100)
    machine.passes(1, idle=100)
    monkeypatch.setattr(os, "times", lambda: os.times_result((0.0, 0.0, 0.5, 0.25, 0.0)))  # of those that ended
    assert watch.busy.others == pytest.approx(0.125)


def test_steal_is_told_apart(machine: Machine) -> None:
    watch = Watch(root=machine.root)
    machine.passes(0, idle=50, steal=50)
    machine.passes(1, idle=100)
    assert watch.busy == Busy(0.0, pytest.approx(0.25))


def test_the_screens_process_is_no_other_program(machine: Machine) -> None:
    machine.other(7, 100)
    watch = Watch((7,), machine.root)
    machine.other(7, 150)
    machine.passes(0, user=100)
    machine.passes(1, idle=100)
    assert watch.busy.others == pytest.approx(0.25)
    (machine.root / "proc/7/stat").unlink()  # it has gone
    assert 0 <= watch.busy.others <= 1


@pytest.mark.parametrize("text", ["", "cpu0 1 2", "cpu0 a b c d e f g h\ncpu1 1 2 3 4 5 6 7 8", "cpu0 1 1 1 1 1 1 1 1"])
def test_a_system_that_does_not_say_says_nothing(machine: Machine, text: str) -> None:
    (machine.root / "proc/stat").write_text(text)
    assert Watch(root=machine.root).busy == Busy()
    (machine.root / "proc/stat").unlink()
    assert Watch(root=machine.root).busy == Busy()


@pytest.mark.skipif(sys.platform != "linux", reason="the system does not say")
def test_a_real_program_beside_this_one() -> None:
    beside = subprocess.Popen([sys.executable, "-c", "print(flush=True)\nwhile True: pass"], stdout=subprocess.PIPE)
    assert beside.stdout is not None and beside.stdout.readline()
    watch, own = Watch(), Watch((beside.pid,))
    time.sleep(0.5)
    others, without = watch.busy.others, own.busy.others
    beside.kill()
    beside.communicate()
    assert others > 0.2 / len(os.sched_getaffinity(0)) and without < others
