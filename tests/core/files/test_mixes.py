from __future__ import annotations

import pytest

from ggtui.core.errors import UsageError
from ggtui.core.files.mixes import FALLBACKS, FILE_TYPES, MIXES, fitting, mix_or_type
from ggtui.core.graph.types import TYPES

Q4, Q5, Q6 = "q4_k", "q5_k", "q6_k"
MORE = (0, 3, 6, 9, 10, 11)  # of 12 layers those that get more bits


def layers(type: str, other: str, *which: int, n: int = 12) -> list[str]:
    """The type of each of n layers: `other` in those of `which`."""
    return [other if i in which else type for i in range(n)]


# What llama.cpp's llama_model_quantize made of a GPT-2 of 12 layers and 256 wide: its general.file_type, then the types
# of token_embd where there is an output, ffn_up, attn_output, attn_qkv, ffn_down.
TWELVE: dict[str, tuple[int, str, str, list[str], list[str]]] = {
    "q2_k": (10, "q2_k", "q3_k", layers("q3_k", ""), layers("q3_k", "")),
    "q3_k_s": (11, "q3_k", "q3_k", layers("q3_k", ""), layers("q3_k", "")),
    "q3_k_m": (12, "q3_k", Q4, layers(Q4, Q5, 0, 1), layers(Q4, "")),
    "q3_k_l": (13, "q3_k", Q5, layers(Q5, ""), layers(Q5, "")),
    "q4_k_s": (14, Q4, Q4, layers(Q4, Q5, 0, 1, 2, 3), layers(Q4, Q5, 0)),
    "q4_k_m": (15, Q4, Q4, layers(Q4, Q6, *MORE), layers(Q4, Q6, *MORE)),
    "q5_k_s": (16, Q5, Q5, layers(Q5, ""), layers(Q5, "")),
    "q5_k_m": (17, Q5, Q5, layers(Q5, Q6, *MORE), layers(Q5, Q6, *MORE)),
    "q6_k": (18, Q6, Q6, layers(Q6, ""), layers(Q6, "")),
    "iq4_nl": (25, "iq4_nl", "iq4_nl", layers("iq4_nl", ""), layers("iq4_nl", Q5, 0)),
    "iq4_xs": (30, "iq4_xs", "iq4_xs", layers("iq4_xs", ""), layers("iq4_xs", Q5, 0)),
}


@pytest.mark.parametrize("name", MIXES)
def test_twelve_layers(name: str) -> None:
    mix, (file_type, up, output, qkv, down) = MIXES[name], TWELVE[name]
    assert mix.file_type == file_type
    for tied in (True, False):
        for i in range(12):
            parts = {"ffn_up": up, "attn_output": output, "attn_qkv": qkv[i], "ffn_down": down[i]}
            for part, type in parts.items():
                assert mix.type_of(f"blk.{i}.{part}.weight", 12, tied=tied).name == type
    assert mix.type_of("token_embd.weight", 12, tied=True).name == Q6
    assert mix.type_of("token_embd.weight", 12, tied=False).name == up
    assert mix.type_of("output.weight", 12, tied=False).name == Q6


def test_twenty_four_layers() -> None:
    def down(name: str) -> list[str]:
        return [MIXES[name].type_of(f"blk.{i}.ffn_down.weight", 24, tied=True).name for i in range(24)]

    assert down("q4_k_m") == layers(Q4, Q6, 0, 1, 2, 5, 8, 11, 14, 17, 20, 21, 22, 23, n=24)
    assert down("q4_k_s") == layers(Q4, Q5, 0, 1, 2, n=24)
    assert down("q3_k_m") == layers(Q4, Q5, 0, n=24)
    assert down("iq4_xs") == layers("iq4_xs", Q5, 0, 1, 2, n=24)


@pytest.mark.parametrize(
    ("name", "alone", "by_two", "by_four", "large"),
    [
        ("q2_k", "q3_k", "q3_k", Q4, Q5),
        ("q3_k_s", "q3_k", "q3_k", "q3_k", Q5),
        ("q3_k_m", Q4, Q4, Q4, Q5),
        ("q4_k_s", Q4, Q4, Q4, Q5),
        ("q4_k_m", Q4, Q4, Q4, Q5),
        ("q5_k_m", Q5, Q5, Q5, Q5),
        ("q6_k", Q6, Q6, Q6, Q6),
        ("iq4_nl", "iq4_nl", "iq4_nl", Q5, Q5),
        ("iq4_xs", "iq4_xs", "iq4_xs", Q5, Q5),
    ],
)
def test_heads_that_share_values(name: str, alone: str, by_two: str, by_four: str, large: str) -> None:
    """What llama.cpp made of the values' matrix of a layer without more bits, in Llamas of 12 layers and of 80."""
    for shared_by, n_layer, type in ((1, 12, alone), (2, 12, by_two), (4, 12, by_four), (8, 80, large)):
        layer = 4 if n_layer == 12 else 10
        found = MIXES[name].type_of(f"blk.{layer}.attn_v.weight", n_layer, tied=False, shared_by=shared_by)
        assert found.name == type, (shared_by, n_layer)
        for part in ("attn_q", "attn_k", "ffn_gate"):
            found = MIXES[name].type_of(f"blk.{layer}.{part}.weight", n_layer, tied=False, shared_by=shared_by)
            assert found.name == MIXES[name].base


def test_names() -> None:
    assert mix_or_type("Q4_K_M") is MIXES["q4_k_m"]
    assert mix_or_type("Q8_0") is mix_or_type(TYPES["q8_0"]) is TYPES["q8_0"]
    assert mix_or_type("q2_k") is MIXES["q2_k"] and mix_or_type(TYPES["q2_k"]) is TYPES["q2_k"]
    with pytest.raises(UsageError, match=r"tensor type 'q4_k_x': choose one of f32, f16, .*q4_k, .*q4_k_m"):
        mix_or_type("q4_k_x")
    with pytest.raises(UsageError, match="type i32: holds no weights; choose one of f32"):
        mix_or_type("i32")


@pytest.mark.parametrize("name", [t.name for t in TYPES.values() if t.file and not t.own])
def test_what_stands_in_where_rows_do_not_fit(name: str) -> None:
    type = TYPES[name]
    assert fitting(type, 512) is type
    assert fitting(type, 1600) is TYPES[FALLBACKS.get(name, name)]
    assert fitting(type, 7 * 24).name == (name if type.block == 1 else "f16")


def test_every_type_of_files_has_a_number() -> None:
    assert {t.name for t in TYPES.values() if t.file and not t.own} - {"i32"} == FILE_TYPES.keys()
