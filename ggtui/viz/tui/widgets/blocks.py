"""A turn as lines on the screen."""

from __future__ import annotations

import math
from bisect import bisect_right
from typing import NamedTuple

from ggtui.viz.live import Spoken
from ggtui.viz.text import printable
from ggtui.viz.tui.widgets.wrapping import Lines

LEVELS = (0.5, 0.1, 0.01, 0.0)  # least probabilities of sure, likely, unlikely and rare tokens


THINKS, THOUGHT = "<think>", "</think>"  # what models put around what they think before they answer


class Place(NamedTuple):
    """What stands in a line: line `number` of the `text` of a part: "prompt", "answer", or "fold" in place of what the
    model thought."""

    part: str
    number: int
    text: Lines
    first: bool  # of its part, which a name stands beside


class Block:
    """A turn laid out in lines of `width` columns, followed by one for `others`. `folded`: what the model thought is
    one line."""

    def __init__(self, spoken: Spoken, width: int, folded: bool = False) -> None:
        self.spoken, self.width, self.folded = spoken, width, folded
        self._place = spoken.place
        self._lay_out()

    def _lay_out(self) -> None:
        turn, steps = self.spoken.turn, self.spoken.steps
        self._turn = turn
        self.prompt = Lines(self.width, _shown(turn.prompt)) if turn.prompt else None
        self.answer = Lines(self.width)
        self.ends: list[int] = []  # of the tokens' texts in that of the answer
        self._seen = 0  # steps taken in
        if steps:
            self._take_steps()
        said = "".join(step.text for step in steps)
        if said != turn.text:  # as after a text that ends an answer, which is not part of it
            self.answer = Lines(self.width, _start(turn.text))
            known = self.ends if said.startswith(turn.text) else []
            self.ends = [min(end, len(self.answer.text)) for end in known]

    def _take_steps(self) -> int:
        first = len(self.answer.lines) - 1
        pieces, at = [], len(self.answer.text)
        for step in self.spoken.steps[self._seen :]:
            piece = _shown(step.text) if at else _start(step.text)
            pieces.append(piece)
            at += len(piece)
            self.ends.append(at)
        self._seen = len(self.spoken.steps)
        self.answer.add("".join(pieces))
        return first

    @property
    def n_prompt(self) -> int:
        """Lines of the prompt."""
        return len(self.prompt.lines) if self.prompt is not None else 0

    def __len__(self) -> int:
        hidden = self._hidden
        return self.n_prompt + len(self.answer.lines) + 1 - max(len(hidden) - 1, 0)

    @property
    def thought(self) -> range:
        """Where in the answer's text stands what the model thought; it may still do so. A template may have begun it,
        and then only its end is there."""
        text = self.answer.text
        start, end = text.find(THINKS), text.find(THOUGHT)
        if start < 0:
            return range(0, end + len(THOUGHT)) if end >= 0 else range(0)
        return range(start, end + len(THOUGHT) if end >= 0 else len(text))

    @property
    def _hidden(self) -> range:
        """The lines of the answer that the fold stands for."""
        thought = self.thought if self.folded else range(0)
        if not thought:
            return range(0)
        begins = [start for start, _ in self.answer.lines]
        return range(bisect_right(begins, thought.start) - 1, bisect_right(begins, thought.stop - 1))

    def _fold(self) -> Lines:
        """What stands in their place."""
        n = bisect_right(self.ends, self.thought.stop) - bisect_right(self.ends, self.thought.start)
        many = f" {n} tokens" if n > 1 else ""
        return Lines(self.width, f"(thought{many}; Esc t shows them)" if many else "(thought; Esc t shows it)")

    def bring_up(self) -> int | None:
        """Take in what came since; returns the first line that changed, None if none did."""
        spoken, first = self.spoken, None
        if len(spoken.steps) > self._seen:
            first = self._take_steps()
            if (hidden := self._hidden) and first > hidden.start:
                first = max(first - len(hidden) + 1, hidden.start)
            first += self.n_prompt
        if spoken.turn is not self._turn:
            if (spoken.turn.prompt, spoken.turn.text) != (self._turn.prompt, self._turn.text):
                self._lay_out()
                return 0
            self._turn = spoken.turn  # complete now, and as it came
        if spoken.place != self._place:
            self._place = spoken.place
            first = len(self) - 1 if first is None else first
        return first

    @property
    def others(self) -> str:
        """Which of several answers this is, "2/3"; "" of a single one."""
        return "{}/{}".format(*self._place) if self._place[1] > 1 else ""

    def place(self, line: int) -> Place | None:
        """What stands in a line; None in the last one."""
        if line < self.n_prompt:
            assert self.prompt is not None
            return Place("prompt", line, self.prompt, line == 0)
        line -= self.n_prompt
        if (hidden := self._hidden) and line >= hidden.start:
            if line == hidden.start:
                return Place("fold", 0, self._fold(), line == 0)
            line += len(hidden) - 1
        return Place("answer", line, self.answer, line == 0) if line < len(self.answer.lines) else None

    def levels(self, start: int, end: int) -> list[tuple[int, int, int]]:
        """The tokens between two places of the answer: where they begin and end, and which of LEVELS they reach. Those
        whose probability was not told are not among them."""
        found = []
        i = bisect_right(self.ends, start)
        at = start
        while i < len(self.ends) and at < end:
            logprob = self.spoken.steps[i].logprob
            until = min(self.ends[i], end)
            if until > at and not math.isnan(logprob):
                p = math.exp(min(logprob, 0.0))
                found.append((at, until, next(n for n, least in enumerate(LEVELS) if p >= least)))
            at, i = until, i + 1
        return found


def _shown(text: str) -> str:
    return printable(text).replace("\t", "    ")


def _start(text: str) -> str:
    """The answer begins where its first word does."""
    return _shown(text).lstrip(" \n")
