"""docs/architecture.md names files that exist, and its table of changes names what a change touches."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
FOLDERS = ("", "ggtui/", "ggtui/core/runtime/cpu/", "ggtui/core/graph/ops/", "ggtui/core/training/", "ggtui/csrc/cpu/")


def test_files_that_are_named_exist() -> None:
    named = set(re.findall(r"`([\w/]+(?:\.(?:py|c|h|def)|/))`", TEXT))
    assert len(named) > 60
    assert not [name for name in named if not any((ROOT / folder / name).exists() for folder in FOLDERS)]


def test_changes_are_told() -> None:
    table = TEXT[TEXT.index("| change | touches |") :].splitlines()[2:]
    rows = {line.split("|")[1].strip(): line for line in table if line.startswith("|")}
    assert len(rows) == 13
    for change, line in rows.items():
        assert "`ggtui/" in line, change
