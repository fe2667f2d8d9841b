"""A training as it goes along: which events come when, what they say, and what a person may change meanwhile."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ggtui.core.errors import GgtuiError, LogitsError, ModelFileError, NumbersError, UsageError
from ggtui.core.files.made import MadeModel
from ggtui.core.training import loop
from ggtui.core.training.checkpoint import checkpoint_path, read_checkpoint
from ggtui.core.training.data import Batches, windows
from ggtui.core.training.events import PARTS, Event, Trouble
from ggtui.core.training.loop import Training, by_layer, part_of, times_of
from ggtui.core.training.settings import Settings
from ggtui.core.training.shapes import Shape, initial
from ggtui.core.training.trainer import Trainer

VOCAB = 61
SHAPE = Shape.parse("gpt2:embd=16,layer=2,head=2,ff=32,ctx=8")
TRAIN = np.random.default_rng(6).integers(0, VOCAB, 300).astype(np.int32)
VALID = np.random.default_rng(7).integers(0, VOCAB, 60).astype(np.int32)


def trainer(**options: Any) -> Trainer:
    return Trainer(MadeModel("small", SHAPE.metadata(VOCAB), initial(SHAPE, VOCAB, 1)), threads=1, **options)


def training(tmp_path: Path, record: str = "off", **options: Any) -> Training:
    settings = {"steps": 6, "batch": 2, "ctx": 8, "eval_every": 3, "eval_windows": 5, "save_every": 4, "sample": 0}
    out = str(tmp_path / "m.gguf")
    asked = Settings(("a.txt",), out, **{**settings, "warm_up": 2, "rate": 0.01, **options})
    return Training(asked, trainer(record=record), TRAIN, VALID)


def told(events: list[Event]) -> list[str]:
    return [f"{event.kind} {event.step}" for event in events]


@pytest.mark.parametrize(
    ("options", "want"),
    [
        (
            {},
            "began 0, measured 0, step 1, step 2, step 3, measured 3, step 4, saved 4, step 5, step 6, measured 6, "
            "saved 6, ended 6",
        ),
        ({"steps": 2}, "began 0, measured 0, step 1, step 2, measured 2, saved 2, ended 2"),
        (
            {"steps": 3, "eval_every": 1, "save_every": 1},
            "began 0, measured 0, step 1, measured 1, saved 1, step 2, measured 2, saved 2, step 3, measured 3, "
            "saved 3, ended 3",
        ),
    ],
)
def test_events_come_in_order(tmp_path: Path, options: dict[str, int], want: str) -> None:
    found = list(training(tmp_path, **options).events())
    assert ", ".join(told(found)) == want
    assert found[-1].kind == "ended" and found[-1].reason == "done"


def test_what_it_begins_with_is_told(tmp_path: Path) -> None:
    going = training(tmp_path)
    began = next(going.events())
    assert began.kind == "began"
    assert (began.tokens, began.valid_tokens, began.parameters) == (300, 60, going.trainer.n_params)
    assert Settings.from_dict(began.settings) == going.settings
    assert began.bytes > 4 * 4 * going.trainer.n_params  # weights, gradients, means and squares
    assert (began.threads, began.model) == (1, "small")


def test_steps_are_those_of_the_trainer_over_the_batches(tmp_path: Path) -> None:
    by_hand, batches = trainer(), Batches(TRAIN, 2, 8, 0)
    going = training(tmp_path)
    schedule = going.settings.schedule()
    steps = [event for event in going.events() if event.kind == "step"]
    for i, event in enumerate(steps):
        took = by_hand.step(batches[i], schedule.at(i + 1))
        assert (event.loss, event.norm, event.rate) == (took.loss, took.norm, schedule.at(i + 1))
        assert event.norms == by_layer(took.norms) and event.tokens == 16 and event.ns > 0
    assert len(steps) == 6
    for name, array in by_hand.weights().items():
        assert np.array_equal(array, going.trainer.weights()[name])


@pytest.mark.parametrize(("batch", "read"), [(1, 5), (2, 4), (5, 5), (8, 5)])
def test_a_validation_is_the_mean_over_whole_batches(tmp_path: Path, batch: int, read: int) -> None:
    """Of 5 windows; where these are less than a batch, all of them."""
    measured = next(event for event in training(tmp_path, batch=batch).events() if event.kind == "measured")
    by_hand = trainer()
    losses = [by_hand.loss(part[None]) for part in windows(VALID, 8, 5)[:read]]
    assert measured.loss == pytest.approx(np.mean(losses), rel=1e-6)
    assert measured.tokens == 8 * read and measured.sample == ""


def test_the_best_one_is_remembered(tmp_path: Path) -> None:
    going = training(tmp_path, eval_every=1)
    losses = []
    for event in going.events():
        if event.kind == "measured":
            losses.append(event.loss)
            assert going.progress.best == min(losses)
    assert read_checkpoint(going.settings.out).progress.best == min(losses)


def test_ended_by_the_person_it_saves_first(tmp_path: Path) -> None:
    going = training(tmp_path)
    found = []
    for event in going.events():
        found.append(event)
        if event.kind == "step" and event.step == 2:
            going.end()
    assert told(found)[-3:] == ["step 2", "saved 2", "ended 2"]
    assert found[-1].kind == "ended" and found[-1].reason == "stopped"
    assert read_checkpoint(going.settings.out).progress.step == 2


def test_ended_while_it_measures_it_saves_too(tmp_path: Path) -> None:
    going = training(tmp_path)
    found = []
    for event in going.events():
        found.append(event)
        if event.kind == "measured" and event.step == 3:
            going.end()
    assert told(found)[-4:] == ["step 3", "measured 3", "saved 3", "ended 3"]


def test_ended_before_its_first_step_nothing_is_written(tmp_path: Path) -> None:
    going = training(tmp_path)
    going.end()
    assert told(list(going.events())) == ["began 0", "measured 0", "ended 0"]
    assert not list(tmp_path.iterdir())


def test_saved_when_asked(tmp_path: Path) -> None:
    going = training(tmp_path)
    found = []
    for event in going.events():
        found.append(event)
        if event.kind == "step" and event.step == 1:
            going.save()
    assert told(found)[2:5] == ["step 1", "saved 1", "step 2"]
    assert told(found).count("saved 1") == 1
    assert checkpoint_path(going.settings.out).exists()


def test_slowed_down_the_rate_is_less_from_the_next_step_on(tmp_path: Path) -> None:
    going = training(tmp_path)
    rates = []
    for event in going.events():
        if event.kind == "step":
            rates.append(event.rate)
            going.slow_down({2: 0.5, 3: 0.5, 4: 2.0}.get(event.step, 1.0))
    want = [going.settings.schedule().at(i + 1) * slowed for i, slowed in enumerate((1, 1, 0.5, 0.25, 0.5, 0.5))]
    assert rates == pytest.approx(want, rel=1e-12)
    assert read_checkpoint(going.settings.out).progress.slowed == 0.5


@pytest.mark.parametrize("times", [0.0, -1.0, 1e-7, 1e7, float("nan"), float("inf")])
def test_a_rate_far_from_what_was_asked_for(tmp_path: Path, times: float) -> None:
    going = training(tmp_path)
    with pytest.raises(UsageError, match="too far from what was asked for"):
        going.slow_down(times)
    assert going.progress.slowed == 1.0


def test_texts_that_don_t_go(tmp_path: Path) -> None:
    settings = training(tmp_path).settings
    with pytest.raises(UsageError, match="fewer than a window"):
        Training(settings, trainer(), TRAIN[:8], VALID)
    with pytest.raises(UsageError, match="fewer than a window"):
        Training(settings, trainer(), TRAIN, VALID[:8])
    with pytest.raises(UsageError, match="the texts are not what the training began with"):
        Training(settings, trainer(), TRAIN[1:], VALID, training(tmp_path).progress)
    with pytest.raises(UsageError, match="the texts to validate with are not what"):
        Training(settings, trainer(), TRAIN, VALID[1:], training(tmp_path).progress)
    with pytest.raises(UsageError, match="the model is not what"):
        Training(settings, trainer(), TRAIN, VALID, training(tmp_path).progress, base="other")


def test_where_it_is_done_it_only_says_so(tmp_path: Path) -> None:
    going = training(tmp_path)
    going.progress = replace(going.progress, step=6)
    assert told(list(going.events())) == ["began 6", "saved 6", "ended 6"]  # it was moved away
    going = training(tmp_path)
    going.progress = replace(going.progress, step=6)
    going._saved = 6
    assert told(list(going.events())) == ["began 6", "ended 6"]


def test_lengths_of_gradients_by_layer() -> None:
    norms = {"blk.0.attn_q.weight": 3.0, "blk.0.ffn_up.bias": 4.0, "blk.10.attn_q.weight": 2.0, "output.weight": 1.0}
    assert by_layer({**norms, "output.bias": 0.0}) == {"blk.0": 5.0, "blk.10": 2.0, "output": 1.0}


def test_every_node_is_of_one_part(tmp_path: Path) -> None:
    """Each part has what only it has."""
    going = training(tmp_path, record="full")
    next(event for event in going.events() if event.kind == "step")
    assert going.last is not None
    nodes = going.trainer.graphs()[going.last.graph].nodes
    parts = [part_of(node.name) for node in nodes]
    assert set(parts) == set(PARTS)
    ops = {part: {node.op for node, of in zip(nodes, parts, strict=True) if of == part} for part in PARTS}
    assert "opt_step_adamw" in ops["optimizer"] and "sum_sqr" in ops["optimizer"]
    assert "flash_attn_back" in ops["backward"] and "flash_attn_ext" in ops["forward"]
    assert not {"opt_step_adamw", "flash_attn_back"} & ops["forward"]
    norms = [node.name for node, part in zip(nodes, parts, strict=True) if part == "forward" and "norm" in node.name]
    assert any(name.startswith("output_norm") for name in norms)  # a layer's, not the length of gradients


def test_times_of_parts_add_up_to_the_step(tmp_path: Path) -> None:
    going = training(tmp_path, record="full", steps=2)
    for event in islice(going.events(), 5):
        if event.kind != "step":
            continue
        assert going.last is not None and event.times == times_of(going.last, going.trainer.graphs())
        assert list(event.times) == list(PARTS) and all(ns > 0 for ns in event.times.values())
        assert 0 < sum(event.times.values()) <= event.ns


def test_without_records_there_are_no_times(tmp_path: Path) -> None:
    steps = [event for event in training(tmp_path).events() if event.kind == "step"]
    assert steps and all(event.times == {} for event in steps)


# ---- what fails ----


def test_a_save_that_fails_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    going, save = training(tmp_path, steps=3, save_every=1), loop.save_checkpoint

    def full(*args: Any) -> Path:
        if going.progress.step == 2:
            raise GgtuiError("m.gguf.checkpoint: cannot be written: No space left on device")
        return save(*args)

    monkeypatch.setattr(loop, "save_checkpoint", full)
    events = list(going.events())
    assert "saved 1, step 2, trouble 2, step 3, measured 3, saved 3, ended 3" in ", ".join(told(events))
    trouble = next(event for event in events if isinstance(event, Trouble))
    assert trouble.message.endswith("No space left on device")
    assert read_checkpoint(tmp_path / "m.gguf").progress.step == 3


def test_the_last_save_must_not_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> Path:
        raise GgtuiError("no room")

    monkeypatch.setattr(loop, "save_checkpoint", full)
    with pytest.raises(GgtuiError, match="no room"):
        list(training(tmp_path).events())


def test_what_is_no_number_takes_the_place_of_nothing(tmp_path: Path) -> None:
    going = training(tmp_path, save_every=1, eval_every=100)
    with pytest.raises(NumbersError, match="step 3: weights are no numbers any more; step 2 is saved: go on"):
        for event in going.events():
            if (event.kind, event.step) == ("step", 3):
                going.trainer.weights()["blk.0.ffn_up.weight"][0, 0] = np.inf
    assert read_checkpoint(tmp_path / "m.gguf").progress.step == 2
    going = training(tmp_path, save_every=3, eval_every=100)
    with pytest.raises(NumbersError, match=r"step 2: the loss is nan, .* nothing was saved; begin anew"):
        for event in going.events():
            if (event.kind, event.step) == ("step", 1):
                going.trainer.weights()["blk.0.ffn_up.weight"][:] = np.nan


def test_without_a_sample_it_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> str:
        raise LogitsError("the logits are not all numbers")

    monkeypatch.setattr(Trainer, "sample", fail)
    events = told(list(training(tmp_path, steps=1, sample=3).events()))
    assert events == ["began 0", "measured 0", "trouble 0", "step 1", "measured 1", "trouble 1", "saved 1", "ended 1"]


def test_a_checkpoint_that_a_disk_changed(tmp_path: Path) -> None:
    list(training(tmp_path, steps=1).events())
    place = checkpoint_path(tmp_path / "m.gguf")
    data = bytearray(place.read_bytes())
    data[-100] ^= 1
    place.write_bytes(data)
    with pytest.raises(ModelFileError, match=r"m\.gguf\.checkpoint: tensors: the checkpoint is damaged"):
        read_checkpoint(tmp_path / "m.gguf")


def test_a_validation_that_comes_to_no_number_ends_it(tmp_path: Path) -> None:
    """Nor is it logged: no log has such numbers."""
    going, kinds = training(tmp_path, eval_every=1, save_every=1), []
    with pytest.raises(NumbersError, match=r"step 2: the validation loss is nan; step 1 is saved: go on from there"):
        for event in going.events():
            kinds.append(f"{event.kind} {event.step}")
            if kinds[-1] == "step 2":
                going.trainer.weights()["blk.0.ffn_up.weight"][:] = np.nan
    assert kinds[-1] == "step 2"
