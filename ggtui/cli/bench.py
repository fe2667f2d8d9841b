"""Measure prompt and generation speed, as llama-bench does: a line for each model, number of threads and test.

ppN reads a prompt of N tokens at once, tgN generates N tokens from an empty context; with -d behind that many others.
Each test runs once to warm up and then -r times; the table has the mean and the standard deviation. The limit is what
binds, memory or compute, and the part reached of what this machine allowed right before, on as many threads; what is
faster than memory came from a cache, and is held against that. Where other programs, or other virtual machines, used 5%
or more of the cores, a line after the table says so.

With --type or --shape the model is a GPT-2 or a Llama of that size with random weights, made in memory. Where a flag
takes a list there are commas in it, and each combination is measured.

The other outputs have more than the table: all fields of llama-bench in its order, with what ggtui has no choice of as
it is (no GPU layers), then the instruction set, bytes and operations a token, the limit, and what parts of the cores
other programs (others) and other virtual machines (stolen) used. llama.cpp's script
compare-llama-bench.py reads them: two builds of ggtui by -b and -c with their build_commit, and with --tool llama-bench
where the file is no database. Into a database that ggtui began llama-bench adds its own.

examples:
  ggtui bench                                 the built-in model
  ggtui bench a.gguf b.gguf -t 1,2            two models, on one and two threads
  ggtui bench --shape 124M --type q4_0,f16    no model at hand
  ggtui bench -p 0 -n 64 -d 10,900 -o json    generation alone, near and far
  ggtui bench --shape 355M -o sql | sqlite3 llama-bench.sqlite
"""

from __future__ import annotations

import argparse
import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from functools import partial
from itertools import compress
from typing import TYPE_CHECKING, Any, NamedTuple

from ggtui.chat.settings import SETTINGS, Setting, values_of
from ggtui.cli.flags import FILE, add_output, add_setting, note, resolve
from ggtui.core.errors import UsageError
from ggtui.viz.text import printable_line

if TYPE_CHECKING:
    from ggtui.core.files import ModelFile
    from ggtui.perf.bench import Result, Task

_LOADING = ("batch", "kv-type", "device", "layers-on")
_COUNTS = {"n-prompt": (512,), "n-gen": (128,), "n-depth": (0,)}
_MOST = 1 << 20  # tokens of a test
_NAMED = 5  # rows named that were measured while others used the cores


def add_arguments(parser: argparse.ArgumentParser) -> None:
    models = parser.add_argument("models", nargs="*", metavar="MODEL", help="models; without any the built-in one")
    models.complete = FILE  # type: ignore[attr-defined]
    add_setting(parser, "type-from")
    tests = parser.add_argument_group("what to measure")
    _counts(tests, "-p", "n-prompt", "tokens of a prompt; 0: no prompts")
    _counts(tests, "-n", "n-gen", "tokens to generate; 0: no generation")
    _counts(tests, "-d", "n-depth", "tokens in the context before")
    repeat = Setting("repetitions", int, 5, "", low=1)
    tests.add_argument("-r", "--repetitions", type=partial(repeat.parse, source="-r"), default=5, metavar="N",
                       help="how often each test is timed (default 5)")  # fmt: skip
    _listed(tests, "-t", SETTINGS["threads"], "threads; without it the physical cores this process may use")
    isas = ", ".join(SETTINGS["isa"].choices)
    _listed(tests, None, SETTINGS["isa"], f"instruction sets: {isas}; without it the best one")
    for name in _LOADING:
        add_setting(tests, name)
    random = parser.add_argument_group("random weights")
    random.add_argument("--type", type=_names, metavar="TYPE,...", help="tensor types or mixes (default q4_0)")
    random.add_argument("--shape", type=_names, metavar="SIZE,...",
                        help="124M, 355M, 774M, 1558M, 1.1B, 7B (default 124M)")  # fmt: skip
    parser.add_argument("-o", "--output", choices=OUTPUTS, default="md", metavar="FORMAT",
                        help="md, csv, json, jsonl or sql (default md)")  # fmt: skip
    add_output(parser)


def _counts(group: Any, short: str, name: str, text: str) -> None:
    default = _COUNTS[name]
    setting = Setting(name, int, None, "", high=_MOST)
    _listed(group, short, setting, f"{text} (default {default[0]})", default)


