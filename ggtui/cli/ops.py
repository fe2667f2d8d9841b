"""Every op of graphs: what it computes, and the types and sizes of its operands.

--check computes each op on a device over a table of types, shapes, broadcasts and strides, and compares what comes out
with the op in numpy, in float64: for whoever writes a kernel or a device. NMSE is the squared error over the squared
values; the line of an op shows the case that uses most of its bound, and the best speed of the large cases. The exit
code is 1 when a case is out of bounds.

examples:
  ggtui ops                                    every op
  ggtui ops --op rope                          all about one
  ggtui ops --check                            every op on this processor
  ggtui ops --check --op mul_mat -v            every case of one op, with times
  ggtui ops --check --op mul_mat --case "q4*"  only cases whose name matches
  ggtui ops --check --isa scalar -t 1          other instructions, one thread
"""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ggtui.cli.flags import add_setting, resolve
from ggtui.core.errors import UsageError
from ggtui.viz.text import color_wanted

if TYPE_CHECKING:
    from ggtui.core.runtime.check import Result

OUT_OF_BOUNDS = 1
_NAME = 19  # columns of an op's name
_RED, _PLAIN = "\x1b[31m", "\x1b[0m"
_HEADING = f"{'op':<18} {'types':<12} {'cases':>5}  {'worst NMSE':>10}  {'bound':>7}  speed"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--op", action="append", default=[], metavar="NAME", help="only this op; may be repeated")
    parser.add_argument("--check", action="store_true", help="compute each op and compare it with numpy")
    parser.add_argument("--device", metavar="NAME", help="with --check: what computes (default cpu)")
    parser.add_argument("--case", metavar="PATTERN", help="with --check: only cases whose name matches, as in a shell")
    parser.add_argument("--json", action="store_true", help="as JSON")
    add_setting(parser, "threads")
    add_setting(parser, "isa")
    parser.add_argument("-q", "--quiet", action="store_true", help="with --check: say nothing at the end")
    parser.add_argument("-v", "--verbose", action="store_true", help="with --check: a line a case")


def run(args: argparse.Namespace) -> int:
    if args.check:
        resolve(args, ("threads", "isa"))
        return _check(args)
    given = {"--device": args.device, "--case": args.case, "-t": args.threads, "--isa": args.isa}
    given |= {"-q": args.quiet or None, "-v": args.verbose or None}
    for flag, value in given.items():
        if value is not None:
            raise UsageError(f"{flag}: only with --check")
    return _list(args)


def _list(args: argparse.Namespace) -> int:
    from ggtui.core.graph.ops import OPS
    from ggtui.core.runtime.check import known_ops

    facts = [describe(op) for op in known_ops(args.op) or OPS]
    if args.json:
        print(json.dumps(facts, indent=2))
    else:
        print("\n".join(line for fact in facts for line in _lines(fact, whole=bool(args.op))))
    return 0


def describe(op: str) -> dict[str, Any]:
    """What is known of an op: its name, how it is called, what it computes, sizes, and the types of each operand."""
    from inspect import cleandoc, signature

    from ggtui.core.graph.ops import OPS
    from ggtui.core.runtime.cases import operand_types

    build, reference = OPS[op].build, OPS[op].reference
    text = cleandoc(build.__doc__ or "")
    about = cleandoc(reference.__doc__ or "").split("\n\n") if reference else []
    call = signature(build)
    plain = [p.replace(annotation=p.empty) for p in call.parameters.values()]
    return {
        "name": op,
        "call": f"{op}{call.replace(parameters=plain, return_annotation=call.empty)}",
        "computes": _first_sentence(text),
        "sizes": about[1].replace("\n", " ") if about else "",
        "operands": operand_types(op),
        "text": text,
    }


def _first_sentence(text: str) -> str:
    paragraph = text.partition("\n\n")[0].replace("\n", " ")
    return re.split(r"(?<=[^l]\.) (?=[A-Z`])", paragraph)[0]  # "et al. 2021" ends none


def _lines(fact: dict[str, Any], *, whole: bool) -> list[str]:
    """An op for a person: in short, or all of it."""
    from shutil import get_terminal_size
    from textwrap import wrap

    width = max(60, min(get_terminal_size((80, 24)).columns - 1, 110))
    if not whole:
        indent = " " * _NAME
        texts = [fact["computes"], fact["sizes"], "; ".join(_types_in_short(fact["operands"]))]
        lines = [line for text in texts if text for line in wrap(text, width - _NAME)]
        return [f"{fact['name']:{_NAME}}{lines[0]}", *(indent + line for line in lines[1:])]
    types = [f"{name}: {', '.join(kinds)}" for name, kinds in fact["operands"].items()]
    sizes = [f"sizes: {fact['sizes']}"] if fact["sizes"] else []
    about = [line for text in (*sizes, *types) for line in wrap(text, width, subsequent_indent="    ")]
    text = [line for row in fact["text"].splitlines() for line in wrap(row, width, subsequent_indent="    ") or [""]]
    return [fact["call"], "", *text, "", *about, ""]


