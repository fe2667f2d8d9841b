"""What is read of a model file, and what becomes of that when the file changes."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from ggtui.core.errors import GgtuiError, ModelFileError
from ggtui.core.files import ModelFile, OutTensor, open_model, write_gguf
from ggtui.core.files.check import bad_blocks
from ggtui.core.files.convert import convert
from ggtui.core.graph.types import TYPES

DATA = np.arange(8 * 300, dtype=np.float32)
Change = Callable[[Path], None]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    tensors = [OutTensor(name, TYPES["f32"], (8, 300), lambda: [DATA.tobytes()]) for name in ("a", "b")]
    write_gguf(tmp_path / "model.gguf", {"general.architecture": "x"}, tensors)
    return tmp_path / "model.gguf"


def cut_short(path: Path) -> None:
    os.truncate(path, 5000)


def overwrite(path: Path) -> None:
    size = path.stat().st_size
    with open(path, "r+b") as file:
        file.write(bytes(size))
    os.utime(path, (1, 1))  # some file systems count time in seconds


def lengthen(path: Path) -> None:
    os.truncate(path, path.stat().st_size + 1)


CHANGES = (cut_short, overwrite, lengthen)


def test_what_was_read_stays(path: Path) -> None:
    with open_model(path) as file:
        data, part, head = file.data("a"), file.rows("b")[7:9], file.head(4)
    for change in CHANGES:
        change(path)
    np.testing.assert_array_equal(data.view(np.float32), DATA)
    np.testing.assert_array_equal(part.view(np.float32), DATA.reshape(300, 8)[7:9])
    assert head == b"GGUF"


def test_fields_are_read_in_blocks_and_as_they_stand(tmp_path: Path) -> None:
    content = bytes(np.random.default_rng(1).integers(0, 256, 200_000, np.uint8))
    (tmp_path / "x").write_bytes(content)
    with ModelFile(tmp_path / "x") as file:
        for at, n in ((0, 4), (4, 8), (65530, 20), (10, 3), (100, 100_000), (150_000, 0), (199_990, 10), (0, 200_000)):
            assert file.field(at, n) == content[at : at + n]
        assert file.size == len(content) and file.head(1 << 20) == content


@pytest.mark.parametrize("change", CHANGES)
def test_a_file_that_changes_is_not_read_on(path: Path, change: Change) -> None:
    with open_model(path) as file:
        rows = file.rows("b")
        change(path)
        for read in (partial(file.data, "a"), lambda: rows[:1], lambda: file.head(4), lambda: file.field(0, 100_000)):
            with pytest.raises(ModelFileError, match=r"model\.gguf: file: was changed while it was read; try again"):
                read()


@pytest.mark.parametrize("change", CHANGES)
def test_whoever_reads_throughout_notices_a_change(path: Path, change: Change) -> None:
    """At the latest with the next tensor."""
    dst, changed = path.with_name("other.gguf"), []

    def once(done: int, total: int) -> None:
        if not changed:
            changed.append(change(path))

    with open_model(path) as file, pytest.raises(ModelFileError, match="was changed while it was read"):
        bad_blocks(file, once)
    assert changed
    write_gguf(path, {}, [OutTensor("a", TYPES["f32"], (8, 300), lambda: [DATA.tobytes()])])
    with open_model(path) as file:
        change(path)
        with pytest.raises(ModelFileError, match="was changed while it was read"):
            convert(file, dst, "q8_0")
    assert not dst.exists()


def test_a_file_that_another_takes_the_place_of_is_read_on(path: Path, tmp_path: Path) -> None:
    with open_model(path) as file:
        (tmp_path / "new").write_bytes(b"x")
        os.replace(tmp_path / "new", path)
        np.testing.assert_array_equal(file.data("a").view(np.float32), DATA)


def test_a_file_is_closed_once_and_for_all(path: Path) -> None:
    file = open_model(path)
    n = len(os.listdir("/dev/fd"))
    file.close()
    file.close()
    assert len(os.listdir("/dev/fd")) == n - 1
    with pytest.raises(GgtuiError, match="is closed"):
        file.head(1)
