"""Run a prompt and see the graph that ran: every node with its shape, type, time and what it reads.

The model goes on with the prompt, always with the likeliest token; what is drawn and printed is the graph that makes
one token, with the mean times over all tokens but the prompt's and those that something interrupted. With -n 1 it is
the graph that reads the prompt. The time of a node is that of its slowest thread or queue, and its share is of the work
of all nodes; what these wait is told apart. Without a flag that says what to do, the graph is printed.

--dot draws with Graphviz's dot, or SVG also with the extra ggtui[dot]; without either the DOT text is left beside FILE
and the exit code is 5. --values runs the prompt without fusion and looks at what every node made; where there is a NaN
the first node that made one is named and the exit code is 1.

examples:
  ggtui trace --dot graph.svg                       a picture of the whole
  ggtui trace --dot layer.png --layers 0 --no-fuse  one layer, op by op
  ggtui trace model.gguf --dot all.svg --collapse layer
  ggtui trace --print -p "The king" -n 50           the graph as text
  ggtui trace --values -p "The king"                what nodes make
  ggtui trace --json run.json --chrome timeline.json
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ggtui.chat.settings import LOADING, Setting, values_of
from ggtui.cli.flags import CONFIG_NOTE, FILE, add_loading, add_model, add_output, note, resolve
from ggtui.core import saving
from ggtui.core.errors import GgtuiError, UsageError
from ggtui.viz.text import printable_line

if TYPE_CHECKING:
    from ggtui.core.engine.session import Session
    from ggtui.core.engine.steps import Step
    from ggtui.core.runtime.record import Trace
    from ggtui.perf.stage import Stage

PROMPT = "Once upon a time"
N_PREDICT = Setting("n-predict", int, 16, "tokens to generate", low=1)
ALTERNATIVES = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from ggtui.viz.dot import COLLAPSE

    add_model(parser)
    parser.add_argument("-p", "--prompt", metavar="TEXT", default=PROMPT, help=f'go on with this text ("{PROMPT}")')
    parser.add_argument(
        "-n", "--n-predict", metavar="N", type=partial(N_PREDICT.parse, source="--n-predict"),
        default=N_PREDICT.default, help=f"{N_PREDICT.help} (default {N_PREDICT.default})",
    )  # fmt: skip
    parser.add_argument("--no-fuse", action="store_true", help="every op a node of its own, as the model is written")
    parser.add_argument(
        "--layers", metavar="LIST", type=_layers, help="draw and print only these layers, such as 0-2 or 0,5"
    )
    do = parser.add_argument_group("what to do")
    _file(do, "--dot", "draw the graph: svg, png, pdf or dot (text), as the name ends")
    do.add_argument(
        "--collapse", choices=COLLAPSE, metavar="WHAT",
        help="of the picture: fold each layer or op into one node; none: draw all (default none below 400 nodes)",
    )  # fmt: skip
    do.add_argument("--edges", action="store_true", help="of the picture: write the bytes of each edge beside it")
    do.add_argument("--print", action="store_true", help="print the graph, a node a line")
    do.add_argument("--values", action="store_true", help="print the least, most, mean and NaNs of every node")
    _file(do, "--json", "save the trace, with what each token and each layer would have liked to say")
    _file(do, "--chrome", "save the timeline for Perfetto and chrome://tracing")
    add_output(parser)
    add_loading(parser)
    parser.epilog = f"{parser.epilog}\n{CONFIG_NOTE}"


def _file(group: Any, flag: str, text: str) -> None:
    group.add_argument(flag, metavar="FILE", help=text).complete = FILE


def _layers(text: str) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"(\d{1,6})(?:-(\d{1,6}))?", part.strip())
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, -1)
        if last < first:
            raise UsageError(f"--layers {text}: must be numbers and ranges from low to high, such as 0-2 or 0,5")
        found.update(range(first, last + 1))
    return frozenset(found)


def run(args: argparse.Namespace) -> int:
    resolve(args, ("model", *LOADING))
    if args.dot is not None:
        from ggtui.viz.picture import check_ending

        check_ending(Path(args.dot))
    from ggtui.cli.loading import load

    options = {**values_of(args, LOADING), "fused": not args.no_fuse, "record": "full", "rest": False}
    session = load(args.model, quiet=args.quiet, **options)
    ids = session.tokenizer.begin(args.prompt)
    if args.layers is not None and min(args.layers) >= session.hparams.n_layer:
        raise UsageError(f"--layers: this model has layers 0 to {session.hparams.n_layer - 1}")
    if args.values and _print_values(args, session, ids):
        return 1
    wanted = args.print or not (args.values or args.dot or args.json or args.chrome)
    if wanted or args.dot or args.json or args.chrome:
        _trace(args, session, ids, print_graph=wanted)
    return 0


def _trace(args: argparse.Namespace, session: Session, ids: list[int], *, print_graph: bool) -> None:
    from ggtui.perf.stage import stages

    steps = _steps(args, session, ids)
    trace = session.trace(run for step in steps for run in step.runs)
    stage = next(iter(stages(trace)), None)
    if stage is None:
        raise GgtuiError("nothing was recorded")
    if args.json is not None:
        _save_json(args.json, session, steps, trace)
    if args.chrome is not None:
        from ggtui.perf.export import EXPORTERS

        next(e for e in EXPORTERS if e.name == "chrome").save(trace, args.chrome)
    if print_graph:
        _print_graph(args, stage)
    _tell_busy(args, trace)
    if args.dot is not None:
        from ggtui.perf.words import what_ran
        from ggtui.viz.dot import dot_text
        from ggtui.viz.picture import check_ending, has_markup, write_picture

        title = f"{session.path.name}, {what_ran(stage.name)}"
        options = {"collapse": args.collapse, "layers": args.layers, "edges": args.edges}
        options["markup"] = has_markup(check_ending(Path(args.dot)))
        write_picture(dot_text(stage.graph, stage, title=title, **options), args.dot)


def _steps(args: argparse.Namespace, session: Session, ids: list[int]) -> list[Step]:
    """The generation, after one that is not recorded, for the first run finds nothing in the caches."""
    from ggtui.viz.interrupt import stop_on_signal

    session.engine.batch = min(session.batch, max(len(ids), 1))  # then the sizes of the prompt's graph are its own
    options: dict[str, Any] = {"temp": 0.0, "ignore_eos": True}
    with stop_on_signal(session.stop):
        session.reset()
        session.recording = False
        for _ in session.generate(ids, min(args.n_predict, 2), **options):
            pass
        session.reset()
        session.recording = True
        return list(session.generate(ids, args.n_predict, **options))


def _tell_busy(args: argparse.Namespace, trace: Trace) -> None:
    from ggtui.perf.words import busy_machine

    for line in busy_machine(trace.run):
        note(args, line)


# ---- what is printed ----


def _print_graph(args: argparse.Namespace, stage: Stage) -> None:
    """As ggml_graph_print does, with times."""
    from ggtui.perf.table import rows
    from ggtui.viz import tables

    evaluation = stage.evals.mean
    by_key = {row.key: row for row in rows(stage)}
    columns = [("node", "right"), ("op", "left"), ("type", "left"), ("ne", "left"), ("name", "left"), ("reads", "left")]
    columns += [("ms", "right"), ("of work", "right"), ("wait", "right")]
    lines = []
    for n in stage.graph.nodes:
        if args.layers is not None and n.layer not in args.layers:
            continue
        row = by_key[n.key]
        ops = "+".join(o.op for o in n.originals)
        ne = f"[{', '.join(f'{size:5}' for size in n.result.ne[:3])}]"
        ns = row.time.mean
        times = [f"{ns * 1e-6:.4g}", tables.percent(row.work_share), tables.duration(row.wait_ns)]
        cells = [str(n.id), ops, n.result.type, ne, n.name, ", ".join(map(str, n.src)), *times]
        lines.append([printable_line(cell) for cell in cells])
    title = f"{len(stage.graph.nodes)} nodes; a {stage.each} takes {tables.duration(evaluation)}"
    title += f", the mean of {int(stage.typical.sum())}"
    sys.stdout.write(tables.text_table(title, columns, lines) + "\n")


def _print_values(args: argparse.Namespace, session: Session, ids: list[int]) -> bool:
    """Whether there is a NaN."""
    from ggtui.core.engine.probe import node_values
    from ggtui.viz import tables

    if len(ids) > session.n_ctx:
        raise UsageError(f"--prompt: {len(ids)} tokens are more than the context of {session.n_ctx}")
    values = node_values(session, ids)
    columns = [("name", "left"), ("op", "left"), *((name, "right") for name in ("min", "max", "mean", "NaN", "of"))]
    lines = []
    for v in values:
        layer = re.match(r"blk\.(\d+)\.", v.name)
        if args.layers is None or (layer and int(layer[1]) in args.layers):
            numbers = [f"{x:.5g}" for x in (v.least, v.most, v.mean)]
            lines.append([printable_line(v.name), v.op, *numbers, str(v.n_nan), str(v.n)])
    title = f"values of {len(values)} nodes over {len(ids)} tokens"
    sys.stdout.write(tables.text_table(title, columns, lines) + "\n")
    bad = next((v for v in values if v.n_nan), None)
    if bad is not None and sys.stderr is not None:
        name = printable_line(bad.name)
        print(f"ggtui: {name} ({bad.op}): {bad.n_nan} of {bad.n} values are NaN; no node before it has any; "
              "ggtui inspect --check looks at the weights", file=sys.stderr)  # fmt: skip
    return bad is not None


# ---- the saved trace ----


def _save_json(path: str, session: Session, steps: list[Step], trace: Trace) -> None:
    """The trace, and under "steps" what each token was chosen from and what each layer would have chosen."""
    from ggtui.core.engine.probe import predictions
    from ggtui.core.engine.trace_file import dumps

    read = session.tokens[: session.n_past]
    expected = predictions(session, read, ALTERNATIVES)[-len(steps) :]
    decode = session.tokenizer.decode

    def told(choices: tuple[tuple[int, float], ...]) -> list[dict[str, Any]]:
        return [{"token": id, "text": decode([id]), "p": p} for id, p in choices]

    rows = []
    for step, prediction in zip(steps, expected, strict=True):
        record = step.record
        activations = trace.memory.activations if record.stage == "token" else trace.memory.batch_activations
        rows.append({
            "token": step.token, "text": step.text, "logprob": step.logprob, "n_past": step.n_kv,
            "memory": {"kv": record.kv_bytes, "activations": activations},
            "alternatives": told(prediction.alternatives),
            "layers": [told(choices) for choices in prediction.layers],
        })  # fmt: skip
    saving.write(path, json.dumps({**json.loads(dumps(trace)), "steps": rows}))
