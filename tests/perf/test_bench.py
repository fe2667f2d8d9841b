"""Speed tests: what is run, what it costs, and what is made of the times."""

from __future__ import annotations

import re
from dataclasses import replace
from statistics import mean, stdev

import pytest

import ggtui
from ggtui.core.engine.model import BUILT_IN
from ggtui.core.engine.session import Session
from ggtui.core.errors import MissingPartError, UsageError
from ggtui.core.files import open_model
from ggtui.core.runtime.busy import Busy, Watch
from ggtui.core.runtime.record import Limits
from ggtui.perf import bench as bench_module
from ggtui.perf.bench import Task, bench, check, model_of

RATE = 1e15  # more than any machine's
SIZES = ((1 << 10, RATE), (1 << 30, RATE))
MEMORY = Limits("scalar", 1, SIZES, int8=1e30, f32=1e30, barrier_ns=0)
COMPUTE = Limits("scalar", 1, ((1 << 10, 1e30), (1 << 30, 1e30)), int8=RATE, f32=RATE, barrier_ns=0)


@pytest.fixture(scope="module")
def session() -> Session:
    return ggtui.load(threads=1)


def test_names() -> None:
    tasks = (Task(512, 0), Task(0, 128), Task(0, 8, 100))
    assert [t.name for t in tasks] == ["pp512", "tg128", "tg8 @ d100"]
    assert [t.n_tokens for t in tasks] == [512, 128, 8]


