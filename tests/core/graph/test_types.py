from __future__ import annotations

import re
from pathlib import Path

import pytest
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

from ggtui.core.errors import ShapeError, UsageError
from ggtui.core.graph.types import TYPES, type_by_id, type_of

ROWS = Path(__file__).parents[3] / "ggtui/csrc/codec/types.def"
OURS = [t for t in TYPES.values() if t.id < 1000]  # other tests may have registered types of their own


def test_the_table_is_types_def_row_by_row() -> None:
    written = re.findall(r"^GG_TYPE\(\w+,\s*(\w+),\s*(\d+),\s*(\d+),\s*(\d+),\s*([01])\)", ROWS.read_text(), re.M)
    assert written
    assert [(t.name, t.id, t.block, t.bytes, int(t.file)) for t in OURS] == [
        (name, *map(int, numbers)) for name, *numbers in written
    ]


@pytest.mark.parametrize("type", [t for t in OURS if t.file], ids=lambda t: t.name)
def test_types_of_files_are_those_of_gguf(type) -> None:
    theirs = GGMLQuantizationType[type.name.upper()]
    assert (type.id, (type.block, type.bytes)) == (theirs, GGML_QUANT_SIZES[theirs])


def test_row_bytes() -> None:
    assert TYPES["f32"].row_bytes(7) == 28
    assert TYPES["q4_0"].row_bytes(64) == 36
    with pytest.raises(ShapeError, match=r"q4_0: a row of 48 is no whole number of blocks of 32"):
        TYPES["q4_0"].row_bytes(48)


def test_types_are_found_by_id_and_name() -> None:
    for t in TYPES.values():
        assert type_by_id(t.id) is t
        assert type_of(t) is type_of(t.name) is type_of(t.name.upper()) is t
    assert type_by_id(9999) is None


def test_an_unknown_name_lists_the_choices() -> None:
    with pytest.raises(UsageError, match=r"tensor type 'q9': choose one of f32, f16, "):
        type_of("q9")
