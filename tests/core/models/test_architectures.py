"""Which model a file is of, by what its metadata says."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ggtui.core.engine.model import BUILT_IN
from ggtui.core.errors import ModelFileError
from ggtui.core.files import open_model
from ggtui.core.files.texts import Texts
from ggtui.core.models import check_model
from ggtui.core.vocab import vocabulary

KEYS = {
    "general.architecture": "text",
    **{
        f"gpt2.{key}": kind
        for key, kind in {
            "block_count": "whole", "context_length": "whole", "embedding_length": "whole",
            "feed_forward_length": "whole", "attention.head_count": "whole",
            "attention.layer_norm_epsilon": "real", "activation_function": "text",
        }.items()
    },
    **{
        f"tokenizer.ggml.{key}": kind
        for key, kind in {
            "model": "text", "pre": "text", "tokens": "texts", "merges": "texts", "token_type": "wholes",
            "bos_token_id": "id", "eos_token_id": "id",
        }.items()
    },
}  # fmt: skip
VALUES: dict[str, list[Any]] = {
    "text": ["", "2", "gpt2 "],
    "whole": [-1, 1 << 63],
    "real": [0.0, 2.5, float("nan"), float("inf")],
    "truth": [True, False],
    "texts": [["gpt2"], Texts.of(["4", ""])],
    "wholes": [np.array([1, 2], np.int32), np.array([], np.uint64)],
    "reals": [np.array([0.5])],
    "other": [[1, "a"], [[]], {}, b"gpt2"],
}


@pytest.mark.parametrize("key", ["general.architecture", "gpt2.activation_function"])
@pytest.mark.parametrize("value", [["gpt2"], 7, "llama2", b"gpt2", ""])
def test_what_names_no_model_is_refused(key: str, value: Any) -> None:
    with open_model(BUILT_IN) as file:
        changed: Any = SimpleNamespace(path=file.path, tensors=file.tensors, metadata={**file.metadata})
        check_model(changed)
        changed.metadata[key] = value
        with pytest.raises(ModelFileError, match=key):
            check_model(changed)


@pytest.mark.parametrize("key", KEYS)
def test_a_key_of_another_kind_is_refused(key: str) -> None:
    """Whatever is there: it is named, in one line, and nothing else is raised."""
    with open_model(BUILT_IN) as file:
        changed: Any = SimpleNamespace(path=file.path, tensors=file.tensors, metadata={**file.metadata})
        for kind, values in VALUES.items():
            if (KEYS[key], kind) == ("id", "whole"):
                continue  # one outside the vocabulary is as none
            for value in values:
                changed.metadata[key] = value
                with pytest.raises(ModelFileError) as caught:
                    check_model(changed)
                    vocabulary(changed.metadata, changed.path)
                assert kind == KEYS[key] or caught.value.field == key
                assert caught.value.field.startswith(key.rpartition(".")[0])
