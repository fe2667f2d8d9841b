"""`ggtui inspect`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ggtui.core.engine.model import BUILT_IN
from ggtui.core.files import OutTensor, open_model, write_gguf
from ggtui.core.graph.types import TYPES

Run = Callable[..., Any]
DATA = Path(__file__).parent.parent / "data"
VOCABULARY = str(DATA / "ggml-vocab-gpt-2.gguf")


def changed(path: Path, name: str, change: Callable[[Any], None]) -> Path:
    """The built-in model with the bytes of one tensor changed."""
    with open_model(BUILT_IN) as file:
        data = {key: np.array(file.data(key)) for key in file.tensors}
        change(data[name])
        tensors = [OutTensor(t.name, t.type, t.ne, lambda t=t: [data[t.name]]) for t in file.tensors.values()]  # type: ignore[misc]
        write_gguf(path, file.metadata, tensors)
    return path


def test_text(ggtui: Run) -> None:
    code, out, err = ggtui("inspect")
    assert (code, err) == (0, "")
    lines = [line.split() for line in out.splitlines()]
    assert ["gpt2.block_count", "6"] in lines
    assert ["blk.0.attn_qkv.weight", "256", "x", "768", "q8_0", "208,896", "3.1%"] in lines
    assert ["q8_0", "6,127,616", "91.0%"] in lines
    assert ["blk.5", "848,896", "12.6%"] in lines
    (tokens,) = (line for line in out.splitlines() if "tokenizer.ggml.tokens" in line)
    assert '4,096 values: "!", ' in tokens and len(tokens) < 120


def test_json(ggtui: Run) -> None:
    facts = json.loads(ggtui("inspect", str(BUILT_IN), "--json").out)
    assert facts["format"] == "GGUF" and facts["path"] == str(BUILT_IN)
    assert facts["metadata"]["tokenizer.ggml.merges"]["length"] == 3839
    assert len(facts["tensors"]) == 76
    assert sum(t["bytes"] for t in facts["tensors"]) == facts["bytes"] == sum(facts["types"].values())
    assert sum(facts["layers"].values()) == facts["bytes"]
    assert sum(t["share"] for t in facts["tensors"]) == pytest.approx(1)
    assert facts["bits_per_weight"] == pytest.approx(9.10, abs=0.01)


def test_a_file_without_tensors(ggtui: Run) -> None:
    code, out, _ = ggtui("inspect", VOCABULARY)
    assert code == 0 and "0 tensors" in out
    assert ggtui("inspect", VOCABULARY, "--check").code == 4


def test_what_the_file_says_is_shown_escaped(ggtui: Run, tmp_path: Path) -> None:
    path = tmp_path / "evil.gguf"
    metadata = {"general.architecture": "gpt2", "a\x1b[2J": "b\x1b]0;title\x07\n"}
    write_gguf(path, metadata, [OutTensor("t\x9b31m", TYPES["f32"], (1,), lambda: [bytes(4)])])
    for flags in ((), ("--json",)):
        code, out, _ = ggtui("inspect", str(path), *flags)
        assert code == 0
        assert not set(out) & set(map(chr, (*range(9), *range(11, 32), *range(127, 160))))


def test_check(ggtui: Run, tmp_path: Path) -> None:
    assert ggtui("inspect", "--check").code == 0

    def spoil(data: Any) -> None:
        data.reshape(-1, 34)[70, :2] = np.array([np.nan], np.float16).view(np.uint8)

    path = changed(tmp_path / "bad.gguf", "blk.2.ffn_up.weight", spoil)
    assert ggtui("inspect", str(path)).code == 0
    code, _, err = ggtui("inspect", str(path), "--check")
    assert code == 4
    with open_model(path) as file:
        at = file.tensors["blk.2.ffn_up.weight"].offset
    wanted = f"{path}: byte {at}: blk.2.ffn_up.weight: block 70 (q8_0): element 192 of row 8 is nan"
    assert err == f"ggtui: {wanted}; download or convert it again\n"


def test_token_test(ggtui: Run, tmp_path: Path) -> None:
    code, out, _ = ggtui("inspect", VOCABULARY, "--token-test", f"{VOCABULARY}.inp")
    assert (code, out) == (0, "46 of 46 texts give the listed tokens\n")
    cases = tmp_path / "cases.inp"
    cases.write_text("the\n__ggml_vocab_test__\n the\x1b\n__ggml_vocab_test__\n")
    (tmp_path / "cases.out").write_text(" 1169\n 7\n")
    code, out, err = ggtui("inspect", VOCABULARY, "--token-test", str(cases))
    assert code == 1 and "1 of 2 texts give other tokens" in err
    assert r"' the\x1b': tokens [262, " in out and "1 of 2 texts give the listed tokens" in out


@pytest.mark.parametrize(
    ("answers", "problem"),
    [
        (None, "No such file"),
        ("1\n2\n", "1 texts, but 2 lines"),
        ("x\n", "tokens numbers"),
    ],
)
def test_token_test_of_damaged_cases(ggtui: Run, tmp_path: Path, answers: str | None, problem: str) -> None:
    (tmp_path / "cases.inp").write_text("a\n__ggml_vocab_test__\n")
    if answers is not None:
        (tmp_path / "cases.out").write_text(answers)
    code, _, err = ggtui("inspect", VOCABULARY, "--token-test", str(tmp_path / "cases.inp"))
    assert code == 2 and problem in err
