"""What a training tells, as JSON has it: there and back, and what is none of it."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

import pytest

from ggtui.core.training.events import (
    EVENTS,
    Began,
    Ended,
    Event,
    Measured,
    Saved,
    Stepped,
    Trouble,
    as_dict,
    from_dict,
)

ALL: tuple[Event, ...] = (
    Began(2, {"steps": 9, "texts": ["a"]}, 10, 20, 3, 400, 2, "m.gguf", "a processor"),
    Stepped(3, 2.5, 1e-3, 0.75, 64, 12345, {"blk.0": 0.5}, {"forward": 7}),
    Measured(3, 2.25, 128, "Once\nupon"),
    Saved(4, "m.gguf"),
    Trouble(5, "m.gguf: no space"),
    Ended(9, "done"),
)


def test_all_kinds_are_here() -> None:
    assert [event.kind for event in ALL] == list(EVENTS)


@pytest.mark.parametrize("event", ALL)
def test_through_json_they_stay_the_same(event: Event) -> None:
    assert from_dict(json.loads(json.dumps(as_dict(event)))) == event


@pytest.mark.parametrize("event", ALL)
def test_a_field_of_another_kind_is_named(event: Event) -> None:
    for f in fields(event):
        for value in (None, True, [], -1, float("inf"), float("nan"), 1 << 70):
            with pytest.raises(ValueError, match=f.name):
                from_dict({**as_dict(event), f.name: value})


@pytest.mark.parametrize("event", ALL)
def test_what_is_left_out_is_missed_unless_it_has_a_default(event: Event) -> None:
    for f in fields(event):
        data = as_dict(event)
        del data[f.name]
        if f.default == f.default_factory:  # neither: both are the mark for what is missing
            with pytest.raises(ValueError, match=f.name):
                from_dict(data)
        else:
            assert from_dict(data).step == event.step


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (None, "names no event"),
        ([], "names no event"),
        ({}, "names no event"),
        ({"event": "stepped", "step": 1}, "names no event"),
        ({"event": "ended", "step": 1, "reason": "done", "colour": "red"}, "colour"),
        ({**as_dict(ALL[1]), "norms": {"blk.0": "long"}}, "norms are not all numbers"),
        ({**as_dict(ALL[1]), "times": {"forward": -1}}, "times are not all numbers"),
        ({**as_dict(ALL[1]), "norms": {"blk.0": True}}, "norms are not all numbers"),
    ],
)
def test_what_is_no_event(data: Any, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        from_dict(data)
