"""Holds the order of the modules: who may import whom, where each library lives, how long a file may be.

All checks read the source; nothing is imported. Every import counts, also those inside functions and under
TYPE_CHECKING.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent

# Lowest first. A name stands for a module or for a package with all it holds. Imports point to the same floor
# or down.
FLOORS = (
    ("core.errors", "core.reading", "core.saving", "csrc.build_ffi"),
    ("core.graph",),
    ("core.runtime",),
    ("core.files", "core.vocab"),
    ("core.models",),
    ("core.engine",),
    ("core.training",),
    ("perf", "chat"),
    ("viz",),
    ("cli", "__init__", "__main__"),
)

# The one home of a library.
HOMES = {
    "textual": ("viz.tui",),
    "textual_serve": ("viz.serve",),
    "aiohttp": ("viz.serve",),
    "prompt_toolkit": ("viz.repl",),
    "graphviz": ("viz.dot",),
    "tiktoken": ("core.vocab.merging",),
    "regex": ("core.vocab.splitting",),
    "huggingface_hub": ("core.files.hub",),
    "tokenizers": ("core.training.vocabulary",),
    "jinja2": ("core.vocab.rendering",),
    "cffi": ("core.runtime.cpu.native", "csrc.build_ffi"),
    "_cffi_backend": ("core.runtime.cpu.native",),
    "ggtui._native": ("core.runtime.cpu.native",),
}

# What draws and compares saved traces sees nothing of ours but the traces (and its own kind), so that a saved
# trace opens without the compiled module.
TRACE_READERS = (
    "perf.bounds", "perf.compare", "perf.costs", "perf.export", "perf.figures", "perf.intervals", "perf.lanes",
    "perf.scheduling", "perf.stage", "perf.table", "perf.words",
    "viz.dot", "viz.labels", "viz.tables",
)  # fmt: skip
SEEN_BY_TRACE_READERS = ("core.runtime.record", "core.engine.trace_file", "core.errors", "core.saving", "viz.text")
SEEN_BY_TRACE_READERS += ("core.runtime.busy", *TRACE_READERS)

MAX_LINES = 420
SOURCES = ("ggtui", "tests", "examples", "benchmarks")
ENDINGS = (".py", ".c", ".h", ".def", ".comp", ".glsl")


class Module(NamedTuple):
    source: str
    is_package: bool = False


class Import(NamedTuple):
    name: str  # without "ggtui." where it is ours
    ours: bool
    line: int
    at_start: bool  # runs when the module is imported


def within(name: str, rows: tuple[str, ...]) -> bool:
    return any(name == row or name.startswith(row + ".") for row in rows)


def floor(name: str) -> int | None:
    for height, rows in enumerate(FLOORS):
        if within(name, rows):
            return height
    above = any(row.startswith(name + ".") for rows in FLOORS for row in rows)
    return 0 if above else None  # a package like `core` only holds the others: it may import nothing of them


def imports(name: str, module: Module, known: set[str]) -> Iterator[Import]:
    """What the module called `name` imports; `known` are the names of ours that are modules."""

    def resolve(target: str, line: int, at_start: bool) -> Import:
        ours = target == "ggtui" or target.startswith("ggtui.")
        if ours and target != "ggtui._native":
            return Import(target.removeprefix("ggtui").removeprefix(".") or "__init__", True, line, at_start)
        return Import(target, False, line, at_start)

    def absolute(node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        parts = [] if name == "__init__" else name.split(".")
        parts = ["ggtui", *parts, *(["__init__"] if module.is_package else [])][: -node.level]
        return ".".join([*parts, *([node.module] if node.module else [])])

    def walk(node: ast.AST, at_start: bool) -> Iterator[Import]:
        match node:
            case ast.Import():
                for alias in node.names:
                    yield resolve(alias.name, node.lineno, at_start)
            case ast.ImportFrom():
                base = absolute(node)
                for alias in node.names:
                    member = f"{base}.{alias.name}"
                    is_module = member.removeprefix("ggtui.") in known or member == "ggtui._native"
                    yield resolve(member if is_module else base, node.lineno, at_start)
            case ast.Call(args=[ast.Constant(value=str(target)), *_]) if ast.unparse(node.func) in (
                "import_module",
                "importlib.import_module",
                "__import__",
            ):
                yield resolve(target, node.lineno, at_start)
        for child in ast.iter_child_nodes(node):
            late = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            late = late or (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test))
            yield from walk(child, at_start and not late)

    yield from walk(ast.parse(module.source), True)


def problems(modules: dict[str, Module]) -> list[str]:
    """Every broken rule, as `module:line: what is wrong`."""
    known = {*modules, *(row for rows in FLOORS for row in rows)}
    found: list[str] = []
    edges: dict[str, set[str]] = {}
    for name, module in modules.items():
        here = floor(name)
        if here is None:
            found.append(f"{name}: has no floor; add it to FLOORS")
            continue
        for imported in imports(name, module, known):
            place = f"{name}:{imported.line}: imports {imported.name}"
            if not imported.ours:
                for library, homes in HOMES.items():
                    if within(imported.name, (library,)) and not within(name, homes):
                        found.append(f"{place}, which only {' and '.join(homes)} may")
                continue
            there = floor(imported.name)
            if there is None:
                found.append(f"{place}, which has no floor")
            elif there > here or not within(name, FLOORS[here]):
                found.append(f"{place}, which lies on a higher floor")
            if within(name, TRACE_READERS) and not within(imported.name, SEEN_BY_TRACE_READERS):
                found.append(f"{place}, but may see only {' and '.join(SEEN_BY_TRACE_READERS)}")
            if name == "__init__" and imported.at_start:
                found.append(f"{place} at once; ggtui exports lazily")
            edges.setdefault(name, set()).add(imported.name)
    return found + [f"imports in a circle: {' -> '.join(circle)}" for circle in circles(edges)]


def circles(edges: dict[str, set[str]]) -> list[list[str]]:
    """One circle for each import that closes one."""
    found: list[list[str]] = []
    done: set[str] = set()
    path: list[str] = []

    def visit(name: str) -> None:
        if name in path:
            found.append([*path[path.index(name) :], name])
        elif name not in done:
            path.append(name)
            for target in sorted(edges.get(name, ())):
                visit(target)
            path.pop()
            done.add(name)

    for name in sorted(edges):
        visit(name)
    return found


def modules_of(package: Path) -> dict[str, Module]:
    modules = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if is_package and len(parts) > 1 else parts)
        modules[name] = Module(path.read_text(encoding="utf-8"), is_package)
    return modules


def test_imports_of_ggtui() -> None:
    modules = modules_of(ROOT / "ggtui")
    assert "core.errors" in modules
    assert not problems(modules), "\n".join(problems(modules))


@pytest.mark.parametrize(
    ("name", "source", "problem"),
    [
        (
            "core.graph.dag",
            "from ggtui.core.runtime.compute import Graph",
            "core.graph.dag:1: imports core.runtime.compute, which lies on a higher floor",
        ),
        ("core.graph.dag", "from ggtui.core import runtime", "imports core.runtime, which lies on a higher floor"),
        (
            "core.graph.dag",
            "import ggtui.core.runtime.compute",
            "imports core.runtime.compute, which lies on a higher floor",
        ),
        (
            "core.graph.dag",
            "from ..runtime.compute import Graph",
            "imports core.runtime.compute, which lies on a higher floor",
        ),
        (
            "core.graph.passes.prune",
            "from ...runtime.compute import Graph",
            "imports core.runtime.compute, which lies on a higher floor",
        ),
        (
            "core.runtime.record",
            "def f():\n    import ggtui.core.engine.session",
            "core.runtime.record:2: imports core.engine.session",
        ),
        (
            "core.graph.types",
            "from importlib import import_module as i\n__import__('ggtui.viz.dot')",
            "core.graph.types:2: imports viz.dot",
        ),
        (
            "core.graph.tensor",
            "if TYPE_CHECKING:\n    from ggtui.core.models.base import Inputs",
            "core.graph.tensor:2: imports core.models.base",
        ),
        (
            "core.training.data",
            "from ggtui.perf.random_model import SHAPES",
            "core.training.data:1: imports perf.random_model, which lies on a higher floor",
        ),
        (
            "core.engine.session",
            "from ggtui.core.training.data import Batches",
            "core.engine.session:1: imports core.training.data, which lies on a higher floor",
        ),
        ("core.training.data", "import tokenizers", "which only core.training.vocabulary may"),
        ("core.graph.tensor", "from ggtui import load", "imports __init__, which lies on a higher floor"),
        ("core", "from ggtui.core import runtime", "imports core.runtime, which lies on a higher floor"),
        ("core.thing", "", "core.thing: has no floor"),
        ("core.engine.session", "import ggtui.core.thing", "imports core.thing, which has no floor"),
        ("cli.chat", "import textual.app", "imports textual.app, which only viz.tui may"),
        ("viz.tables", "import prompt_toolkit", "which only viz.repl may"),
        ("viz.tui.app", "from graphviz import Digraph", "which only viz.dot may"),
        ("core.engine.session", "import tiktoken", "which only core.vocab.merging may"),
        ("core.vocab.template", "import jinja2", "which only core.vocab.rendering may"),
        (
            "core.runtime.cpu.plan",
            "from ggtui import _native",
            "imports ggtui._native, which only core.runtime.cpu.native may",
        ),
        (
            "core.runtime.cpu.plan",
            "from ggtui._native import lib",
            "imports ggtui._native, which only core.runtime.cpu.native may",
        ),
        ("core.runtime.cpu.plan", "from cffi import FFI", "which only core.runtime.cpu.native and csrc.build_ffi may"),
        (
            "perf.export",
            "from ggtui.core.engine.session import Session",
            "imports core.engine.session, but may see only core.runtime.record",
        ),
        (
            "viz.dot",
            "from ggtui.core.graph.dag import Dag",
            "imports core.graph.dag, but may see only core.runtime.record",
        ),
        (
            "__init__",
            "from ggtui.core.engine.session import load",
            "imports core.engine.session at once; ggtui exports lazily",
        ),
        (
            "core.graph.dag",
            "from ggtui.core.graph.dag import x",
            "imports in a circle: core.graph.dag -> core.graph.dag",
        ),
    ],
)
def test_a_bad_import_is_found(name: str, source: str, problem: str) -> None:
    assert any(problem in line for line in problems({name: Module(source)})), problems({name: Module(source)})


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("core.runtime.cpu.plan", "from ggtui.core.graph import dag, tensor"),
        ("core.runtime.cpu.native", "from ggtui._native import ffi, lib"),
        ("core.graph.ops.base", "import numpy\nfrom ..tensor import Tensor"),
        ("viz.tui.app", "from textual.app import App\nfrom ggtui.viz import tables"),
        ("viz.tables", "from ggtui.core.engine.trace_file import load\nfrom ggtui.perf.table import rows"),
        ("cli.chat", "def run():\n    from ggtui.viz.repl import run"),
        ("__main__", "from ggtui.cli import program"),
        ("__init__", "def __getattr__(name):\n    from ggtui.core.engine.session import load"),
        ("core", '"""Nothing."""'),
    ],
)
def test_a_good_import_passes(name: str, source: str) -> None:
    assert problems({name: Module(source)}) == []


def test_circles_are_found() -> None:
    modules = {
        "core.graph.ops": Module("from .base import Op\nfrom ggtui.core.graph.ops import shape", is_package=True),
        "core.graph.ops.base": Module("import math"),
        "core.graph.ops.shape": Module("from .base import Op"),
    }
    assert problems(modules) == []
    modules["core.graph.ops.base"] = Module("def f():\n    from .shape import view")
    assert problems(modules) == [
        "imports in a circle: core.graph.ops.base -> core.graph.ops.shape -> core.graph.ops.base"
    ]


# Of C, lowest first: a file includes headers of its own floor and of those below. Kernels see pointers and counts: of
# the CPU's they know only each other and the numbers of the ops; of it Vulkan knows nothing.
C_FLOORS = ("base", "codec", "cpu", "vulkan", "text", "testing")
VULKAN_SEES = ("vulkan/", "codec/", "base/")
KERNELS_SEE = ("cpu/kernels/", "cpu/op_numbers.h", "cpu/ops.def", "codec/", "base/")


def c_floor(path: str) -> int:
    """Of a file; -1 for those above all, such as gg.h."""
    folder = path.partition("/")[0]
    return C_FLOORS.index(folder) if folder in C_FLOORS else -1


def c_problems(sources: dict[str, str]) -> list[str]:
    """Every broken rule of the C files, whose paths are relative to csrc."""
    found: list[str] = []
    edges: dict[str, set[str]] = {}
    for path, text in sources.items():
        for line in re.findall(r'^#include "([^"]+)"', text, re.M):
            beside = f"{path.rpartition('/')[0]}/{line}"
            target = beside if beside in sources or line in ("simd.h",) else line
            edges.setdefault(path, set()).add(target)
            here, there = c_floor(path), c_floor(target)
            if there > here >= 0:
                found.append(f"{path}: includes {target}, which lies on a higher floor")
            if path.startswith("cpu/kernels/") and there >= 0 and not target.startswith(KERNELS_SEE):
                found.append(f"{path}: includes {target}, but kernels see only {', '.join(KERNELS_SEE)}")
            if path.startswith("vulkan/") and there >= 0 and not target.startswith(VULKAN_SEES):
                found.append(f"{path}: includes {target}, but Vulkan sees only {', '.join(VULKAN_SEES)}")
    return found + [f"includes in a circle: {' -> '.join(circle)}" for circle in circles(edges)]


def test_includes_of_c() -> None:
    csrc = ROOT / "ggtui" / "csrc"
    sources = {str(p.relative_to(csrc)): p.read_text() for p in csrc.rglob("*") if p.suffix in (".c", ".h", ".def")}
    assert "cpu/plan.c" in sources
    assert not c_problems(sources), "\n".join(c_problems(sources))


@pytest.mark.parametrize(
    ("path", "include", "problem"),
    [
        ("codec/pack.c", "cpu/ops.h", "codec/pack.c: includes cpu/ops.h, which lies on a higher floor"),
        ("base/pool.c", "codec/types.h", "base/pool.c: includes codec/types.h, which lies on a higher floor"),
        ("cpu/kernels/reduce.c", "cpu/ops.h", "but kernels see only"),
        ("vulkan/loader.c", "cpu/ops.h", "but Vulkan sees only"),
        ("codec/types.h", "codec/types.h", "includes in a circle: codec/types.h -> codec/types.h"),
    ],
)
def test_a_bad_include_is_found(path: str, include: str, problem: str) -> None:
    assert any(problem in line for line in c_problems({path: f'#include "{include}"\n'}))


def too_long(root: Path) -> list[str]:
    counts = (
        (path.relative_to(root), len(path.read_text(encoding="utf-8").splitlines()))
        for folder in SOURCES
        for path in sorted((root / folder).rglob("*"))
        if path.suffix in ENDINGS
    )
    return [f"{path}: {lines} lines" for path, lines in counts if lines > MAX_LINES]


def test_files_are_short() -> None:
    assert too_long(ROOT) == [], f"more than {MAX_LINES} lines: such a file holds two concepts"


@pytest.mark.parametrize("name", ["ggtui/core/a.py", "ggtui/csrc/cpu/a.c", "tests/a.h"])
def test_a_long_file_is_found(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(parents=True)
    path.write_text("x\n" * MAX_LINES)
    assert too_long(tmp_path) == []
    path.write_text("x\n" * (MAX_LINES + 1))
    assert too_long(tmp_path) == [f"{name}: {MAX_LINES + 1} lines"]