def _listed(group: Any, short: str | None, setting: Setting, text: str, default: tuple[int, ...] | None = None) -> None:
    flags = [*([short] if short else []), f"--{setting.name}"]
    parse = partial(_values, setting, flags[-1])
    group.add_argument(*flags, type=parse, default=default, metavar=f"{setting.metavar},...", help=text)


def _values(setting: Setting, flag: str, text: str) -> tuple[Any, ...]:
    return tuple(setting.parse(part, flag) for part in text.split(","))


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


def run(args: argparse.Namespace) -> int:
    resolve(args, ("model", "threads", "isa", *_LOADING))
    from ggtui.core.runtime.cores import usable_cores
    from ggtui.core.runtime.cpu.native import isa_index
    from ggtui.perf.bench import check

    threads = args.threads or usable_cores()
    args.threads = threads if isinstance(threads, tuple) else (threads,)
    args.isa = args.isa if isinstance(args.isa, tuple) else (args.isa,)
    tasks, models = _tasks(args), list(_models(args))
    for isa in args.isa:  # rather than after an hour
        isa_index(isa)
    for file in models:
        for task in tasks:
            check(file, task)
    output = OUTPUTS[args.output]
    with_isa = len(args.isa) > 1
    print("".join(f"{line}\n" for line in output.begin(with_isa)), end="", flush=True)
    results: list[Result] = []
    for result in _results(args, models, tasks):
        print(output.row(result, with_isa, not results), end="", flush=True)
        results.append(result)
    print(output.end(results[-1]), end="", flush=True)
    if said := _busy(results):
        note(args, said)
    return 0


def _tasks(args: argparse.Namespace) -> list[Task]:
    from ggtui.perf.bench import Task

    tasks = [Task(n, 0, d) for d in args.n_depth for n in args.n_prompt if n]
    tasks += [Task(0, n, d) for d in args.n_depth for n in args.n_gen if n]
    if not tasks:
        raise UsageError("there is nothing to measure; give -p or -n a number over 0")
    return tasks


def _models(args: argparse.Namespace) -> Iterator[ModelFile]:
    from ggtui.core.engine.model import BUILT_IN
    from ggtui.core.files import open_model
    from ggtui.core.models import check_model
    from ggtui.perf.random_model import SHAPES, random_model

    if args.type is None and args.shape is None:
        for path in args.models or [args.model or BUILT_IN]:
            file = open_model(path)
            check_model(file)
            yield file
        return
    if args.models:
        raise UsageError(f"{args.models[0]}: not together with --type or --shape, which stand for random weights")
    for shape in args.shape or ("124M",):
        if shape not in SHAPES:
            raise UsageError(f"--shape {shape!r}: must be {' or '.join(SHAPES)}")
        for kind in args.type or ("q4_0",):
            yield random_model(shape, kind)


def _results(args: argparse.Namespace, models: Sequence[ModelFile], tasks: Sequence[Task]) -> Iterator[Result]:
    from ggtui.cli.loading import load
    from ggtui.perf.bench import bench
    from ggtui.perf.roofline import measure, runs_on
    from ggtui.viz.progress import progress_bar

    for file in models:
        for isa in args.isa:
            for threads in args.threads:
                options = {"threads": threads, "isa": isa, "rest": False, **values_of(args, _LOADING)}
                session = load(file, quiet=args.quiet, **options)
                for task in tasks:
                    what = f"{task.name}, {threads} thread{'s' * (threads > 1)}"
                    with progress_bar(what, quiet=args.quiet) as progress:
                        session.watch.begin()
                        limits = measure(*runs_on(session))
                        result = bench(session, file, task, limits, args.repetitions, progress)
                    yield result


def _busy(results: Sequence[Result]) -> str:
    """What others used of the cores, and in which rows where not in all; "" for nothing to speak of."""
    from ggtui.perf.words import used_by_others

    shares = [(r.others, r.stolen) for r in results]
    disturbed = [bool(used_by_others(share)) for share in shares]
    if not any(disturbed):
        return ""
    names = [(r.model_type, r.isa, f"{r.n_threads} thread{'s' * (r.n_threads > 1)}", r.task.name) for r in results]
    telling = [len(set(column)) > 1 for column in zip(*names, strict=True)]
    rows = [" ".join(compress(name, telling)) for name in compress(names, disturbed)]
    more = f" and {len(rows) - _NAMED} more" if len(rows) > _NAMED else ""
    where = "" if all(disturbed) else f" ({', '.join(rows[:_NAMED])}{more})"
    return f"{used_by_others(*shares)}{where}; tokens a second and limits are those of this moment"


