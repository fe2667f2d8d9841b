"""Logits that are no numbers: what is said to be to blame is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import ggtui
from ggtui.core.engine.model import BUILT_IN
from ggtui.core.engine.perplexity import perplexity
from ggtui.core.engine.session import Session
from ggtui.core.errors import LogitsError
from ggtui.core.files import OutTensor, open_model, write_gguf

CACHE = "a key or value is too large for f16"
BATCH = 16


def model(path: Path, *, value: float, part: int = 1) -> Path:
    """The built-in model with this in the bias of all queries (part 0), keys (1) or values (2) of a layer. The same
    number for all keys makes no difference to attention."""
    with open_model(BUILT_IN) as file:
        data = {key: np.array(file.data(key)) for key in file.tensors}
        bias = data["blk.2.attn_qkv.bias"].view(np.float32)
        n = len(bias) // 3
        bias[part * n : (part + 1) * n] = value
        tensors = [OutTensor(t.name, t.type, t.ne, lambda t=t: [data[t.name]]) for t in file.tensors.values()]  # type: ignore[misc]
        write_gguf(path, file.metadata, tensors)
    return path


def loaded(path: Path, kv_type: str = "f16") -> Session:
    return ggtui.load(path, threads=1, kv_type=kv_type, batch=BATCH)


def refusals(session: Session, n: int = 40) -> set[str]:
    """What is said by all who look at logits, of a prompt in several batches and of a single token."""
    said = set()
    ids = [5 + i % 90 for i in range(n)]
    for act in (
        lambda: list(session.generate(ids, 2)),
        lambda: list(session.generate([5], 2)),
        lambda: (session.eval(ids), session.top(3)),
        lambda: perplexity(session, ids, ctx=32),
    ):
        session.reset()
        with pytest.raises(LogitsError) as raised:
            act()
        said.add(str(raised.value))
    return said


@pytest.mark.parametrize("part", [1, 2])
def test_keys_and_values_over_the_range_of_f16_are_told_from_bad_weights(tmp_path: Path, part: int) -> None:
    path = model(tmp_path / "large.gguf", value=1e5, part=part)
    (said,) = refusals(loaded(path))
    assert CACHE in said and "--kv-type f32" in said and "weights" not in said
    assert len(list(loaded(path, "f32").generate("Once", 4))) == 4, "what is told to do helps"


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("kv_type", ["f16", "f32"])
def test_weights_that_are_no_numbers_are_to_blame_whatever_the_cache_is(
    tmp_path: Path, value: float, kv_type: str
) -> None:
    """Their keys are infinite in the cache too."""
    (said,) = refusals(loaded(model(tmp_path / "bad.gguf", value=value), kv_type))
    assert "damaged weights" in said and "kv-type" not in said


def test_the_largest_number_of_f16_is_no_trouble(tmp_path: Path) -> None:
    session = loaded(model(tmp_path / "fits.gguf", value=6e4))
    assert len(list(session.generate("Once", 4))) == 4
