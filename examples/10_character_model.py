"""A character model in a minute.

The built-in model tells tales, and a small Llama of two layers, which knows nothing but letters, learns to write like
them. `ggtui train` does the same for texts of yours, with a vocabulary, checkpoints and a screen.
"""

import numpy as np

import ggtui
from ggtui.core.files.made import MadeModel
from ggtui.core.training.data import Batches
from ggtui.core.training.optimizers import Schedule
from ggtui.core.training.shapes import Shape, initial

STEPS, CTX = 300, 48

with ggtui.load() as session:
    text = ""
    for seed in range(40):
        session.reset()
        text += "".join(step.text for step in session.generate("Once upon a time", 250, seed=seed, ignore_eos=True))
letters = sorted(set(text))
ids = np.array([letters.index(letter) for letter in text], np.int32)
print(f"{len(ids)} characters, {len(letters)} different ones")

shape = Shape.parse(f"llama:embd=64,layer=2,head=4,kv=2,ctx={CTX}")
n = len(letters)
trainer = ggtui.Trainer(MadeModel("letters", shape.metadata(n), initial(shape, n, seed=1)), threads=2)
batches, schedule = Batches(ids, 16, CTX, seed=1), Schedule(3e-3, STEPS, warm_up=20)
for i in range(STEPS):
    step = trainer.step(batches[i], schedule.at(i + 1))
    if i % 50 == 0 or i == STEPS - 1:
        print(f"step {i + 1:3d}: loss {step.loss:.3f}, gradients {step.norm:.2f} long")
assert step.loss < 2.4 < np.log(n)

rng, told = np.random.default_rng(0), [letters.index("T"), letters.index("h")]
while len(told) < 160:
    seen = told[-CTX:]
    logits = trainer.logits([[*seen, 0]])[-1]
    chances = np.exp((logits - logits.max()) / 0.7)
    told.append(int(rng.choice(n, p=chances / chances.sum())))
print("".join(letters[i] for i in told))
