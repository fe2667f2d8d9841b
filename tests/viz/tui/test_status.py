"""What stands beside the text: hot nodes, context, times, next tokens, memory."""

from __future__ import annotations

from dataclasses import replace

import pytest
from recorded import answer, loaded, trace

from ggtui.core.runtime.record import Records
from ggtui.perf.stage import stages
from ggtui.viz.live import Live
from ggtui.viz.messages import Alternative, Batch, Began, Configured, Loading
from ggtui.viz.tui.base import bar as top_bar
from ggtui.viz.tui.widgets.hot import Hot, HotNode, hot_line, hot_table, hottest
from ggtui.viz.tui.widgets.status import (
    bar,
    kv_line,
    next_rows,
    p95,
    p_text,
    panel,
    sparkline,
    token_text,
    token_time,
    typical,
)

HOT = Hot(tuple(HotNode(f"blk.{n}.ffn_up", 0.2 / (n + 1), 9.8e9, 0.71) for n in range(4)), 0.09, 0.0)


def live(n: int = 40) -> Live:
    made = Live()
    for event in (loaded(), *answer(n=n)):
        made.take(event)
    return made


def test_the_hottest_are_those_of_the_records() -> None:
    saved = trace()
    found = hottest(stages(saved), 3)
    assert found is not None and len(found.nodes) == 3
    token = saved.tokens[1]
    table = Records.of(token.records).table
    ns = {n.id: 0 for n in saved.graphs[0].nodes}
    for node, _, thread, start, end, _ in table.tolist():
        if thread == 1 and node >= 0:  # the slower one
            ns[node] += end - start
    slowest = max(ns, key=ns.__getitem__)
    node = saved.graphs[0].nodes[slowest]
    assert found.nodes[0].name == (node.key or node.name)
    assert found.nodes[0].share == pytest.approx(ns[slowest] / token.eval_ns, rel=0.05)
    shares = [n.share for n in found.nodes]
    assert shares == sorted(shares, reverse=True)
    work = sum(end - start for *_, start, end, _ in table.tolist())
    wait = sum(done - end for *_, end, done in table.tolist())
    assert found.wait == pytest.approx(wait / (work + wait), rel=0.05)


def test_without_records_and_limits_less_is_told() -> None:
    saved = trace()
    assert hottest(stages(replace(saved, tokens=())), 3) is None
    found = hottest(stages(replace(saved, limits=None)), 3)
    assert found is not None and found.nodes[0].of_limit is None
    assert "roof" not in hot_line(found, 200) and "GB/s" in hot_line(found, 200)
    assert "roof" not in hot_table(found, 46, 3)[0]
    assert hot_line(None, 80) == "" and len(hot_table(None, 46, 3)) == len(hot_table(found, 46, 3))


def test_a_line_tells_what_it_has_room_for() -> None:
    assert hot_line(HOT, 90) == (
        " hot: blk.0.ffn_up 20% 9.8GB/s 71%roof | blk.1.ffn_up 10% | blk.2.ffn_up  7% | wait  9%"
    )
    assert "GB/s" in hot_line(HOT, 80) and "roof" not in hot_line(HOT, 80)
    assert hot_line(HOT, 50) == " hot: blk.0.ffn_up 20% | blk.1.ffn_up 10% | wait ~"
    assert hot_line(HOT, 200).count("71%roof") == 3
    for width in range(20, 200):
        assert len(hot_line(HOT, width)) <= width
        assert len(kv_line(live(), width, True)) <= max(width, 33)


def test_the_context_is_told() -> None:
    assert kv_line(live(), 100, True) == (
        " KV  43/512 #---------  0.3 MiB  token 0.82 ms p95 0.82  next: castle .31  a .12  my .06"
    )
    assert kv_line(Live(), 80, True) == ""


