"""The hot loop of a kernel: found in code written by hand, and in the compiled module."""

from __future__ import annotations

import shutil

import pytest

from ggtui.core.errors import MissingPartError, UsageError
from ggtui.core.runtime.cpu.native import usable_isas
from ggtui.perf import disasm

needs_objdump = pytest.mark.skipif(shutil.which("objdump") is None, reason="objdump is not installed")

CODE = [
    (0x10, "xor %eax,%eax"),
    (0x12, "mov (%rdi),%rcx"),  # the outer loop begins
    (0x14, "add $0x8,%rdi"),
    (0x16, "inc %rcx"),  # a loop that only counts
    (0x18, "jne    16 <f+0x6>"),
    (0x1A, "vfmadd231ps (%rsi),%ymm1,%ymm0"),  # the hot one
    (0x1E, "add $0x20,%rsi"),
    (0x20, "jne    1a <f+0xa>"),
    (0x22, "dec %rdx"),
    (0x24, "jne    12 <f+0x2>"),
    (0x26, "jmp    40 <g>"),
    (0x28, "ret"),
]


def test_the_innermost_loop_with_the_most_arithmetic() -> None:
    assert disasm._innermost(CODE) == CODE[5:8]
    assert disasm._innermost(CODE[:5]) == CODE[3:5]
    assert disasm._innermost(CODE[:2]) == CODE[:2]


def test_loops_of_other_processors() -> None:
    code = [(0x0, "fmla v0.4s, v1.4s, v2.4s"), (0x4, "subs x0, x0, #0x1"), (0x8, "b.ne\t0 <f>"), (0xC, "ret")]
    assert disasm._innermost(code) == code[:3]


@pytest.mark.bare
@needs_objdump
@pytest.mark.parametrize("isa", usable_isas())
@pytest.mark.parametrize("kernel", ["mul_mat_q8_0", "mul_mat_f32"])
def test_every_kernel_has_one(kernel: str, isa: str) -> None:
    loop = disasm.hot_loop(kernel, isa)
    assert 3 < len(loop.lines) <= loop.n_instructions
    assert any("mul" in line or "fm" in line or "dp" in line or "madd" in line for line in loop.lines)
    registers = {"avx512": "zmm", "avxvnni": "ymm"}
    if isa in registers and kernel == "mul_mat_q8_0":
        assert any("vpdpbusd" in line and registers[isa] in line for line in loop.lines)


@needs_objdump
def test_a_kernel_that_a_set_has_not_of_its_own_is_that_of_its_base() -> None:
    assert list(disasm._with_bases("avxvnni")) == ["avxvnni", "avx2", "scalar"]
    assert list(disasm._with_bases("scalar")) == ["scalar"]
    if {"avx2", "avxvnni"} <= set(usable_isas()):
        assert disasm.hot_loop("gelu", "avxvnni") == disasm.hot_loop("gelu", "avx2")


@needs_objdump
def test_an_unknown_kernel_is_refused_with_those_there_are() -> None:
    with pytest.raises(UsageError, match=r"--disasm magic: no such kernel for scalar; there are .*mul_mat_q8_0"):
        disasm.hot_loop("magic", "scalar")


def test_without_objdump(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MissingPartError, match="install binutils"):
        disasm.hot_loop("gelu", "scalar")
