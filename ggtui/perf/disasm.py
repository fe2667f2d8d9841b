"""The machine code of a kernel's hot loop, through objdump."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

from ggtui.core.errors import GgtuiError, MissingPartError, UsageError
from ggtui.core.runtime.cpu.native import ISAS, lib, lib_file

_SYMBOL = re.compile(r"([0-9a-f]+) .{6}F \.text\s+([0-9a-f]+)\s+(?:\.hidden )?(\S+)")
_LINE = re.compile(r"\s*([0-9a-f]+):\s+(\S.*)")
_JUMP = re.compile(r"(?:j\w+|b(?:\.\w+)?|cbn?z\s+\w+,|tbn?z\s+\w+,\s*#\w+,)\s+(?:0x)?([0-9a-f]+)\b")
# What a loop does on its numbers, more of which makes it the hot one: products and sums of vectors.
_ARITHMETIC = re.compile(
    r"(?:\{vex\} )?v?p?(?:fn?m\w+|dp\w+|madd\w+|mul\w+|add[pbwd]\w*)|fmla|sdot|smull|sadalp|max\w+|min\w+"
)


@dataclass(frozen=True, slots=True)
class Loop:
    """A loop of a kernel: the function it stands in, its instructions as objdump writes them, and how many instructions
    the kernel has with all its helpers."""

    symbol: str
    lines: tuple[str, ...]
    n_instructions: int


def hot_loop(kernel: str, isa: str) -> Loop:
    """The innermost loop of a kernel (mul_mat_q4_0, gelu) with the most arithmetic in it.

    Helpers that the compiler left as functions of their own are looked at too: they stand before the kernel, up to the
    kernel before. Raises UsageError for an unknown kernel, MissingPartError without objdump.
    """
    functions = _functions()
    known: dict[str, int] = {}
    for name in _with_bases(isa):  # a kernel that the set has not of its own is that of the set it builds on
        ending = f"_{name}"
        for i, (_, _, symbol) in enumerate(functions):
            if symbol.startswith("gg_") and symbol.endswith(ending):
                known.setdefault(symbol.removeprefix("gg_").removesuffix(ending), i)
    if kernel not in known:
        raise UsageError(f"--disasm {kernel}: no such kernel for {isa}; there are {', '.join(sorted(known))}")
    last = known[kernel]
    first = last
    while first > 0 and not functions[first - 1][2].startswith("gg_"):
        first -= 1
    begin, end = functions[first][0], functions[last][0] + functions[last][1]
    text = _objdump("-d", "--no-show-raw-insn", f"--start-address={begin:#x}", f"--stop-address={end:#x}")
    code = [(int(m[1], 16), m[2].strip()) for m in map(_LINE.match, text.splitlines()) if m]
    loop = _innermost(code)
    inside = next(name for start, size, name in functions if start <= loop[0][0] < start + size)
    return Loop(inside, tuple(f"{address:8x}  {text}" for address, text in loop), len(code))


def _with_bases(isa: str) -> Iterator[str]:
    index = ISAS.index(isa)
    while index >= 0:
        yield ISAS[index]
        index = lib.gg_isa_base(index)


def _innermost(code: list[tuple[int, str]]) -> list[tuple[int, str]]:
    """Of the loops that hold no other loop the one with the most arithmetic; all of it where there is none."""
    place = {address: i for i, (address, _) in enumerate(code)}
    loops = []
    for i, (_, instruction) in enumerate(code):
        jump = _JUMP.match(instruction)
        start = place.get(int(jump[1], 16)) if jump else None
        if start is not None and start <= i:
            loops.append((start, i))
    inner = [a for a in loops if not any(b != a and a[0] <= b[0] and b[1] <= a[1] for b in loops)]

    def weight(loop: tuple[int, int]) -> tuple[int, int]:
        body = code[loop[0] : loop[1] + 1]
        return sum(bool(_ARITHMETIC.match(text)) for _, text in body), len(body)

    start, end = max(inner, key=weight, default=(0, len(code) - 1))
    return code[start : end + 1]


def _functions() -> list[tuple[int, int, str]]:
    """Address, size and name of every function, in the order of addresses."""
    found = set()
    for line in _objdump("-t").splitlines():
        m = _SYMBOL.match(line)
        if m and int(m[2], 16):
            found.add((int(m[1], 16), int(m[2], 16), m[3]))
    return sorted(found)


def _objdump(*args: str) -> str:
    program = shutil.which("objdump")
    if program is None:
        raise MissingPartError("--disasm: objdump is not installed; install it with: apt-get install binutils")
    done = subprocess.run([program, *args, lib_file()], capture_output=True, text=True, timeout=120, check=False)
    if done.returncode != 0:
        raise GgtuiError(f"--disasm: objdump failed: {done.stderr.strip().splitlines()[-1:] or done.returncode}")
    return done.stdout
