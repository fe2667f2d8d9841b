"""With GGTUI_NO_SKIPS=1 a skipped test, or a skipped file of tests, is a failure, also with several processes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).parent / "conftest.py"
PASSES = "def test_it(): pass"
SKIPS = "import pytest\ndef test_it(): pytest.skip('no such tool')"
LACKS_A_MODULE = "import pytest\npytest.importorskip('no_such_module')\ndef test_it(): pass"


@pytest.mark.parametrize(
    ("tests", "no_skips", "workers", "code"),
    [
        ([PASSES], "1", 0, 0),
        ([PASSES, SKIPS], "", 0, 0),
        ([PASSES, SKIPS], "1", 0, 1),
        ([PASSES, LACKS_A_MODULE], "1", 0, 1),
        ([PASSES, PASSES], "1", 2, 0),
        ([PASSES, SKIPS], "1", 2, 1),
        ([PASSES, LACKS_A_MODULE], "1", 2, 1),
    ],
)
def test_no_skips(tests: list[str], no_skips: str, workers: int, code: int, tmp_path: Path) -> None:
    shutil.copy(CONFTEST, tmp_path)
    for i, test in enumerate(tests):
        (tmp_path / f"test_{i}.py").write_text(test)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        f"-n{workers}",
        "-c",
        os.devnull,
        "--rootdir",
        tmp_path,
        tmp_path,
    ]
    environ = os.environ | {"GGTUI_NO_SKIPS": no_skips}
    done = subprocess.run(command, env=environ, cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert done.returncode == code, done.stdout
    assert ("GGTUI_NO_SKIPS=1 allows none" in done.stdout) == (code != 0)
