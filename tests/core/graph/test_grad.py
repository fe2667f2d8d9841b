"""Gradients: how what comes back to a tensor is added up, what it is called, and what has none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ggtui import Context, Graph, Tensor, ops
from ggtui.core.errors import ShapeError
from ggtui.core.graph.dim import Dim
from ggtui.core.graph.grad import gradients
from ggtui.core.runtime.check import compare

Array = NDArray[Any]
Shape = tuple[int, ...]

NEAR = 1e-10  # NMSE of one device against another


def spread(rng: np.random.Generator, shape: Shape) -> Array:
    """Numbers between -3 and 3, whose sums and products f32 has."""
    return (rng.integers(-12, 12, shape) / 4 + 1 / 8).astype(np.float32)


def numbers(context: Context, *values: int) -> Tensor:
    return context.tensor(np.array(values, np.int32))


def constant(context: Context, *shape: int, type: str = "f32") -> Tensor:
    return context.tensor(spread(np.random.default_rng(5), shape), type=type)


def computed(loss: Tensor, wrt: Sequence[Tensor], *, device: str = "reference", **options: Any) -> list[Array]:
    graph = Graph()
    found = graph.build_backward_expand(loss, wrt)
    graph.compute(device=device, **options)
    assert [t.shape for t in found] == [t.shape for t in wrt] and all(t.type.name == "f32" for t in found)
    return [t.numpy().copy() for t in found]


def leaf(context: Context, name: str, *shape: int) -> Tensor:
    return context.tensor(spread(np.random.default_rng(len(name)), shape), name)


def same_on_cpu(loss: Tensor, wrt: Sequence[Tensor]) -> list[Array]:
    """The gradients of the reference device; the CPU's are near them."""
    wanted = computed(loss, wrt)
    for threads in (1, 2):
        for got, want in zip(computed(loss, wrt, device="cpu", threads=threads), wanted, strict=True):
            assert compare(got, want, NEAR)[1] == ""
    return wanted


def test_a_tensor_used_several_times_gets_the_sum() -> None:
    c = Context()
    x, w = leaf(c, "x", 3, 4), leaf(c, "w", 3, 4)
    loss = ops.sum(ops.add(ops.mul(x, w), ops.add(ops.sqr(x), ops.scale(x, 3.0))))
    (got,) = same_on_cpu(loss, [x])
    np.testing.assert_allclose(got, w.numpy() + 2 * x.numpy() + 3, rtol=1e-6)


def test_views_of_one_tensor_are_added_into_its_parts() -> None:
    """Queries, keys and values of one product: one memory, filled with zeros once."""
    c = Context()
    x = leaf(c, "qkv", 4, 9)
    q, k, v = (ops.view(x, (3, 4), (x.nb[1],), offset=i * 3 * x.nb[0]) for i in range(3))
    loss = ops.sum(ops.add(ops.mul(q, k), ops.scale(v, 2.0)))
    (got,) = same_on_cpu(loss, [x])
    values = x.numpy()
    np.testing.assert_array_equal(got, np.concatenate([values[:, 3:6], values[:, :3], np.full((4, 3), 2)], axis=1))
    (found,) = gradients(loss, [x])
    g = Graph()
    g.build_forward_expand(found)
    made = [node.op for node in g.dag().nodes]
    assert (made.count("acc"), sum(t.dst.ne == x.ne for t in g.dag().nodes if t.op == "fill")) == (3, 1)


def test_a_table_of_rows_that_is_a_weight_too() -> None:
    """Tied embeddings: rows taken and turned, and all of it once more in a product."""
    c = Context()
    table = leaf(c, "table", 5, 4)
    rows = [1, 3, 1]
    taken = ops.get_rows(table, numbers(c, *rows))
    loss = ops.sum(ops.cross_entropy(ops.mul_mat(table, taken), numbers(c, 0, 4, 2)))
    (got,) = same_on_cpu(loss, [table])
    e = table.numpy().astype(np.float64)
    logits = e[rows] @ e.T
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    p[[0, 1, 2], [0, 4, 2]] -= 1
    want = p.T @ e[rows]
    np.add.at(want, rows, p @ e)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("first", ["view", "sum"])
def test_what_two_sums_look_at_is_not_added_to(first: str) -> None:
    """The gradient of y, made of parts in memory of its own, is that of both sides of the addition; of one of these a
    view comes back too."""
    c = Context()
    a, b = leaf(c, "a", 4, 6), leaf(c, "bb", 4, 6)
    one, other = ops.scale(a, 1.0), ops.scale(b, 1.0)
    of_view, of_sum = ops.sum(ops.view(one, (6, 2))), ops.sum(ops.view(ops.add(one, other), (6, 3)))
    loss = ops.add(of_view, of_sum) if first == "view" else ops.add(of_sum, of_view)
    of_a, of_b = same_on_cpu(loss, [a, b])
    assert of_a[:, 0].tolist() == [2, 2, 1, 0] and of_b[:, 0].tolist() == [1, 1, 1, 0]


