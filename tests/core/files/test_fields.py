"""Values of metadata, by the kind that is asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ggtui.core.errors import ModelFileError
from ggtui.core.files.fields import Fields, shown
from ggtui.core.files.texts import Texts

KINDS: dict[str, Callable[[Fields], Any]] = {
    "text": lambda fields: fields.text("k"),
    "choice": lambda fields: fields.choice("k", ("a", "b")),
    "whole": lambda fields: fields.whole("k", 1, 9),
    "fraction": lambda fields: fields.fraction("k"),
    "texts": lambda fields: fields.texts("k"),
    "wholes": lambda fields: fields.wholes("k"),
}
SOUND: dict[str, list[Any]] = {
    "text": ["", "a"],
    "choice": ["a", "b"],
    "whole": [1, 9],
    "fraction": [0.5, 1e-12],
    "texts": [[], ["a", "b"], Texts.of(["a"])],
    "wholes": [[], [1, -(1 << 63)], np.array([1], np.uint64), np.array([], np.int8)],
}
NUMBERS: list[Any] = [0, 10, -1, 1 << 64, 2.0, 0.0, -0.5, float("nan"), float("inf"), True, False]
LISTS: list[Any] = [[0.5], [True], [None], [[]], [1, "a"], ("a", 1), [1 << 63], np.array([0.5]), np.array([True])]
REFUSED: dict[str, list[Any]] = {
    "text": [*NUMBERS, *LISTS, *SOUND["texts"], b"a", {}],
    "choice": [*NUMBERS, *LISTS, *SOUND["texts"], "c", "", b"a", {}, "a" * 100_000],
    "whole": [*NUMBERS, *LISTS, *SOUND["wholes"], "1", {}],
    "fraction": [*NUMBERS, *LISTS, *SOUND["wholes"], "0.5", {}, 1 << 10_000],
    "texts": [*NUMBERS, *LISTS, "ab", {"a": 1}, ["a"] * 100_000 + [b"a"], SOUND["wholes"][2]],
    "wholes": [*NUMBERS, *LISTS, np.array([[1]]), np.array(1), Texts.of(["a"]), "ab", {1: 2}, (1, 2)],
}


def fields(value: Any) -> Fields:
    return Fields.of({"k": value}, "some.gguf")


@pytest.mark.parametrize("kind", KINDS)
def test_values_of_the_kind_are_given(kind: str) -> None:
    for value in SOUND[kind]:
        np.testing.assert_equal(KINDS[kind](fields(value)), value)


@pytest.mark.parametrize("kind", KINDS)
def test_values_of_another_kind_are_refused_in_a_short_line(kind: str) -> None:
    for value in REFUSED[kind]:
        with pytest.raises(ModelFileError, match=r"^some\.gguf: k: is ") as caught:
            KINDS[kind](fields(value))
        assert len(str(caught.value)) < 300


def test_what_is_missing_has_its_default_or_is_refused() -> None:
    none = Fields.of({"null": None}, "some.gguf")
    for key in ("null", "absent"):
        assert key not in none
        assert none.text(key, "x") == "x" and none.choice(key, ("x", "y"), "y") == "y"
        assert none.whole(key, 1, 9, 5) == 5 and none.fraction(key, 0.5) == 0.5
        assert none.texts(key, []) == [] and none.wholes(key, [1, 2]).tolist() == [1, 2]
        with pytest.raises(ModelFileError, match=rf"^some\.gguf: {key}: is missing$"):
            none.text(key)


def test_deep_and_long_values_are_shown_short() -> None:
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    for value in (deep, "x" * (1 << 20), [1] * (1 << 20), {str(i): i for i in range(1000)}, Texts.of(["x"] * 1000)):
        assert len(shown(value)) < 300
    assert shown("a\n") == "'a\\n'"


def test_a_message_is_short_also_where_it_is_escaped() -> None:
    error = ModelFileError("a", "\x00" * 1000, "\n" * 1000)
    assert len(str(error)) < 700 and str(error).startswith(r"a: \x00\x00") and str(error).endswith("...")
