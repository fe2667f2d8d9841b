"""Perplexity, against the reference and a plain computation of its own."""

from __future__ import annotations

from collections.abc import Iterator
from math import exp, sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ggtui.core.engine.model import BUILT_IN
from ggtui.core.engine.perplexity import perplexity
from ggtui.core.engine.session import Session
from ggtui.core.errors import UsageError
from ggtui.core.files import open_model
from ggtui.core.files.convert import convert

REFERENCE = Path(__file__).parents[2] / "references" / "perplexity.npz"


@pytest.fixture(scope="module")
def reference() -> dict[str, Any]:
    return dict(np.load(REFERENCE))


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    yield Session(threads=2)


def losses(session: Session, tokens: list[int], ctx: int, stride: int, n_counted: int) -> Any:
    """-ln p of the last `n_counted` tokens of each chunk, straight from the definition."""
    found = []
    for start in range(0, len(tokens) - ctx + 1, stride):
        chunk = tokens[start : start + ctx]
        session.reset()
        logits = session.eval(chunk, all_logits=True).astype(np.float64)
        for i in range(ctx - n_counted - 1, ctx - 1):
            found.append(np.log(np.exp(logits[i]).sum()) - logits[i][chunk[i + 1]])
    return np.array(found)


def test_the_reference_within_half_a_percent(session: Session, reference: dict[str, Any]) -> None:
    """Of the same model in F32; this one is Q8_0."""
    n = 4
    tokens = reference["tokens"][:n].reshape(-1).tolist()
    found = perplexity(session, tokens)
    assert found.count == n * 255 and found.n_tokens == n * 512
    wanted = exp(reference["nll"][:n].sum() / found.count)
    assert found.value == pytest.approx(wanted, rel=0.005)
    np.testing.assert_allclose(found.nll, reference["nll"][:n], rtol=0.005)


@pytest.mark.parametrize(("ctx", "stride", "step", "counted"), [(32, None, 32, 15), (33, None, 33, 16), (32, 8, 8, 8)])
def test_the_definition(
    session: Session, reference: dict[str, Any], ctx: int, stride: int | None, step: int, counted: int
) -> None:
    tokens = reference["tokens"][0][: ctx * 3 + 5].tolist()
    seen: list[tuple[int, int]] = []
    found = perplexity(session, tokens, ctx=ctx, stride=stride, progress=lambda *n: seen.append(n))
    wanted = losses(session, tokens, ctx, step, counted)
    assert found.count == len(wanted) == counted * len(found.nll)
    assert found.value == pytest.approx(exp(wanted.mean()), rel=1e-4)
    assert found.error == pytest.approx(found.value * wanted.std(ddof=1) / sqrt(len(wanted)), rel=1e-3)
    assert seen[-1] == (len(found.nll), len(found.nll)) and len(seen) == len(found.nll)


def test_chunks(session: Session, reference: dict[str, Any]) -> None:
    tokens = reference["tokens"][0].tolist()
    assert len(perplexity(session, tokens, ctx=64, n_chunks=2).nll) == 2
    assert session.tokens == []


def test_a_model_does_not_diverge_from_itself(session: Session, reference: dict[str, Any]) -> None:
    found = perplexity(session, reference["tokens"][0].tolist(), ctx=128, n_chunks=1, base=session)
    assert found.against is not None
    assert (found.against.kl, found.against.kl_error, found.against.same_top) == (0, 0, 1)
    assert found.against.base == found.value


def test_divergence_from_another_model(session: Session, reference: dict[str, Any], tmp_path: Path) -> None:
    tokens = reference["tokens"][0][:64].tolist()
    with open_model(BUILT_IN) as file:
        convert(file, tmp_path / "q4_0.gguf", "q4_0")
    other = Session(tmp_path / "q4_0.gguf", threads=1)
    found = perplexity(other, tokens, ctx=64, base=session).against
    assert found is not None
    logp = []
    for model in (session, other):
        model.reset()
        logits = model.eval(tokens, all_logits=True)[32:-1].astype(np.float64)
        logp.append(logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)))
    base, model_ = logp
    kl = (np.exp(base) * (base - model_)).sum(axis=1)
    assert found.kl == pytest.approx(kl.mean(), rel=1e-3) and found.kl > 0.001
    assert found.kl_error == pytest.approx(kl.std(ddof=1) / sqrt(31), rel=1e-3)
    assert found.same_top == pytest.approx((base.argmax(1) == model_.argmax(1)).mean())
    assert found.base == pytest.approx(perplexity(session, tokens, ctx=64).value, rel=1e-6)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"ctx": 3}, "ctx 3: must be 4 to 512"),
        ({"ctx": 513}, "ctx 513: must be 4 to 512"),
        ({"ctx": 64, "stride": 64}, "stride 64: must be 1 to 63"),
        ({"ctx": 512}, "the text has 100 tokens, less than one chunk of 512"),
    ],
)
def test_refusals(session: Session, options: dict[str, int], problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        perplexity(session, [1] * 100, **options)
