"""The Memory screen's lines: owners, the KV cache, curves, the model's tensors."""

from __future__ import annotations

import pytest
from recorded import answer, batch, loaded, trace

from ggtui.core.runtime.record import MemoryUse
from ggtui.viz.live import Live, Point
from ggtui.viz.messages import TensorFact
from ggtui.viz.tui.widgets.model_bytes import Group, groups, layer_of, note, of_types, table
from ggtui.viz.tui.widgets.owners import Owner, amount, growth, kv_lines, kv_use, owner_table, owners

MEMORY = MemoryUse(weights=600, kv=200, activations=50, batch_activations=100, scratch=30, records=20)
TENSORS = (
    TensorFact("token_embd.weight", "q8_0", (32, 100, 1, 1), 3400),
    TensorFact("output_norm.bias", "f32", (32, 1, 1, 1), 128),
    TensorFact("blk.0.attn_qkv.weight", "q8_0", (32, 96, 1, 1), 3264),
    TensorFact("blk.0.attn_norm.weight", "f32", (32, 1, 1, 1), 128),
    TensorFact("blk.10.ffn_up.weight", "q4_0", (32, 64, 1, 1), 1152),
)


def plain(lines: object) -> list[str]:
    return [line.plain.rstrip() for line in lines]  # type: ignore[attr-defined]


def test_the_rest_of_the_process_is_told() -> None:
    assert owners(MEMORY, 1500)[-2:] == [Owner("other", 500), Owner("process (RSS)", 1500)]
    assert owners(MEMORY, 900)[-2:] == [Owner("of that not touched", 100), Owner("process (RSS)", 900)]
    assert owners(MEMORY, 0)[-2:] == [Owner("all of them", 1000), Owner("process (RSS)", None)]


def test_owner_table() -> None:
    assert plain(owner_table(MEMORY, 2000, 60, mib=False, ascii_only=True)) == [
        "owner                              size   share",
        "weights                           600 B   30.0%  ###--------",
        "KV cache, reserved                200 B   10.0%  #----------",
        "activations of a token             50 B    2.5%  #----------",
        "activations of a batch            100 B    5.0%  #----------",
        "scratch                            30 B    1.5%  #----------",
        "records                            20 B    1.0%  #----------",
        "other                           1,000 B   50.0%  ######-----",
        "process (RSS)                   2,000 B  100.0%",
    ]
    assert plain(owner_table(MEMORY, 0, 40, mib=True, ascii_only=False))[-2:] == [
        "all of them                    0.00 MiB  100.0%",
        "process (RSS)              not recorded",
    ]


def test_amount() -> None:
    assert amount(3 << 30, True) == "3,072.00 MiB"
    assert amount(1234567, False) == "1,234,567 B"


def live_run() -> Live:
    live = Live()
    for event in (loaded(), *answer(n=40), batch(40, 5, 43)):
        live.take(event)
    return live


def test_kv_use_of_a_run_and_of_a_saved_one() -> None:
    assert kv_use(live_run()) == (48 * 6144, 512, 6144)
    assert kv_use(Live.of(trace())) == (43 * 6144, 512, 6144)
    assert kv_use(Live()) == (0, 0, 0)


def test_kv_lines_in_one_or_two_lines() -> None:
    assert plain(kv_lines(live_run(), 80, mib=False, ascii_only=True)) == [
        "KV cache  294,912 B of 3,200,000 B, 48 of 512 tokens, 6,144 B a token  #--------"
    ]
    assert plain(kv_lines(live_run(), 60, mib=True, ascii_only=True)) == [
        "KV cache  0.28 MiB of 3.05 MiB  ###-------------------------",
        "          48 of 512 tokens, 6,144 B a token",
    ]


POINTS = [Point(1, 10, 1000, 50_000), Point(11, 20, 2000, 60_000)]


@pytest.mark.parametrize(
    ("width", "height", "headings"),
    [
        (80, 6, ["KV cache in use" + " " * 26 + "process (RSS), +1,000 B a token"]),
        (60, 12, ["KV cache in use", "process (RSS), +1,000 B a token"]),
        (60, 6, ["KV cache in use"]),
        (60, 3, []),
    ],
)
def test_curves_share_the_room(width: int, height: int, headings: list[str]) -> None:
    drawn = growth(POINTS, width, height, mib=False, ascii_only=True)
    assert len(drawn) == (height if headings else 0)
    assert [line for line in plain(drawn) if "KV cache" in line or "RSS" in line] == headings
    assert all(len(line) <= width for line in plain(drawn))


