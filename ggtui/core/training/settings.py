"""What a training is asked for. It is saved with every checkpoint, so that who resumes it says none of it again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from math import inf
from typing import Any

from ggtui.core.errors import UsageError
from ggtui.core.training.optimizers import OPTIMIZERS, AdamW, Optimizer, Schedule, Sgd

CTX = 256
VALID_SHARE = 0.05  # of the tokens, where no other texts are given to validate with


@dataclass(frozen=True, slots=True)
class Settings:
    """texts, valid  files and folders to train on and to validate with; without these the last VALID_SHARE of texts
    out      the model, or with `rank` the adapter, that is written
    shape    of a model that begins from nothing, see shapes.py; else `model` is the one to begin with, "" the built-in
    vocab    of a model from nothing: a number of tokens to learn from the texts, or the model whose vocabulary it gets
    rank, alpha   of an adapter; rank 0 trains the model itself
    ctx      tokens of a text that is read at once, 0 for the model's, at most CTX; batch: so many texts a step; steps:
             how many in all
    rate, warm_up, last   of the schedule, see Schedule; optimizer, decay, clip: how a step is taken
    eval_every, eval_windows   steps between two validations, and how many texts of ctx tokens are read in one
    save_every   steps between two checkpoints
    recompute   whether layers are computed again on the way back, see Trainer
    prompt, sample   what a sample begins with, and how many tokens it has; 0 for none
    """

    texts: tuple[str, ...]
    out: str
    valid: tuple[str, ...] = ()
    shape: str = ""
    model: str = ""
    vocab: str = "4096"
    rank: int = 0
    alpha: float = 0.0
    ctx: int = 0
    batch: int = 8
    steps: int = 1000
    rate: float = 1e-3
    warm_up: int = 100
    last: float = 0.1
    optimizer: str = "adamw"
    decay: float = 0.1
    clip: float = 1.0
    seed: int = 0
    eval_every: int = 100
    eval_windows: int = 32
    save_every: int = 200
    recompute: bool = False
    prompt: str = ""
    sample: int = 60

    def __post_init__(self) -> None:
        for name in ("batch", "steps", "eval_every", "eval_windows", "save_every"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name.replace('_', '-')} {getattr(self, name)}: must be at least 1")
        for name in ("ctx", "rank", "alpha", "warm_up", "sample", "clip"):
            if not 0 <= getattr(self, name) < inf:
                raise UsageError(f"{name.replace('_', '-')} {getattr(self, name)}: must be at least 0")
        if not self.texts or not all((*self.texts, *self.valid)):
            raise UsageError("train: no texts; name files or folders of *.txt")
        if self.alpha and not self.rank:
            raise UsageError(f"alpha {self.alpha:g}: is of an adapter; give its rank too")
        if self.optimizer not in OPTIMIZERS:
            raise UsageError(f"optimizer {self.optimizer!r}: choose one of {', '.join(OPTIMIZERS)}")
        if self.shape and self.model:
            raise UsageError("a model from nothing (shape) begins with no other one (from); give one of the two")
        if self.shape and self.rank:
            raise UsageError(f"rank {self.rank}: an adapter is of a model there is; leave shape out")
        self.schedule()

    def schedule(self) -> Schedule:
        return Schedule(self.rate, self.steps, min(self.warm_up, self.steps), self.last)

    def make_optimizer(self) -> Optimizer:
        return Sgd(decay=self.decay) if self.optimizer == "sgd" else AdamW(decay=self.decay)

    def as_dict(self) -> dict[str, Any]:
        """What JSON holds of it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Settings:
        """Raises UsageError for what `as_dict` did not make."""
        defaults = {f.name: f.default for f in fields(cls)}
        if not isinstance(data, Mapping) or set(data) - set(defaults):
            raise UsageError("the settings of the training are not of this ggtui")
        made: dict[str, Any] = {}
        for name, value in data.items():
            kind = tuple if name in ("texts", "valid") else str if name == "out" else type(defaults[name])
            if kind is tuple and isinstance(value, list | tuple) and all(isinstance(v, str) for v in value):
                made[name] = tuple(value)
            elif kind is float and type(value) in (int, float):
                made[name] = float(value)
            elif type(value) is kind:
                made[name] = value
            else:
                raise UsageError(f"the settings of the training have {name} {value!r}")
        try:
            return cls(**made)
        except TypeError as error:
            raise UsageError("the settings of the training lack some") from error
