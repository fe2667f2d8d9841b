"""Looking into a token that was read before: equal bits prove that it is the same run."""

from __future__ import annotations

import numpy as np
import pytest
from grouped import LAYERS, engine, text

import ggtui
from ggtui.core.engine.batch import Piece
from ggtui.core.engine.looking import Looker
from ggtui.core.errors import UsageError


@pytest.mark.parametrize("kv_type", ["f16", "q8_0"])
@pytest.mark.parametrize("fused", [True, False])
def test_it_is_the_same_run(fused: bool, kv_type: str) -> None:
    """Whatever is kept, and though other tokens were read since; the pages are as they were."""
    e, tokens = engine(threads=2, fused=fused, kv_type=kv_type), text(151)
    one, other = e.open(), e.open()
    rows, _ = e.read(one, tokens[:150], all_logits=True)
    e.read(other, text(70, 1))
    nothing, everything = Looker(e, []), Looker(e)
    for position in (149, 120, 111):
        looks = [looker.at(one, position) for looker in (nothing, everything)]
        assert all(np.array_equal(look.logits, rows[position]) for look in looks)
        assert not looks[0].values and len(looks[1].values) > 40
        assert np.array_equal(looks[1].values["output"].reshape(-1), rows[position])
    assert one.tokens == tokens[:150] and np.array_equal(e.logits_of(one), rows[149])
    alone = engine(kv_type=kv_type)
    assert np.array_equal(e.read(one, tokens[150:])[0], alone.read(alone.open(), tokens)[0])


def test_inner_results_are_those_of_the_run() -> None:
    e = ggtui.Engine(ggtui.Model(), threads=2, ctx=64, kv_type="f32")
    names, tokens = ("embd", "blk.0.attn", "blk.2.ffn_act", "blk.5.ffn_residual"), list(range(20, 60))
    looker, s = Looker(e, names), e.open()
    for token in tokens:
        e.read(s, [token])
    memory = e.new_memory("f32")
    again = memory.open()
    graph, feed = e.new_graph(len(tokens), None, memory)
    kept = {node.dst.name: node.dst for node in graph.dag().nodes if node.dst.name in names}
    for t in kept.values():
        graph.keep(t)
    again.make_room(len(tokens))
    graph.plan(fused=False, **e.options).run(e.pool, feed.fill([Piece(again, tokens)]))
    for position in (0, 17, 39):
        found = looker.at(s, position).values
        assert set(found) == set(names)
        for name, t in kept.items():
            rows = t.numpy().reshape(len(tokens), -1)
            assert np.array_equal(found[name].reshape(-1), rows[position]), name


def test_attention_is_what_the_kernel_weighs_with() -> None:
    e = engine(threads=2)
    s = e.open()
    e.read(s, text(150))
    looker = Looker(e)
    for il, layer in enumerate(LAYERS):
        first, weights = looker.attention(s, 149, il)
        assert first == (150 - layer.window if layer.window else 0) and weights.shape == (6, 150 - first)
        assert np.allclose(weights.sum(axis=1), 1) and (weights >= 0).all()
        at, table = np.arange(first, 150), e.memory.rows[e.memory.store.group_of[il]]
        v = e.memory.store.v[il].numpy()[:, table[s.row, at // 64] * 64 + at % 64]
        attended = np.einsum("hn,hnd->hd", weights, np.repeat(v, 6 // layer.n_head_kv, axis=0))
        assert np.allclose(attended, looker._attention[il].numpy()[0], atol=1e-5)


def test_what_cannot_be_looked_into_is_told() -> None:
    e = engine()
    s = e.open()
    e.read(s, text(150))
    looker = Looker(e, ["output"])
    with pytest.raises(UsageError, match="position 150: the sequence has read 0 to 149"):
        looker.at(s, 150)
    with pytest.raises(UsageError, match="position 3: a window has passed what it saw"):
        looker.at(s, 3)
    with pytest.raises(UsageError, match="layer 4: the model has 0 to 3"):
        looker.attention(s, 149, 4)
    with pytest.raises(UsageError, match="there is no node 'nothing'; the first ones are"):
        Looker(e, ["nothing"])
    s.close()
    with pytest.raises(UsageError, match="closed"):
        looker.at(s, 149)
