"""Train a model on texts: from nothing (--shape), from another model (--from), or an adapter of one (--rank).

TEXT is a file in UTF-8, or a folder of *.txt. A model from nothing gets a vocabulary of its own, learnt from the texts
(--vocab 4096), or that of another model (--vocab MODEL, --vocab built-in). OUT is written as GGUF in f32; with --rank
it is a small adapter in GGUF, of a model that stays as it is: `ggtui chat MODEL --adapter OUT` applies it, and
`ggtui convert MODEL MERGED --adapter OUT` merges it.

Beside OUT lies OUT.checkpoint. After Ctrl+C, or whatever ended it, `ggtui train --resume --out OUT` goes on from there,
to the same bits; with --lr at another rate.

On a terminal the training has the full screen: curves of the loss, gradients by layer, where a step's time goes, what
the model says by now; keys pause it, change the rate, save a checkpoint or a trace, and stop it. --plain prints lines
instead, as it does into a pipe. --open shows a log (--json) again.

The loss is in nats a token: of texts that were not trained on (--valid, or the last 5% of the tokens) it says how well
the model has learnt.

examples:
  ggtui train tales/ --shape gpt2:embd=128,layer=4,head=4 --out tales.gguf
  ggtui train story.txt --from model.gguf --lr 1e-4 --out mine.gguf
  ggtui train story.txt --from smollm2 --rank 8 --out story-adapter.gguf
  ggtui train --resume --out tales.gguf
  ggtui train tales/ --shape llama:embd=256,layer=6,head=8,kv=2 --out l.gguf
  ggtui train --open log.jsonl                  a log that --json wrote
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ggtui.cli.flags import FILE, add_output, add_setting, resolve
from ggtui.core.errors import GgtuiError, UsageError
from ggtui.viz.terminal import full_screen
from ggtui.viz.text import printable_line, size

if TYPE_CHECKING:
    from ggtui.core.training.events import Began, Event, Measured, Stepped
    from ggtui.core.training.log import Log
    from ggtui.core.training.loop import Training


class Flag(NamedTuple):
    """A flag of what a training is asked for: `field` is Settings' (see core/training/settings.py)."""

    name: str
    field: str
    kind: Callable[[str], Any]
    help: str
    metavar: str = "N"


