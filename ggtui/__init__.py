"""ggtui: small language models on your own CPU, with everything that happens inside in view.

>>> import ggtui
>>> session = ggtui.load()
>>> for step in session.generate("Once upon a time", n_predict=50): print(step.text, end="")

Names load what they need when they are first used, so that `import ggtui` is quick and a saved trace opens without the
compiled module.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ggtui import perf as perf
    from ggtui.core.engine.engine import Engine as Engine
    from ggtui.core.engine.model import Model as Model
    from ggtui.core.engine.session import Session as Session
    from ggtui.core.engine.session import load as load
    from ggtui.core.errors import GgtuiError as GgtuiError
    from ggtui.core.graph import ops as ops
    from ggtui.core.graph.dim import Dim as Dim
    from ggtui.core.graph.own_types import register_type as register_type
    from ggtui.core.graph.tensor import Tensor as Tensor
    from ggtui.core.runtime.compute import Graph as Graph
    from ggtui.core.runtime.context import Context as Context
    from ggtui.core.training.trainer import Trainer as Trainer
    from ggtui.core.vocab.template import Template as Template

__version__ = "0.1.0"

_HOMES = {
    "Context": "ggtui.core.runtime.context",
    "Dim": "ggtui.core.graph.dim",
    "Engine": "ggtui.core.engine.engine",
    "GgtuiError": "ggtui.core.errors",
    "Graph": "ggtui.core.runtime.compute",
    "Model": "ggtui.core.engine.model",
    "Session": "ggtui.core.engine.session",
    "Template": "ggtui.core.vocab.template",
    "Tensor": "ggtui.core.graph.tensor",
    "Trainer": "ggtui.core.training.trainer",
    "load": "ggtui.core.engine.session",
    "register_type": "ggtui.core.graph.own_types",
}
_MODULES = {"ops": "ggtui.core.graph.ops", "perf": "ggtui.perf"}

__all__ = [
    "Context", "Dim", "Engine", "GgtuiError", "Graph", "Model", "Session", "Template", "Tensor", "Trainer",
    "__version__", "load", "ops", "perf", "register_type",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(_MODULES[name])
    if name not in _HOMES:
        raise AttributeError(f"module 'ggtui' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
