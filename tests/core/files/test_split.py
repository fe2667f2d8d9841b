"""GGUF models in several files."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_llama import write_small_llama

from ggtui.core.engine.session import Session
from ggtui.core.errors import ModelFileError
from ggtui.core.files import OutTensor, open_model, write_gguf
from ggtui.core.files.convert import convert

COUNT = 3


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    write_small_llama(tmp_path / "whole.gguf")
    return tmp_path / "whole.gguf"


def split(whole: Path, number: int, **changes: Any) -> Path:
    """One of the files that a model is split into, as llama.cpp's tool writes them."""
    with open_model(whole) as file:
        names = list(file.tensors)
        mine = names[number * len(names) // COUNT : (number + 1) * len(names) // COUNT]
        about = dict(file.metadata) if number == 0 else {}
        about |= {"split.no": number, "split.count": COUNT, "split.tensors.count": len(names)} | changes
        path = whole.with_name(f"model-{number + 1:05}-of-{COUNT:05}.gguf")
        tensors = [
            OutTensor(t.name, t.type, t.ne[: 2 if t.ne[1] > 1 else 1], lambda t=t: [file.data(t.name)])  # type: ignore[misc]
            for t in (file.tensors[name] for name in mine)
        ]
        write_gguf(path, about, tensors, overwrite=True)
    return path


def test_the_first_file_opens_all(whole: Path) -> None:
    first, *_ = [split(whole, number) for number in range(COUNT)]
    with open_model(whole) as one, open_model(first) as all_:
        assert list(all_.tensors) == list(one.tensors) and dict(all_.metadata).keys() == dict(one.metadata).keys()
        for name in one.tensors:
            assert all_.data(name).tobytes() == one.data(name).tobytes()
        assert all_.rows("blk.1.ffn_up.weight")[3:5].tobytes() == one.rows("blk.1.ffn_up.weight")[3:5].tobytes()
    logits = [Session(path, threads=1).eval([1, 260, 261]) for path in (whole, first)]
    np.testing.assert_array_equal(*logits)
    with open_model(first) as src:
        convert(src, whole.with_name("again.gguf"))
    with open_model(whole.with_name("again.gguf")) as again:
        assert "split.count" not in again.metadata


def test_what_is_not_the_first_names_it(whole: Path) -> None:
    second = [split(whole, number) for number in range(COUNT)][1]
    with pytest.raises(ModelFileError, match=r"split.no: is 1: .* name model-00001-of-00003.gguf"):
        open_model(second)
    shutil.copyfile(second.with_name("model-00001-of-00003.gguf"), whole.with_name("renamed.gguf"))
    with pytest.raises(ModelFileError, match=r"split.count: is 3: .*; call it NAME-00001-of-00003.gguf again"):
        open_model(whole.with_name("renamed.gguf"))


def test_files_that_do_not_belong_together(whole: Path) -> None:
    first, second, third = [split(whole, number) for number in range(COUNT)]
    split(whole, 1, **{"split.no": 2})
    with pytest.raises(ModelFileError, match=r"00002-of-00003.gguf: split.no: is not 1 of 3; the files do not belong"):
        open_model(first)
    shutil.copyfile(third, second)
    split(whole, 1)
    third.unlink()
    with pytest.raises(ModelFileError, match=r"model-00003-of-00003.gguf: file: does not exist"):
        open_model(first)
    split(whole, 2)
    split(whole, 0, **{"split.tensors.count": 4})
    with pytest.raises(ModelFileError, match=r"split.tensors.count: is 4, but the parts have 23 tensors"):
        open_model(first)
    split(whole, 0, **{"split.count": 5000})
    with pytest.raises(ModelFileError, match=r"split.count: is 5000, not a whole number from 1 to 1024"):
        open_model(first)
    split(whole, 0)
    shutil.copyfile(whole, third)
    with pytest.raises(ModelFileError, match=r"00003-of-00003.gguf: split.no: is not 2 of 3"):
        open_model(first)
