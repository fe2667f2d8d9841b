"""Tries model files that are damaged or odd, in a process of its own, whose memory and time are measured if LIMITS is
"limited".

    python fuzz_child.py LIMITS FORMAT FOLDER WORK SECONDS SEED    files made from those in FOLDER, one after the other
    python fuzz_child.py LIMITS worst FOLDER WORK                  those of fuzz_worst.py
    python fuzz_child.py LIMITS finds FOLDER WORK FINDS            those kept in a folder

WORK becomes a copy of FOLDER, in which one file at a time is replaced. A file that is neither sound nor refused ends it
with exit code 1 and a line that says why; that file is then left in WORK, and so it is where the process is killed.
"""

from __future__ import annotations

import os
import random
import resource
import shutil
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from fuzz_damage import damaged, gguf_fields, legacy_fields, safetensors_fields
from fuzz_odd import ODD
from fuzz_worst import WORST

from ggtui.core.errors import ModelFileError, UsageError
from ggtui.core.files import open_model
from ggtui.core.files.check import bad_blocks
from ggtui.core.files.convert import convert
from ggtui.core.models import check_model
from ggtui.core.vocab import vocabulary

MEMORY, MEMORY_TIMES = 200 << 20, 4  # bytes that reading may take: so many, and so many times those of the files
SECONDS, SECONDS_A_BYTE = 5.0, 5.0 / (100 << 20)  # of the processor
LIMIT, MAX_SECONDS = 2 << 30, 120  # bytes of address space and seconds that no test is to take from the machine
SPLIT = {
    "gguf": ("model.gguf", gguf_fields),
    "legacy": ("model.bin", legacy_fields),
    "huggingface": ("model.safetensors", safetensors_fields),
}


def use(path: Path, out: Path) -> None:
    """What every command does with a file before it trusts it, and then with its tensors."""
    with open_model(path) as file:
        for info in file.tensors.values():
            assert file.data(info.name).nbytes == info.n_bytes > 0
        bad_blocks(file)
        check_model(file)
        try:
            convert(file, out / "out.bin", overwrite=True)
        except UsageError as error:
            assert "cannot hold" in str(error)
        tokenizer = vocabulary(file.metadata, path)
        assert isinstance(tokenizer.decode(tokenizer.encode("the other day")), str)
        tokenizer.encode("<|endoftext|>", special=True)


def use_vocabulary(path: Path, out: Path) -> None:
    """Only that, of a file that may have no tensors."""
    with open_model(path) as file:
        vocabulary(file.metadata, path).encode("<|endoftext|> the other day", special=True)


def peak() -> int:
    """The most memory that this process had, since it was last forgotten."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) << 10 for line in status if line.startswith("VmHWM"))


def limit() -> None:
    """From now on a very large allocation is a MemoryError, and what does not end is killed."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    for what, most in ((resource.RLIMIT_AS, used + LIMIT), (resource.RLIMIT_CPU, MAX_SECONDS)):
        resource.setrlimit(what, (most, resource.getrlimit(what)[1]))


def problem_of(path: Path, use: Callable[[Path], None]) -> str:
    """What is wrong with how a file, or a folder, is taken; nothing if it is sound or refused."""
    try:
        use(path)
    except ModelFileError as error:
        if len(str(error).splitlines()) > 1 or len(str(error)) > 1000:
            return "a message of several lines, or a very long one"
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:200]}"
    return ""


def problem_within_limits(path: Path, use: Callable[[Path], None]) -> str:
    """Also whether it takes too long, or too much memory."""
    size = sum(p.stat().st_size for p in (path.iterdir() if path.is_dir() else [path]))
    limit()
    Path("/proc/self/clear_refs").write_text("5")
    before, started = peak(), time.process_time()
    problem = problem_of(path, use)
    seconds, memory = time.process_time() - started, peak() - before
    if problem:
        return problem
    if seconds > SECONDS + SECONDS_A_BYTE * size:
        return f"took {seconds:.1f} s for {size} bytes"
    if memory > MEMORY + MEMORY_TIMES * size:
        return f"took {memory >> 20} MiB of memory for {size} bytes"
    return ""


def apart(function: Callable[[], str]) -> str:
    """What `function` returns, called in a fork of this process: memory that others have used would be used again, and
    not be measured."""
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(theirs, function().encode())
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    os.close(theirs)
    with os.fdopen(ours, "rb") as said:
        text = said.read().decode()
    _, status = os.waitpid(pid, 0)
    return text if status == 0 else f"ended by {status}"


class Bench:
    """The folder in which one file at a time is replaced."""

    def __init__(self, folder: Path, work: Path, problem_of: Callable[[Path, Callable[[Path], None]], str]) -> None:
        self.folder, self.work, self.problem_of, self.tried = folder, work, problem_of, 0
        self.out = work.with_name(f"{work.name}-out")
        shutil.copytree(folder, work, dirs_exist_ok=True)
        self.out.mkdir(exist_ok=True)

    def try_file(self, what: str, make: Callable[[], tuple[str, bytes]], use: Callable[[Path, Path], None]) -> None:
        """The file that `make` gives, a name and bytes, takes its place; afterwards all is as it was."""

        def write() -> str:
            name, content = make()
            (self.work / name).write_bytes(content)
            return name

        name = apart(write)
        assert (self.work / name).exists(), f"{what}: {name}"
        path = self.work / name if name in ("model.gguf", "model.bin") else self.work
        problem = apart(lambda: self.problem_of(path, lambda path: use(path, self.out)))
        if problem:
            print(f"{what}: {name}: {problem}")
            sys.exit(1)
        if (self.folder / name).exists():
            shutil.copyfile(self.folder / name, self.work / name)
        else:
            (self.work / name).unlink()
        self.tried += 1


def main(limits: str, kind: str, folder: str, work: str, *args: str) -> None:
    bench = Bench(Path(folder), Path(work), problem_within_limits if limits == "limited" else problem_of)
    if kind == "worst":
        for what, (name, content) in WORST.items():
            bench.try_file(what, lambda name=name, content=content: (name, content()), use_vocabulary)
    elif kind == "finds":
        for find in sorted(Path(args[0]).glob("*")):
            bench.try_file(find.name, lambda find=find: (find.name.rpartition("-")[0], find.read_bytes()), use)
    else:
        name, split = SPLIT[kind]
        fields, end, seed = split(bench.folder), time.monotonic() + float(args[0]), int(args[1])
        while time.monotonic() < end or bench.tried < 100:
            rng = random.Random(seed)
            if seed % 2:
                bench.try_file(f"seed {seed}", lambda rng=rng: (name, damaged(fields, rng)), use)
            else:
                bench.try_file(f"seed {seed}", lambda rng=rng: ODD[kind](bench.folder, rng), use)
            seed += 1
    print(f"{kind}: {bench.tried} files")


if __name__ == "__main__":
    main(*sys.argv[1:])
