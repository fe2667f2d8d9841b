"""Which model a file is of, by what its metadata says."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from ggtui.core.engine.session import BUILT_IN
from ggtui.core.errors import ModelFileError
from ggtui.core.files import open_model
from ggtui.core.models import check_model


@pytest.mark.parametrize("key", ["general.architecture", "gpt2.activation_function"])
@pytest.mark.parametrize("value", [["gpt2"], 7, "llama2", b"gpt2", ""])
def test_what_names_no_model_is_refused(key: str, value: Any) -> None:
    with open_model(BUILT_IN) as file:
        changed: Any = SimpleNamespace(path=file.path, tensors=file.tensors, metadata={**file.metadata})
        check_model(changed)
        changed.metadata[key] = value
        with pytest.raises(ModelFileError, match=key):
            check_model(changed)
