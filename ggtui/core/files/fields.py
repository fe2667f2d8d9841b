"""Metadata, asked for by the kind of its values: files come from anywhere, and a key may hold anything."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from ggtui.core.errors import ModelFileError
from ggtui.core.files.texts import Texts

_SHORT = reprlib.Repr()
_SHORT.maxstring, _SHORT.maxother, _SHORT.maxlong = 120, 40, 40
_SHORT.maxlevel = 2


def shown(value: Any) -> str:
    """A value of a file as a message has it: short, however large or deep it is."""
    if isinstance(value, Texts):
        return f"a list of {len(value)} texts"
    if isinstance(value, np.ndarray):
        return f"a list of {value.size} numbers"
    return _SHORT.repr(value)


class Fields:
    """What a model file says under its keys. A value of another kind than asked for, or none where there is no
    default, goes to `refuse`, with the key and what is wrong."""

    def __init__(self, values: Mapping[str, Any], refuse: Callable[[str, str], NoReturn]) -> None:
        self._values, self._refuse = values, refuse

    @classmethod
    def of(cls, values: Mapping[str, Any], path: str | Path) -> Fields:
        """Those of the file at `path`: what is wrong with them is raised as ModelFileError."""

        def refuse(key: str, problem: str) -> NoReturn:
            raise ModelFileError(path, key, problem)

        return cls(values, refuse)

    def _get(self, key: str, default: Any) -> Any:
        value = self._values.get(key)
        if value is None:
            value = default
        if value is None:
            self._refuse(key, "is missing")
        return value

    def __contains__(self, key: str) -> bool:
        return self._values.get(key) is not None

    def text(self, key: str, default: str | None = None) -> str:
        value = self._get(key, default)
        if not isinstance(value, str):
            self._refuse(key, f"is {shown(value)}, not a text")
        return value

    def choice(self, key: str, choices: Sequence[str], default: str | None = None) -> str:
        """One of several texts."""
        value = self._get(key, default)
        if not isinstance(value, str) or value not in choices:
            self._refuse(key, f"is {shown(value)}; ggtui knows {', '.join(choices)}")
        return value

    def whole(self, key: str, low: int, high: int, default: int | None = None) -> int:
        """A whole number from `low` to `high`."""
        value = self._get(key, default)
        if type(value) is not int or not low <= value <= high:
            self._refuse(key, f"is {shown(value)}, not a whole number from {low} to {high}")
        return value

    def whole_or_wholes(self, key: str, low: int, high: int) -> list[int]:
        """A whole number from `low` to `high`, or a list of such, as a list."""
        value = self._get(key, None)
        ids = value if isinstance(value, list) else [value]
        if not all(type(id) is int and low <= id <= high for id in ids):
            kind = "whole numbers" if isinstance(value, list) else "a whole number"
            self._refuse(key, f"is {shown(value)}, not {kind} from {low} to {high}")
        return ids

    def fraction(self, key: str, default: float | None = None) -> float:
        """A number between 0 and 1."""
        value = self._get(key, default)
        if type(value) is not float or not 0 < value < 1:
            self._refuse(key, f"is {shown(value)}, not a number between 0 and 1")
        return value

    def number(self, key: str, low: float, high: float, default: float | None = None) -> float:
        """A number above `low`, or the default, and up to `high`."""
        value = self._get(key, default)
        if type(value) not in (int, float) or not (low < value <= high or value == default):
            self._refuse(key, f"is {shown(value)}, not a number above {low:g} and up to {high:g}")
        return float(value)

    def flag(self, key: str, default: bool | None = None) -> bool:
        value = self._get(key, default)
        if not isinstance(value, bool):
            self._refuse(key, f"is {shown(value)}, not true or false")
        return value

    def texts(self, key: str, default: Sequence[str] | None = None) -> Sequence[str]:
        """A list of texts, as the file has it."""
        value = self._get(key, default)
        if not are_texts(value):
            self._refuse(key, f"is {shown(value)}, not a list of texts")
        return value  # type: ignore[no-any-return]

    def wholes(self, key: str, default: Sequence[int] | None = None) -> NDArray[np.integer[Any]]:
        """A list of whole numbers."""
        value = self._get(key, default)
        if isinstance(value, list) and all(type(v) is int and -1 << 63 <= v < 1 << 63 for v in value):
            value = np.array(value, np.int64)
        if not isinstance(value, np.ndarray) or value.ndim != 1 or value.dtype.kind not in "iu":
            self._refuse(key, f"is {shown(value)}, not a list of whole numbers")
        return value


def are_texts(value: Any) -> bool:
    """Whether it is a list of texts."""
    return isinstance(value, Texts) or (
        isinstance(value, list | tuple) and all(isinstance(item, str) for item in value)
    )