def test_what_is_asked_for_may_hang_on_each_other() -> None:
    c = Context()
    x = leaf(c, "x", 3, 4)
    h = ops.scale(x, 2.0)
    loss = ops.sum(ops.add(ops.sqr(h), x))
    of_x, of_h, of_loss = same_on_cpu(loss, [x, h, loss])
    np.testing.assert_allclose(of_x, 8 * x.numpy() + 1, rtol=1e-6)
    np.testing.assert_allclose(of_h, 4 * x.numpy(), rtol=1e-6)
    assert of_loss.tolist() == [1]


def test_a_view_that_is_asked_for() -> None:
    """It counts as far as it is used itself, not what else is made of the memory it looks at."""
    c = Context()
    state = leaf(c, "state", 3, 8)
    weights = ops.view(state, (8,), offset=state.nb[1])
    weights.name = "weights"
    loss = ops.sum(ops.add(ops.sqr(weights), ops.view(state, (8,))))
    of_weights, of_state = same_on_cpu(loss, [weights, state])
    np.testing.assert_allclose(of_weights, 2 * state.numpy()[1], rtol=1e-6)
    np.testing.assert_allclose(of_state, np.stack([np.ones(8), 2 * state.numpy()[1], np.zeros(8)]), rtol=1e-6)


def test_a_gradient_has_the_dimensions_of_its_tensor() -> None:
    """Whatever it met on the way: here groups of heads, and a mask of four dimensions."""
    c = Context()
    k, q, one = leaf(c, "k", 2, 4, 3), leaf(c, "q", 4, 5, 3), leaf(c, "one", 5, 1)
    scores = ops.mul(ops.mul_mat(k, q), constant(c, 1, 4, 5, 4))
    loss = ops.add(ops.sum(scores), ops.sum(ops.sqr(ops.reshape(one, 5))))
    assert [t.shape for t in same_on_cpu(loss, [k, q, one])] == [(2, 4, 3), (4, 5, 3), (5, 1)]


def test_what_the_loss_does_not_hang_on_gets_zeros() -> None:
    c = Context()
    x, other = leaf(c, "x", 3, 4), leaf(c, "other", 2, 1, 5)
    loss = ops.sum(ops.sqr(x))
    of_x, of_other = same_on_cpu(loss, [x, other])
    assert of_x.any() and of_other.shape == (2, 1, 5) and not of_other.any()
    assert gradients(loss, [other])[0].name == "other:grad" and gradients(loss, []) == []


def test_a_rule_is_needed_only_on_the_way_to_what_is_asked_for() -> None:
    c = Context()
    x, other = leaf(c, "x", 3, 4), leaf(c, "other", 3, 4)
    loss = ops.sum(ops.mul(x, ops.map_custom(lambda dst, a, ith, nth: np.copyto(dst, a), other)))
    (got,) = same_on_cpu(loss, [x])
    assert np.array_equal(got, other.numpy())
    with pytest.raises(ShapeError, match="map_custom"):
        gradients(loss, [x, other])


def test_nothing_comes_back_through_indices() -> None:
    c = Context()
    x = leaf(c, "x", 4, 4)
    loss = ops.sum(ops.sqr(ops.get_rows(x, ops.argmax(x))))
    (got,) = same_on_cpu(loss, [x])
    values = x.numpy()
    want = np.zeros((4, 4))
    np.add.at(want, values.argmax(axis=1), 2 * values[values.argmax(axis=1)])
    np.testing.assert_allclose(got, want, rtol=1e-6)


# ---- names ----
def nodes_of(*outputs: Tensor) -> list[tuple[str, str]]:
    graph = Graph()
    for t in outputs:
        graph.build_forward_expand(t)
    return [(node.op, node.name) for node in graph.dag().nodes]


def test_nodes_are_called_as_what_they_come_back_through() -> None:
    c = Context()
    x, w = leaf(c, "x", 3, 4), leaf(c, "blk.0.w", 5, 4)
    y = ops.mul_mat(w, x)
    y.name = "blk.0.up"
    a = ops.silu(y)
    a.name = "blk.0.act"
    loss = ops.sum(a)
    loss.name = "loss"
    (found,) = gradients(loss, [w])
    assert found.name == "blk.0.w:grad"
    assert set(nodes_of(found)) == {
        ("mul_mat", "blk.0.up"), ("fill", "loss:grad"), ("repeat", "loss:grad"), ("silu_back", "blk.0.act:grad"),
        ("mul_mat", "blk.0.w:grad"),
    }  # fmt: skip
    assert [t.name for t in (loss, a, y, w, x)] == ["loss", "blk.0.act", "blk.0.up", "blk.0.w", "x"]


