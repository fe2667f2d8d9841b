"""A setting's sources and their precedence."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import pytest

from ggtui.chat.settings import SETTINGS
from ggtui.cli.flags import FILE, read_config, resolve
from ggtui.core.errors import UsageError


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config" / "ggtui" / "config.toml"
    path.parent.mkdir(parents=True)
    return path


def environ(tmp_path: Path, **variables: str) -> dict[str, str]:
    return {"XDG_CONFIG_HOME": str(tmp_path / "config"), **variables}


def test_flag_then_variable_then_file_then_default(tmp_path: Path, config: Path) -> None:
    config.write_text("top-k = 1\ntemp = 1\nctx = 100\nn_predict = 5\n")
    args = argparse.Namespace(top_k=3, temp=None, ctx=None)
    resolve(args, ("top-k", "temp", "ctx", "n-predict", "top-p"), environ(tmp_path, GGTUI_TOP_K="2", GGTUI_TEMP="2"))
    assert (args.top_k, args.temp, args.ctx, args.n_predict, args.top_p) == (3, 2.0, 100, 5, 0.9)


def test_zero_and_off_are_values(tmp_path: Path, config: Path) -> None:
    config.write_text("ctx-shift = true\ntemp = 1\n")
    args = argparse.Namespace(temp=0.0, ctx_shift=False)
    resolve(args, ("temp", "ctx-shift"), environ(tmp_path))
    assert (args.temp, args.ctx_shift) == (0.0, False)
    args = argparse.Namespace()
    resolve(args, ("temp", "ctx-shift"), environ(tmp_path, GGTUI_TEMP="0", GGTUI_CTX_SHIFT="off"))
    assert (args.temp, args.ctx_shift) == (0.0, False)


def test_lists(tmp_path: Path, config: Path) -> None:
    config.write_text('stop = ["a", "b"]\n')
    for given, variables, expected in (
        (None, {}, ("a", "b")),
        (None, {"GGTUI_STOP": "c"}, ("c",)),
        (["d", "e"], {"GGTUI_STOP": "c"}, ("d", "e")),
    ):
        args = argparse.Namespace(stop=given)
        resolve(args, ("stop",), environ(tmp_path, **variables))
        assert args.stop == expected


def test_an_empty_variable_is_none(tmp_path: Path) -> None:
    args = argparse.Namespace()
    resolve(args, ("threads",), environ(tmp_path, GGTUI_THREADS=""))
    assert args.threads is None


def test_a_bad_variable_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^GGTUI_TEMP -1: must be 0 or more$"):
        resolve(argparse.Namespace(), ("temp",), environ(tmp_path, GGTUI_TEMP="-1"))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("temp = -1", "temp -1: must be 0 or more"),
        ("top-k = 2.0", "top-k 2.0: must be a whole number, 0 or more"),
        ("threads = true", "threads True: must be a whole number, 1 to 512"),
        ('mode = "sing"', "mode sing: must be complete or chat"),
        ("stop = [1]", "stop 1: must be a text of at least one character"),
        ("tmep = 1", "tmep: no such setting; did you mean temp?"),
        ("[chat]\n", "chat: no such setting"),
        ("temp", "not TOML: "),
        ("temp = 1 # \xff", "it is not text in UTF-8 (byte 11)"),
    ],
)
def test_a_bad_line_of_the_file_is_named(tmp_path: Path, config: Path, text: str, problem: str) -> None:
    config.write_text(text, encoding="latin-1")
    with pytest.raises(UsageError) as raised:
        read_config(environ(tmp_path))
    assert str(raised.value).startswith(f"{config}: {problem}")


@pytest.mark.parametrize("brackets", ["[]", "{}"])
def test_a_file_that_is_nested_deeply_is_refused(tmp_path: Path, config: Path, brackets: str) -> None:
    opening, closing = brackets[0] + "a=" * (brackets == "{}"), brackets[1]
    config.write_text(f"stop = {opening * 900}1{closing * 900}")
    with pytest.raises(UsageError, match=r"config.toml: nested too deeply"):
        read_config(environ(tmp_path))


def test_what_is_no_file_of_settings_is_refused(tmp_path: Path, config: Path) -> None:
    """At once: nobody writes into the FIFO, and the device never ends."""
    os.mkfifo(config)
    with pytest.raises(UsageError, match=r"config.toml: is not a regular file"):
        read_config(environ(tmp_path))
    config.unlink()
    config.symlink_to("/dev/zero")
    with pytest.raises(UsageError, match=r"config.toml: is not a regular file"):
        read_config(environ(tmp_path))
    config.unlink()
    config.mkdir()
    with pytest.raises(UsageError, match=r"config.toml: Is a directory"):
        read_config(environ(tmp_path))


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path, config: Path) -> None:
    with config.open("wb") as file:
        file.truncate(1 << 30)
    with pytest.raises(UsageError, match=r"config.toml: is over the limit of 32,768 bytes"):
        read_config(environ(tmp_path))


def test_a_long_value_is_told_by_its_beginning(tmp_path: Path, config: Path) -> None:
    for line in (f'top-k = "{"x" * 10_000}"', f"{'x' * 10_000} = 1"):
        config.write_text(line)
        with pytest.raises(UsageError) as raised:
            read_config(environ(tmp_path))
        assert len(str(raised.value)) < len(str(config)) + 200


def test_every_setting_can_be_in_the_file(tmp_path: Path, config: Path) -> None:
    lines = []
    for setting in SETTINGS.values():
        value = setting.choices[0] if setting.choices else {int: 1, float: 0.5, str: "x", bool: True}[setting.kind]
        lines.append(f"{setting.name} = {str(value).lower() if setting.kind is bool else repr(value)}")
    config.write_text("\n".join(lines))
    assert read_config(environ(tmp_path)).keys() == SETTINGS.keys()


def test_files_are_completed_as_shtab_wants_it() -> None:
    import shtab

    assert shtab.FILE.items() >= FILE.items()
