"""The Python side's flame graph, through py-spy."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from ggtui.core import saving
from ggtui.core.errors import GgtuiError, MissingPartError

RATE = 500  # samples a second


def find() -> str | None:
    """The program: beside this Python, or on the path."""
    return shutil.which("py-spy", path=sysconfig.get_path("scripts")) or shutil.which("py-spy")


def record(args: Sequence[str], path: str | Path) -> int:
    """Run `ggtui args` in a process of its own under py-spy, write the flame graph to `path` (SVG), and return that
    process's exit code.

    py-spy starts the process itself, since a parent may look into its child where nobody may look into a parent.
    Raises MissingPartError without py-spy, or where the system does not permit ptrace.
    """
    program = find()
    if program is None:
        raise MissingPartError("--py-spy: py-spy is not installed; install it with: pip install py-spy")
    with saving.output(path) as file, TemporaryDirectory() as folder:
        drawn = Path(folder, "graph.svg")
        command = [program, "record", "--rate", str(RATE), "--format", "flamegraph", "--output", str(drawn)]
        done = subprocess.run(
            [*command, "--", sys.executable, "-m", "ggtui", *args], stderr=subprocess.PIPE, text=True, check=False
        )
        if not drawn.exists() or not drawn.stat().st_size:
            raise _failure(done)
        file.write(drawn.read_bytes())
    return 0


def _failure(done: subprocess.CompletedProcess[str]) -> GgtuiError:
    """Why there is no flame graph."""
    said = done.stderr.strip()
    if any(words in said.lower() for words in ("permission denied", "eperm", "not permitted")):
        return MissingPartError(
            "--py-spy: this system does not permit ptrace; run as root, give a container the capability SYS_PTRACE, "
            "or set /proc/sys/kernel/yama/ptrace_scope to 0"
        )
    last = next((line for line in reversed(said.splitlines()) if line.strip()), f"exit code {done.returncode}")
    return GgtuiError(f"--py-spy: py-spy made no flame graph: {last.strip()}")
