"""Lines typed in the conversation, without the line editor."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from chat_fixtures import made_anew

from ggtui.chat import saved
from ggtui.chat.commands import COMMANDS, SUBJECTS
from ggtui.chat.conversation import Chat, Turn
from ggtui.chat.folders import chats
from ggtui.chat.settings import LIVE, SETTINGS
from ggtui.core.engine.model import BUILT_IN
from ggtui.viz.shell import Shell


class Typed:
    """A shell, and what it wrote since the last line."""

    def __init__(self, chat: Chat, **options: Any) -> None:
        self.out = io.StringIO()
        self.edited: str | None = None
        self.asked: list[str] = []
        self.sure = False
        reloading = made_anew(chat)
        self.shell = Shell(chat, lambda text: self.edited, self._sure, self.out, reloading=reloading, **options)
        self.chat = chat

    def _sure(self, question: str) -> bool:
        self.asked.append(question)
        return self.sure

    def __call__(self, line: str) -> str:
        self.out.seek(0)
        self.out.truncate()
        self.shell.handle(line)
        return self.out.getvalue()


@pytest.fixture
def typed(chat: Chat) -> Typed:
    return Typed(chat)


def test_an_answer_and_its_figures(typed: Typed) -> None:
    text, figures, end = typed("Once upon a time").rsplit("\n", 2)
    assert text == typed.chat.turns[0].text.lstrip(" ").rstrip("\n") and end == ""
    assert figures.startswith("[8 tokens, ") and "; prompt 4, " in figures and figures.endswith("; context 11/512]")


def test_quiet(chat: Chat) -> None:
    assert "[" not in Typed(chat, quiet=True)("Once upon a time")


def test_an_empty_line(typed: Typed) -> None:
    typed("Once upon a time")
    typed("")
    assert len(typed.chat.turns) == 2
    typed("/mode chat")
    assert typed("") == "" and typed("  ") == "" and len(typed.chat.turns) == 2


def test_help_and_leaving(typed: Typed) -> None:
    text = typed("/help")
    for command in COMMANDS:
        assert command.usage in text and command.help in text
    assert max(map(len, text.splitlines())) < 100
    assert not typed.shell.leaving
    typed("/bye ")
    assert typed.shell.leaving


def test_unknown_commands(typed: Typed) -> None:
    assert typed("/regne") == "ggtui: /regne: no such command; did you mean /regen?\n"
    assert typed("/xyzzy") == "ggtui: /xyzzy: no such command; /help lists them\n"
    assert typed("/\x1b[31m") == "ggtui: /\\x1b[31m: no such command; /help lists them\n"
    assert typed.chat.turns == []


def test_clear_regen_undo(typed: Typed) -> None:
    for line in ("/regen", "/undo"):
        assert typed(line) == "ggtui: there is nothing to take back yet\n"
    typed("Once upon a time")
    first = typed.chat.turns[0].text
    typed("/regen")
    assert len(typed.chat.turns) == 1 and typed.chat.turns[0].text != first
    assert typed("/undo") == "Took back 'Once upon a time' and its answer; 0 turns left. /redo brings it back.\n"
    typed("x" * 100)
    assert len(typed("/undo")) < 130
    typed("a")
    assert typed("/clear") == "Everything said so far is forgotten; /undo right after brings it back.\n"
    assert typed.chat.turns == []
    assert "a" in (said := typed("/undo")) and said.endswith("Brought back what was said before: 1 turn.\n")
    assert [turn.prompt for turn in typed.chat.turns] == ["a"]


def test_going_between_answers(typed: Typed) -> None:
    nothing = "there is no other answer to go to; /regen and /edit make one"
    assert typed("/prev") == f"ggtui: {nothing}\n" and typed("/redo") == "ggtui: there is nothing to bring back\n"
    typed("Once upon a time")
    first = typed.chat.turns[0].text
    typed("/regen")
    typed(" And")
    second, third = (turn.text for turn in typed.chat.turns)
    assert typed("/prev") == f"Once upon a time{first}\nAnswer 1 of 2; 1 turn.\n"
    assert typed("/next") == f"Once upon a time{second} And{third}\nAnswer 2 of 2; 2 turns.\n"
    typed("/undo")
    assert typed("/redo") == f" And{third}\n"


def test_topk_is_of_what_follows(typed: Typed) -> None:
    """After the last token of an answer, whichever it is, and not what that was chosen from."""
    typed("/set temp 0")
    typed("Once upon a time")
    token = typed("/topk 1").split(maxsplit=2)[2].strip()
    typed("/set n-predict 1")
    typed("")
    assert repr(typed.chat.turns[-1].text) == token


def test_edit(typed: Typed) -> None:
    assert typed("/edit") == "ggtui: there is nothing to edit yet\n"
    typed("Once upon a time")
    assert typed("/edit") == "Left as it was.\n" and typed.chat.turns[0].prompt == "Once upon a time"
    typed.edited = "The king"
    typed("/edit")
    assert [t.prompt for t in typed.chat.turns] == ["The king"]


def test_save_and_load(typed: Typed) -> None:
    assert typed("/sessions") == "No chats are saved; /save NAME does.\n"
    typed("Once upon a time")
    typed(" And \x1b")
    before = [(t.prompt, t.text) for t in typed.chat.turns]
    assert typed("/save my tale") == f"Saved 2 turns: {chats() / 'my tale.json'}\n"
    assert typed("/sessions") == "my tale\n"
    typed("/clear")
    text = typed("/load my tale")
    assert text.startswith("Once upon a time") and r"\x1b" in text
    assert text.endswith("\nLoaded 2 turns; /undo right after brings back what was said before.\n")
    assert "\x1b" not in text
    assert [(t.prompt, t.text) for t in typed.chat.turns] == before
    for line, problem in (
        ("/load x", "no saved chat 'x'; saved: my tale"),
        ("/load", "name '': must be"),
        ("/save ../x", "name '../x': must be"),
    ):
        assert typed(line).startswith(f"ggtui: {problem}")
    assert len(typed.chat.turns) == 2, "what fails leaves the chat as it was"


def test_another_chat_is_not_written_over_without_asking(typed: Typed) -> None:
    typed("Once upon a time")
    typed("/save mine")
    typed(" And")
    assert typed("/save mine").startswith("Saved 2 turns") and not typed.asked, "it is this chat's own name"
    typed("/clear")
    typed("The king")
    assert typed("/save mine") == "Left as it was.\n" and typed.asked == ["mine is there; write over it?"]
    assert len(saved.load("mine").path) == 2
    typed("/save other")
    typed.sure = True
    assert typed("/save mine").startswith("Saved 1 turn") and len(typed.asked) == 2
    typed("/load other")
    typed("/save other")
    assert len(typed.asked) == 2, "nor under the name it was loaded from"


def test_loading_can_be_taken_back(typed: Typed) -> None:
    typed("Once upon a time")
    typed("/save one")
    typed("/clear")
    typed("The king")
    typed("/load one")
    typed("/undo")
    assert [turn.prompt for turn in typed.chat.turns] == ["The king"]
    assert typed("/save one") == "Left as it was.\n", "this chat has no name"


def test_the_pace_is_told_beside_the_engines_own_speed(typed: Typed) -> None:
    assert typed("/speed 400") == "speed = 400\n"
    assert " tok/s, paced to 400; prompt " in typed("Once upon a time")
    assert typed("/speed 0") == "speed = 0\n" and "paced" not in typed("")


def test_a_folder_that_cannot_be_written(typed: Typed) -> None:
    chats().parent.parent.write_text("no folder")
    line = typed("/save x")
    assert line.startswith("ggtui: ") and str(chats().parent) in line and line.count("\n") == 1


def test_mode(typed: Typed) -> None:
    assert typed("/mode").startswith("Mode complete: ")
    assert typed("/mode chat").startswith("Mode chat: ") and typed.chat.mode == "chat"
    assert typed("/mode sing") == "ggtui: /mode sing: must be complete or chat\n"
    typed("Who?")
    assert "User: Who?" in typed.chat.session.tokenizer.decode(typed.chat.tokens)


def test_set(typed: Typed) -> None:
    assert typed("/set temp 0") == "temp = 0\n" and typed.chat.settings.temp == 0
    assert typed("/set top_k 3") == "top-k = 3\n" and typed.chat.settings.top_k == 3
    assert typed("/set stop two words") == "stop = 'two words'\n" and typed.chat.settings.stop == ("two words",)
    assert typed("/set stop default") == "stop = none\n" and typed.chat.settings.stop == ()
    assert typed("/set ctx-shift on") == "ctx-shift = on\n" and typed.chat.settings.ctx_shift is True
    assert typed("/set temp") == "temp = 0\n"
    assert typed("/set temp -1") == "ggtui: /set temp -1: must be 0 or more\n" and typed.chat.settings.temp == 0
    assert typed("/set tmep 1") == "ggtui: /set tmep: no such setting; did you mean temp?\n"
    assert typed("/set batch 2") == "ggtui: /set batch: only at the start, by ggtui chat --batch N\n"
    assert typed("/set") == typed("/show params")
    typed("/set n-predict 3")
    typed("Once upon a time")
    assert typed.chat.session.stop_reason == "n_predict" and len(typed.chat.tokens) == 7


def test_threads_and_models_change_while_the_chat_goes_on(typed: Typed, tmp_path: Path) -> None:
    typed("Once upon a time")
    before = typed.chat.turns
    assert typed("/set threads") == "threads = 1\n"
    assert ", 2 threads, context 512.\n" in typed("/set threads 2")
    assert typed("/set threads") == "threads = 2\n" and typed.shell.chat.turns == before
    other = tmp_path / "other.gguf"
    shutil.copy(BUILT_IN, other)
    assert "tales: " in typed(f"/model {other}") and typed.shell.chat.session.path == other
    text, figures, _ = typed("Long ago").rsplit("\n", 2)
    assert text == typed.shell.chat.turns[-1].text.lstrip(" ").rstrip("\n") and figures.startswith("[8 tokens")
    assert typed("/model nothing-like-it").startswith("ggtui: nothing-like-it: file: does not exist")
    assert typed("/set threads 99999") == "ggtui: /set threads 99999: must be 1 to 512\n"
    assert typed.shell.chat.session.path == other and len(typed.shell.chat.turns) == 2
    assert "tales: " in typed("/model built-in") and typed.shell.chat.session.path == BUILT_IN
    assert typed("/perf on") and typed("The king") and "mul_mat" in typed("/perf")


def test_models_are_listed(typed: Typed) -> None:
    rows = typed("/model").splitlines()
    assert rows[0].split()[:2] == ["built-in", f"{BUILT_IN.stat().st_size:,}"]
    assert any(row.startswith("smollm2") and "to be fetched with: ggtui pull smollm2" in row for row in rows)


def test_every_live_setting_can_be_set(typed: Typed) -> None:
    for name in LIVE:
        setting = SETTINGS[name]
        text = setting.choices[-1] if setting.choices else {int: "1", float: "0.5", str: "x", bool: "on"}[setting.kind]
        assert typed(f"/set {name} {text}").startswith(f"{name} = ")


@pytest.mark.parametrize("subject", list(SUBJECTS))
def test_show(typed: Typed, subject: str) -> None:
    typed("Once upon a time")
    text = typed(f"/show {subject}")
    expected = {
        "info": ("tales.gguf", "n_vocab ", "parameters ", "of 512 tokens"),
        "params": ("temp ", "0.9", "seed ", "threads "),
        "graph": ("blk.0.attn", "mul_mat", "output"),
        "mem": ("weights ", "keys and values ", "MiB", "for one token"),
        "prompt": ("you       'Once'", "you       ' time'", "model     ' "),
    }[subject]
    assert all(word in text for word in expected)


def test_show_what(typed: Typed) -> None:
    assert typed("/show") == "ggtui: /show : must be info or params or graph or mem or prompt\n"


def test_stats(typed: Typed) -> None:
    typed("Once upon a time")
    assert "mem per token = " in typed("/stats") and "tok/s" in typed("/stats")


def test_topk(typed: Typed) -> None:
    typed("Once upon a time")
    rows = typed("/topk 3").splitlines()
    assert [row.split()[0] for row in rows] == ["1", "2", "3"]
    assert len(typed("/topk").splitlines()) == 10
    for bad in ("0", "101", "many", "²", "9" * 5000):
        assert typed(f"/topk {bad}") == f"ggtui: /topk {bad}: must be a whole number, 1 to 100\n"


def test_a_full_context(new_chat: Callable[..., Chat]) -> None:
    typed = Typed(new_chat(ctx=32, n_predict=-1))
    advice = "ggtui: the context of 32 tokens is full; to go on use /set ctx-shift on"
    assert f"\n{advice}" in typed("Once upon a time")
    assert typed(" And").startswith(advice)
    typed("/set ctx-shift on")
    typed("/set n-predict 8")
    assert not typed(" And").startswith("ggtui")


def test_ctrl_c_stops_the_answer_and_keeps_it(typed: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    say = typed.chat.say

    def interrupted(prompt: str) -> Iterator[Any]:
        for n, step in enumerate(steps := say(prompt)):
            yield step
            if n == 2:
                steps.close()
                raise KeyboardInterrupt

    monkeypatch.setattr(typed.chat, "say", interrupted)
    lines = typed("Once upon a time").splitlines()
    assert lines[-1].startswith("[3 tokens, ") and lines[-1].endswith("; stopped]")
    assert typed.chat.turns[0].reason == "interrupted" and typed.chat.turns[0].text


def test_escapes_of_the_model_are_shown(typed: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    def evil(prompt: str) -> Iterator[Any]:
        step = next(iter(typed.chat.session.generate(prompt, 1)))
        turn = Turn(prompt, ids=[step.token])
        typed.chat.tree.add(turn)
        yield type(step)(step.token, "\x1b]0;title\x07", step.logprob, step.record)

    monkeypatch.setattr(typed.chat, "say", evil)
    assert typed("x").startswith(r"\x1b]0;title\x07" + "\n")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_figures_are_dim_if_colors_are_wanted(chat: Chat, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    typed = Typed(chat)
    typed.shell.out = typed.out = Terminal()
    typed.shell.wrapped.out = typed.out
    assert "\x1b[2m[8 tokens" in typed("Once upon a time")
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in typed("Once upon a time")
