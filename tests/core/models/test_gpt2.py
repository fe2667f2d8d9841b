"""GPT-2 against logits that transformers computed (tests/references)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ggtui.core.engine.batch import Feed, Piece
from ggtui.core.engine.memory import Memory
from ggtui.core.graph.tensor import Tensor
from ggtui.core.models import ARCHITECTURES, gpt2
from ggtui.core.models.attending import Paged
from ggtui.core.models.base import ModelGraph, Placed, make_inputs
from ggtui.core.runtime.context import Context
from ggtui.core.runtime.cpu.native import usable_isas
from ggtui.core.runtime.cpu.plan import Pool
from ggtui.core.runtime.device import one_device

REFERENCES = Path(__file__).parents[2] / "references"


@pytest.fixture(scope="module")
def small() -> dict[str, NDArray[Any]]:
    return dict(np.load(REFERENCES / "small.npz"))


SMALL = gpt2.Hparams(n_vocab=199, n_ctx=64, n_embd=64, n_head=4, n_layer=2, n_ff=256, eps=1e-5)


def weights_of(arrays: dict[str, NDArray[Any]], type: str) -> dict[str, Tensor]:
    """The reference's weights, matrices in `type`."""
    context = Context()
    weights = {}
    for name, spec in ARCHITECTURES["gpt2"].specs(SMALL).items():
        is_matrix = spec.use == "matrix"
        weights[name] = context.tensor(arrays[name], name, type if is_matrix else "f32", packed=is_matrix)
    return weights


def run(
    weights: dict[str, Tensor],
    tokens: NDArray[np.int32],
    *,
    batch: int,
    kv_type: str = "f32",
    threads: int = 1,
    isa: str | None = None,
    fused: bool = True,
) -> NDArray[np.float32]:
    """Logits of all tokens, read `batch` at a time."""
    memory = Memory(gpt2.layers(SMALL), SMALL.n_ctx, kv_type, one_device("cpu"), batch=batch)
    store, sequence = memory.store, memory.open()
    graphs: dict[int, tuple[Feed, ModelGraph]] = {}
    pool = Pool(threads)
    rows = []
    for at in range(0, len(tokens), batch):
        part = tokens[at : at + batch]
        capacity = 1 if len(part) == 1 else batch
        if capacity not in graphs:
            inputs = make_inputs(capacity, None, store.group_of, memory.tables)
            attention = Paged(store, inputs.layers)
            graphs[capacity] = (Feed(inputs, memory), gpt2.build(SMALL, Placed(weights), attention, inputs))
        feed, graph = graphs[capacity]
        sequence.make_room(len(part))
        graph.plan(isa=isa, fused=fused).run(pool, feed.fill([Piece(sequence, part)]))
        sequence.add(part)
        rows.append(graph.logits.numpy().reshape(-1, SMALL.n_vocab).copy())
    return np.concatenate(rows)


def error(got: NDArray[np.float32], want: NDArray[np.float32]) -> float:
    """The largest difference as a part of the range of what is wanted."""
    return float(np.abs(got - want).max() / (want.max() - want.min()))


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("batch", [1, 7, 48])
def test_f32_agrees_with_transformers(small: dict[str, NDArray[Any]], batch: int, fused: bool) -> None:
    logits = run(weights_of(small, "f32"), small["tokens"], batch=batch, fused=fused)
    assert np.abs(small["logits"]).max() > 20  # the reference is one whose logits are large
    assert error(logits, small["logits"]) < 1e-4
    assert np.array_equal(logits.argmax(axis=1), small["argmax"])


@pytest.mark.parametrize(("type", "bound"), [("f16", 1e-2), ("bf16", 5e-2), ("q8_0", 5e-2)])
def test_other_types_come_near(small: dict[str, NDArray[Any]], type: str, bound: float) -> None:
    logits = run(weights_of(small, type), small["tokens"], batch=48, kv_type="f16")
    assert error(logits, small["logits"]) < bound


@pytest.mark.parametrize("type", ["f32", "f16", "q8_0", "q4_0"])
def test_bits_do_not_depend_on_threads_or_batch(small: dict[str, NDArray[Any]], type: str) -> None:
    weights = weights_of(small, type)
    one = run(weights, small["tokens"], batch=48, kv_type="f16")
    for threads in (2, 3, 7):
        assert np.array_equal(one, run(weights, small["tokens"], batch=48, kv_type="f16", threads=threads))
    for batch in (1, 5, 16):
        assert np.array_equal(one, run(weights, small["tokens"], batch=batch, kv_type="f16", threads=2))


@pytest.mark.parametrize(
    ("type", "bound"), [("f32", 1e-6), ("f16", 1e-6), ("bf16", 1e-6), ("q8_0", 1e-5), ("q4_0", 1e-5)]
)
def test_instruction_sets_agree(small: dict[str, NDArray[Any]], type: str, bound: float) -> None:
    weights = weights_of(small, type)
    want = run(weights, small["tokens"], batch=48, isa="scalar").astype(np.float64)
    for isa in usable_isas():
        got = run(weights, small["tokens"], batch=48, isa=isa)
        assert ((got - want) ** 2).sum() / (want**2).sum() < bound
