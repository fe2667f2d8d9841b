"""Packed weights: where each byte goes, and back."""

from __future__ import annotations

import numpy as np
import pytest

from ggtui.core import native
from ggtui.core.errors import GgtuiError
from ggtui.core.types import TYPES

ffi, lib = native.ffi, native.lib
NAMES = ["f32", "f16", "bf16", "q4_0", "q8_0"]


def packed(name: str, ne0: int, rows: np.ndarray) -> np.ndarray:
    """Rows of bytes (ne1, row bytes), packed: (tiles, 16 * row bytes)."""
    tiles = -(-len(rows) // 16)
    out = np.full((tiles + 1, 16 * rows.shape[1]), 0xA5, np.uint8)
    pointers = (ffi.cast("void *", rows.ctypes.data), ffi.cast("void *", out.ctypes.data))
    native.check(lib.gg_pack(TYPES[name].id, ne0, len(rows), *pointers))
    assert (out[-1] == 0xA5).all()
    return out[:-1]


def random_rows(name: str, ne0: int, n: int) -> np.ndarray:
    bytes_ = ne0 // TYPES[name].block * TYPES[name].bytes
    return np.random.default_rng(n).integers(0, 256, (n, bytes_), dtype=np.uint8)


@pytest.mark.parametrize("n", [1, 16, 35])
@pytest.mark.parametrize("name", NAMES)
def test_layout(name: str, n: int) -> None:
    ne0 = 160
    rows = random_rows(name, ne0, n)
    filled = np.zeros((-(-n // 16) * 16, rows.shape[1]), np.uint8)
    filled[:n] = rows
    tiles = packed(name, ne0, rows)
    for tile, source in zip(tiles, filled.reshape(-1, 16, rows.shape[1]), strict=True):
        if TYPES[name].block == 1:  # [k][row]
            expected = source.reshape(16, ne0, -1).transpose(1, 0, 2)
        else:
            blocks = source.reshape(16, ne0 // 32, -1)
            scales = blocks[:, :, :2].transpose(1, 0, 2).reshape(ne0 // 32, -1)
            pieces = blocks[:, :, 2:].reshape(16, ne0 // 32, -1, 4).transpose(1, 2, 0, 3).reshape(ne0 // 32, -1)
            expected = np.concatenate([scales, pieces + np.uint8(128 if name == "q8_0" else 0)], axis=1)
        np.testing.assert_array_equal(tile, expected.reshape(-1))


@pytest.mark.parametrize("ne0", [32, 128, 160, 1600])
@pytest.mark.parametrize("name", NAMES)
def test_unpack_row_gives_what_dequantize_gives(name: str, ne0: int) -> None:
    rows = random_rows(name, ne0, 21)
    tiles = packed(name, ne0, rows)
    for i, row in enumerate(rows):
        expected, got = np.empty(ne0, np.float32), np.full(ne0 + 1, 77, np.float32)
        native.check(
            lib.gg_dequantize(
                TYPES[name].id, ne0, ffi.cast("void *", row.ctypes.data), ffi.cast("float *", expected.ctypes.data)
            )
        )
        native.check(
            lib.gg_unpack_row(
                TYPES[name].id, ne0, i, ffi.cast("void *", tiles.ctypes.data), ffi.cast("float *", got.ctypes.data)
            )
        )
        np.testing.assert_array_equal(got[:-1].view(np.uint32), expected.view(np.uint32))
        assert got[-1] == 77


def test_float_rows_of_any_length() -> None:
    rows = random_rows("f16", 13, 17)
    tiles = packed("f16", 13, rows).view(np.uint16).reshape(2, 13, 16)
    np.testing.assert_array_equal(tiles[1, :, 0], rows[16].view(np.uint16))


def test_which_types_have_a_packed_form() -> None:
    assert [name for name, t in TYPES.items() if lib.gg_packable(t.id)] == [name for name in TYPES if name in NAMES]
    with pytest.raises(GgtuiError, match="type i32 has no packed form"):
        packed("i32", 32, np.zeros((1, 128), np.uint8))
