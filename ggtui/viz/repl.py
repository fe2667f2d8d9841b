"""The conversation line by line: prompt_toolkit's editor around a Shell."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.shortcuts import CompleteStyle

from ggtui.chat import commands, modes
from ggtui.chat.conversation import Chat
from ggtui.chat.history import kept_at, newest
from ggtui.core.errors import GgtuiError
from ggtui.viz.shell import Shell

PROMPT = "> "


class Repl:
    """Reads lines and hands them to a Shell until the person leaves."""

    def __init__(self, chat: Chat, started: int, *, quiet: bool = False, **terminal: Any) -> None:
        """`terminal`: input and output of prompt_toolkit, where they are not the real ones."""
        self.shell = Shell(chat, self._edit, started=started, quiet=quiet)
        self._editor: PromptSession[str] = PromptSession(
            PROMPT,
            multiline=True,
            prompt_continuation=". ",
            key_bindings=_keys(),
            history=self._history(),
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
        s = self.shell.chat.session
        name = s.metadata.get("general.name", s.path.stem)
        self.shell.tell(f"{name}: {s.isa}, {s.threads} threads, context {s.n_ctx}. /help says what can be typed.")
        self.shell.tell(modes.told(self.shell.chat.mode))

    def _edit(self, text: str) -> str | None:
        try:
            return self._editor.prompt("edit> ", default=text)
        except (EOFError, KeyboardInterrupt):
            return None
        finally:
            self._editor.message = PROMPT

    def _history(self) -> History:
        """In a file, unless that is not wanted or not possible."""
        try:
            path = kept_at()
        except (OSError, GgtuiError) as error:
            self.shell.tell(f"ggtui: no history is kept: {error}")
            path = None
        return InMemoryHistory() if path is None else _Kept(path)


class _Kept(FileHistory):
    """The history file, of which the end is read."""

    def load_history_strings(self) -> Iterator[str]:
        """The newest first."""
        return reversed(newest(Path(str(self.filename))))


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
