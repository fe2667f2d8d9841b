"""The lines over the table of nodes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import two_devices
from made_up import LIMITS, trace

from ggtui.core.runtime.record import Trace, thread_lanes
from ggtui.perf.stage import LaneTime, Stage, stages
from ggtui.viz.tui.widgets import roofline_bar
from ggtui.viz.tui.widgets.roofline_bar import Place, head, lane_line, limit_line, title, words

HINT = "L measures"


def stage(run: Trace | None = None) -> Stage:
    return stages(run or trace())[0]


def lines(run: Trace, place: Place) -> list[str]:
    return head(stage(run), run.run, place, "by node", paused=False, hint=HINT).plain.split("\n")


def test_title_keeps_its_columns() -> None:
    one, many = title(stage(trace(n=1))), title(stage(trace(n=40)))
    assert one == "generation:   1 evaluation , 3.66 us a token, 273224.0 tok/s"
    assert len(many) == len(one) and many.startswith("generation:  40 evaluations,")


@pytest.mark.parametrize("size", [(60, 16), (80, 24), (120, 40), (200, 60)])
@pytest.mark.parametrize("ascii_only", [False, True])
def test_every_size_has_as_many_lines_for_any_figures(size: tuple[int, int], ascii_only: bool) -> None:
    place = Place(*size, ascii_only)
    few, many = lines(trace(n=1), place), lines(trace(scale=300, n=30), place)
    assert len(few) == len(many) == 2 + place.words + min(place.lanes, 2)
    assert any("limit" in line for line in few) and any("work" in line for line in few)
    if ascii_only:
        assert "\n".join(few).isascii()


def test_the_limit() -> None:
    made = stage()
    binds, reached = made.bound
    line = limit_line(made, Place(120, 40, True), HINT).plain
    assert reached is not None and f"{binds} " in line and f"{reached:.0%} of" in line
    assert line.count("#") == round(60 * min(reached, 1)) and line.count("#") + line.count("-") == 60
    assert limit_line(stage(replace(trace(), limits=None)), Place(80, 24), HINT).plain == f" limit     {HINT}"
    slow = replace(LIMITS, f32=1e7)
    assert "GFLOP/s" in limit_line(stage(replace(trace(), limits=slow)), Place(80, 24), HINT).plain


def test_a_thread() -> None:
    line = lane_line("thread 0", LaneTime(700.0, 150.0, 50.0, lost=60.0, held=40.0), Place(120, 40)).plain
    assert line.startswith(" thread 0  work 70.0%  wait 15.0%  wake  5.0%  lost 10.0%")
    assert [line.count(glyph) for glyph in "█▒░▞"] == [42, 9, 3, 6]
    assert "0.0%" in lane_line("thread 0", LaneTime(0.0, 0.0, 0.0), Place(80, 24)).plain
    resting = lane_line("thread 1", LaneTime(300.0, 0.0, 0.0, rest=700.0), Place(120, 40)).plain
    assert "work 30.0%" in resting and resting.endswith(" " + "█" * 18)


def test_threads_that_have_no_room_are_told_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Stage, "lanes", tuple(LaneTime(100.0 - i, float(i), 0.0) for i in range(12)))
    many = replace(stage(), graph=replace(stage().graph, lanes=thread_lanes(12)))
    for height, names in ((16, ["all 12"]), (24, ["thread 0", "1 to 11"])):
        drawn = [line.plain for line in roofline_bar.lane_lines(many, Place(80, height))]
        assert [line[1:11].strip() for line in drawn] == names
    assert "work 94.0%  wait  6.0%" in drawn[-1]
    assert len(roofline_bar.lane_lines(many, Place(120, 40))) == 8


def test_whole_sentences() -> None:
    assert words(stage(), trace().run, Place(200, 40))[1].startswith("generation: the threads' time is")
    narrow = words(stage(), trace().run, Place(60, 24))
    assert "generation is" in narrow[0] and "the threads" not in " ".join(narrow)
    broken = replace(trace(), tokens=(replace(trace().tokens[0], dropped=7), *trace().tokens[1:]))
    assert "7 records did not fit" in words(stage(broken), trace().run, Place(120, 40))[0]
    assert words(stage(), trace().run, Place(60, 16)) == []


def test_lanes_of_two_devices_have_their_names() -> None:
    drawn = lines(two_devices.trace(), Place(120, 40))
    names = [line[:14].strip() for line in drawn[-4:]]
    assert names == ["limit", "thread 0", "thread 1", "vulkan queue"]
    assert "only those of cpu are known" in drawn[-4] and {line.index("work ") for line in drawn[-3:]} == {14}
