from __future__ import annotations

from ggtui.core.vocab.splitting import Splitter


def test_each_expression_splits_what_is_left() -> None:
    assert Splitter((r"\d", "[a-c]+")).pieces("xab1 cad23") == ["x", "ab", "1", " ", "ca", "d", "2", "3"]
    assert Splitter((r"\d",)).pieces("") == []
    assert Splitter((r"(?<!\s)\s++\Z",)).pieces("a  \nb  \n ") == ["a  \nb", "  \n "]


def test_an_expression_sees_no_further_than_its_piece() -> None:
    assert Splitter((r"\d", r"\s+(?!\S)")).pieces("a  1  b") == ["a", "  ", "1", " ", " b"]