def test_a_curve_begins_with_the_second_point_and_rss_may_be_unknown() -> None:
    assert plain(growth(POINTS[:1], 60, 6, mib=True, ascii_only=True))[1] == "Curves begin with the second evaluation."
    unknown = [p._replace(rss=0) for p in POINTS]
    assert plain(growth(unknown, 40, 6, mib=False, ascii_only=True)) == [
        "KV cache in use",
        "    2,000 B |             **************",
        "            |*************",
        "        0 B |",
        "            +---------------------------",
        "            1       evaluations       11",
    ]


def test_axes_are_round_in_their_unit() -> None:
    points = [Point(1, 10, 0, 0), Point(2, 20, 3 << 19, 0)]
    assert plain(growth(points, 60, 6, mib=True, ascii_only=True))[1].startswith("2.00 MiB |")


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("blk.3.ffn_up.weight", "blk.3"),
        ("token_embd.weight", "token_embd"),
        ("output_norm.bias", "output_norm"),
        ("blk.x", "blk.x"),
    ],
)
def test_layer_of(name: str, layer: str) -> None:
    assert layer_of(name) == layer


def test_groups_stand_in_file_order() -> None:
    assert [(g.name, g.n_tensors, g.n_bytes) for g in groups(TENSORS, "layer")] == [
        ("token_embd", 1, 3400),
        ("output_norm", 1, 128),
        ("blk.0", 2, 3392),
        ("blk.10", 1, 1152),
    ]
    assert [(g.name, g.n_tensors, g.n_bytes) for g in groups(TENSORS, "type")] == [
        ("q8_0", 2, 6664),
        ("f32", 2, 256),
        ("q4_0", 1, 1152),
    ]
    assert [g.name for g in groups(TENSORS, "tensor")] == [t.name for t in TENSORS]
    assert of_types({"q8_0": 5}) == [Group("q8_0", types={"q8_0": 5})]


def test_notes() -> None:
    assert [note(g, "layer") for g in groups(TENSORS, "layer")] == ["q8_0", "f32", "q8_0 96% f32 4%", "q4_0"]
    assert [note(g, "type") for g in groups(TENSORS, "type")] == [
        "2 tensors, 8.50 bits each",
        "2 tensors, 32.00 bits each",
        "1 tensor, 4.50 bits each",
    ]
    assert note(groups(TENSORS, "tensor")[0], "tensor") == "q8_0 32 x 100"
    assert note(of_types({"q8_0": 5})[0], "type") == ""


def test_table_scrolls_and_says_where_it_is() -> None:
    rows = groups(TENSORS, "layer")
    assert plain(table(rows, "layer", 60, 3, 2, mib=False, ascii_only=True)) == [
        "layer           size   share  3-4 of 4, 8,072 B",
        "blk.0        3,392 B   42.0%  #############  q8_0 96% f32 4%",
        "blk.10       1,152 B   14.3%  ####---------  q4_0",
    ]
    assert plain(table(rows, "layer", 60, 9, 0, mib=False, ascii_only=True))[0].endswith("4 in all, 8,072 B")


def test_of_a_tensor_the_sizes_are_kept_longest() -> None:
    rows = groups(TENSORS, "tensor")
    assert plain(table(rows, "tensor", 49, 2, 0, mib=False, ascii_only=True))[1] == (
        "token_embd.weight       3,400 B  q8_0 32 x 100"
    )
    assert "q8_0" not in plain(table(rows, "tensor", 36, 2, 0, mib=False, ascii_only=True))[1]


def test_names_of_a_model_are_data() -> None:
    rows = groups([TensorFact("\x1b[2J\n", "f32", (1, 1, 1, 1), 4)], "tensor")
    assert plain(table(rows, "tensor", 60, 2, 0, mib=False, ascii_only=True))[1].startswith("\\x1b[2J\\n ")
