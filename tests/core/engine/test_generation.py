"""Generations of one model: alone, in turns and in threads, each says what it says alone."""

from __future__ import annotations

import threading
import weakref

import pytest

import ggtui
from ggtui.core.errors import UsageError

PROMPTS = ("Once upon a time", "The king", "A", "Little Red Riding Hood went")


@pytest.fixture(scope="module")
def model() -> ggtui.Model:
    return ggtui.Model()


@pytest.fixture(scope="module")
def alone() -> list[list[int]]:
    session = ggtui.load(threads=1)
    said = []
    for i, prompt in enumerate(PROMPTS):
        session.reset()
        said.append([step.token for step in session.generate(prompt, 40, seed=i)])
    return said


def engine(model: ggtui.Model, n_sequences: int = 4) -> ggtui.Engine:
    return ggtui.Engine(model, threads=2, ctx=128, n_sequences=n_sequences)


def test_in_turns(model: ggtui.Model, alone: list[list[int]]) -> None:
    e = engine(model)
    generations = [e.submit(prompt, 40, seed=i) for i, prompt in enumerate(PROMPTS)]
    said: list[list[int]] = [[] for _ in PROMPTS]
    for _ in range(40):
        for tokens, generation in zip(said, generations, strict=True):
            tokens += [step.token for step in [next(generation, None)] if step]
    assert said == alone


@pytest.mark.parametrize("engines", [1, 4])
def test_in_threads(model: ggtui.Model, alone: list[list[int]], engines: int) -> None:
    several = [engine(model) for _ in range(engines)]
    said: dict[int, list[int]] = {}

    def run(i: int) -> None:
        said[i] = [step.token for step in several[i % engines].submit(PROMPTS[i], 40, seed=i)]

    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(PROMPTS))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [said[i] for i in range(len(PROMPTS))] == alone


def test_what_a_generation_owns_is_given_back(model: ggtui.Model) -> None:
    e = engine(model, n_sequences=1)
    with e.submit("Once", 5) as first:
        next(first)
        with pytest.raises(UsageError, match="there are 1 sequences already"):
            e.submit("Once")
    assert list(first) == [], "it was closed"
    with pytest.raises(UsageError, match="temp"):
        e.submit("Once", temp=-1.0)
    dropped = e.submit("Once")
    next(dropped)
    del dropped
    with e.submit("Once", 3) as last:
        assert len(list(last)) == 3 and last.stop_reason == "n_predict"
    busy = e.submit("Once")
    next(busy)
    with e.memory.lock:  # as where the collector runs in the midst of pages' changing hands
        held = e.memory.n_free(0)
        del busy
        assert e.memory.n_free(0) == held
    e.open().close()
    assert e.memory.n_free(0) == e.memory.store.groups[0].n_pages


def test_a_generation_goes_with_its_last_reference(model: ggtui.Model) -> None:
    e = engine(model)
    generation = e.submit("Once", 5)
    next(generation)
    there = weakref.ref(generation)
    del generation
    assert there() is None, "it goes round in a circle"


def test_after_an_error_it_is_over(model: ggtui.Model) -> None:
    session = ggtui.load(threads=1)
    generation = session.generate("Once", 5)
    next(generation)
    session.eval([1])
    with pytest.raises(UsageError, match="were read or forgotten"):
        next(generation)
    assert list(generation) == []


def test_engines_and_models_close() -> None:
    with ggtui.Model() as model:
        weight = weakref.ref(model.weights["token_embd.weight"])
        with ggtui.Engine(model, threads=1) as e:
            sequence = e.open()
            e.read(sequence, [1, 2])
        e.close()
        for use in (e.open, lambda: e.read(sequence, [1]), lambda: e.submit("Once")):
            with pytest.raises(UsageError, match="the engine is closed"):
                use()
        other = ggtui.Engine(model, threads=1)
    assert len(list(other.submit("Once", 3))) == 3, "what runs goes on"
    with pytest.raises(UsageError, match="the model is closed"):
        ggtui.Engine(model)
    del other
    assert weight() is None
