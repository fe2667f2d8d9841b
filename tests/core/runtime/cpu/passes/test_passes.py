"""Passes change how a graph runs and never what comes out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from ggtui import Context, Graph, Tensor, ops
from ggtui.core.graph.dag import Dag
from ggtui.core.graph.dim import Dim
from ggtui.core.graph.ops import OPS
from ggtui.core.runtime.cpu.passes import packed_alike, round_activations, run_passes, schedule
from ggtui.core.runtime.passes.allocate import allocate
from ggtui.core.runtime.passes.fuse import fuse, name_parts
from ggtui.core.runtime.passes.parts import Norm, Product

RNG = np.random.default_rng(7)


def block(ctx: Context, *, packed: bool, type: str, n: int) -> tuple[Graph, Tensor]:
    """A norm with weights, a linear layer with GELU, another one added to the input."""
    k = 64
    x = ctx.tensor(RNG.standard_normal((n, k), dtype=np.float32), "x")
    up = ctx.tensor(RNG.standard_normal((96, k), dtype=np.float32), "up", type, packed=packed)
    down = ctx.tensor(RNG.standard_normal((k, 96), dtype=np.float32), "down", type, packed=packed)
    w, b = (ctx.tensor(RNG.standard_normal(k, dtype=np.float32)) for _ in range(2))
    b_up = ctx.tensor(RNG.standard_normal(96, dtype=np.float32))
    cur = ops.add(ops.mul(ops.norm(x), w), b)
    cur = ops.gelu(ops.add(ops.mul_mat(up, cur), b_up))
    y = ops.add(ops.add(ops.mul_mat(down, cur), b), x)
    g = Graph()
    g.build_forward_expand(y)
    return g, y


@pytest.mark.parametrize("n", [1, 2, 9])
@pytest.mark.parametrize(
    ("type", "packed"), [("f32", False), ("f32", True), ("f16", True), ("q8_0", True), ("q4_0", True)]
)
def test_fused_gives_the_bits_that_separate_gives(type: str, packed: bool, n: int) -> None:
    g, y = block(Context(), packed=packed, type=type, n=n)
    results = []
    for fused in (False, True):
        for threads in (1, 2, 3):
            g.compute(threads=threads, fused=fused)
            results.append(y.numpy().tobytes())
    assert all(result == results[0] for result in results)


def joined(g: Graph) -> list[list[str]]:
    dag = round_activations(fuse(name_parts(g.dag()), packed_alike), fused=True)
    return [[t.op for t in node.originals] for node in dag.nodes]


def test_fuse_joins_what_the_table_says_and_lists_the_originals() -> None:
    g, _ = block(Context(), packed=True, type="q8_0", n=1)
    assert joined(g) == [
        ["norm", "mul", "add", "quantize"],
        ["mul_mat", "add", "gelu"],
        ["quantize"],
        ["mul_mat", "add", "add"],
    ]
    plain, _ = block(Context(), packed=False, type="f32", n=1)
    assert joined(plain) == [["norm", "mul", "add"], ["mul_mat", "add", "gelu"], ["mul_mat", "add", "add"]]


def test_parts_have_names() -> None:
    g, _ = block(Context(), packed=False, type="f32", n=1)
    norm, up, down = (node.parts for node in fuse(name_parts(g.dag()), packed_alike).nodes)
    assert isinstance(norm, Norm) and norm.x.name == "x" and norm.weight is not None and norm.bias is not None
    assert isinstance(up, Product) and up.weights.name == "up" and up.bias is not None
    assert (up.activation, up.residual) == ("gelu", None)
    assert isinstance(down, Product) and down.weights.name == "down" and down.activation == ""
    assert down.residual is not None and down.residual.name == "x"


@pytest.mark.parametrize("activation", [name for name, op in OPS.items() if op.kind == "unary"])
def test_any_activation_is_joined_to_the_same_bits(activation: str) -> None:
    ctx = Context()
    w, x = (ctx.tensor(RNG.uniform(0.1, 1, (n, 32)).astype(np.float32)) for n in (17, 3))
    y = getattr(ops, activation)(ops.mul_mat(w, x))
    g = Graph()
    g.build_forward_expand(y)
    assert joined(g) == [["mul_mat", activation]]
    g.compute(fused=True)
    fused = y.numpy().tobytes()
    g.compute(fused=False)
    assert y.numpy().tobytes() == fused


def test_a_sum_of_two_products_takes_in_one_of_them() -> None:
    ctx = Context()
    w, x = (ctx.tensor(RNG.standard_normal((n, 32), dtype=np.float32)) for n in (17, 3))
    y = ops.add(ops.mul_mat(w, x), ops.mul_mat(w, ops.neg(x)))
    g = Graph()
    g.build_forward_expand(y)
    assert sorted(joined(g)) == [["mul_mat"], ["mul_mat", "add"], ["neg"]]
    g.compute(fused=True)
    np.testing.assert_allclose(y.numpy(), np.zeros((3, 17)), atol=1e-5)


def llama_layer(n: int) -> Graph:
    """The products of a layer with queries, keys and values apart, and a gate."""
    ctx = Context()

    def weights(m: int, k: int) -> Tensor:
        return ctx.tensor(RNG.standard_normal((m, k), dtype=np.float32), type="q4_0", packed=True)

    x = ctx.tensor(RNG.standard_normal((n, 64), dtype=np.float32), "x")
    gain = ctx.tensor(np.ones(64, np.float32))
    normed = ops.mul(ops.rms_norm(x), gain)
    q, k, v = (ops.mul_mat(weights(64, 64), normed) for _ in range(3))
    positions = ctx.tensor(np.arange(n))
    q, k = (ops.rope(ops.reshape(t, 16, 4, n), positions) for t in (q, k))
    heads = ops.mul(ops.add(ops.reshape(q, 64, n), ops.reshape(k, 64, n)), v)
    x = ops.add(ops.mul_mat(weights(64, 64), heads), x)
    normed = ops.mul(ops.rms_norm(x), gain)
    gate, up = (ops.mul_mat(weights(96, 64), normed) for _ in range(2))
    x = ops.add(ops.mul_mat(weights(64, 96), ops.swiglu(gate, up)), x)
    g = Graph()
    g.build_forward_expand(x)
    return g


@pytest.mark.parametrize("n", [1, 4])
def test_products_share_what_they_read_and_their_phase(n: int) -> None:
    dag = run_passes(llama_layer(n).dag())
    assert sum(node.op == "quantize" for node in dag.nodes) == 4  # and not 7
    products = [dag.phase[node] for node in dag.nodes if node.op == "mul_mat"]
    assert products[0] == products[1] == products[2] < products[3] < products[4] < products[5]
    assert [node in dag.every for node in dag.nodes if node.op == "quantize"] == [n == 1] * 4


@pytest.mark.parametrize("n", [1, 4])
def test_ropes_that_turn_alike_share_their_angles(n: int) -> None:
    ctx = Context()
    positions = ctx.tensor(np.arange(n))
    factors = ctx.tensor(np.arange(1, 5, dtype=np.float32))
    a = ctx.tensor(RNG.standard_normal((n, 2, 8), dtype=np.float32))
    alike = ops.rope(ops.rope(a, positions), positions)
    others = ops.rope(ops.rope(ops.rope(alike, positions, freq_base=500.0), positions, mode="neox"), positions, 4)
    g = Graph()
    g.build_forward_expand(ops.rope(others, positions, freq_factors=factors))
    dag = run_passes(g.dag())
    angles = [node for node in dag.nodes if node.op == "rope_angles"]
    assert len(angles) == 5 and sum(node.op == "rope" for node in dag.nodes) == 6
    assert [node in dag.every for node in angles] == [n == 1] * 5  # of a single token each thread makes its own


def test_angles_of_positions_that_are_overwritten_are_made_anew() -> None:
    ctx = Context()
    positions, a = ctx.tensor(np.array([1, 2])), ctx.tensor(RNG.standard_normal((2, 2, 8), dtype=np.float32))
    first = ops.rope(a, positions)
    later = ops.set_rows(ops.reshape(positions, 1, 2), ctx.tensor(np.array([[7.0], [9.0]])), ctx.tensor(np.arange(2)))
    second = ops.rope(a, ops.reshape(later, 2))
    g = Graph()
    g.build_forward_expand(first)
    g.build_forward_expand(second)
    dag = run_passes(g.dag())
    assert sum(node.op == "rope_angles" for node in dag.nodes) == 2


def test_an_activation_that_is_overwritten_is_rounded_anew() -> None:
    ctx = Context()
    w = ctx.tensor(RNG.standard_normal((8, 32), dtype=np.float32), type="q8_0", packed=True)
    x = ctx.tensor(RNG.standard_normal((2, 32), dtype=np.float32))
    first = ops.mul_mat(w, x)
    second = ops.mul_mat(w, ops.scale(x, 3.0, inplace=True))
    third = ops.mul_mat(w, x)
    g = Graph()
    for y in (first, second, third):
        g.build_forward_expand(y)
    before = x.numpy().copy()
    for fused in (False, True):
        x.set(before)
        g.compute(threads=2, fused=fused)
        np.testing.assert_allclose(second.numpy(), 3 * first.numpy(), rtol=1e-2, atol=1e-3)
        np.testing.assert_array_equal(second.numpy(), third.numpy())


def test_every_original_stands_in_one_node() -> None:
    g, _ = block(Context(), packed=True, type="q8_0", n=3)
    dag = g.dag()
    fused = run_passes(dag)
    originals = [t for node in fused.nodes for t in node.originals if t.op != "quantize"]
    assert sorted(map(id, originals)) == sorted(id(n.dst) for n in dag.nodes)


def test_what_nobody_needs_is_not_there() -> None:
    ctx = Context()
    x = ctx.tensor(np.ones(4, np.float32))
    wanted, _other = ops.sqr(x), ops.neg(x)
    assert [node.op for node in Dag.of([wanted]).nodes] == ["sqr"]


def phases(*outputs: Tensor) -> list[tuple[str, int]]:
    g = Graph()
    for t in outputs:
        g.build_forward_expand(t)
    dag = schedule(name_parts(g.dag()))
    return [(node.op, dag.phase[node]) for node in dag.nodes]


def test_row_by_row_ops_need_no_meeting() -> None:
    x = Context().tensor(np.ones((5, 8), np.float32))
    y = ops.soft_max(ops.norm(ops.silu(ops.add(x, x))))
    assert phases(y) == [("add", 0), ("silu", 0), ("norm", 0), ("soft_max", 0)]


def test_what_reads_other_rows_meets_first() -> None:
    ctx = Context()
    x = ctx.tensor(np.ones((5, 8), np.float32))
    y = ops.mul_mat(ctx.tensor(np.ones((3, 8), np.float32)), ops.neg(x))
    assert phases(ops.sum(ops.relu(y))) == [("neg", 0), ("mul_mat", 1), ("relu", 2), ("sum", 3)]
    assert phases(ops.sqr(ops.cont(ops.transpose(ops.neg(x))))) == [("neg", 0), ("cont", 1), ("sqr", 1)]
    row = ops.neg(ctx.tensor(np.ones(8, np.float32)))
    assert phases(ops.add(x, row)) == [("neg", 0), ("add", 1)]


def test_overwriting_what_others_still_read_meets_first() -> None:
    ctx = Context()
    x, y = (ctx.tensor(np.ones((5, 8), np.float32)) for _ in range(2))
    total = ops.sum(x)
    written = ops.cpy(y, x)
    assert phases(total, written) == [("sum", 0), ("cpy", 1)]


def attention_phases(n_q: int | Dim, seen: Callable[[Tensor], Tensor]) -> dict[str, int]:
    ctx = Context()
    q, k, v = (ctx.new_tensor("f32", (16, n_q, n_head)) for n_head in (6, 2, 2))
    caches = [ctx.new_tensor("f16", (16, 64, 2)) for _ in range(2)]
    rows = ctx.new_tensor("i32", (n_q,))
    k_seen, v_seen = (seen(ops.set_rows(a, ops.neg(b), rows)) for a, b in zip(caches, (k, v), strict=True))
    return dict(phases(ops.neg(ops.flash_attn_ext(q, k_seen, v_seen))))


def test_attention_of_one_query_shares_a_phase_with_what_stores_its_keys() -> None:
    n_kv = Dim("n_kv", 64)
    together = attention_phases(1, lambda t: ops.view(t, (16, n_kv, 2)))
    assert together == {"set_rows": 1, "flash_attn_ext": 1, "neg": 2}
    many = attention_phases(3, lambda t: ops.view(t, (16, n_kv, 2)))
    assert many == attention_phases(Dim("n_tokens", 1), lambda t: t) == {"set_rows": 1, "flash_attn_ext": 2, "neg": 3}


def test_attention_over_other_heads_than_were_stored_waits() -> None:
    """The same places, but cut into other heads: a thread would read what another one stores."""

    def cut(t: Tensor) -> Tensor:
        return ops.view(t, (16, 32, 2), (t.nb[0], t.nb[1], 32 * t.nb[1], t.nb[3]), 32 * t.nb[1])

    assert attention_phases(1, cut) == {"set_rows": 1, "flash_attn_ext": 2, "neg": 3}


def test_memory_is_shared_only_across_phases() -> None:
    g, _ = block(Context(), packed=True, type="q8_0", n=4)
    dag = run_passes(g.dag(), fused=False)
    assert not dag.every
    lives = []
    for node in dag.nodes:
        root = node.dst.root
        readers = [dag.phase[n] for n in dag.nodes if any(s is not None and s.root is root for s in n.src)]
        lives.append((dag.offsets[root], root.n_bytes, dag.phase[node], max([dag.phase[node], *readers])))
    lives.sort()
    for i, (at, size, born, died) in enumerate(lives):
        assert at + size <= dag.arena_bytes
        for other_at, _, other_born, other_died in lives[i + 1 :]:
            apart = other_at >= at + size
            assert apart or other_born > died or born > other_died
    assert dag.arena_bytes < sum(size for _, size, _, _ in lives)


def test_each_thread_s_own_memory_is_shared_only_by_what_never_meets() -> None:
    dag = run_passes(llama_layer(1).dag())
    assert len(dag.own) == 7 and 0 < dag.own_bytes < sum(t.n_bytes for t in dag.own)
    alive: dict[Tensor, tuple[int, int]] = {}  # first and last place
    for place, node in enumerate(dag.nodes):
        for t in (node.dst, *node.src):
            if t in dag.own:
                alive[t] = (alive.get(t, (place, 0))[0], place)
    for a, (born, died) in alive.items():
        for b, (other_born, other_died) in alive.items():
            apart = dag.own[a] + a.n_bytes <= dag.own[b] or dag.own[b] + b.n_bytes <= dag.own[a]
            assert a is b or apart or other_born > died or born > other_died


def test_an_empty_graph_is_no_trouble() -> None:
    assert allocate(schedule(Dag())).arena_bytes == 0
    Graph().compute()
