"""What the compiled module `ggtui._native` is made of: its declarations, its sources, its flags.

`setup.py` compiles what `units()` and `shader_units()` list. The C declarations come from the headers alone, so C and
Python cannot disagree. Paths are relative to the root of the project.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import cffi

CSRC = Path("ggtui/csrc")
FOLDERS = ("base", "codec", "cpu", "vulkan", "text", "testing")  # compiled once; each includes only of those before it
HEADERS = ("gg.h", "gg_vk.h", "testing/testing.h")  # what Python sees, and what only tests do
KERNELS = CSRC / "cpu/kernels"  # compiled once for each instruction set
SHADERS = CSRC / "vulkan/shaders"  # compiled once for all machines; includes *.glsl beside them
MODULE = "ggtui._native"

X86_64 = ("x86_64", "amd64")
AARCH64 = ("aarch64", "arm64")


class InstructionSet(NamedTuple):
    """One folder under cpu/kernels/ and what is compiled with it. cpu/isa.c has the row that C chooses by."""

    name: str
    machines: tuple[str, ...]  # first part of what the compiler answers to -dumpmachine; empty: every machine
    flags: tuple[str, ...]
    sources: tuple[str, ...] = ("*.c",)  # under cpu/kernels; a set that builds on another compiles what it overrides


AVX2_FLAGS = ("-mavx2", "-mfma", "-mf16c")
INSTRUCTION_SETS = (
    InstructionSet("scalar", (), ()),
    InstructionSet("avx2", X86_64, AVX2_FLAGS),
    InstructionSet(
        "avxvnni",
        X86_64,
        (*AVX2_FLAGS, "-mavxvnni"),
        ("avxvnni/*.c", "mul_mat_q*.c", "mul_mat_iq*.c", "mul_mat_finish.c"),
    ),
    InstructionSet(
        "avx512",
        X86_64,
        (*AVX2_FLAGS, "-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", "-mavx512vnni"),
    ),
    InstructionSet("neon", AARCH64, ("-march=armv8.2-a+dotprod+fp16",)),
)

# Of debug information the lines alone (-g1): with its variables the module is ten times as large, and gcc takes minutes
# to track them where sanitizers are.
FLAGS = ("-std=c11", "-D_GNU_SOURCE", "-O3", "-g1", "-Wall", "-Wextra", "-fvisibility=hidden", "-pthread")
# After all others, those of the user's CFLAGS too. Fast math would change bits and take NaN for a number.
# No compiler may decide where products are fused: clang has a default of its own, which -fno-fast-math brings back.
LAST_FLAGS = ("-fno-fast-math", "-ffp-contract=off")
# Python's own flags may hold -fwrapv, which would hide signed overflow from the sanitizer.
SANITIZE_FLAGS = ("-O1", "-fno-omit-frame-pointer", "-fno-wrapv", "-fno-sanitize-recover=all")

# Functions of Python that C may call; they are not in gg.h since C gets them as pointers.
CALLBACKS = """
extern "Python" int gg_py_map_custom(void *, void *, int, int);
extern "Python" int gg_py_decode(void *, int, int64_t, int64_t, const void *, float *);
"""


NO_SHADER_COMPILER = (
    "ggtui: no compiler of shaders found, so Vulkan is left out; install one with: apt-get install glslc "
    "(Debian, Ubuntu), dnf install glslc (Fedora), brew install shaderc (macOS)"
)


class ShaderCompiler(NamedTuple):
    """What compiles *.comp to SPIR-V: glslc or, with the same front end but perhaps no optimizer, glslangValidator."""

    name: str  # glslc or glslang
    program: tuple[str, ...]
    flags: tuple[str, ...]
    depfile: tuple[str, ...]  # what comes before the name of a file for the includes


class Unit(NamedTuple):
    """One call of the compiler."""

    source: Path
    object: Path
    flags: tuple[str, ...]


def every_flag(flags: tuple[str, ...]) -> bool:
    """What a compiler says that knows all of them."""
    return True


def instruction_sets(
    machine: str, root: Path = Path(), accepts: Callable[[tuple[str, ...]], bool] = every_flag
) -> list[InstructionSet]:
    """The instruction sets to compile for: those whose flags the compiler accepts and of which `root` has a folder."""
    return [
        isa
        for isa in INSTRUCTION_SETS
        if (not isa.machines or machine in isa.machines)
        and (root / KERNELS / isa.name).is_dir()
        and (not isa.flags or accepts(isa.flags))
    ]


def units(
    machine: str,
    objects: Path,
    environ: Mapping[str, str],
    root: Path = Path(),
    accepts: Callable[[tuple[str, ...]], bool] = every_flag,
) -> list[Unit]:
    """Every C file of ours with its object file under `objects` and its flags."""
    flags = c_flags(environ)
    isas = instruction_sets(machine, root, accepts)
    have = tuple(f"-DGG_HAVE_{isa.name.upper()}" for isa in isas)

    def sources(folder: Path, *patterns: str) -> list[Path]:
        return sorted(path.relative_to(root) for pattern in patterns for path in (root / folder).glob(pattern))

    found = [
        Unit(source, objects / "any" / source.relative_to(CSRC).with_suffix(".o"), (*flags, *have, *LAST_FLAGS))
        for folder in FOLDERS
        for source in sources(CSRC / folder, "*.c")
    ]
    for isa in isas:
        # The folder of the instruction set comes first: it holds the simd.h that the kernels are written in.
        isa_flags = (f"-I{KERNELS / isa.name}", *flags, *isa.flags, f"-DGG_ISA={isa.name}", *LAST_FLAGS)
        found += [
            Unit(source, objects / isa.name / source.with_suffix(".o").name, isa_flags)
            for source in sources(KERNELS, *isa.sources)
        ]
    return found


def shader_compilers(environ: Mapping[str, str], packages: Iterable[str]) -> Iterator[ShaderCompiler]:
    """Those that start, best first; with GGTUI_GLSL, a program, only that one.

    They are looked for on PATH and, as pyproject.toml asks for one, in the folders of `packages`.
    """
    own = environ.get("GGTUI_GLSL")
    places: list[tuple[tuple[str, ...], str]] = [
        ((), name) for name in ([own] if own else ["glslc", "glslangValidator", "glslang"])
    ]
    if not own:
        for prefix in (Path(folder) / "cmeel.prefix" for folder in packages):
            # Its programs do not know where their libraries are.
            paths = [f"{name}={prefix / 'lib'}" for name in ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")]
            places += [(("env", *paths), str(prefix / "bin/glslangValidator"))]
    for before, name in places:
        found = shutil.which(name, path=environ.get("PATH"))
        if found is None:
            continue
        program = (*before, found)
        try:
            works = subprocess.run([*program, "--version"], capture_output=True).returncode == 0
        except OSError:
            works = False
        if not works:
            continue
        if Path(name).name.startswith("glslc"):
            yield ShaderCompiler("glslc", program, ("-O", "--target-env=vulkan1.2", "-Werror"), ("-MD", "-MF"))
        else:  # it has no flag by which warnings are errors: setup.py looks for them
            yield ShaderCompiler("glslang", program, ("--quiet", "-V", "--target-env", "vulkan1.2"), ("--depfile",))


def shader_units(compiler: ShaderCompiler, objects: Path, root: Path = Path()) -> list[Unit]:
    """Every shader with its module under `objects` and its flags."""
    sources = sorted(path.relative_to(root) for path in (root / SHADERS).glob("*.comp"))
    return [Unit(source, objects / f"{source.stem}.spv", compiler.flags) for source in sources]


def shader_table(modules: Mapping[str, bytes]) -> str:
    """The C source that has these modules of SPIR-V, in the order of this machine, under their names."""
    lines = ["/* Written by the build. */", '#include "vulkan/shaders.h"', ""]
    rows = []
    for i, (name, module) in enumerate(modules.items()):
        words = [f"{word:#010x}," for word in memoryview(module).cast("I")]
        lines += [f"static const uint32_t words_{i}[] = {{"]
        lines += [f"    {' '.join(words[at : at + 8])}" for at in range(0, len(words), 8)]
        lines += ["};"]
        rows += [f'    {{"{name}", words_{i}, sizeof words_{i}}},']
    # The last row, since C has no empty arrays.
    lines += ["const gg_vk_shader gg_vk_shaders[] = {", *rows, "    {NULL, NULL, 0},", "};"]
    lines += [f"const int gg_vk_n_shaders = {len(rows)};"]
    return "\n".join(lines) + "\n"


def c_flags(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Of every C file of ours; LAST_FLAGS come after them."""
    werror = ("-Werror",) if environ.get("GGTUI_WERROR") == "1" else ()
    return (*FLAGS, f"-I{CSRC}", *werror, *sanitize_flags(environ))


