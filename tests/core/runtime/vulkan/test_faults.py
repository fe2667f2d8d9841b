"""Devices that fail: one clear line, and what is there goes on once the device does."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ggtui import load
from ggtui.core.errors import GgtuiError, MissingPartError, UsageError
from ggtui.core.graph import ops
from ggtui.core.runtime.compute import Graph
from ggtui.core.runtime.context import Context
from ggtui.core.runtime.cpu.native import lib
from ggtui.core.runtime.device import one_device
from ggtui.core.runtime.several import device
from ggtui.core.runtime.vulkan.buffer import VulkanBuffer


def broken(fault: int) -> None:
    lib.gg_test_vk_fault(one_device("vulkan")._opened.handle, fault)  # type: ignore[attr-defined]


@pytest.fixture(autouse=True)
def mended() -> Iterator[None]:
    yield
    broken(lib.GG_VK_SOUND)


def summed() -> tuple[Graph, Any]:
    ctx = Context()
    y = ops.add(ctx.tensor(np.ones((3, 5), np.float32)), ctx.tensor(np.ones((3, 5), np.float32)))
    g = Graph()
    g.build_forward_expand(y)
    return g, y


def test_a_lost_device_ends_the_answer_and_not_the_chat() -> None:
    with load(device="vulkan", ctx=64, batch=16) as session:
        session.eval([5, 6, 7])
        broken(lib.GG_VK_LOSES)
        with pytest.raises(GgtuiError, match=r"running a graph: the device was lost .*; load the model again"):
            session.eval([8])
        assert session.tokens == [5, 6, 7] and session.n_past == 3


def test_a_full_device() -> None:
    broken(lib.GG_VK_IS_FULL)
    with pytest.raises(GgtuiError, match="no memory left on the device; take a smaller model, type or context"):
        load(device="vulkan", ctx=64)
    broken(lib.GG_VK_SOUND)
    with load(device="vulkan", ctx=64) as session:
        assert np.isfinite(session.eval([8])).all()


def test_a_tensor_that_no_allocation_holds() -> None:
    with pytest.raises(GgtuiError, match=r"the device has at most .* in one piece"):
        one_device("vulkan").context().new_tensor("f32", (1 << 20, 1 << 12), use="weights")


def test_a_shader_that_the_driver_refuses() -> None:
    g, y = summed()
    opened = one_device("vulkan")._opened  # type: ignore[attr-defined]
    known, opened._pipelines = opened._pipelines, {}
    broken(lib.GG_VK_REFUSES)
    try:
        with pytest.raises(
            GgtuiError, match=r"the driver refuses the shader elementwise \(VK_ERROR_INITIALIZATION_FAI"
        ):
            g.compute(device="vulkan")
    finally:
        opened._pipelines = known
    broken(lib.GG_VK_SOUND)
    g.compute(device="vulkan")
    assert (y.numpy() == 2).all()


def test_bad_data_is_named_by_its_node() -> None:
    ctx = Context()
    rows = ops.get_rows(ctx.tensor(np.ones((3, 5), np.float32), "table"), ctx.tensor([0, 3], "at"))
    rows.name = "rows"
    g = Graph()
    g.build_forward_expand(rows)
    with pytest.raises(GgtuiError, match="get_rows 'rows': an index out of range"):
        g.compute(device="vulkan")


def test_memory_that_the_processor_does_not_see() -> None:
    t = one_device("vulkan").context().new_tensor("f32", (4, 2), "w", use="weights")
    t.set(np.arange(8, dtype=np.float32).reshape(2, 4))
    with pytest.raises(GgtuiError, match=r"'w' lies in the memory of vulkan; numpy\(\) has a copy"):
        t.bytes()
    assert (t.numpy() == np.arange(8).reshape(2, 4)).all()
    buffer = t.buffer
    assert isinstance(buffer, VulkanBuffer)
    with pytest.raises(GgtuiError, match="reach past a buffer"):
        buffer.memory.download(buffer.memory.n_bytes - 4, 8)
    with pytest.raises(GgtuiError, match="reaches past a buffer"):
        buffer.memory.copy(0, buffer.memory.n_bytes - 4, 8)


def test_arrays_outlive_the_tensor() -> None:
    t = one_device("vulkan").context().new_tensor("f32", (1000,), "x")
    array = t.bytes().view(np.float32)
    array[:] = 3
    del t
    assert (array == 3).all()


def test_names_of_devices() -> None:
    assert one_device("vulkan").name == "vulkan" and one_device("vulkan", 0).name == "vulkan:0"
    with pytest.raises(MissingPartError, match="vulkan:99: there is none; they are 0 to"):
        device("vulkan:99")
    with pytest.raises(UsageError, match="there is no op 'nothing'"):
        device("vulkan,cpu:nothing")


@pytest.mark.bare
@pytest.mark.parametrize("icd", ["/nonexistent.json", "/dev/null"])
def test_without_a_driver_the_cpu_still_runs(icd: str) -> None:
    run = "import sys, ggtui.cli; sys.exit(ggtui.cli.main(sys.argv[1:]))"
    env = {"VK_ICD_FILENAMES": icd, "VK_DRIVER_FILES": icd, "PATH": "/usr/bin:/bin"}
    args = ["chat", "-p", "Once", "-n", "2", "-q", "--seed", "1"]

    def ggtui(*more: str) -> subprocess.CompletedProcess[str]:
        import os

        return subprocess.run(
            [sys.executable, "-c", run, *args, *more],
            capture_output=True,
            text=True,
            env={**os.environ, **env},
            timeout=60,
        )

    assert ggtui().returncode == 0
    failed = ggtui("--device", "vulkan")
    assert failed.returncode == 5 and failed.stderr.count("\n") == 1 and "Vulkan" in failed.stderr, failed.stderr


@pytest.mark.bare
def test_a_child_of_fork_ends_and_is_told(tmp_path: Path) -> None:
    """It can't use the device, and leaving frees nothing of it."""
    script = tmp_path / "forks.py"
    script.write_text(
        "import os, sys, ggtui\n"
        "session = ggtui.load(device='vulkan', ctx=64, batch=16)\n"
        "session.eval([5])\n"
        "if os.fork() == 0:\n"
        "    for what in (lambda: session.eval([6]), lambda: ggtui.load(device='vulkan', ctx=64)):\n"
        "        try:\n"
        "            what()\n"
        "        except ggtui.GgtuiError as error:\n"
        "            assert 'fork()' in str(error), error\n"
        "        else:\n"
        "            os._exit(1)\n"
        "    assert len(ggtui.load(ctx=64).eval([5]))\n"
        "    sys.exit(7)\n"
        "_, status = os.wait()\n"
        "session.eval([6])\n"
        "sys.exit(os.waitstatus_to_exitcode(status))\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 7, done.stderr


def test_a_lost_device_is_opened_anew() -> None:
    with load(device="vulkan", ctx=64, batch=16) as session:
        broken(lib.GG_VK_LOSES)
        with pytest.raises(GgtuiError, match="lost"):
            session.eval([8])
    with load(device="vulkan", ctx=64, batch=16) as again:
        assert np.isfinite(again.eval([8])).all()
