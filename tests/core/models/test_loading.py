from __future__ import annotations

from pathlib import Path
from threading import Barrier, Event, Timer, get_ident
from typing import Any

import numpy as np
import pytest

from ggtui.core.engine.model import BUILT_IN
from ggtui.core.engine.session import load
from ggtui.core.errors import GgtuiError, ModelFileError
from ggtui.core.files import ModelFile, OutTensor, open_model, write_gguf
from ggtui.core.files.convert import convert
from ggtui.core.graph.types import TYPES
from ggtui.core.models import loading
from ggtui.core.models.base import TensorSpec
from ggtui.core.models.loading import Filling, place_weights
from ggtui.core.runtime.device import one_device
from ggtui.core.runtime.reference.quants import dequantize

MATRICES = {"q4_0": (64, 50), "q8_0": (32, 16), "f16": (7, 33), "q6_k": (256, 1), "f32": (3, 129)}
FLOATS = ("f32", "f16", "bf16")
SPECS = {
    **{f"m.{name}": TensorSpec(ne, "matrix") for name, ne in MATRICES.items()},
    **{f"v.{name}": TensorSpec((21,), "vector") for name in FLOATS},
    "rows": TensorSpec((32, 9), "rows"),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    random = np.random.default_rng(1)
    tensors = []
    for name, spec in SPECS.items():
        kind = TYPES[name.partition(".")[2] or "q4_1"]
        n = kind.row_bytes(spec.ne[0]) * (spec.ne[1:] or (1,))[0]
        # Small bytes: of any type they are finite weights.
        data = random.integers(0, 60, n, dtype=np.uint8)
        tensors.append(OutTensor(name, kind, spec.ne, lambda data=data: iter([data])))
    write_gguf(tmp_path / "model.gguf", {"a": 1}, tensors)
    return tmp_path / "model.gguf"


@pytest.mark.pool
@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("share", [1, 600, 1 << 20])
@pytest.mark.parametrize("whole", [False, True])
def test_weights_are_those_of_the_file(path: Path, monkeypatch: Any, threads: int, share: int, whole: bool) -> None:
    monkeypatch.setattr(loading, "_SHARE", share)
    monkeypatch.setattr(ModelFile, "reads_whole", lambda *_: whole)
    with open_model(path) as file:
        weights = place_weights(file, SPECS, one_device("cpu"))
        with Filling(file, weights, threads) as packing:
            packing.finish()
        assert list(weights) == list(SPECS)
        for name, t in weights.items():
            info = file.tensors[name]
            wanted = dequantize(file.data(name), info.type, info.ne[0]).reshape(t.shape)
            np.testing.assert_array_equal(t.numpy(), wanted, err_msg=name)
            assert t.packed == (SPECS[name].use == "matrix") and (t.type.name == "f32" or not name.startswith("v."))


@pytest.mark.parametrize("threads", [1, 3])
def test_what_reading_raises_comes_out(path: Path, monkeypatch: Any, threads: int) -> None:
    with open_model(path) as file:
        weights = place_weights(file, SPECS, one_device("cpu"))
        monkeypatch.setattr(ModelFile, "rows", lambda *_: (_ for _ in ()).throw(GgtuiError("cannot be read")))
        with pytest.raises(GgtuiError, match="cannot be read"), Filling(file, weights, threads) as packing:
            packing.finish()


@pytest.mark.pool
@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("whole", [False, True])
def test_progress_counts_each_byte_once(path: Path, monkeypatch: Any, threads: int, whole: bool) -> None:
    """After each share, never backwards, and to the end: bytes as the file has them, but of vectors as f32."""
    monkeypatch.setattr(loading, "_SHARE", 600)
    monkeypatch.setattr(ModelFile, "reads_whole", lambda *_: whole)
    told: list[tuple[int, int]] = []
    with open_model(path) as file:
        weights = place_weights(file, SPECS, one_device("cpu"))
        with Filling(file, weights, threads, lambda done, total: told.append((done, total))) as packing:
            packing.finish()
        n_bytes = sum(file.tensors[name].n_bytes for name in SPECS if not name.startswith("v."))
    total = n_bytes + len(FLOATS) * 21 * 4
    done = [done for done, _ in told]
    assert {total for _, total in told} == {total} and done[-1] == total
    steps = np.diff(done)
    assert (steps > 0).all() and len(steps) >= len(MATRICES) + 1
    assert whole or steps.max() <= max(600, 5 * 256 * 4)  # a share, or a tile of it


@pytest.mark.parametrize("threads", [1, 3])
def test_what_progress_raises_comes_out(path: Path, threads: int) -> None:
    def refuse(done: int, total: int) -> None:
        if done == total:
            raise GgtuiError("enough")

    with open_model(path) as file:
        weights = place_weights(file, SPECS, one_device("cpu"))
        with pytest.raises(GgtuiError, match="enough"), Filling(file, weights, threads, refuse) as packing:
            packing.finish()


def test_progress_of_a_session(model: Path) -> None:
    told: list[tuple[int, int]] = []
    with load(model, threads=1, progress=lambda done, total: told.append((done, total))) as session:
        total = sum(t.n_rows * t.type.row_bytes(t.ne[0]) for t in session.weights.values())
    assert told[-1] == (total, total) and told == sorted(told)


def test_each_thread_reads(path: Path, monkeypatch: Any) -> None:
    """Not one after the other: two threads wait for each other in their first share."""
    rows, meeting = ModelFile.rows, Barrier(2)
    waited: set[int] = set()

    def met(self: ModelFile, name: str) -> Any:
        if get_ident() not in waited:
            waited.add(get_ident())
            meeting.wait(60)
        return rows(self, name)

    with open_model(path) as file:
        weights = place_weights(file, SPECS, one_device("cpu"))
        monkeypatch.setattr(ModelFile, "rows", met)
        with Filling(file, weights, 2) as packing:
            packing.finish()
    assert len(waited) == 2


def test_an_error_meanwhile_ends_it(path: Path, monkeypatch: Any) -> None:
    """With what is under way; the rest is not begun."""
    began, failed, rows = Event(), Event(), ModelFile.rows

    def slow(self: ModelFile, name: str) -> Any:
        began.set()
        assert failed.wait(60)
        return rows(self, name)

    with open_model(path) as file:
        weights = place_weights(file, SPECS, one_device("cpu"))
        monkeypatch.setattr(ModelFile, "rows", slow)
        with pytest.raises(GgtuiError, match="the vocabulary"), Filling(file, weights, 2):
            began.wait(60)
            Timer(0.2, failed.set).start()  # by then it waits for the thread
            raise GgtuiError("the vocabulary")
        assert sum(bool(t.numpy().any()) for t in weights.values() if t.packed) == 1


@pytest.fixture(params=["model.gguf", "model.bin"])
def model(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The built-in model in a file of its own."""
    path: Path = tmp_path / request.param
    with open_model(BUILT_IN) as file:
        convert(file, path, "q8_0")
    return path


def spoil(path: Path) -> None:
    """Overwrite a file in place, then cut it short."""
    with open(path, "r+b") as file:
        file.write(b"\xff" * path.stat().st_size)
        file.truncate(100)


@pytest.mark.pool
def test_a_session_holds_nothing_of_its_file(model: Path) -> None:
    with load(model, threads=2) as session:
        said = [step.token for step in session.generate([1, 2, 3], 20, temp=0.0)]
    with load(model, threads=2) as session:
        if Path("/proc/self/maps").exists():
            assert str(model) not in Path("/proc/self/maps").read_text()
            assert model not in [fd.resolve() for fd in Path("/proc/self/fd").iterdir()]
        spoil(model)
        assert [step.token for step in session.generate([1, 2, 3], 20, temp=0.0)] == said


def test_a_file_that_changes_while_it_is_loaded_is_refused(model: Path) -> None:
    with open_model(model) as file:
        load(file, threads=1).close()
        spoil(model)
        with pytest.raises(ModelFileError, match="file: was changed while it was read"):
            load(file, threads=1)
