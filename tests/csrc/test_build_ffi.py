"""What the build makes of gg.h and of the folders of C files."""

from __future__ import annotations

import json
import os
import platform
import re
import runpy
import shlex
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import cffi
import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
BUILD = runpy.run_path(str(ROOT / "ggtui/csrc/build_ffi.py"))

HEADER = r"""
#ifndef GG_H
#define GG_H
/* cffi: skip */
#include <stdint.h>
static inline int hidden(void) { return 1; }
/* cffi: end */
#define GG_DIMS 4
#define GG_MASK 0xff   /* hexadecimal */
#define GG_EXPR (1 << 3)
#define GG_LONG(x) \
    ((x) + 1)
typedef struct { int64_t ne[GG_DIMS]; } gg_thing; /* kept */
/* cffi: skip */ int gone(void); /* cffi: end */
int gg_f(const gg_thing *thing);
#endif
"""


def test_declarations_keep_what_cffi_can_parse() -> None:
    text = BUILD["declarations"](HEADER)
    assert "hidden" not in text and "gone" not in text and "GG_LONG" not in text and "GG_EXPR" not in text
    ffi = cffi.FFI()
    ffi.cdef(text)
    assert ffi.sizeof("gg_thing") == 32
    assert "#define GG_MASK 0xff" in text and "gg_f" in text


def test_the_headers_are_parsed_whole() -> None:
    ffi = BUILD["ffi_builder"](ROOT)
    assert "gg_tensor" in ffi.list_types()[0]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name in (
        "base/pool.c",
        "cpu/norm.c",
        "cpu/kernels/mul_mat.c",
        "cpu/kernels/scalar/simd.h",
        "cpu/kernels/avx2/simd.h",
    ):
        path = tmp_path / "ggtui/csrc" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def test_kernels_are_compiled_for_each_instruction_set(project: Path) -> None:
    units = {str(unit.object): unit for unit in BUILD["units"]("x86_64", Path("o"), {}, project)}
    assert list(units) == ["o/any/base/pool.o", "o/any/cpu/norm.o", "o/scalar/mul_mat.o", "o/avx2/mul_mat.o"]
    assert (
        "-DGG_HAVE_AVX2" in units["o/any/base/pool.o"].flags
        and "-DGG_HAVE_AVX512" not in units["o/any/base/pool.o"].flags
    )
    assert units["o/avx2/mul_mat.o"].flags[0] == "-Iggtui/csrc/cpu/kernels/avx2"
    assert {"-mavx2", "-mfma", "-mf16c", "-DGG_ISA=avx2"} <= set(units["o/avx2/mul_mat.o"].flags)
    baseline = [flag for name in ("o/any/base/pool.o", "o/scalar/mul_mat.o") for flag in units[name].flags]
    assert not [flag for flag in baseline if flag.startswith("-m")]


def test_an_instruction_set_may_override_only_some_kernels(project: Path) -> None:
    kernels = project / "ggtui/csrc/cpu/kernels"
    (kernels / "avxvnni").mkdir()
    for name in ("avxvnni/simd.h", "avxvnni/fill.c", "mul_mat_q4_0.c", "fill.c"):
        (kernels / name).touch()

    def objects(accepts: Callable[[tuple[str, ...]], bool]) -> list[str]:
        units = BUILD["units"]("x86_64", Path("o"), {}, project, accepts)
        return [str(unit.object) for unit in units if "-DGG_ISA=avxvnni" in unit.flags]

    assert objects(lambda flags: True) == ["o/avxvnni/fill.o", "o/avxvnni/mul_mat_q4_0.o"]
    assert objects(lambda flags: "-mavxvnni" not in flags) == []  # an older compiler


@pytest.mark.parametrize("machine", ["aarch64", "riscv64"])
def test_other_machines_get_no_x86_flags(project: Path, machine: str) -> None:
    units = BUILD["units"](machine, Path("o"), {}, project)
    assert [str(unit.object) for unit in units][-1] == "o/scalar/mul_mat.o"