def _types_in_short(operands: dict[str, list[str]]) -> list[str]:
    """The types of each operand, those of one kind together: ["a any type, packed too", "b f32"]."""
    from ggtui.core.graph.types import TYPES

    known = {t.name for t in TYPES.values() if t.file and not t.own}
    told: dict[str, list[str]] = {}
    for name, kinds in operands.items():
        types = [kind for kind in kinds if not kind.endswith(" packed")]
        many = "any type" if known <= set(types) else "any type but i32" if known - {"i32"} <= set(types) else ""
        text = (many or " ".join(types)) + (", packed too" if len(types) < len(kinds) else "")
        told.setdefault(text, []).append(name)
    return [f"{', '.join(names)}: {text}" for text, names in told.items()]


def _check(args: argparse.Namespace) -> int:
    from itertools import groupby

    from ggtui.core.runtime.check import check, select
    from ggtui.core.runtime.cores import usable_cores

    cases = select(args.op, "*" if args.case is None else args.case)
    device, threads = "cpu" if args.device is None else args.device, args.threads or usable_cores()
    main = device.split(",")[0]
    results = check(cases, device, threads=threads, isa=args.isa)
    if args.json:
        found = list(results)
        print(json.dumps([_as_data(result) for result in found], indent=2))
    else:
        found = []
        again = "".join((f" --device {args.device}" if args.device else "", f" --isa {args.isa}" if args.isa else ""))
        for op, group in groupby(results, key=lambda result: result.case.op):
            if not found:
                print(_HEADING)
            rows = []
            for result in group:
                rows.append(result)
                if args.verbose:
                    print(_case_line(result))
            print(_op_line(op, rows, main), flush=True)
            for result in rows:
                if result.problem:
                    print(_failure(result, f"{again} -t {threads}"))
            found += rows
    n_bad = sum(bool(result.problem) for result in found)
    if not (args.quiet or args.json):
        told = "all within their bounds" if not n_bad else f"{n_bad:,} out of bounds"
        elsewhere = sum(result.device not in ("", main) for result in found)
        told += f"; {elsewhere:,} ran on other devices, {device} having nothing for them" if elsewhere else ""
        print(f"{len(found):,} case{'s' * (len(found) > 1)} on {device}, {threads} thread{'s' * (threads > 1)}: {told}")
    return OUT_OF_BOUNDS if n_bad else 0


def _op_line(op: str, results: Sequence[Result], device: str) -> str:
    """Speeds are those of the device: what others did for it is not told by it."""
    worst = max(results, key=lambda result: result.share)
    types = sorted({given.type for result in results for given in result.case.given.values()})
    told = " ".join(types) if len(" ".join(types)) <= 12 else f"{len(types)} types"
    figures = f"{_number(worst.nmse):>10}  {_bound(worst):>7}"
    speeds = _best_speeds(r for r in results if r.device in ("", device))
    return f"{op:<18} {told:<12} {len(results):>5,}  {figures}  {speeds}".rstrip()


def _case_line(result: Result) -> str:
    operands = ", ".join(map(str, result.case.given.values()))
    figures = f"{_number(result.nmse):>8} of {_bound(result):>7}  {result.ns / 1e3:9,.1f} us"
    speed = f"  {_speed(result.speed)}" if result.speed else ""
    return f"  {result.case.name:<28} {figures}{speed}  {operands}"


def _failure(result: Result, how: str) -> str:
    case = result.case
    line = f"  {case}: {result.problem}; again: ggtui ops --check --op {case.op} --case {case.name}{how}"
    return f"{_RED}{line}{_PLAIN}" if color_wanted(sys.stdout) else line


def _best_speeds(results: Iterable[Result]) -> str:
    best: dict[str, float] = {}
    for result in results:
        if result.speed:
            value, unit = result.speed
            best[unit] = max(value, best.get(unit, 0.0))
    return ", ".join(_speed((value, unit)) for unit, value in best.items())


def _speed(speed: tuple[float, str]) -> str:
    value, unit = speed
    return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f} {unit}"


def _number(nmse: float | None) -> str:
    return "none" if nmse is None else f"{nmse:.1e}" if nmse else "0"


def _bound(result: Result) -> str:
    return f"{result.case.bound:.0e}" if result.case.bound else "exact"


def _as_data(result: Result) -> dict[str, Any]:
    case, speed = result.case, result.speed
    return {
        "op": case.op,
        "case": case.name,
        "operands": {name: str(given) for name, given in case.given.items()},
        "nmse": result.nmse if result.nmse is not None and math.isfinite(result.nmse) else None,
        "bound": case.bound,
        "problem": result.problem,
        "device": result.device,
        "us": result.ns / 1e3,
        "speed": {"value": speed[0], "unit": speed[1]} if speed else None,
    }
