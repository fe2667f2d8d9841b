"""The Timeline's lines, to the character, over an evaluation that is easy to add up."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import two_devices
from made_up import GRAPH, rested, trace

from ggtui.core.runtime.record import WAKE, NodeRecord, Records, TokenRecord, Unscheduled
from ggtui.viz.tui.widgets import timeline_rows as rows
from ggtui.viz.tui.widgets.spans import IDLE, KINDS, NOTHING, WAIT, Spans, kind_of, spans
from ggtui.viz.tui.widgets.window import Window

# Thread 0 and 1 of GRAPH, 10 us in all: node 0 is get_rows, 1 quantize and mul_mat, 2 mul_mat.
RECORDS = (
    NodeRecord(WAKE, 0, 0, 0, 0, 0),
    NodeRecord(0, 0, 0, 0, 1000, 2000),
    NodeRecord(1, 0, 0, 2000, 3000, 3000),
    NodeRecord(1, 1, 0, 3000, 6000, 6000),
    NodeRecord(2, 0, 0, 6000, 8000, 10000),
    NodeRecord(WAKE, 0, 1, 0, 1000, 1000),
    NodeRecord(0, 0, 1, 1000, 2000, 2000),
    NodeRecord(1, 0, 1, 2000, 3000, 3000),
    NodeRecord(1, 1, 1, 3000, 6000, 6000),
    NodeRecord(2, 0, 1, 6000, 10000, 10000),
)


def token(n_past: int, records: tuple[NodeRecord, ...] = RECORDS, **values: int) -> TokenRecord:
    return TokenRecord(n_past, values.pop("n_tokens", 1), 10_000, 2_000, 0, Records.of(records), **values)


def laid(*tokens: TokenRecord) -> Spans:
    return spans((GRAPH,), tokens)


def whole(of: Spans, columns: int, at: float = 0.0) -> Window:
    return Window(columns, of.total, 0.0, of.total, at, follow=False)


def row(of: Spans, window: Window, thread: int, height: int = 1) -> list[str]:
    return [line.plain[rows.GUTTER :] for line in rows.lane_rows(of, window, thread, height, False)]


def test_a_cell_shows_what_took_most_of_its_time() -> None:
    of = laid(token(5))
    assert of.total == 12_000.0
    assert row(of, whole(of, 12), 0) == ["c.qMMMMM..ss"]
    assert row(of, whole(of, 12), 1) == ["wcqMMMMMMM--"]
    assert row(of, whole(of, 4), 0) == ["qMMs"]  # of equal parts the first kind


def test_lines_of_a_row_share_the_column() -> None:
    of = laid(token(5))
    four = row(of, whole(of, 3), 0, 4)  # 4 us each: c . q M | M M M M | . . s s
    assert ["".join(line[i] for line in four) for i in range(3)] == ["Mqc.", "MMMM", "ss.."]


def test_the_sums_are_exact_at_any_edges() -> None:
    of = laid(token(5), token(6))
    for track in of.tracks(0, of.total):
        for edges in (np.linspace(0, of.total, 7), np.array([0.0, 333.0, 1234.5, of.total])):
            spent = track.spent(edges, of.total)
            assert spent.sum(axis=0) == pytest.approx(np.diff(edges))
        spent = track.spent(np.array([0.0, of.total]), of.total)[:, 0]
        assert spent[kind_of("product")] == pytest.approx(2 * (5000 if track.start[1] == 0 else 7000))
    assert of.tracks(0, of.total)[0].spent(np.array([0.0, 12_000.0]), of.total)[WAIT, 0] == 3000.0
    assert of.tracks(0, of.total)[1].spent(np.array([0.0, 12_000.0]), of.total)[IDLE, 0] == 2000.0


def test_outside_of_the_axis_there_is_nothing() -> None:
    of = laid(token(5))
    window = Window(8, of.total, 10_000.0, 8_000.0, follow=False)
    assert row(of, window, 0) == ["ss      "]
    cells = of.tracks(0, of.total)[0].cells(np.array([-2000.0, -1000.0, 500.0]), of.total, 1)
    assert cells.tolist() == [[NOTHING, kind_of("gather")]]


def test_names_stand_in_spans_that_are_wide_enough() -> None:
    of = laid(token(5))
    first, second = row(of, whole(of, 120), 0, 2)
    assert first == (
        "ccccccccccwait .....quantize qblk.0.ffn_up MMMMMMMMMMMMMMMMMoutput MMMMMMMMMMMMM"
        "wait 2.00 us .......sample sssssssssssss"
    )
    assert second == "c" * 10 + "." * 10 + "q" * 10 + "M" * 50 + "." * 20 + "s" * 20


def test_evaluations_that_were_not_kept_are_shown() -> None:
    of = laid(token(5), token(9), token(2))
    assert [gap.text for gap in of.gaps] == ["3 not kept", "back to 2"]
    assert of.total == 5 * 12_000.0
    assert row(of, whole(of, 60), 1)[0] == "wcqMMMMMMM--3 not kept /wcqMMMMMMM--back to 2 //wcqMMMMMMM--"
    assert of.clock(of.start[1] + 10) == 12_010.0
    assert of.place(12_010.0) == of.start[1] + 10
    time, n_past = (line.plain for line in rows.ruler(of, whole(of, 60)))
    assert time == "time    |0 us       ////////////            ////////////            "
    assert n_past == "n_past  |5          ////////////|9          ////////////|2          "


def test_evaluations_without_node_times_are_shown() -> None:
    of = laid(token(5), token(6, ()), token(7, RECORDS[:3], dropped=7))
    assert row(of, whole(of, 36), 1) == ["wcqMMMMMMM--??????????--??????????--"]
    assert row(of, whole(of, 36), 0) == ["c.qMMMMM..ss??????????ssc.q???????ss"]
    assert [KINDS[i].letter for i in of.kinds] == ["M", "q", "c", "w", "s", "?", "-", "."]
    window = whole(of, 36, at=13_000.0)
    assert rows.readout(of, window, 1)[1].plain == "t1: no node times were recorded here"


def test_records_past_the_end_of_an_evaluation_are_cut() -> None:
    of = laid(replace(token(5), eval_ns=7_000), token(6))
    assert row(of, whole(of, 21), 1) == ["wcqMMMM--wcqMMMMMMM--"]


def test_unsorted_records_are_sorted() -> None:
    assert row(laid(token(5, RECORDS[::-1])), whole(laid(token(5)), 12), 0) == ["c.qMMMMM..ss"]


def test_ruler() -> None:
    of = laid(*(token(n) for n in range(98, 104)))
    time, n_past = (line.plain for line in rows.ruler(of, whole(of, 72)))
    assert time == "time    |0 us               |20 us              |40 us              |60 us" + " " * 6
    assert n_past == "n_past  |98         |99         |100        |101        |102        |103" + " " * 8
    time, n_past = (line.plain for line in rows.ruler(of, whole(of, 18)))
    assert n_past == "n_past  |98|99|  |  |  |  "
    assert rows.ruler(of, whole(of, 6))[1].plain == "n_past  |98   "


def test_a_prompt_is_told_on_the_ruler() -> None:
    of = laid(token(0, n_tokens=12), token(12))
    assert rows.ruler(of, whole(of, 24))[1].plain == "n_past  |0+12       |12         "


@pytest.mark.parametrize(
    ("at", "thread", "told"),
    [
        (500, 0, "t0 token_embd get_rows: at +0 ns for 1.00 us, then waits 1.00 us"),
        (1500, 0, "t0 waits 1.00 us after token_embd get_rows, which took 1.00 us"),
        (500, 1, "t1 wakes up: 1.00 us"),
        (4000, 1, "t1 blk.0.ffn_up mul_mat part 2/2: at +3.00 us for 3.00 us, then waits 0 ns"),
        (10_500, 0, "t0 chooses the next token"),
        (10_500, 1, "t1 is idle: the next token is chosen"),
    ],
)
def test_readout(at: float, thread: int, told: str) -> None:
    of = laid(token(5))
    first, second = (line.plain for line in rows.readout(of, whole(of, 12, at), thread))
    assert first == "n_past 5: evaluation 10.0 us, sampling 2.00 us, from 0 ns on"
    assert second == told


def test_readout_in_a_gap_and_while_following() -> None:
    of = laid(token(5), token(9))
    window = whole(of, 12, at=15_000.0)
    assert rows.readout(of, window, 0)[1].plain == "3 not kept; how long that took is not known"
    window.at, window.follow = float(of.start[1]), True
    assert rows.readout(of, window, 0)[1].plain == "newest: t0 waits 30.0%, t1 waits 0.0%"


def test_long_waits_in_order() -> None:
    of = laid(token(5), token(6))
    starts, threads, least = of.waits
    assert (starts.tolist(), threads.tolist(), least) == ([8_000.0, 20_000.0], [0, 0], 2000.0)
    assert of.next_wait(0.0, 1, 1) == (8_000.0, 0)
    assert of.next_wait(8_000.0, 0, 1) == (20_000.0, 0)
    assert of.next_wait(20_000.0, 0, 1) is None
    assert of.next_wait(20_000.0, 0, -1) == (8_000.0, 0)
    assert of.next_wait(8_000.0, 0, -1) is None


def test_the_axis_moves_with_what_is_kept() -> None:
    tokens = [token(n) for n in range(6)]
    older, newer = laid(*tokens[:4]), laid(*tokens[2:])
    assert newer.moved(older) == 24_000.0
    assert laid(*tokens).moved(newer) == -24_000.0
    assert laid(token(9)).moved(older) == older.total


def test_totals_are_of_what_is_seen() -> None:
    of = laid(token(5), token(6))
    assert [line.plain for line in rows.totals(of, Window(12, of.total, 0.0, 12_000.0), range(2))] == [
        "in view      work       wait       wake       lost    waiting",
        "  t0      7.00 us    3.00 us       0 ns       0 ns      30.0%",
        "  t1      9.00 us       0 ns    1.00 us       0 ns       0.0%",
    ]


def test_what_was_not_scheduled_has_a_sign_of_its_own() -> None:
    # Thread 1 is put aside for 40 us in its last node; thread 0 waits for it.
    longer = tuple(replace(r, end=r.end + 40_000 * r.lane, done=r.done + 40_000) if r.node == 2 else r for r in RECORDS)
    slow = replace(token(6, longer), eval_ns=50_000, start_ns=12_000, unscheduled=(Unscheduled(1, 50_000, 40_000),))
    of = laid(token(5), slow, replace(token(7), start_ns=64_000))
    window = Window(10, of.total, 12_000.0, 50_000.0, 12_000.0, follow=False)
    assert row(of, window, 1) == ["MMxlost xx"] and row(of, window, 0)[0][:2] == "MM"
    last = next(r for r in range(len(of.tracks(0, of.total)[1].lost)) if of.tracks(0, of.total)[1].lost[r])
    place = float(of.tracks(0, of.total)[1].start[last])
    told = rows.readout(of, replace(window, at=place + 1), 1)[1].plain
    assert told.endswith("; not scheduled for 38.3 us of it")
    t1 = rows.totals(of, window, range(2))[2].plain.split()
    assert t1[7:9] == ["38.3", "us"]


def test_token_bars() -> None:
    slow = replace(token(7), eval_ns=22_000)
    of = laid(token(0, n_tokens=5), token(5), token(6), slow, token(20))
    assert [line.plain for line in rows.token_bars(of, 3, 40, 2, ascii_only=True)] == [
        "token   p50 12.0 us   p95 22.2 us   longest 24.0 us (n_past 7)",
        "24.0 us    #  ",
        "   0 ns P###/#",
        "           ^",
    ]
    assert [line.plain for line in rows.token_bars(of, 0, 11, 2, ascii_only=False)][1:] == [
        "24.0 us    ",
        "   0 ns P██",
        "        ^",
    ]
    assert rows.token_bars(of, 4, 11, 2, ascii_only=False)[-2].plain == "   0 ns █/█"
    assert (
        rows.token_bars(laid(token(0, n_tokens=5)), 0, 40, 2, ascii_only=True)[0].plain == "No token was generated yet."
    )


def test_legend_breaks_where_the_width_ends() -> None:
    of = laid(token(5))
    wide = rows.legend(of, 80)
    assert [line.plain for line in wide] == ["M mul_mat  q quant  c copy  w wake  s sample  - idle  . wait  "]
    assert [line.plain.rstrip() for line in rows.legend(of, 30)] == [
        "M mul_mat  q quant  c copy",
        "w wake  s sample  - idle",
        ". wait",
    ]


def test_status_words() -> None:
    of = laid(token(5), token(6))
    window = whole(of, 24)
    assert (
        rows.status(of, window, False, range(2)).plain == "HELD    evaluations 1-2 of 2 kept, 24.0 us, a cell 1.00 us"
    )
    window.follow = True
    assert rows.status(of, window, False, range(1)).plain.startswith("FOLLOW  ")
    assert rows.status(of, window, False, range(1)).plain.endswith(", threads 0-0 of 2")
    assert rows.status(of, window, True, range(2)).plain.startswith("SAVED   ")


def test_names_of_a_model_are_data() -> None:
    node = replace(GRAPH.nodes[0], key="\x1b[31mred\n")
    of = spans((replace(GRAPH, nodes=(node, *GRAPH.nodes[1:])),), (token(5),))
    shown = rows.readout(of, whole(of, 12, 500.0), 0)[1].plain + row(of, whole(of, 400), 0)[0]
    assert "\\x1b[31mred\\n" in shown
    assert "\x1b" not in shown


def test_a_thread_that_rests_is_idle() -> None:
    made = rested(trace(n=2))
    of = spans(made.graphs, made.tokens)
    window = whole(of, 40)
    first, second = (row(of, window, thread)[0] for thread in (0, 1))
    assert "M" in first and set(second) == {"-"}
    assert of.tracks(0.0, of.total)[1].at(float(of.start[0]) + 100) is None


# ---- several devices ----


def test_a_row_has_the_name_of_a_lane_that_is_no_thread() -> None:
    made = two_devices.trace(1)
    of = spans(made.graphs, made.tokens)
    window = whole(of, 20)
    drawn = [rows.lane_rows(of, window, lane, 1, lane == 2)[0].plain for lane in range(3)]
    assert drawn == [
        "  t0           .wait ....MMMMMMMM..",
        "  t1           .wait ....output MMM",
        "> vulkan queue .ffn_up MMwait .....",
    ]
    assert rows.ruler(of, window)[0].plain.startswith("time           |0 us")
    told = [line.plain for line in rows.totals(of, window, range(3))]
    assert told[3].startswith("  vulkan queue   4.30 us    5.70 us ") and told[1].startswith("  t0 ")
    assert len({len(line) for line in told}) == 1
    assert rows.cursor_line(of, replace(window, at=500.0)).plain.index("^") == rows.gutter(of) == 15
    assert rows.status(of, window, False, range(2)).plain.endswith(", lanes 0-1 of 3")
    assert rows.gutter(laid(token(5))) == rows.GUTTER


def test_tracks_of_lanes_add_up_to_the_wall_time() -> None:
    made = two_devices.trace(2)
    of = spans(made.graphs, made.tokens)
    for track, (work, wait, wake) in zip(of.tracks(0, of.total), two_devices.TIMES, strict=True):
        for start in of.start.tolist():
            found = rows.shares(track, np.array([start, start + two_devices.WALL]), of.total)
            assert found == (work, wait, wake, 0, wait / two_devices.WALL)


@pytest.mark.parametrize(
    ("at", "lane", "told"),
    [
        (300, 2, "vulkan queue waits 500 ns before its first node"),
        (700, 2, "vulkan queue blk.0.ffn_up mul_mat: at +500 ns for 4.30 us, then waits 5.20 us"),
        (700, 0, "t0 waits 4.89 us after token_embd get_rows, which took 100 ns"),
        (10_010, 2, "vulkan queue is idle: the next token is chosen"),
        (10_010, 0, "t0 chooses the next token"),
    ],
)
def test_readout_of_a_lane(at: float, lane: int, told: str) -> None:
    made = two_devices.trace(1)
    of = spans(made.graphs, made.tokens)
    assert rows.readout(of, whole(of, 20, at), lane)[1].plain == told


def test_a_lane_has_one_row_whatever_its_number_in_each_graph() -> None:
    made = two_devices.trace(1)
    turned = replace(two_devices.GRAPH, lanes=(two_devices.QUEUE, *two_devices.LANES[:2]))
    records = Records.of(tuple(replace(r, lane=(r.lane + 1) % 3) for r in two_devices.RECORDS))
    later = replace(made.tokens[0], graph=1, n_past=1, records=records)
    of = spans((two_devices.GRAPH, turned), (*made.tokens, later))
    assert of.names == ["t0", "t1", "vulkan queue"] and of.caller == 0
    for track in of.tracks(0, of.total):
        first, second = (track.node[track.token == i].tolist() for i in (0, 1))
        assert first == second
    assert spans((turned,), (replace(later, graph=0),)).names == ["vulkan queue", "t0", "t1"]


def test_of_a_thread_that_rested_only_its_wait_is_drawn() -> None:
    idle = (NodeRecord(WAKE, 0, 1, 0, 5000, 10_000), NodeRecord(WAKE, 0, 2, 0, 0, 10_000))
    made = two_devices.trace(1, (*(r for r in two_devices.RECORDS if r.lane == 0), *idle))
    of = spans(made.graphs, made.tokens)
    drawn = [rows.lane_rows(of, whole(of, 10), lane, 1, False)[0].plain[rows.gutter(of) :] for lane in (1, 2)]
    assert drawn == ["-----.....", "wait ....."]
