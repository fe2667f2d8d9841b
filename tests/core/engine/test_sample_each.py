"""Several samplers at once, on the threads of a pool, against each of them alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ggtui.core.engine.sampler import Sampler, SamplerParams, sample_each
from ggtui.core.errors import LogitsError, UsageError
from ggtui.core.runtime.cpu.pool import Pool

OFF = {"temp": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0}


def rows_and_samplers(n: int, n_vocab: int = 5000) -> tuple[np.ndarray, list[Sampler], list[list[int]]]:
    """As many rows of logits, a sampler of another kind for each, and texts of different lengths."""
    kinds: tuple[dict[str, Any], ...] = ({}, {"temp": 0.0}, OFF, OFF | {"top_p": 0.7}, {"repeat_penalty": 1.3})
    rows = np.random.default_rng(n).normal(0, 3, (n, n_vocab)).astype(np.float32)
    samplers = [Sampler(SamplerParams(**{"seed": i} | kinds[i % len(kinds)])) for i in range(n)]
    return rows, samplers, [list(range(7 * i)) for i in range(n)]


@pytest.mark.pool
@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("n", [0, 1, 2, 9])
def test_each_draws_what_it_would_draw_alone(threads: int, n: int) -> None:
    pool = Pool(threads)
    rows, samplers, recent = rows_and_samplers(n)
    _, others, _ = rows_and_samplers(n)
    for _ in range(5):
        alone = [sampler.sample(row, text) for sampler, row, text in zip(others, rows, recent, strict=True)]
        assert sample_each(pool, samplers, rows, recent) == alone


@pytest.mark.pool
def test_a_row_that_is_no_numbers_keeps_no_other_from_its_token() -> None:
    rows, samplers, recent = rows_and_samplers(4)
    _, others, _ = rows_and_samplers(4)
    bad = rows.copy()
    bad[2, 7] = np.nan
    drawn = sample_each(Pool(2), samplers, bad, recent)
    assert isinstance(drawn[2], LogitsError) and "ggtui inspect --check" in str(drawn[2])
    assert [drawn[i] for i in (0, 1, 3)] == [others[i].sample(rows[i], recent[i]) for i in (0, 1, 3)]


def test_each_row_needs_its_own_sampler_and_text() -> None:
    rows, samplers, recent = rows_and_samplers(2)
    _, others, _ = rows_and_samplers(2)
    for wrong in ((samplers[:1], recent), (samplers, recent[:1]), ([samplers[0]] * 2, recent)):
        with pytest.raises(UsageError, match="each row needs its own"):
            sample_each(Pool(1), wrong[0], rows, wrong[1])
    with pytest.raises(UsageError, match="the model has 0 to 4999"):
        sample_each(Pool(1), [samplers[0], Sampler(SamplerParams(repeat_penalty=2))], rows, [[], [5000]])
    assert samplers[0].sample(rows[0]) == others[0].sample(rows[0])  # no random number was taken
