"""Every block is read, and a bad one found."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ggtui.core.files import OutTensor, open_model, write_gguf
from ggtui.core.files.check import BadBlock, bad_blocks
from ggtui.core.graph.types import TYPES
from ggtui.core.runtime.reference.quants import quantize

NE0, ROWS = 64, 40_000  # more than is decoded at a time


def write(path: Path, type: str, block: int | None = None, half: float = 0.0) -> Path:
    """A sound tensor, and one whose scale in `block` is `half`."""
    weights = np.random.default_rng(1).standard_normal((ROWS, NE0)).astype(np.float32)
    good = quantize(weights[:2], type)
    bad = quantize(weights, type).reshape(-1, TYPES[type].bytes)
    if block is not None:
        bad[block, :2] = np.array([half], np.float16).view(np.uint8)
    tensors = [
        OutTensor("good", TYPES[type], (NE0, 2), lambda: [good]),
        OutTensor("bad", TYPES[type], (NE0, ROWS), lambda: [bad]),
        OutTensor("ids", TYPES["i32"], (2,), lambda: [np.full(2, 0x7FC00000, np.int32)]),  # bits of a NaN
    ]
    write_gguf(path, {"general.architecture": "gpt2"}, tensors)
    return path


@pytest.mark.parametrize("type", ["q4_0", "q8_0"])
@pytest.mark.parametrize(("half", "kind"), [(np.nan, np.isnan), (np.inf, lambda x: not np.isfinite(x))])
def test_a_bad_scale_is_named(tmp_path: Path, type: str, half: float, kind: object) -> None:
    block = 2 * 33_333 + 1
    with open_model(write(tmp_path / "m.gguf", type, block, half)) as file:
        (bad,) = bad_blocks(file)
    assert bad[:5] == BadBlock("bad", type, block, 33_333, 32, 0.0)[:5]
    assert kind(bad.value)  # type: ignore[operator]


def test_a_weight_of_a_float_type(tmp_path: Path) -> None:
    with open_model(write(tmp_path / "m.gguf", "f16", 64 * 5 + 3, -np.inf)) as file:
        assert bad_blocks(file) == [BadBlock("bad", "f16", 64 * 5 + 3, 5, 3, -np.inf)]


def test_a_sound_file_and_its_progress(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    with open_model(write(tmp_path / "m.gguf", "q8_0")) as file:
        assert bad_blocks(file, lambda done, total: seen.append((done, total))) == []
    total = NE0 * (2 + ROWS) + 2
    assert seen == [(2 * NE0, total), (total - 2, total), (total, total)]
