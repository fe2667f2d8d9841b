"""Compiles ggtui._native. pyproject.toml has the rest; ggtui/csrc/build_ffi.py says what to compile and how.

Objects are kept under build/obj, apart for each compiler, and compiled anew only when their source, a header or the
command changed. So are shaders, under build/obj/shaders: one SPIR-V serves every machine and compiler of C.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError

sys.path.insert(0, str(Path(__file__).resolve().parent / "ggtui" / "csrc"))
import build_ffi

NO_COMPILER = (
    "ggtui: {missing}; install a C compiler and Python's headers with: apt-get install gcc python3-dev "
    "(Debian, Ubuntu), dnf install gcc python3-devel (Fedora), xcode-select --install (macOS)"
)
# One build serves Python 3.11 and later, but not the Pythons without a GIL: they lack this stable ABI.
LIMITED_API = not sysconfig.get_config_var("Py_GIL_DISABLED")


class BuildNative(build_ext):
    """Compiles every unit of build_ffi.py, in parallel and only where something changed, then links them."""

    def build_extension(self, ext: Extension) -> None:
        machine = self.check_compiler()
        kind = os.environ.get("GGTUI_SANITIZE", "").replace(",", "-") or "plain"
        objects = Path("build/obj", Path(self.compiler.compiler_so[0]).name, kind)
        units = [*build_ffi.units(machine, objects, os.environ, accepts=self.accepts), self.generated_unit(objects)]
        with ThreadPoolExecutor(int(self.parallel or os.cpu_count() or 1)) as pool:
            shaders = Shaders(pool)
            jobs = start(pool, units, self.command, self.compile)
            failed = failed_of(shaders.jobs)
            if not failed:
                flags = (*build_ffi.c_flags(os.environ), *build_ffi.LAST_FLAGS)
                units.append(build_ffi.Unit(shaders.write_table(), objects / "_shaders.o", flags))
                jobs += start(pool, units[-1:], self.command, self.compile)
            failed += failed_of(jobs)
        if failed:
            raise CompileError("these did not compile: " + ", ".join(map(str, failed)))

        target = Path(self.get_ext_fullpath(ext.name))
        target.unlink(missing_ok=True)  # the compiler class would keep it if a source was only removed
        sanitize = [flag for flag in build_ffi.sanitize_flags(os.environ) if flag.startswith("-fsanitize")]
        self.compiler.link_shared_object(
            [str(unit.object) for unit in units],
            str(target),
            libraries=["m", "dl"],  # dl: of older glibcs it is a library apart
            # Linked with fast math, a module makes denormal numbers 0 in the whole process.
            extra_postargs=["-pthread", *sanitize, *build_ffi.LAST_FLAGS],
        )

    def generated_unit(self, objects: Path) -> build_ffi.Unit:
        source = objects / "_native.c"
        source.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.redirect_stdout(None):
            build_ffi.ffi_builder().emit_c_code(str(source))  # leaves an equal file alone
        abi = "-DPy_LIMITED_API=0x030b0000" if LIMITED_API else "-D_CFFI_NO_LIMITED_API"
        python = [f"-I{sysconfig.get_path(name)}" for name in ("include", "platinclude")]
        # -w: the warnings of generated code are not ours.
        flags = ("-O1", "-g1", "-w", "-pthread", abi, f"-I{build_ffi.CSRC}", *dict.fromkeys(python))
        flags += build_ffi.sanitize_flags(os.environ) + build_ffi.LAST_FLAGS
        return build_ffi.Unit(source, source.with_suffix(".o"), flags)

    def check_compiler(self) -> str:
        """The machine that the compiler compiles for, e.g. x86_64."""
        compiler = self.compiler.compiler_so[0]
        if shutil.which(compiler) is None:
            raise SystemExit(NO_COMPILER.format(missing=f"no C compiler found ({compiler})"))
        if not Path(sysconfig.get_path("include"), "Python.h").exists():
            raise SystemExit(NO_COMPILER.format(missing="the headers of Python are missing (Python.h)"))
        answer = subprocess.run([*self.compiler.compiler_so, "-dumpmachine"], capture_output=True, text=True)
        return answer.stdout.split("-")[0]

    def accepts(self, flags: tuple[str, ...]) -> bool:
        """Whether the compiler knows these flags; an older one does without the instruction set that needs them."""
        command = [*self.compiler.compiler_so, *flags, "-fsyntax-only", "-x", "c", os.devnull]
        return subprocess.run(command, capture_output=True).returncode == 0

    def command(self, unit: build_ffi.Unit) -> list[str]:
        return [*self.compiler.compiler_so, *unit.flags, "-c", str(unit.source)]

    def compile(self, unit: build_ffi.Unit) -> bool:
        return make("cc", unit.object, self.command(unit), ("-MMD", "-MF"))


class Shaders:
    """The shaders, which `pool` begins to compile at once. Without a compiler of shaders there are none."""

    def __init__(self, pool: Executor) -> None:
        found = next(build_ffi.shader_compilers(os.environ, sys.path), None)
        if found is None:
            leave_out_shaders()
        self.compiler = found or build_ffi.ShaderCompiler("none", (), (), ())
        self.objects = Path("build/obj/shaders", self.compiler.name)
        self.units = build_ffi.shader_units(self.compiler, self.objects) if found else []
        self.jobs = start(pool, self.units, self.command, self.compile)

    def command(self, unit: build_ffi.Unit) -> list[str]:
        return [*self.compiler.program, *unit.flags, str(unit.source)]

    def compile(self, unit: build_ffi.Unit) -> bool:
        return make(self.compiler.name, unit.object, self.command(unit), self.compiler.depfile)

    def write_table(self) -> Path:
        """The C source with all modules, once they are compiled; leaves an equal file alone."""
        table = build_ffi.shader_table({unit.source.stem: unit.object.read_bytes() for unit in self.units})
        source = self.objects / "_shaders.c"
        if not source.exists() or source.read_text() != table:
            source.parent.mkdir(parents=True, exist_ok=True)
            source.write_text(table)
        return source


def leave_out_shaders() -> None:
    """Says that no compiler of shaders was found. Where one was named, or all must be built, that is an error."""
    named = os.environ.get("GGTUI_GLSL")
    if named:
        raise SystemExit(f"ggtui: GGTUI_GLSL={named} does not start; name a glslc or glslangValidator, or unset it")
    if os.environ.get("GGTUI_WERROR") == "1":
        raise SystemExit(build_ffi.NO_SHADER_COMPILER)
    print(build_ffi.NO_SHADER_COMPILER, file=sys.stderr, flush=True)


def start(
    pool: Executor,
    units: Sequence[build_ffi.Unit],
    command: Callable[[build_ffi.Unit], list[str]],
    compile: Callable[[build_ffi.Unit], bool],
) -> list[tuple[Path, Future[bool]]]:
    """Lets `pool` compile the units that changed: their objects, and whether they got compiled."""
    return [(unit.object, pool.submit(compile, unit)) for unit in units if not fresh(unit.object, command(unit))]


def failed_of(jobs: list[tuple[Path, Future[bool]]]) -> list[Path]:
    """The objects that did not get compiled, once all were tried."""
    return [obj for obj, done in jobs if not done.result()]


def make(name: str, obj: Path, command: list[str], depfile: tuple[str, ...]) -> bool:
    """Whether the command made the object. Leaves its headers in .d and the command in .cmd besides, for `fresh`."""
    obj.parent.mkdir(parents=True, exist_ok=True)
    obj.unlink(missing_ok=True)
    # Written before the source is read: a file that changes while it is compiled is newer than this one.
    obj.with_suffix(".cmd").write_text(shlex.join(command))
    unfinished = obj.with_name(f"{obj.name}.tmp")
    outputs = [*depfile, str(obj.with_suffix(".d")), "-o", str(unfinished)]
    done = subprocess.run([*command, *outputs], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    sys.stdout.write(f"  {name} {obj}\n{done.stdout}")  # in one piece: others write too
    sys.stdout.flush()
    # glslangValidator cannot be told that warnings are errors.
    if done.returncode != 0 or re.search("^WARNING:", done.stdout, re.MULTILINE):
        return False
    unfinished.replace(obj)
    return True


def fresh(obj: Path, command: list[str]) -> bool:
    """Whether the object stands for what its source, its headers and the command are now."""
    recorded = obj.with_suffix(".cmd")
    try:
        made = recorded.stat().st_mtime_ns
        sources = shlex.split(obj.with_suffix(".d").read_text().partition(": ")[2].replace("\\\n", " "))
        return (
            obj.exists()
            and recorded.read_text() == shlex.join(command)
            and all(Path(source).stat().st_mtime_ns < made for source in sources)
        )
    except FileNotFoundError:
        return False


if sys.platform == "win32":
    raise SystemExit("ggtui: Windows is not supported yet; use Linux, macOS or WSL")
if sys.platform == "darwin":  # one architecture at a time: the flags of the instruction sets differ
    os.environ.setdefault("ARCHFLAGS", f"-arch {os.uname().machine}")
os.chdir(Path(__file__).resolve().parent)

headers = [str(path) for pattern in ("**/*.h", "**/*.def") for path in sorted(build_ffi.CSRC.glob(pattern))]
setup(
    ext_modules=[
        Extension(
            build_ffi.MODULE,
            sorted(map(str, build_ffi.CSRC.glob("**/*.c"))),
            depends=headers,
            py_limited_api=LIMITED_API,
        )
    ],
    cmdclass={"build_ext": BuildNative},
    options={"bdist_wheel": {"py_limited_api": "cp311"}} if LIMITED_API else {},
)
