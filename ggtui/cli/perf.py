"""Measure where the time of a model goes: which node, op, layer or type, against what this machine allows.

A session reads a prompt and generates tokens, several times over, after a round to warm up; each round is also run
without the profile, to tell what profiling costs. Then it prints a table for generation and one for the prompt, the
mean over the evaluations that nothing interrupted: the time of a node is that of its slowest lane (a thread, or what
else does one thing after the other) at work, its share is of the time of all lanes, and its shape that of a full batch.
The limit is the part reached of what memory (mem), arithmetic (com) or a cache nearer by (cac) of the device allow,
probed before and after. What lanes wait for each other, and what the system did not schedule them for, is told
apart.

--open shows a saved run: in the full screen on a terminal, else, or with --plain, as these tables.

--compare joins the nodes of this run, or of --open, with those of a saved one, with an interval for each change; ~ is
none that is shown. With --fail-above the exit code is 3 when the whole, or a node with 5% of the work, became slower by
more than that, its interval shows it, and the machine itself did not. What may be slower is called too noisy to tell.

--against runs MODEL and another quantization of it on the same tokens, every op by itself, and shows where precision is
lost: NMSE is the squared error over the squared values of MODEL, added what a node has more of it than what it reads.
--on says on which device MODEL2 runs; without --against it is MODEL that runs on both devices, --device and --on.

examples:
  ggtui perf                                   the built-in model
  ggtui perf model.gguf --by op --top 5        by op, the five that take longest
  ggtui perf --json base.json                  save it ...
  ggtui perf --compare base.json --fail-above 5%   ... fail when it got slower
  ggtui perf --open base.json                  look at a saved one again
  ggtui perf --chrome timeline.json            a timeline for Perfetto
  ggtui perf f16.gguf --against q4.gguf        what quantizing costs, by node
  ggtui perf --on vulkan                       what another device makes of it
  ggtui perf --kernels --isa avx2              each kernel alone
  ggtui perf --kernels --device vulkan         ... those of a GPU
  ggtui perf --disasm mul_mat_q8_0             the machine code of its hot loop
  ggtui perf --device vulkan --disasm output   the shader of a node
"""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from ggtui.chat.settings import LOADING, Setting, values_of
from ggtui.cli.flags import CONFIG_NOTE, FILE, add_loading, add_model, add_output, resolve, without
from ggtui.core.errors import UsageError
from ggtui.viz.terminal import full_screen
from ggtui.viz.text import printable_line, text_for

if TYPE_CHECKING:
    from ggtui.core.engine.session import Session
    from ggtui.core.runtime.record import Trace

REGRESSION = 3
TOP = 20
ATTEMPTS = 3  # at measuring what tells whether something changed
UNCLEAR = 5  # nodes named of which nothing can be told


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from ggtui.perf.export import EXPORTERS
    from ggtui.perf.table import BY

    add_model(parser)
    work = parser.add_argument_group("what to run")
    work.add_argument("-p", "--prompt", metavar="TEXT", help="the prompt; without it tokens drawn at random")
    _count(work, "--n-prompt", 128, "tokens of a random prompt")
    _count(work, "-n", "--n-predict", 64, "tokens to generate")
    _count(work, "-r", "--repeat", 10, "rounds, each of the model loaded anew")
    work.add_argument(
        "--profile", choices=("light", "full"), default="full", metavar="HOW",
        help="full: every record; light: sums alone, of one in seven short runs, no p95, no timelines (default full)",
    )  # fmt: skip
    work.add_argument("--no-fuse", action="store_true", help="run every op of the graph by itself")
    table = parser.add_argument_group("what to print")
    table.add_argument(
        "--by", choices=BY, metavar="WHAT",
        help=f"what a line of the table is: {', '.join(BY)} (default node)",
    )  # fmt: skip
    top = Setting("top", int, None, "", low=1)
    table.add_argument("--top", type=partial(top.parse, source="--top"), metavar="N",
                       help=f"lines of the table (default {TOP})")  # fmt: skip
    table.add_argument("--plain", action="store_true", help="with --open: the table, and not the full screen")
    table.add_argument("--ascii", action="store_true", help="no box characters")
    _file(table, "--open", "a saved trace (--json) instead of a run")
    _file(table, "--compare", "show what changed against a saved trace", metavar="BASE")
    table.add_argument(
        "--fail-above", metavar="PERCENT", type=_percent,
        help="with --compare: exit with 3 when something became slower by more, such as 5%%",
    )  # fmt: skip
    table.add_argument("--force", action="store_true", help="with --compare: also compare what differs in kind")
    other = parser.add_argument_group("other measurements")
    _file(other, "--against", "another quantization of MODEL, on the same tokens", metavar="MODEL2")
    other.add_argument("--on", metavar="DEVICE", help="the device of MODEL2, such as vulkan; without --against MODEL "
                       "itself runs on it too, on the same tokens")  # fmt: skip
    other.add_argument("--kernels", action="store_true", help="each kernel alone: every type, and on the CPU every "
                       "instruction set")  # fmt: skip
    other.add_argument("--disasm", metavar="KERNEL", help="the hot loop of a kernel, such as mul_mat_q4_0; "
                       "with --device vulkan the shader of a node, and what its driver tells of it")  # fmt: skip
    _file(other, "--py-spy", "the flame graph of the Python side, as SVG")
    saved = parser.add_argument_group("what to save", "FILE can be a pipe; - is standard output, but not for SQLite.")
    for exporter in EXPORTERS:
        _file(saved, f"--{exporter.name}", exporter.help)
    add_output(parser)
    add_loading(parser)
    parser.epilog = f"{parser.epilog}\n{CONFIG_NOTE}"


