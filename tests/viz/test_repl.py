"""The line editor: keys, completion, history."""

from __future__ import annotations

import signal
import stat
import subprocess
import termios
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from chat_fixtures import made_anew
from on_terminal import READY, Terminal
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from ggtui.chat.conversation import Chat
from ggtui.chat.folders import history
from ggtui.chat.saved import load, save
from ggtui.chat.tree import Tree
from ggtui.viz.repl import Repl, _Commands


@pytest.fixture
def type_keys(chat: Chat, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Runs a conversation over some keys; returns the lines that were sent."""

    def run(keys: str, later: str = "") -> list[str]:
        sent: list[str] = []
        with create_pipe_input() as keyboard:
            keyboard.send_text(keys)
            if later:  # the history is read in the background
                threading.Timer(0.3, keyboard.send_text, [later]).start()
            repl = Repl(chat, made_anew(chat), 0, quiet=True, input=keyboard, output=DummyOutput())
            handle = repl.shell.handle
            monkeypatch.setattr(repl.shell, "handle", lambda line: (sent.append(line), handle(line)))
            assert repl.run() == 0
        return sent

    return run


@pytest.mark.parametrize(
    ("keys", "sent"),
    [
        ("one\r/bye\r", ["one", "/bye"]),
        ("two\nlines\r\x04", ["two\nlines"]),
        ("\x1b[200~a\r\n\tb\nc\x1b[201~\r\x04", ["a\n\tb\nc"]),
        ("abc\x03def\r\x04", ["def"]),
        ("\x03/bye\r", ["/bye"]),
        ("ab\x1b[D\x04\r\x04", ["a"]),
        ("/un\t\r\x04", ["/undo"]),
        ("/set top-\tk\r\x04", ["/set top-k"]),
    ],
    ids=["enter", "ctrl-j", "paste", "ctrl-c", "ctrl-c-empty", "ctrl-d-deletes", "tab", "tab-argument"],
)
def test_keys(type_keys: Callable[..., list[str]], keys: str, sent: list[str]) -> None:
    assert type_keys(keys) == sent


def test_edit_offers_the_last_prompt(type_keys: Callable[..., list[str]], chat: Chat) -> None:
    type_keys("The king\r/edit\r and queen\r\x04")
    assert [turn.prompt for turn in chat.turns] == ["The king and queen"]
    type_keys("/edit\rxyz\x03\x04")
    assert [turn.prompt for turn in chat.turns] == ["The king and queen"]


@pytest.mark.parametrize(
    ("answer", "prompt"), [("y\r", "Long ago"), ("n\r", "The king"), ("\r", "The king"), ("\x03", "The king")]
)
def test_an_existing_name_is_asked_about(
    type_keys: Callable[..., list[str]], chat: Chat, answer: str, prompt: str
) -> None:
    type_keys(f"The king\r/save a\r/clear\rLong ago\r/save a\r{answer}\x04")
    assert load("a").path[0].prompt == prompt
    assert f"+{answer[0]}\n" not in history().read_text(), "the answer is no line of the conversation"


def completions(text: str) -> list[str]:
    return [c.text for c in _Commands().get_completions(Document(text), CompleteEvent())]


def test_completion() -> None:
    assert completions("/s") == ["/save", "/sessions", "/system", "/speed", "/set", "/show", "/stats"]
    assert completions("/mode ") == ["complete", "chat"]
    assert completions("/show g") == ["graph"]
    assert "ctx-shift" in completions("/set ")
    assert "threads" in completions("/set ") and "batch" not in completions("/set ")
    assert completions("/load ") == []
    save("a tale", Tree(), "m")
    assert completions("/load a") == ["a tale"]
    assert completions("text") == completions("") == completions("/unknown x") == []


def test_history_is_kept_for_the_user_alone(type_keys: Callable[..., list[str]]) -> None:
    type_keys("/mode\r/show params\r\x04")
    assert "+/mode\n" in history().read_text()
    assert stat.S_IMODE(history().stat().st_mode) == 0o600
    assert type_keys("", "\x1b[A\x1b[A\r\x04") == ["/mode"]


def test_of_a_long_history_the_end_is_read(type_keys: Callable[..., list[str]]) -> None:
    type_keys("one\r\x04")
    with history().open("r+b") as file:
        file.truncate(1 << 30)
    type_keys("two\r\x04")
    assert type_keys("", later="\x1b[A\r\x04") == ["two"]


def test_no_history(type_keys: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GGTUI_NOHISTORY", "1")
    type_keys("/mode\r\x04")
    assert not history().exists()


def test_a_history_that_cannot_be_kept(type_keys: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    history().parent.parent.write_text("no folder")
    assert type_keys("/mode\r\x04") == ["/mode"]
    assert "ggtui: no history is kept: " in capsys.readouterr().out


def test_a_full_disk_is_told_once_and_the_chat_goes_on(
    type_keys: Callable[..., list[str]], capsys: pytest.CaptureFixture[str], full_disk: Any
) -> None:
    with full_disk(0):
        assert type_keys("/mode\r/stats\r/undo\r/bye\r") == ["/mode", "/stats", "/undo", "/bye"]
    assert capsys.readouterr().out.count(f"ggtui: no history is kept: {history()}: File too large\n") == 1


# ---- on a terminal ----


def test_ctrl_c_stops_the_answer_not_the_program() -> None:
    terminal = Terminal("--plain", "-n", "-1", "--ctx-shift")
    terminal.wait_for(READY)
    terminal.press(b"The king\r")
    time.sleep(0.5)
    terminal.press(b"\x03")
    terminal.wait_for(b"; stopped]")
    terminal.wait_for(READY)
    terminal.press(b"/bye\r")
    assert terminal.program.wait(20) == 0
    assert termios.tcgetattr(terminal.theirs) == terminal.before


@pytest.mark.parametrize("busy", [False, True])
def test_sigterm_leaves_the_terminal_in_order(busy: bool) -> None:
    terminal = Terminal("--plain", "-n", "-1", "--ctx-shift")
    terminal.wait_for(READY)
    if busy:
        terminal.press(b"The king\r")
        time.sleep(0.5)
    terminal.program.send_signal(signal.SIGTERM)
    assert terminal.program.wait(20) == 143
    assert termios.tcgetattr(terminal.theirs) == terminal.before


@pytest.mark.parametrize("untold", [False, True])
@pytest.mark.parametrize("busy", [False, True])
def test_a_terminal_that_closes_ends_it(busy: bool, untold: bool) -> None:
    terminal = Terminal("--plain", "-n", "-1", "--ctx-shift", untold=untold)
    terminal.wait_for(READY)
    if busy:
        terminal.press(b"The king\r")
        time.sleep(0.5)
    terminal.close()
    assert terminal.program.wait(20) == 129


def test_nothing_is_said_of_a_terminal_that_is_gone() -> None:
    terminal = Terminal("--plain", untold=True, stderr=subprocess.PIPE)
    terminal.wait_for(READY)
    terminal.close()
    assert (terminal.program.communicate(timeout=20)[1], terminal.program.returncode) == (b"", 129)


def test_also_while_the_model_loads() -> None:
    terminal = Terminal("--plain", untold=True)
    time.sleep(0.1)
    terminal.close()
    assert terminal.program.wait(20) == 129
