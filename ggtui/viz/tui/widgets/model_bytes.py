"""The bytes of a model file's tensors, grouped, as lines of text."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod

from rich.text import Text

from ggtui.viz.messages import TensorFact
from ggtui.viz.text import printable_line
from ggtui.viz.tui.widgets.lines import text_line
from ggtui.viz.tui.widgets.owners import amount
from ggtui.viz.tui.widgets.plot import bar

GROUPINGS = ("layer", "type", "tensor")
_LAYER = re.compile(r"blk\.\d+(?=\.)")
_NAME_MOST, _SHARE, _NOTE_MOST, _BAR_LEAST = 40, 8, 28, 4
_GREEN = "#8fbf6a"


@dataclass(slots=True)
class Group:
    """Some tensors: their bytes by type, and the sizes of a single one."""

    name: str
    n_tensors: int = 0
    types: dict[str, int] = field(default_factory=dict)
    n_elements: int = 0
    ne: tuple[int, ...] = ()

    @property
    def n_bytes(self) -> int:
        return sum(self.types.values())


def groups(tensors: Sequence[TensorFact], by: str) -> list[Group]:
    """The tensors by one of GROUPINGS, in the order in which the file has the first of each."""
    found: dict[str, Group] = {}
    for t in tensors:
        key = t.type if by == "type" else t.name if by == "tensor" else layer_of(t.name)
        group = found.setdefault(key, Group(key))
        group.n_tensors += 1
        group.types[t.type] = group.types.get(t.type, 0) + t.n_bytes
        group.n_elements += prod(t.ne)
        group.ne = t.ne
    return list(found.values())


def of_types(types: Mapping[str, int]) -> list[Group]:
    """What a saved run knows of its model: the bytes of the matrices of each type."""
    return [Group(name, types={name: n_bytes}) for name, n_bytes in types.items()]


def layer_of(name: str) -> str:
    """blk.3.ffn_up.weight: blk.3; what belongs to no layer goes by its own name: token_embd.weight: token_embd."""
    match = _LAYER.match(name)
    return match[0] if match else name.removesuffix(".weight").removesuffix(".bias")


def note(group: Group, by: str) -> str:
    """What else there is to say: types and their shares, bits of a weight, sizes."""
    if by == "tensor":
        last = max((i for i, n in enumerate(group.ne) if n != 1), default=0)
        return f"{next(iter(group.types))} {' x '.join(str(n) for n in group.ne[: last + 1])}"
    if by == "type":
        if not group.n_elements:
            return ""
        count = f"{group.n_tensors} tensor{'s' * (group.n_tensors != 1)}"
        return f"{count}, {group.n_bytes * 8 / group.n_elements:.2f} bits each"
    heaviest = sorted(group.types, key=lambda t: -group.types[t])
    if len(heaviest) == 1:
        return heaviest[0]
    return " ".join(f"{t} {group.types[t] / max(group.n_bytes, 1):.0%}" for t in heaviest)


def table(
    rows: Sequence[Group], by: str, width: int, height: int, first: int, *, mib: bool, ascii_only: bool
) -> list[Text]:
    """A heading and the rows from `first` on, as far as `height` lines have room."""
    total, most = sum(g.n_bytes for g in rows), max((g.n_bytes for g in rows), default=1)
    names = [printable_line(g.name) for g in rows]
    notes = [note(g, by) for g in rows]
    amounts = [amount(g.n_bytes, mib) for g in rows]
    number = max(map(len, ["size", *amounts])) + 2
    name_width = min(max(map(len, [by, *names])), _NAME_MOST, max(width - number, 8))
    note_width = min(max(map(len, notes), default=0), _NOTE_MOST)
    # Of a tensor its sizes matter most; else share and bar.
    free = width - name_width - number - (note_width + 2 if by == "tensor" else 0)
    share_width = _SHARE if free >= _SHARE else 0
    if by == "tensor":
        note_width = note_width if free >= 0 else 0
    elif free - share_width - note_width - 2 >= _BAR_LEAST + 2:
        free -= note_width + 2
    else:
        note_width = 0
    room = free - share_width - 2
    shown = range(first, min(first + height - 1, len(rows)))
    seen = f"{first + 1}-{shown.stop} of {len(rows)}" if len(shown) < len(rows) else f"{len(rows)} in all"
    heading = f"{by:<{name_width}}{'size':>{number}}{'share':>8}"[: name_width + number + share_width]
    lines = [text_line(heading, "bold")]
    lines[0].append(f"  {seen}, {amount(total, mib)}")
    for i in shown:
        group = rows[i]
        line = text_line(f"{names[i][:name_width]:<{name_width}}{amounts[i]:>{number}}")
        if share_width:
            line.append(f"{group.n_bytes / max(total, 1):>{share_width}.1%}")
        if room >= _BAR_LEAST:
            line.append("  ").append(bar(group.n_bytes / max(most, 1), room, ascii_only=ascii_only), _GREEN)
        if note_width:
            line.append(f"  {notes[i][:note_width]}")
        lines.append(line)
    return lines
