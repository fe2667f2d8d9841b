"""Damaged and odd files of every format end in ModelFileError or in a model that is sound; nothing else, not slowly, in
little memory.

Files are taken apart into fields and damaged field by field (fuzz_damage.py), or made anew with what no model has
(fuzz_odd.py). They are tried in a process of their own (fuzz_child.py). `make fuzz` does this for a long time, from a
new seed. What it finds is saved in tests/data/fuzz, where it stays and is tried again by every run of the tests.

GGTUI_FUZZ_SECONDS: for how long, for each format (2). GGTUI_FUZZ_SEED: the first seed (0).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from small_llama import write_small_llama

from ggtui.core.engine.session import Session
from ggtui.core.files import open_model
from ggtui.core.files.convert import convert

SECONDS = float(os.environ.get("GGTUI_FUZZ_SECONDS", "2"))
SEED = int(os.environ.get("GGTUI_FUZZ_SEED", "0"))
CHILD = Path(__file__).with_name("fuzz_child.py")
FINDS = Path(__file__).parents[2] / "data" / "fuzz"
MAX_FIND = 1 << 20  # bytes of a file that is kept
LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is measured as Linux does")


@pytest.fixture(scope="module")
def folder(one_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model in all formats."""
    folder = tmp_path_factory.mktemp("fuzz") / "model"
    shutil.copytree(one_folder, folder)
    with open_model(one_folder) as src:
        convert(src, folder / "model.gguf", "q8_0")
        convert(src, folder / "model.bin", "f16")
    return folder


@pytest.fixture
def limits(request: pytest.FixtureRequest) -> str:
    """Whether memory and time are measured: not where what runs the tests itself takes both."""
    return "unlimited" if "not bare" in request.config.getoption("-m") else "limited"


def tried(limits: str, kind: str, folder: Path, work: Path, *args: str) -> str:
    """What the child says. Where a file fails, it is kept and the test ends."""
    command = [sys.executable, str(CHILD), limits, kind, str(folder), str(work), *args]
    # Its neighbours are found also where Python is told not to look into a script's folder.
    env = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(CHILD.parent), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]),
    }
    child = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, env=env)
    if child.returncode == 0:
        return child.stdout
    kept = []
    for path in work.iterdir() if work.exists() else []:
        raw, before = path.read_bytes(), folder / path.name
        if len(raw) <= MAX_FIND and not (before.exists() and before.read_bytes() == raw):
            FINDS.mkdir(exist_ok=True)
            kept.append(FINDS / f"{path.name}-{sha256(raw).hexdigest()[:12]}")
            kept[-1].write_bytes(raw)
    pytest.fail(f"exit code {child.returncode}: {child.stdout}; kept as {kept}")


@LINUX
@pytest.mark.timeout(120 + 10 * SECONDS)
@pytest.mark.parametrize("format", ["gguf", "legacy", "huggingface"])
def test_damaged_and_odd_files(limits: str, folder: Path, tmp_path: Path, format: str) -> None:
    print(tried(limits, format, folder, tmp_path / "work", str(SECONDS), str(SEED)))


@LINUX
@pytest.mark.timeout(120 + 10 * SECONDS)
def test_damaged_and_odd_files_of_a_llama(limits: str, tmp_path: Path) -> None:
    folder = tmp_path / "llama"
    folder.mkdir()
    write_small_llama(folder / "model.gguf")
    with Session(folder / "model.gguf", threads=1) as session:
        assert np.isfinite(session.eval(session.tokenizer.begin("the other day") * 4)).all()
    print(tried(limits, "gguf", folder, tmp_path / "work", str(SECONDS), str(SEED)))


@LINUX
@pytest.mark.bare
@pytest.mark.timeout(300)
def test_small_files_that_ask_for_much(folder: Path, tmp_path: Path) -> None:
    print(tried("limited", "worst", folder, tmp_path / "work"))


@LINUX
@pytest.mark.timeout(120)
def test_finds(limits: str, folder: Path, tmp_path: Path) -> None:
    assert "finds: " in tried(limits, "finds", folder, tmp_path / "work", str(FINDS))
