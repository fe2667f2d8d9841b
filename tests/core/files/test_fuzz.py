"""Damaged files of every format end in ModelFileError or in a model that is sound; nothing else, and not slowly.

Files are taken apart into fields and damaged field by field: a number becomes another one, a field goes missing, comes
twice, changes places. `make fuzz` does this for a long time, from a new seed. What it finds is saved in
tests/data/fuzz, where it stays and is tried again by every run of the tests.

GGTUI_FUZZ_SECONDS: for how long, for each format (2). GGTUI_FUZZ_SEED: the first seed (0).
"""

from __future__ import annotations

import json
import os
import random
import shutil
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ggtui.core.errors import ModelFileError
from ggtui.core.files import open_model
from ggtui.core.files.check import bad_blocks
from ggtui.core.files.convert import convert
from ggtui.core.models import check_model
from ggtui.core.vocab import vocabulary

SECONDS = float(os.environ.get("GGTUI_FUZZ_SECONDS", "2"))
SEED = int(os.environ.get("GGTUI_FUZZ_SEED", "0"))
FINDS = Path(__file__).parents[2] / "data" / "fuzz"
MAX_MEMORY = 1 << 30  # bytes more than before that a file of some kilobytes may make a reader want
MAX_SECONDS = 5.0  # for one file
NUMBERS = (0, 1, 2, 3, 4, 7, 8, 9, 12, 13, 31, 32, 33, 63, 64, 127, 128, 255, 256, 999, 1000, 1001, 2007, 65535, 65536)
NUMBERS += tuple((1 << bits) + d for bits in (24, 31, 32, 62, 63) for d in (-1, 0, 1))
NUMBERS += tuple((1 << 64) - d for d in (1, 2, 32))

Fields = list[bytes]


def gguf_fields(folder: Path) -> Fields:
    """Every number and every text of the header as a field of its own, then the data of all tensors."""
    raw = (folder / "model.gguf").read_bytes()
    out, at = Fields(), 0

    def take(n: int) -> bytes:
        nonlocal at
        at += n
        out.append(raw[at - n : at])
        return out[-1]

    def number(layout: str) -> Any:
        return struct.unpack("<" + layout, take(struct.calcsize(layout)))[0]

    def value(kind: int) -> None:
        if kind == 8:
            take(number("Q"))
        elif kind == 9:
            of, n = number("I"), number("Q")
            for _ in range(n):
                value(of)
        else:
            take((1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8)[kind])

    take(4), number("I")
    n_tensors, n_keys = number("Q"), number("Q")
    for _ in range(n_keys):
        take(number("Q"))
        value(number("I"))
    for _ in range(n_tensors):
        take(number("Q"))
        for _ in range(number("I")):
            number("Q")
        number("I"), number("Q")
    take(-at % 32)
    while at < len(raw):
        take(min(4096, len(raw) - at))
    assert b"".join(out) == raw
    return out


def legacy_fields(folder: Path) -> Fields:
    raw = (folder / "model.bin").read_bytes()
    out, at = Fields(), 0

    def take(n: int) -> bytes:
        nonlocal at
        at += n
        out.append(raw[at - n : at])
        return out[-1]

    def number() -> int:
        return int.from_bytes(take(4), "little")

    take(4)
    hparams = [number() for _ in range(6)]
    number()
    for _ in range(hparams[0]):
        take(number())
    while at < len(raw):
        n_dims, n_name, kind = number(), number(), number()
        ne = [number() for _ in range(n_dims)]
        take(n_name)
        take(int(np.prod(ne)) * (2 if kind == 1 else 4))
    assert b"".join(out) == raw
    return out


def safetensors_fields(folder: Path) -> Fields:
    """The tokens of the JSON header: punctuation, names, numbers."""
    raw = (folder / "model.safetensors").read_bytes()
    n = struct.unpack_from("<Q", raw)[0]
    out, text = Fields([raw[:8]]), raw[8 : 8 + n].decode()
    scanner, at = json.JSONDecoder(), 0
    while at < len(text):
        end = at + 1
        if text[at] in '"-0123456789':
            end = scanner.raw_decode(text, at)[1]
        out.append(text[at:end].encode())
        at = end
    out += [raw[at : at + 4096] for at in range(8 + n, len(raw), 4096)]
    assert b"".join(out) == raw
    return out


