"""How a training begins, and goes on: to the bits that it would have come to, of models and of adapters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ggtui.core.errors import GgtuiError, UsageError
from ggtui.core.files import open_model
from ggtui.core.files.convert import convert
from ggtui.core.training.checkpoint import checkpoint_path
from ggtui.core.training.events import Event, as_dict
from ggtui.core.training.loop import Training
from ggtui.core.training.settings import Settings
from ggtui.core.training.start import begin, resume

TEXT = (Path(__file__).parents[2] / "data" / "heldout.txt").read_text()
SHAPE = "gpt2:embd=32,layer=1,head=2,ff=32,ctx=16"


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("texts")
    (folder / "a.txt").write_text(TEXT[:6000])
    (folder / "b.txt").write_text(TEXT[6000:9000])
    return folder


@pytest.fixture(scope="module")
def quantized(texts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model in Q8_0, for adapters to be of."""
    folder = tmp_path_factory.mktemp("base")
    list(begin(asked(texts, folder / "f32.gguf"), threads=1).events())
    with open_model(folder / "f32.gguf") as file:
        convert(file, folder / "base.gguf", "q8_0")
    return folder / "base.gguf"


def asked(texts: Path, out: Path, **options: Any) -> Settings:
    """Eight steps on a vocabulary learnt from the texts, unless `options` say else."""
    plain = {"shape": SHAPE, "vocab": "300", "ctx": 16, "batch": 2, "steps": 8, "warm_up": 2, "rate": 0.01}
    often = {"eval_every": 3, "eval_windows": 3, "save_every": 3, "sample": 3, "prompt": "A"}
    return Settings(**{"texts": (str(texts),), "out": str(out), **plain, **often, **options})


def bits(path: Path) -> dict[str, bytes]:
    with open_model(path) as file:
        return {name: file.data(name).tobytes() for name in file.tensors}


def run(training: Training, at: Callable[[Event], Any] = lambda event: None) -> list[Event]:
    """Its events; of each step `at` may stop it."""
    found = []
    for event in training.events():
        found.append(event)
        at(event)
    return found


def what_happened(events: list[Event]) -> list[dict[str, Any]]:
    """But for times, and where it is written."""
    return [{**as_dict(e), "ns": 0, "times": {}} for e in events if e.kind in ("step", "measured")]


@pytest.mark.pool
@pytest.mark.parametrize(
    "options",
    [{}, {"optimizer": "sgd", "decay": 0.0, "rate": 0.1}, {"rank": 4}, {"rank": 2, "alpha": 1.0, "optimizer": "sgd"}],
    ids=["adamw", "sgd", "lora", "lora-sgd"],
)
@pytest.mark.parametrize("stop", [1, 3, 7])
def test_gone_on_with_it_comes_to_equal_bits(
    texts: Path, quantized: Path, tmp_path: Path, options: dict[str, Any], stop: int
) -> None:
    """On other threads too; a rate that was slowed down stays so."""
    if "rank" in options:
        options = {**options, "shape": "", "model": str(quantized)}

    def slow(training: Training) -> Callable[[Event], None]:
        return lambda event: training.slow_down(0.5) if event.kind == "step" and event.step == 1 else None

    whole = begin(asked(texts, tmp_path / "whole.gguf", **options), threads=1)
    in_one = run(whole, slow(whole))
    first = begin(asked(texts, tmp_path / "parts.gguf", **options), threads=1)

    def slow_and_stop(event: Event) -> None:
        slow(first)(event)
        if event.kind == "step" and event.step == stop:
            first.end()

    began = run(first, slow_and_stop)
    again = resume(tmp_path / "parts.gguf", threads=2)
    assert (again.progress.step, again.progress.slowed) == (stop, 0.5)
    rest = run(again)
    assert bits(tmp_path / "parts.gguf") == bits(tmp_path / "whole.gguf")
    states = {n: s.tobytes() for n, s in whole.trainer.states().items()}
    assert {n: s.tobytes() for n, s in again.trainer.states().items()} == states
    assert what_happened(began + rest) == what_happened(in_one)


@pytest.mark.pool
def test_killed_it_goes_on_from_what_was_saved(texts: Path, tmp_path: Path) -> None:
    """Steps after the last checkpoint are taken again."""
    run(begin(asked(texts, tmp_path / "whole.gguf"), threads=1))
    for event in begin(asked(texts, tmp_path / "parts.gguf"), threads=1).events():
        if event.kind == "step" and event.step == 5:
            break
    again = resume(tmp_path / "parts.gguf", threads=1)
    assert again.progress.step == 3
    run(again)
    assert bits(tmp_path / "parts.gguf") == bits(tmp_path / "whole.gguf")


@pytest.mark.pool
@pytest.mark.parametrize("vocab", ["300", "built-in"])
def test_from_nothing(texts: Path, tmp_path: Path, vocab: str) -> None:
    settings = asked(texts, tmp_path / "m.gguf", vocab=vocab)
    events = run(begin(settings, threads=1))
    losses = [event.loss for event in events if event.kind == "measured"]
    n_vocab = 300 if vocab == "300" else 4096
    assert losses[0] == pytest.approx(np.log(n_vocab), abs=0.05) and losses[-1] < losses[0] - 0.1
    samples = [event.sample for event in events if event.kind == "measured"]
    assert all(text.startswith("A") and len(text) > 1 for text in samples)
    with open_model(tmp_path / "m.gguf") as file:
        assert file.tensors["token_embd.weight"].ne[:2] == (32, n_vocab)


