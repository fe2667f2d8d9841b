"""The chat templates of a Hugging Face folder, as they are: nothing of them is run."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from ggtui.core.errors import ModelFileError
from ggtui.core.files.fields import shown
from ggtui.core.files.model_file import ModelFile

MAX_TEMPLATE = 1 << 20  # bytes
MAX_TEMPLATES = 64
_MORE = "additional_chat_templates"
_KEY = "tokenizer.chat_template"


def chat_templates(folder: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """GGUF's keys for them: what tokenizer_config.json (`config`) has, one or several by their names, unless
    chat_template.jinja and additional_chat_templates have others. Raises ModelFileError."""

    def refuse(problem: str) -> NoReturn:
        raise ModelFileError(folder / "tokenizer_config.json", "chat_template", problem)

    found, value = dict[str, str](), config.get("chat_template")
    if isinstance(value, str):
        found["default"] = value
    elif isinstance(value, list):
        for one in value:
            pair = (one.get("name"), one.get("template")) if isinstance(one, dict) else (None, None)
            if not isinstance(pair[0], str) or not isinstance(pair[1], str):
                refuse(f"has {shown(one)}, not a name and a template")
            found[_name(pair[0])] = pair[1]
    elif value is not None:
        refuse(f"is {shown(value)}, neither a text nor a list of named ones")
    more = folder / _MORE
    for file in sorted(more.iterdir())[: MAX_TEMPLATES + 1] if more.is_dir() else ():
        if file.suffix == ".jinja":
            found[_name(file.stem)] = _text(file)
    if len(found) > MAX_TEMPLATES:
        refuse(f"has {len(found)} templates, over the limit of {MAX_TEMPLATES}")
    if os.path.exists(path := folder / "chat_template.jinja"):
        found["default"] = _text(path)
    named = [name for name in found if name != "default"]
    said: dict[str, Any] = {_KEY: found["default"]} if "default" in found else {}
    if named:
        said["tokenizer.chat_templates"] = named
    return said | {f"{_KEY}.{name}": found[name] for name in named}


def _name(name: str) -> str:
    """With nothing in it that a key may not have."""
    return re.sub(r"[^A-Za-z0-9_]", "_", name)


def _text(path: Path) -> str:
    with ModelFile(path) as file:
        if file.size > MAX_TEMPLATE:
            file.refuse("file", f"is over the limit of {MAX_TEMPLATE} bytes for such a file")
        try:
            return file.head(MAX_TEMPLATE).decode().removeprefix("\ufeff")
        except UnicodeDecodeError as error:
            file.refuse("text", "is not valid UTF-8", error.start)
