"""Settings from the command line, the environment and config.toml, in this order of precedence."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from ggtui.chat.folders import config_file
from ggtui.chat.settings import GENERATION, LOADING, SETTINGS, Setting, nearest
from ggtui.core.errors import UsageError
from ggtui.core.reading import read_file
from ggtui.viz.text import printable_line

FILE = {"bash": "_shtab_compgen_files", "zsh": "_files", "tcsh": "f"}  # shtab.FILE, without its import
_MOST = 1 << 15  # bytes of config.toml
CONFIG_NOTE = (
    "MODEL and most flags can also be given by a variable (GGTUI_THREADS=2) or a\n"
    "line of $XDG_CONFIG_HOME/ggtui/config.toml (threads = 2).\n"
    "A flag goes before a variable, and that before the file."
)


def add_model(parser: argparse.ArgumentParser) -> None:
    model = parser.add_argument("model", nargs="?", metavar="MODEL", help=SETTINGS["model"].help)
    model.complete = FILE  # type: ignore[attr-defined]
    add_setting(parser, "type-from")


def add_loading(parser: argparse.ArgumentParser) -> None:
    """The flags that say how a model is loaded and computed."""
    _add(parser.add_argument_group("model"), LOADING)


def add_generation(parser: argparse.ArgumentParser) -> None:
    """The flags that say how text is generated."""
    _add(parser.add_argument_group("generation"), (*GENERATION, "seed", "speed"))


def add_setting(parser: argparse._ActionsContainer, name: str) -> None:
    _add(parser, (name,))


def add_output(parser: argparse.ArgumentParser) -> None:
    """-q and -v."""
    parser.add_argument("-q", "--quiet", action="store_true", help="say nothing on stderr but errors")
    parser.add_argument("-v", "--verbose", action="store_true", help="say more on stderr, of errors where they arose")


def note(args: argparse.Namespace, text: str) -> None:
    """Say something on stderr, unless that was not wanted."""
    if not args.quiet and sys.stderr is not None:
        print(f"ggtui: {printable_line(text)}", file=sys.stderr, flush=True)


def _add(parser: argparse._ActionsContainer, names: Iterable[str]) -> None:
    for setting in map(SETTINGS.__getitem__, names):
        flags = [f"-{setting.short}"] if setting.short else []
        flags += [f"--{name}" for name in (setting.name, setting.alias) if name]
        if setting.kind is bool:
            parser.add_argument(*flags, action=argparse.BooleanOptionalAction, help=_help(setting))
            continue
        parser.add_argument(
            *flags,
            type=partial(setting.parse, source=f"--{setting.name}"),
            action="append" if setting.many else "store",
            choices=setting.choices or None,
            metavar=setting.metavar,
            help=_help(setting),
        )


def _help(setting: Setting) -> str:
    choices = f": {', '.join(setting.choices)}" if setting.choices and setting.name != "mode" else ""
    shown = setting.default not in (None, (), False)
    default = f" (default {setting.text(setting.default)})" if shown else ""
    return (setting.help + choices + default).replace("%", "%%")


def without(words: Sequence[str], flag: str, n_values: int = 1) -> list[str]:
    """A command line without a flag and its value."""
    left: list[str] = []
    skip = 0
    for word in words:
        if skip:
            skip -= 1
        elif word == flag:
            skip = n_values
        elif not word.startswith(f"{flag}="):
            left.append(word)
    return left


def resolve(args: argparse.Namespace, names: Iterable[str], environ: Mapping[str, str] = os.environ) -> None:
    """Give `args` a value for each setting in `names` that no flag gave.

    Raises UsageError for a bad value, naming where it stands, and for a config.toml that is damaged or has a key that
    is no setting. Where "model" is wanted, the tensor types of --type-from are registered too.
    """
    if "model" in names:
        names = (*names, "type-from")
    config = read_config(environ)
    for setting in map(SETTINGS.__getitem__, names):
        value = getattr(args, setting.key, None)
        if value is None:
            value = _from_environment(setting, environ)
        if value is None:
            value = config.get(setting.name)
        if value is None:
            value = setting.default
        setattr(args, setting.key, tuple(value) if setting.many else value)
    for path in getattr(args, "type_from", None) or ():
        from ggtui.core.graph.own_types import register_from

        register_from(path)


def _from_environment(setting: Setting, environ: Mapping[str, str]) -> Any:
    """The value of its variable; an empty one counts as none."""
    for variable in setting.variables:
        if text := environ.get(variable):
            value = setting.parse(text, variable)
            return (value,) if setting.many else value
    return None


def read_config(environ: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """The settings of config.toml by name; none if there is no such file."""
    path = config_file(environ)
    try:
        data = read_file(path, _MOST)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    import tomllib

    try:
        table = tomllib.loads(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: it is not text in UTF-8 (byte {error.start})") from error
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path}: not TOML: {error}") from error
    except RecursionError as error:
        raise UsageError(f"{path}: nested too deeply; a setting is a value or a list of texts") from error
    found: dict[str, Any] = {}
    for key, value in table.items():
        name = key.replace("_", "-")
        name = next((s.name for s in SETTINGS.values() if name and name == s.alias), name)
        if name not in SETTINGS:
            meant = nearest(name, SETTINGS)
            raise UsageError(f"{path}: {key[:40]}: no such setting{f'; did you mean {meant}?' if meant else ''}")
        setting = SETTINGS[name]
        if setting.many:
            values = value if isinstance(value, list) else [value]
            found[name] = tuple(setting.parse(v, f"{path}: {key}") for v in values)
        else:
            found[name] = setting.parse(value, f"{path}: {key}")
    return found
