"""What a model says while it learns."""

from __future__ import annotations

from ggtui.core.engine.session import Session
from ggtui.core.files import ModelFile


def sample(model: ModelFile, prompt: str, n_predict: int, seed: int, threads: int) -> str:
    """The prompt and what the model goes on with: so many tokens at most, by chance, the same for the same seed."""
    with Session(model, threads=threads, kv_type="f32") as session:  # values may be large while it learns
        ids = session.tokenizer.begin(prompt)
        if not ids:  # of a vocabulary that nothing begins with
            ids = [session.tokenizer.eos if session.tokenizer.eos is not None else 0]
        room = max(0, session.n_ctx - len(ids))
        steps = list(session.generate(ids, min(n_predict, room), seed=seed, temp=0.8))
        return prompt + "".join(step.text for step in steps)
