"""What is saved: complete or not at all, under any name, through links, into pipes."""

from __future__ import annotations

import os
import signal
import stat
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ggtui.core.errors import GgtuiError, UsageError
from ggtui.core.saving import output, write


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a"


@contextmanager
def umask(value: int) -> Iterator[None]:
    before = os.umask(value)
    try:
        yield
    finally:
        os.umask(before)


@contextmanager
def reading(path: Path) -> Iterator[list[bytes]]:
    """A named pipe at `path`, and what was written into it when the `with` has ended."""
    os.mkfifo(path)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(path.read_bytes()))
    reader.start()
    yield read
    reader.join()
    assert stat.S_ISFIFO(path.stat().st_mode), "it was replaced"


# ---- the file ----


def test_bytes_and_text_alone_in_the_folder(path: Path) -> None:
    write(path, b"\0\xff")
    assert path.read_bytes() == b"\0\xff"
    write(str(path), "ä\ud800")
    assert path.read_bytes() == "ä?".encode() and list(path.parent.iterdir()) == [path]


def test_a_new_file_has_the_permissions_of_any_other_unless_it_is_private(path: Path, tmp_path: Path) -> None:
    with umask(0o027):
        write(path, "")
        write(tmp_path / "b", "", private=True)
    assert (mode(path), mode(tmp_path / "b")) == (0o640, 0o600)


@pytest.mark.parametrize("private", [False, True])
@pytest.mark.parametrize("kept", [0o600, 0o664, 0o755])
def test_permissions_and_owner_of_what_was_there_are_kept(path: Path, kept: int, private: bool) -> None:
    path.touch()
    path.chmod(kept)
    if os.geteuid() == 0:
        os.chown(path, 4321, 4322)
    before = path.stat()
    with umask(0o077):
        write(path, "new", private=private)
    after = path.stat()
    assert path.read_text() == "new" and after.st_ino != before.st_ino
    assert (mode(path), after.st_uid, after.st_gid) == (kept, before.st_uid, before.st_gid)