def damaged(fields: Fields, rng: random.Random) -> bytes:
    """One to four changes; early fields, which decide about what follows, are changed as often as all others."""
    fields = list(fields)
    for _ in range(rng.randint(1, 4)):
        i = rng.randrange(min(len(fields), rng.choice((12, 60, len(fields)))))
        size = len(fields[i])
        match rng.randrange(8):
            case 0 | 1 | 2:  # another number, as bytes or as text
                number = rng.choice(NUMBERS)
                as_text = fields[i].isdigit()
                fields[i] = str(number).encode() if as_text else number.to_bytes(8, "little")[: max(size, 1)]
            case 3:
                raw = bytearray(fields[i] or b"x")
                raw[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)
                fields[i] = bytes(raw)
            case 4:
                fields[i] = b""
            case 5:
                fields[i] *= rng.choice((2, 2, 3, 100))
            case 6:
                j = rng.randrange(len(fields))
                fields[i], fields[j] = fields[j], fields[i]
            case 7:
                j = rng.randrange(len(fields))
                fields[i] = fields[j]
    raw = b"".join(fields)
    return raw[: rng.randrange(len(raw) + 1)] if rng.random() < 0.1 else raw


def use(path: Path) -> None:
    """What every command does with a file before it trusts it, and then with its tensors."""
    with open_model(path) as file:
        for info in file.tensors.values():
            assert file.data(info.name).nbytes == info.n_bytes > 0
        bad_blocks(file)
        check_model(file)
        tokenizer = vocabulary(file.metadata, path)
        assert isinstance(tokenizer.decode(tokenizer.encode("the other day")), str)


FORMATS: dict[str, tuple[Callable[[Path], Fields], str]] = {
    "gguf": (gguf_fields, "model.gguf"),
    "legacy": (legacy_fields, "model.bin"),
    "safetensors": (safetensors_fields, "model.safetensors"),
}


@pytest.fixture(scope="module")
def folder(one_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model in all formats."""
    folder = tmp_path_factory.mktemp("fuzz") / "model"
    shutil.copytree(one_folder, folder)
    with open_model(one_folder) as src:
        convert(src, folder / "model.gguf", "q8_0")
        convert(src, folder / "model.bin", "f16")
    return folder


@contextmanager
def limited_memory() -> Iterator[None]:
    """A large allocation becomes a MemoryError. Not under a sanitizer, which itself takes what it can get."""
    if "san" in os.environ.get("LD_PRELOAD", "") or not Path("/proc/self/statm").exists():
        yield
        return
    import resource

    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + MAX_MEMORY, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def problem_of(path: Path) -> str | None:
    """What is wrong with how a file is taken; None if it is sound or refused."""
    started = time.perf_counter()
    try:
        use(path)
    except ModelFileError as error:
        if "\n" in str(error):
            return "a message of several lines"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    seconds = time.perf_counter() - started
    return f"took {seconds:.1f} s" if seconds > MAX_SECONDS else None


@pytest.mark.timeout(60 + 10 * SECONDS)
@pytest.mark.parametrize("format", FORMATS)
def test_damaged_files(folder: Path, tmp_path: Path, format: str) -> None:
    split, name = FORMATS[format]
    fields = split(folder)
    assert problem_of(folder / name) is None
    path = tmp_path / name
    if format == "safetensors":
        shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    end, seed = time.monotonic() + SECONDS, SEED
    with limited_memory():
        while time.monotonic() < end or seed < SEED + 100:
            content = damaged(fields, random.Random(seed))
            path.write_bytes(content)
            problem = problem_of(path)
            if problem is not None:
                FINDS.mkdir(exist_ok=True)
                find = FINDS / f"{format}-{sha256(content).hexdigest()[:12]}"
                find.write_bytes(content)
                pytest.fail(f"seed {seed}: {problem}; the file is kept as {find}")
            seed += 1
    print(f"{format}: {seed - SEED} files")


def test_finds(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    for find in sorted(FINDS.glob("*")):
        format, _, _ = find.name.partition("-")
        path = tmp_path / FORMATS[format][1]
        shutil.copyfile(find, path)
        with limited_memory():
            assert problem_of(path) is None, find
        shutil.copyfile(folder / path.name, path)
