"""Files of a training: all that it goes on from is read as it was saved, and what is damaged is told in a line."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ggtui.core.errors import GgtuiError, ModelFileError, UsageError
from ggtui.core.files import OutTensor, TensorInfo, open_model, write_gguf
from ggtui.core.files.made import MadeModel
from ggtui.core.graph.types import TYPES
from ggtui.core.models.adapters import LORA_A, LORA_B, read_adapter
from ggtui.core.training.checkpoint import Progress, checkpoint_path, read_checkpoint, save_checkpoint, save_model
from ggtui.core.training.settings import Settings
from ggtui.core.training.shapes import Shape, initial
from ggtui.core.training.trainer import Trainer

VOCAB = 61
SHAPE = Shape.parse("llama:embd=32,layer=2,head=2,ff=48,ctx=16")
IDS = np.random.default_rng(5).integers(0, VOCAB, (2, 9))
KEY = "ggtui.training"
FACTORS = "rope_freqs.weight"  # of positions: nobody learns them


def trained(settings: Settings) -> Trainer:
    """After two steps, so that all that is kept is more than zeros."""
    weights = {**initial(SHAPE, VOCAB, 3), FACTORS: np.linspace(1, 2, 8, dtype=np.float32)}
    made = MadeModel("small", SHAPE.metadata(VOCAB), weights)
    optimizer = settings.make_optimizer()
    trainer = Trainer(made, optimizer=optimizer, rank=settings.rank, alpha=settings.alpha or None, threads=1)
    for _ in range(2):
        trainer.step(IDS)
    return trainer


def asked(tmp_path: Path, **options: Any) -> Settings:
    return Settings(**{"texts": ("a.txt",), "out": str(tmp_path / "m.gguf"), **options})


@pytest.mark.parametrize(
    ("options", "kept"),
    [({}, 2), ({"optimizer": "sgd"}, 1), ({"rank": 4, "alpha": 6.0}, 2), ({"rank": 1, "optimizer": "sgd"}, 1)],
)
@pytest.mark.parametrize("progress", [Progress(2, 0.5, 3.25, "abc"), Progress(2)])
def test_what_is_saved_is_read(tmp_path: Path, options: dict[str, Any], kept: int, progress: Progress) -> None:
    settings = asked(tmp_path, **options)
    trainer = trained(settings)
    assert save_checkpoint(trainer, settings, progress) == checkpoint_path(settings.out)
    found = read_checkpoint(settings.out)
    assert (found.settings, found.progress) == (settings, progress)
    sizes = SHAPE.metadata(VOCAB)
    sizes |= {key: float(np.float32(n)) for key, n in sizes.items() if isinstance(n, float)}  # as GGUF has it
    assert {key: found.metadata[key] for key in sizes} == sizes and KEY not in found.metadata
    states = trainer.states()
    assert found.states.keys() == states.keys() == found.states.weights().keys() and len(found.states) == len(states)
    weights = found.states.weights()
    for name, state in states.items():
        assert len(state) == 1 + kept and np.array_equal(found.states[name], state)
        assert np.array_equal(weights[name].reshape(-1), state[0])
        shape = trainer.weights()[name].shape
        assert weights[name].shape == (shape[1:] if shape[0] == 1 else shape)  # to GGUF one row is a vector
    assert found.constant.keys() == (set() if settings.rank else {FACTORS})
    for name, array in found.constant.items():
        assert np.array_equal(array.reshape(-1), np.linspace(1, 2, 8, dtype=np.float32)), name
    assert list(tmp_path.iterdir()) == [checkpoint_path(settings.out)]


def test_the_model_is_what_the_trainer_has(tmp_path: Path) -> None:
    settings = asked(tmp_path)
    trainer = trained(settings)
    assert save_model(trainer, settings) == tmp_path / "m.gguf"
    with open_model(settings.out) as file:
        assert set(file.tensors) == {*trainer.names, FACTORS} and file.metadata["general.name"] == "m"
        for name, array in trainer.weights().items():
            assert np.array_equal(file.data(name).view(np.float32).reshape(array.shape), array)
        again = Trainer(file, threads=1)
    assert again.loss(IDS) == trainer.loss(IDS)


def test_of_an_adapter_what_it_adds(tmp_path: Path) -> None:
    settings = asked(tmp_path, rank=4, alpha=6.0)
    trainer = trained(settings)
    save_model(trainer, settings)
    adapter, weights = read_adapter(settings.out), trainer.weights()
    assert (adapter.rank, adapter.alpha, adapter.architecture) == (4, 6.0, "llama")
    assert len(adapter.pairs) == len(weights) / 2 == 2 * 7
    for name, (a, b) in adapter.pairs.items():
        assert np.array_equal(a, weights[name + LORA_A]) and np.array_equal(b, weights[name + LORA_B])
        assert b.any(), name


def out_tensor(name: str, data: Any, info: TensorInfo) -> OutTensor:
    return OutTensor(name, info.type, info.ne[: 2 if info.ne[1] > 1 else 1], lambda: [data])


def resaved(tmp_path: Path, change: Callable[[dict[str, Any], dict[str, OutTensor]], None]) -> Path:
    """A checkpoint with changes to its metadata and tensors; returns the model's path."""
    settings = asked(tmp_path)
    path = save_checkpoint(trained(settings), settings, Progress(2, tokens="abc"))
    with open_model(path) as file:
        metadata = dict(file.metadata)
        tensors = {name: out_tensor(name, file.data(name).copy(), info) for name, info in file.tensors.items()}
    change(metadata, tensors)
    write_gguf(path, metadata, list(tensors.values()))
    return Path(settings.out)


