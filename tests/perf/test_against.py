"""One quantization or device against another: the errors are what numpy says, and are laid at the right door."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import ggtui
from ggtui.core.engine.model import BUILT_IN
from ggtui.core.engine.session import Session
from ggtui.core.errors import MissingPartError, UsageError
from ggtui.core.files import open_model
from ggtui.core.files.convert import convert
from ggtui.core.training.shapes import Shape
from ggtui.perf.against import against
from ggtui.perf.random_model import RandomModel

TOKENS = [5, 17, 300, 42, 8, 99, 1000, 7]


@pytest.fixture(scope="module")
def q4(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "q4.gguf"
    with open_model(BUILT_IN) as file:
        convert(file, path, "q4_0")
    return path


@pytest.fixture(scope="module")
def q8() -> Session:
    return ggtui.load(threads=2)


def test_a_model_against_itself_differs_nowhere(q8: Session) -> None:
    found = against(q8, ggtui.load(threads=1), TOKENS)
    assert found.kl == 0 and found.same_top == 1 and found.n_tokens == 8
    assert len(found.nodes) > 50 and all(n.nmse == 0 and n.added == 0 for n in found.nodes)
    assert all(n.cosine == pytest.approx(1) for n in found.nodes)


def test_fewer_bits_cost_precision_and_it_is_said_where(q8: Session, q4: Path) -> None:
    other = ggtui.load(q4, threads=2)
    found = against(q8, other, TOKENS)
    by_key = {n.key: n for n in found.nodes}
    assert by_key["blk.0.ffn_up"].type == "q8_0" and by_key["blk.0.ffn_up"].type2 == "q4_0"
    assert by_key["position_embd"].nmse == 0
    assert [n.added for n in found.nodes] == sorted((n.added for n in found.nodes), reverse=True)
    assert 1e-5 < by_key["output"].nmse < 0.1 and by_key["output"].cosine > 0.9
    assert by_key["output"].ns > 0 and by_key["output"].ns2 > 0 and found.ns > 0 and found.ns2 > 0
    # The first product reads the same kind of input in both: its error is its own and its input's.
    embd, norm = by_key["embd"], by_key["blk.0.attn_norm"]
    assert embd.nmse > 0 and by_key["token_embd"].added == by_key["token_embd"].nmse and norm.nmse > 0

    a, b = (s.eval(TOKENS, all_logits=True).astype(np.float64) for s in (fresh(q8), fresh(other)))
    assert by_key["output"].nmse == pytest.approx(((a - b) ** 2).sum() / (a * a).sum(), rel=0.02)
    p, q = (np.exp(x - x.max(1, keepdims=True)) for x in (a, b))
    p, q = p / p.sum(1, keepdims=True), q / q.sum(1, keepdims=True)
    assert found.kl == pytest.approx((p * np.log(p / q)).sum(1).mean(), rel=0.05)
    assert found.same_top == pytest.approx((a.argmax(1) == b.argmax(1)).mean(), abs=0.126)


def fresh(session: Session) -> Session:
    session.reset()
    return session


def test_one_token(q8: Session, q4: Path) -> None:
    assert against(q8, ggtui.load(q4, threads=1), [5]).kl > 0


def test_what_can_not_be_held_together_is_refused(q8: Session, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="0 tokens; must be 1 to"):
        against(q8, q8, [])
    with pytest.raises(UsageError, match="must be 1 to 4"):
        against(q8, ggtui.load(batch=4), TOKENS)
    other = ggtui.load(threads=1)
    from dataclasses import replace

    other.model.hparams = replace(other.hparams, n_head=2)
    with pytest.raises(UsageError, match=r"other sizes than the first model's: \w+ is \d+ and not \d+"):
        against(q8, other, TOKENS)


def on(device: str, model: RandomModel | None = None) -> Session:
    try:
        return ggtui.load(model, device=device, threads=1, ctx=64)
    except MissingPartError as error:
        pytest.skip(str(error))


def test_devices_differ_by_what_they_round(q8: Session) -> None:
    """The CPU rounds activations to 8 bits where weights are quantized, and numpy nothing."""
    found = against(q8, on("reference"), TOKENS[:4])
    assert (found.first, found.second) == ("tales.gguf on cpu", "tales.gguf on reference")
    by_key = {n.key: n for n in found.nodes}
    assert by_key["embd"].nmse == 0 and 0 < by_key["output"].nmse < 1e-3 and found.kl < 1e-3
    assert all(n.nmse < 1e-3 and n.ns > 0 and n.ns2 > 0 for n in found.nodes)
    stores = {n.key for n in found.nodes if n.op == "set_rows"}
    assert not stores, "what is stored was computed by another node"


def test_copies_between_devices_are_no_nodes_of_the_model(q8: Session) -> None:
    alone, together = against(q8, q8, TOKENS[:4]), against(q8, on("cpu,reference:gelu:add"), TOKENS[:4])
    assert {n.key for n in together.nodes} == {n.key for n in alone.nodes}
    assert max(n.nmse for n in together.nodes) < 1e-3


def test_a_llama_on_two_devices() -> None:
    """Rotations, gates and shared heads."""
    shape = Shape.parse("llama:embd=256,layer=2,head=4,kv=2,ff=512,ctx=64,tied=0")
    model = RandomModel("small", shape, 400, "q8_0")
    found = against(on("cpu", model), on("reference", model), [1, 2, 3])
    assert 0 < max(n.nmse for n in found.nodes) < 1e-2
    assert {"rope", "mul", "rms_norm"} <= {n.op for n in found.nodes}


@pytest.mark.vulkan
def test_a_gpu(q8: Session) -> None:
    gpu = on("vulkan")
    found = against(q8, gpu, TOKENS[:4])
    assert found.second == "tales.gguf on vulkan"
    assert 0 < max(n.nmse for n in found.nodes) < 1e-3
    assert max(n.nmse for n in against(on("reference"), gpu, TOKENS[:4]).nodes) < 1e-8
