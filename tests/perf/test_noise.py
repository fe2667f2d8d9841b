"""What is said of runs beside other programs, from traces that were recorded on one machine: quiet (at a real-time
priority), beside one and three programs that never rest, and with a core taken away half of the time.
benchmarks/under_noise.py recorded them, and does the same live."""

from __future__ import annotations

import gzip
import json
from functools import cache
from pathlib import Path
from tempfile import NamedTemporaryFile

import pytest

import ggtui.perf
from ggtui.core.runtime.record import Trace
from ggtui.perf.stage import stages

FOLDER = Path(__file__).parents[1] / "data" / "noise"
NOISY = ("one", "three", "stolen")
PARTS = ("work", "waiting", "waking", "not_scheduled", "held_up", "calling")
TOP = 5


@cache
def recorded(name: str) -> tuple[Trace, int]:
    """The trace, and the nanoseconds that its last thread had no core by the scheduler's own account."""
    with NamedTemporaryFile(suffix=".json") as file:
        file.write(gzip.decompress((FOLDER / f"{name}.json.gz").read_bytes()))
        file.flush()
        return ggtui.perf.load(file.name), json.loads((FOLDER / "queued.json").read_text())[name]


@pytest.mark.parametrize("stage", ["generation", "prompt"])
@pytest.mark.parametrize("name", NOISY)
def test_the_largest_nodes_keep_their_shares_of_the_work(name: str, stage: str) -> None:
    quiet, noisy = (ggtui.perf.summary(recorded(n)[0])[stage] for n in ("quiet", name))
    shares = {node["node"]: node["work_share"] for node in noisy["nodes"]}
    assert noisy["tok_s"] < 0.9 * quiet["tok_s"]  # the noise was there
    for node in quiet["nodes"][:TOP]:
        assert shares[node["node"]] == pytest.approx(node["work_share"], rel=0.1), node["node"]
    if stage == "generation":
        assert noisy["nodes"][0]["node"] == quiet["nodes"][0]["node"] == "output"


@pytest.mark.parametrize("name", ["quiet", *NOISY])
def test_the_parts_add_up_to_the_wall_time(name: str) -> None:
    trace, _ = recorded(name)
    for stage in stages(trace):
        told = ggtui.perf.summary(trace)[stage.name]
        assert sum(told[part] for part in PARTS) == pytest.approx(1, abs=1e-9)
        wall = sum(t.eval_ns for t in stage.tokens) / len(stage.tokens)
        for thread in stage.lanes:
            assert thread.total == pytest.approx(wall, rel=0.01)
            assert 0 <= thread.call < max(10_000, 0.1 * wall)
        assert min(min(t.work, t.wait, t.wake, t.lost, t.held) for t in stage.lanes) >= 0


@pytest.mark.parametrize("name", NOISY)
def test_time_without_a_core_is_what_the_scheduler_says(name: str) -> None:
    """Who counts between evaluations too, where a thread that still spins may lose its core."""
    trace, queued = recorded(name)
    lost = sum(float(stage.times.lost[:, -1].sum()) for stage in stages(trace))
    assert lost == pytest.approx(queued, rel=0.15)


def test_a_quiet_machine_is_called_quiet() -> None:
    trace, _ = recorded("quiet")
    for told in ggtui.perf.summary(trace).values():
        assert told["not_scheduled"] + told["held_up"] < 0.01


@pytest.mark.parametrize("name", NOISY)
def test_threads_that_had_no_core_do_not_wait_for_each_other(name: str) -> None:
    """As they seemed to: each of two threads, most of the time."""
    trace, _ = recorded(name)
    told = ggtui.perf.summary(trace)["generation"]
    assert told["waiting"] < 0.45 and told["not_scheduled"] + told["held_up"] > 0.4


@pytest.mark.parametrize("name", NOISY)
def test_an_evaluation_is_told_about_as_it_is_alone(name: str) -> None:
    quiet, noisy = (ggtui.perf.summary(recorded(n)[0])["prompt"] for n in ("quiet", name))
    assert noisy["evaluation_ns"] == pytest.approx(quiet["evaluation_ns"], rel=0.2)