def _count(group: Any, *flags_default_help: Any) -> None:
    *flags, default, text = flags_default_help
    setting = Setting(flags[-1].lstrip("-"), int, default, text, low=1)
    parse = partial(setting.parse, source=flags[-1])
    group.add_argument(*flags, type=parse, default=default, metavar="N", help=f"{text} (default {default})")


def _file(group: Any, flag: str, text: str, metavar: str = "FILE") -> None:
    group.add_argument(flag, metavar=metavar, help=text).complete = FILE


def _percent(text: str) -> float:
    try:
        value = float(text.removesuffix("%")) / 100
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise UsageError(f"--fail-above {text}: must be a percentage of 0 or more, such as 5%")
    return value


def run(args: argparse.Namespace) -> int:
    if args.fail_above is not None and args.compare is None:
        raise UsageError("--fail-above: needs --compare BASE.json to compare with")
    if args.on == "":
        raise UsageError("--on: name a device, such as vulkan")
    modes = ("open", "on" if args.against is None else "against", "kernels", "disasm", "py_spy")
    chosen = [f"--{name.replace('_', '-')}" for name in modes if getattr(args, name)]
    if len(chosen) > 1:
        raise UsageError(f"{chosen[1]}: not together with {chosen[0]}")
    in_screens = _in_screens(args)
    args.by, args.top = args.by or "node", args.top or TOP
    _check_exports(args)
    resolve(args, ("model", *LOADING))
    if in_screens:
        return _screens(args)
    if args.py_spy is not None:
        from ggtui.perf.pyspy import record

        return record(without(args.words, "--py-spy"), args.py_spy)
    from ggtui.cli import perf_modes

    if args.disasm is not None:
        return perf_modes.shaders(args, _session(args)) if args.device != "cpu" else perf_modes.disasm(args)
    if args.kernels:
        return perf_modes.kernels(args)
    if args.against is not None or args.on is not None:
        return perf_modes.against(args)
    return _profile(args)


def _profile(args: argparse.Namespace) -> int:
    from ggtui.core.engine.trace_file import no_collection
    from ggtui.perf import load

    with no_collection() if args.open is not None else nullcontext():
        base = load(args.compare) if args.compare is not None else None
        trace = load(args.open) if args.open is not None else _measured(args, base)
        _save(args, trace)
        code = _compare(args, base, trace) if base is not None else 0
        if not _on_stdout(args):
            print(end="\n" if base is not None else "")
            _print(args, trace)
        return code


def _in_screens(args: argparse.Namespace) -> bool:
    """Whether a saved trace is to be looked at, and nothing else was asked for."""
    table = args.plain or args.by is not None or args.top is not None or args.compare is not None or _exports(args)
    return args.open is not None and not table and full_screen()


def _screens(args: argparse.Namespace) -> int:
    from ggtui.perf import load
    from ggtui.viz.live import Live

    live = Live.of(load(args.open))
    from ggtui.viz.tui.app import run

    return run(None, live, ascii_only=args.ascii)


def _measured(args: argparse.Namespace, base: Trace | None) -> Trace:
    from ggtui.perf.compare import refuse, run_differences, undecided
    from ggtui.perf.measure import made_up_prompt
    from ggtui.viz.progress import progress_bar

    session = _session(args)
    if base is not None and not args.force:  # sooner than after a measurement
        refuse(run_differences(base.run, session.run_info()))
    prompt = session.tokenizer.begin(args.prompt) if args.prompt else made_up_prompt(session, args.n_prompt)
    with progress_bar("measuring", quiet=args.quiet) as progress:
        trace = _measure(args, session, prompt, progress)
        for _ in range(ATTEMPTS - 1):  # the machine changes its pace, and moves threads, mostly for seconds
            if base is None or not undecided(base, trace, args.fail_above):
                break
            trace = _measure(args, _session(args, quiet=True), prompt, progress)
    return trace


