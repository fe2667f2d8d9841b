"""What is refused of JSON files."""

from __future__ import annotations

from pathlib import Path

import pytest

from ggtui.core.errors import ModelFileError
from ggtui.core.files.json_file import read_json


def test_an_object(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text('{"a": [1, 2.5, null], "\\u0120x": {"a": "\\ud83d\\ude00"}}')
    assert read_json(path, 1 << 20) == {"a": [1, 2.5, None], "Ġx": {"a": "😀"}}


@pytest.mark.parametrize(
    ("text", "offset", "said"),
    [
        ('{"model_type": "gpt2",}', 22, "is not JSON"),
        ("", None, "is empty"),
        ("[1]", 0, "is a list, not an object"),
        ('{"n_embd": 1, "n_embd": 1}', 0, "has the key 'n_embd' twice"),
        ('{"a": NaN}', 0, "has NaN, which is not JSON"),
        ('{"a": -Infinity}', 0, "has -Infinity, which is not JSON"),
        ('{"é": tru}', 7, "is not JSON"),
        (b'{"a": "\xff"}', 7, "is not valid UTF-8"),
        ('{"a": "\\ud800"}', 0, "has half of a surrogate pair"),
        ('{"a": ' + "9" * 5000 + "}", 0, "has a number of far too many digits"),
        ("[" * 200_000, 0, "is nested too deeply"),
        (" " * (1 << 20) + "{}", None, "is over the limit of 1048576 bytes"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_damaged_json(tmp_path: Path, text: str | bytes, offset: int | None, said: str) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ModelFileError) as caught:
        read_json(path, 1 << 20)
    assert (caught.value.path, caught.value.offset) == (path, offset)
    assert caught.value.problem.startswith(said), caught.value.problem