# ---- what is printed ----


class Output(NamedTuple):
    """A format: the lines before the results, the text of one (the first one?), and the text after the last."""

    begin: Callable[[bool], Sequence[str]]
    row: Callable[[Result, bool, bool], str]
    end: Callable[[Result], str]


_COLUMNS = (
    ("model", 22), ("size", 11), ("params", 9), ("backend", 7), ("isa", 6), ("threads", 7), ("test", 14),
    ("t/s", 18), ("limit", 12),
)  # fmt: skip
_LEFT = ("model", "backend", "isa")


def _md_line(cells: Mapping[str, str], with_isa: bool) -> str:
    shown = [(name, width) for name, width in _COLUMNS if with_isa or name != "isa"]
    sides = (cells[n].ljust(width) if n in _LEFT else cells[n].rjust(width) for n, width in shown)
    return f"| {' | '.join(sides)} |"


def _md_begin(with_isa: bool) -> list[str]:
    rule = {name: "-" * width if name in _LEFT else "-" * (width - 1) + ":" for name, width in _COLUMNS}
    return [_md_line({name: name for name, _ in _COLUMNS}, with_isa), _md_line(rule, with_isa)]


def _md_row(result: Result, with_isa: bool, first: bool) -> str:
    cells = {
        "model": printable_line(result.model_type),
        "size": _size(result.model_size),
        "params": f"{result.model_n_params / 1e6:.2f} M",
        "backend": result.backends,
        "isa": result.isa,
        "threads": str(result.n_threads),
        "test": result.task.name,
        "t/s": f"{result.avg_ts:.2f} ± {result.stddev_ts:.2f}",
        "limit": f"{result.limit} {result.of_limit:.0%}" if result.limit else "",
    }
    return _md_line(cells, with_isa) + "\n"


def _md_end(last: Result) -> str:
    return f"\nbuild: ggtui {last.build_commit} ({last.build_number}); {printable_line(last.cpu_info)}\n"


def _size(n_bytes: int) -> str:
    return f"{n_bytes / (1 << 30):.2f} GiB" if n_bytes >= 1 << 30 else f"{n_bytes / (1 << 20):.2f} MiB"


def _flat(result: Result) -> dict[str, Any]:
    """The fields of one value; yes and no are 1 and 0, as in llama-bench."""
    values = ((name, value) for name, value in asdict(result).items() if not isinstance(value, tuple))
    return {name: printable_line(value) if isinstance(value, str) else value + 0 for name, value in values}


def _field_types() -> dict[str, str]:
    """Those fields, and their types in SQL."""
    from ggtui.perf.bench import Result

    kinds = {"str": "TEXT", "int": "INTEGER", "bool": "INTEGER", "float": "REAL"}
    return {f.name: kinds[str(f.type)] for f in fields(Result) if f.type in kinds}


def _csv(values: Sequence[object]) -> str:
    out = io.StringIO()
    csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n").writerow(values)
    return out.getvalue()


def _sql_begin(with_isa: bool) -> list[str]:
    columns = ",\n".join(f'  "{name}" {kind}' for name, kind in _field_types().items())  # limit is a word of SQL's
    return [f"CREATE TABLE IF NOT EXISTS llama_bench (\n{columns}\n);\n"]


def _sql_row(result: Result, with_isa: bool, first: bool) -> str:
    flat = _flat(result)
    values = ", ".join(_sql_text(v) if isinstance(v, str) else repr(v) for v in flat.values())
    names = ", ".join(f'"{name}"' for name in flat)
    return f"INSERT INTO llama_bench ({names}) VALUES ({values});\n"


def _sql_text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _json_row(result: Result, with_isa: bool, first: bool) -> str:
    text = json.dumps(asdict(result), indent=2)
    return ("" if first else ",\n") + "\n".join(f"  {line}" for line in text.splitlines())


OUTPUTS = {
    "md": Output(_md_begin, _md_row, _md_end),
    "csv": Output(
        lambda with_isa: [_csv(list(_field_types())).rstrip("\n")],
        lambda result, with_isa, first: _csv(list(_flat(result).values())),
        lambda last: "",
    ),
    "json": Output(lambda with_isa: ["["], _json_row, lambda last: "\n]\n"),
    "jsonl": Output(
        lambda with_isa: [],
        lambda result, with_isa, first: json.dumps(asdict(result)) + "\n",
        lambda last: "",
    ),
    "sql": Output(_sql_begin, _sql_row, lambda last: ""),
}
