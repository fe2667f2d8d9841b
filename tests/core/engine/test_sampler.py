"""The sampler against distributions computed in float64, and each filter by itself; stop texts against any cutting."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ggtui.core.engine.sampler import Sampler, SamplerParams, StopTexts, top
from ggtui.core.errors import LogitsError, UsageError

OFF = {"temp": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0}


def logits_of(*probabilities: float) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return np.log(np.array(probabilities)).astype(np.float32) + np.float32(3)


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x.astype(np.float64) - x.max())
    return e / e.sum()


def drawn(logits: np.ndarray, n: int = 500, recent: Sequence[int] = (), **params: Any) -> set[int]:
    """The tokens that come up at all in n draws."""
    sampler = Sampler(SamplerParams(**OFF | {"seed": 1} | params))
    return {sampler.sample(logits, recent)[0] for _ in range(n)}


def expected(logits: np.ndarray, temp: float, top_k: int, top_p: float, min_p: float) -> np.ndarray:
    """The distribution the chain should have, in float64 with whole sorts."""
    x = logits.astype(np.float64)
    order = np.argsort(-x, kind="stable")[: top_k or len(x)]
    order = order[: np.searchsorted(np.cumsum(softmax(x[order])), top_p) + 1]
    order = order[x[order] >= x[order[0]] + np.log(min_p)] if min_p else order
    p = np.zeros(len(x))
    p[order] = softmax(x[order] / temp)
    return p


def chosen(logits: np.ndarray, random: float, recent: Sequence[int] = (), **params: Any) -> int:
    """The token that a random number stands for, in float64 and with whole sorts."""
    p = SamplerParams(**params)
    x = logits.copy()
    if len(recent) and p.repeat_penalty != 1:
        ids = np.unique(recent[-p.repeat_last_n :])
        old = x[ids].astype(np.float64)
        x[ids] = np.where(old > 0, old / p.repeat_penalty, old * p.repeat_penalty)
    if p.temp == 0:
        return int(x.argmax())
    ids = np.arange(len(x))
    likeliest_first = np.argsort(-x, kind="stable")
    if 0 < p.top_k < len(x):
        ids = likeliest_first[: p.top_k]
    if p.top_p < 1:
        ids = likeliest_first[: len(ids)]
        ids = ids[: int(np.searchsorted(np.cumsum(softmax(x[ids])), p.top_p)) + 1]
    if p.min_p > 0:
        ids = ids[x[ids] >= np.float32(x.max() + np.log(p.min_p))]
    reached = np.cumsum(softmax(x[ids].astype(np.float64) / p.temp))
    return int(ids[np.searchsorted(reached, random * reached[-1], "right")])


CHAINS: tuple[dict[str, Any], ...] = (
    {},
    {"temp": 0.0},
    {"top_k": 0},
    {"top_k": 0, "top_p": 1.0},
    {"top_k": 0, "top_p": 1.0, "temp": 1e-4},
    {"top_k": 0, "top_p": 1.0, "min_p": 0.05},
    {"top_k": 1, "top_p": 1.0},
    {"top_k": 64, "top_p": 1.0, "temp": 3.0},
    {"top_k": 300, "top_p": 0.99, "min_p": 0.001},
    {"top_k": 10**30, "top_p": 0.5},
    {"repeat_penalty": 1.3, "top_k": 20},
    {"repeat_penalty": 0.7, "top_k": 0, "temp": 0.0},
)


@pytest.mark.parametrize("params", CHAINS, ids=str)
@pytest.mark.parametrize("n_vocab", [1, 2, 63, 64, 65, 1000, 20011])
def test_each_random_number_stands_for_the_token_of_the_oracle(n_vocab: int, params: dict[str, Any]) -> None:
    rng = np.random.default_rng(n_vocab)
    sampler, numbers = Sampler(SamplerParams(seed=7, **params)), random.Random(7)
    for i in range(12):
        logits = rng.normal(0, (0.1, 3.0)[i % 2], n_vocab).astype(np.float32)
        if i % 3 == 1:  # many equals, zeros of both signs among them
            logits = np.round(logits) * np.float32(1 - 2 * (i % 2))
        if i % 4 == 3:
            logits[rng.random(n_vocab) < 0.5] = -np.inf
            logits[rng.integers(n_vocab)] = 1
        recent = rng.integers(0, n_vocab, 100).tolist()
        before = logits.copy()
        token, logprob = sampler.sample(logits, recent)
        assert token == chosen(logits, numbers.random() if sampler.params.temp else 0.0, recent, **params), i
        # To a float32's precision, which is what the sum over the vocabulary has.
        assert logprob == pytest.approx(float(np.log(softmax(logits)[token])), abs=1e-6)
        assert np.array_equal(logits, before)


def test_any_array_of_logits_will_do() -> None:
    logits = np.random.default_rng(1).normal(0, 2, 300)
    want = Sampler(SamplerParams(seed=1)).sample(logits.astype(np.float32))
    wide = np.zeros(600)
    wide[::2] = logits
    for same in (logits, wide[::2], wide.astype(np.float32)[::2]):
        assert Sampler(SamplerParams(seed=1)).sample(same) == want
    sampler = Sampler(SamplerParams(temp=0.0))
    assert [sampler.sample(np.eye(1, n, n - 1, dtype=np.float32)[0])[0] for n in (5, 100, 7)] == [4, 99, 6]


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"temp": 0.5},
        {"temp": 3.0},
        {"top_k": 5},
        {"top_p": 0.7},
        {"min_p": 0.1},
        {"temp": 0.9, "top_k": 12, "top_p": 0.95, "min_p": 0.02},
        {"temp": 2.0, "top_k": 8, "top_p": 0.6},
    ],
)
def test_distribution(params: dict[str, Any]) -> None:
    logits = np.random.default_rng(5).normal(0, 1.5, 20).astype(np.float32)
    params = OFF | params
    p = expected(logits, **params)
    sampler = Sampler(SamplerParams(**params, seed=11))
    n = 5000
    counts = np.bincount([sampler.sample(logits)[0] for _ in range(n)], minlength=20)
    assert not counts[p == 0].any()
    # five standard deviations of a binomial distribution
    assert (np.abs(counts - n * p) <= 5 * np.sqrt(n * p * (1 - p)) + 1).all()


def test_top_k() -> None:
    logits = logits_of(0.1, 0.4, 0.2, 0.3)
    assert drawn(logits, top_k=2) == {1, 3}
    assert drawn(logits, top_k=0) == drawn(logits, top_k=4) == drawn(logits, top_k=99) == {0, 1, 2, 3}
    assert drawn(np.zeros(8, np.float32), top_k=3) == {0, 1, 2}  # of equals the first


def test_top_p() -> None:
    logits = logits_of(0.1, 0.4, 0.2, 0.3)
    assert drawn(logits, top_p=0.39) == {1}
    assert drawn(logits, top_p=0.41) == drawn(logits, top_p=0.69) == {1, 3}
    assert drawn(logits, top_p=0.71) == {1, 3, 2}
    # of what top_k left: 0.4 and 0.3 are 4/7 and 3/7
    assert drawn(logits, top_k=2, top_p=0.56) == {1}


def test_top_p_of_a_flat_distribution_over_a_large_vocabulary() -> None:
    """Far more tokens pass than are looked at first."""
    tokens = drawn(np.zeros(5000, np.float32), n=500, top_p=0.5)
    assert 2400 < max(tokens) < 2500


def test_min_p() -> None:
    logits = logits_of(0.1, 0.4, 0.2, 0.3)
    assert drawn(logits, min_p=0.49) == {1, 2, 3}
    assert drawn(logits, min_p=0.51) == {1, 3}
    assert drawn(logits, min_p=1.0) == {1}
    # before the temperature, as in llama.cpp: it does not matter here
    assert drawn(logits, min_p=0.51, temp=5.0) == {1, 3}


def test_repeat_penalty() -> None:
    """Divides positive logits, multiplies negative ones, once however often a token came."""
    logits = np.array([2, -1, 1.9, 1.8], np.float32)
    before = logits.copy()
    greedy = {"temp": 0.0, "repeat_penalty": 1.1}
    assert drawn(logits, n=1, **greedy) == {0}
    assert drawn(logits, n=1, recent=(0, 0, 0), **greedy) == {2}
    assert drawn(logits, n=1, recent=(0, 2), **greedy) == {0}
    assert drawn(np.array([-1, -1.05], np.float32), n=1, recent=(0,), **greedy) == {1}
    assert np.array_equal(logits, before)


def test_repeat_last_n() -> None:
    logits = np.array([2, 1.9, 0], np.float32)
    params = {"temp": 0.0, "repeat_penalty": 2.0}
    assert drawn(logits, n=1, recent=(0, 2, 2), repeat_last_n=2, **params) == {0}
    assert drawn(logits, n=1, recent=(0, 2, 2), repeat_last_n=3, **params) == {1}
    assert drawn(logits, n=1, recent=(0, 2, 2), repeat_last_n=0, **params) == {0}


@pytest.mark.parametrize("penalty", [1e-300, 1e300])
def test_extreme_penalties(penalty: float) -> None:
    logits = np.array([1, 2, -3, 0], np.float32)
    assert drawn(logits, n=1, recent=range(4), repeat_penalty=penalty) <= {0, 1, 2, 3}


def test_greedy_takes_the_first_of_equals() -> None:
    logits = np.array([0, 3, 1, 3], np.float32)
    assert drawn(logits, n=5, temp=0.0) == {1}


@pytest.mark.parametrize("temp", [1e-3, 1e-30, 5e-324])
def test_a_temperature_near_zero_is_nearly_greedy(temp: float) -> None:
    assert drawn(np.array([0, 3, 2.9], np.float32), n=50, temp=temp) == {1}


@pytest.mark.parametrize("params", [{}, {"temp": 0.0}, {"temp": 2.0, "top_k": 3, "repeat_penalty": 1.5}])
def test_logprob_is_of_the_model_itself(params: dict[str, Any]) -> None:
    logits = np.random.default_rng(2).normal(0, 4, 1000).astype(np.float32)
    reference = np.log(softmax(logits))
    sampler = Sampler(SamplerParams(**OFF | {"seed": 3} | params))
    for _ in range(50):
        token, logprob = sampler.sample(logits, [1, 2, 3])
        assert logprob == pytest.approx(reference[token], abs=1e-5)


def test_the_same_seed_gives_the_same_tokens() -> None:
    logits = np.random.default_rng(2).normal(0, 1, (100, 500)).astype(np.float32)

    def tokens(seed: int | None) -> list[int]:
        sampler = Sampler(SamplerParams(seed=seed))
        return [sampler.sample(row)[0] for row in logits]

    assert tokens(1) == tokens(1) != tokens(2)
    assert tokens(None) != tokens(None)
    unseeded = Sampler(SamplerParams())
    assert [unseeded.sample(row)[0] for row in logits] == tokens(unseeded.seed)


def test_a_seed_means_the_same_numbers_in_every_python() -> None:
    """Of equal logits the random number says which is taken: those of random.Random(1), 0.13436, 0.84743, 0.76377."""
    sampler = Sampler(SamplerParams(**OFF, seed=1))
    assert [sampler.sample(np.zeros(1000, np.float32))[0] for _ in range(3)] == [134, 847, 763]


def test_drawing_needs_no_numpy_random() -> None:
    code = (
        "import sys, numpy\n"
        "from ggtui.core.engine.sampler import Sampler, SamplerParams\n"
        "Sampler(SamplerParams(seed=1)).sample(numpy.zeros(9, numpy.float32))\n"
        "print('numpy.random' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_forbidden_tokens_never_come() -> None:
    logits = logits_of(0, 0.5, 0, 0.5)
    for params in ({}, {"top_k": 3}, {"top_p": 0.99}, {"min_p": 0.01}, {"temp": 50.0}):
        assert drawn(logits, **params) == {1, 3}


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("temp", [0.0, 1.0])
def test_logits_that_are_no_numbers_are_refused(bad: float, temp: float) -> None:
    logits = np.zeros(9, np.float32)
    logits[4] = bad
    with pytest.raises(LogitsError, match="the logits are not all numbers"):
        Sampler(SamplerParams(temp=temp)).sample(logits)
    with pytest.raises(LogitsError, match="the logits are not all numbers"):
        top(logits, 3)


def test_logits_without_any_choice_are_refused() -> None:
    for logits in (np.full(3, -np.inf, np.float32), np.empty(0, np.float32)):
        with pytest.raises(LogitsError, match="the logits are not all numbers"):
            Sampler().sample(logits)


@pytest.mark.parametrize("recent", [(3,), (-1,)])
def test_recent_tokens_that_do_not_exist_are_refused(recent: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match="the model has 0 to 2"):
        Sampler(SamplerParams(repeat_penalty=1.1)).sample(np.zeros(3, np.float32), recent)


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("temp", -0.1, "a number, 0 or more"),
        ("temp", float("nan"), "a number, 0 or more"),
        ("temp", float("inf"), "a number, 0 or more"),
        ("temp", "1", "a number, 0 or more"),
        ("top_k", -1, "a whole number, 0 or more"),
        ("top_k", 1.5, "a whole number, 0 or more"),
        ("top_p", 0, "a number over 0, up to 1"),
        ("top_p", 1.01, "a number over 0, up to 1"),
        ("min_p", -0.01, "a number from 0 to 1"),
        ("min_p", 1.01, "a number from 0 to 1"),
        ("repeat_penalty", 0, "a number over 0"),
        ("repeat_penalty", None, "a number over 0"),
        ("repeat_last_n", -1, "a whole number, 0 or more"),
        ("seed", -1, f"a whole number from 0 to {(1 << 64) - 1}"),
        ("seed", 1 << 64, f"a whole number from 0 to {(1 << 64) - 1}"),
    ],
)
def test_parameters_out_of_range(name: str, value: Any, wanted: str) -> None:
    with pytest.raises(UsageError) as caught:
        SamplerParams(**{name: value})
    assert str(caught.value) == f"{name} {value!r}: must be {wanted}"


def test_parameters_at_the_ends_of_their_ranges() -> None:
    SamplerParams(temp=0, top_k=0, top_p=1, min_p=0, repeat_penalty=1e-9, repeat_last_n=0, seed=0)
    SamplerParams(temp=np.float32(3), top_k=np.int64(9), min_p=1, seed=(1 << 64) - 1)


def test_top() -> None:
    logits = logits_of(0.1, 0.4, 0.1, 0.3, 0.1)
    best = top(logits, 3)
    assert [token for token, _ in best] == [1, 3, 0]
    assert [p for _, p in best] == pytest.approx([0.4, 0.3, 0.1], abs=1e-6)
    assert [token for token, _ in top(logits, 99)] == [1, 3, 0, 2, 4]
    assert top(logits, 0) == []
    with pytest.raises(UsageError, match="k -1"):
        top(logits, -1)


def test_top_of_a_large_vocabulary() -> None:
    logits = np.random.default_rng(2).normal(0, 3, 50257).astype(np.float32)
    order = np.argsort(-logits, kind="stable")[:20]
    assert [token for token, _ in top(logits, 20)] == order.tolist()
    assert [p for _, p in top(logits, 20)] == pytest.approx(softmax(logits)[order].tolist(), rel=1e-5)


def streamed(stops: list[str], pieces: list[str]) -> tuple[str, str | None]:
    watcher = StopTexts(stops)
    text = "".join(watcher.push(piece) for piece in pieces)
    return text + watcher.flush(), watcher.found


@pytest.mark.parametrize(
    ("stops", "pieces", "text", "found"),
    [
        ([], ["a", "b"], "ab", None),
        (["END"], ["a EN", "D b"], "a ", "END"),
        (["END"], ["a E", "N", "E"], "a ENE", None),
        (["END"], ["EENDS"], "E", "END"),
        (["aab"], ["aa", "a", "b"], "a", "aab"),
        (["\n\n", "User:"], ["x\n", "User", ": y"], "x\n", "User:"),
        (["abc", "b"], ["abc"], "a", "b"),  # complete before abc is
        (["bc", "abc"], ["abc"], "", "abc"),  # complete together: the longer
        (["🦙"], ["a🦙b"], "a", "🦙"),
    ],
)
def test_stop_texts(stops: list[str], pieces: list[str], text: str, found: str | None) -> None:
    assert streamed(stops, pieces) == (text, found)
    assert streamed(stops, list("".join(pieces))) == (text, found)
    assert streamed(stops, ["".join(pieces)]) == (text, found)


def test_only_what_may_become_a_stop_text_is_held_back() -> None:
    watcher = StopTexts("END")
    assert [watcher.push(piece) for piece in ("an E", "N", "Ex", "E", "ND", "more")] == ["an ", "", "ENEx", "", "", ""]
    assert watcher.found == "END"
    assert watcher.flush() == ""


def test_an_empty_stop_text_is_refused() -> None:
    for stops in ("", ["a", ""]):
        with pytest.raises(UsageError, match="stop '': must be a text of at least one character"):
            StopTexts(stops)


LETTERS = st.text("ab", max_size=12)


@given(st.lists(st.text("ab", min_size=1, max_size=4), max_size=3), st.lists(LETTERS, max_size=6))
def test_how_the_text_is_cut_does_not_matter(stops: list[str], pieces: list[str]) -> None:
    whole = "".join(pieces)
    ends = [end for end in range(len(whole) + 1) if any(whole[:end].endswith(stop) for stop in stops)]
    if ends:
        found = max((stop for stop in stops if whole[: ends[0]].endswith(stop)), key=len)
        assert streamed(stops, pieces) == (whole[: ends[0] - len(found)], found)
    else:
        assert streamed(stops, pieces) == (whole, None)
