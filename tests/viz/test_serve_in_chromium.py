"""The page in a real browser: it opens without anything from elsewhere, shows a screen, and takes keys."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("textual_serve")
from aiohttp import ClientSession, ClientWebSocketResponse

from ggtui.viz import serve

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
NOWHERE = "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"
COMMAND = [sys.executable, "-m", "ggtui", "chat", "--temp", "0", "-n", "8", "--threads", "1"]


class Page:
    """A tab of the browser. `requests` are the addresses it asked for, `shown` what came to its terminal, `troubles`
    what it complained about."""

    def __init__(self, tab: ClientWebSocketResponse) -> None:
        self._tab, self._n = tab, 0
        self.requests: list[str] = []
        self.shown, self.troubles = "", ""

    async def ask(self, method: str, **params: Any) -> Any:
        self._n += 1
        await self._tab.send_json({"id": self._n, "method": method, "params": params})
        while (message := await self._next()).get("id") != self._n:
            pass
        assert "error" not in message, message
        return message["result"]

    async def evaluate(self, expression: str) -> Any:
        return (await self.ask("Runtime.evaluate", expression=expression))["result"].get("value")

    async def until_shown(self, text: str) -> None:
        while text not in self.shown:
            await self._next()

    async def _next(self) -> Any:
        message = await self._tab.receive_json()
        params = message.get("params", {})
        match message.get("method"):
            case "Network.requestWillBeSent":
                self.requests.append(params["request"]["url"])
            case "Network.webSocketFrameReceived" if params["response"]["opcode"] == 2:
                self.shown += base64.b64decode(params["response"]["payloadData"]).decode()
            case "Runtime.exceptionThrown":
                self.troubles += json.dumps(params)
            case "Log.entryAdded" if params["entry"]["level"] == "error":
                self.troubles += json.dumps(params)
        return message


@asynccontextmanager
async def browser(folder: Path) -> AsyncIterator[Page]:
    """A browser that finds no other machine, at an empty page of 1024x768."""
    assert CHROMIUM is not None
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0", "--window-size=1024,768"]
    quiet = ["--no-first-run", "--disable-background-networking", "--disable-component-update", NOWHERE]
    command = [CHROMIUM, *flags, *quiet, f"--user-data-dir={folder}", "about:blank"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            at = folder / "DevToolsActivePort"
            while not at.exists() or len(at.read_text().split()) < 2:
                assert process.poll() is None
                await asyncio.sleep(0.05)
            async with ClientSession() as client:
                async with client.get(f"http://127.0.0.1:{at.read_text().split()[0]}/json/list") as response:
                    tabs = await response.json()
                address = next(tab["webSocketDebuggerUrl"] for tab in tabs if tab["type"] == "page")
                async with client.ws_connect(address, max_msg_size=0) as tab:
                    page = Page(tab)
                    for domain in ("Network", "Page", "Runtime", "Log"):
                        await page.ask(f"{domain}.enable")
                    await page.ask("Emulation.setFocusEmulationEnabled", enabled=True)
                    yield page
        finally:
            process.terminate()


@pytest.mark.bare
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_a_browser_shows_an_answer_as_it_comes(tmp_path: Path, new_chat: Any) -> None:
    words = "".join(step.text for step in new_chat(temp=0.0).say("Once upon a time")).split()

    async def run() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            screens = serve._Screens(COMMAND, "127.0.0.1", listener)
            async with serve.running(screens, listener), browser(tmp_path / "profile") as page:
                await page.ask("Page.navigate", url=screens.link())
                await page.until_shown("ready")
                assert await page.evaluate("document.activeElement.className") == "xterm-helper-textarea"
                await page.ask("Input.insertText", text="Once upon a time")
                await page.ask("Input.dispatchKeyEvent", type="keyDown", key="Enter", windowsVirtualKeyCode=13)
                for word in words:
                    await page.until_shown(word)
                await page.ask("Input.dispatchKeyEvent", type="keyDown", key="F3", windowsVirtualKeyCode=114)
                await page.until_shown("[2 perf]")
                assert {url for url in page.requests if not url.startswith(screens.link().split("?")[0])} == set()
                assert page.troubles == ""

    asyncio.run(asyncio.wait_for(run(), 90))
