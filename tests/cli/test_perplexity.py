"""`ggtui perplexity`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ggtui.core.engine.model import BUILT_IN

Run = Callable[..., Any]
TEXT = str(Path(__file__).parent.parent / "data" / "heldout.txt")


def test_text(ggtui: Run) -> None:
    code, out, err = ggtui("perplexity", TEXT, "-c", "64", "--chunks", "2")
    assert (code, err) == (0, "")
    pattern = r"perplexity +[\d.]+ \+- [\d.]+ \(2 chunks of 64 tokens, of which 62 count; \d+ tok/s\)\n"
    assert re.fullmatch(pattern, out)


def test_json_and_base(ggtui: Run) -> None:
    args = (str(BUILT_IN), TEXT, "-c", "64", "--chunks", "2", "--base", str(BUILT_IN))
    found = json.loads(ggtui("perplexity", *args, "--json").out)
    assert (found["chunks"], found["ctx"], found["stride"], found["count"]) == (2, 64, None, 62)
    assert found["against"]["base"] == found["perplexity"] and found["against"]["kl"] == 0
    text = ggtui("perplexity", *args, "--stride", "16").out
    assert "32 count" in text and "KL divergence   0.000000 +- 0.000000\nsame likeliest  100.00% +- 0.00%\n" in text


@pytest.mark.parametrize(
    ("args", "code", "problem"),
    [
        ((), 2, "FILE"),
        (("{tmp}/none.txt",), 2, "none.txt: No such file or directory; name a text file"),
        (("/dev/zero",), 2, "/dev/zero: is not a regular file; name a text file"),
        (("{tmp}/latin.txt",), 2, "byte 1 is not UTF-8"),
        (("{tmp}/short.txt",), 2, "less than one chunk of 512"),
        ((TEXT, "--ctx", "600"), 2, "--ctx 600: the model was made for 512 tokens"),
        ((TEXT, "-c", "600", "--ctx", "0"), 2, "--ctx 0: must be"),
        ((TEXT, "--stride", "0"), 2, "--stride 0: must be"),
        (("{tmp}/none.gguf", TEXT), 4, "does not exist"),
        ((TEXT, "--base", "{tmp}/none.gguf"), 4, "does not exist"),
    ],
)
def test_refusals(ggtui: Run, tmp_path: Path, args: tuple[str, ...], code: int, problem: str) -> None:
    (tmp_path / "latin.txt").write_bytes(b"a\xe9")
    (tmp_path / "short.txt").write_text("Once upon a time")
    result = ggtui("perplexity", *(arg.format(tmp=tmp_path) for arg in args))
    assert result.code == code and problem in result.err and result.err.count("\n") == 1


def test_what_to_quantize(ggtui: Run) -> None:
    args = ("perplexity", TEXT, "--sensitivity", "-c", "64", "--chunks", "2")
    lines = ggtui(*args).out.splitlines()
    assert lines[1].split() == ["tensor", "type", "size", "ms", "q8_0", "q6_k", "q5_k", "q4_k", "q3_k", "q2_k"]
    assert len(lines) == 2 + 25 and max(map(len, lines)) < 120
    tensors = json.loads(ggtui(*args, "--json").out)["tensors"]
    assert {t["name"] for t in tensors} == {line.split()[0] for line in lines[2:]}
    for t in tensors:
        assert t["type"] == "q8_0" and t["ms"] > 0 and t["bytes"] > 0
        costs = [t["kl"][name] for name in ("q6_k", "q5_k", "q4_k", "q3_k", "q2_k")]
        assert 0 <= t["kl"]["q8_0"] <= costs[0] and costs == sorted(costs)
    code, _, err = ggtui(*args, "--base", str(BUILT_IN))
    assert code == 2 and "--sensitivity: compares with no other model" in err
