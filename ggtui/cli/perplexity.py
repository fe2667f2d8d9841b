"""How well a model predicts a text: its perplexity, lower is better, as llama.cpp's tool defines it.

The text is cut into chunks of --ctx tokens (512, or the model's context if that is smaller), what is left over dropped.
Each chunk is read from an empty context, and its second half counts. With --stride chunks begin that many tokens apart
and only the last so many of each count: slower, but with more text before what counts. Behind +- stands the standard
error.

With --base the predictions are also compared with those of another model of the same vocabulary: the mean
Kullback-Leibler divergence from it in nats, and how often both find the same token likeliest.

With --sensitivity it says instead, of each matrix, by how many nats a token the model would say otherwise if it were
stored in fewer bits, as gradients tell (see ggtui convert --budget), and how long a token waits for it today. Where its
rows are no whole blocks of a type, what convert takes in its place is meant.

With one argument that is the text, and the model the built-in one.

examples:
  ggtui perplexity story.txt                            the built-in model
  ggtui perplexity model.gguf story.txt --chunks 20     a quick look
  ggtui perplexity model.gguf story.txt --sensitivity   what to quantize
  ggtui perplexity q4.gguf story.txt --base f16.gguf    what a conversion cost
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

from ggtui.chat.settings import LOADING, SETTINGS, Setting, values_of
from ggtui.cli.flags import FILE, add_loading, add_output, add_setting, resolve
from ggtui.core.errors import UsageError
from ggtui.core.reading import read_file

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ggtui.core.engine.perplexity import Perplexity
    from ggtui.core.engine.session import Session

_CTX = 512
_CHUNKS = Setting("chunks", int, None, "read only the first N chunks", low=1)
_STRIDE = Setting("stride", int, None, "begin a chunk every N tokens; the last N of each count", low=1)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    model = parser.add_argument("model", nargs="?", metavar="MODEL", help=SETTINGS["model"].help)
    file = parser.add_argument("file", metavar="FILE", help="the text, UTF-8")
    base = parser.add_argument("--base", metavar="MODEL2", help="also compare with this model")
    for argument in (model, file, base):
        argument.complete = FILE  # type: ignore[attr-defined]
    add_setting(parser, "type-from")
    for setting in (_STRIDE, _CHUNKS):
        flag = f"--{setting.name}"
        parser.add_argument(flag, type=partial(setting.parse, source=flag), metavar="N", help=setting.help)
    parser.add_argument("--sensitivity", action="store_true", help="what each matrix costs in fewer bits, and its time")
    parser.add_argument("--json", action="store_true", help="as one JSON object")
    add_loading(parser)
    add_output(parser)


def run(args: argparse.Namespace) -> int:
    resolve(args, ("model", *LOADING))
    text = read_text(args.file)
    if args.sensitivity:
        return _sensitivity(args, text)
    from ggtui.cli.loading import load
    from ggtui.core.engine.perplexity import perplexity
    from ggtui.viz.interrupt import stop_on_signal
    from ggtui.viz.progress import progress_bar

    options = values_of(args, LOADING)
    session = load(args.model, quiet=args.quiet, **options)
    if args.ctx is not None and args.ctx > session.n_ctx:
        raise UsageError(f"--ctx {args.ctx}: the model was made for {session.n_ctx} tokens")
    ctx = args.ctx or min(_CTX, session.n_ctx)
    alone = {**options, "ctx": ctx, "adapter": None}  # an adapter is MODEL's
    base = load(args.base, quiet=args.quiet, **alone) if args.base is not None else None
    tokens = session.tokenizer.begin(text)
    started = time.perf_counter_ns()
    with progress_bar("reading", quiet=args.quiet) as progress, stop_on_signal(partial(_stop, session, base)):
        found = perplexity(
            session, tokens, ctx=ctx, stride=args.stride, n_chunks=args.chunks, base=base, progress=progress
        )
    speed = found.n_tokens / (time.perf_counter_ns() - started) * 1e9
    if args.json:
        print(json.dumps(_data(found, ctx, args.stride, speed)))
    else:
        print(*_lines(found, ctx, speed), sep="\n")
    return 0


def _sensitivity(args: argparse.Namespace, text: str) -> int:
    from ggtui.core.files import open_model
    from ggtui.core.files.places import BUILT_IN
    from ggtui.core.models.adapters import merged
    from ggtui.core.training.optimizers import Sgd
    from ggtui.core.training.sensitivity import SHOWN, fisher, nats, sensitivities, texts_of
    from ggtui.core.training.trainer import Trainer
    from ggtui.viz.progress import progress_bar
    from ggtui.viz.text import printable_line, size

    if args.base is not None or args.stride is not None:
        raise UsageError("--sensitivity: compares with no other model, and knows no stride")
    with open_model(args.model or BUILT_IN) as model:
        now = {name: (info.type.name, info.n_bytes) for name, info in model.tensors.items()}
        whole = model if args.adapter is None else merged(model, args.adapter)
        batches = texts_of(whole, text, args.threads, args.ctx or 256, args.chunks or 16)
        trainer = Trainer(whole, optimizer=Sgd(), threads=args.threads)
        times = _times(args, trainer.weights())
    with progress_bar("gradients", quiet=args.quiet) as progress:
        diagonal = fisher(trainer, batches, progress=progress)
    with progress_bar("types", quiet=args.quiet) as progress:
        found = sensitivities(trainer.weights(), diagonal, SHOWN, progress)
    found.sort(key=lambda s: -s.fisher)
    costs = nats(found)
    if args.json:
        rows = [
            {"name": s.name, "type": now[s.name][0], "bytes": now[s.name][1], "ms": times.get(s.name),
             "fisher": s.fisher, "kl": costs[s.name]} for s in found
        ]  # fmt: skip
        print(json.dumps({"tensors": rows}))
        return 0
    width = max(len(printable_line(s.name)) for s in found)
    print(f"{'':{width}}  {'':6}  {'':9}  {'':6}  nats a token that it would cost as")
    print(f"{'tensor':{width}}  {'type':>6}  {'size':>9}  {'ms':>6}  {' '.join(f'{t:>8}' for t in SHOWN)}")
    for s in found:
        type, n_bytes = now[s.name]
        told = " ".join(f"{kl:8.1e}" for kl in costs[s.name].values())
        ms = f"{times[s.name]:6.3f}" if s.name in times else f"{'-':>6}"
        short = size(n_bytes).partition("(")[2].rstrip(")") or size(n_bytes)
        print(f"{printable_line(s.name):{width}}  {type:>6}  {short:>9}  {ms}  {told}")
    return 0


def _times(args: argparse.Namespace, weights: Mapping[str, Any]) -> dict[str, float]:
    """Milliseconds of a token that each of them takes, by its name: the mean of some tokens. What a node takes that
    reads several is theirs by their sizes."""
    from ggtui.cli.loading import load
    from ggtui.perf.stage import stages

    with load(args.model, quiet=args.quiet, **{**values_of(args, LOADING), "record": "full"}) as session:
        first = session.tokenizer.eos or 0
        records = [step.record for step in session.generate([first], 24, temp=0, ignore_eos=True)]
        stage = next(s for s in stages(session.trace(records)) if s.name == "generation")
        times: dict[str, float] = {}
        for node, ns in zip(stage.graph.nodes, stage.node_times.mean(axis=0), strict=True):
            sizes = {t.name: weights[t.name].size for t in node.inputs if t.name in weights}
            for name, n in sizes.items():
                times[name] = times.get(name, 0.0) + float(ns) / 1e6 * n / sum(sizes.values())
    return times


def _stop(*sessions: Session | None) -> None:
    for session in sessions:
        if session is not None:
            session.stop()


def read_text(name: str) -> str:
    """Of a file in UTF-8, or a pipe. Raises UsageError."""
    try:
        return read_file(name, pipe=True).decode("utf-8")
    except OSError as error:
        raise UsageError(f"{name}: {error.strerror or error}; name a text file") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{name}: byte {error.start} is not UTF-8; convert the text, e.g. with iconv") from error


def _data(found: Perplexity, ctx: int, stride: int | None, speed: float) -> dict[str, Any]:
    return {
        "perplexity": found.value,
        "error": found.error,
        "chunks": len(found.nll),
        "ctx": ctx,
        "stride": stride,
        "count": found.count,
        "tokens_per_second": speed,
        "against": asdict(found.against) if found.against else None,
    }


def _lines(found: Perplexity, ctx: int, speed: float) -> list[str]:
    n = len(found.nll)
    chunks = f"{n} chunk{'s' * (n > 1)} of {ctx} tokens, of which {found.count} count"
    lines = [f"perplexity      {found.value:.4f} +- {found.error:.4f} ({chunks}; {speed:.0f} tok/s)"]
    if found.against is not None:
        a = found.against
        lines += [
            f"base            {a.base:.4f}",
            f"KL divergence   {a.kl:.6f} +- {a.kl_error:.6f}",
            f"same likeliest  {a.same_top:.2%} +- {a.same_top_error:.2%}",
        ]
    return lines
