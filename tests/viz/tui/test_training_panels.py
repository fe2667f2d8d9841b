"""The panels of the Train screen, each by itself."""

from __future__ import annotations

from dataclasses import replace

import pytest
from made_up_training import MEMORY, RUN

from ggtui.core.runtime.record import MemoryUse
from ggtui.core.training.events import Began, Measured, Stepped
from ggtui.perf.stage import stages
from ggtui.perf.table import rows
from ggtui.viz.training import Course
from ggtui.viz.tui.widgets import training_panels as panels

NORMS = {"token_embd": 1.0, "blk.10": 0.1, "blk.2": 0.01, "output_norm": 0.001, "blk.0": 0.0}
STEP = Stepped(1, 3.0, 1e-3, 1.0, 64, 1000, NORMS, {"forward": 300, "backward": 600, "optimizer": 50})


def test_gradients_by_layer_on_a_scale_of_powers_of_ten() -> None:
    heading, *lines = (line.plain for line in panels.gradients(STEP, 40, 9, ascii_only=True))
    assert heading.split() == ["gradients", "1e-3", "to", "1e0"]
    assert [line.split()[0] for line in lines] == ["blk.2", "blk.10", "output_norm", "token_embd"]  # 0 has no logarithm
    filled = [line.count("#") for line in lines]
    room = filled[3]
    assert filled[:3] == [round(room / 3), round(room * 2 / 3), 1]


def test_gradients_that_have_no_room_are_added_up() -> None:
    lines = [line.plain for line in panels.gradients(STEP, 40, 4)]
    assert len(lines) == 4 and lines[-1].split() == ["2", "more", "1"]
    assert panels.gradients(None, 40, 9) == [] == panels.gradients(replace(STEP, norms={}), 40, 9)


def test_parts_add_up() -> None:
    _, *lines = (line.plain for line in panels.parts(STEP, 50))
    told = {line.split()[0]: line.split()[-3] for line in lines}
    assert told == {"forward": "30%", "backward": "60%", "optimizer": "5%", "rest": "5%"}
    assert panels.parts(replace(STEP, times={}), 50) == [] == panels.parts(replace(STEP, ns=0), 50)


@pytest.mark.parametrize(
    ("width", "columns"), [(80, ["time", "share", "GFLOP/s", "limit"]), (46, ["share", "GFLOP/s", "limit"]),
                           (39, ["share", "limit"])],
)  # fmt: skip
def test_nodes(width: int, columns: list[str]) -> None:
    found = rows(stages(RUN)[0])
    heading, *lines = (line.plain for line in panels.nodes(found, width, 5))
    assert heading.split()[2:] == columns and len(lines) == 4
    assert all(len(line) == width for line in (heading, *lines))
    assert lines[0].startswith(found[0].key)


def test_nodes_without_limits_have_no_such_column() -> None:
    found = rows(stages(replace(RUN, limits=None))[0])
    assert panels.nodes(found, 80, 3)[0].plain.split()[2:] == ["time", "share", "GFLOP/s"]


def test_samples_are_newest_first_and_wrapped() -> None:
    measured = [
        Measured(0, 4.0, 10, "Once  upon"),
        Measured(5, 3.0, 10),
        Measured(9, 2.0, 10, "one two three\n\n\nfour"),
    ]
    lines = [line.plain for line in panels.samples(measured, 8)]
    assert lines == [
        "step 9, validation 2.0000",
        "one two",
        "three",
        "four",
        "step 0, validation 4.0000",
        "Once",
        "upon",
    ]


def test_memory_by_owner() -> None:
    lines = [line.plain for line in panels.memory(MEMORY, 60)]
    assert lines[0].split() == ["memory", "by", "owner"]  # all of it stands among the figures
    assert [line.split()[0] for line in lines[1:]] == ["weights", "optimizer", "activations", "scratch"]
    assert panels.memory(None, 60) == [] == panels.memory(MemoryUse(), 60)


@pytest.mark.parametrize("loss", [0.0, 1e-9, 99.99999, 12_345.678, 9_999_999.7, 1.5e18, float("nan")])
def test_figures_of_any_size_keep_their_columns(loss: float) -> None:
    course = Course()
    for event in (Measured(1, loss, 10), Stepped(1, loss, 1e-3, loss, 64, 1000)):
        course.take(event)
    told = [line.plain for line in panels.figures(course, 80)]
    assert {line[at - 2 : at].strip() for line in told for at in (20, 40, 60)} == {""}
    assert told[0].split()[:8:2] == ["loss", "validation", "best", "at"] and float(told[0].split()[1]) == pytest.approx(
        loss, rel=0.05, abs=1e-4, nan_ok=True
    )


@pytest.mark.parametrize(("width", "n"), [(60, 4), (80, 3), (120, 2), (240, 1)])
def test_figures_take_as_few_lines_as_there_is_room_for(width: int, n: int) -> None:
    course = Course()
    assert len(panels.figures(course, width)) == n
    for event in (Began(0, {"steps": 9}, 12_345_678, 2_000, 10, 1 << 30, 1), Measured(0, 4.0, 10, ""), STEP):
        course.take(event)
    lines = [line.plain for line in panels.figures(course, width)]
    told = " ".join(lines).split()
    assert len(lines) == n and all(len(line) <= width for line in lines)
    for word in ("3.0000", "4.0000", "1.00e-03", "12.35", "1.0", "GiB"):
        assert word in told
