"""Write a model anew: as GGUF, or as a legacy ggml file where DST ends in .bin.

SRC is any model ggtui reads. With --type its matrices are stored in that tensor type, or as that mix says, such as
Q4_K_M; without it they keep theirs. Vectors, norms and position embeddings become f32. Rows that are no whole number
of a type's blocks take the nearest type that fits, and the summary says how many.

With --budget each matrix gets the type by which the model says least otherwise for the bytes, as its gradients tell,
or keeps its own; that takes the memory of a training.

With --adapter the matrices that a LoRA adapter is of become what both are together, f32 unless --type says otherwise.

The source is checked first, and weights that are not finite are refused (exit code 4). DST gets its name when it is
complete. A file that exists is left alone (exit code 2) unless --force is given; DST can also be a pipe.

examples:
  ggtui convert gpt2/ gpt2.gguf                      from a Hugging Face folder
  ggtui convert gpt2.gguf small.gguf --type Q4_K_M   make it smaller
  ggtui convert gpt2.gguf q8.gguf --type q8_0 --report
  ggtui convert gpt2.gguf ggml-model.bin             for older programs
  ggtui convert gpt2.gguf small.gguf --budget 90MB   types of its own choice
  ggtui convert smollm2 merged.gguf --adapter story-adapter.gguf
  ggtui convert gpt2.gguf own.gguf --type row6 --type-from row6.py
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import defaultdict
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from ggtui.cli.flags import FILE, add_output, add_setting, resolve
from ggtui.core.errors import UsageError
from ggtui.viz.text import printable_line, size

if TYPE_CHECKING:
    from ggtui.core.files import ModelFile
    from ggtui.core.files.convert import Conversion
    from ggtui.core.graph.types import TensorType


def add_arguments(parser: argparse.ArgumentParser) -> None:
    for name, text in (("src", "the model to read"), ("dst", "the file to write")):
        argument = parser.add_argument(name, metavar=name.upper(), help=text)
        argument.complete = FILE  # type: ignore[attr-defined]
    parser.add_argument("--type", metavar="T", help="tensor type or mix of the matrices, such as q8_0 or Q4_K_M")
    parser.add_argument(
        "--budget",
        type=n_bytes_of,
        metavar="SIZE",
        help="choose a type for each matrix, so that the file takes at most so much: 90MB",
    )
    asked = parser.add_argument(
        "--text", metavar="FILE", help="what --budget asks the model about; without it what the model says by itself"
    )
    asked.complete = FILE  # type: ignore[attr-defined]
    adapter = parser.add_argument("--adapter", metavar="FILE", help="add this LoRA adapter to the matrices it is of")
    adapter.complete = FILE  # type: ignore[attr-defined]
    parser.add_argument("--force", action="store_true", help="overwrite DST if it exists")
    parser.add_argument("--report", action="store_true", help="print the error of each tensor")
    add_setting(parser, "type-from")
    add_setting(parser, "threads")
    add_output(parser)


def n_bytes_of(text: str) -> int:
    """What a size such as 90MB, 1.5GiB or 90000000 says. Raises ArgumentTypeError."""
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) ?(|[kKMG]i?B?)", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no size; write 90MB or 1.5GiB")
    unit = found[2].rstrip("B")
    power = " KMG".index(unit[0].upper()) if unit else 0
    return int(float(found[1]) * (1024 if unit.endswith("i") else 1000) ** power)


def run(args: argparse.Namespace) -> int:
    resolve(args, ("threads", "type-from"))
    if args.budget is not None and args.type is not None:
        raise UsageError("--budget and --type: give one of the two")
    if args.text is not None and args.budget is None:
        raise UsageError("--text: is for --budget")
    dst = Path(args.dst)
    if dst.is_file() and not args.force:
        raise UsageError(f"{dst}: exists; choose another name, or give --force to overwrite it")

    from ggtui.core.files import open_model
    from ggtui.core.files.convert import convert
    from ggtui.core.models import check_model
    from ggtui.core.models.adapters import merged
    from ggtui.viz.progress import progress_bar

    with open_model(args.src) as src:
        check_model(src)
        model = src if args.adapter is None else merged(src, args.adapter)
        types = _within(model, args) if args.budget is not None else None
        with progress_bar(f"writing {printable_line(dst.name)}", quiet=args.quiet) as progress:
            done = convert(
                model,
                dst,
                args.type,
                types=types,
                errors=args.report,
                overwrite=args.force,
                threads=args.threads,
                progress=progress,
            )
    if args.report:
        print(*_report(done), sep="\n")
    if not args.quiet and sys.stderr is not None:
        print(*_summary(done, dst), sep="\n", file=sys.stderr)
    return 0


def _within(src: ModelFile, args: argparse.Namespace) -> dict[str, TensorType]:
    """The type of each matrix, for the file to fit into the budget."""
    from ggtui.cli.perplexity import read_text
    from ggtui.core.files.convert import bytes_beside
    from ggtui.core.training.optimizers import Sgd
    from ggtui.core.training.sensitivity import choose, fisher, sensitivities, texts_of
    from ggtui.core.training.trainer import Trainer
    from ggtui.viz.progress import progress_bar

    batches = texts_of(src, None if args.text is None else read_text(args.text), args.threads)
    trainer = Trainer(src, optimizer=Sgd(), threads=args.threads)
    with progress_bar("gradients", quiet=args.quiet) as progress:
        diagonal = fisher(trainer, batches, progress=progress)
    with progress_bar("types", quiet=args.quiet) as progress:
        own = {name: info.type for name, info in src.tensors.items()}
        found = sensitivities(trainer.weights(), diagonal, progress=progress, own=own)
    return choose(found, args.budget, bytes_beside(src, [s.name for s in found]))


def _report(done: Conversion) -> list[str]:
    """A line for each tensor: what it was, what it is, and how far its values are from what they were."""
    width = max(len(printable_line(t.name)) for t in done.tensors)
    lines = [f"{'tensor':{width}}  {'from':>7}  {'to':>7}  {'rms error':>10}  {'max error':>10}"]
    for t in done.tensors:
        name = printable_line(t.name)
        errors = f"{t.rmse:10.3e}  {t.max_error:10.3e}"
        lines.append(
            f"{name:{width}}  {t.src_type:>7}  {t.type:>7}  {errors}{'  (its rows fit no other)' * t.fallback}"
        )
    return lines


def _summary(done: Conversion, dst: Path) -> list[str]:
    n_weights = sum(prod(t.ne) for t in done.tensors)
    tensors, fallbacks = defaultdict[str, int](int), defaultdict[str, int](int)
    for t in done.tensors:
        tensors[t.type] += 1
        fallbacks[t.type] += t.fallback
    made = ", ".join(f"{n} {type}" for type, n in tensors.items())
    lines = [
        f"before: {size(done.src_bytes)}, {8 * done.src_bytes / n_weights:.2f} bits a weight",
        f"after:  {size(done.n_bytes)}, {8 * done.n_bytes / n_weights:.2f} bits a weight; tensors: {made}",
    ]
    lines += [
        f"note: {n} tensors became {type}, since their rows are no whole number of blocks of the type asked for"
        for type, n in fallbacks.items()
        if n
    ]
    if dst.is_file():
        lines.append(f"{printable_line(str(dst))}: {size(dst.stat().st_size)}")
    return lines