def test_tensors_of_the_forward_graph_keep_their_names() -> None:
    """Those without one, too: a rule may read them."""
    c = Context()
    x = leaf(c, "x", 3, 4)
    x.name = ""
    h = ops.exp(x)
    y = ops.mul(h, ops.sigmoid(h))
    loss = ops.sum(ops.div(y, ops.scale(h, 1.0, 1.0)))
    before: list[Tensor] = [x, h, y, loss, *(s for s in y.src if s is not None)]
    (found,) = gradients(loss, [x])
    assert [t.name for t in before] == [""] * len(before)
    assert all(name.endswith(":grad") for op, name in nodes_of(found)[-3:])


def test_sums_and_parts_are_called_as_what_was_asked_for() -> None:
    c = Context()
    x = leaf(c, "x", 4, 6)
    loss = ops.add(ops.sum(ops.view(x, (6, 2))), ops.sum(ops.sqr(ops.view(x, (6, 3)))))
    (found,) = gradients(loss, [x])
    assert found.name == "x:grad" and ("acc", "x:grad") in nodes_of(found) and ("fill", "x:grad") in nodes_of(found)
    twice = ops.sum(ops.mul(x, ops.sqr(x)))
    (found,) = gradients(twice, [x])
    assert nodes_of(found)[-1] == ("add", "x:grad")


# ---- what has none ----
def through(build: Callable[[Context, Tensor], Tensor]) -> tuple[Tensor, list[Tensor]]:
    c = Context()
    x = leaf(c, "x", 4, 4)
    return ops.sum(build(c, x)), [x]


def sinks(c: Context, x: Tensor) -> Tensor:
    return ops.soft_max(ops.reshape(x, 4, 2, 2), sinks=constant(c, 2))


def keys(c: Context, x: Tensor) -> Tensor:
    return ops.flash_attn_ext(x, constant(c, 4, 4, type="f16"), constant(c, 4, 4, type="f16"))


REFUSED: tuple[tuple[str, Callable[[], tuple[Tensor, list[Tensor]]], str], ...] = (
    ("not-one-number", lambda: (leaf(Context(), "x", 3), []), r"the loss must be one f32; given x f32 \(3\)"),
    ("not-f32", lambda: (numbers(Context(), 1), []), r"the loss must be one f32; given i32 \(1\)"),
    (
        "no-rule",
        lambda: through(lambda c, x: ops.map_custom(print, x)),
        r"map_custom has no gradient; given f32 \(4, 4",
    ),
    ("second", lambda: through(lambda c, x: ops.silu_back(x, x)), "silu_back has no gradient"),
    ("in-place", lambda: through(lambda c, x: ops.relu(ops.sqr(x), inplace=True)), "relu writes over what it reads"),
    ("stored", lambda: through(lambda c, x: ops.cpy(x, constant(c, 4, 4))), "cpy has no gradient"),
    (
        "stored-into",
        lambda: through(lambda c, x: ops.set_rows(x, constant(c, 1, 4), numbers(c, 2))),
        "set_rows has no gradient",
    ),
    ("gaps", lambda: through(lambda c, x: ops.view(ops.transpose(x), (2, 4), (4,))), "no gradient where .* has gaps"),
    ("shown-twice", lambda: through(lambda c, x: ops.view(x, (4, 3), (0,))), "acc: the part shows elements more than"),
    ("mask", lambda: through(lambda c, x: ops.soft_max(constant(c, 4, 4), x)), r"soft_max has none .* x f32 \(4, 4\)"),
    ("sinks", lambda: through(sinks), "soft_max: sinks have no gradient"),
    ("f16-keys", lambda: through(keys), "keys that are no plain f32, have no gradient"),
)


