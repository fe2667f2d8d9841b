"""What a bug report needs."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ggtui.cli.info import gather, memory, processor
from ggtui.core.runtime.cpu.native import usable_isas

Run = Callable[..., Any]
NAMES = (
    "ggtui", "python", "libraries", "platform", "processor", "cores", "threads", "instructions", "limits",
    "time stamps",    "memory", "built-in model", "vulkan", "dot", "terminal", "config", "environment",
)  # fmt: skip


def test_text_is_aligned_and_has_all(ggtui: Run) -> None:
    code, out, err = ggtui("info")
    assert (code, err) == (0, "")
    assert [line[:16].rstrip() for line in out.splitlines()] == list(NAMES)
    assert "GGTUI_THREADS 1" in out


def test_json(ggtui: Run) -> None:
    facts = json.loads(ggtui("info", "--json", "-t", "3", "--isa", "scalar").out)
    assert tuple(facts) == NAMES
    assert facts["threads"] == 3
    assert facts["instructions"]["chosen"] == "scalar"
    assert facts["instructions"]["usable"] == list(usable_isas())
    assert Path(facts["built-in model"]["path"]).stat().st_size == facts["built-in model"]["size"]
    assert facts["terminal"]["stdout"] == "no terminal"


@pytest.mark.bare
def test_vulkan_devices(ggtui: Run) -> None:
    found = json.loads(ggtui("info", "--json").out)["vulkan"]
    if isinstance(found, str):
        pytest.skip(f"{found}: install mesa-vulkan-drivers")
    assert [device["device"] for device in found] == list(range(len(found)))
    for device in found:
        ready = device["state"] == "ready"
        assert (device["memory"] > 0 and device["subgroup"] > 0) if ready else device["state"].startswith("lacks ")
    (line,) = (line for line in ggtui("info").out.splitlines() if line.startswith("vulkan "))
    assert line.count(" name ") == len(found)
    assert f"name {found[0]['name']}; driver {found[0]['driver']}; kind {found[0]['kind']};" in line
    assert found[0]["memory"] == 0 or f"memory {found[0]['memory']:,} bytes (" in line


@pytest.mark.bare
def test_a_machine_without_vulkan(start: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("VK_ICD_FILENAMES", "VK_DRIVER_FILES"):
        monkeypatch.setenv(name, "/nonexistent.json")
    for flags in ((), ("--json",)):
        process = start("info", *flags)
        out, err = process.communicate()
        assert (process.returncode, err) == (0, b"")
        said = json.loads(out)["vulkan"] if flags else out.decode()
        assert "no Vulkan: " in said and "; install " in said


def test_limits(ggtui: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ggtui.core.runtime.cpu import limits
    from ggtui.core.runtime.device import one_device
    from ggtui.perf import roofline

    cpu = one_device("cpu")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(limits, "READ_SIZES", (1 << 20,))
    assert "not measured for scalar and 1 threads; ggtui perf does it" in ggtui("info", "--isa", "scalar").out
    roofline.limits(cpu, cpu.pool(1), "scalar")
    assert "reading, GB/s of 1 MiB" in ggtui("info", "--isa", "scalar").out
    assert "earlier" not in ggtui("info", "--isa", "scalar").out
    roofline.limits(cpu, cpu.pool(1), "scalar")
    assert ggtui("info", "--isa", "scalar").out.count("(earlier ") == 3  # of the one size, int8 and f32


def test_values_are_escaped(ggtui: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GGTUI_X", "a\x1b[31m\nb")
    out = ggtui("info").out
    assert r"GGTUI_X a\x1b[31m\nb" in out and "\x1b" not in out


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("processor\t: 0\nmodel name\t: Some Processor 9000\n", "Some Processor 9000"),
        ("processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd0b\n", "implementer 0x41, part 0xd0b"),
    ],
)
def test_processor(tmp_path: Path, text: str, name: str) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text(text)
    assert processor(tmp_path).startswith(name)


def test_memory(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemTotal:  2048 kB\nMemFree: 1 kB\nMemAvailable: 1024 kB\n")
    assert memory(tmp_path) == {"total": 2 << 20, "available": 1 << 20, "cgroup limit": None}
    (tmp_path / "sys/fs/cgroup").mkdir(parents=True)
    (tmp_path / "sys/fs/cgroup/memory.max").write_text("1048576\n")
    assert memory(tmp_path)["cgroup limit"] == 1 << 20


def test_a_system_without_proc(tmp_path: Path) -> None:
    facts = gather(root=tmp_path)
    assert facts["memory"]["total"] == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert facts["processor"]
