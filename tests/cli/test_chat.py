"""`ggtui chat` without a conversation: one text, its statistics, and how it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ggtui.cli.chat import OPENINGS, _stream
from ggtui.core.engine.session import load
from ggtui.viz.text import printable

Run = Callable[..., Any]
FEW = ("-n", "8", "--seed", "1")
SUMMARY = re.compile(
    r"""
mem per token = +\d+ bytes
    load time = +\d+\.\d\d ms
  sample time = +\d+\.\d\d ms
 predict time = +\d+\.\d\d ms / \d+\.\d\d ms per token
   total time = +\d+\.\d\d ms
       prompt = +4 tokens, \d+\.\d tok/s
   generation = +8 tokens, \d+\.\d tok/s
         seed = +1
"""
)


def expected(prompt: str, n: int = 8, **params: Any) -> str:
    """The text that the API generates."""
    session = load(threads=1)
    return "".join(step.text for step in session.generate(prompt, n, **{"seed": 1, **params}))


def ended(text: str) -> str:
    """With a line feed at its end."""
    return text if text.endswith("\n") else text + "\n"


def test_text_to_stdout_and_statistics_to_stderr(ggtui: Run) -> None:
    code, out, err = ggtui("chat", "-p", "Once upon a time", *FEW)
    assert code == 0
    assert out == ended(expected("Once upon a time"))
    assert SUMMARY.fullmatch(err), err


def test_quiet_and_echo(ggtui: Run) -> None:
    code, out, err = ggtui("chat", "-q", "--echo", "-p", "Once upon a time", *FEW)
    assert (code, err) == (0, "")
    assert out == "Once upon a time" + ended(expected("Once upon a time"))


def test_flags_reach_the_sampler(ggtui: Run) -> None:
    flags = ("--temp", "1.5", "--top-k", "7", "--top-p", "0.7", "--min-p", "0.01", "--repeat-penalty", "1.3")
    params = {"temp": 1.5, "top_k": 7, "top_p": 0.7, "min_p": 0.01, "repeat_penalty": 1.3}
    out = ggtui("chat", "-q", "-p", "The king", "-n", "30", "--seed", "1", *flags).out
    assert out == ended(expected("The king", 30, **params))
    assert out != ggtui("chat", "-q", "-p", "The king", "-n", "30", "--seed", "1").out


def test_stop_text(ggtui: Run) -> None:
    whole = expected("The king", 30)
    stop = whole.split()[4]
    out = ggtui("chat", "-q", "-p", "The king", "-n", "30", "--seed", "1", "--stop", "never", "--stop", stop).out
    assert out == ended(whole[: whole.index(stop)])


def test_input_file_and_prompt_are_joined(ggtui: Run, tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes(b" a time\r\n")
    out = ggtui("chat", "-q", "--echo", "-f", str(path), "-p", " there", *FEW, stdin=b"Once upon\n").out
    assert out.startswith("Once upon a time there")
    out = ggtui("chat", "-q", "--echo", *FEW, stdin=b"two\n\n").out
    assert out == "two\n" + ended(expected("two\n"))


def test_input_that_is_no_text(ggtui: Run, tmp_path: Path) -> None:
    code, out, err = ggtui("chat", stdin=b"abc\xff")
    assert (code, out) == (2, "")
    assert err == "ggtui: standard input: byte 3 is not UTF-8; convert the text, e.g. with iconv\n"
    assert ggtui("chat", "-f", str(tmp_path)).code == 2


def test_going_on_past_the_end_of_the_text(ggtui: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a token that comes early as the one that ends a text."""
    first = next(iter(load(threads=1).generate("The king", 1, temp=0.0))).token
    ends = property(lambda _: frozenset([first]), lambda *_: None)
    monkeypatch.setattr("ggtui.core.vocab.base.Vocabulary.ends", ends, raising=False)
    flags = ("chat", "-q", "--json", "-p", "The king", "-n", "5", "--temp", "0")
    for more, n, reason in (((), 1, "end of text"), (("--ignore-eos",), 5, "n_predict")):
        *rows, last = [json.loads(line) for line in ggtui(*flags, *more).out.splitlines()]
        assert (len(rows), last["stats"]["stop_reason"]) == (n, reason)


def test_a_pace_changes_no_text(ggtui: Run) -> None:
    assert ggtui("chat", "-q", "-p", "The king", *FEW, "--speed", "500").out == ended(expected("The king"))
    assert ggtui("chat", "-p", "x", "--speed", "-1").err == "ggtui: --speed -1: must be 0 or more\n"


