"""What a trainer refuses: tokens, targets, options, rates and sizes that are none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ggtui.core.engine.model import Model
from ggtui.core.errors import GgtuiError, UsageError
from ggtui.core.files.made import MadeModel
from ggtui.core.training.optimizers import AdamW
from ggtui.core.training.shapes import Shape, initial
from ggtui.core.training.trainer import Trainer

VOCAB = 61
NAN = float("nan")
SHAPE = Shape.parse("gpt2:embd=24,layer=2,head=3,ff=80,ctx=32")
IDS = np.random.default_rng(2).integers(0, VOCAB, (2, 17))


def trainer(**options: Any) -> Trainer:
    made = MadeModel("small", SHAPE.metadata(VOCAB), initial(SHAPE, VOCAB, 1))
    return Trainer(made, **{"threads": 1, **options})


def equal(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize(
    ("ids", "said"),
    [
        ([1, 2, 3], "must be whole numbers"),
        ([[1.0, 2.0]], "must be whole numbers"),
        ([[1]], "must be whole numbers"),
        (np.zeros((0, 5), int), "must be whole numbers"),
        ([[1, VOCAB]], f"token {VOCAB} is not 0 to {VOCAB - 1}"),
        ([[-1, 3]], "token -1 is not"),
        (np.zeros((1, 34), int), "texts of 33 tokens, but the model was made for 32"),
        ([[1, 2, 3], [1, 2]], "all texts of one length"),
        ([["a", "b"]], "must be whole numbers"),
        ([[1, 1 << 32]], f"token {1 << 32} is not"),
    ],
)
def test_batches_that_are_none(ids: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        trainer().step(ids)


@pytest.mark.parametrize(
    ("targets", "said"),
    [
        (np.full((2, 16), 1.5), r"targets: must be whole numbers \(2, 16\), not float64"),
        (np.zeros(32, int), r"targets: must be whole numbers \(2, 16\), not int64 \(32,\)"),
        (np.zeros((16, 2), int), r"not int64 \(16, 2\)"),
        (np.full((2, 16), (1 << 32) + 1), f"targets: token {(1 << 32) + 1} is not 0 to {VOCAB - 1}"),
        (np.full((2, 16), -1), "targets: token -1 is not"),
        ([[1] * 16, [1] * 15], "targets: must be whole numbers .*, all texts of one length"),
    ],
)
def test_targets_that_are_none(targets: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        trainer().loss_and_gradients(np.zeros((2, 17), int), targets)


def test_targets_that_are_the_next_tokens_change_nothing() -> None:
    mine = trainer()
    loss, gradients = mine.loss_and_gradients(IDS)
    again, same = mine.loss_and_gradients(IDS, IDS[:, 1:].tolist())
    assert loss == again and equal(gradients, same)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"clip": -1.0}, "clip -1.0: must be 0 to"),
        ({"clip": NAN}, "clip nan"),
        ({"rate": -1.0}, "rate -1.0"),
        ({"rate": NAN}, "rate nan"),
        ({"rate": float("inf")}, "rate inf"),
        ({"rank": -1}, "rank -1: must be a whole number from 0 to 1024"),
        ({"rank": 1 << 20}, "rank 1048576"),
        ({"rank": 2.5}, "rank 2.5"),
        ({"rank": 2, "alpha": NAN}, "alpha nan: must be above 0"),
        ({"rank": 2, "alpha": 0.0}, "alpha 0.0"),
        ({"rank": 2, "alpha": -1}, "alpha -1"),
        ({"rank": 2, "alpha": 1e9}, r"alpha 1000000000.0: .* up to 1e\+06"),
        ({"rank": 2, "alpha": 1e-50}, "alpha 1e-50"),
        ({"rank": 2, "alpha": "16"}, "alpha 16"),
        ({"alpha": 8.0}, "alpha 8.0: is of an adapter"),
        ({"record": "much"}, "profile 'much'"),
        ({"optimizer": "adamw"}, "optimizer 'adamw': must be one such as AdamW"),
        ({"optimizer": AdamW}, "optimizer <class"),
    ],
)
def test_options_out_of_range(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        trainer(**options)


def test_a_model_in_memory_is_none_to_train() -> None:
    with Model(threads=1) as packed, pytest.raises(UsageError, match="not a Model, whose weights are packed"):
        Trainer(packed)  # type: ignore[arg-type]


@pytest.mark.parametrize("rate", [NAN, -1.0, float("inf"), 1e39])
def test_steps_of_rates_that_are_none(rate: float) -> None:
    mine = trainer()
    before = {name: state.copy() for name, state in mine.states().items()}
    with pytest.raises(UsageError, match="rate"):
        mine.step(IDS, rate)
    mine.rate = rate
    with pytest.raises(UsageError, match="rate"):
        mine.step(IDS)
    assert equal(before, mine.states()) and mine.n_steps == 0


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        ((0, 5), "batch 0: must be a whole number of at least 1"),
        ((2.5, 5), "batch 2.5"),
        ((2, 0), "n_ctx 0: must be a whole number from 1 to 32"),
        ((2, 33), "n_ctx 33"),
    ],
)
def test_sizes_of_batches_that_are_none(sizes: tuple[int, int], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        trainer().prepare(*sizes)


def test_batches_that_no_machine_has_room_for() -> None:
    with pytest.raises(GgtuiError, match=r"^steps of 1000000000000 x 32 tokens take \d+\.\d GB, and .* are free; take"):
        trainer().prepare(10**12, 32)
