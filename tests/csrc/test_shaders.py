"""How shaders get into the compiled module, and what it has of them."""

from __future__ import annotations

import ctypes
import os
import runpy
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest

from ggtui.core.runtime.cpu import native

ROOT = Path(__file__).resolve().parent.parent.parent
BUILD = runpy.run_path(str(ROOT / "ggtui/csrc/build_ffi.py"))
SOURCES = sorted((ROOT / BUILD["SHADERS"]).glob("*.comp"))
MAGIC = 0x07230203
KINDS = ("glslc", "glslang")


def modules() -> dict[str, bytes]:
    """Those of the compiled module, by name."""
    found = {}
    for i in range(native.lib.gg_vk_n_shader()):
        n_bytes = native.ffi.new("int64_t *")
        words = native.lib.gg_vk_shader_words(i, n_bytes)
        found[native.ffi.string(native.lib.gg_vk_shader_name(i)).decode()] = bytes(native.ffi.buffer(words, n_bytes[0]))
    return found


def validate(path: Path) -> None:
    if shutil.which("spirv-val") is None:
        pytest.skip("spirv-val is not installed: apt-get install spirv-tools")
    done = subprocess.run(["spirv-val", "--target-env", "vulkan1.2", path], capture_output=True, text=True)
    assert done.returncode == 0, f"{path.name}: {done.stdout}{done.stderr}"


@pytest.fixture(params=KINDS)
def compilers(request: pytest.FixtureRequest) -> list[Any]:
    """All of one kind that this machine has."""
    found = [
        one for one in BUILD["shader_compilers"]({"PATH": os.environ["PATH"]}, sys.path) if one.name == request.param
    ]
    if not found:
        pytest.skip(f"{request.param} is not installed")
    return found


def test_names_and_words_come_through() -> None:
    assert list(modules()) == [source.stem for source in SOURCES]
    for module in modules().values():
        assert len(module) % 4 == 0 and int.from_bytes(module[:4], sys.byteorder) == MAGIC


def test_other_numbers_are_no_shaders() -> None:
    n_bytes = native.ffi.new("int64_t *")
    for i in (-1, len(SOURCES)):
        assert native.lib.gg_vk_shader_name(i) == native.lib.gg_vk_shader_words(i, n_bytes) == native.ffi.NULL


@pytest.mark.bare
def test_every_module_is_valid(tmp_path: Path) -> None:
    for name, module in modules().items():
        path = tmp_path / f"{name}.spv"
        path.write_bytes(module)
        validate(path)


@pytest.mark.bare
@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
def test_every_compiler_takes_every_shader(compilers: list[Any], source: Path, tmp_path: Path) -> None:
    for one in compilers:
        path = tmp_path / f"{source.stem}.spv"
        command = [*one.program, *one.flags, str(source), "-o", str(path)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), shlex.join(command)
        validate(path)


SHADER = """#version 460
#extension GL_GOOGLE_include_directive : require
{}
layout(local_size_x_id = 0) in;
void main() {{}}
"""
BUILD_SHADERS = """
import runpy, setuptools, sys
from concurrent.futures import ThreadPoolExecutor
setuptools.setup = lambda **arguments: None
built = runpy.run_path("setup.py")
of_all = built["build_ffi"].shader_compilers
built["build_ffi"].shader_compilers = lambda *where: (one for one in of_all(*where) if one.name == sys.argv[1])
with ThreadPoolExecutor(2) as pool:
    shaders = built["Shaders"](pool)
    if built["failed_of"](shaders.jobs):
        sys.exit("failed")
    shaders.write_table()
"""


