"""Steps on their way from the engine's process to the screen's.

A frozen record takes microseconds to make and to pickle, a row of its fields a tenth of that, and thousands of tokens a
second are to cost the engine next to nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import fields
from operator import attrgetter
from typing import Any, cast

from ggtui.core.engine.steps import Step
from ggtui.core.runtime.record import TokenRecord

_Row = tuple[Any, ...]  # the fields of a step, then those of its record, but for all that holds node records
_OF_STEP = [f.name for f in fields(Step) if f.name not in ("record", "runs")]
_OF_RECORD = [f.name for f in fields(TokenRecord)]
_RECORD = len(_OF_STEP)
_LEFT_OUT = _RECORD + _OF_RECORD.index("records")
_row: Callable[[Step], _Row] = attrgetter(*_OF_STEP, *(f"record.{name}" for name in _OF_RECORD if name != "records"))


def _steps(rows: list[_Row]) -> tuple[Step, ...]:
    step: Callable[..., Step] = Step  # made by place, which is too much for mypy
    record: Callable[..., TokenRecord] = TokenRecord
    return tuple(step(*row[:_RECORD], record=record(*row[_RECORD:_LEFT_OUT], (), *row[_LEFT_OUT:])) for row in rows)


class PackedSteps:
    """Steps as rows, without their node records, which are big and travel apart. Comes out of a pickle as a tuple of
    steps, each with its record but without its runs."""

    __slots__ = ("_rows",)

    def __init__(self, steps: Iterable[Step] = ()) -> None:
        self._rows = [_row(step) for step in steps]

    def join(self, later: PackedSteps) -> None:
        """Add what came after these."""
        self._rows += later._rows

    @property
    def sent(self) -> tuple[Step, ...]:
        """Itself, as what the other side finds in its place."""
        return cast(tuple[Step, ...], self)

    def __reduce__(self) -> tuple[Callable[[list[_Row]], tuple[Step, ...]], tuple[list[_Row]]]:
        return _steps, (self._rows,)
