"""Files of a training: the model as it is by now, and a checkpoint to go on from to the same bits.

A checkpoint is a GGUF file beside the model, OUT.checkpoint: for each tensor its weights, what the optimizer keeps as
"NAME:mean", "NAME:square" or "NAME:momentum", and what does not learn as "NAME:constant", all f32; in the metadata the
model's own, and what the training was asked for. Both get their names when they are complete.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ggtui.core.errors import ModelFileError, UsageError
from ggtui.core.files import ModelFile, open_model
from ggtui.core.files.fields import Fields
from ggtui.core.files.gguf_writer import OutTensor, write_gguf
from ggtui.core.files.mixes import FILE_TYPES
from ggtui.core.graph.types import TYPES
from ggtui.core.training.settings import Settings
from ggtui.core.training.trainer import Trainer

Floats = NDArray[np.float32]
ENDING = ".checkpoint"
CONSTANT = ":constant"
_KEY = "ggtui.training"  # of what the training was asked for, and how far it is
_F32 = TYPES["f32"]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a training is.

    step      taken so far; slowed: what the person multiplied the rate with
    best      the lowest validation loss so far, None before there is one
    tokens, valid, base   hashes of the tokens that are trained on, of those that it is validated with, and of the
              model that an adapter is of: with others it would not be the same training

    Raises UsageError for numbers that no training comes to.
    """

    step: int = 0
    slowed: float = 1.0
    best: float | None = None
    tokens: str = ""
    valid: str = ""
    base: str = ""

    def __post_init__(self) -> None:
        if self.step < 0 or not 0 < self.slowed < inf or not (self.best is None or 0 <= self.best < inf):
            told = f"step {self.step}, rate times {self.slowed}, best loss {self.best}"
            raise UsageError(f"{told}: no training comes to that")


class States(Mapping[str, Floats]):
    """Of each tensor its weights and what the optimizer keeps, as they lie in a file, which stays open: read whenever
    one is asked for, since all together are as large as what they are read into."""

    def __init__(self, file: ModelFile, kept: Sequence[str]) -> None:
        """Raises ModelFileError where some are missing, or are not as they were saved."""
        self._file, self._kept = file, kept
        self._names = [name for name in file.tensors if ":" not in name]
        for name in self._names:
            for part in self._parts(name):
                info = file.tensors.get(part)
                if info is None or info.type is not _F32 or info.ne != file.tensors[name].ne:
                    problem = "is missing, or of another type or size than it was saved with"
                    raise ModelFileError(file.path, part, problem)

    def _parts(self, name: str) -> list[str]:
        return [name, *(f"{name}:{kept}" for kept in self._kept)]

    def __getitem__(self, name: str) -> Floats:
        found = [self._file.data(part).view(np.float32) for part in self._parts(name)]
        return np.stack(found)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def weights(self) -> dict[str, Floats]:
        """Of each tensor those alone: (out, in) or (n,)."""
        shapes = {name: self._file.tensors[name].ne[1::-1] for name in self._names}
        return {
            name: self._file.data(name).view(np.float32).reshape(shape if shape[0] > 1 else shape[1:])
            for name, shape in shapes.items()
        }


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a checkpoint file holds. states: float32 (1 + kept, n) by tensor, see States; constant: what does not learn,
    float32."""

    settings: Settings
    progress: Progress
    metadata: Mapping[str, Any]
    states: States
    constant: Mapping[str, Floats]


def checkpoint_path(out: str | Path) -> Path:
    return Path(f"{out}{ENDING}")


def save_checkpoint(trainer: Trainer, settings: Settings, progress: Progress) -> Path:
    """Write OUT.checkpoint. Raises GgtuiError if writing fails; then the one before is still there."""
    path = checkpoint_path(settings.out)
    told = {"settings": settings.as_dict(), **asdict(progress), "kept": list(trainer.optimizer.kept)}
    constant = {} if settings.rank else trainer.constant()
    told["sum"] = _sum(trainer.states(), constant)
    tensors = [
        _out(name + end, row.reshape(trainer.trained.array(name).shape))
        for name, state in trainer.states().items()
        for end, row in zip(("", *(f":{kept}" for kept in trainer.optimizer.kept)), state, strict=True)
    ]
    tensors += [_out(name + CONSTANT, array) for name, array in constant.items()]
    write_gguf(path, {**trainer.metadata, _KEY: json.dumps(told)}, tensors)
    return path


def _sum(*groups: Mapping[str, Floats]) -> str:
    """Of all their bytes, so that what a disk did to them is seen."""
    found = hashlib.blake2b(digest_size=16)
    for arrays in groups:
        for name in sorted(arrays):
            found.update(np.ascontiguousarray(arrays[name]).data)
    return found.hexdigest()


def save_model(trainer: Trainer, settings: Settings) -> Path:
    """Write OUT: the model in f32, or of an adapter what it adds. Raises GgtuiError if writing fails."""
    name = Path(settings.out).stem
    if settings.rank:
        about = {
            "general.type": "adapter",
            "general.architecture": trainer.metadata["general.architecture"],
            "general.name": name,
            "adapter.type": "lora",
            "adapter.lora.alpha": float(trainer.alpha),
        }
    else:
        about = {**trainer.metadata, "general.name": name, "general.file_type": FILE_TYPES["f32"]}
        about.pop("general.quantization_version", None)
    arrays = {**({} if settings.rank else trainer.constant()), **trainer.weights()}
    write_gguf(settings.out, about, [_out(tensor, array) for tensor, array in arrays.items()])
    return Path(settings.out)


def _out(name: str, array: Floats) -> OutTensor:
    return OutTensor(name, _F32, array.shape[::-1], lambda: [np.ascontiguousarray(array)])


def read_checkpoint(out: str | Path) -> Checkpoint:
    """That of a model or an adapter under training. Raises UsageError where there is none, ModelFileError for what is
    no checkpoint of this ggtui."""
    path = checkpoint_path(out)
    if not path.exists():
        raise UsageError(f"{path}: does not exist; there is no training of {out} to go on with")
    file = open_model(path)
    text = Fields.of(file.metadata, path).text(_KEY)
    try:
        told = json.loads(text)
        settings = Settings.from_dict(told["settings"])
        best = told["best"]
        progress = Progress(
            int(told["step"]), float(told["slowed"]), None if best is None else float(best),
            *(str(told[key]) for key in ("tokens", "valid", "base")),
        )  # fmt: skip
        kept = [str(k) for k in told["kept"]]
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError, UsageError) as error:
        raise ModelFileError(path, _KEY, f"is not what a training saves: {error}") from error
    states = States(file, kept)
    constant = {
        name.removesuffix(CONSTANT): file.data(name).view(np.float32)
        for name, info in file.tensors.items()
        if name.endswith(CONSTANT) and info.type is _F32
    }
    if _sum(states, constant) != told.get("sum"):
        raise ModelFileError(path, "tensors", "the checkpoint is damaged; begin anew, or put a copy of it back")
    metadata = {key: value for key, value in file.metadata.items() if key != _KEY}
    return Checkpoint(settings, progress, metadata, states, constant)
