"""The Python side's flame graph, through py-spy."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

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
    path = Path(path)
    temporary = path.with_name(path.name + ".part")
    command = [program, "record", "--rate", str(RATE), "--format", "flamegraph", "--output", str(temporary)]
    try:
        done = subprocess.run(
            [*command, "--", sys.executable, "-m", "ggtui", *args], stderr=subprocess.PIPE, text=True, check=False
        )
        if temporary.exists() and temporary.stat().st_size:
            temporary.replace(path)
            return 0
    finally:
        with suppress(OSError):
            temporary.unlink()
    said = done.stderr.strip()
    if any(words in said.lower() for words in ("permission denied", "eperm", "not permitted")):
        raise MissingPartError(
            "--py-spy: this system does not permit ptrace; run as root, give a container the capability SYS_PTRACE, "
            "or set /proc/sys/kernel/yama/ptrace_scope to 0"
        )
    last = next((line for line in reversed(said.splitlines()) if line.strip()), f"exit code {done.returncode}")
    raise GgtuiError(f"--py-spy: py-spy made no flame graph: {last.strip()}")
