"""`ggtui pull hf:...` from a small server that speaks as much of the hub's protocol as its library needs."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from ggtui.core.engine.model import BUILT_IN

pytest.importorskip("huggingface_hub")
pytestmark = pytest.mark.bare

SHA = "0123456789abcdef0123456789abcdef01234567"
DATA = BUILT_IN.read_bytes()
Pull = Callable[..., tuple[int, str, str]]


@dataclass
class Hub:
    """A hub with one repository."""

    repository: str = "who/what"
    files: dict[str, bytes] = field(default_factory=dict)
    asked: list[tuple[str, str, str | None, str | None]] = field(default_factory=list)  # with range and token
    status: int = 200  # of who asks for the repository
    cut: int | None = None  # bytes after which a download breaks off
    says: str | None = None  # sha256 of its files, where not the right one
    interrupts: bool = False  # whoever downloads a file, half of which has come
    pid: int = 0
    port: int = 0

    def handler(hub) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                self.do_GET()

            def do_GET(self) -> None:
                hub.asked.append((self.command, self.path, self.headers["Range"], self.headers["Authorization"]))
                if self.path.startswith(f"/api/models/{hub.repository}"):
                    return self.answer(json.dumps(hub.about()).encode(), hub.status, {})
                file = re.fullmatch(f"/{hub.repository}/resolve/{SHA}/(.+)", self.path)
                if file is None or file[1] not in hub.files:
                    return self.answer(b"", 404, {"X-Error-Code": "RepoNotFound"})
                data = hub.files[file[1]]
                headers = {"ETag": f'"{hashlib.sha256(data).hexdigest()}"', "X-Repo-Commit": SHA}
                begin = int((self.headers["Range"] or "bytes=0-")[6:].split("-")[0])
                if begin:
                    headers["Content-Range"] = f"bytes {begin}-{len(data) - 1}/{len(data)}"
                self.answer(data[begin:], 206 if begin else 200, headers)

            def answer(self, data: bytes, status: int, headers: dict[str, str]) -> None:
                if status >= 400:
                    code = {401: "RepoNotFound", 403: "GatedRepo"}.get(status, "")
                    headers = {"X-Error-Code": code, "X-Error-Message": "well"}
                self.send_response(status)
                for name, value in {"Content-Length": str(len(data)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command == "GET" and hub.interrupts and "/api/" not in self.path:
                    self.wfile.write(data[: len(data) // 2])
                    os.kill(hub.pid, signal.SIGINT)
                    time.sleep(1)
                elif self.command == "GET":
                    self.wfile.write(data if hub.cut is None or "/api/" in self.path else data[: hub.cut])

            def log_message(self, *_: object) -> None:
                pass

        return Handler

    def about(self) -> dict[str, Any]:
        def sibling(name: str, data: bytes) -> dict[str, Any]:
            lfs = {"sha256": self.says or hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 134}
            small = {"rfilename": name, "size": len(data), "blobId": hashlib.sha1(data).hexdigest()}
            return small if name.endswith(".json") else {**small, "lfs": lfs}

        siblings = [sibling(name, data) for name, data in self.files.items()]
        return {"id": self.repository, "sha": SHA, "siblings": siblings, "tags": ["gguf", "license:mit"]}


@pytest.fixture
def hub() -> Iterator[Hub]:
    made = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), made.handler())
    made.port = server.server_port
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield made
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def pull(hub: Hub, start: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pull:
    """A program of its own, since the library reads its variables when it is imported."""
    for name in ("HF_TOKEN", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{hub.port}")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    def run(*args: str) -> tuple[int, str, str]:
        process = start(*args)
        hub.pid = process.pid
        out, err = process.communicate(timeout=60)
        return process.returncode, out.decode(), err.decode()

    return run


def downloads(hub: Hub) -> list[str]:
    return [path.rpartition("/")[2] for method, path, *_ in hub.asked if method == "GET" and "/resolve/" in path]


def test_a_gguf_by_its_type(hub: Hub, pull: Pull, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.files = {"it-Q8_0.gguf": DATA, "it-Q4_0.gguf": b"other"}
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    code, out, err = pull("pull", "hf:who/what:Q8_0")
    assert code == 0, err
    assert Path(out.strip()).read_bytes() == DATA and Path(out.strip()).is_relative_to(tmp_path / "hf/hub")
    said = err.splitlines()
    assert said[0].startswith("ggtui: hf:who/what:it-Q8_0: it-Q8_0.gguf; ") and said[1].endswith("has it: mit")
    assert said[2:] == ["ggtui: done; talk to it with: ggtui chat hf:who/what:it-Q8_0"]
    assert {token for _, path, _, token in hub.asked if "who/what" in path} == {"Bearer hf_secret"} and downloads(
        hub
    ) == ["it-Q8_0.gguf"]
    code, _, err = pull("pull", "hf:who/what:Q8_0")
    assert code == 0 and "there already" in err and len(downloads(hub)) == 1
    code, out, _ = pull("chat", "hf:who/what:Q8_0", "-p", "Once", "-n", "3")
    assert code == 0 and out
    code, out, _ = pull("list")
    assert code == 0 and "hf:who/what:it-Q8_0  gpt2" in out


def test_a_model_of_the_catalogue(hub: Hub, pull: Pull, tmp_path: Path) -> None:
    hub.repository, hub.files = "Qwen/Qwen3-0.6B-GGUF", {"Qwen3-0.6B-Q8_0.gguf": DATA, "Qwen3-0.6B-f16.gguf": b"other"}
    code, out, err = pull("pull", "qwen3-0.6b")
    assert code == 0, err
    assert Path(out.strip()).read_bytes() == DATA and Path(out.strip()).is_relative_to(tmp_path / "hf/hub")
    assert "licence Apache-2.0: free for any use" in err.splitlines()[0] and downloads(hub) == ["Qwen3-0.6B-Q8_0.gguf"]
    code, out, _ = pull("chat", "qwen3-0.6b", "-p", "Once", "-n", "3")
    assert code == 0 and out
    code, out, _ = pull("list")
    assert "\nqwen3-0.6b" not in out and "\nqwen2.5-0.5b" in out


def test_a_folder(hub: Hub, pull: Pull) -> None:
    hub.files = {name: name.encode() for name in ("README.md", "config.json", "model.safetensors", "tokenizer.json")}
    code, out, err = pull("pull", "hf:who/what")
    assert code == 0, err
    names = sorted(path.name for path in Path(out.strip()).iterdir())
    assert names == ["config.json", "model.safetensors", "tokenizer.json"] and "hf:who/what: 3 files; " in err


def test_a_connection_that_breaks_is_resumed(hub: Hub, pull: Pull) -> None:
    large = bytes(24 << 20)  # the library writes 10 MB at a time
    hub.files, hub.cut = {"it.gguf": large}, 21 << 20
    code, out, err = pull("pull", "hf:who/what", "-q")
    assert (code, err) == (0, "") and Path(out.strip()).read_bytes() == large
    assert [begin for method, _, begin, _ in hub.asked if method == "GET" and begin] == [f"bytes={20 << 20}-"]


def test_interrupted(hub: Hub, pull: Pull, tmp_path: Path) -> None:
    hub.files, hub.interrupts = {"it.gguf": DATA}, True
    code, out, err = pull("pull", "hf:who/what", "-q")
    assert (code, out, err) == (130, "", "")
    assert not list(tmp_path.glob("hf/hub/models--*/snapshots/*/*"))


def test_a_damaged_file_is_removed(hub: Hub, pull: Pull, tmp_path: Path) -> None:
    hub.files, hub.says = {"it.gguf": DATA}, "0" * 64
    code, out, err = pull("pull", "hf:who/what", "-q")
    assert (code, out, err) == (1, "", "ggtui: it.gguf: what came is damaged, and was removed; try again\n")
    assert not list(tmp_path.glob("hf/hub/models--*/snapshots/*/*"))


@pytest.mark.parametrize(
    ("status", "code", "problem"),
    [
        (401, 2, "hf:who/what: there is none on the hub, or it is private and needs HF_TOKEN"),
        (403, 1, "hf:who/what: needs its licence accepted: do so on its page of the hub, and set HF_TOKEN"),
        (418, 1, "hf:who/what: was not fetched: "),
    ],
)
def test_refusals(hub: Hub, pull: Pull, status: int, code: int, problem: str) -> None:
    hub.status = status
    found, out, err = pull("pull", "hf:who/what")
    assert (found, out) == (code, "") and err.startswith(f"ggtui: {problem}") and err.count("\n") == 1


def test_no_network(pull: Pull, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    code, out, err = pull("pull", "hf:who/what")
    assert (code, out) == (1, "") and err.startswith("ggtui: hf:who/what: was not fetched: ") and err.count("\n") == 1
