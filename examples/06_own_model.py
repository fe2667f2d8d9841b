"""A model of one's own: weights from a numpy file, a graph, a generation.

The smallest model that says something: each character's next one, from a table of how often which followed which. Its
weights are the logarithms of those counts; a one-hot row times the table is a get_rows. A softmax, a die, a text.
"""

import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np

from ggtui import Context, Graph, ops

text = (
    "once upon a time there lived a king who had three sons and the king had a golden tree in his garden "
    "and every night an apple of the tree was stolen so the king sent his eldest son to watch the tree "
    "and the son fell asleep "
)
alphabet = sorted(set(text))
number = {c: i for i, c in enumerate(alphabet)}
n_vocab = len(alphabet)

# Training: count. Then the weights go through a file, as those of any model do.
counts = np.full((n_vocab, n_vocab), 0.02, np.float32)
for here, after in pairwise(text):
    counts[number[here], number[after]] += 1
with tempfile.TemporaryDirectory() as folder:
    np.savez(Path(folder) / "bigram.npz", table=np.log(counts))
    weights = {name: np.asarray(array) for name, array in np.load(Path(folder) / "bigram.npz").items()}

ctx = Context()
table = ctx.tensor(weights["table"], name="table")  # (n_vocab, n_vocab): a row of logits for each character
token = ctx.new_tensor_1d("i32", 1, name="token")
chances = ops.soft_max(ops.get_rows(table, token))

g = Graph()
g.build_forward_expand(chances)
g.print()

rng = np.random.default_rng(3)
story = "o"
for _ in range(60):
    token.set(np.array([number[story[-1]]], np.int32))
    g.compute()  # the plan is made once and run again
    p = chances.numpy().reshape(-1).astype(np.float64)
    story += alphabet[int(rng.choice(n_vocab, p=p / p.sum()))]
print(story)
np.testing.assert_allclose(chances.numpy().sum(), 1, rtol=1e-5)
assert set(story) <= set(alphabet)
