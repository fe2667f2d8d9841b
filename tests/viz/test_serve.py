"""The screen in a browser: who gets in, where it listens, and that a screen comes, and ends, with its page."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

pytest.importorskip("textual_serve")
from aiohttp import ClientSession, ClientWebSocketResponse, CookieJar, WSCloseCode, WSMsgType, WSServerHandshakeError
from processes import alive

from ggtui.core.errors import GgtuiError, MissingPartError, UsageError
from ggtui.viz import serve

TINY = """
import os, sys
from textual.app import App
from textual.widgets import Static
class Tiny(App):
    def compose(self):
        yield Static("pid=%d;" % os.getpid())
        self.typed = Static("typed=")
        yield self.typed
    def on_key(self, event):
        self.typed.update("typed=" + event.character)
        if event.character == "q":
            self.exit()
Tiny().run()
"""
STUBBORN = """
import os, signal, subprocess, sys
from textual.app import App
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
class Stubborn(App):
    def on_mount(self):
        self.call_after_refresh(self.stay)
    def stay(self):
        os.write(1, b"D" + (40).to_bytes(4, "big") + (b"pids=%d,%d;" % (os.getpid(), child.pid)).ljust(40))
        signal.pause()
Stubborn().run()
"""
# What is enough of a screen, and starts at once.
ECHO = """
import os
def say(text):
    os.write(1, b"D" + len(text).to_bytes(4, "big") + text)
os.write(1, b"__GANGLION__\\n")
say(b"pid=%d;" % os.getpid())
while (more := os.read(0, 1 << 20)) and b'"quit"' not in more:
    say(b"typed=" + more[5:])
"""
SAYS_WHY = "import sys; sys.exit('ggtui: bad.gguf: what is wrong \\x1b[31m')"


class Guest:
    """One who knows the address, and speaks to the server as `client`."""

    def __init__(self, screens: serve._Screens, client: ClientSession) -> None:
        self.screens, self.client = screens, client
        self.url = f"http://127.0.0.1:{screens.port}"

    async def status(self, path: str = "/", token: str | None = None, **headers: str) -> int:
        params = {} if token is None else {"token": token}
        async with self.client.get(self.url + path, params=params, headers=headers) as response:
            await response.read()
            return response.status

    async def open(self, **headers: str) -> ClientWebSocketResponse:
        """A page's connection, with the token."""
        given = {"Origin": self.url, **headers}
        address = f"{self.url}/ws?token={self.screens.token}&width=60&height=16"
        return await self.client.ws_connect(address, headers={k: v for k, v in given.items() if v})


def visit(script: Callable[[Guest], Awaitable[None]], command: str = TINY) -> None:
    async def run() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            screens = serve._Screens([sys.executable, "-c", command], "127.0.0.1", listener)
            async with serve.running(screens, listener), ClientSession(cookie_jar=CookieJar(unsafe=True)) as client:
                await script(Guest(screens, client))

    asyncio.run(asyncio.wait_for(run(), 60))


async def seen(page: ClientWebSocketResponse, pattern: str) -> re.Match[str]:
    """What the page shows, once it shows this."""
    shown = ""
    async for message in page:
        if message.type == WSMsgType.BINARY:
            shown += message.data.decode()
        if found := re.search(pattern, shown):
            return found
    raise AssertionError(f"ended without {pattern!r}: {shown!r}")


async def gone(pid: int) -> None:
    while alive(pid):
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("path", ["/", "/static/js/textual.js", "/ws", "/download/x", "/nothing"])
def test_nothing_without_the_token(path: str) -> None:
    async def script(guest: Guest) -> None:
        assert await guest.status(path, Origin=guest.url) == 403
        for wrong in ("", "x", "é", guest.screens.token[:-1], guest.screens.token + "x"):
            assert await guest.status(path, wrong, Origin=guest.url) == 403
        assert await guest.status(path, Cookie=f"ggtui-{guest.screens.port}=x", Origin=guest.url) == 403

    visit(script)