def test_what_the_last_token_was_chosen_from_is_not_called_what_comes_next() -> None:
    made = live()
    assert made.ahead and " next: castle .31" in kv_line(made, 100, True)
    assert [line for line, _ in panel(made, None, 46, True) if "tokens" in line] == ["next tokens"]
    made.take(Began("", "complete"))
    made.take(Batch(answer()[1].steps[:1], next=(Alternative(7, " the", 0.4), Alternative(8, " a", 0.3))))  # type: ignore[union-attr]
    line = kv_line(made, 100, True)
    assert "next" not in line and line.endswith("  chosen from: the .40  a .30")
    titles = [line for line, style in panel(made, None, 46, True) if style]
    assert "the last token was chosen from" in titles and "next tokens" not in titles
    made.take(Batch(next=(Alternative(9, " king", 0.5),), ahead=True))
    assert kv_line(made, 100, True).endswith("  next: king .50")
    for width in range(20, 120):
        assert len(kv_line(made, width, True)) <= max(width, 33)


def test_the_pace_stands_beside_the_engines_own_speed() -> None:
    made = live()
    own = f"{made.tokens_per_s:.0f} tok/s"
    made.take(Configured({"speed": 2.5}))
    (speed,) = (line for line, _ in panel(made, None, 46, True) if line.startswith("speed"))
    assert speed.endswith(f"{own}, paced to 2.5")
    for width in (60, 80, 120):
        text = top_bar(made, "chat", width)
        assert text.cell_len <= width and own in text.plain
        assert (f"{own}, paced to 2.5" in text.plain) == (width > 60), "whole or not at all"
        assert width == 60 or " tales " in text.plain


def test_how_much_is_loaded_is_told() -> None:
    """In the place of what the model before had read."""
    for made in (Live(), live()):
        made.restarting()
        made.take(Loading("king", 0.43))
        assert kv_line(made, 80, True) == " loading king 43% ####------"
        lines = [line for line, _ in panel(made, None, 46, True)]
        assert lines[lines.index("memory") + 1] == "loading king 43% ####------"
        assert lines.index("memory") == [line for line, _ in panel(Live(), None, 46, True)].index("memory")
        for width in (60, 80, 120):
            assert ("loading 43%" in top_bar(made, "chat", width).plain) == (width > 60 or not made.token_times)
        made.take(Loading("king" * 40, 1.0))
        for width in range(40, 200):
            assert len(kv_line(made, width, True)) <= width and "king~ 100% ####" in kv_line(made, 46, True)
        assert all(len(line) <= 46 for line, _ in panel(made, None, 46, True))
        made.take(loaded())
        assert kv_line(made, 80, True).startswith(" KV   0/512")


def test_bars_and_figures() -> None:
    assert (bar(0.5, 4, True), bar(2.0, 3, True), bar(-1.0, 2, True)) == ("##--", "###", "--")
    assert bar(0.5, 4, False) == "━━──"
    assert sparkline([1, 2, 4, 8], 6, True) == ".:=#  "
    assert sparkline([], 3, True) == "   " and sparkline([0.0], 1, False) == " "
    assert (p_text(0.314), p_text(0.999), p_text(0.0)) == (".31", "1.0", ".00")
    assert (token_text(" the"), token_text("\n"), token_text("  ")) == ("the", "\\n", "'  '")
    assert token_text("\x1b[2J") == "\\x1b[2J"
    assert (p95([]), p95([3]), p95(list(range(100)))) == (0.0, 3, 95)
    assert next_rows((Alternative(1, " a", 0.5),), 40, 2, True)[1] == ""


@pytest.mark.parametrize("ascii_only", [True, False])
def test_the_panel_keeps_its_places(ascii_only: bool) -> None:
    full, empty = panel(live(), hottest(stages(trace()), 10), 46, ascii_only), panel(Live(), None, 46, ascii_only)
    assert len(full) == len(empty)
    assert all(len(line) <= 46 for line, _ in full + empty)
    titles = [line.split()[0] for line, style in full if style]
    assert titles == ["hot", "next", "speed", "memory"]
    assert titles == [line.split()[0] for line, style in empty if style]
    assert all(line.isascii() for line, _ in full) == ascii_only


def test_the_mean_of_a_token_is_never_above_its_p95() -> None:
    assert typical([1.0, 1.1, 0.9, 30.0, 1.0]) == [1.0, 1.1, 0.9, 1.0] and typical([]) == []
    made = live()
    for ns in [*[1_000_000] * 31, 40_000_000]:
        made._recent.append(ns)
    assert token_time(made) == "token  1.0 ms p95  1.0"
