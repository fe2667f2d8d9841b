"""A training as it goes along: steps, validations, samples and checkpoints, told as events."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from math import isfinite, sqrt
from pathlib import Path

import numpy as np

from ggtui.core.errors import GgtuiError, LogitsError, NumbersError, UsageError
from ggtui.core.runtime.cores import processor
from ggtui.core.runtime.cpu.native import lib
from ggtui.core.runtime.record import WAKE, GraphInfo, Records, TokenRecord
from ggtui.core.training.checkpoint import Progress, save_checkpoint, save_model
from ggtui.core.training.data import Batches, Ids, windows
from ggtui.core.training.events import PARTS, Began, Ended, Event, Measured, Saved, Stepped, Trouble
from ggtui.core.training.settings import VALID_SHARE, Settings
from ggtui.core.training.trainer import Trainer

# What of its beginning must be as it was, by the names of Progress.
_SAME = {"tokens": "the texts are", "valid": "the texts to validate with are", "base": "the model is"}
_SLOWEST = 1e-6  # of the rate that was asked for


class Training:
    """A trainer, what it is trained on, and how far it is.

    slowed  what the schedule's rate is multiplied with: `slow_down` changes it
    last    the record of the last step's run
    """

    def __init__(
        self,
        settings: Settings,
        trainer: Trainer,
        train: Ids,
        valid: Ids,
        progress: Progress | None = None,
        *,
        base: str = "",
        beside: int = 0,
    ) -> None:
        """`base`: the hash of the model that an adapter is of; `beside`: bytes that the program takes by itself. Raises
        UsageError for texts that are too short, and for other texts, or another model, than those that `progress` is
        of."""
        began = Progress(tokens=_hash(train), valid=_hash(valid), base=base)
        if progress is not None:
            for name, what in _SAME.items():
                if getattr(progress, name) != getattr(began, name):
                    raise UsageError(f"{what} not what the training began with; put it back, or begin anew")
        self.settings, self.trainer = settings, trainer
        self.progress = progress or began
        self._beside = beside
        self._tokens, self._valid_tokens = len(train), len(valid)
        self._batches = Batches(train, settings.batch, settings.ctx, settings.seed)
        try:
            found = windows(valid, settings.ctx, settings.eval_windows)
        except UsageError as error:
            raise UsageError(f"to validate with (--valid, or the last {VALID_SHARE:.0%}): {error}") from error
        # As many as whole batches have, so that one plan reads them all.
        self._valid = found[: len(found) // settings.batch * settings.batch or len(found)]
        self._schedule = settings.schedule()
        self.last: TokenRecord | None = None
        self._wants_end = self._wants_save = False
        self._saved = self.progress.step  # the step that was saved last, 0 before one was

    def slow_down(self, times: float) -> None:
        """Multiply the rate, from the next step on; above 1 it rises again. Raises UsageError for what is no such
        number."""
        slowed = self.progress.slowed * times
        if not isfinite(slowed) or not _SLOWEST <= slowed <= 1 / _SLOWEST:
            raise UsageError(f"rate times {slowed:g}: too far from what was asked for")
        self.progress = replace(self.progress, slowed=slowed)

    def end(self) -> None:
        """After the step under way, save and end; from any thread."""
        self._wants_end = True

    def save(self) -> None:
        """After the step under way; from any thread."""
        self._wants_save = True

    def events(self) -> Iterator[Event]:
        """Go on to the last step. Between two events nothing is under way."""
        settings, trainer = self.settings, self.trainer
        lib.gg_trim_heap()  # of the weights that it began with
        n_bytes = self._beside + trainer.prepare(settings.batch, settings.ctx)
        yield Began(
            self.progress.step, settings.as_dict(), trainer.n_params, self._tokens, self._valid_tokens, n_bytes,
            trainer.pool.threads, trainer.path.name, processor(),
        )  # fmt: skip
        if self.progress.step == 0:
            yield from self._measure()
        elif not Path(settings.out).exists():  # it was moved away
            yield self._save()
        while self.progress.step < settings.steps and not self._wants_end:
            yield self._step()
            step = self.progress.step
            if step % settings.eval_every == 0 or step == settings.steps:
                yield from self._measure()
            if step % settings.save_every == 0 or self._wants_save:
                self._wants_save = False
                yield self._try_to_save()
        if self._saved != self.progress.step:
            yield self._save()
        yield Ended(self.progress.step, "done" if self.progress.step >= settings.steps else "stopped")

    def _step(self) -> Stepped:
        step = self.progress.step + 1
        rate = self._schedule.at(step) * self.progress.slowed
        try:
            took = self.trainer.step(self._batches[step - 1], rate)
        except NumbersError as error:
            raise NumbersError(f"{error}; {self._advice()}") from error
        self.progress, self.last = replace(self.progress, step=step), took.record
        n = self.settings.batch * self.settings.ctx
        times = times_of(took.record, self.trainer.graphs())
        return Stepped(step, took.loss, rate, took.norm, n, took.record.eval_ns, by_layer(took.norms), times)

    def _advice(self) -> str:
        """What to do where a training has come to no numbers."""
        if not self._saved:
            return "nothing was saved; begin anew with a lower rate (--lr)"
        return f"step {self._saved} is saved: go on from there with a lower rate, --resume --lr RATE"

    def _check_numbers(self) -> None:
        """Raise NumbersError where weights are none any more, so that they never take the place of good ones."""
        ends = (end for state in self.trainer.states().values() for end in (state.min(), state.max()))  # nan if one is
        if not all(map(isfinite, ends)):
            raise NumbersError(f"step {self.progress.step}: weights are no numbers any more; {self._advice()}")

    def _measure(self) -> Iterator[Event]:
        """Windows are read as many at a time as a step reads; the mean is over all tokens."""
        sums, batch = 0.0, self.settings.batch
        for first in range(0, len(self._valid), batch):
            part = self._valid[first : first + batch]
            sums += self.trainer.loss(part) * len(part)
        loss = sums / len(self._valid)
        if not isfinite(loss):
            raise NumbersError(f"step {self.progress.step}: the validation loss is {loss}; {self._advice()}")
        if self.progress.best is None or loss < self.progress.best:
            self.progress = replace(self.progress, best=loss)
        text, trouble = "", None
        if self.settings.sample:
            try:
                text = self.trainer.sample(self.settings.prompt, self.settings.sample, self.settings.seed)
            except LogitsError:
                trouble = Trouble(
                    self.progress.step, "no sample: the logits are not all numbers; a lower rate may help"
                )
        yield Measured(self.progress.step, loss, int(self._valid.size - len(self._valid)), text)
        if trouble is not None:
            yield trouble

    def _try_to_save(self) -> Saved | Trouble:
        """Where there is no room now there may be the next time."""
        try:
            return self._save()
        except NumbersError:
            raise
        except GgtuiError as error:
            return Trouble(self.progress.step, str(error))

    def _save(self) -> Saved:
        """The checkpoint first: of the two it is the one that can't be made again."""
        self._check_numbers()
        save_checkpoint(self.trainer, self.settings, self.progress)
        path = save_model(self.trainer, self.settings)
        self._saved = self.progress.step
        return Saved(self._saved, str(path))