@pytest.mark.parametrize(("build", "words"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_what_has_no_gradient(build: Callable[[], tuple[Tensor, list[Tensor]]], words: str) -> None:
    with pytest.raises(ShapeError, match=words):
        gradients(*build())


def test_sizes_that_vary_have_no_gradient() -> None:
    x = Context().new_tensor("f32", (4, Dim("n", 3)), "x")
    loss = ops.sum(ops.sqr(x))
    with pytest.raises(ShapeError, match=r"gradients: sizes vary from run to run; given x f32 \(4, n<=3\)"):
        gradients(loss, [x])
    assert len(gradients(loss, [leaf(Context(), "other", 3)])) == 1  # of what nothing of it hangs on


# ---- a whole model ----
D, N_HEAD, N_KV, FF, N_VOCAB, N_TOKENS, N_TEXTS = 32, 4, 2, 48, 19, 17, 2
D_HEAD = D // N_HEAD


def block(c: Context, w: dict[str, Tensor]) -> Tensor:
    """The loss of a model of one layer, over several texts."""
    rng, n = np.random.default_rng(3), N_TOKENS * N_TEXTS
    tokens, targets = (c.tensor(rng.integers(0, N_VOCAB, n).astype(np.int32)) for _ in range(2))
    at = c.tensor(np.tile(np.arange(N_TOKENS, dtype=np.int32), N_TEXTS))
    x = ops.get_rows(w["embd"], tokens)
    h = ops.mul(ops.rms_norm(x, 1e-5), w["norm"])
    qkv = ops.add(ops.mul_mat(w["qkv"], h), w["qkv.bias"])
    heads, first = [], 0
    for n_head in (N_HEAD, N_KV, N_KV):
        part = ops.view(qkv, (D_HEAD, n_head, n), (4 * D_HEAD, qkv.nb[1]), offset=4 * first)
        part = part if len(heads) == 2 else ops.rope(part, at, mode="neox")
        heads.append(ops.permute(ops.reshape(ops.cont(part), D_HEAD, n_head, N_TOKENS, N_TEXTS), 0, 2, 1, 3))
        first += n_head * D_HEAD
    attn = ops.flash_attn_ext(*heads, scale=D_HEAD**-0.5, causal=True)
    x = ops.add(x, ops.mul_mat(w["out"], ops.reshape(attn, D, n)))
    h = ops.mul(ops.rms_norm(x, 1e-5), w["norm"])
    x = ops.add(x, ops.mul_mat(w["down"], ops.swiglu(ops.mul_mat(w["gate"], h), ops.mul_mat(w["up"], h))))
    return ops.scale(ops.sum(ops.cross_entropy(ops.mul_mat(w["embd"], ops.norm(x)), targets)), 1 / n)


SHAPES: dict[str, Shape] = {
    "embd": (N_VOCAB, D), "norm": (D,), "qkv": ((N_HEAD + 2 * N_KV) * D_HEAD, D),
    "qkv.bias": ((N_HEAD + 2 * N_KV) * D_HEAD,), "out": (D, D), "gate": (FF, D), "up": (FF, D), "down": (D, FF),
}  # fmt: skip


def small_model() -> tuple[Tensor, list[Tensor]]:
    c, rng = Context(), np.random.default_rng(2)
    weights = {name: c.tensor(rng.standard_normal(shape) * 0.3, name) for name, shape in SHAPES.items()}
    return block(c, weights), list(weights.values())


def test_a_block_on_the_cpu_is_as_on_the_reference_device() -> None:
    loss, weights = small_model()
    wanted = computed(loss, weights)
    for fused in (True, False):
        for t, got, want in zip(weights, computed(loss, weights, device="cpu", fused=fused), wanted, strict=True):
            assert want.any() and compare(got, want, NEAR)[1] == "", t.name


@pytest.mark.pool
@pytest.mark.parametrize("again", [False, True])
def test_a_block_has_the_same_bits_for_any_number_of_threads(again: bool) -> None:
    """And where what is needed on the way back is computed again."""
    loss, weights = small_model()
    wanted = [t.tobytes() for t in computed(loss, weights, device="cpu")]
    found = gradients(loss, weights, (lambda t: t.op if t.op in ("rms_norm", "swiglu") else None) if again else None)
    graph = Graph()
    for t in found:
        graph.build_forward_expand(t)
    for threads in (1, 2, 3):
        graph.compute(threads)
        assert [t.numpy().tobytes() for t in found] == wanted, threads


def test_a_step_against_the_gradient_makes_the_loss_less() -> None:
    loss, weights = small_model()
    graph = Graph()
    found = graph.build_backward_expand(loss, weights)
    graph.compute()
    before = float(loss.numpy()[0])
    squares = sum(float((g.numpy().astype(np.float64) ** 2).sum()) for g in found)
    rate = 1e-3 / squares
    for t, g in zip(weights, found, strict=True):
        t.set(t.numpy() - rate * g.numpy())
    graph.compute()
    assert float(loss.numpy()[0]) - before == pytest.approx(-1e-3, rel=0.02)


def test_build_backward_expand_asks_for_the_loss_and_its_gradients() -> None:
    c = Context()
    x, w = leaf(c, "x", 3, 4), leaf(c, "ww", 3, 4)
    loss = ops.sum(ops.mul(x, w))
    graph = Graph()
    of_w, of_x = graph.build_backward_expand(loss, [w, x])
    graph.compute(threads=2)
    assert float(loss.numpy()[0]) == pytest.approx(float((x.numpy() * w.numpy()).sum()), rel=1e-6)
    assert np.array_equal(of_w.numpy(), x.numpy()) and np.array_equal(of_x.numpy(), w.numpy())
    x.set(x.numpy() + 1)
    graph.compute(threads=2)  # the same plan, with other values
    assert np.array_equal(of_w.numpy(), x.numpy())