def _measure(args: argparse.Namespace, session: Session, prompt: list[int], progress: Any) -> Trace:
    """The machine may change its pace meanwhile, so it is asked before and after, and of just what was read."""
    from ggtui.perf.measure import measure
    from ggtui.perf.roofline import joined, keep, runs_on
    from ggtui.perf.roofline import measure as measure_limits
    from ggtui.perf.stage import stages

    device, pool, isa = runs_on(session)
    before = measure_limits(device, pool, isa)
    trace = measure(session, prompt, args.n_predict, args.repeat, progress, again=partial(_session, args, quiet=True))
    read = [round(float(stage.traffic.sum())) for stage in stages(trace)]
    found = joined(before, measure_limits(device, pool, isa, read))
    return replace(trace, limits=keep(found, device.limits_key(pool.threads, isa)))


def _session(args: argparse.Namespace, *, quiet: bool = False) -> Session:
    """`quiet`: while another bar is drawn."""
    from ggtui.cli.loading import load

    options = {**values_of(args, LOADING), "fused": not args.no_fuse, "record": args.profile, "rest": False}
    return load(args.model, quiet=quiet or args.quiet, **options)


def _exports(args: argparse.Namespace) -> list[tuple[Any, str]]:
    from ggtui.perf.export import EXPORTERS

    return [(e, getattr(args, e.name)) for e in EXPORTERS if getattr(args, e.name) is not None]


def _on_stdout(args: argparse.Namespace) -> bool:
    return any(path == "-" for _, path in _exports(args))


def _check_exports(args: argparse.Namespace) -> None:
    """Raise UsageError where two are to be written into one file."""
    seen: dict[str, str] = {}
    for exporter, path in _exports(args):
        real = os.path.realpath(path)
        if real in seen:
            raise UsageError(f"--{exporter.name}: {path} is the file of --{seen[real]} too; name another one")
        seen[real] = exporter.name


def _save(args: argparse.Namespace, trace: Trace) -> None:
    for exporter, path in _exports(args):
        if path != "-":
            exporter.save(trace, path)
        elif exporter.text is None:
            raise UsageError(f"--{exporter.name} -: can't be written to standard output; name a file")
        else:
            sys.stdout.write(text_for(sys.stdout, exporter.text(trace)))


def _print(args: argparse.Namespace, trace: Trace) -> None:
    from ggtui.perf.stage import stages
    from ggtui.viz import tables

    found = stages(trace)
    if not found:
        name = f"{args.open}: " if args.open else ""
        raise UsageError(f"{name}there is no record of a node in this trace; record it with: ggtui perf --json FILE")
    for stage in found:
        tables.write(sys.stdout, *tables.node_table(stage, args.by, args.top), ascii_only=args.ascii)
        if len(stage.graph.lanes) > 1:
            tables.write(sys.stdout, *tables.lane_table(stage), ascii_only=args.ascii)
    for line in tables.notes(trace):
        print(printable_line(line))


def _compare(args: argparse.Namespace, base: Trace, trace: Trace) -> int:
    from ggtui.perf.compare import compare, differences
    from ggtui.perf.words import busy_machine
    from ggtui.viz import tables

    found = compare(base, trace, args.fail_above, force=args.force)
    out = sys.stderr if _on_stdout(args) else sys.stdout
    tables.write(out, *tables.comparison_table(found, args.top), ascii_only=args.ascii)
    for problem in differences(base, trace):
        print(printable_line(f"compared all the same: {problem}"), file=out)
    for what, names in (("only in the base", found.missing), ("not in the base", found.new)):
        if names:
            more = f" and {len(names) - 10} more" if len(names) > 10 else ""
            print(printable_line(f"{what}: {', '.join(names[:10])}{more}"), file=out)
    for name, run in (("base", base.run), ("now", trace.run)):
        for told in busy_machine(run)[:1]:
            print(f"{name}: {told}", file=out)
    for stage, pace in found.slower_machine.items():
        told = f"its limits say that the machine itself was slower now: of {stage}, {pace - 1:.0%} is no change of ours"
        print(told, file=out)
    if found.handoff:
        before, after = map(tables.duration, found.handoff)
        print(
            f"from one thread to another it took {after} now and {before} in the base: their cores were "
            f"{'farther apart' if found.handoff[1] > found.handoff[0] else 'closer together'}, or busy; times show "
            "little by themselves",
            file=out,
        )
    if found.unclear:
        told = ", ".join(f"{c.key} ({c.stage}, {tables.interval(c.ratio)})" for c in found.unclear[:UNCLEAR])
        more = f" and {len(found.unclear) - UNCLEAR} more" if len(found.unclear) > UNCLEAR else ""
        print(
            printable_line(f"too noisy to tell: {told}{more}; repeat more often (-r) or on a quieter machine"), file=out
        )
    if not found.worse:
        return 0
    worst = max(found.worse, key=lambda c: c.delta)
    most = printable_line(f"most of all {worst.key} ({worst.stage})")
    print(f"slower by more than {args.fail_above:.1%}: {len(found.worse)}, {most}", file=out)
    return REGRESSION
