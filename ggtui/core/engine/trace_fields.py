"""Records made of JSON by the annotations of their fields, each value checked.

A trace may have 60,000 nodes, so it is one field of all of them that is looked at at a time: that is many times faster
than one node after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from itertools import accumulate, chain, pairwise
from operator import itemgetter
from reprlib import repr as shown
from typing import Any, get_args, get_origin, get_type_hints

import numpy as np

from ggtui.core.graph.cost import Cost
from ggtui.core.runtime import record as kinds
from ggtui.core.runtime.record import COLUMNS, NodeRecord, Records, TensorInfo

SIZES = ("n_tokens", "n_kv", "n_seen", "n_read", "n_outputs")  # of TokenRecord.sizes
LIMIT = 1 << 62  # times, counts and sizes are below: sums and differences of two fit into 64 bits
_MOST_FLOAT = float(LIMIT) ** 3  # a sum of squares of times
_MOST_FACTORS = 4  # sizes that a term of a cost multiplies
_MOST_DIMS = 4
# The least that numbers of these fields are; that of all others is 0.
_LEAST = {
    "TensorInfo.ne": 1, "GraphInfo.n_tokens": 1, "TokenRecord.n_tokens": 1,
    "NodeTotal.node": kinds.WAKE, "NodeTotal.count": 1, "RunInfo.loads": 1, "Unscheduled.span_ns": 1,
    "Limits.threads": 1, "Limits.read": 1, "Limits.f32": 1,
}  # fmt: skip


def read_records(kind: Any, items: Sequence[Any], where: str, least: int = 0) -> list[Any]:
    """Values of JSON as the annotation `kind` of a field has them. Raises ValueError that begins with `where` for one
    that is not of this kind, or a number under `least`."""
    origin, args = get_origin(kind), get_args(kind)
    if kind == Sequence[NodeRecord]:
        return [_table(item, where) for item in items]
    if kind is Cost:
        return _costs(items, where)
    if isinstance(kind, type) and is_dataclass(kind):
        return _objects(kind, items, where)
    if origin is tuple:
        _of(items, where, "a list", list, tuple)
        if args[-1] is not Ellipsis:
            _lists(items, len(args), where, f"a list of {len(args)} values")
            columns = ([item[i] for item in items] for i in range(len(args)))
            read = (read_records(arg, column, where, least) for arg, column in zip(args, columns, strict=True))
            return list(zip(*read, strict=True))
        return _split(read_records(args[0], list(chain.from_iterable(items)), where, least), items)
    if origin is Mapping:
        _of(items, where, "an object", dict)
        _texts([key for item in items for key in item], where)
        values = _split(read_records(args[1], [v for item in items for v in item.values()], where, least), items)
        return [dict(zip(item, its, strict=True)) for item, its in zip(items, values, strict=True)]
    if args:  # X | None
        given = iter(read_records(args[0], [item for item in items if item is not None], where, least))
        return [None if item is None else next(given) for item in items]
    if kind is int:
        _whole_numbers(items, where, least)
    elif kind is float:
        wanted = f"a number from {least} on, within all measure"
        _all(items, where, wanted, lambda item: type(item) in (int, float) and least <= item < _MOST_FLOAT)
        return list(map(float, items))
    elif kind is str:
        _texts(items, where)
    else:
        _of(items, where, f"a {kind.__name__}", kind)
    return list(items)


def read_rows(kind: Any, rows: Sequence[Any], where: str) -> list[Any]:
    """Records that lie in rows, without the names of their fields. Raises ValueError as read_records."""
    names = [f.name for f in fields(kind)]
    _lists(rows, len(names), where, f"a row of {len(names)} values")
    return _objects(kind, [dict(zip(names, row, strict=True)) for row in rows], where)


def _objects(kind: Any, items: Sequence[Any], where: str) -> list[Any]:
    _of(items, where, "an object", dict)
    names = [f.name for f in fields(kind)]
    values_of = itemgetter(*names)  # all fields of one after the other, as they lie in memory
    try:
        rows = list(map(values_of, items)) if set(map(len, items)) <= {len(names)} else None
    except KeyError:
        rows = None
    if rows is None:
        rows = [values_of(_whole(kind, item, where)) for item in items]
    columns = zip(*rows, strict=True) if rows else [()] * len(names)
    read = [
        read_records(_hints(kind.__name__)[name], column, f"{where}.{name}", _LEAST.get(f"{kind.__name__}.{name}", 0))
        for name, column in zip(names, columns, strict=True)
    ]
    if kind is TensorInfo and not set(map(len, read[2])) <= set(range(1, _MOST_DIMS + 1)):
        _all(read[2], f"{where}.ne", f"1 to {_MOST_DIMS} sizes", lambda ne: 0 < len(ne) <= _MOST_DIMS)
    return list(map(kind, *read))


def _whole(kind: Any, item: dict[str, Any], where: str) -> dict[str, Any]:
    """An item with the values of those fields that it need not have."""
    found = dict(item)
    for f in fields(kind):
        if f.name not in found and f.default is MISSING and f.default_factory is MISSING:
            raise ValueError(f"{where} has no {f.name}")
        if f.name not in found:
            found[f.name] = f.default if f.default_factory is MISSING else f.default_factory()
    if len(found) > len(fields(kind)):
        unknown = min(found.keys() - {f.name for f in fields(kind)})
        raise ValueError(f"{where} has {shown(unknown)}, which is no field of it")
    return found


@cache
def _hints(name: str) -> dict[str, Any]:
    return get_type_hints(getattr(kinds, name))


def _split(values: list[Any], items: Sequence[Any]) -> list[tuple[Any, ...]]:
    """The values of all items, as many for each as it has."""
    lengths = list(map(len, items))
    if len(set(lengths)) == 1 and lengths[0]:
        return list(zip(*[iter(values)] * lengths[0], strict=True))
    ends = list(accumulate(lengths, initial=0))
    return [tuple(values[start:end]) for start, end in pairwise(ends)]


def _all(items: Sequence[Any], where: str, wanted: str, fits: Callable[[Any], bool]) -> None:
    for item in items:
        if not fits(item):
            raise ValueError(f"{where} is {shown(item)}, not {wanted}")


def _of(items: Sequence[Any], where: str, wanted: str, *types: type) -> None:
    if not set(map(type, items)) <= set(types):
        _all(items, where, wanted, lambda item: type(item) in types)


def _lists(items: Sequence[Any], length: int, where: str, wanted: str) -> None:
    """Raise ValueError where one is not a list of this length."""
    _of(items, where, wanted, list, tuple)
    if not set(map(len, items)) <= {length}:
        _all(items, where, wanted, lambda item: len(item) == length)


def _whole_numbers(items: Sequence[Any], where: str, least: int) -> None:
    if set(map(type, items)) <= {int} and (not items or (least <= min(items) and max(items) < LIMIT)):
        return
    wanted = f"a whole number from {least} to 2^62 - 1"
    _all(items, where, wanted, lambda item: type(item) is int and least <= item < LIMIT)


def _texts(items: Sequence[Any], where: str) -> None:
    _of(items, where, "a text", str)
    try:
        "".join(items).encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{where} has half of a surrogate pair, which is no character") from error


def _costs(items: Sequence[Any], where: str) -> list[Any]:
    _of(items, where, "a list", list)
    terms = list(chain.from_iterable(items))
    _lists(terms, 2, where, "a list of a number and names of sizes")
    numbers = [n for n, _ in terms]
    _whole_numbers(numbers, where, 1 - LIMIT)
    names = [names for _, names in terms]
    _of(names, where, "a list of names of sizes", list)
    factors = list(map(tuple, names))
    try:
        strange = [f for f in set(factors) if len(f) > _MOST_FACTORS or not set(f) <= set(SIZES)]
    except TypeError:  # lists are not hashable, nor are they names
        strange = factors
    if strange:
        known = f"at most {_MOST_FACTORS} of {' and '.join(SIZES)}"
        raise ValueError(f"{where} is multiplied with {shown(strange[0])}, but sizes are {known}")
    return list(map(Cost, _split(list(zip(numbers, factors, strict=True)), items)))


def _table(rows: Any, where: str) -> Records:
    """The records of an evaluation: of times that run on."""
    _of([rows], where, "a list of rows", list, tuple)
    n, names = len(COLUMNS), ", ".join(COLUMNS)
    _lists(rows, n, where, f"a row of {names}")
    values = list(chain.from_iterable(rows))
    _of(values, where, "a whole number", int)
    try:
        table = np.array(values, np.int64).reshape(-1, n)
    except OverflowError as error:
        raise ValueError(f"{where} has a number that does not fit into 64 bits") from error
    start, end, done = table[:, 3], table[:, 4], table[:, 5]
    bad = (start < 0) | (end < start) | (done < end) | (done >= LIMIT)
    if bad.any():
        said = ", ".join(map(str, table[bad.argmax()].tolist()))
        raise ValueError(f"{where} has the row {said}, but 0 <= start <= end <= done < 2^62 must hold")
    return Records(table)
