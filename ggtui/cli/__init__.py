"""The command line: `ggtui COMMAND`. Each command is a row of COMMANDS and a file beside this one."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module
from io import TextIOWrapper
from typing import Any, NamedTuple, NoReturn

from ggtui.core.errors import GgtuiError
from ggtui.viz.interrupt import Terminated, terminable
from ggtui.viz.terminal import GONE, hung_up
from ggtui.viz.text import printable, printable_line

SIGNALLED = 128  # and the signal's number, as shells say it
# Bytes of addresses, and of these of data, that Python, numpy and the compiled part take when they load.
ADDRESSES, DATA = 192 << 20, 64 << 20


class Command(NamedTuple):
    """A command. Its `module` has `add_arguments(parser)`, `run(args) -> int`, and a docstring that is its help."""

    name: str
    help: str
    module: str


# A module called `list` would here take the place of Python's own.
COMMANDS = (
    Command("chat", "talk to the model, or let it go on with a text", "ggtui.cli.chat"),
    Command("pull", "fetch a model by name, checked, its licence said first", "ggtui.cli.pull"),
    Command("list", "the models on this machine, and whether ggtui runs them", "ggtui.cli.listing"),
    Command("convert", "write a model in another format or with other tensor types", "ggtui.cli.convert"),
    Command("inspect", "what is in a model file: metadata, tensors, where the bytes go", "ggtui.cli.inspect"),
    Command("train", "train a model on texts, from nothing or from another one", "ggtui.cli.train"),
    Command("perplexity", "how well a model predicts a text", "ggtui.cli.perplexity"),
    Command("trace", "run a prompt and draw the graph that ran, with its times and values", "ggtui.cli.trace"),
    Command("perf", "where the time goes, node by node, against what this machine allows", "ggtui.cli.perf"),
    Command("bench", "prompt and generation speed, as llama-bench prints it", "ggtui.cli.bench"),
    Command("ops", "every op with its types and shapes; check a device's results and speed", "ggtui.cli.ops"),
    Command("info", "what this machine and this ggtui have; what a bug report needs", "ggtui.cli.info"),
)

_EPILOG = """examples:
  ggtui chat                                talk to the built-in model
  ggtui chat -p "Once upon a time" -n 100   let it go on with a text
  ggtui chat model.gguf --temp 0            another model, without chance

`ggtui COMMAND --help` says what a command can do.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line, without the program's name, and return the exit code. An error is one line on stderr."""
    started = time.perf_counter_ns()
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy's own threads do nothing here but make its start slower
    args = list(sys.argv[1:] if argv is None else argv)
    try:
        with terminable():
            _prepare(sys.stdout)
            _prepare(sys.stderr)
            code = _run(args, started)
            if sys.stdout is not None:
                sys.stdout.flush()
            return code
    except KeyboardInterrupt:
        return SIGNALLED + signal.SIGINT
    except Terminated as error:
        return SIGNALLED + error.number
    except BrokenPipeError:  # the reader of stdout has what it wanted
        _abandon_stdout()
        return 0
    except Exception as error:
        _abandon_stdout_if_broken()
        if (number := _ended_by(error)) is not None:
            return SIGNALLED + number
        if _without_terminal(error):
            return SIGNALLED + signal.SIGHUP
        _report(error, verbose="-v" in args or "--verbose" in args)
        return error.exit_code if isinstance(error, GgtuiError) else 1


def program() -> NoReturn:
    """What the command `ggtui` runs: `main`, and the end of the process with its exit code.

    Python would first take apart a vocabulary of 50,000 tokens and all else, 25 ms after the answer is there; the
    system takes the memory back at once. And where a Ctrl+C came during an import, Python would end by the signal,
    though that was caught.
    """
    code = main()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            if stream is not None:
                stream.flush()
    os._exit(code)


def _run(args: list[str], started: int) -> int:
    parser = _parser()
    try:
        namespace = parser.parse_args(args)
    except SystemExit as end:  # --help and --version
        return int(end.code or 0)
    if namespace.print_completion:
        return _print_completion(namespace.print_completion)
    if namespace.command is None:
        parser.print_help()
        return 0
    namespace.started, namespace.words = started, args
    run: Callable[[Any], int] = namespace.run
    return run(namespace)