def _hash(ids: Ids) -> str:
    return hashlib.sha256(ids.tobytes()).hexdigest()


def by_layer(norms: Mapping[str, float]) -> dict[str, float]:
    """Lengths of gradients by layer; outside of layers by tensor."""
    squares: dict[str, float] = defaultdict(float)
    for name, norm in norms.items():
        parts = name.split(".")
        squares[".".join(parts[:2]) if parts[0] == "blk" else parts[0]] += norm * norm
    return {key: sqrt(total) for key, total in squares.items()}


def part_of(name: str) -> str:
    """Of a node by its name: one of PARTS."""
    label = name.partition("#")[0]
    if label.endswith((":step", ":norm")) or label == "norm":
        return PARTS[2]
    return PARTS[1] if label.endswith((":grad", ":again")) else PARTS[0]


def times_of(record: TokenRecord, graphs: tuple[GraphInfo, ...]) -> dict[str, int]:
    """Nanoseconds of each part of a step on the first lane, with its waiting; none where there are no records."""
    if not len(record.records):
        return {}
    table = Records.of(record.records).table
    mine = table[(table[:, 2] == 0) & (table[:, 0] != WAKE)]
    parts = [PARTS.index(part_of(node.name)) for node in graphs[record.graph].nodes]
    sums = np.bincount(np.array(parts)[mine[:, 0]], weights=mine[:, 5] - mine[:, 3], minlength=len(PARTS))
    return {name: int(ns) for name, ns in zip(PARTS, sums, strict=True)}
