"""A chat: what was said in turns, and what the model is given of it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import takewhile
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from ggtui.core.errors import GgtuiError, UsageError
from ggtui.viz.settings import GENERATION, MAX_SEED, values_of

if TYPE_CHECKING:
    from ggtui.core.session import Session, Step


@dataclass(frozen=True, slots=True)
class Mode:
    """How a prompt becomes text for the model. `before` and `after` go around it, `between` ahead of a turn that is
    not the first; `stop` are texts that end an answer."""

    before: str = ""
    after: str = ""
    between: str = ""
    stop: tuple[str, ...] = ()

    def text(self, prompt: str, first: bool) -> str:
        return ("" if first else self.between) + self.before + prompt + self.after


MODES: dict[str, Mode] = {
    "complete": Mode(),
    "chat": Mode("User: ", "\nAssistant:", "\n", ("\nUser:", "\nAssistant:")),
}


@dataclass(slots=True)
class Turn:
    """What was asked and what came. `reason` is why the answer ended, "interrupted" or one of Session.stop_reason's;
    `ids` are the tokens of both."""

    prompt: str
    text: str = ""
    mode: str = "complete"
    reason: str = "interrupted"
    ids: list[int] = field(default_factory=list)


class Chat:
    """Turns with a session. The turns are the truth; the session's context is brought in line with them before each
    answer, and what it has read already is not read again.

    settings  attributes n_predict, temp, ... seed, as Session.generate names them
    """

    def __init__(self, session: Session, settings: Any) -> None:
        self.session = session
        self.settings = SimpleNamespace(**values_of(settings, (*GENERATION, "seed")))
        self.mode: str = settings.mode
        self.turns: list[Turn] = []
        self._offset = 0  # where in all tokens the context begins, after a shift
        self._n_answers = 0

    @property
    def tokens(self) -> list[int]:
        """The tokens of all turns."""
        return [id for turn in self.turns for id in turn.ids]

    def say(self, prompt: str) -> Iterator[Step]:
        """A new turn. An empty prompt lets the model go on.

        The turn counts from its first token on; one that fails or is interrupted before leaves the chat as it was.
        Raises what Session.generate raises.
        """
        return self._say(prompt, self.mode)

    def _say(self, prompt: str, mode_name: str) -> Iterator[Step]:
        session, mode = self.session, MODES[mode_name]
        before = self.tokens
        ids = session.tokenizer.encode(mode.text(prompt, first=not before))
        if not before and not ids:  # a text begins as after another one
            ids = [0 if session.tokenizer.eos is None else session.tokenizer.eos]
        params = values_of(self.settings, GENERATION)
        params["stop"] = (*params["stop"], *mode.stop)
        params["seed"] = self._next_seed()
        if params["n_predict"] < 0:
            params["n_predict"] = sys.maxsize
        window = self._window([*before, *ids])
        first, turn = self._offset, Turn(prompt, mode=mode_name, ids=ids)
        sampled: list[int] = []
        pieces: list[str] = []
        try:
            for step in session.generate(self._sync(window), **params):
                if not sampled:
                    self.turns.append(turn)
                sampled.append(step.token)
                pieces.append(step.text)
                turn.ids.append(step.token)
                if session.stop_reason != "end of text":  # what a shift dropped is missing at the front
                    self._offset = first + len(window) + len(sampled) - len(session.tokens)
                yield step
            turn.reason = session.stop_reason
        finally:
            turn.text = "".join(pieces)
            if turn.reason in ("stop text", "interrupted"):  # then tokens came whose text is not part of the answer
                turn.ids[len(turn.ids) - len(sampled) :] = self._ids_of(turn.text, sampled)

    def _ids_of(self, text: str, sampled: list[int]) -> list[int]:
        """The tokens of `text`, which is the beginning of what `sampled` say."""
        tokenizer = self.session.tokenizer
        kept = list(sampled)
        while kept and not text.startswith(tokenizer.decode(kept)):
            kept.pop()
        return kept + tokenizer.encode(text[len(tokenizer.decode(kept)) :])

    def _next_seed(self) -> int | None:
        """Each answer draws other numbers, but the same ones in the same chat with the same seed."""
        self._n_answers += 1
        seed = self.settings.seed
        return None if seed is None else (seed + self._n_answers - 1) & MAX_SEED

    def _window(self, tokens: list[int]) -> list[int]:
        """The end of `tokens` that the context is to hold."""
        n_ctx = self.session.n_ctx
        if self._offset >= len(tokens):
            self._offset = 0
        if len(tokens) - self._offset > n_ctx and self.settings.ctx_shift:
            self._offset = len(tokens) - max(1, n_ctx // 2)
        return tokens[self._offset :]

    def _sync(self, window: list[int]) -> list[int]:
        """Make the session's tokens a beginning of `window`; returns the rest of it."""
        pairs = zip(self.session.tokens, window, strict=False)
        n_same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        self.session.rewind(n_same)
        return window[n_same:]

    def clear(self) -> None:
        """Forget all turns."""
        self.turns.clear()
        self._offset = 0
        self.session.reset()

    def undo(self) -> Turn:
        """Take the last turn back. Raises UsageError without one."""
        if not self.turns:
            raise UsageError("there is nothing to take back yet")
        return self.turns.pop()

    def regen(self) -> Iterator[Step]:
        """The last prompt again, for another answer."""
        return self._instead(None)

    def edit(self, prompt: str) -> Iterator[Step]:
        """The last turn again with another prompt."""
        return self._instead(prompt)

    def _instead(self, prompt: str | None) -> Iterator[Step]:
        """A new turn in place of the last, which comes back if not one token of the new one does."""
        old = self.undo()
        n_turns = len(self.turns)
        try:
            yield from self._say(old.prompt if prompt is None else prompt, old.mode)
        finally:
            if len(self.turns) == n_turns:
                self.turns.append(old)

    def alternatives(self, n: int) -> list[tuple[str, float]]:
        """The n likeliest next tokens, as text, with their probabilities under the model, before any filter.

        Raises ContextFullError if the context has no room for the chat.
        """
        from ggtui.core.sampler import top

        session = self.session
        eos = session.tokenizer.eos
        window = self._window(self.tokens or [0 if eos is None else eos])
        self._sync(window)
        session.rewind(min(session.n_past, len(window) - 1))
        logits = session.eval(window[session.n_past :])
        return [(session.tokenizer.decode([id]), p) for id, p in top(logits, n)]

    def add(self, turn: Turn) -> None:
        """Add a turn that was had before, such as a loaded one."""
        if turn.mode not in MODES:
            raise GgtuiError(f"mode {turn.mode!r}: choose one of {', '.join(MODES)}")
        tokenizer = self.session.tokenizer
        text = MODES[turn.mode].text(turn.prompt, first=not self.turns) + turn.text
        turn.ids = tokenizer.encode(text)
        if turn.reason == "end of text" and tokenizer.eos is not None:
            turn.ids.append(tokenizer.eos)
        self.turns.append(turn)