def test_every_instruction_set_has_its_folder_and_row() -> None:
    folders = {path.name for path in (ROOT / BUILD["KERNELS"]).iterdir() if path.is_dir()}
    assert folders <= {isa.name for isa in BUILD["INSTRUCTION_SETS"]}


def test_flags_follow_the_environment(project: Path) -> None:
    def flags(**environ: str) -> tuple[str, ...]:
        return tuple(BUILD["units"]("x86_64", Path("o"), environ, project)[0].flags)

    assert "-Werror" not in flags() and "-Werror" in flags(GGTUI_WERROR="1")
    assert not [flag for flag in flags() if "sanitize" in flag]
    assert "-fsanitize=thread" in flags(GGTUI_SANITIZE="thread")
    # The sanitizer's -O1 must come after -O3 to count.
    sanitized = flags(GGTUI_SANITIZE="address,undefined")
    assert sanitized.index("-O1") > sanitized.index("-O3")


COMMAND = """
import json, runpy, setuptools, sys
setuptools.setup = lambda **arguments: None
from setuptools._distutils.ccompiler import new_compiler
from setuptools._distutils.sysconfig import customize_compiler
built = runpy.run_path("setup.py")
command = built["BuildNative"](setuptools.Distribution())
command.compiler = new_compiler()
customize_compiler(command.compiler)
units = built["build_ffi"].units("any", built["Path"]("o"), {})
print(json.dumps([command.command(unit) for unit in units]))
"""


@pytest.mark.bare
def test_fast_math_is_taken_back_in_every_file_and_refused_where_it_is_not() -> None:
    """As with `CFLAGS="-ffast-math -ffp-contract=fast" pip install .`"""
    user = "-ffast-math -ffp-contract=fast"
    answer = subprocess.run(
        [sys.executable, "-c", COMMAND],
        env=os.environ | {"CFLAGS": user}, cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    commands: list[list[str]] = json.loads(answer.stdout)
    assert len(commands) > 30
    last = BUILD["LAST_FLAGS"]
    for command in commands:
        assert command.index("-ffast-math") < command.index(last[0])
        kept = [part for part in command if part not in last]
        done = subprocess.run([*kept, "-E"], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode != 0 and "ggtui needs NaN and exact rounding" in done.stderr, command[-1]
    macros = subprocess.run([*commands[0], "-E", "-dM"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "__FAST_MATH__" not in macros and "#define __FINITE_MATH_ONLY__ 0" in macros


def test_no_product_is_fused_by_the_compiler() -> None:
    """Not after a user's flags, and not with the flags of an instruction set that has fused ones."""
    source = "double f(double a, double b, double c) { return a * b + c; }"
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC"))
    for isa in BUILD["instruction_sets"](platform.machine(), ROOT):
        command = [*compiler, "-ffast-math", *BUILD["FLAGS"], *isa.flags, *BUILD["LAST_FLAGS"]]
        code = subprocess.run(
            [*command, "-x", "c", "-", "-S", "-o", "-"], input=source, capture_output=True, text=True, check=True
        )
        assert not re.search(r"\bv?fn?madd", code.stdout), isa.name


def test_the_product_includes_nothing_of_the_tests() -> None:
    csrc = ROOT / BUILD["CSRC"]
    assert (csrc / "testing/testing.h").is_file()
    for path in (*csrc.rglob("*.c"), *csrc.rglob("*.h"), *csrc.rglob("*.def")):
        assert path.parent.name == "testing" or '#include "testing/' not in path.read_text(), path
    tests_only = set(re.findall(r"\b(gg_\w+)\(", BUILD["declarations"]((csrc / "testing/testing.h").read_text())))
    assert tests_only
    for path in (ROOT / "ggtui").rglob("*.py"):
        assert not tests_only & set(re.findall(r"\blib\.(gg_\w+)", path.read_text())), path
