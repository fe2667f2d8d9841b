"""Conversations know no terminal: what draws or reads keys lies above them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import ggtui.chat

TERMINALS = ("curses", "prompt_toolkit", "readline", "rich", "termios", "textual", "tty")
CODE = """
import sys
from importlib import import_module
for name in sys.argv[1].split():
    import_module(f"ggtui.chat.{name}")
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""


def test_no_module_imports_one() -> None:
    names = sorted(path.stem for path in Path(ggtui.chat.__path__[0]).glob("*.py"))
    assert "commands" in names and "conversation" in names
    done = subprocess.run([sys.executable, "-c", CODE, " ".join(names)], capture_output=True, text=True, check=True)
    assert not {*done.stdout.split()} & {*TERMINALS}
