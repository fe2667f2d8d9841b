"""`ggtui convert`."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ggtui.core.engine.model import BUILT_IN
from ggtui.core.files import open_model

Run = Callable[..., Any]
SRC = str(BUILT_IN)
OWN_TYPE = """
import numpy as np
from ggtui import register_type

@register_type
class Int8:
    name, head, block, bytes = "cli_int8", 0, 1, 1
    encode = staticmethod(lambda rows: np.clip(np.rint(rows * 100), -127, 127).astype(np.int8).view(np.uint8))
    decode = staticmethod(lambda rows: rows.view(np.int8).astype(np.float32) / 100)
"""


def test_to_another_type(ggtui: Run, tmp_path: Path) -> None:
    dst = tmp_path / "small.gguf"
    code, out, err = ggtui("convert", SRC, str(dst), "--type", "Q4_0")
    assert (code, out) == (0, "")
    with open_model(dst) as file:
        assert file.tensors["blk.0.attn_qkv.weight"].type.name == "q4_0"
        n_bytes = sum(t.n_bytes for t in file.tensors.values())
    before, after, last = err.splitlines()
    assert re.fullmatch(r"before: 6,733,824 bytes \(6.4 MiB\), 9.10 bits a weight", before)
    assert re.fullmatch(rf"after:  {n_bytes:,} bytes .*bits a weight; tensors: 25 q4_0, 51 f32", after)
    assert last.startswith(f"{dst}: {dst.stat().st_size:,} bytes")
    assert ggtui("chat", str(dst), "-p", "Once", "-n", "3", "-q").code == 0


def test_the_ending_bin_writes_the_legacy_format(ggtui: Run, tmp_path: Path) -> None:
    dst = tmp_path / "model.bin"
    assert ggtui("convert", SRC, str(dst), "--type", "f16", "-q") == (0, "", "")
    assert dst.read_bytes()[:4] == b"lmgg"
    with open_model(BUILT_IN) as a, open_model(dst) as b:
        x, y = (f.data("blk.3.ffn_up.bias").view(np.float32) for f in (a, b))
        np.testing.assert_array_equal(x, y)


def test_report(ggtui: Run, tmp_path: Path) -> None:
    code, out, _ = ggtui("convert", SRC, str(tmp_path / "a.gguf"), "--type", "q4_0", "--report")
    lines = out.splitlines()
    assert code == 0 and len(lines) == 1 + 76
    assert lines[0].split() == ["tensor", "from", "to", "rms", "error", "max", "error"]
    name, was, now, rms, worst = next(line for line in lines if "attn_qkv.weight" in line).split()
    assert (name, was, now) == ("blk.0.attn_qkv.weight", "q8_0", "q4_0")
    assert 0 < float(rms) < float(worst) < 0.1


def test_overwrites_only_when_told_to(ggtui: Run, tmp_path: Path) -> None:
    dst = tmp_path / "a.gguf"
    dst.write_text("precious")
    code, _, err = ggtui("convert", SRC, str(dst))
    assert code == 2 and err == f"ggtui: {dst}: exists; choose another name, or give --force to overwrite it\n"
    assert dst.read_text() == "precious"
    assert ggtui("convert", SRC, str(dst), "--force").code == 0
    assert ggtui("convert", str(dst), str(dst), "--force", "--type", "q4_0").code == 0  # onto itself
    with open_model(dst) as file:
        assert file.tensors["token_embd.weight"].type.name == "q4_0"


def test_overwriting_keeps_permissions_and_links(ggtui: Run, tmp_path: Path) -> None:
    dst, link = tmp_path / "a.gguf", tmp_path / "link.gguf"
    dst.touch(0o600)
    link.symlink_to("a.gguf")
    code, _, err = ggtui("convert", SRC, str(link))
    assert code == 2 and "link.gguf: exists" in err
    assert ggtui("convert", SRC, str(link), "--force").code == 0
    assert link.is_symlink() and stat.S_IMODE(dst.stat().st_mode) == 0o600 and dst.stat().st_size > 1000


@pytest.mark.parametrize("ending", ["gguf", "bin"])
def test_into_a_pipe(ggtui: Run, tmp_path: Path, ending: str) -> None:
    pipe, file = tmp_path / f"pipe.{ending}", tmp_path / f"file.{ending}"
    os.mkfifo(pipe)
    assert ggtui("convert", SRC, str(file), "--type", "f16", "-q").code == 0
    with ThreadPoolExecutor(1) as pool:
        read = pool.submit(pipe.read_bytes)
        code, out, err = ggtui("convert", SRC, str(pipe), "--type", "f16")
        assert (code, out) == (0, "") and "bits a weight" in err
        assert read.result() == file.read_bytes() and pipe.is_fifo()


@pytest.mark.parametrize(
    ("args", "code", "problem"),
    [
        ((SRC, "{tmp}"), 2, "is a folder; name the file to write"),
        ((SRC, "{tmp}/x.gguf", "--type", "q17"), 2, "'q17': choose one of "),
        ((SRC, "{tmp}/x.gguf", "--type", "i32"), 2, "holds no weights"),
        ((SRC, "{tmp}/no/x.gguf"), 1, "cannot be written: No such file or directory"),
        (("{tmp}/none.gguf", "{tmp}/x.gguf"), 4, "does not exist"),
        (("tests/data/ggml-vocab-gpt-2.gguf", "{tmp}/x.gguf"), 4, "token_embd.weight: the tensor is missing"),
        ((SRC,), 2, "DST"),
    ],
)
def test_refusals(ggtui: Run, tmp_path: Path, args: tuple[str, ...], code: int, problem: str) -> None:
    result = ggtui("convert", *(arg.format(tmp=tmp_path) for arg in args))
    assert result.code == code and problem in result.err and result.err.count("\n") == 1
    assert list(tmp_path.rglob("*.gguf*")) == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)])
def test_a_kill_leaves_no_file(start: Callable[..., Any], tmp_path: Path, number: signal.Signals, code: int) -> None:
    """The writer waits in fsync or in a chunk; wherever it is, nothing may stay."""
    dst = tmp_path / "a.gguf"
    process = start("convert", SRC, str(dst), "--type", "f32")
    deadline = time.monotonic() + 60
    while process.poll() is None and not list(tmp_path.glob(".ggtui-*")) and time.monotonic() < deadline:
        time.sleep(0.001)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    if process.returncode == 0:  # it was quicker
        with open_model(dst) as file:
            assert len(file.tensors) == 76
    else:
        assert process.returncode == code, err
        assert list(tmp_path.glob("*.gguf")) == list(tmp_path.glob(".ggtui-*")) == []


def test_a_type_of_ones_own(ggtui: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own, dst = tmp_path / "own.py", str(tmp_path / "own.gguf")
    own.write_text(OWN_TYPE)
    assert "cli_int8" in ggtui("convert", SRC, dst, "--type", "cli_int8", "--type-from", str(own)).err
    monkeypatch.setenv("GGTUI_TYPE_FROM", str(own))
    assert ggtui("chat", dst, "-p", "Once", "-n", "2", "-q").code == 0
    assert "cli_int8" in ggtui("inspect", dst, "--check").out
    monkeypatch.setenv("GGTUI_TYPE_FROM", str(tmp_path / "none.py"))
    code, _, err = ggtui("inspect", dst)
    assert code == 2 and "none.py: is no file" in err


def test_types_within_a_budget(ggtui: Run, tmp_path: Path) -> None:
    dst, text = tmp_path / "small.gguf", tmp_path / "text.txt"
    text.write_text("Once upon a time there was a king who had three daughters. " * 60)
    assert ggtui("convert", SRC, str(dst), "--budget", "4.2MB", "--text", str(text), "-q").code == 0
    with open_model(dst) as file:
        types = {t.type.name for t in file.tensors.values()}
    assert 4_000_000 < dst.stat().st_size <= 4_200_000
    assert len(types) > 2  # not all matrices have the same
    assert ggtui("convert", SRC, str(dst), "--budget", "1GB", "--text", str(text), "-q", "--force").code == 0
    with open_model(dst) as file, open_model(SRC) as src:  # nothing gains bits that it never had
        assert {t.name: t.type for t in file.tensors.values()} == {t.name: t.type for t in src.tensors.values()}
    assert ggtui("chat", str(dst), "-p", "Once", "-n", "3", "-q").code == 0


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--budget", "much"), "'much' is no size; write 90MB or 1.5GiB"),
        (("--budget", "1kB", "--text", "{text}"), "budget: the file takes at least"),
        (("--budget", "9MB", "--type", "q8_0"), "--budget and --type: give one of the two"),
        (("--text", "x.txt"), "--text: is for --budget"),
    ],
)
def test_budgets_that_are_none(args: tuple[str, ...], said: str, ggtui: Run, tmp_path: Path) -> None:
    text, dst = tmp_path / "text.txt", tmp_path / "dst.gguf"
    text.write_text("Once upon a time there was a king who had three daughters. " * 60)
    code, out, err = ggtui("convert", SRC, str(dst), *(a.format(text=text) for a in args))
    assert (code, out) == (2, "") and said in err and not dst.exists()


def test_an_adapter_is_merged(ggtui: Run, tmp_path: Path) -> None:
    """What is trained beside a model says the same within it."""
    text, out, dst = tmp_path / "text.txt", tmp_path / "adapter.gguf", tmp_path / "merged.gguf"
    text.write_text("The letters of the alphabet are A B C D E F G. " * 100)
    sizes = ("--batch", "2", "--ctx", "32", "--sample", "0", "--eval-windows", "2", "--warm-up", "1", "--lr", "0.01")
    args = ("train", str(text), "--rank", "4", "--steps", "6", *sizes, "--out", str(out), "--plain", "-q")
    assert ggtui(*args).code == 0
    assert ggtui("convert", SRC, str(dst), "--adapter", str(out), "-q").code == 0

    def said(model: str, *flags: str) -> float:
        found = ggtui("perplexity", model, str(text), "-c", "64", "--chunks", "2", "--json", *flags)
        return float(re.findall(r'"perplexity": ([\d.]+)', found.out)[0])

    beside, within, before = said(SRC, "--adapter", str(out)), said(str(dst)), said(SRC)
    assert beside == pytest.approx(within, rel=1e-2) and beside < 0.9 * before
    # It is the model's that it is beside, not of what that is compared with.
    flags = ("-c", "64", "--chunks", "2", "--json", "--adapter", str(out))
    against = json.loads(ggtui("perplexity", SRC, str(text), "--base", SRC, *flags).out)["against"]
    assert against["base"] == pytest.approx(before) and against["kl"] > 0.01

    def costs(model: str, *flags: str) -> dict[str, float]:
        found = ggtui("perplexity", model, str(text), "--sensitivity", *flags)
        return {t["name"]: t["fisher"] for t in json.loads(found.out)["tensors"]}

    assert costs(SRC, *flags) == pytest.approx(costs(str(dst), *flags[:-2]), rel=1e-3)
    code, _, err = ggtui("chat", SRC, "--adapter", str(dst), "-p", "x")
    assert code == 4 and err.count("\n") == 1 and "general.type: is no adapter" in err
