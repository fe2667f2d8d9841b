"""A turn as lines on the screen."""

from __future__ import annotations

import math
from bisect import bisect_right
from typing import NamedTuple

from ggtui.chat.modes import THINKS, THOUGHT
from ggtui.viz.live import Spoken
from ggtui.viz.text import printable
from ggtui.viz.tui.widgets.wrapping import Lines

LEVELS = (0.5, 0.1, 0.01, 0.0)  # least probabilities of sure, likely, unlikely and rare tokens


class Place(NamedTuple):
    """What stands in a line: line `number` of the `text` of a part, "prompt" or "answer"."""

    part: str
    number: int
    text: Lines


class Kept(NamedTuple):
    """A run of the answer's text that is shown: so many characters of both from there on."""

    shown: int
    answer: int
    n: int


class Block:
    """A turn laid out in lines of `width` columns, followed by one for `others`.

    answer    the lines of all that the model said; shown  those that are drawn, in which what it thought may be folded
    thoughts  where in the answer's text that stands; the last one may not be at its end yet
    """

    def __init__(self, spoken: Spoken, width: int, folded: bool = False) -> None:
        self.spoken, self.width, self._folded = spoken, width, folded
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
        self.shown = Lines(self.width)
        self._show(0)

    def fold(self, on: bool) -> None:
        """Show a few words in place of what the model thought, or that."""
        self._folded = on
        self.shown = Lines(self.width)
        self._show(0)

    def _show(self, first: int) -> int:
        """Bring `shown` in line with the answer, of which lines from the `first` on are other ones; returns the same of
        what is shown."""
        text = self.answer.text
        self.thoughts = thoughts(text, self._turn.thinks)
        if not self.thoughts or not self._folded:
            self.shown, self._kept, self.dim = self.answer, [Kept(0, 0, len(text))], self.thoughts
            return first
        self._kept, self.dim = [], []
        words, at, n = "", 0, 0
        for thought in (*self.thoughts, range(len(text), len(text))):
            self._kept.append(Kept(len(words), at, thought.start - at))
            words += text[at : thought.start]
            at = thought.stop
            if thought:
                n = bisect_right(self.ends, thought.stop) - bisect_right(self.ends, thought.start)
                note = f"(thought {n} tokens; Esc t shows them)" if n > 1 else "(thought; Esc t shows it)"
                self.dim.append(range(len(words), len(words) + len(note)))
                words += note
        if self.shown is not self.answer and words.startswith(self.shown.text):
            return self.shown.add(words[len(self.shown.text) :])
        self.shown = Lines(self.width, words)
        return 0

    def said(self, start: int, end: int) -> str:
        """What the model said between two places of what is shown; a fold stands for all of the thought."""
        pieces = [(kept.shown, self.answer.text[self._within(kept, start, end)]) for kept in self._kept]
        if self.shown is not self.answer:
            pairs = zip(self.dim, self.thoughts, strict=True)
            pieces += [(d.start, self.answer.text[t.start : t.stop]) for d, t in pairs if start <= d.start < end]
        return "".join(text for _, text in sorted(pieces, key=lambda piece: piece[0]))

    @staticmethod
    def _within(kept: Kept, start: int, end: int) -> slice:
        """Which part of the answer's text a run shows between two places."""
        first = kept.answer + min(max(start - kept.shown, 0), kept.n)
        return slice(first, kept.answer + min(max(end - kept.shown, 0), kept.n))

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
        return self.n_prompt + len(self.shown.lines) + 1

    def bring_up(self) -> int | None:
        """Take in what came since; returns the first line that changed, None if none did."""
        spoken, first = self.spoken, None
        if len(spoken.steps) > self._seen:
            first = self.n_prompt + self._show(self._take_steps())
        if spoken.turn is not self._turn:
            if (spoken.turn.prompt, spoken.turn.text, spoken.turn.thinks) != (
                self._turn.prompt, self._turn.text, self._turn.thinks,
            ):  # fmt: skip
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
            return Place("prompt", line, self.prompt)
        line -= self.n_prompt
        return Place("answer", line, self.shown) if line < len(self.shown.lines) else None

    def levels(self, start: int, end: int) -> list[tuple[int, int, int]]:
        """The tokens between two places of what is shown: where they begin and end, and which of LEVELS they reach.
        Those whose probability was not told are not among them."""
        found = []
        for kept in self._kept:
            part = self._within(kept, start, end)
            by = kept.shown - kept.answer
            found += [(a + by, b + by, level) for a, b, level in self._levels(part.start, part.stop)]
        return found

    def _levels(self, start: int, end: int) -> list[tuple[int, int, int]]:
        """The same between two places of the answer."""
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


def thoughts(text: str, begun: bool) -> list[range]:
    """Where in an answer stands what the model thought, the marks around it among it. `begun`: the first is begun ahead
    of the answer."""
    found, start = [], 0 if begun else text.find(THINKS)
    while start >= 0:
        end = text.find(THOUGHT, start)
        found.append(range(start, len(text) if end < 0 else end + len(THOUGHT)))
        start = text.find(THINKS, found[-1].stop)
    return [thought for thought in found if thought]


def _shown(text: str) -> str:
    return printable(text).replace("\t", "    ")


def _start(text: str) -> str:
    """The answer begins where its first word does."""
    return _shown(text).lstrip(" \n")