def _parser() -> Any:
    from ggtui import __version__
    from ggtui.cli.parser import Parser

    parser = Parser(
        prog="ggtui",
        description="Run a small language model on your own machine and see everything it does.",
        epilog=_EPILOG,
    )
    parser.add_argument("--version", action="version", version=f"ggtui {__version__}", help="print the version")
    parser.add_argument(
        "--print-completion", choices=("bash", "zsh", "tcsh"), metavar="SHELL",
        help="print what makes a shell complete ggtui's commands: bash, zsh or tcsh",
    )  # fmt: skip
    commands = parser.add_subparsers(title="commands", prog="ggtui", dest="command", metavar="COMMAND",
                                     parser_class=Parser)  # fmt: skip
    for command in COMMANDS:
        commands.add_parser(command.name, help=command.help, fill=_filler(command))
    return parser


def _filler(command: Command) -> Callable[[Any], None]:
    def fill(parser: Any) -> None:
        _check_memory()
        module = import_module(command.module)
        parser.description, _, examples = (module.__doc__ or "").partition("\n\nexamples:")
        parser.epilog = f"examples:{examples}"
        module.add_arguments(parser)
        parser.set_defaults(run=module.run)

    return fill


def _check_memory() -> None:
    """Raise GgtuiError where less memory is allowed than it takes to load: numpy would crash, or end the process in its
    own words."""
    import resource

    for limit, flag, least in ((resource.RLIMIT_AS, "-v", ADDRESSES), (resource.RLIMIT_DATA, "-d", DATA)):
        allowed, _ = resource.getrlimit(limit)
        if allowed != resource.RLIM_INFINITY and allowed < least:
            raise GgtuiError(
                f"not enough memory: ulimit {flag} allows {allowed >> 10:,} KiB, and {least >> 10:,} KiB are needed; "
                "raise it"
            )


def _print_completion(shell: str) -> int:
    import shtab

    parser = _parser()
    for action in parser._subparsers._group_actions:
        for command in action.choices.values():
            command.fill()
    print(shtab.complete(parser, shell))
    return 0


def _prepare(stream: Any) -> None:
    """Any text can be written, whatever the locale is."""
    if isinstance(stream, TextIOWrapper):
        stream.reconfigure(encoding="utf-8", errors="replace")


def _ended_by(error: BaseException) -> int | None:
    """The signal that was heeded when `error` came: with a terminal goes all that could be written to it, and Python
    makes a RuntimeError of what comes while a class is made, as in an import."""
    if isinstance(error.__cause__, KeyboardInterrupt):
        return signal.SIGINT
    found: BaseException | None = error
    while found is not None and not isinstance(found, Terminated):
        found = found.__context__
    return None if found is None else found.number


def _without_terminal(error: Exception) -> bool:
    """Whether `error` is of a terminal that hung up, also if no SIGHUP told of it. One of a file has its name."""
    import termios

    if not isinstance(error, (OSError, termios.error)) or getattr(error, "filename", None) is not None:
        return False
    return bool(error.args) and error.args[0] in GONE and hung_up()


def _abandon_stdout() -> None:
    """Let what is left to write to stdout, also at Python's exit, go nowhere."""
    with suppress(OSError), open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())


def _abandon_stdout_if_broken() -> None:
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except (OSError, ValueError):
        _abandon_stdout()


def _report(error: Exception, *, verbose: bool) -> None:
    if sys.stderr is None:
        return
    if verbose:
        import traceback

        sys.stderr.write(printable("".join(traceback.format_exception(error))))
    print(f"ggtui: {_sentence(error)}", file=sys.stderr)


def _sentence(error: Exception) -> str:
    if isinstance(error, GgtuiError):
        return printable_line(str(error))
    if isinstance(error, MemoryError):
        return printable_line(f"out of memory: {error}" if str(error) else "out of memory")
    if isinstance(error, RuntimeError) and str(error) == "can't start new thread":
        return "could not start a thread: memory is short, or more of them than ulimit -u allows"
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename is not None else ""
        return printable_line(f"{where}{error.strerror or error}")
    what = printable_line(f"{type(error).__name__}: {error}")
    return f"an error of ggtui itself: {what}; --verbose shows where"
