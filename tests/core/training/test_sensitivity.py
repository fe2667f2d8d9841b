"""What a matrix costs in fewer bits, as gradients tell, and which types are chosen by it."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from ggtui.core.engine.perplexity import perplexity
from ggtui.core.engine.session import load
from ggtui.core.errors import UsageError
from ggtui.core.files import open_model
from ggtui.core.files.made import MadeModel
from ggtui.core.graph.types import TYPES
from ggtui.core.runtime.cpu.codec import decode_rows, encode_rows
from ggtui.core.training.sensitivity import SHOWN, Sensitivity, _drawn, choose, fisher, kl_over, sensitivities, texts_of
from ggtui.core.training.shapes import Shape, initial
from ggtui.core.training.trainer import Trainer

KINDS = [TYPES[name] for name in ("q2_k", "q4_k", "q6_k", "q8_0")]


def made_up(seed: int, n: int) -> list[Sensitivity]:
    rng = np.random.default_rng(seed)
    found = []
    for i in range(n):
        sizes = np.cumsum(rng.integers(1, 50, len(KINDS)))
        costs = np.sort(rng.random(len(KINDS)))[::-1] * rng.random()
        rungs = tuple((t, int(b), float(c)) for t, b, c in zip(KINDS, sizes, costs, strict=True))
        found.append(Sensitivity(f"m{i}", (256, 1), 0.0, rungs))
    return found


@pytest.mark.parametrize("seed", range(20))
def test_the_choice_is_near_the_best(seed: int) -> None:
    found = made_up(seed, 6)
    least, most = (sum(s.costs[i][1] for s in found) for i in (0, -1))
    budget = (least + most) // 2
    chosen = choose(found, budget)
    rungs = {s.name: {t: (b, c) for t, b, c in s.costs} for s in found}
    assert sum(rungs[n][t][0] for n, t in chosen.items()) <= budget
    cost = sum(rungs[n][t][1] for n, t in chosen.items())
    every = [(sum(r[1] for r in way), sum(r[2] for r in way)) for way in product(*(s.costs for s in found))]
    worst = sum(s.costs[0][2] for s in found)
    best = min(c for b, c in every if b <= budget)
    assert best <= cost <= best + 0.15 * (worst - best) + 1e-12


def test_a_budget_below_the_smallest_types() -> None:
    found = made_up(1, 3)
    with pytest.raises(UsageError, match="the file takes at least"):
        choose(found, sum(s.costs[0][1] for s in found) - 1)
    assert choose(found, 1 << 40) == {s.name: s.costs[-1][0] for s in found}


def test_fisher_is_what_its_definition_says() -> None:
    """Of one token after one other: the mean of the squared gradients over all tokens that may follow, by their
    probabilities."""
    shape = Shape.parse("gpt2:embd=8,layer=1,head=2,ff=16,ctx=4")
    weights = {n: w * 10 for n, w in initial(shape, 12, seed=3).items()}
    trainer = Trainer(MadeModel("tiny", shape.metadata(12), weights), threads=1)
    ids = np.array([[3, 5]], np.int32)
    logits = trainer.logits(ids)[0].astype(np.float64)
    likely = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    expected = dict.fromkeys(weights, 0.0)
    for v, p in enumerate(likely):
        _, gradients = trainer.loss_and_gradients(ids, np.array([[v]], np.int32))
        for name, g in gradients.items():
            expected[name] += p * float(np.square(g, dtype=np.float64).sum())
    found = fisher(trainer, [ids] * 4000)
    for name in weights:
        assert found[name].sum() == pytest.approx(expected[name], rel=0.1, abs=1e-9), name


def test_tokens_are_drawn_as_often_as_they_are_likely() -> None:
    logits = np.log(np.array([[0.5, 0.25, 0.25, 0.0]], np.float32) + np.float32(1e-45))
    n = 40_000
    drawn = _drawn(np.repeat(logits, n, axis=0), np.random.default_rng(1))
    np.testing.assert_allclose(np.bincount(drawn, minlength=4) / n, [0.5, 0.25, 0.25, 0], atol=0.02)


def test_what_a_chat_said_tells_the_same_types_for_all() -> None:
    told: list[float] = []
    with load(threads=1) as session:
        ids = session.tokenizer.begin("Once upon a time there was a king who had three sons.")
        found = kl_over(session, ids, told.append)
        with pytest.raises(UsageError, match="nothing was said yet"):
            kl_over(session, ids[:1], told.append)
    assert told == sorted(told) and told[0] == 0.5 and told[-1] == 1  # one window
    assert all(tuple(costs) == SHOWN for costs in found.values())
    assert {"token_embd.weight", "blk.0.ffn_up.weight"} <= set(found)


def test_what_is_said_of_four_bits_is_about_what_happens() -> None:
    """The divergence that gradients tell, against the one that is measured over a text."""
    with open_model("built-in") as file:
        texts = texts_of(file, None, 1, n_ctx=128, n_texts=8)
        trainer = Trainer(file, threads=1)
        metadata = dict(file.metadata)
    diagonal = fisher(trainer, texts)
    weights = {name: w.copy() for name, w in trainer.weights().items()}
    found = sensitivities(weights, diagonal, ("q4_0",))
    expected = sum(s.costs[0][2] for s in found)
    rounded = dict(weights)
    for s in found:
        rounded[s.name] = decode_rows(TYPES["q4_0"], encode_rows(TYPES["q4_0"], weights[s.name]))
    ids = np.concatenate([t[0] for t in texts])
    models = (MadeModel("whole", metadata, weights), MadeModel("rounded", metadata, rounded))
    with load(models[0], threads=1) as base, load(models[1], threads=1) as session:
        against = perplexity(session, ids.tolist(), ctx=128, base=base).against
    assert against is not None
    assert against.kl / 2 < expected < against.kl * 2
