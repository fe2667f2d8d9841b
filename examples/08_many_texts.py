"""Many texts over one model.

A Model is what a file holds. An Engine runs it for several sequences: which keys and values are whose, page tables say,
64 positions a page. A fork shares the pages of what both have read, and whoever writes to a shared page gets a copy of
its own first. A step reads tokens of any sequences together, so the weights are read once for all of them; then each
has a sampler of its own, on a thread of its own. No sequence notices the others: its logits are the same to the bit as
alone.
"""

import numpy as np

import ggtui
from ggtui.core.engine.batch import Piece
from ggtui.core.engine.sampler import Sampler, SamplerParams, sample_each

model = ggtui.Model()  # the built-in one
engine = ggtui.Engine(model, threads=2, n_sequences=4)

first = engine.open()
prompt = model.tokenizer.encode("Once upon a time there was a")
logits, _ = engine.read(first, prompt)
likeliest = np.argsort(logits)[::-1][:3].tolist()

texts = [first, first.fork(), first.fork()]  # three ways to go on
print("pages of each:", [text.pages(0).tolist() for text in texts])
samplers = [Sampler(SamplerParams(temp=temp, seed=1)) for temp in (0.0, 0.5, 1.0)]
chosen = likeliest
for _ in range(24):
    step = engine.step([Piece(text, [token]) for text, token in zip(texts, chosen, strict=True)])
    drawn = sample_each(engine.pool, samplers, step.logits, [text.tokens for text in texts])
    chosen = [token for token, _ in drawn]
print("pages now:    ", [text.pages(0).tolist() for text in texts])
for text in texts:
    print("*", model.tokenizer.decode(text.tokens))

alone = ggtui.load(threads=1)
for text, logits in zip(texts, step.logits, strict=True):
    alone.reset()
    assert np.array_equal(alone.eval(text.tokens), logits)
print("each reads what it reads alone")