def test_the_page_lets_its_own_requests_in() -> None:
    async def script(guest: Guest) -> None:
        async with guest.client.get(guest.screens.link()) as response:
            page, cookie = await response.text(), response.headers["Set-Cookie"]
            assert response.status == 200
        assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
        assert f'"ws://127.0.0.1:{guest.screens.port}/ws"' in page
        named = [a or b for a, b in re.findall(r'(?:src|href)="([^"]*)"|url\("([^"]*)"\)', page)]
        assert len(named) >= 4
        for name in named:  # of this server, or nothing that is fetched
            assert name in ("", "data:,") or (name[0] == "/" and await guest.status(name) == 200), name
        page_open = await guest.client.ws_connect(f"{guest.url}/ws?width=60&height=16", headers={"Origin": guest.url})
        await seen(page_open, r"pid=")

    visit(script)


def test_a_wrong_host_is_kept_out() -> None:
    async def script(guest: Guest) -> None:
        token, port = guest.screens.token, guest.screens.port
        for host in ("evil.example", f"evil.example:{port}", "127.0.0.1", f"127.0.0.1:{port + 1}", f"0.0.0.0:{port}"):
            assert await guest.status("/", token, Host=host) == 403, host
        for host in (f"127.0.0.1:{port}", f"localhost:{port}", f"LocalHost:{port}"):
            assert await guest.status("/", token, Host=host) == 200, host

    visit(script)


def test_a_foreign_origin_is_kept_out() -> None:
    async def script(guest: Guest) -> None:
        port = guest.screens.port
        for origin in ("", "null", "http://evil.example", f"http://127.0.0.1:{port + 1}", f"https://127.0.0.1:{port}"):
            with pytest.raises(WSServerHandshakeError) as refused:
                await guest.open(Origin=origin)
            assert refused.value.status == 403, origin
        assert await guest.status("/", guest.screens.token, Origin="http://evil.example") == 403
        assert not guest.screens._open

    visit(script)


def test_a_screen_streams_answers_keys_and_ends_with_its_page() -> None:
    async def script(guest: Guest) -> None:
        page = await guest.open()
        pid = int((await seen(page, r"pid=(\d+);"))[1])
        await page.send_json(["stdin", "x"])
        await seen(page, "typed=x|\\bx")
        assert alive(pid)
        await page.close()
        await gone(pid)

    visit(script)


def test_a_screen_that_ends_closes_its_page() -> None:
    async def script(guest: Guest) -> None:
        page = await guest.open()
        pid = int((await seen(page, r"pid=(\d+);"))[1])
        await page.send_json(["stdin", "q"])
        async for _ in page:
            pass
        assert page.closed
        await gone(pid)

    visit(script)


def test_a_screen_that_fails_says_why() -> None:
    async def script(guest: Guest) -> None:
        page = await guest.open()
        await seen(page, r"ggtui: bad.gguf: what is wrong \\x1b\[31m\r\n")

    visit(script, SAYS_WHY)


def test_a_screen_that_does_not_end_is_ended_with_its_children(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "PATIENCE", 0.5)

    async def script(guest: Guest) -> None:
        page = await guest.open()
        pids = await seen(page, r"pids=(\d+),(\d+);")
        await page.close()
        for pid in pids.groups():
            await gone(int(pid))

    visit(script, STUBBORN)


WRONG = (
    "", "x", "{", "[]", "{}", "null", "7", '"stdin"', '["stdin"]', '["stdin", 7]', '["stdin", null]', '["stdin", [1]]',
    '["stdin", "a", "b"]', '["resize"]', '["resize", []]', '["resize", {"width": 5}]', '["ping", {}]', '["nothing"]',
    '["resize", {"width": "5", "height": 5}]', '["resize", {"width": 1.5, "height": 5}]', "[" * 100_000, "9" * 10_000,
    '["resize", {"width": NaN, "height": 5}]', '["ping"]', '["blur", 1]', '["focus", null]', "[NaN]", b"x", b"",
    '["stdin", "' + "a" * serve.MAX_MESSAGE + '"]', b"a" * (serve.MAX_MESSAGE + 1),
)  # fmt: skip


def test_a_page_that_says_what_no_page_says_is_closed(capfd: pytest.CaptureFixture[str]) -> None:
    """Without a word, and the others stay."""

    async def script(guest: Guest) -> None:
        other = await guest.open()
        pid = int((await seen(other, r"pid=(\d+);"))[1])
        for wrong in WRONG:
            page = await guest.open()
            await (page.send_bytes(wrong) if isinstance(wrong, bytes) else page.send_str(wrong))
            async for message in page:
                assert message.type == WSMsgType.BINARY, message
            assert page.close_code in (WSCloseCode.POLICY_VIOLATION, WSCloseCode.MESSAGE_TOO_BIG), wrong[:50]
            while len(guest.screens._open) > 1:
                await asyncio.sleep(0.01)
        await other.send_json(["stdin", "x"])
        await seen(other, "typed=x")
        assert alive(pid)

    visit(script, ECHO)
    assert capfd.readouterr() == ("", "")