def test_the_group_is_kept_also_where_the_owner_cannot_be(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fchown = os.fchown

    def of_a_user(descriptor: int, user: int, group: int) -> None:
        if user != -1:
            raise PermissionError(1, "Operation not permitted")
        fchown(descriptor, user, group)

    path.touch(0o660)
    if os.geteuid() == 0:
        os.chown(path, 4321, 4322)
    before = path.stat()
    monkeypatch.setattr(os, "fchown", of_a_user)
    write(path, "new")
    after = path.stat()
    assert (after.st_uid, after.st_gid) == (os.geteuid(), before.st_gid) and after.st_mode == before.st_mode


def test_an_unfinished_file_is_nobody_elses_from_the_start(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it replaces may be secret."""
    path.touch(0o600)
    monkeypatch.setattr(os, "fchmod", lambda *_: None)
    with umask(0), output(path) as file:
        file.write(b"secret")
        (unfinished,) = set(path.parent.iterdir()) - {path}
        assert mode(unfinished) == 0o600


@pytest.mark.parametrize("exists", [True, False])
def test_a_link_stays_one_and_leads_to_what_was_saved(path: Path, tmp_path: Path, exists: bool) -> None:
    (tmp_path / "folder").mkdir()
    real, middle = tmp_path / "folder" / "real", tmp_path / "folder" / "middle"
    middle.symlink_to("real")
    path.symlink_to(Path("folder", "middle"))
    if exists:
        real.touch(0o640)
    write(path, "new")
    assert path.is_symlink() and middle.is_symlink() and not real.is_symlink()
    assert real.read_text() == "new" and len(list(tmp_path.iterdir())) == 2


def test_a_link_at_a_name_that_could_be_guessed_is_not_followed(path: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    for name in ("a.part", ".a.part", f".a.{os.getpid()}.part"):
        (tmp_path / name).symlink_to(victim)
    for _ in range(3):
        write(path, "new")
    assert victim.read_text() == "precious" and path.read_text() == "new"


@pytest.mark.parametrize("name", ["x" * 255, "ü" * 127, "-", ".hidden", "a\nb"])
def test_any_name_that_is_legal(tmp_path: Path, name: str) -> None:
    write(tmp_path / name, "x")
    write(tmp_path / name, "y")
    assert [p.name for p in tmp_path.iterdir()] == [name] and (tmp_path / name).read_text() == "y"


def test_two_that_write_one_file_both_succeed(path: Path) -> None:
    with output(path) as first, output(path) as second:
        first.write(b"first")
        second.write(b"second")
    assert path.read_bytes() == b"first", "the last to end"
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda i: write(path, f"{i}" * 5000), [1, 2, 3, 4] * 25))
    assert path.read_text() in [f"{i}" * 5000 for i in (1, 2, 3, 4)] and list(path.parent.iterdir()) == [path]


def test_durable_data_is_on_the_disk_before_it_has_its_name(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    fsync, replace = os.fsync, os.replace

    def synced(descriptor: int) -> None:
        status = os.fstat(descriptor)
        done.append("folder" if stat.S_ISDIR(status.st_mode) else f"{status.st_size} bytes")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", lambda *args: (done.append("replace"), replace(*args)))
    write(path, "new", durable=True)
    write(path, "new")
    assert done == ["3 bytes", "replace", "folder", "replace"]


# ---- what goes wrong ----


@pytest.mark.parametrize("error", [RuntimeError("x"), OSError(5, "of another file"), KeyboardInterrupt(), SystemExit()])
def test_whatever_ends_it_leaves_the_old_file_and_nothing_else(path: Path, error: BaseException) -> None:
    path.write_text("old")
    with pytest.raises(type(error)) as raised, output(path, durable=True) as file:
        file.write(b"n" * 1_000_000)
        raise error
    assert raised.value is error, "what is not of this file is not told of it"
    assert path.read_text() == "old" and list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("size", [70_000, 10_000_000], ids=["at the end", "midway"])
@pytest.mark.parametrize("there", [True, False])
def test_a_full_disk_leaves_the_old_file_and_nothing_else(path: Path, there: bool, size: int, full_disk: Any) -> None:
    if there:
        path.write_text("old")
    with full_disk(65_536), pytest.raises(GgtuiError) as raised:
        write(path, bytes(size))
    assert str(raised.value) == f"{path}: cannot be written: File too large"
    assert [p.read_text() for p in path.parent.iterdir()] == ["old"] * there


@pytest.mark.parametrize(
    ("name", "kind", "problem"),
    [
        ("", UsageError, "is a folder; name the file to write"),
        ("no/a", GgtuiError, "cannot be written: No such file or directory"),
        ("file/a", GgtuiError, "cannot be written: Not a directory"),
        ("x" * 256, GgtuiError, "cannot be written: File name too long"),
        ("a\0b", GgtuiError, "cannot be written: embedded null byte"),
        ("loop", GgtuiError, "cannot be written: Too many levels of symbolic links"),
    ],
)
def test_errors_are_of_the_file_that_was_asked_for(
    tmp_path: Path, name: str, kind: type[GgtuiError], problem: str
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    path = tmp_path / name
    with pytest.raises(GgtuiError) as raised:
        write(path, "x")
    assert type(raised.value) is kind and str(raised.value) == f"{path}: {problem}"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "loop"]


def test_what_a_killed_program_left_is_removed_a_day_later(path: Path, tmp_path: Path) -> None:
    def left(name: str, hours: float) -> Path:
        (tmp_path / name).touch()
        os.utime(tmp_path / name, times=(time.time() - hours * 3600,) * 2)
        return tmp_path / name

    gone = left(f".ggtui-{'0' * 16}.part", 25)
    kept = [left(f".ggtui-{'1' * 16}.part", 23), left(".ggtui-mine.part", 25), left("a.part", 25)]
    if os.geteuid() == 0:
        kept.append(left(f".ggtui-{'2' * 16}.part", 25))
        os.chown(kept[-1], 4321, 4321)
    write(path, "")
    assert not gone.exists() and sorted(tmp_path.iterdir()) == sorted([path, *kept])


# ---- not over another ----


@pytest.mark.parametrize("links", [True, False], ids=["", "a file system without links"])
def test_a_file_that_comes_meanwhile_is_not_overwritten(
    path: Path, links: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    def save(meanwhile: Callable[[], object]) -> None:
        with output(path, overwrite=False) as file:
            file.write(b"new")
            meanwhile()

    if not links:
        monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(UsageError, match=r"a: exists; choose another name"):
        save(lambda: path.write_text("precious"))
    assert path.read_text() == "precious" and list(path.parent.iterdir()) == [path]
    with pytest.raises(UsageError, match=r"a: exists; choose another name"):
        save(lambda: pytest.fail("it is known before anything is written"))
    path.unlink()
    save(lambda: None)
    assert path.read_bytes() == b"new" and list(path.parent.iterdir()) == [path]


# ---- into what is no file ----


def test_a_named_pipe_is_written_into(path: Path) -> None:
    with reading(path) as read, output(path, durable=True, overwrite=False) as file:
        file.write(b"x" * 300_000)
    assert read == [b"x" * 300_000] and list(path.parent.iterdir()) == [path]


def test_a_device_is_written_into(tmp_path: Path) -> None:
    ours, theirs = os.openpty()
    name = os.ttyname(theirs)
    (tmp_path / "link").symlink_to(name)
    for path in (name, tmp_path / "link"):
        write(path, "shown")
        assert os.read(ours, 100) == b"shown" and stat.S_ISCHR(os.stat(path).st_mode)
    assert (tmp_path / "link").is_symlink()
    os.close(theirs)
    os.close(ours)


@pytest.mark.parametrize("folder", ["/dev/fd", "/proc/self/fd"])
def test_a_descriptor_is_gone_on_with(path: Path, tmp_path: Path, folder: str) -> None:
    """As behind `--json /dev/stdout > FILE`: what was printed before stays, and what follows comes after."""
    with open(path, "wb", buffering=0) as file:
        file.write(b"before, ")
        write(f"{folder}/{file.fileno()}", "saved, ")
        (tmp_path / "link").symlink_to(f"{folder}/{file.fileno()}")
        write(tmp_path / "link", "through a link, ")
        file.write(b"after")
    assert path.read_bytes() == b"before, saved, through a link, after"


@pytest.mark.parametrize(
    ("number", "problem"), [("987654", "Bad file descriptor"), ("9" * 20, "No such file or directory")]
)
def test_a_descriptor_that_is_none(number: str, problem: str) -> None:
    with pytest.raises(GgtuiError) as raised:
        write(f"/dev/fd/{number}", "x")
    assert str(raised.value) == f"/dev/fd/{number}: cannot be written: {problem}"


def test_a_full_device_is_one_line() -> None:
    with open("/dev/full", "wb", buffering=0) as full, pytest.raises(GgtuiError, match=r"No space left on device$"):
        write(f"/dev/fd/{full.fileno()}", "x")


def test_a_reader_that_has_gone_is_known_as_such() -> None:
    """The command line ends quietly then."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    with pytest.raises(BrokenPipeError):
        write(f"/dev/fd/{write_end}", "x" * 1_000_000)
    os.close(write_end)


def test_a_reader_of_a_named_pipe_that_has_gone_is_one_line(path: Path) -> None:
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(GgtuiError, match=r"a: cannot be written: who read it has gone$"), output(path) as file:
        os.close(reader)
        file.write(b"x")


def test_a_pipe_that_nobody_reads_does_not_hold_up_the_end() -> None:
    came: list[int] = []

    def interrupt(number: int, _: object) -> None:
        came.append(number)
        raise KeyboardInterrupt

    read_end, write_end = os.pipe()
    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.1, 5)
    try:
        with pytest.raises(KeyboardInterrupt), output(f"/dev/fd/{write_end}") as file:
            for _ in range(1000):
                file.write(b"x" * 5000)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert len(came) == 1, "it was interrupted in writing, and wrote no more"
    os.close(read_end)
    os.close(write_end)