@pytest.mark.parametrize("flag", ["--browser", "--serve"])
def test_the_browser_is_asked_for_by_its_name_and_by_the_one_before(
    ggtui: Run, flag: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[object, ...]] = []
    pytest.importorskip("textual_serve")
    monkeypatch.setattr("ggtui.viz.serve.serve", lambda *args: asked.append(args) or 0)
    words = ("model.gguf", "--host=::1", "--temp", "0", "--port", "8001", "--speed", "3")
    assert ggtui("chat", flag, *words).code == 0
    assert asked == [(["model.gguf", "--temp", "0", "--speed", "3"], "::1", 8001)]
    assert ggtui("chat", flag, "-p", "x").err == "ggtui: --browser: not with a prompt, --json or --plain\n"
    assert ggtui("chat", "--host", "::1", "-p", "x").err == "ggtui: --host: only with --browser\n"


def test_the_name_before_is_in_no_help_and_no_completion(ggtui: Run) -> None:
    for words in (("chat", "--help"), ("--print-completion", "bash"), ("--print-completion", "zsh")):
        out = ggtui(*words).out
        assert "--browser" in out and "--speed" in out and "--ignore-eos" in out and "--serve" not in out


def test_an_opening_is_drawn(ggtui: Run) -> None:
    texts = {}
    for seed in range(12):
        code, out, err = ggtui("chat", "-n", "2", "--seed", str(seed), stdin=b"\n")
        assert code == 0
        opening = next(o for o in sorted(OPENINGS, key=len, reverse=True) if out.startswith(o))
        assert err.startswith(f"ggtui: no prompt; beginning with {opening!r}\n")
        texts[seed] = out
    assert len(set(texts.values())) > 4
    assert ggtui("chat", "-n", "2", "--seed", "3").out == texts[3]
    quiet = ggtui("chat", "-q", "-n", "2", "--seed", "3")
    assert quiet == (0, texts[3], "")


def test_without_a_seed_the_one_drawn_is_told(ggtui: Run) -> None:
    first = ggtui("chat", "-n", "12")
    seed = re.search(r"seed = +(\d+)", first.err)
    assert seed is not None
    assert ggtui("chat", "-n", "12", "--seed", seed[1]).out == first.out


def test_json(ggtui: Run) -> None:
    code, out, err = ggtui("chat", "-q", "--json", "-p", "Once upon a time", *FEW)
    assert (code, err) == (0, "")
    *rows, last = [json.loads(line) for line in out.splitlines()]
    assert all(row.keys() == {"token", "text", "logprob", "ms", "n_past"} for row in rows)
    assert "".join(row["text"] for row in rows) == expected("Once upon a time")
    assert [row["n_past"] for row in rows] == list(range(4, 12))
    assert all(row["logprob"] < 0 < row["ms"] for row in rows)
    stats = last["stats"]
    assert stats["prompt"] == "Once upon a time" and stats["stop_reason"] == "n_predict" and stats["seed"] == 1
    assert (stats["prompt_tokens"], stats["generated_tokens"]) == (4, 8)


def test_context_full(ggtui: Run) -> None:
    code, out, err = ggtui("chat", "-p", "Once upon a time", "-n", "-1", "--seed", "1", "--ctx", "16")
    assert code == 0
    problem = (
        "the context of 16 tokens is full; to go on use --ctx-shift, or a larger --ctx: this model's largest is 512"
    )
    assert err.startswith(f"ggtui: {problem}\n")
    shifted = ggtui("chat", "-q", "-p", "Once upon a time", "-n", "20", "--seed", "1", "--ctx", "16", "--ctx-shift")
    assert shifted.code == 0 and shifted.out.startswith(out.removesuffix("\n"))
    assert len(shifted.out) > len(out)


def test_a_prompt_that_does_not_fit(ggtui: Run) -> None:
    code, out, err = ggtui("chat", "-p", "word " * 50, "--ctx", "16")
    assert code == 1 and err.count("\n") == 1 and "context of 16" in err
    assert out == ""


def test_a_context_the_model_does_not_have(ggtui: Run) -> None:
    _, _, err = ggtui("chat", "-p", "Once upon a time", *FEW, "--ctx", "9999")
    assert err.startswith("ggtui: --ctx 9999: this model was made for 512 tokens; using 512\n")


def test_a_missing_model(ggtui: Run) -> None:
    code, out, err = ggtui("chat", "/nowhere/\x1b[31mx.gguf", "-p", "x")
    assert (code, out) == (4, "")
    assert err.startswith(r"ggtui: /nowhere/\x1b[31mx.gguf: ") and err.count("\n") == 1