@pytest.mark.parametrize("task", [Task(24, 0), Task(0, 6), Task(8, 0, 40), Task(0, 3, 40)], ids=lambda t: t.name)
def test_each_repetition_runs_the_same(session: Session, task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    evals: list[tuple[int, int]] = []
    original = Session.eval

    def spied(self: Session, ids: list[int], all_logits: bool = False) -> object:
        evals.append((self.n_past, len(ids)))
        return original(self, ids, all_logits)

    monkeypatch.setattr(Session, "eval", spied)
    seen: list[tuple[int, int]] = []
    result = bench(session, open_model(BUILT_IN), task, MEMORY, 3, lambda *done: seen.append(done))
    depth = task.n_depth
    once = [(depth, task.n_prompt)] if task.n_prompt else [(depth + i, 1) for i in range(task.n_gen)]
    assert evals == [(0, depth)] * (depth > 0) + 3 * once
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert len(result.samples_ns) == len(result.samples_ts) == 3
    assert result.task == task


def test_figures_are_those_of_the_samples(session: Session) -> None:
    result = bench(session, open_model(BUILT_IN), Task(16, 0), MEMORY, 4)
    assert result.avg_ns == round(mean(result.samples_ns)) and result.stddev_ns == round(stdev(result.samples_ns))
    assert result.samples_ts == tuple(16e9 / ns for ns in result.samples_ns)
    assert result.avg_ts == pytest.approx(mean(result.samples_ts))
    assert result.stddev_ts == pytest.approx(stdev(result.samples_ts))
    assert bench(session, open_model(BUILT_IN), Task(16, 0), MEMORY, 1).stddev_ts == 0


def test_a_result_tells_the_commit_it_was_measured_with(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    file = open_model(BUILT_IN)
    monkeypatch.setattr(bench_module, "_build", lambda: None)
    result = bench(session, file, Task(4, 0), MEMORY, 1)
    assert (result.build_commit, result.build_number) == (session.run_info().ggtui or "unknown", 0)
    monkeypatch.undo()
    bench_module._build.cache_clear()
    monkeypatch.setenv("PATH", "")  # there is no git
    assert bench_module._build() is None
    monkeypatch.undo()
    bench_module._build.cache_clear()
    monkeypatch.setenv("GIT_DIR", "/")  # what other repositories are told of is not ours
    found = bench_module._build()
    if found is not None:  # a checkout
        assert re.fullmatch(r"[0-9a-f]{8,}", found[0]) and found[1] > 0
        result = bench(session, file, Task(4, 0), MEMORY, 1)
        assert (result.build_commit, result.build_number) == found


def test_what_a_token_costs_and_what_part_of_the_limit_that_is(session: Session) -> None:
    file = open_model(BUILT_IN)
    body = sum(info.n_bytes for name, info in file.tensors.items() if name.startswith("blk."))
    weights = body + file.tensors["token_embd.weight"].n_bytes
    near = bench(session, file, Task(0, 1), MEMORY, 1)
    assert weights < near.bytes_per_token < 1.05 * weights
    # 200 positions further on: their keys and values, and two products with each of them.
    far = bench(session, file, Task(0, 1, 200), MEMORY, 1)
    assert far.bytes_per_token - near.bytes_per_token == pytest.approx(200 * session.kv.bytes_per_token, rel=0.02)
    assert far.flops_per_token > near.flops_per_token > 2 * 0.9 * model_of(file)[2]
    # Costs grow evenly, so three tokens cost what the one in the middle does.
    three, middle = (bench(session, file, task, MEMORY, 1) for task in (Task(0, 3, 99), Task(0, 1, 100)))
    assert three.bytes_per_token == pytest.approx(middle.bytes_per_token)
    assert near.limit == "memory"
    assert near.of_limit == pytest.approx(near.bytes_per_token / RATE * 1e9 / near.samples_ns[0])
    prompt = bench(session, file, Task(32, 0), COMPUTE, 1)
    assert prompt.limit == "compute"
    assert prompt.of_limit == pytest.approx(32 * prompt.flops_per_token / RATE * 1e9 / prompt.samples_ns[0])
    assert prompt.bytes_per_token < near.bytes_per_token / 16


@pytest.mark.vulkan
def test_that_work_is_handed_to_a_queue_hides_no_limit() -> None:
    try:
        gpu = ggtui.load(device="vulkan", threads=1, ctx=64)
    except MissingPartError as error:
        pytest.skip(str(error))
    with gpu, open_model(BUILT_IN) as file:
        assert bench(gpu, file, Task(0, 1), replace(MEMORY, device="vulkan"), 1).limit == "memory"
        assert bench(gpu, file, Task(0, 1), replace(MEMORY, device="reference"), 1).limit == ""


def test_what_is_faster_than_memory_came_from_a_cache_and_no_part_is_above_1(session: Session) -> None:
    file = open_model(BUILT_IN)
    slow = replace(MEMORY, read=((1 << 10, RATE), (1 << 20, 1.0), (1 << 30, 1.0)))
    found = bench(session, file, Task(0, 2), slow, 1)
    assert found.limit == "cache"
    assert found.of_limit == pytest.approx(2 * found.bytes_per_token / RATE * 1e9 / found.samples_ns[0])
    nowhere = bench(session, file, Task(0, 2), replace(MEMORY, read=((1 << 10, 1.0), (1 << 30, 1.0))), 1)
    assert (nowhere.limit, nowhere.of_limit) == ("cache", 1.0)
    computed = bench(session, file, Task(8, 0), replace(COMPUTE, int8=1.0, f32=1.0), 1)
    assert (computed.limit, computed.of_limit) == ("compute", 1.0)


def test_what_others_used_is_of_the_watch_that_was_begun(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    told = {session.watch: Busy(others=0.25, stolen=0.5)}
    monkeypatch.setattr(Watch, "busy", property(told.__getitem__))
    found = bench(session, open_model(BUILT_IN), Task(4, 0), MEMORY, 1)
    assert (found.others, found.stolen) == (0.25, 0.5)


def test_a_prompt_in_several_batches_reads_the_weights_for_each() -> None:
    file = open_model(BUILT_IN)
    small, large = (
        bench(ggtui.load(threads=1, batch=batch), file, Task(32, 0), MEMORY, 1).bytes_per_token for batch in (8, 32)
    )
    assert small > 2 * large


def test_the_model_is_described() -> None:
    with open_model(BUILT_IN) as file:
        kind, n_bytes, n_params = model_of(file)
    assert kind == "gpt2 5.9M Q8_0"
    assert n_bytes < BUILT_IN.stat().st_size and n_params == 5918720


def test_what_the_context_has_no_room_for_is_refused() -> None:
    with open_model(BUILT_IN) as file:
        check(file, Task(0, 12, 500))
        with pytest.raises(UsageError, match=r"tg13 @ d500: 513 tokens don't fit into the context of .*, 512"):
            check(file, Task(0, 13, 500))
