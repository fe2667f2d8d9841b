"""The conversation line by line: prompt_toolkit's editor around a Shell."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.history import History
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.shortcuts import CompleteStyle

from ggtui.chat import commands
from ggtui.chat.conversation import Chat
from ggtui.chat.history import History as Past
from ggtui.chat.reloading import Reloading
from ggtui.viz.shell import Shell
from ggtui.viz.text import printable_line

PROMPT = "> "


class Repl:
    """Reads lines and hands them to a Shell until the person leaves."""

    def __init__(self, chat: Chat, reloading: Reloading, started: int, *, quiet: bool = False, **terminal: Any) -> None:
        """`terminal`: input and output of prompt_toolkit, where they are not the real ones."""
        self._terminal = terminal
        self.shell = Shell(chat, self._edit, self._sure, reloading=reloading, started=started, quiet=quiet)
        self._past = Past()
        self._editor: PromptSession[str] = PromptSession(
            PROMPT,
            multiline=True,
            prompt_continuation=". ",
            key_bindings=_keys(),
            history=_History(self._past),
            completer=_Commands(),
            complete_style=CompleteStyle.READLINE_LIKE,
            complete_while_typing=False,
            **terminal,
        )

    def run(self) -> int:
        """The exit code."""
        if not self.shell.quiet:
            self._greet()
        while not self.shell.leaving:
            if self._past.trouble:
                self.shell.tell(f"ggtui: {self._past.trouble}")
                self._past.trouble = ""
            try:
                line = self._editor.prompt()
            except EOFError:
                break
            except KeyboardInterrupt:
                self.shell.tell("Ctrl+D or /bye leaves.")
                continue
            self.shell.handle(line)
        return 0

    def _greet(self) -> None:
        first, *rest = self.shell.greeting()
        for line in (f"{first} /help says what can be typed.", *rest):
            self.shell.tell(line)

    def _edit(self, text: str) -> str | None:
        try:
            return self._editor.prompt("edit> ", default=text)
        except (EOFError, KeyboardInterrupt):
            return None
        finally:
            self._editor.message = PROMPT

    def _sure(self, question: str) -> bool:
        """Asks without the history, of which the answer is no part."""
        editor: PromptSession[str] = PromptSession(f"{printable_line(question)} y/N: ", **self._terminal)
        try:
            return editor.prompt().strip().lower() in ("y", "yes")
        except (EOFError, KeyboardInterrupt):
            return False


class _History(History):
    """What was typed, as the editor asks for it."""

    def __init__(self, past: Past) -> None:
        super().__init__()
        self._past = past

    def load_history_strings(self) -> Iterator[str]:
        return reversed(self._past.texts)

    def store_string(self, string: str) -> None:
        self._past.add(string)


def _keys() -> KeyBindings:
    """Enter sends, also in the middle of several lines; Ctrl+J is a new line. A pasted text keeps its lines."""
    keys = KeyBindings()

    @keys.add("enter")
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.validate_and_handle()

    @keys.add("c-j")
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.newline(copy_margin=False)

    return keys


class _Commands(Completer):
    """Completes commands and their arguments."""

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:
        typed, found = commands.completions(document.text_before_cursor)
        yield from (Completion(text, -len(typed)) for text in found)
