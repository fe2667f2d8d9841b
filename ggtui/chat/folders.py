"""Where the files of a user are kept, by the XDG base directory specification."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from ggtui.core.errors import GgtuiError

_DEFAULTS = {"XDG_CONFIG_HOME": ".config", "XDG_DATA_HOME": ".local/share", "XDG_STATE_HOME": ".local/state"}


def config_file(environ: Mapping[str, str] = os.environ) -> Path:
    """The settings of the user. Raises GgtuiError, as all here, if there is no home folder."""
    return _folder("XDG_CONFIG_HOME", environ) / "config.toml"


def chats(environ: Mapping[str, str] = os.environ) -> Path:
    """The folder of saved chats."""
    return _folder("XDG_DATA_HOME", environ) / "chats"


def history(environ: Mapping[str, str] = os.environ) -> Path:
    """The file of what was typed."""
    return _folder("XDG_STATE_HOME", environ) / "history"


def _folder(variable: str, environ: Mapping[str, str]) -> Path:
    base = environ.get(variable, "")
    if os.path.isabs(base):  # the specification says to ignore others
        return Path(base, "ggtui")
    try:
        return Path.home() / _DEFAULTS[variable] / "ggtui"
    except RuntimeError as error:
        raise GgtuiError(f"there is no home folder for ggtui's files; set {variable}") from error


def make_private(folder: Path) -> None:
    """Make a folder that only the user may look into, and those above it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
