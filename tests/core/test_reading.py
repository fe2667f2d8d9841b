"""Files that are read whole: what is none, or is too large, is refused before anything waits or is read."""

from __future__ import annotations

import os
from pathlib import Path
from threading import Timer

import pytest

from ggtui.core import reading
from ggtui.core.reading import read_file, read_object


def test_a_file_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"\x00\xff" * 1000)
    assert read_file(path) == read_file(str(path), 2000) == path.read_bytes()


def test_what_is_no_file_is_refused_and_nothing_waits(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path, problem in ((tmp_path / "fifo", "is not a regular file"), (Path("/dev/zero"), "is not a regular file"),
                          (tmp_path, "Is a directory"), (tmp_path / "none", "No such file")):  # fmt: skip
        with pytest.raises(OSError, match=problem) as found:
            read_file(path)
        assert found.value.filename == str(path)


def test_what_is_too_large_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(OSError, match="is over the limit of 1,000 bytes for such a file"):
        read_file(path, 1000)
    # The system says that these have no bytes, whatever they give.
    with pytest.raises(OSError, match="over the limit"):
        read_file("/proc/self/maps", 10)


def test_a_pipe_is_read_only_where_it_may_be(tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    os.write(write_end, b"text")
    os.close(write_end)
    path = f"/dev/fd/{read_end}"
    with pytest.raises(OSError, match="is not a regular file"):
        read_file(path)
    assert read_file(path, pipe=True) == b"text"
    os.close(read_end)


def test_a_named_pipe_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    writer = Timer(0.05, lambda: path.write_bytes(b"text"))
    writer.start()
    assert read_file(path, pipe=True) == b"text"
    writer.join()


def test_a_pipe_with_a_slow_writer_is_read_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "WRITER_WITHIN_S", 0)
    path = tmp_path / "fifo"
    os.mkfifo(path)
    held = os.open(path, os.O_RDWR)  # as a shell's command that has not written yet

    def write() -> None:
        os.write(held, b"text")
        os.close(held)

    writer = Timer(0.1, write)
    writer.start()
    assert read_file(path, pipe=True) == b"text"
    writer.join()


def test_a_pipe_that_nobody_writes_into_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "WRITER_WITHIN_S", 0.05)
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(OSError, match="is a pipe that nobody opened for writing"):
        read_file(tmp_path / "fifo", pipe=True)


@pytest.mark.parametrize(
    "data, problem",
    [
        (b"", "it is empty"),
        (b" \n", "it is empty"),
        (b'{"a": \n}', r"it is not JSON: Expecting value \(line 2, column 1\)"),
        (b"\x1f\x8b\x08", r"it is not text in UTF-8 \(byte 1\)"),
        (b"\xef\xbb\xbf{}", "it is not JSON: Unexpected UTF-8 BOM"),
        (b"[" * 100_000, "it is nested too deeply"),
        (b'{"a": %s}' % (b"1" * 5000), "it has a number of far too many digits"),
        (b"[1]", "it is JSON, but no object"),
        (b'{"a": -Infinity}', "it has -Infinity, which is not JSON"),
    ],
)
def test_what_is_no_object_of_json_is_refused_in_words(data: bytes, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=f"^{problem}"):
        read_object(path)
    path.write_bytes(b'{"a": [1]}')
    assert read_object(path) == {"a": [1]}