def test_sizes_and_texts_are_taken_as_far_as_they_make_sense() -> None:
    async def script(guest: Guest) -> None:
        page = await guest.client.ws_connect(
            f"{guest.url}/ws?token={guest.screens.token}&width={'9' * 5000}&height=-1", headers={"Origin": guest.url}
        )
        await seen(page, "pid=")
        for width, height in ((0, -1), (1 << 40, 10**400), (60, 16)):
            await page.send_str(json.dumps(["resize", {"width": width, "height": height}]))
        await page.send_str('["stdin", "\\ud800"]')
        await page.send_json(["ping", "123"])
        async for message in page:
            if message.type == WSMsgType.TEXT:
                assert message.json() == ["pong", "123"]
                break
        await page.send_json(["stdin", "x"])
        await seen(page, "typed=x|\\bx")

    visit(script)


def test_so_many_screens_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "MAX_SCREENS", 1)

    async def script(guest: Guest) -> None:
        first = await guest.open()
        await seen(first, "pid=")
        await seen(await guest.open(), "1 screens are open")
        await first.close()
        while guest.screens._open:
            await asyncio.sleep(0.02)
        await seen(await guest.open(), "pid=")

    visit(script)


def test_ports() -> None:
    with serve._listen("127.0.0.1", 0) as first, serve._listen("127.0.0.1", 0) as second:
        ports = [listener.getsockname()[1] for listener in (first, second)]
        assert serve.PORT <= ports[0] < ports[1] < serve.PORT + serve.PORTS
        assert {listener.getsockname()[0] for listener in (first, second)} == {"127.0.0.1"}
        with pytest.raises(GgtuiError, match=f"port {ports[0]} is taken; name another with --port"):
            serve._listen("127.0.0.1", ports[0])
    with pytest.raises(UsageError, match="--port 65536: must be 0 to 65535"):
        serve._listen("127.0.0.1", 65536)
    with pytest.raises(UsageError, match=r"--host nowhere\.\.invalid: no such address"):
        serve._listen("nowhere..invalid", 0)


def test_addresses() -> None:
    def link(host: str) -> str:
        with serve._listen(host, 0) as listener:
            screens = serve._Screens([], host, listener)
            return screens.link().replace(f":{screens.port}/?token={screens.token}", " ")

    assert link("127.0.0.1") == "http://127.0.0.1 "
    assert link("localhost") == "http://localhost "
    assert link("0.0.0.0") == f"http://{socket.gethostname().lower()} "


@pytest.mark.parametrize(("number", "host"), [(signal.SIGINT, "127.0.0.1"), (signal.SIGTERM, "0.0.0.0")])
def test_the_command_listens_where_it_says_and_ends_with_a_signal(number: int, host: str) -> None:
    program = (
        "import sys; from ggtui.viz import serve; sys.executable = '/bin/sh'\n"  # no screen is opened
        f"sys.exit(serve.serve(['a model; touch x'], {host!r}))"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        try:
            line = process.stdout.readline().decode()
            found = re.fullmatch(r"Open http://[^/]+:(\d+)/\?token=[\w-]{43}\n", line)
            assert found, line
            if Path("/proc/net/tcp").exists():
                rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
                here = [row[1] for row in rows if row[3] == "0A" and row[1].endswith(f":{int(found[1]):04X}")]
                assert [place.split(":")[0] for place in here] == ["0100007F" if host == "127.0.0.1" else "00000000"]
        finally:
            process.send_signal(number)
        assert process.wait(20) == 128 + number
        notes = process.stderr.read().decode().splitlines()
    assert [note for note in notes if "--host" in note] == notes[: host == "0.0.0.0"]
    assert "Traceback" not in "".join(notes) and "Ctrl+C ends it" in notes[-1]


def test_without_textual_serve_it_says_what_to_install() -> None:
    program = "import sys; sys.modules['textual_serve.server'] = None; import ggtui.viz.serve"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert f"{MissingPartError.__name__}: --browser: textual-serve is not installed" in done.stderr
    assert "pip install 'ggtui[serve]'" in done.stderr
