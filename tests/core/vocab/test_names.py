from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st

from ggtui.core.vocab.names import Names


def plainly(ids: dict[str, int], text: str) -> list[str | int]:
    parts: list[str | int] = []
    while text:
        name = max((name for name in ids if text.startswith(name)), key=len, default="")
        if name:
            parts.append(ids[name])
        elif parts and isinstance(parts[-1], str):
            parts[-1] += text[0]
        else:
            parts.append(text[0])
        text = text[len(name) or 1 :]
    return parts


@given(st.lists(st.text("ab<\n", min_size=1, max_size=4), unique=True), st.text("ab<\n", max_size=30))
def test_the_first_place_and_there_the_longest(names: list[str], text: str) -> None:
    ids = {name: id for id, name in enumerate(names)}
    assert list(Names(ids).split(text)) == plainly(ids, text)


def test_many_names_in_a_long_text() -> None:
    names = Names({f"<|reserved_{i}|>": i for i in range(10_000)})
    start = time.process_time()
    assert list(names.split("<|" * 200_000)) == ["<|" * 200_000]
    assert list(names.split("<" * 1_000_000 + "<|reserved_77|>")) == ["<" * 1_000_000, 77]
    assert time.process_time() - start < 20  # seconds, of far less
