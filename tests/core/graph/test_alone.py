"""The graph is described without the compiled module: it imports nothing of the runtime."""

from __future__ import annotations

import pkgutil
import subprocess
import sys

import ggtui.core.graph

BLOCKED = """
import importlib, sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name in ("ggtui._native", "_cffi_backend", "cffi"):
            raise ImportError(f"{name} is not there")

sys.meta_path.insert(0, Blocked())
for name in sys.argv[1:]:
    importlib.import_module(name)
assert not [name for name in sys.modules if name.startswith(("ggtui.core.runtime", "ggtui._native"))]
from ggtui.core.graph import ops
from ggtui.core.graph.dag import Dag, format_node
from ggtui.core.graph.dim import Dim
from ggtui.core.graph.tensor import Tensor
from ggtui.core.graph.types import TYPES
w, x = Tensor(TYPES["q4_0"], (64, 8), name="w"), Tensor(TYPES["f32"], (64, Dim("n", 5)), name="x")
(first, last) = Dag.of([ops.gelu(ops.mul_mat(w, x))]).nodes
print(format_node(0, first))
print(ops.OPS["mul_mat"].flops(first.dst).at({"n": 3}))
"""


def test_graphs_are_described_without_the_compiled_module() -> None:
    package = ggtui.core.graph
    names = [m.name for m in pkgutil.walk_packages(package.__path__, "ggtui.core.graph.")]
    assert len(names) > 10
    done = subprocess.run([sys.executable, "-c", BLOCKED, *names], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert " ".join(done.stdout.split()) == "0 mul_mat f32 (8, n<=5) <- w q4_0 (64, 8), x f32 (64, n<=5) 3072"
