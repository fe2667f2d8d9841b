"""The built-in model is the one that docs/built-in tells of."""

from __future__ import annotations

import re
import runpy
from math import prod
from pathlib import Path

from ggtui.core.files import open_model
from ggtui.core.training.events import Began, Ended, Measured, Stepped
from ggtui.core.training.log import read_log

FOLDER = Path(__file__).parents[1] / "docs" / "built-in"
LOG = FOLDER / "train.jsonl"
MAKE = runpy.run_path(str(FOLDER / "make.py"))


def test_its_log_tells_of_a_whole_training() -> None:
    began, *_, ended = events = read_log(LOG)
    assert isinstance(began, Began) and isinstance(ended, Ended) and ended.step == 6000 and ended.reason == "done"
    losses = [event.loss for event in events if isinstance(event, Measured)]
    assert len(losses) == 25 and min(losses) == losses[-1] < 4.2
    assert LOG.stat().st_size < 200_000 and not re.search(r"[\"']/", LOG.read_text(encoding="utf-8"))


def test_its_log_has_the_steps_that_the_script_keeps(tmp_path: Path) -> None:
    MAKE["thin"](LOG, tmp_path / "again.jsonl")
    assert (tmp_path / "again.jsonl").read_bytes() == LOG.read_bytes()
    steps = [event.step for event in read_log(LOG) if isinstance(event, Stepped)]
    assert steps == [1, *range(20, 6001, 20)]


def test_its_file_is_what_was_trained() -> None:
    began = read_log(LOG)[0]
    assert isinstance(began, Began)
    with open_model("built-in") as file:
        assert sum(prod(info.ne) for info in file.tensors.values()) == began.parameters
        types = {info.type.name for name, info in file.tensors.items() if info.ne[1] > 1 and "position" not in name}
        assert types == {"q8_0"}
        assert MAKE["METADATA"].items() <= file.metadata.items() and MAKE["METADATA"]["general.license"] == "MIT"
