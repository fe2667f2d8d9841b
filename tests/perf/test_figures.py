"""The summary of a trace for scripts."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from made_up import trace

import ggtui
from ggtui.perf.stage import stages
from ggtui.perf.table import rows


def test_it_has_what_the_tables_have() -> None:
    t = trace(n=20)
    told = ggtui.perf.summary(t)["generation"]
    for row, node in zip(rows(stages(t)[0]), told["nodes"], strict=True):
        assert node == {
            "node": row.key, "op": row.op, "type": row.type, "time_ns": row.time.mean, "share": row.share,
            "work_share": row.work_share, "gb_s": row.bytes_per_s / 1e9, "limit": row.limit,
            "limit_share": row.of_limit,
        }  # fmt: skip
    assert told["tok_s"] == stages(t)[0].tokens_per_s and told["interruptions"] == []


def test_shares_add_up() -> None:
    told = ggtui.perf.summary(trace(n=20))["generation"]
    parts = ("work", "waiting", "waking", "not_scheduled", "held_up", "calling")
    assert sum(told[part] for part in parts) == pytest.approx(1)
    assert sum(node["share"] for node in told["nodes"]) == pytest.approx(told["work"])
    assert sum(node["work_share"] for node in told["nodes"]) == pytest.approx(1)


def test_it_is_plain_values() -> None:
    t = trace(n=20)
    slow = replace(t.tokens[7], eval_ns=t.tokens[7].eval_ns * 100)
    t = replace(t, tokens=(*t.tokens[:7], slow, *t.tokens[8:]), run=replace(t.run, others=0.25, stolen=0.125))
    told = ggtui.perf.summary(t)
    assert json.loads(json.dumps(told)) == told
    (interruption,) = told["generation"]["interruptions"]
    assert interruption["n_past"] == 7 and interruption["ns"] == pytest.approx(99 * t.tokens[8].eval_ns, rel=0.05)
    assert (told["generation"]["busy_machine"], told["generation"]["stolen"]) == (0.25, 0.125)


def test_of_nothing_recorded_it_is_empty() -> None:
    assert ggtui.perf.summary(replace(trace(), tokens=())) == {}
