"""Commands, exit codes, errors of one line, help."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import termios
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ggtui import __version__, cli
from ggtui.cli import COMMANDS, main
from ggtui.core.errors import GgtuiError, MissingPartError, ModelFileError, UsageError
from ggtui.viz.interrupt import Terminated

Run = Callable[..., Any]
ROOT = Path(__file__).resolve().parent.parent.parent


def test_version(ggtui: Run) -> None:
    assert ggtui("--version") == (0, f"ggtui {__version__}\n", "")


def test_help_names_every_command(ggtui: Run) -> None:
    code, out, err = ggtui("--help")
    assert (code, err) == (0, "")
    for command in COMMANDS:
        assert command.name in out and command.help[:20] in out
    assert ggtui().out == out, "without a command: the help"


@pytest.mark.parametrize("command", [command.name for command in COMMANDS])
def test_help_of_commands_has_examples_and_fits(ggtui: Run, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = ggtui(command, "--help")
    assert code == 0
    assert out.count(f"  ggtui {command}") >= 2
    assert max(map(len, out.splitlines())) <= 80
    assert "\x1b" not in out


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_completion_knows_flags_of_commands(ggtui: Run, shell: str) -> None:
    code, out, _ = ggtui("--print-completion", shell)
    assert code == 0
    assert "top-k" in out and "avx512" in out and "chat" in out


@pytest.mark.parametrize(
    ("args", "problem"),
    [
        (["cht"], "cht: no such command; did you mean chat?; see ggtui --help"),
        (["chat", "--tmep", "1"], "--tmep: no such flag; did you mean --temp?; see ggtui chat --help"),
        (["chat", "a", "b"], "b: no such further argument; see ggtui chat --help"),
        (
            ["chat", "--temp"],
            "--temp: needs a value; one that begins with a dash is written --temp=VALUE; see ggtui chat --help",
        ),
        (["chat", "--temp", "-1"], "--temp -1: must be 0 or more"),
        (["chat", "--temp", "warm"], "--temp warm: must be a number, 0 or more"),
        (["chat", "--temp", "nan"], "--temp nan: must be a number, 0 or more"),
        (["chat", "--top-k", "1.5"], "--top-k 1.5: must be a whole number, 0 or more"),
        (["chat", "--top-p", "0"], "--top-p 0: must be over 0 to 1"),
        (["chat", "-t", "0"], "--threads 0: must be 1 to 512"),
        (["chat", "-n", "-2"], "--n-predict -2: must be -1 or more"),
        (["chat", "--seed", "-1"], "--seed -1: must be 0 to 18446744073709551615"),
        (["chat", "--kv-type", "q9"], "--kv-type q9: must be f16 or f32"),
        (["chat", "--stop", ""], "--stop '': must be a text of at least one character"),
        (["chat", "--echo", "--json"], '--echo: not with --json, where "stats" has the prompt'),
        (["chat", "-f", "/nowhere/x"], "--file /nowhere/x: No such file or directory; name a text file"),
        (["--print-completion", "fish"], "invalid choice: 'fish'"),
    ],
)
def test_wrong_usage_is_one_line(ggtui: Run, args: list[str], problem: str) -> None:
    code, out, err = ggtui(*args)
    assert (code, out) == (2, "")
    assert err.startswith("ggtui: ") and err.count("\n") == 1
    assert problem in err


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (GgtuiError("bad\x1b[31m\nluck"), 1, r"bad\x1b[31m\nluck"),
        (UsageError("flag"), 2, "flag"),
        (ModelFileError("x.gguf", "magic", "is wrong", 4), 4, "x.gguf: byte 4: magic: is wrong"),
        (MissingPartError("no dot"), 5, "no dot"),
        (OSError(28, "No space left on device", "a.svg"), 1, "a.svg: No space left on device"),
        (MemoryError(), 1, "out of memory"),
        (ZeroDivisionError("x"), 1, "an error of ggtui itself: ZeroDivisionError: x; --verbose shows where"),
    ],
)
def test_errors_become_a_line_and_a_code(
    ggtui: Run, monkeypatch: pytest.MonkeyPatch, error: Exception, code: int, line: str
) -> None:
    def fail(*_: object) -> int:
        raise error

    monkeypatch.setattr("ggtui.cli.chat.run", fail)
    assert ggtui("chat") == (code, "", f"ggtui: {line}\n")
    verbose = ggtui("chat", "-v")
    assert verbose.code == code and "Traceback" in verbose.err and verbose.err.endswith(f"ggtui: {line}\n")
    assert "\x1b" not in verbose.err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (KeyboardInterrupt(), 130),
        (Terminated(signal.SIGTERM), 143),
        (Terminated(signal.SIGHUP), 129),
        (BrokenPipeError(), 0),
    ],
)
def test_interruptions_are_quiet(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int
) -> None:
    def fail(*_: object) -> int:
        raise error

    monkeypatch.setattr("ggtui.cli.chat.run", fail)
    assert main(["chat"]) == code  # with capsys: stdout has no file descriptor that could be lost
    assert capsys.readouterr() == ("", "")


def test_ctrl_c_during_an_import() -> None:
    """Python makes a RuntimeError of what comes while a class is made, and keeps in mind what comes in a module."""
    in_class = "type('A', (), {'a': type('B', (), {'__set_name__': stop})()})"
    for how in (in_class, "exec('raise KeyboardInterrupt')"):
        code = f"""
