"""The models on this machine, and those that `ggtui pull` would fetch. Nothing is changed, and no weights are read.

Looked at are the folders of ggtui, Hugging Face, llama.cpp, ollama and LM Studio. Each name stands for a MODEL in every
command, and so does a part of it that fits no other.

The types are the two that most of the bytes are in. The last column says whether ggtui runs the model, or why not.

examples:
  ggtui list                                             as text
  ggtui list --json | jq -r '.models[] | select(.runs).path'   as data
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ggtui.cli.flags import add_output
from ggtui.viz.text import printable_line

if TYPE_CHECKING:
    from ggtui.core.files.places import Found

_REASON = 70  # characters of why a model is not run, as text
_COLUMNS = ("name", "architecture", "types", "size", "place", "runs")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="as one JSON object")
    add_output(parser)


def run(args: argparse.Namespace) -> int:
    facts = gather()
    if args.json:
        print(json.dumps(facts, indent=1))
    else:
        print(*map(printable_line, _lines(facts)), sep="\n")
    return 0


def gather() -> dict[str, Any]:
    """The models found, and the rows of the catalogue that are not here. Sizes are bytes."""
    from ggtui.core.files.catalogue import ROWS
    from ggtui.core.files.places import models, path_of

    rows = [
        {"name": r.name, "about": r.about, "bytes": r.size, "licence": r.licence} for r in ROWS if path_of(r) is None
    ]
    return {"models": [describe(found) for found in models()], "catalogue": rows}


def describe(found: Found) -> dict[str, Any]:
    """A model as its file describes it. Without `runs`, `problem` says why it is not run."""
    from ggtui.core.models.overview import overview

    about = overview(found)
    return {
        "name": found.name,
        "path": str(found.path),
        "owner": found.owner,
        "place": str(found.root),
        "bytes": found.size,
        "architecture": about.architecture,
        "types": list(about.types),
        "runs": about.problem is None,
        "problem": about.problem,
    }


# ---- as text ----


def _lines(facts: dict[str, Any]) -> Iterator[str]:
    if facts["models"]:
        yield from _table([_COLUMNS, *map(_row, facts["models"])])
    else:
        yield "no models are here but the built-in one"
    if facts["catalogue"]:
        from ggtui.viz.tables import size

        yield from ("", "to be fetched with: ggtui pull NAME")
        yield from _table([(r["name"], size(r["bytes"]), r["licence"], r["about"]) for r in facts["catalogue"]])


def _row(model: dict[str, Any]) -> tuple[str, ...]:
    from ggtui.viz.tables import size

    runs = "yes" if model["runs"] else f"no: {model['problem']}"
    runs = runs if len(runs) <= _REASON else f"{runs[:_REASON]}..."
    types = ", ".join(model["types"])
    return model["name"], model["architecture"] or "", types, size(model["bytes"]), _with_tilde(model["place"]), runs


def _with_tilde(path: str) -> str:
    """A path under the home folder as people write it."""
    try:
        return str(Path("~") / Path(path).relative_to(Path.home()))
    except (ValueError, RuntimeError):
        return path


def _table(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    shown = [tuple(map(printable_line, row)) for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    for row in shown:
        yield "  ".join(f"{text:{width}}" for text, width in zip(row, widths, strict=True)).rstrip()
