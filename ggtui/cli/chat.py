"""Talk to the model, or let it go on with a text.

Without a prompt, on a terminal, this is a conversation in a full screen: type, and the model answers; beside it stands
what happens inside. F1 there says which keys work. --browser shows it in a browser. A terminal smaller than 60x16, or
--plain, has the conversation line by line; /help there says more.

With -p, -f or piped input it is one generation: the text to stdout as it comes, escaped where that is a terminal and a
character could act on it; what it took to stderr. Piped input, the file and -p are joined, in this order, as they are;
of input and file one line feed at the end is dropped. Without any prompt and without a terminal an opening is drawn at
random. Ctrl+C ends the generation.

examples:
  ggtui chat                                    talk to the built-in model
  ggtui chat --browser                          ... in a browser
  ggtui chat --speed 5                          ... at a pace to read along
  ggtui chat -p "Once upon a time" -n 100       one text of 100 tokens
  ggtui chat --temp 0 -q < story.txt > more     go on with a file
  ggtui chat model.gguf -p "The king" --json    a line of JSON for each token
"""

from __future__ import annotations

import argparse
import os
import select
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO

from ggtui.chat.settings import CHAT, LOADING, Setting, values_of
from ggtui.cli.flags import (
    CONFIG_NOTE,
    FILE,
    add_generation,
    add_loading,
    add_model,
    add_output,
    add_setting,
    note,
    resolve,
    without,
)
from ggtui.core.errors import GgtuiError, UsageError
from ggtui.core.reading import read_file
from ggtui.viz.interrupt import Terminated, stop_on_signal
from ggtui.viz.terminal import full_screen, on_terminal
from ggtui.viz.text import text_for

if TYPE_CHECKING:
    from ggtui.chat.conversation import Chat
    from ggtui.core.engine.session import Session

# What a text may begin with, when there is no prompt to begin it.
OPENINGS = (
    "Once upon a time", "Long ago", "There was", "One evening", "When the", "In a far country", "After many days",
    "If you", "The old woman", "So the", "Now the youngest", "Every morning",
)  # fmt: skip
_PATIENCE = 3.0  # seconds without input after which to say what is waited for


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    parser.add_argument("-p", "--prompt", metavar="TEXT", help="go on with this text")
    file = parser.add_argument("-f", "--file", metavar="FILE", help="go on with the text of a file")
    file.complete = FILE  # type: ignore[attr-defined]
    parser.add_argument("--echo", action="store_true", help="print the prompt before the text")
    parser.add_argument(
        "--json", action="store_true",
        help='a line for each token, {"token", "text", "logprob", "ms", "n_past"}; the last one is {"stats": ...}',
    )  # fmt: skip
    parser.add_argument("--plain", action="store_true", help="a conversation line by line, without a full screen")
    parser.add_argument("--ascii", action="store_true", help="draw the screen without box and block characters")
    parser.add_argument("--no-mouse", action="store_true", help="leave the mouse to the terminal")
    parser.add_argument("--browser", action="store_true", help="show the screen in a browser")
    parser.add_argument("--serve", action="store_true", dest="browser", help=argparse.SUPPRESS)  # its name before
    parser.add_argument("--host", metavar="H", help="with --browser: the address to listen on (default 127.0.0.1)")
    port = Setting("port", int, None, "", high=65535)
    parser.add_argument(
        "--port", type=partial(port.parse, source="--port"), metavar="N",
        help="with --browser: the port (default the first free one from 8000)",
    )  # fmt: skip
    for name in ("mode", "system", "template"):
        add_setting(parser, name)
    add_output(parser)
    add_generation(parser)
    add_loading(parser)
    parser.epilog = f"{parser.epilog}\n{CONFIG_NOTE}"


def run(args: argparse.Namespace) -> int:
    resolve(args, ("model", *CHAT, *LOADING))
    if args.echo and args.json:
        raise UsageError('--echo: not with --json, where "stats" has the prompt')
    asked = args.prompt is not None or args.file is not None or args.json
    for flag in ("host", "port"):
        if getattr(args, flag) is not None and not args.browser:
            raise UsageError(f"--{flag}: only with --browser")
    if args.browser:
        return _serve(args, asked)
    if not asked and (full_screen() or on_terminal()):
        return _converse(args)
    return _generate_once(args)


def _load(args: argparse.Namespace, **options: Any) -> Session:
    from ggtui.cli.loading import load

    loading = {"talk": args.mode != "complete", **values_of(args, LOADING), **options}
    session = load(args.model, quiet=args.quiet, **loading)
    largest = session.hparams.n_ctx
    if args.ctx is not None and args.ctx > largest:
        note(args, f"--ctx {args.ctx}: this model was made for {largest} tokens; using {session.n_ctx}")
    if args.verbose:
        where = f"{session.device}, {session.isa}, {session.threads} threads"
        note(args, f"{session.path}: {where}, context {session.n_ctx}")
    return session