import runpy, sys
import ggtui.cli.chat
def stop(*_): raise KeyboardInterrupt
ggtui.cli.chat.run = lambda _: {how}
sys.argv = ["ggtui", "chat", "-v"]
runpy.run_module("ggtui", run_name="__main__")
"""
        done = subprocess.run((sys.executable, "-c", code), capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_an_error_while_a_signal_is_heeded_changes_no_exit_code(ggtui: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a terminal closes, nothing can be written to it any more."""

    def fail(*_: object) -> int:
        try:
            raise Terminated(signal.SIGHUP)
        finally:
            try:
                raise OSError(5, "Input/output error")
            except OSError:
                raise ValueError("and so on") from None

    monkeypatch.setattr("ggtui.cli.chat.run", fail)
    assert ggtui("chat") == (129, "", "")


@pytest.mark.parametrize(
    ("error", "hung_up", "code"),
    [
        (OSError(5, "Input/output error"), True, 129),
        (termios.error(5, "Input/output error"), True, 129),
        (OSError(5, "Input/output error"), False, 1),
        (OSError(5, "Input/output error", "model.gguf"), True, 1),
        (OSError(), True, 1),
        (KeyError(5), True, 1),
    ],
)
def test_an_error_of_a_terminal_that_is_gone_is_quiet(
    ggtui: Run, monkeypatch: pytest.MonkeyPatch, error: Exception, hung_up: bool, code: int
) -> None:
    def fail(*_: object) -> int:
        raise error

    monkeypatch.setattr("ggtui.cli.chat.run", fail)
    monkeypatch.setattr("ggtui.cli.hung_up", lambda: hung_up)
    result = ggtui("chat")
    assert result.code == code and (result.err == "") == (code == 129)


def test_a_full_disk_is_one_line(start: Run) -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("there is no /dev/full")
    with open("/dev/full", "wb") as full:
        program = start("--help", stdout=full)
        _, err = program.communicate()
    assert program.returncode == 1
    assert err == b"ggtui: No space left on device\n"


def test_closed_stdout_is_one_line(start: Run) -> None:
    program = start("chat", "-p", "x", stdout=None, preexec_fn=lambda: os.close(1))
    _, err = program.communicate()
    assert program.returncode == 1
    assert err == b"ggtui: standard output is closed; there is nowhere to write to\n"


@pytest.mark.parametrize(
    ("args", "code", "said"), [(["--version"], 0, f"ggtui {__version__}\n"), (["cht"], 2, ""), (["info", "-x"], 2, "")]
)
def test_the_program_ends_with_the_exit_code_and_all_it_said(start: Run, args: list[str], code: int, said: str) -> None:
    program = start(*args)
    out, err = program.communicate()
    assert (program.returncode, out.decode()) == (code, said)
    assert err.count(b"\n") == (code > 0)


