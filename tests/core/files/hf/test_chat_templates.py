"""Where the chat templates of Hugging Face folders are found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ggtui.core.errors import ModelFileError
from ggtui.core.files.hf.chat_templates import MAX_TEMPLATE, chat_templates


def test_one_and_several(tmp_path: Path) -> None:
    assert chat_templates(tmp_path, {}) == {}
    assert chat_templates(tmp_path, {"chat_template": "{{ x }}"}) == {"tokenizer.chat_template": "{{ x }}"}
    several = [{"name": "default", "template": "a"}, {"name": "tool use", "template": "b"}]
    assert chat_templates(tmp_path, {"chat_template": several}) == {
        "tokenizer.chat_template": "a",
        "tokenizer.chat_templates": ["tool_use"],
        "tokenizer.chat_template.tool_use": "b",
    }


def test_files_count_more(tmp_path: Path) -> None:
    (tmp_path / "chat_template.jinja").write_bytes("\ufeffé".encode())
    more = tmp_path / "additional_chat_templates"
    more.mkdir()
    (more / "rag.jinja").write_text("r")
    (more / "README").write_text("no template")
    assert chat_templates(tmp_path, {"chat_template": "old"}) == {
        "tokenizer.chat_template": "é",
        "tokenizer.chat_templates": ["rag"],
        "tokenizer.chat_template.rag": "r",
    }


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (3, "is 3, neither a text nor a list of named ones"),
        ([{"name": "a"}], "has {'name': 'a'}, not a name and a template"),
        (["a"], "has 'a', not a name and a template"),
        ([{"name": str(i), "template": ""} for i in range(65)], "has 65 templates, over the limit of 64"),
    ],
)
def test_templates_that_are_refused(tmp_path: Path, value: Any, said: str) -> None:
    with pytest.raises(ModelFileError) as caught:
        chat_templates(tmp_path, {"chat_template": value})
    assert (caught.value.path, caught.value.problem) == (tmp_path / "tokenizer_config.json", said)


@pytest.mark.parametrize(("raw", "said"), [(b"\xff", "is not valid UTF-8"), (b" " * (MAX_TEMPLATE + 1), "is over the")])
def test_files_that_are_refused(tmp_path: Path, raw: bytes, said: str) -> None:
    (tmp_path / "chat_template.jinja").write_bytes(raw)
    with pytest.raises(ModelFileError) as caught:
        chat_templates(tmp_path, {})
    assert caught.value.problem.startswith(said)