def _serve(args: argparse.Namespace, asked: bool) -> int:
    if asked or args.plain:
        raise UsageError("--browser: not with a prompt, --json or --plain")
    from ggtui.viz.serve import serve

    own = args.words
    for flag, n_values in (("--browser", 0), ("--serve", 0), ("--host", 1), ("--port", 1)):
        own = without(own, flag, n_values)
    return serve(own[1:], args.host or "127.0.0.1", args.port or 0)


def _converse(args: argparse.Namespace) -> int:
    if not args.plain and full_screen():
        from ggtui.viz.engine import EngineProcess

        engine = EngineProcess(args)  # first, so that the model loads while the screen does
        from ggtui.viz.live import Live
        from ggtui.viz.tui.app import run

        return run(engine, Live(), mouse=not args.no_mouse, ascii_only=args.ascii)
    from ggtui.chat.reloading import Reloading
    from ggtui.viz.repl import Repl

    def load() -> Chat:
        session = _load(args, record="full")
        session.recording = False  # until /perf on
        return _chat(args, session)

    return Repl(load(), Reloading(args, load), args.started, quiet=args.quiet).run()


def _chat(args: argparse.Namespace, session: Session) -> Chat:
    from ggtui.chat.conversation import Chat

    chat = Chat(session, args)
    for line in chat.notes:
        note(args, line)
    return chat


# ---- one generation ----


def _generate_once(args: argparse.Namespace) -> int:
    if sys.stdout is None:
        raise GgtuiError("standard output is closed; there is nowhere to write to")

    prompt = _prompt(args)
    if args.seed is None:  # chosen here, so that it can be told
        args.seed = int.from_bytes(os.urandom(4), "little")
    echo = args.echo
    if not prompt:
        prompt, echo = _opening(args.seed), not args.json
        note(args, f"no prompt; beginning with {prompt!r}")
    chat = _chat(args, _load(args))
    interruption: BaseException | None = None
    try:
        if echo:
            _write(text_for(sys.stdout, prompt))
        _stream(chat, prompt, as_json=args.json)
    except (KeyboardInterrupt, Terminated) as error:
        interruption = error
    try:
        if not args.json and not (chat.turns and chat.turns[-1].text.endswith("\n")):
            _write("\n")
        _conclude(args, chat, prompt)
    finally:
        if interruption is not None:  # also where nobody is left to write to
            raise interruption
    return 0


def _stream(chat: Chat, prompt: str, *, as_json: bool) -> None:
    import json

    with stop_on_signal(chat.session.stop):
        for step in chat.say(prompt):
            if not as_json:
                _write(text_for(sys.stdout, step.text))
                continue
            record = step.record
            row = {
                "token": step.token,
                "text": step.text,
                "logprob": step.logprob,
                "ms": round((record.eval_ns + record.sample_ns) * 1e-6, 3),
                "n_past": step.n_kv,
            }
            _write(json.dumps(row) + "\n")


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _conclude(args: argparse.Namespace, chat: Chat, prompt: str) -> None:
    from ggtui.viz import summary

    session = chat.session
    reason = chat.turns[-1].reason if chat.turns else "interrupted"
    figures = summary.measured(session, time.perf_counter_ns() - args.started)
    if args.json:
        import json

        stats: dict[str, Any] = {"prompt": prompt, "seed": args.seed, "stop_reason": reason, **figures}
        _write(json.dumps({"stats": stats}) + "\n")
    if args.quiet or sys.stderr is None:
        return
    if reason == "context full":
        note(args, summary.context_full(session))
    lines = [*summary.lines(figures), f"         seed = {args.seed:8}"]
    print("", *lines, sep="\n", file=sys.stderr, flush=True)


# ---- the prompt ----


def _opening(seed: int) -> str:
    """The same one for the same seed."""
    import random

    return random.Random(seed).choice(OPENINGS)


def _prompt(args: argparse.Namespace) -> str:
    """What the model is to go on with: piped input, the file and -p, joined."""
    parts = []
    if sys.stdin is not None and not sys.stdin.isatty():
        parts.append(_without_end(_decoded(_piped(args, sys.stdin.buffer), "standard input")))
    if args.file is not None:
        parts.append(_without_end(_decoded(_file(args.file), args.file)))
    if args.prompt is not None:
        parts.append(_decoded(os.fsencode(args.prompt), "--prompt"))
    return "".join(parts)


def _piped(args: argparse.Namespace, stdin: BinaryIO) -> bytes:
    try:
        if not select.select([stdin], [], [], _PATIENCE)[0]:
            note(args, "reading the prompt from standard input; without one use </dev/null")
    except (OSError, ValueError):  # no file that can be waited for
        pass
    return stdin.read()


def _file(name: str) -> bytes:
    try:
        return read_file(name, pipe=True)
    except OSError as error:
        raise UsageError(f"--file {name}: {error.strerror or error}; name a text file") from error


def _decoded(data: bytes, source: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{source}: byte {error.start} is not UTF-8; convert the text, e.g. with iconv") from error


def _without_end(text: str) -> str:
    """Without one line feed at its end, which files have and prompts don't mean."""
    return text.removesuffix("\n").removesuffix("\r") if text.endswith("\n") else text