def sanitize_flags(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Compiler flags for GGTUI_SANITIZE: "address,undefined" or "thread"."""
    kinds = environ.get("GGTUI_SANITIZE", "")
    return (f"-fsanitize={kinds}", *SANITIZE_FLAGS) if kinds else ()


def declarations(header: str) -> str:
    """What of a header cffi can parse: no `cffi: skip` region, no preprocessor line but `#define NAME 123`."""
    text = re.sub(r"/\* cffi: skip \*/.*?/\* cffi: end \*/", "", header, flags=re.DOTALL)
    text = text.replace("\\\n", " ")
    number = re.compile(r"#define\s+\w+\s+-?(0[xX][0-9a-fA-F]+|\d+)\s*(/\*.*\*/\s*)?$")
    lines = (line for line in text.splitlines() if not line.lstrip().startswith("#") or number.match(line.strip()))
    return "\n".join(lines) + "\n"


def ffi_builder(root: Path = Path()) -> cffi.FFI:
    """The builder whose `emit_c_code(path)` writes the C side of the module.

    Raises cffi.CDefError where a header holds what cffi cannot parse.
    """
    builder = cffi.FFI()
    headers = [(root / CSRC / name).read_text() for name in HEADERS]
    builder.cdef("".join(map(declarations, headers)) + CALLBACKS)
    builder.set_source(MODULE, "".join(f'#include "{name}"\n' for name in HEADERS))
    return builder
