"""What a training is asked for, to JSON and back, and what is refused."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

import pytest

from ggtui.core.errors import UsageError
from ggtui.core.training.optimizers import AdamW, Schedule, Sgd
from ggtui.core.training.settings import Settings

PLAIN = Settings(("a.txt",), "m.gguf")
OTHER = Settings(
    ("a.txt", "b"), "m.gguf", ("c.txt",), "", "base.gguf", "built-in", 4, 16.0, 64, 2, 10, 0.5, 3, 0.25, "sgd", 0.0,
    0.5, 7, 5, 6, 8, True, "Once", 9,
)  # fmt: skip


@pytest.mark.parametrize("settings", [PLAIN, OTHER])
def test_through_json_they_stay_the_same(settings: Settings) -> None:
    assert Settings.from_dict(json.loads(json.dumps(settings.as_dict()))) == settings


def test_the_other_ones_differ_in_all_but_what_excludes_another() -> None:
    """Else a field that is lost on the way would not show."""
    same = {f.name for f in fields(Settings) if getattr(PLAIN, f.name) == getattr(OTHER, f.name)}
    assert same == {"out", "shape"}


def test_whole_numbers_stand_for_others() -> None:
    found = Settings.from_dict({**PLAIN.as_dict(), "rate": 1, "rank": 2, "alpha": 8})
    assert (found.rate, found.alpha) == (1.0, 8.0) and type(found.rate) is float


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"ctx": True}, "ctx True"),
        ({"ctx": "16"}, "ctx '16'"),
        ({"ctx": 16.0}, "ctx 16.0"),
        ({"rate": "fast"}, "rate 'fast'"),
        ({"rate": None}, "rate None"),
        ({"texts": "a.txt"}, "texts 'a.txt'"),
        ({"texts": [1]}, r"texts \[1\]"),
        ({"out": None}, "out None"),
        ({"colour": "red"}, "are not of this ggtui"),
        ({"alpha": 8.0}, "alpha 8: is of an adapter; give its rank too"),
        ({"texts": ["a.txt", ""]}, "no texts"),
        ({"valid": [""]}, "no texts"),
        ({"recompute": 1}, "recompute 1"),
        ({"rate": 1e7}, "rate 10000000.0: must be 0 to less than 1e[+]06"),
        ({"steps": 0}, "steps 0: must be at least 1"),
    ],
)
def test_what_json_may_not_say(changed: dict[str, Any], problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        Settings.from_dict({**PLAIN.as_dict(), **changed})


@pytest.mark.parametrize(
    ("data", "problem"), [(["texts"], "not of this ggtui"), ({}, "lack some"), ({"texts": ["a"]}, "lack some")]
)
def test_what_lacks_them(data: Any, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        Settings.from_dict(data)


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        *[({name: 0}, f"{name.replace('_', '-')} 0: must be at least 1") for name in ("batch", "steps", "eval_every")],
        *[({name: 0}, f"{name.replace('_', '-')} 0: must be at least 1") for name in ("eval_windows", "save_every")],
        *[({name: -1}, f"{name.replace('_', '-')} -1: must be at least 0") for name in ("ctx", "rank", "warm_up")],
        *[({name: -1}, f"{name} -1: must be at least 0") for name in ("alpha", "sample", "clip")],
        ({"clip": float("nan")}, "clip nan"),
        ({"alpha": float("inf")}, "alpha inf"),
        ({"rate": float("inf")}, "rate inf"),
        ({"last": 2.0}, "last 2.0"),
        ({"texts": ()}, "no texts"),
        ({"optimizer": "adam"}, "optimizer 'adam': choose one of adamw, sgd"),
        ({"shape": "gpt2:embd=8", "model": "m.gguf"}, "give one of the two"),
        ({"shape": "gpt2:embd=8", "rank": 4}, "leave shape out"),
    ],
)
def test_what_does_not_go(changed: dict[str, Any], problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        Settings(**{"texts": ("a.txt",), "out": "m.gguf", **changed})


def test_what_is_made_of_them() -> None:
    assert OTHER.make_optimizer() == Sgd(decay=0.0) and PLAIN.make_optimizer() == AdamW(decay=0.1)
    assert OTHER.schedule() == Schedule(0.5, 10, 3, 0.25)
    short = Settings(("a.txt",), "m.gguf", steps=10)
    assert short.schedule() == Schedule(1e-3, 10, 10)  # shorter than its warm-up: it rises all along