def test_saved_again_it_is_read(tmp_path: Path) -> None:
    """Else the damaged ones below could be refused for something else."""
    assert read_checkpoint(resaved(tmp_path, lambda *_: None)).progress == Progress(2, tokens="abc")


@pytest.mark.parametrize(
    "told",
    [
        "", "{", "[]", "null", "7", '"text"', "{}", "[" * 50_000, {"settings": None}, {"settings": {"texts": 1}},
        {"step": "many"}, {"step": None}, {"step": float("inf")}, {"step": -1}, {"slowed": []},
        {"slowed": float("nan")}, {"slowed": 0}, {"best": "low"}, {"best": float("nan")}, {"kept": 3}, {"kept": None},
    ],
)  # fmt: skip
def test_what_a_training_never_says(tmp_path: Path, told: Any) -> None:
    def change(metadata: dict[str, Any], _: dict[str, OutTensor]) -> None:
        if isinstance(told, dict):
            metadata[KEY] = json.dumps({**json.loads(metadata[KEY]), **told})
        else:
            metadata[KEY] = told

    out = resaved(tmp_path, change)
    with pytest.raises(ModelFileError, match=KEY) as caught:
        read_checkpoint(out)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


def _without(name: str) -> Any:
    return lambda _, tensors: tensors.pop(name)


def _as(name: str, type: str, *ne: int) -> Any:
    n = TYPES[type].row_bytes(ne[0]) * int(np.prod(ne[1:]))
    data = np.zeros(n, np.uint8)
    return lambda _, tensors: tensors.update({name: OutTensor(name, TYPES[type], ne, lambda: [data])})


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (_without("blk.0.attn_q.weight:mean"), "blk.0.attn_q.weight:mean"),
        (_without("output_norm.weight:square"), "output_norm.weight:square"),
        (_as("blk.0.attn_q.weight:mean", "f16", 32, 32), "blk.0.attn_q.weight:mean"),
        (_as("blk.0.attn_q.weight:square", "f32", 32, 31), "blk.0.attn_q.weight:square"),
        (_as("blk.0.attn_q.weight", "f16", 32, 32), "blk.0.attn_q.weight"),
        (lambda metadata, _: metadata.pop(KEY), KEY),
        (lambda metadata, _: metadata.update({KEY: 7}), KEY),
    ],
)
def test_what_it_lacks_is_named(tmp_path: Path, change: Any, field: str) -> None:
    out = resaved(tmp_path, change)
    with pytest.raises(ModelFileError) as caught:
        read_checkpoint(out)
    assert caught.value.field == field and "\n" not in str(caught.value)


def test_where_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"m\.gguf\.checkpoint: does not exist; there is no training of .*m\.gguf"):
        read_checkpoint(tmp_path / "m.gguf")
    checkpoint_path(tmp_path / "m.gguf").write_bytes(b"not a checkpoint")
    with pytest.raises(ModelFileError, match="checkpoint"):
        read_checkpoint(tmp_path / "m.gguf")


@pytest.mark.bare
def test_the_one_before_stays_where_the_disk_is_full(
    tmp_path: Path, full_disk: Callable[[int], AbstractContextManager[None]]
) -> None:
    settings = asked(tmp_path)
    trainer = trained(settings)
    save_checkpoint(trainer, settings, Progress(2))
    save_model(trainer, settings)
    there = {path: path.read_bytes() for path in tmp_path.iterdir()}
    trainer.step(IDS)
    with full_disk(4096):
        for save in (lambda: save_checkpoint(trainer, settings, Progress(3)), lambda: save_model(trainer, settings)):
            with pytest.raises(GgtuiError):
                save()
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == there
