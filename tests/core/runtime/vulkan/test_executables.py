"""What a driver tells of a shader, by a driver that is made up: few machines have one that tells."""

from __future__ import annotations

import shlex
import subprocess
import sysconfig
from pathlib import Path

import pytest

from ggtui.core.errors import MissingPartError
from ggtui.core.runtime.device import one_device
from ggtui.core.runtime.vulkan.kernels.base import Kernel

pytestmark = pytest.mark.bare

CSRC = Path(__file__).resolve().parents[4] / "ggtui" / "csrc"
CALLS = 9  # of the driver, after the pipeline is made


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("told") / "told"
    flags = ("-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", f"-I{CSRC}", "-pthread", "-o", str(path))
    sources = (str(Path(__file__).parent / "told.c"), str(CSRC / "vulkan/executables.c"))
    subprocess.run([*shlex.split(sysconfig.get_config_var("CC")), *sources, *flags], check=True)
    return path


def test_all_that_it_tells(program: Path) -> None:
    told = subprocess.run([program], capture_output=True, text=True, check=True).stdout
    assert told.splitlines() == [
        "Compute 0, subgroups of 32",
        "  Registers: 18446744073709551615 (of a thread)",
        "  Spills: -1",
        "  Fast: yes",
        "  Full: 0.5",
        f"  {'x' * 255}: of a format that is not known",
        "Compute 1, subgroups of 64",
        "Assembly (the last stage):",
        "MOV R0, R1",
        "EXIT",
        "Binary: 16 bytes that are no text",
    ]


@pytest.mark.parametrize("call", range(CALLS + 2))
def test_a_call_that_fails(program: Path, call: int) -> None:
    told = subprocess.run([program, str(call)], capture_output=True, text=True, check=True).stdout
    if call == 0:
        assert told == ""  # what makes pipelines says why it did not
    elif call <= CALLS:
        assert told == "what the driver made of a shader: no memory"
    else:
        assert told.startswith("Compute 0")


def test_of_this_machine() -> None:
    try:
        vulkan = one_device("vulkan")
    except MissingPartError as error:
        pytest.skip(str(error))
    opened = vulkan._opened  # type: ignore[attr-defined]
    code = opened.code(Kernel("limits", constants=(2,), group=64))
    assert (code.shader, code.constants, code.subgroup) == ("limits", (64, 2), 0)
    assert code.words[:4] in (b"\x03\x02\x23\x07", b"\x07\x23\x02\x03")
    assert bool(code.told) == opened.info.executables
