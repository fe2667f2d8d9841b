from __future__ import annotations

from pathlib import Path
from threading import Barrier, Event, Timer, get_ident
from typing import Any

import numpy as np
import pytest

from ggtui.core.errors import GgtuiError
from ggtui.core.files import ModelFile, OutTensor, open_model, write_gguf
from ggtui.core.graph.types import TYPES
from ggtui.core.models import loading
from ggtui.core.models.base import TensorSpec
from ggtui.core.models.loading import Packing, place_weights
from ggtui.core.runtime.context import Context
from ggtui.core.runtime.cpu.device import DEVICE
from ggtui.core.runtime.reference.quants import dequantize

MATRICES = {"q4_0": (64, 50), "q8_0": (32, 16), "f16": (7, 33), "q6_k": (256, 1), "f32": (3, 129)}
FLOATS = ("f32", "f16", "bf16")
SPECS = {
    **{f"m.{name}": TensorSpec(ne, matrix=True) for name, ne in MATRICES.items()},
    **{f"v.{name}": TensorSpec((21,)) for name in FLOATS},
    "rows": TensorSpec((32, 9), any_type=True),
    "absent": TensorSpec((4, 4), matrix=True, optional=True),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    random = np.random.default_rng(1)
    tensors = []
    for name, spec in SPECS.items():
        if not spec.optional:
            kind = TYPES[name.partition(".")[2] or "q4_1"]
            n = kind.row_bytes(spec.ne[0]) * (spec.ne[1:] or (1,))[0]
            # Small bytes: of any type they are finite weights.
            data = random.integers(0, 60, n, dtype=np.uint8)
            tensors.append(OutTensor(name, kind, spec.ne, lambda data=data: iter([data])))
    write_gguf(tmp_path / "model.gguf", {"a": 1}, tensors)
    return tmp_path / "model.gguf"


@pytest.mark.pool
@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize(("group", "share"), [(1, 1), (2000, 600), (1 << 30, 1 << 20)])
def test_weights_are_those_of_the_file(path: Path, monkeypatch: Any, threads: int, group: int, share: int) -> None:
    monkeypatch.setattr(loading, "_GROUP", group)
    monkeypatch.setattr(loading, "_SHARE", share)
    with open_model(path) as file:
        weights = place_weights(file, SPECS, Context(), DEVICE.layout)
        with Packing(file, weights, threads) as packing:
            packing.finish()
        assert list(weights) == [name for name in SPECS if name != "absent"]
        for name, t in weights.items():
            info = file.tensors[name]
            wanted = dequantize(file.data(name), info.type, info.ne[0]).reshape(t.shape)
            np.testing.assert_array_equal(t.numpy(), wanted, err_msg=name)
            assert t.packed == SPECS[name].matrix and (t.type.name == "f32" or not name.startswith("v."))


@pytest.mark.parametrize("threads", [1, 3])
def test_what_reading_raises_comes_out(path: Path, monkeypatch: Any, threads: int) -> None:
    with open_model(path) as file:
        weights = place_weights(file, SPECS, Context(), DEVICE.layout)
        monkeypatch.setattr(ModelFile, "data", lambda *_: (_ for _ in ()).throw(GgtuiError("cannot be read")))
        with pytest.raises(GgtuiError, match="cannot be read"), Packing(file, weights, threads) as packing:
            packing.finish()


def test_copies_are_made_by_each_thread(path: Path, monkeypatch: Any) -> None:
    """Not one after the other: two threads wait for each other in their first one."""
    data, meeting = ModelFile.data, Barrier(2)
    waited: set[int] = set()

    def met(self: ModelFile, name: str) -> Any:
        if get_ident() not in waited:
            waited.add(get_ident())
            meeting.wait(60)
        return data(self, name).copy()

    with open_model(path) as file:
        weights = place_weights(file, SPECS, Context(), DEVICE.layout)
        monkeypatch.setattr(ModelFile, "copies", lambda *_: True)
        monkeypatch.setattr(ModelFile, "data", met)
        with Packing(file, weights, 2) as packing:
            packing.finish()
        for name in MATRICES:
            info = file.tensors[f"m.{name}"]
            wanted = dequantize(data(file, f"m.{name}"), info.type, info.ne[0])
            np.testing.assert_array_equal(weights[f"m.{name}"].numpy().reshape(wanted.shape), wanted)


def test_an_error_meanwhile_ends_it(path: Path, monkeypatch: Any) -> None:
    """With what is under way; the rest is not begun."""
    monkeypatch.setattr(loading, "_GROUP", 1)
    began, failed, data = Event(), Event(), ModelFile.data

    def slow(self: ModelFile, name: str) -> Any:
        began.set()
        assert failed.wait(60)
        return data(self, name)

    with open_model(path) as file:
        weights = place_weights(file, SPECS, Context(), DEVICE.layout)
        monkeypatch.setattr(ModelFile, "copies", lambda *_: True)
        monkeypatch.setattr(ModelFile, "data", slow)
        with pytest.raises(GgtuiError, match="the vocabulary"), Packing(file, weights, 2):
            began.wait(60)
            Timer(0.2, failed.set).start()  # by then it waits for the thread
            raise GgtuiError("the vocabulary")
        assert sum(bool(t.numpy().any()) for t in weights.values() if t.packed) == 1
