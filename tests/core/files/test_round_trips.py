"""From a Hugging Face folder to GGUF, to a legacy file and back: the same tensors, vocabulary and logits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ggtui.core.engine.session import Session
from ggtui.core.files import open_model
from ggtui.core.files.convert import convert


@pytest.fixture(params=[None, "f16", "q8_0"])
def models(request: pytest.FixtureRequest, one_folder: Path, tmp_path: Path) -> list[Path]:
    """The folder; what is made of it, then of that, and so on. With a type, the first is made anew in it."""
    paths = [tmp_path / name for name in ("a.gguf", "b.bin", "c.gguf", "d.bin")]
    for src, dst in zip([one_folder, *paths], paths, strict=False):
        with open_model(src) as file:
            convert(file, dst, request.param if src == one_folder else None)
    return paths if request.param else [one_folder, *paths]


def test_tensors_and_vocabulary(models: list[Path]) -> None:
    with open_model(models[0]) as first:
        for path in models[1:]:
            with open_model(path) as file:
                assert file.tensors.keys() == first.tensors.keys()
                for name, info in first.tensors.items():
                    assert (file.tensors[name].type, file.tensors[name].ne) == (info.type, info.ne), name
                    np.testing.assert_array_equal(file.data(name), first.data(name), err_msg=name)
                for key in ("tokens", "merges", "token_type", "eos_token_id"):
                    name = f"tokenizer.ggml.{key}"
                    np.testing.assert_equal(file.metadata[name], first.metadata[name])


def test_logits(models: list[Path]) -> None:
    tokens = [40, 7, 258, 100, 3]
    wanted = Session(models[0], threads=1).eval(tokens, all_logits=True)
    assert np.ptp(wanted) > 1
    for path in models[1:]:
        np.testing.assert_array_equal(Session(path, threads=1).eval(tokens, all_logits=True), wanted)