def test_python_m_is_the_same_program() -> None:
    done = subprocess.run([sys.executable, "-m", "ggtui", "cht"], capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.startswith("ggtui: cht: no such command")


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from ggtui.cli import main; main(['--help']); "
        "print([m for m in ('numpy', 'rich', 'prompt_toolkit', 'ggtui._native', 'shtab', 'dataclasses') "
        "if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr == "[]\n"


@pytest.mark.parametrize(
    ("modules", "heavy"),
    [
        ("ggtui.cli.chat, ggtui.viz.engine", ["numpy", "rich"]),  # what the engine's process waits for
        ("ggtui.viz.live, ggtui.viz.tui.app", ["numpy"]),  # ... and the first frame
    ],
)
def test_the_screen_begins_without_what_takes_long(modules: str, heavy: list[str]) -> None:
    code = f"import sys, {modules}; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "[]\n"


def test_one_text_loads_no_line_editor() -> None:
    code = (
        "import sys; from ggtui.cli import main; main(['chat', '-q', '-n', '1', '-p', 'x']); "
        "print([m for m in ('rich', 'prompt_toolkit', 'shtab', 'asyncio') if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.stderr == "[]\n"


# ---- where the system gives little ----

COMMANDS_OF_LITTLE = (
    ("chat", "-p", "Once", "-n", "2", "-q"),
    ("info",),
    ("inspect",),
    ("perf", "-n", "2", "-r", "1", "--n-prompt", "4", "-q"),
    ("perf", "--open", str(ROOT / "tests" / "data" / "tales-trace.json")),
    ("bench", "-p", "4", "-n", "2", "-r", "1", "-q"),
)


@pytest.mark.bare
@pytest.mark.parametrize("args", COMMANDS_OF_LITTLE, ids=lambda args: " ".join(args[:2]))
@pytest.mark.parametrize("kib", [60_000, 100_000, 200_000, 400_000])
def test_too_little_memory_is_told_in_a_line(start: Any, args: tuple[str, ...], kib: int) -> None:
    """numpy crashes where it has not enough to load, and BLAS ends the process in its own words."""
    limit = partial(resource.setrlimit, resource.RLIMIT_AS, (kib << 10, kib << 10))
    process = start(*args, preexec_fn=limit)
    err = process.communicate()[1].decode()
    if kib < cli.ADDRESSES >> 10:
        assert err == f"ggtui: not enough memory: ulimit -v allows {kib:,} KiB, and 196,608 KiB are needed; raise it\n"
    assert (process.returncode, err) == (0, "") or (process.returncode == 1 and one_line_of(err, "memory"))


@pytest.mark.bare
def test_too_little_data_is_told_in_a_line(start: Any) -> None:
    process = start("info", preexec_fn=partial(resource.setrlimit, resource.RLIMIT_DATA, (30 << 20, 30 << 20)))
    err = process.communicate()[1].decode()
    assert process.returncode == 1 and "ulimit -d allows 30,720 KiB, and 65,536 KiB are needed" in err


@pytest.mark.bare
@pytest.mark.parametrize("args", COMMANDS_OF_LITTLE, ids=lambda args: " ".join(args[:2]))
def test_sixteen_open_files_are_enough(start: Any, args: tuple[str, ...]) -> None:
    process = start(*args, preexec_fn=partial(resource.setrlimit, resource.RLIMIT_NOFILE, (16, 16)))
    assert (process.communicate()[1], process.returncode) == (b"", 0)


def test_a_thread_that_cannot_be_started_is_told_in_a_line(ggtui: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    code, _, err = ggtui("chat", "-p", "Once", "-n", "2", "-q")
    assert code == 1 and one_line_of(err, "could not start a thread")


def one_line_of(err: str, word: str) -> bool:
    return err.startswith("ggtui: ") and word in err and err.count("\n") == 1 and "itself" not in err
