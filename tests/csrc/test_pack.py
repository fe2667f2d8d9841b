"""Packed weights: where each byte goes, and back."""

from __future__ import annotations

import numpy as np
import pytest

from ggtui.core.errors import GgtuiError
from ggtui.core.graph.types import TYPES
from ggtui.core.runtime.cpu import native
from ggtui.core.runtime.reference.quants import CODECS
from ggtui.core.runtime.reference.quants_k import get_fields, put_fields

ffi, lib = native.ffi, native.lib
NAMES = list(CODECS)

# Of a block: where its 2-byte fields lie, what moves as it is (from, bytes, what is added), and the fields that are
# rearranged (bits, from, bytes, run in a file, run in a group of 32 when packed).
LAYOUTS: dict[str, tuple[tuple[int, ...], tuple[int, int, int], tuple[tuple[int, int, int, int, int], ...]]] = {
    "q4_0": ((0,), (2, 16, 0), ()),
    "q4_1": ((0, 2), (4, 16, 0), ()),
    "q5_0": ((0,), (2, 0, 0), ((1, 2, 4, 1, 4), (4, 6, 16, 16, 16))),
    "q5_1": ((0, 2), (4, 0, 0), ((1, 4, 4, 1, 4), (4, 8, 16, 16, 16))),
    "q8_0": ((0,), (2, 32, 128), ()),
    "q2_k": ((80, 82), (0, 16, 0), ((2, 16, 64, 32, 4),)),
    "q3_k": ((108,), (96, 12, 0), ((1, 0, 32, 32, 4), (2, 32, 64, 32, 4))),
    "q4_k": ((0, 2), (4, 12, 0), ((4, 16, 128, 32, 16),)),
    "q5_k": ((0, 2), (4, 12, 0), ((1, 16, 32, 32, 4), (4, 48, 128, 32, 16))),
    "q6_k": ((208,), (192, 16, 128), ((2, 128, 64, 32, 4), (4, 0, 128, 64, 16))),
    "iq4_nl": ((0,), (2, 16, 0), ()),
    "iq4_xs": ((0, 2), (4, 132, 0), ()),
}


def packed(name: str, ne0: int, rows: np.ndarray) -> np.ndarray:
    """Rows of bytes (ne1, row bytes), packed: (tiles, 32 * row bytes)."""
    tiles = -(-len(rows) // 32)
    out = np.full((tiles + 1, 32 * rows.shape[1]), 0xA5, np.uint8)
    pointers = (ffi.cast("void *", rows.ctypes.data), ffi.cast("void *", out.ctypes.data))
    native.check(lib.gg_pack(TYPES[name].id, ne0, len(rows), *pointers))
    assert (out[-1] == 0xA5).all()
    return out[:-1]


def random_rows(name: str, ne0: int, n: int) -> np.ndarray:
    bytes_ = ne0 // TYPES[name].block * TYPES[name].bytes
    return np.random.default_rng(n).integers(0, 256, (n, bytes_), dtype=np.uint8)


def half_of(name: str, blocks: np.ndarray) -> np.ndarray:
    """16 rows of blocks (16, k, bytes) as half a tile: (k, 16 * bytes)."""
    halves, (at, n, added), planes = LAYOUTS[name]
    parts = [blocks[:, :, half : half + 2].transpose(1, 0, 2) for half in halves]
    rest = [blocks[:, :, at : at + n] + np.uint8(added)]
    if planes:
        groups = [
            put_fields(get_fields(blocks[:, :, at : at + n], bits, run).reshape(16, blocks.shape[1], -1, 32), bits, to)
            for bits, at, n, run, to in planes
        ]
        rest.append(np.concatenate(groups, axis=-1).reshape(16, blocks.shape[1], -1))
    pieces = np.concatenate(rest, axis=-1).reshape(16, blocks.shape[1], -1, 4).transpose(1, 2, 0, 3)
    parts = [*parts, pieces]
    return np.concatenate([part.reshape(blocks.shape[1], -1) for part in parts], axis=1)


@pytest.mark.parametrize("n", [1, 16, 32, 67])
@pytest.mark.parametrize("name", NAMES)
def test_layout(name: str, n: int) -> None:
    block = TYPES[name].block
    ne0 = max(160, 3 * block)
    rows = random_rows(name, ne0, n)
    filled = np.zeros((-(-n // 32) * 32, rows.shape[1]), np.uint8)
    filled[:n] = rows
    tiles = packed(name, ne0, rows)
    for tile, source in zip(tiles, filled.reshape(-1, 32, rows.shape[1]), strict=True):
        if block == 1:  # [k][row]
            expected = source.reshape(32, ne0, -1).transpose(1, 0, 2)
        else:  # [block][half]
            halves = [half_of(name, half) for half in source.reshape(2, 16, ne0 // block, -1)]
            expected = np.stack(halves, axis=1)
        np.testing.assert_array_equal(tile, expected.reshape(-1))


@pytest.mark.parametrize("ne0", [32, 128, 160, 1600])
@pytest.mark.parametrize("name", NAMES)
def test_unpack_row_gives_what_dequantize_gives(name: str, ne0: int) -> None:
    ne0 = -(-ne0 // TYPES[name].block) * TYPES[name].block
    rows = random_rows(name, ne0, 37)
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
        nan = np.isnan(expected)
        np.testing.assert_array_equal(np.isnan(got[:-1]), nan)
        np.testing.assert_array_equal(got[:-1][~nan].view(np.uint32), expected[~nan].view(np.uint32))
        assert got[-1] == 77


def test_float_rows_of_any_length() -> None:
    rows = random_rows("f16", 13, 33)
    tiles = packed("f16", 13, rows).view(np.uint16).reshape(2, 13, 32)
    np.testing.assert_array_equal(tiles[1, :, 0], rows[32].view(np.uint16))


def test_which_types_have_a_packed_form() -> None:
    assert [name for name, t in TYPES.items() if lib.gg_packable(t.id)] == [name for name in TYPES if name in NAMES]
    with pytest.raises(GgtuiError, match="type i32 has no packed form"):
        packed("i32", 32, np.zeros((1, 128), np.uint8))
