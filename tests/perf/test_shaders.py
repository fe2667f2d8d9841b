"""The shader of a node, as text."""

from __future__ import annotations

import shutil
import struct
from collections.abc import Iterator

import pytest

import ggtui
from ggtui.core.engine.session import Session
from ggtui.core.errors import GgtuiError, MissingPartError, UsageError
from ggtui.core.runtime.device import ShaderCode
from ggtui.perf import shaders

pytestmark = pytest.mark.bare
needs_spirv_dis = pytest.mark.skipif(shutil.which("spirv-dis") is None, reason="spirv-dis is not installed")


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    try:
        made = ggtui.load(device="vulkan", threads=1, ctx=64)
    except MissingPartError as error:
        pytest.skip(str(error))
    with made:
        yield made


@needs_spirv_dis
def test_a_node_by_its_key_its_name_or_its_op(session: Session) -> None:
    by_key = shaders.shaders_of(session, "blk.1.ffn_up")
    assert [key for each in by_key for key, _ in each.nodes] == 2 * ["blk.1.ffn_up"]  # of a token and of a prompt
    assert [n for each in by_key for _, n in each.nodes] == [1, session.batch]
    (first, *_) = shaders.shaders_of(session, "mul_mat")
    assert first.nodes[0][0].startswith("blk.0.")
    head, *code = shaders.lines(by_key)
    assert head.startswith("blk.1.ffn_up (of 1 token at most)") and "; constants 0 (%" in head and "1 (%" in head
    assert code[0] == "; SPIR-V" and any("OpEntryPoint GLCompute" in line for line in code)
    assert [line for line in code if line.startswith(("what the driver made", "the driver does not tell"))]


def test_names_that_say_nothing(session: Session) -> None:
    with pytest.raises(UsageError, match=r"no such node; did you mean .*blk.1.ffn_up"):
        shaders.shaders_of(session, "blk.1.ffn_upp")
    with pytest.raises(UsageError, match="no such node; ggtui perf"):
        shaders.shaders_of(session, "0123456789")


def test_what_no_shader_runs() -> None:
    with (
        ggtui.load(device="reference", threads=1, ctx=64) as session,
        pytest.raises(UsageError, match="reference runs"),
    ):
        shaders.shaders_of(session, "output")
    with ggtui.load(device="cpu,reference:norm", threads=1, ctx=64) as session:
        for name in ("output", "norm", "copy"):
            with pytest.raises(UsageError, match=r"(cpu|reference) runs it, without a shader"):
                shaders.shaders_of(session, name)


def test_constants_by_their_names() -> None:
    text = "OpDecorate %GROUP SpecId 0\nOpDecorate %7 SpecId 2\nOpDecorate %8 SpecId 2\n"
    assert shaders.constants((64, 1, -1), text) == "0 (%GROUP) = 64, 1 = 1, 2 (%7, %8) = -1"


@needs_spirv_dis
def test_what_the_driver_says_comes_last() -> None:
    code = ShaderCode("none", (64,), 32, struct.pack("<5I", 0x07230203, 0x10000, 0, 1, 0), "Compute\n  Registers: 7\n")
    told = list(shaders.lines([shaders.NodeCode((("y", 1), ("y#2", 4)), code)]))
    assert told[0] == (
        "y (of 1 token at most) and y#2 (of 4 tokens at most): shader none, subgroups of 32; constants 0 = 64"
    )
    assert told[-3:] == ["what the driver made of it:", "Compute", "  Registers: 7"]


@needs_spirv_dis
def test_what_is_no_spirv() -> None:
    with pytest.raises(GgtuiError, match="spirv-dis failed"):
        shaders.disassembled(b"nothing")


def test_without_spirv_dis(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MissingPartError, match="apt-get install spirv-tools"):
        shaders.disassembled(b"")
