from __future__ import annotations

import stat
from pathlib import Path

import pytest

from ggtui.chat.folders import chats, config_file, history, make_private
from ggtui.core.errors import GgtuiError


def test_folders_of_the_environment() -> None:
    environ = {"XDG_CONFIG_HOME": "/c", "XDG_DATA_HOME": "/d", "XDG_STATE_HOME": "/s"}
    assert config_file(environ) == Path("/c/ggtui/config.toml")
    assert chats(environ) == Path("/d/ggtui/chats")
    assert history(environ) == Path("/s/ggtui/history")


@pytest.mark.parametrize("environ", [{}, {"XDG_CONFIG_HOME": "", "XDG_DATA_HOME": "relative"}])
def test_folders_at_home(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/h")
    assert config_file(environ) == Path("/h/.config/ggtui/config.toml")
    assert chats(environ) == Path("/h/.local/share/ggtui/chats")
    assert history(environ) == Path("/h/.local/state/ggtui/history")


def test_no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", fail)
    with pytest.raises(GgtuiError, match=r"there is no home folder .* set XDG_STATE_HOME"):
        history({})


def test_private_folders(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    make_private(folder)
    make_private(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