class Project:
    """What the build needs of a working tree, with shaders of its own.

    All are old, so that those written later are newer than what was built meanwhile.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.shaders = root / BUILD["SHADERS"]
        self.shaders.mkdir(parents=True)
        for name in ("setup.py", "ggtui/csrc/build_ffi.py"):
            shutil.copy(ROOT / name, root / name)
        (self.shaders / "one.comp").write_text(SHADER.format('#include "shared.glsl"'))
        (self.shaders / "two.comp").write_text(SHADER.format(""))
        (self.shaders / "shared.glsl").write_text("const uint N = 1;\n")
        for path in self.shaders.iterdir():
            os.utime(path, (1, 1))

    def build(self, kind: str, **environ: str) -> subprocess.CompletedProcess[str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("GGTUI_")}
        command = [sys.executable, "-c", BUILD_SHADERS, kind]
        return subprocess.run(command, cwd=self.root, env=clean | environ, capture_output=True, text=True)

    def compiled(self, kind: str) -> list[str]:
        """The shaders that a build that works compiles."""
        done = self.build(kind)
        assert done.returncode == 0, done.stdout + done.stderr
        return sorted(Path(line.split()[1]).stem for line in done.stdout.splitlines())

    def table(self, kind: str) -> Path:
        return self.root / "build/obj/shaders" / kind / "_shaders.c"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@pytest.mark.bare
def test_only_what_changed_is_compiled(project: Project, compilers: list[Any]) -> None:
    kind = compilers[0].name
    assert project.compiled(kind) == ["one", "two"]
    table = project.table(kind)
    before = table.read_text()
    os.utime(table, (1, 1))
    assert project.compiled(kind) == []
    assert table.stat().st_mtime == 1
    (project.shaders / "shared.glsl").write_text("#define UNUSED\n")
    assert project.compiled(kind) == ["one"]
    (project.shaders / "two.comp").write_text(SHADER.format("layout(local_size_y_id = 1) in;"))
    os.utime(project.shaders / "shared.glsl", (1, 1))
    assert project.compiled(kind) == ["two"]
    assert table.read_text() != before
    build_ffi = project.root / "ggtui/csrc/build_ffi.py"
    build_ffi.write_text(build_ffi.read_text().replace("vulkan1.2", "vulkan1.1"))
    assert project.compiled(kind) == ["one", "two"]
    (project.shaders / "two.comp").unlink()
    project.compiled(kind)
    assert '"one"' in table.read_text() and '"two"' not in table.read_text()


@pytest.mark.bare
@pytest.mark.parametrize("line", ["#extension GL_EXT_no_such : enable", "no such line"])
def test_warnings_and_errors_end_the_build(project: Project, compilers: list[Any], line: str) -> None:
    (project.shaders / "two.comp").write_text(SHADER.format(line))
    for _ in range(2):  # what failed is tried again
        done = project.build(compilers[0].name)
        assert done.returncode != 0 and "failed" in done.stderr
        assert "two.comp:3" in done.stdout, done.stdout
        assert not project.table(compilers[0].name).exists()


@pytest.mark.bare
def test_without_a_compiler_the_table_is_empty(project: Project) -> None:
    done = project.build("none")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", BUILD["NO_SHADER_COMPILER"] + "\n")
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC"))
    library = project.root / "empty.so"
    csrc = ROOT / BUILD["CSRC"]
    flags = ["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", f"-I{csrc}", "-shared", "-fPIC", "-o", library]
    subprocess.run([*compiler, *flags, project.table("none"), csrc / "vulkan/shaders.c"], check=True)
    empty = ctypes.CDLL(str(library))
    empty.gg_vk_shader_name.restype = ctypes.c_void_p
    assert empty.gg_vk_n_shader() == 0 and empty.gg_vk_shader_name(0) is None


@pytest.mark.bare
def test_without_a_compiler_a_build_of_all_fails(project: Project) -> None:
    done = project.build("none", GGTUI_WERROR="1")
    assert (done.returncode, done.stderr) == (1, BUILD["NO_SHADER_COMPILER"] + "\n")
    done = project.build("glslc", GGTUI_GLSL="no-such-program")
    assert done.returncode == 1
    assert done.stderr.startswith("ggtui: GGTUI_GLSL=no-such-program does not start") and done.stderr.count("\n") == 1


@pytest.mark.bare
def test_the_compilers_in_their_order(tmp_path: Path) -> None:
    def program(name: str, code: int = 0) -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\nexit {code}\n")
        path.chmod(0o755)
        return str(path)

    def found(**environ: str) -> list[tuple[str, str]]:
        packages = [str(tmp_path / name) for name in ("none", "packages")]
        places = BUILD["shader_compilers"]({"PATH": str(tmp_path / "bin"), **environ}, packages)
        return [(one.name, one.program[-1]) for one in places]

    assert found() == []
    glslc, validator = program("bin/glslc"), program("bin/glslangValidator")
    packaged = program("packages/cmeel.prefix/bin/glslangValidator")
    assert found() == [("glslc", glslc), ("glslang", validator), ("glslang", packaged)]
    program("bin/glslc", 1)  # as one does that lacks a library
    assert found() == [("glslang", validator), ("glslang", packaged)]
    assert found(GGTUI_GLSL=packaged) == [("glslang", packaged)]
    assert found(GGTUI_GLSL="glslangValidator") == [("glslang", validator)]
    assert found(GGTUI_GLSL="glslc") == []
