from __future__ import annotations

from ggtui.core.vocab.merging import Merger, long_run

BYTES = [bytes([byte]) for byte in range(256)]


def test_the_lowest_rank_first_and_of_equals_the_first_pair() -> None:
    merger = Merger([*BYTES, b"bc", b"ab", b"aa"], r"\w+")
    assert merger.ranks("abc aaa") == [97, 256, 258, 97]  # what the pattern leaves out is left out
    assert merger.ranks_of_piece(b"ab\xff") == [257, 255]


def test_tokens_out_of_reach() -> None:
    tokens = [*BYTES, b"bc", b"ab"]
    assert Merger([*tokens, b"bcde"], r"\w+").ranks("bcde") == [258]  # as a whole piece
    merger, left = Merger.of_reached([*tokens, b"bcde", b"abc"], r"\w+")
    assert left == [*tokens, b"abc"]
    assert merger.ranks("bcde abc") == [256, 100, 101, 258]


def test_long_runs_of_white_space() -> None:
    run = 1 << 16
    assert not long_run("a" * 1_000_000 + " " * run)
    assert long_run("a" + "\u3000 \n\t" * (run // 4) + " ")
    assert not long_run((" " * (run - 1) + "x") * 20)