# Without the texts, which are arguments. What is not given has the default of Settings.
FLAGS = (
    Flag("shape", "shape", str, "sizes of a model from nothing: gpt2:embd=256,layer=6,head=4,ff=1024,ctx=512", "SHAPE"),
    Flag("from", "model", str, "the model to begin with (default: the built-in one)", "MODEL"),
    Flag("vocab", "vocab", str, "of a model from nothing: how many tokens, or whose (default 4096)", "N|MODEL"),
    Flag("rank", "rank", int, "train an adapter of this rank (LoRA); the model stays as it is"),
    Flag("alpha", "alpha", float, "what an adapter adds is multiplied with alpha/rank (default: twice the rank)", "X"),
    Flag("ctx", "ctx", int, "tokens of a text that is read at once (default 256, or the model's if that is smaller)"),
    Flag("batch", "batch", int, "texts a step (default 8)"),
    Flag("steps", "steps", int, "how many steps in all (default 1000)"),
    Flag("lr", "rate", float, "the learning rate (default 1e-3)", "X"),
    Flag("warm-up", "warm_up", int, "steps in which the rate rises (default 100)"),
    Flag("last", "last", float, "the part of the rate that is left at the end (default 0.1)", "X"),
    Flag("optimizer", "optimizer", str, "adamw (the default) or sgd", "NAME"),
    Flag("decay", "decay", float, "weight decay of matrices (default 0.1)", "X"),
    Flag("clip", "clip", float, "the longest that the gradients of a step may be (default 1; 0: no limit)", "X"),
    Flag("seed", "seed", int, "of the order of texts and of what weights begin with (default 0)"),
    Flag("eval-every", "eval_every", int, "steps between two validations, with a sample each (default 100)"),
    Flag("eval-windows", "eval_windows", int, "texts of ctx tokens that a validation reads (default 32)"),
    Flag("save-every", "save_every", int, "steps between two checkpoints (default 200)"),
    Flag("prompt", "prompt", str, "what samples begin with", "TEXT"),
    Flag("sample", "sample", int, "tokens of a sample (default 60; 0: none)"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    texts = parser.add_argument("texts", nargs="*", metavar="TEXT", help="text files, and folders of *.txt")
    valid = parser.add_argument("--valid", action="append", metavar="TEXT", help="validate with these texts instead")
    out = parser.add_argument("--out", metavar="OUT", help="the model, or adapter, to write (GGUF)")
    parser.add_argument("--resume", action="store_true", help="go on from OUT.checkpoint; all but --lr is as it was")
    parser.add_argument("--force", action="store_true", help="overwrite OUT, its checkpoint and LOG where they exist")
    group = parser.add_argument_group("training")
    for flag in FLAGS:
        group.add_argument(f"--{flag.name}", dest=flag.field, type=flag.kind, metavar=flag.metavar, help=flag.help)
    log = parser.add_argument("--json", metavar="LOG", help="write what happens, a JSON object a line")
    saved = parser.add_argument("--open", metavar="LOG", help="show a saved log instead of training")
    parser.add_argument(
        "--recompute", action="store_true", help="take less memory and more time: compute layers again on the way back"
    )
    parser.add_argument("--plain", action="store_true", help="lines instead of the screen")
    parser.add_argument("--ascii", action="store_true", help="draw the screen without block and Braille characters")
    for argument in (texts, valid, out, log, saved):
        argument.complete = FILE  # type: ignore[attr-defined]
    add_setting(parser, "threads")
    add_output(parser)


def run(args: argparse.Namespace) -> int:
    resolve(args, ("threads",))
    if args.open is not None:
        return _open(args)
    if args.out is None:
        raise UsageError("train: where to? name a file with --out OUT")
    from ggtui.core.training.log import Log

    training = _training(args)
    earlier = _earlier(args, training)
    with Log(args.json, go_on=args.resume) if args.json is not None else nullcontext() as log:
        events = training.events() if log is None else _logged(training.events(), log)
        if _wants_screen(args):
            return _on_screen(args, training, earlier, events)
        return _in_lines(args, training, events)


def _wants_screen(args: argparse.Namespace) -> bool:
    return not args.plain and not args.quiet and full_screen()


def _earlier(args: argparse.Namespace, training: Training) -> list[Event]:
    """What its log tells of a training that goes on, up to where it does. Raises UsageError for that of another."""
    from ggtui.core.training.events import Began

    if not args.resume or args.json is None or not Path(args.json).is_file() or not Path(args.json).stat().st_size:
        return []
    events, now = _saved(args.json), training.settings.as_dict()
    then = dict(next(event.settings for event in events if isinstance(event, Began)))
    if any(then[key] != now[key] for key in now if key not in ("out", "rate", "ctx")):
        raise UsageError(f"{args.json}: is the log of another training; name another one with --json")
    return [event for event in events if event.step <= training.progress.step and event.kind != "ended"]


def _on_screen(args: argparse.Namespace, training: Training, earlier: Iterable[Event], events: Iterable[Event]) -> int:
    """In the full screen, with what was earlier; the last lines stay on the terminal."""
    from ggtui.viz.training_thread import TrainingThread, limits_of
    from ggtui.viz.tui.train_app import run as show

    last: dict[str, Event] = {}

    def kept() -> Iterator[Event]:
        yield from earlier
        for event in events:
            last[event.kind] = event
            yield event

    code = show(TrainingThread(training, kept(), lambda: limits_of(training)), ascii_only=args.ascii)
    for kind in ("measured", "saved", "trouble", "ended"):
        for line in Lines().of(last[kind])[:1] if kind in last else ():
            print(line)
    return code


def _in_lines(args: argparse.Namespace, training: Training, events: Iterable[Event]) -> int:
    from ggtui.viz.interrupt import finish_first

    with finish_first(training.end):
        _print(events, args.quiet, training.end)
    return 0


def _open(args: argparse.Namespace) -> int:
    """A log, in the full screen or in lines."""
    asked = [f"--{f.name}" for f in FLAGS if getattr(args, f.field) is not None]
    asked += [f"--{name}" for name in ("valid", "out", "resume", "force", "json") if getattr(args, name)]
    if asked or args.texts:
        named = ", ".join(["TEXT"] * bool(args.texts) + asked)
        raise UsageError(f"--open: shows a log and trains nothing; leave out {named}")
    events = _saved(args.open)
    if not _wants_screen(args):
        _print(events, args.quiet)
        return 0
    from ggtui.viz.training_thread import SavedLog
    from ggtui.viz.tui.train_app import run as show

    return show(SavedLog(events), ascii_only=args.ascii)


def _saved(path: str) -> list[Event]:
    """The events of a log, with the defaults of settings that it does not have. Raises UsageError for what is none."""
    from ggtui.core.training.events import Began
    from ggtui.core.training.log import read_log
    from ggtui.core.training.settings import Settings

    events = read_log(path)
    if not events or not isinstance(began := events[0], Began):
        raise UsageError(f"{path}: no training begins in it; name a log that `ggtui train --json` wrote")
    try:
        settings = Settings.from_dict(began.settings)
    except UsageError as error:
        raise UsageError(f"{path}: {error}; name a log that `ggtui train --json` wrote") from error
    return [replace(began, settings=settings.as_dict()), *events[1:]]


def _training(args: argparse.Namespace) -> Training:
    from ggtui.core.training.checkpoint import checkpoint_path
    from ggtui.core.training.places import check_places
    from ggtui.core.training.settings import Settings
    from ggtui.core.training.start import begin, resume

    given = {f.field: getattr(args, f.field) for f in FLAGS if getattr(args, f.field) is not None}
    options = {"threads": args.threads, "record": "full"}
    if args.resume:
        others = [f"--{f.name}" for f in FLAGS if f.field in given and f.field != "rate"]
        others += ["TEXT"] * bool(args.texts or args.valid) + ["--recompute"] * args.recompute
        if others:
            raise UsageError(f"--resume: all but the rate is as it was; leave out {', '.join(others)}")
        training = resume(args.out, args.rate, **options)
        check_places(training.settings, args.json, goes_on=True)
        return training
    if "vocab" in given and "shape" not in given:
        raise UsageError("--vocab: is of a model from nothing; give its --shape too")
    settings = Settings(
        texts=tuple(args.texts), valid=tuple(args.valid or ()), out=args.out, recompute=args.recompute, **given
    )
    check_places(settings, args.json, overwrite=args.force)
    training = begin(settings, **options)
    checkpoint_path(args.out).unlink(missing_ok=True)  # of another training, which --resume would go on with
    return training


def _logged(events: Iterator[Event], log: Log) -> Iterator[Event]:
    """The events, each when it is in the log; where that can't be written any more, without it."""
    from ggtui.core.training.events import Trouble

    writes = True
    for event in events:
        trouble = None
        if writes:
            try:
                log.write(event)
            except GgtuiError as error:
                writes, trouble = False, Trouble(event.step, f"{error}; going on without the log")
        yield event
        if trouble is not None:
            yield trouble


def _print(events: Iterable[Event], quiet: bool, end: Callable[[], None] = lambda: None) -> None:
    """Where nobody reads the lines any more, `end`, to the last event."""
    lines, gone = Lines(), None
    for event in events:
        for line in [] if quiet or gone else lines.of(event):
            try:
                print(line, file=sys.stdout, flush=True)
            except OSError as error:
                gone = error
                end()
                break
    if gone is not None:
        raise gone


class Lines:
    """What happens, in lines: of steps one every few seconds."""

    EVERY_NS = 5_000_000_000

    def __init__(self) -> None:
        self._steps = 0  # the last one
        self._since: list[Stepped] = []  # steps since the last line

    def of(self, event: Event) -> list[str]:
        from ggtui.core.training.events import Began, Ended, Measured, Saved, Stepped, Trouble

        match event:
            case Began():
                return self._began(event)
            case Stepped():
                return self._step(event)
            case Measured():
                return self._measured(event)
            case Saved():
                return [f"{event.step:6d}  saved {printable_line(event.path)}"]
            case Trouble():
                return [f"{event.step:6d}  {printable_line(event.message)}"]
            case Ended():
                return [f"{event.step:6d}  {event.reason}"]

    def _began(self, e: Began) -> list[str]:
        self._steps = int(e.settings["steps"])
        batch, ctx = e.settings["batch"], e.settings["ctx"]
        goes_on = f", going on behind step {e.step}" if e.step else ""
        return [
            f"{e.parameters:,} parameters learn from {e.tokens:,} tokens; {e.valid_tokens:,} to validate with",
            f"{self._steps} steps of {batch} x {ctx} tokens on {e.threads} thread{'s' * (e.threads > 1)}, "
            f"{size(e.bytes)} of memory{goes_on}",
        ]

    def _step(self, e: Stepped) -> list[str]:
        from ggtui.viz.training import clock

        self._since.append(e)
        if e.step > 1 and e.step < self._steps and sum(s.ns for s in self._since) < self.EVERY_NS:
            return []
        n, ns = len(self._since), max(sum(s.ns for s in self._since), 1)
        loss = sum(s.loss for s in self._since) / n
        speed = sum(s.tokens for s in self._since) / ns * 1e9
        left = (self._steps - e.step) * ns / n
        self._since.clear()
        times = " ".join(f"{name} {part / max(e.ns, 1):.0%}" for name, part in e.times.items())
        return [
            f"{e.step:6d}  loss {loss:.4f}  norm {e.norm:.3f}  rate {e.rate:.2e}  {speed:,.0f} tok/s"
            f"{'  ' + times if times else ''}  {clock(left)} left"
        ]

    def _measured(self, e: Measured) -> list[str]:
        lines = [f"{e.step:6d}  validation {e.loss:.4f}"]
        return lines + ([f"        {printable_line(e.sample)}"] if e.sample else [])