@pytest.mark.pool
def test_from_a_model_it_begins_where_that_is(texts: Path, quantized: Path, tmp_path: Path) -> None:
    """As a whole or as an adapter: the first validation is the same."""
    first = []
    for rank in (0, 4):
        options = {"shape": "", "model": str(quantized), "rank": rank}
        events = begin(asked(texts, tmp_path / "m.gguf", **options), threads=1).events()
        first.append(next(event.loss for event in events if event.kind == "measured"))
    assert first[0] == pytest.approx(first[1], rel=1e-6)


@pytest.mark.pool
def test_what_it_validates_with(texts: Path, tmp_path: Path) -> None:
    """The end of the texts, or others."""
    (tmp_path / "v.txt").write_text(TEXT[9000:10000])
    own = begin(asked(texts, tmp_path / "m.gguf"), threads=1)
    other = begin(asked(texts, tmp_path / "m.gguf", valid=(str(tmp_path / "v.txt"),)), threads=1)
    told = [next(training.events()) for training in (own, other)]
    assert all(event.kind == "began" for event in told)
    (a, a_valid), (b, b_valid) = ((e.tokens, e.valid_tokens) for e in told if e.kind == "began")
    assert b == a + a_valid and a_valid == round(0.05 * b) and b_valid != a_valid


@pytest.mark.pool
def test_ctx_is_the_models_where_none_is_said(texts: Path, tmp_path: Path) -> None:
    assert begin(asked(texts, tmp_path / "m.gguf", ctx=0), threads=1).settings.ctx == 16
    long = asked(texts, tmp_path / "m.gguf", ctx=0, shape=SHAPE.replace("ctx=16", "ctx=300"), valid=(str(texts),))
    assert begin(long, threads=1).settings.ctx == 256


@pytest.mark.pool
@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"texts": ("none.txt",)}, "none.txt"),
        ({"ctx": 17}, "ctx 17: the model is made for 16 tokens"),
        ({"shape": "gpt2:embd=33,layer=1,head=2"}, "shape key head"),
        ({"shape": "mamba:embd=8"}, "shape 'mamba'"),
        ({"vocab": "100000"}, "the texts make a vocabulary of"),
        ({"vocab": "none.gguf"}, "none.gguf"),
        ({"shape": "", "model": "none.gguf"}, "none.gguf"),
        ({"shape": "", "model": "none.gguf", "rank": 4}, "none.gguf"),
        ({"shape": "gpt2:embd=16384,layer=400,head=8"}, "m.gguf: weights, gradients and the optimizer take .* GB"),
    ],
)
def test_what_does_not_go_together(texts: Path, tmp_path: Path, options: dict[str, Any], problem: str) -> None:
    with pytest.raises(GgtuiError, match=problem) as caught:
        begin(replace(asked(texts, tmp_path / "m.gguf"), **options), threads=1)
    assert "\n" not in str(caught.value) and not list(tmp_path.iterdir())


@pytest.fixture
def left(texts: Path, tmp_path: Path) -> Path:
    """A training after one step, on texts of its own."""
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text(TEXT[:6000])
    training = begin(asked(tmp_path / "texts", tmp_path / "m.gguf"), threads=1)
    run(training, lambda event: training.end() if event.kind == "step" else None)
    return tmp_path / "m.gguf"


@pytest.mark.pool
def test_with_other_texts_it_does_not_go_on(left: Path) -> None:
    (left.parent / "texts" / "a.txt").write_text(TEXT[1:6001])
    with pytest.raises(UsageError, match="the texts are not what the training began with"):
        resume(left, threads=1)
    (left.parent / "texts" / "a.txt").unlink()
    with pytest.raises(UsageError, match="texts"):
        resume(left, threads=1)
    (left.parent / "texts" / "a.txt").write_text(TEXT[:6000])
    assert resume(left, threads=1).progress.step == 1


@pytest.mark.pool
def test_the_model_itself_is_not_needed_to_go_on(left: Path) -> None:
    left.unlink()
    assert run(resume(left, threads=1))[-1].step == 8
    checkpoint_path(left).unlink()
    with pytest.raises(UsageError, match="there is no training of"):
        resume(left, threads=1)


@pytest.mark.pool
def test_with_another_model_an_adapter_does_not_go_on(texts: Path, quantized: Path, tmp_path: Path) -> None:
    base = tmp_path / "base.gguf"
    base.write_bytes(quantized.read_bytes())
    training = begin(asked(texts, tmp_path / "a.gguf", shape="", model=str(base), rank=4), threads=1)
    run(training, lambda event: training.end() if event.kind == "step" else None)
    other = asked(texts, tmp_path / "other.gguf", shape=SHAPE.replace("ff=32", "ff=64"), steps=1)
    run(begin(other, threads=1))
    base.write_bytes((tmp_path / "other.gguf").read_bytes())
    with pytest.raises(UsageError, match="is not of this model and optimizer"):
        resume(tmp_path / "a.gguf", threads=1)
    like = asked(texts, tmp_path / "like.gguf", steps=1, seed=5)  # of the same sizes
    run(begin(like, threads=1))
    base.write_bytes(quantized.read_bytes())
    resume(tmp_path / "a.gguf", threads=1)
    stored = tmp_path / "like-q8.gguf"
    with open_model(tmp_path / "like.gguf") as file:
        convert(file, stored, "q8_0")
    base.write_bytes(stored.read_bytes())
    with pytest.raises(UsageError, match="the model is not what the training began with"):
        resume(tmp_path / "a.gguf", threads=1)
    base.unlink()
    with pytest.raises(GgtuiError, match=r"base\.gguf"):
        resume(tmp_path / "a.gguf", threads=1)
