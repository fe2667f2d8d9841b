from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ggtui.core import vocab

DATA = Path(__file__).parents[2] / "data" / "vocab"
NAMES = sorted(path.stem for path in DATA.glob("*.xz"))


@pytest.mark.parametrize("name", NAMES)
def test_the_tokens_of_llama_cpp(name: str, listed: Callable[[str], Any]) -> None:
    metadata, cases = listed(name)
    t = vocab.vocabulary(metadata, name)
    assert len(cases) > 45
    for text, ids in cases:
        assert t.encode(text) == ids
        assert t.decode(ids) in (text, " " + text)


def test_there_are_all() -> None:
    assert len(NAMES) == 13