def test_model_and_settings_from_the_environment(ggtui: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GGTUI_N_PREDICT", "3")
    monkeypatch.setenv("GGTUI_SEED", "1")
    assert ggtui("chat", "-q", "-p", "x").out == ended(expected("x", 3))
    monkeypatch.setenv("GGTUI_MODEL", "/nowhere")
    assert ggtui("chat", "-q", "-p", "x").code == 4


EVIL = "\x1b[31mred\x9b0m\x07 bell\r\n\ttab \u202etext"
EVIL_STEPS = [SimpleNamespace(text=text) for text in ("\x1b[2J", "a\r", "\x00b")]


def test_piped_text_is_the_text_itself(start: Run) -> None:
    program = start("chat", "--echo", "-n", "0", stdin=subprocess.PIPE)
    out, err = program.communicate(EVIL.encode())
    assert program.returncode == 0 and out == EVIL.encode() + b"\n"
    assert not set(range(32)) - {10} & set(err)


def test_what_is_said_to_a_terminal_is_data(start: Run) -> None:
    ours, theirs = os.openpty()
    program = start("chat", "--echo", "-n", "0", "-q", stdin=subprocess.PIPE, stdout=theirs)
    program.communicate(EVIL.encode())
    assert program.returncode == 0
    assert os.read(ours, 1000).decode() == printable(EVIL).replace("\n", "\r\n") + "\r\n"
    os.close(theirs)
    os.close(ours)


@pytest.mark.parametrize("terminal", [False, True])
def test_what_the_model_says_is_escaped_for_a_terminal_alone(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, terminal: bool
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal, raising=False)
    chat: Any = SimpleNamespace(say=lambda _: EVIL_STEPS, session=SimpleNamespace(stop=lambda: None))
    _stream(chat, "", as_json=False)
    said = "".join(step.text for step in EVIL_STEPS)
    assert capsys.readouterr().out == (printable(said) if terminal else said)


def test_verbose(ggtui: Run) -> None:
    err = ggtui("chat", "-v", "-p", "x", "-n", "1").err
    assert err.startswith("ggtui: ") and "tales.gguf: cpu, " in err and "1 threads, context 512" in err


# ---- as a program of its own ----


def test_piped_output_is_text_alone(start: Run) -> None:
    program = start("chat", "-p", "The king", "-n", "50", "--seed", "1", env={**os.environ, "TERM": "xterm-256color"})
    out, err = program.communicate()
    assert program.returncode == 0
    assert out.decode() == ended(expected("The king", 50))
    assert b"\x1b" not in out + err


def test_tokens_come_one_by_one(start: Run) -> None:
    program = start("chat", "-p", "The king", "-n", "-1", "--ctx-shift")
    try:
        assert program.stdout.read(20), "text came although the generation never ends"
    finally:
        program.kill()
        program.communicate()


@pytest.mark.parametrize("json_lines", [False, True])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_ends_the_text_in_order(start: Run, number: signal.Signals, code: int, json_lines: bool) -> None:
    flags = ("--json",) if json_lines else ()
    program = start("chat", "-p", "The king", "-n", "-1", "--ctx-shift", *flags)
    head = program.stdout.read(20)
    program.send_signal(number)
    tail, err = program.communicate(timeout=20)
    assert program.returncode == code
    assert b"Traceback" not in err and b"load time" in err and b"generation" in err
    out = head + tail
    assert out.endswith(b"\n")
    if json_lines:
        rows = [json.loads(line) for line in out.splitlines()]
        assert rows[-1]["stats"]["stop_reason"] == "interrupted"
        assert rows[-1]["stats"]["generated_tokens"] >= len(rows) - 1


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_is_heard_at_once_while_the_next_token_is_waited_for(
    start: Run, number: signal.Signals, code: int
) -> None:
    program = start("chat", "-p", "The king", "-n", "-1", "--temp", "0", "--speed", "0.001")
    assert program.stdout.read(2)
    program.send_signal(number)
    _, err = program.communicate(timeout=20)
    assert program.returncode == code and b"Traceback" not in err and re.search(rb"generation = +[12] tokens", err)


def test_ctrl_c_is_heard_while_a_prompt_is_read(start: Run, tmp_path: Path) -> None:
    path = tmp_path / "long"
    path.write_text("word " * 500)
    program = start("chat", "-f", str(path), "-n", "1", "--isa", "scalar", "-v")
    line = b""
    while b"scalar, 1 threads" not in line:  # loaded; what comes next is the prompt
        line = program.stderr.readline()
        assert line
    program.send_signal(signal.SIGINT)
    _, err = program.communicate(timeout=20)
    assert program.returncode == 130, err
    assert b"was stopped" not in err and b"Traceback" not in err


@pytest.mark.parametrize("args", [("chat", "-p", "x", "-n", "-1", "--ctx-shift"), ("--help",), ("info",)])
def test_a_closed_pipe_ends_it_quietly(start: Run, args: tuple[str, ...]) -> None:
    program = start(*args)
    assert program.stdout.read(10)
    program.stdout.close()
    err = program.stderr.read()
    assert program.wait(timeout=20) == 0
    assert err == b""
