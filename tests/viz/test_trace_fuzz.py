"""Damaged traces end in UsageError, or in a trace of which everything can be made: tables, exports, drawings.

A value of a true trace is changed: to another kind, to a number that is too large, out of order or negative, or it goes
missing. GGTUI_FUZZ_SECONDS: for how long (2). GGTUI_FUZZ_SEED: the first seed (0).
"""

from __future__ import annotations

import io
import json
import os
import random
import time
import warnings
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import two_devices

import ggtui
from ggtui.core.engine.trace_file import dumps
from ggtui.core.errors import UsageError
from ggtui.core.runtime.record import Limits, Trace
from ggtui.perf import compare, export, load, table
from ggtui.perf.stage import stages
from ggtui.viz import tables
from ggtui.viz.dot import COLLAPSE, dot_text
from ggtui.viz.live import Live
from ggtui.viz.tui.widgets.spans import spans
from ggtui.viz.tui.widgets.timeline_rows import lane_rows, readout, ruler, status, token_bars, totals
from ggtui.viz.tui.widgets.window import Window

SECONDS = float(os.environ.get("GGTUI_FUZZ_SECONDS", "2"))
SEED = int(os.environ.get("GGTUI_FUZZ_SEED", "0"))
MAX_SECONDS = 5.0  # of processor time for one file
NUMBERS = (
    0,
    1,
    -1,
    2,
    63,
    64,
    65,
    511,
    512,
    4096,
    65536,
    -(1 << 62),
    1 << 70,
    10**400,
    0.5,
    -0.5,
    1e-320,
    1e300,
    1e999,
)
NUMBERS += tuple((1 << bits) + d for bits in (31, 32, 53, 61, 62, 63, 64) for d in (-1, 0, 1))
OTHERS: tuple[Any, ...] = (
    None,
    True,
    "",
    "x",
    "\x1b[2J\n",
    "\ud800",
    "n_kv",
    [],
    {},
    [[]],
    [0],
    {"a": 1},
    [1, ["n_kv"]],
)


def of_version_1(trace: Trace) -> dict[str, Any]:
    data = json.loads(dumps(trace))
    data["version"] = 1
    for graph in data["graphs"]:
        graph["threads"] = len(graph.pop("lanes"))
        for node in graph["nodes"]:
            del node["device"]
    data["run"]["backend"] = data["run"].pop("device")
    for graph in data["graphs"]:
        for node in graph["nodes"]:
            del node["kinds"]
            node["flops"] = node["traffic"] = 7
    for token in data["tokens"]:
        token["flops"] = token["traffic"] = [7] * len(data["graphs"][token["graph"]]["nodes"])
    return data


@pytest.fixture(scope="module")
def originals() -> list[str]:
    """A full and a light profile of the built-in model, the full one as an older version had it, and
    both of two devices."""
    made = []
    for record in ("full", "light"):
        session = ggtui.load(threads=2, record=record)
        steps = list(session.generate([1, 2, 3, 4], 2, ignore_eos=True))
        made.append(session.trace(run for step in steps for run in step.runs))
    limits = Limits("scalar", 2, ((1024, 1e9), (1 << 20, 1e8)), 1e9, 2e9, 50.0)
    full, light = (dumps(replace(trace, limits=limits)) for trace in made)
    devices = (dumps(trace) for trace in (two_devices.trace(), two_devices.light()))
    return [full, light, json.dumps(of_version_1(made[0])), *devices]


def damage(value: Any, chance: random.Random) -> Any:
    """Another one, or one of its parts changed; deeper parts as likely as those above them."""
    keys: list[Any] = list(value) if isinstance(value, dict) else []
    if isinstance(value, list):
        keys = list(range(len(value)))
    if not keys or chance.random() < 0.06:
        return other(value, chance)
    key = chance.choice(keys)
    if chance.random() < 0.06:
        del value[key]
    elif chance.random() < 0.03 and isinstance(value, list):
        value += value[key:] * chance.choice((1, 2, 50))
    else:
        value[key] = damage(value[key], chance)
    return value


def other(value: Any, chance: random.Random) -> Any:
    if isinstance(value, int | float) and chance.random() < 0.3:
        return value + chance.choice((-1, 1, -1000, 1000))
    return deepcopy(chance.choice(NUMBERS if chance.random() < 0.6 else OTHERS))  # it may be damaged in turn


def use(trace: Trace) -> None:
    """Everything that is made of a trace."""
    out = io.StringIO()
    found = stages(trace)
    for stage in found:
        for by in table.BY:
            tables.write(out, *tables.node_table(stage, by, 5), ascii_only=True)
        tables.write(out, *tables.lane_table(stage))
        for collapse in COLLAPSE:
            dot_text(stage.graph, stage, collapse=collapse, edges=True)
    out.write("\n".join(tables.notes(trace)))
    out.getvalue().encode()
    for exporter in export.EXPORTERS:
        if exporter.text is not None:
            exporter.text(trace).encode()
    for graph in trace.graphs:
        dot_text(graph, markup=False)
    comparison = compare.compare(trace, trace, 0.05, force=True)
    tables.write(out, *tables.comparison_table(comparison))
    draw(Live.of(trace))


def draw(live: Live) -> None:
    """The timeline of a run."""
    laid = spans(live.graphs, tuple(live.evaluations))
    if not laid.tokens:
        return
    window = Window(columns=100)
    window.extend(laid.total, float(laid.start[-1]), laid.typical)
    for _ in range(2):
        ruler(laid, window)
        readout(laid, window, 0)
        status(laid, window, True, range(len(laid.lanes)))
        totals(laid, window, range(len(laid.lanes)))
        token_bars(laid, laid.slowest, 80, 5, ascii_only=True)
        for thread in range(min(len(laid.lanes), 3)):
            lane_rows(laid, window, thread, 3, True)
        laid.next_wait(0.0, 0, 1)
        window.whole()


@pytest.mark.bare
@pytest.mark.timeout(60 + 10 * SECONDS)
def test_damaged_traces(originals: list[str], tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    for text in originals:
        path.write_text(text)
        use(load(path))
    end, seed, opened = time.monotonic() + SECONDS, SEED, 0
    while time.monotonic() < end or seed < SEED + 30:
        chance = random.Random(seed)
        data = json.loads(chance.choice(originals))
        for _ in range(chance.choice((1, 1, 1, 2, 3))):
            data = damage(data, chance)
        text = json.dumps(data)
        if chance.random() < 0.05:
            text = text[: chance.randrange(len(text))]
        path.write_text(text)
        started = time.process_time()
        try:
            trace = load(path)
            opened += 1
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                use(trace)
        except UsageError as error:
            assert str(error).startswith(f"{path}: ") and "\n" not in str(error), f"seed {seed}"
        except Exception as error:
            pytest.fail(f"seed {seed}: {type(error).__name__}: {error}; the file is {path}")
        assert time.process_time() - started < MAX_SECONDS, f"seed {seed}"
        seed += 1
    print(f"{seed - SEED} files, {opened} opened")
