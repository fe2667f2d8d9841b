"""Token ids to logits, through the whole graph of the built-in model.

The graph is GPT-2 in ggtui/core/models/gpt2.py: embeddings, then six blocks of attention and feed-forward, then the
output matrix. One row of logits says how likely each token of the vocabulary is to come next.
"""

import numpy as np

import ggtui

session = ggtui.load(threads=2)
ids = session.tokenizer.encode("Once upon a time there was a")
print("tokens:", [session.tokenizer.decode([i]) for i in ids])

logits = session.eval(ids)  # float32 (n_vocab,), of the last token
chances = np.exp(logits - logits.max())
chances /= chances.sum()
for token in np.argsort(-chances)[:5].tolist():
    print(f"{chances[token]:6.1%}  {session.tokenizer.decode([token])!r}")

# Read one by one the same tokens give the same logits to the bit: the keys and values of earlier ones are remembered.
session.reset()
for token in ids:
    one_by_one = session.eval([token])
assert np.array_equal(logits, one_by_one)

graph = session.graphs()[0]
print(f"{len(graph.nodes)} nodes run for a token; block 0:")
for node in graph.nodes:
    if node.name.startswith("blk.0."):
        print(f"  {node.name:<22}{node.op:<16}from {' + '.join(o.op for o in node.originals)}")
