"""A chat: what was said in turns, and what the model is given of it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

from ggtui.chat.modes import MODES
from ggtui.chat.settings import GENERATION, LIVE, MAX_SEED, SETTINGS, values_of
from ggtui.chat.tree import Tree
from ggtui.core.errors import GgtuiError, UsageError

if TYPE_CHECKING:
    from ggtui.core.engine.session import Session
    from ggtui.core.engine.steps import Step


_LONGEST = 60.0  # seconds to wait at a time


@dataclass(slots=True)
class Turn:
    """What was asked and what came.

    reason   why the answer ended: "interrupted" or one of Session.stop_reason's
    ids      the tokens of both; the first n_prompt are the prompt's
    marks    of each of the prompt's tokens whether the template, or the mode, wrote it
    thinks   the template began what the model thinks, so that the answer has only its end
    anew     the prompt's tokens begin with all that was said before, which the template writes otherwise by now
    sampled  the tokens as they came: those of the answer, then those whose text is not part of it, as of a stop text
    by       the file of the model that answered; "" where that is not known
    """

    prompt: str
    text: str = ""
    mode: str = "complete"
    reason: str = "interrupted"
    ids: list[int] = field(default_factory=list)
    n_prompt: int = 0
    sampled: list[int] = field(default_factory=list)
    anew: bool = False
    marks: list[bool] = field(default_factory=list)
    thinks: bool = False
    by: str = ""


class Written(NamedTuple):
    """A token of a conversation. `by`: "template" (or the mode's words), "you", "model", or "said" where the template
    wrote again what both had said."""

    id: int
    raw: bytes
    by: str


class Chat:
    """Turns with a session. The turns are the truth; the session's context is brought in line with them before each
    answer, and what it has read already is not read again.

    tree      all turns: those of the conversation, what was said in their place, and what was taken back
    settings  attributes n_predict, temp, ... seed, as Session.generate names them, and speed, system
    prompting how prompts become tokens; mode  the name of how, of the next turns
    pause     waits so many seconds; may raise GgtuiError to end the answer
    """

    def __init__(self, session: Session, settings: Any) -> None:
        self.session = session
        self.settings = SimpleNamespace(**values_of(settings, (name for name in LIVE if name != "mode")))
        from ggtui.chat.prompting import Prompting  # brings numpy, and the screen imports this file before it is drawn

        self.prompting = Prompting(session, settings.template)
        self.mode: str = settings.mode or self.prompting.mode
        self.pause: Callable[[float], object] = time.sleep
        self.tree: Tree[Turn] = Tree()
        self._before: Tree[Turn] | None = None  # what `clear` or `restore` put away, until something else is done
        self._offset = 0  # where in all tokens the context begins, after a shift
        self._n_answers = 0

    @property
    def notes(self) -> tuple[str, ...]:
        """What of the model, and of what was asked of it, is not as it seems: a line each."""
        lost = self.settings.system and not self.prompting.template
        said = ("the model has no chat template, so it is not told what --system says; --template has some",)
        return (*self.session.model.notes, *(said if lost else ()))

    @property
    def values(self) -> dict[str, Any]:
        """The live settings, the mode among them, by their names in Python."""
        return {**vars(self.settings), "mode": self.mode}

    def configure(self, values: Mapping[str, Any]) -> None:
        """Set some of them. Raises UsageError, and then sets none, for a value out of range or a name that is none of
        theirs."""
        checked: dict[str, Any] = {}
        for name, value in values.items():
            setting = SETTINGS.get(name.replace("_", "-"))
            if setting is None or name not in self.values:
                raise UsageError(f"{name}: no setting of a chat")
            if setting.many:
                checked[name] = tuple(setting.parse(one, name) for one in value)
            else:
                checked[name] = None if value is None and setting.default is None else setting.parse(value, name)
        self.mode = checked.pop("mode", self.mode) or self.prompting.mode
        vars(self.settings).update(checked)

    @property
    def turns(self) -> list[Turn]:
        """Those of the conversation."""
        return self.tree.path

    @property
    def tokens(self) -> list[int]:
        """The tokens of these turns."""
        return tokens_of(self.turns)

    def say(self, prompt: str) -> Generator[Step]:
        """A new turn. An empty prompt lets the model go on.

        The turn counts from its first token on; one that fails or is interrupted before leaves the chat as it was.
        Raises what Session.generate raises.
        """
        return self._say(prompt, self.mode)

    def _say(self, prompt: str, mode_name: str) -> Generator[Step]:
        turn = Turn(prompt, mode=mode_name, by=self.session.path.name)
        self._begin(turn, self.turns)
        return self._answer(turn)

    def _begin(self, turn: Turn, before: Sequence[Turn]) -> None:
        """Give a turn the tokens of its prompt."""
        read = tokens_of(before)
        asked = self.prompting.prompt(before, read, turn.prompt, turn.mode, self.settings.system)
        turn.ids, turn.marks, turn.anew, turn.thinks = asked
        turn.n_prompt = len(turn.ids)

    def _answer(self, turn: Turn, token: int | None = None) -> Generator[Step]:
        """Generate the answer to a turn, or its rest; then `token` comes first."""
        session = self.session
        params = self._params(turn)
        pieces = self.pieces(turn)
        window = self._window(tokens_of([*self.turns, turn]))
        first, n_read = self._offset, len(window)
        answer = () if token is None else (*turn.sampled, token)
        n_kept = len(turn.sampled)
        try:
            for step in self._paced(session.generate(self._sync(window), answer=answer, **params)):
                if len(turn.sampled) == n_kept:
                    self.tree.add(turn)
                    self._before = None
                turn.sampled.append(step.token)
                pieces.append(step.text)
                turn.ids.append(step.token)
                if session.stop_reason != "end of text":  # what a shift dropped is missing at the front
                    self._offset = first + n_read + len(turn.sampled) - n_kept - len(session.tokens)
                yield step
            turn.reason = session.stop_reason
        finally:
            turn.text = "".join(pieces)
            if turn.reason in ("stop text", "interrupted"):  # then tokens came whose text is not part of the answer
                turn.ids[turn.n_prompt :] = self._ids_of(turn.text, turn.sampled)

    def _paced(self, steps: Iterator[Step]) -> Iterator[Step]:
        """As they come, but no more in a second than the settings say."""
        due = 0.0
        for step in steps:
            while (left := due - time.monotonic()) > 0:
                self.pause(min(left, _LONGEST))
            if self.settings.speed:
                due = time.monotonic() + 1 / self.settings.speed
            yield step

    def _params(self, turn: Turn) -> dict[str, Any]:
        params = values_of(self.settings, GENERATION)
        params["stop"] = (*params["stop"], *self.prompting.stop(turn.mode))
        params["seed"] = self._next_seed()
        if params["n_predict"] < 0:
            params["n_predict"] = sys.maxsize
        return params

    def pieces(self, turn: Turn) -> list[str]:
        """What each of a turn's `sampled` adds to its text: "" while a character, or what may become a stop text, is
        not complete."""
        from ggtui.core.engine.sampler import StopTexts

        tokenizer = self.session.tokenizer
        stream, stops = tokenizer.stream(), StopTexts((*self.settings.stop, *self.prompting.stop(turn.mode)))
        silent: Collection[int] = () if self.settings.ignore_eos else tokenizer.ends
        return ["" if id in silent else stops.push(stream.push(id)) for id in turn.sampled]

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
        if len(tokens) <= n_ctx or self._offset >= len(tokens):  # as after going back from what needed a shift
            self._offset = 0
        if len(tokens) - self._offset > n_ctx and self.settings.ctx_shift:
            self._offset = len(tokens) - max(1, n_ctx // 2)
        return tokens[self._offset :]

    def _sync(self, window: list[int]) -> list[int]:
        """Make the session's tokens a beginning of `window`; returns the rest of it."""
        n_same = self._n_same(window)
        self.session.rewind(n_same)
        return window[n_same:]

    def _n_same(self, window: list[int]) -> int:
        pairs = zip(self.session.tokens, window, strict=False)
        return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))

    @property
    def n_past(self) -> int:
        """How many tokens of the turns are in the context."""
        return min(self._n_same(self._window(self.tokens)), self.session.n_past)

    def clear(self) -> None:
        """Forget all turns; `undo` right after brings them back."""
        self._replace(Tree())

    def restore(self, tree: Tree[Turn]) -> None:
        """Have these turns, such as loaded ones, in place of those there are; `undo` right after brings these back.
        Raises GgtuiError, and changes nothing, for one of a mode that there is not."""
        for turn in tree.items:
            if turn.mode not in MODES:
                raise GgtuiError(f"mode {turn.mode!r}: choose one of {', '.join(MODES)}")
        for n, turn in enumerate(tree.items):
            if not turn.ids:
                self._fill(turn, _before(tree, n))
        self._replace(tree)

    def _fill(self, turn: Turn, before: Sequence[Turn]) -> None:
        """Give a turn of which there is only the text its tokens."""
        tokenizer = self.session.tokenizer
        self._begin(turn, before)
        if not turn.sampled:
            turn.sampled = tokenizer.encode(turn.text)
            if turn.reason == "end of text" and tokenizer.eos is not None:
                turn.sampled.append(tokenizer.eos)
        cut = turn.reason in ("stop text", "interrupted")
        turn.ids += self._ids_of(turn.text, turn.sampled) if cut else turn.sampled

    def _replace(self, tree: Tree[Turn]) -> None:
        if self.tree.items:
            self._before = self.tree
        self.tree = tree
        self._offset = 0
        self.session.reset()

    @property
    def replaced(self) -> bool:
        """Whether `undo` brings back what was there before a `clear` or a `restore`."""
        return self._before is not None

    def undo(self) -> Turn | None:
        """Take the last turn back, and return it; or bring back what was there before. Raises UsageError where there is
        neither."""
        if self._before is None:
            return self.tree.undo()
        self.tree, self._before = self._before, None
        return None

    def redo(self) -> Turn:
        """Bring the turn back that was taken back last. Raises UsageError without one."""
        turn = self.tree.redo()
        self._before = None
        return turn

    def branch(self, by: int) -> None:
        """At the last turn that was said in more than one way, go `by` ways further. Raises UsageError without one."""
        self.tree.branch(by)
        self._before = None

    def regen(self) -> Generator[Step]:
        """The last prompt again, for another answer."""
        return self._instead(lambda old: self._say(old.prompt, old.mode))

    def edit(self, prompt: str) -> Generator[Step]:
        """The last turn again with another prompt."""
        return self._instead(lambda old: self._say(prompt, old.mode))

    def choose(self, keep: int, token: int) -> Generator[Step]:
        """The last turn again: the first `keep` tokens that came, then `token`, which is the first step, then what the
        model says to that. Raises UsageError where there are no such tokens."""
        self.session.tokenizer.token_bytes(token)  # is there such a one?
        return self._instead(lambda old: self._answer(self.cut(old, keep), token))

    def cut(self, turn: Turn, keep: int) -> Turn:
        """A turn with no more than the first `keep` tokens of its answer. Raises UsageError if it has less."""
        if not 0 <= keep <= len(turn.sampled):
            raise UsageError(f"keep {keep}: the answer has {len(turn.sampled)} tokens")
        kept = turn.sampled[:keep]
        ids = [*turn.ids[: turn.n_prompt], *kept]
        made = Turn(turn.prompt, mode=turn.mode, ids=ids, n_prompt=turn.n_prompt, sampled=kept, anew=turn.anew)
        made.marks, made.thinks, made.by = turn.marks, turn.thinks, self.session.path.name
        made.text = "".join(self.pieces(made))
        return made

    def _instead(self, speak: Callable[[Turn], Generator[Step]]) -> Generator[Step]:
        """A new turn beside the last, which stays the one of the conversation if not one token of the new one comes."""
        old = self.tree.undo()
        n_turns = len(self.tree.items)
        try:
            yield from speak(old)
        finally:
            if len(self.tree.items) == n_turns:
                self.tree.redo()

    def alternatives(self, n: int, keep: int | None = None) -> list[tuple[int, str, float]]:
        """The n likeliest next tokens, their text, and their probabilities under the model, before any filter: after
        the first `keep` tokens that came in the last turn, or after all of it.

        Raises UsageError where there are no such tokens, ContextFullError if the context has no room for the chat.
        """
        session, turns = self.session, self.turns
        if keep is not None:
            turns = [*turns[:-1], self.cut(turns[-1] if turns else Turn(""), keep)]
        window = self._window(tokens_of(turns) or session.tokenizer.begin(""))
        self._sync(window)
        session.rewind(min(session.n_past, len(window) - 1))
        session.eval(window[session.n_past :])
        return self.likeliest(n)

    def likeliest(self, n: int) -> list[tuple[int, str, float]]:
        """The n likeliest tokens after the last one that the model read, their text, and their probabilities under it,
        before any filter."""
        return [(id, self.session.tokenizer.decode([id]), p) for id, p in self.session.top(n)]

    def written(self) -> list[Written]:
        """The tokens of the conversation that the context is to hold, as the model reads them."""
        rows = []
        for turn in _in_context(self.turns):
            for n, id in enumerate(turn.ids):
                words = "said" if turn.anew else "you"
                by = "model" if n >= turn.n_prompt else "template" if turn.marks[n] else words
                rows.append(Written(id, self.session.tokenizer.token_bytes(id), by))
        return rows[self._offset if self._offset < len(rows) else 0 :]


def _before(tree: Tree[Turn], n: int) -> list[Turn]:
    """The turns that lead to the one of number n."""
    turns = []
    while (n := tree.before[n]) != tree.FIRST:
        turns.append(tree.items[n])
    return turns[::-1]


def without_tokens(tree: Tree[Turn]) -> Tree[Turn]:
    """The same turns for another model, whose tokens are others."""
    return tree.map(lambda turn: Turn(turn.prompt, turn.text, turn.mode, turn.reason, by=turn.by))


def tokens_of(turns: Sequence[Turn]) -> list[int]:
    """Those of turns one after the other."""
    return [id for turn in _in_context(turns) for id in turn.ids]


def _in_context(turns: Sequence[Turn]) -> Sequence[Turn]:
    """From the last one on that has all that was said before in its own tokens."""
    return turns[max((n for n, turn in enumerate(turns) if turn.anew), default=0) :]


def turns_told(turns: Sequence[Turn]) -> str:
    """How many they are, in words."""
    return "1 turn" if len(turns) == 1 else f"{len(turns)} turns"
