"""Looking into the built-in model: values of nodes, and what each layer would say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import ggtui
from ggtui.core.engine import probe
from ggtui.core.engine.model import BUILT_IN
from ggtui.core.engine.probe import node_values, predictions
from ggtui.core.engine.sampler import top
from ggtui.core.engine.session import Session
from ggtui.core.files import OutTensor, open_model, write_gguf

PROMPT = "Once upon a time there was a king"


@pytest.fixture(scope="module")
def session() -> Session:
    return ggtui.load(threads=2)


def test_values_of_known_nodes(session: Session) -> None:
    ids = session.tokenizer.encode(PROMPT)
    values = {v.name: v for v in node_values(session, ids)}
    rows = session.weights["position_embd.weight"].numpy()[: len(ids)]
    position = values["position_embd"]
    assert (position.n, position.n_nan) == (rows.size, 0)
    assert (position.least, position.most) == (rows.min(), rows.max())
    assert position.mean == pytest.approx(float(rows.mean()), rel=1e-4)
    session.reset()
    logits = session.eval(ids, all_logits=True)
    assert values["output"].n == logits.size
    assert values["output"].most == pytest.approx(float(logits.max()), rel=1e-2)
    norm = values["blk.0.attn_norm"]
    assert abs(norm.mean) < 1e-6 and norm.n == len(ids) * 256
    for kind in ("k", "v"):  # only what was stored, not the empty rest of the cache
        assert values[f"blk.3.{kind}_store"].n == len(ids) * 256
    nodes = ggtui.load(threads=1, fused=False).graphs()[0].nodes
    assert set(values) == {node.name for node in nodes if node.op != "quantize"}


def test_in_several_chunks_as_in_one(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = session.tokenizer.encode(PROMPT)
    whole, said = node_values(session, ids), predictions(session, ids)
    monkeypatch.setattr(probe, "CHUNK", 3)
    for a, b in zip(node_values(session, ids), whole, strict=True):
        assert (a.name, a.op, a.least, a.most, a.n) == (b.name, b.op, b.least, b.most, b.n)
        assert a.mean == pytest.approx(b.mean, rel=1e-5, abs=1e-7)
    assert predictions(session, ids) == said


def test_the_first_nan_is_where_it_was_put(tmp_path: Path) -> None:
    name = "blk.2.ffn_norm.bias"
    with open_model(BUILT_IN) as file:
        data = {key: np.array(file.data(key)) for key in file.tensors}
        data[name].view(np.float32)[7] = np.nan
        tensors = [OutTensor(t.name, t.type, t.ne, lambda t=t: [data[t.name]]) for t in file.tensors.values()]  # type: ignore[misc]
        write_gguf(tmp_path / "nan.gguf", file.metadata, tensors)
    session = ggtui.load(tmp_path / "nan.gguf", threads=1)
    values = node_values(session, [1, 2, 3])
    first = next(v for v in values if v.n_nan)
    assert (first.name, first.op, first.n_nan) == ("blk.2.ffn_norm.biased", "add", 3)
    assert np.isfinite([first.least, first.most, first.mean]).all()
    last = values[-1]
    assert last.n_nan == last.n and np.isnan([last.least, last.most, last.mean]).all()


def test_predictions(session: Session) -> None:
    ids = session.tokenizer.encode(PROMPT)
    said = predictions(session, ids, k=4)
    session.reset()
    logits = session.eval(ids, all_logits=True)
    for prediction, row in zip(said, logits, strict=True):
        assert prediction.alternatives == tuple(top(row, 4))
        assert len(prediction.layers) == session.hparams.n_layer
        assert prediction.layers[-1] == prediction.alternatives  # the last layer's is the model's own
    assert said[-1].layers[0] != said[-1].alternatives
    assert session.tokenizer.decode([said[-1].layers[-1][0][0]]) == " who"


def test_the_session_goes_on_afterwards(session: Session) -> None:
    session.reset()
    before = [step.token for step in session.generate(PROMPT, 5, temp=0.0)]
    predictions(session, [5, 6, 7])
    assert (session.n_past, session.tokens) == (0, [])
    assert [step.token for step in session.generate(PROMPT, 5, temp=0.0)] == before
