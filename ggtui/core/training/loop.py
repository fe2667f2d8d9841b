"""A training as it goes along: steps, validations, samples and checkpoints, told as events."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from math import isfinite, sqrt

import numpy as np

from ggtui.core.errors import UsageError
from ggtui.core.runtime.cores import processor
from ggtui.core.runtime.record import WAKE, GraphInfo, Records, TokenRecord
from ggtui.core.training.checkpoint import Progress, save_checkpoint, save_model
from ggtui.core.training.data import Batches, Ids, windows
from ggtui.core.training.events import PARTS, Began, Ended, Event, Measured, Saved, Stepped
from ggtui.core.training.sampling import sample
from ggtui.core.training.settings import Settings
from ggtui.core.training.trainer import Trainer

_SLOWEST = 1e-6  # of the rate that was asked for


class Training:
    """A trainer, what it is trained on, and how far it is.

    slowed  what the schedule's rate is multiplied with: `slow_down` changes it
    last    the record of the last step's run
    """

    def __init__(
        self, settings: Settings, trainer: Trainer, train: Ids, valid: Ids, progress: Progress | None = None
    ) -> None:
        """Raises UsageError for texts that are too short, and for other tokens than those that `progress` is of."""
        tokens = hashlib.sha256(train.tobytes()).hexdigest()
        if progress is not None and progress.tokens != tokens:
            raise UsageError("the texts are not those that the training began with; put them back, or begin anew")
        self.settings, self.trainer = settings, trainer
        self.progress = progress or Progress(tokens=tokens)
        self._tokens, self._valid_tokens = len(train), len(valid)
        self._batches = Batches(train, settings.batch, settings.ctx, settings.seed)
        found = windows(valid, settings.ctx, settings.eval_windows)
        # As many as whole batches have, so that one plan reads them all.
        self._valid = found[: len(found) // settings.batch * settings.batch or len(found)]
        self._schedule = settings.schedule()
        self.last: TokenRecord | None = None
        self._wants_end = self._wants_save = False

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
        n_bytes = trainer.prepare(settings.batch, settings.ctx)
        yield Began(
            self.progress.step, settings.as_dict(), trainer.n_params, self._tokens, self._valid_tokens, n_bytes,
            trainer.pool.threads, trainer.path.name, processor(),
        )  # fmt: skip
        if self.progress.step == 0:
            yield self._measure()
        saved = self.progress.step
        while self.progress.step < settings.steps and not self._wants_end:
            yield self._step()
            step = self.progress.step
            if step % settings.eval_every == 0 or step == settings.steps:
                yield self._measure()
            if step % settings.save_every == 0 or self._wants_save:
                self._wants_save = False
                saved = step
                yield self._save()
        if saved != self.progress.step:
            yield self._save()
        yield Ended(self.progress.step, "done" if self.progress.step >= settings.steps else "stopped")

    def _step(self) -> Stepped:
        step = self.progress.step + 1
        rate = self._schedule.at(step) * self.progress.slowed
        took = self.trainer.step(self._batches[step - 1], rate)
        self.progress, self.last = replace(self.progress, step=step), took.record
        n = self.settings.batch * self.settings.ctx
        times = times_of(took.record, self.trainer.graphs())
        return Stepped(step, took.loss, rate, took.norm, n, took.record.eval_ns, by_layer(took.norms), times)

    def _measure(self) -> Measured:
        """Windows are read as many at a time as a step reads; the mean is over all tokens."""
        sums, batch = 0.0, self.settings.batch
        for first in range(0, len(self._valid), batch):
            part = self._valid[first : first + batch]
            sums += self.trainer.loss(part) * len(part)
        loss = sums / len(self._valid)
        if isfinite(loss) and (self.progress.best is None or loss < self.progress.best):
            self.progress = replace(self.progress, best=loss)
        text = ""
        if self.settings.sample:
            model, threads = self.trainer.model(), self.trainer.pool.threads
            text = sample(model, self.settings.prompt, self.settings.sample, self.settings.seed, threads)
        return Measured(self.progress.step, loss, int(self._valid.size - len(self._valid)), text)

    def _save(self) -> Saved:
        path = save_model(self.trainer, self.settings)
        save_checkpoint(self.trainer, self.settings, self.progress)
        return Saved(self.progress.step, str(path))


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
