"""The full screen in a browser: textual-serve, behind a token and the checks that it lacks.

Whoever can open the screen can read what this person can, so a request must come from a page of this address (Host and
Origin, against other sites that the browser has open and names that change their address) and know the token, which is
new each time. Nothing is fetched from anywhere else.
"""

from __future__ import annotations

import asyncio
import errno
import json
import os
import secrets
import shlex
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from ipaddress import ip_address

from ggtui.core.errors import GgtuiError, MissingPartError, UsageError
from ggtui.viz.text import printable

try:
    from aiohttp import WSCloseCode, WSMsgType, web
    from textual_serve.app_service import AppService
    from textual_serve.download_manager import DownloadManager
    from textual_serve.server import Server
except ImportError as error:
    raise MissingPartError(
        "--browser: textual-serve is not installed; install it with: pip install 'ggtui[serve]'"
    ) from error

PORT, PORTS = 8000, 20  # the first port to try when none is asked for, and how many
MAX_SCREENS = 4  # open at a time: each loads the model
MAX_MESSAGE = 1 << 20  # bytes of what a page sends at once, such as a text that is pasted
MAX_CELLS = 1000  # of a screen's width and height
PATIENCE = 5.0  # seconds that a screen has to end
_SAID = 4096  # last bytes of what a screen says on stderr

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>ggtui</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/static/css/xterm.css">
<style>
@font-face {{ font-family: "Roboto Mono"; font-weight: 100 700;
  src: url("/static/fonts/RobotoMono-VariableFont_wght.ttf"); }}
body {{ margin: 0; background: #15171d; color: #c8ccd8; font: 16px "Roboto Mono", monospace; }}
#terminal {{ position: absolute; inset: 0; }}
.xterm .xterm-viewport {{ background-color: #15171d !important; overflow: hidden; }}
#wait, #end {{ position: absolute; z-index: 20; left: 0; right: 0; padding: 12px; text-align: center; }}
#wait {{ top: 40%; }}
#end {{ bottom: 0; display: none; background: #232733; }}
#end a {{ color: #7aa2f7; }}
.-first-byte #wait, .-closed #wait {{ display: none; }}
.-closed #end {{ display: block; }}
</style>
<script src="/static/js/textual.js"></script>
</head>
<body>
<div id="wait">Starting ...</div>
<div id="end">This screen has ended. <a href="">Start again</a></div>
<div id="terminal" class="textual-terminal" data-session-websocket-url="ws://{host}/ws" data-font-size="16"></div>
<script nonce="{nonce}">
new MutationObserver((_, observer) => {{
  if (!document.body.classList.contains("-first-byte")) return;
  observer.disconnect();
  document.querySelector(".xterm-helper-textarea").focus();
}}).observe(document.body, {{ attributes: true }});
</script>
</body>
</html>
"""
_POLICY = (
    "default-src 'none'; script-src 'self' 'nonce-{nonce}'; style-src 'self' 'unsafe-inline'; font-src 'self' data:; "
    "img-src 'self' data:; connect-src 'self' ws://{host}; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def serve(arguments: Sequence[str], host: str = "127.0.0.1", port: int = 0) -> int:
    """Serve `ggtui chat` with these arguments, one for each page that is open, until a signal comes.

    Port 0 is PORT, or the next that is free. Returns 128 and the signal's number. Raises UsageError for a host or port
    that cannot be, GgtuiError where the port is taken.
    """
    # Like this process, it is not to take modules from the folder it happens to run in.
    safe = () if {"", os.getcwd()}.intersection(sys.path) else ("-P",)
    command = [sys.executable, *safe, "-m", "ggtui", "chat", *arguments]
    with _listen(host, port) as listener:
        return asyncio.run(_until_signal(_Screens(command, host, listener), listener))


def _listen(host: str, port: int) -> socket.socket:
    if not 0 <= port <= 65535:
        raise UsageError(f"--port {port}: must be 0 to 65535")
    try:
        family, *_, address = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        raise UsageError(f"--host {host}: no such address; name one of this machine") from error
    tried = (port,) if port else range(PORT, PORT + PORTS)
    for candidate in tried:
        try:
            return socket.create_server((address[0], candidate), family=family)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                problem = error.strerror or error
                raise GgtuiError(f"--host {host}: cannot listen on port {candidate}: {problem}") from error
    taken = f"port {port} is" if port else f"ports {PORT} to {PORT + PORTS - 1} are"
    raise GgtuiError(f"--host {host}: {taken} taken; name another with --port")


async def _until_signal(screens: _Screens, listener: socket.socket) -> int:
    loop = asyncio.get_running_loop()
    came: asyncio.Queue[int] = asyncio.Queue()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            loop.add_signal_handler(number, came.put_nowait, int(number))
    async with running(screens, listener):
        if not ip_address(screens.address).is_loopback:
            _note(f"--host {screens.host}: not this machine alone can connect, and what is said can be read on the way")
        _note(f"the screen is in the browser, in up to {MAX_SCREENS} pages; Ctrl+C ends it")
        print(f"Open {screens.link()}", flush=True)
        return 128 + await came.get()


def _note(text: str) -> None:
    if sys.stderr is not None:
        print(f"ggtui: {text}", file=sys.stderr, flush=True)


@asynccontextmanager
async def running(screens: _Screens, listener: socket.socket) -> AsyncIterator[None]:
    """While inside, the screens are served; after it they have ended, with all their processes."""
    runner = web.AppRunner(await screens._make_app(), access_log=None, shutdown_timeout=2 * PATIENCE)
    await runner.setup()
    try:
        await web.SockSite(runner, listener).start()
        yield
    finally:
        await runner.cleanup()


class _Screens(Server):
    """The server: what it may be asked, by whom, and the screens that are open."""

    def __init__(self, command: Sequence[str], host: str, listener: socket.socket) -> None:
        address, port = listener.getsockname()[:2]
        super().__init__(shlex.join(command), host, port, title="ggtui")
        self.argv, self.address = tuple(command), str(address)
        self.token = secrets.token_urlsafe()
        self._open: set[web.WebSocketResponse] = set()

    @property
    def _name(self) -> str:
        """What to call this machine in an address."""
        return socket.gethostname() if ip_address(self.address).is_unspecified else self.host

    def _place(self, name: str) -> str:
        name = f"[{name}]" if ":" in name else name
        return (name if self.port == 80 else f"{name}:{self.port}").lower()  # browsers leave 80 out

    def link(self) -> str:
        """The address to open."""
        return f"http://{self._place(self._name)}/?token={self.token}"

    async def _make_app(self) -> web.Application:
        app = await super()._make_app()
        app.middlewares.append(self._guard)
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        """Let nobody in but who knows the token, from a page of this address."""
        to = request.transport.get_extra_info("sockname")[0] if request.transport is not None else self.address
        names = {to, self._name, *(["localhost"] if ip_address(to).is_loopback else [])}
        host, origin = request.headers.get("Host", "").lower(), request.headers.get("Origin")
        if host not in map(self._place, names):
            raise web.HTTPForbidden(text="403: open the address as ggtui printed it\n")
        if origin != f"http://{host}" and (origin is not None or request.path == "/ws"):
            raise web.HTTPForbidden(text="403: not from this page\n")
        cookie = f"ggtui-{self.port}"  # cookies do not know ports, and another ggtui may serve beside this one
        given = (request.query.get("token", ""), request.cookies.get(cookie, ""))
        known = [secrets.compare_digest(t.encode(errors="replace"), self.token.encode()) for t in given]
        if not any(known):
            raise web.HTTPForbidden(text="403: open the address that ggtui printed, with its token\n")
        response = await handler(request)
        if known[0] and not response.prepared:
            response.set_cookie(cookie, self.token, httponly=True, samesite="Strict")
        return response

    async def handle_index(self, request: web.Request) -> web.Response:
        """The page, which loads nothing from anywhere else."""
        values = {"host": request.headers["Host"], "nonce": secrets.token_urlsafe(16)}
        headers = {
            "Content-Security-Policy": _POLICY.format(**values),
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "no-store",
        }
        return web.Response(text=_PAGE.format(**values), content_type="text/html", headers=headers)

    async def handle_websocket(self, request: web.Request) -> web.WebSocketResponse:
        """One screen, from the page's first message to its last."""
        websocket = web.WebSocketResponse(heartbeat=15, timeout=PATIENCE / 2, max_msg_size=MAX_MESSAGE)
        await websocket.prepare(request)
        if len(self._open) >= MAX_SCREENS:
            await websocket.send_bytes(f"{MAX_SCREENS} screens are open, which is the most. Close one first.".encode())
            await websocket.close()
            return websocket
        self._open.add(websocket)
        size = [_cells(_number(request.query.get(k, ""))) for k in ("width", "height")]
        screen = _Screen(self.argv, websocket, self.download_manager)
        try:
            await screen.start(*size)
            with suppress(ConnectionError):  # the page is gone
                await self._process_messages(websocket, screen)
        finally:
            try:
                await screen.stop()
            finally:
                self._open.discard(websocket)
                await websocket.close()
        return websocket

    async def _process_messages(self, websocket: web.WebSocketResponse, app_service: AppService) -> None:
        """Do what the page says, until it goes, or says what no page of ours would: then it is closed."""
        async for message in websocket:
            if message.type != WSMsgType.TEXT or not await self._heed(message.data, websocket, app_service):
                await websocket.close(code=WSCloseCode.POLICY_VIOLATION)
                return

    async def _heed(self, text: str, websocket: web.WebSocketResponse, screen: AppService) -> bool:
        """Do what one message says. False for what is none: another kind of JSON, or none at all."""
        try:
            said = json.loads(text)
        except (ValueError, RecursionError):
            return False
        match said:
            case ["stdin", str(typed)]:
                await screen.send_bytes(typed.encode(errors="replace"))
            case ["resize", {"width": int(width), "height": int(height)}]:
                await screen.set_terminal_size(_cells(width), _cells(height))
            case ["ping", str(stamp)]:
                await websocket.send_json(["pong", stamp])
            case ["blur"]:
                await screen.blur()
            case ["focus"]:
                await screen.focus()
            case _:
                return False
        return True

    async def on_startup(self, app: web.Application) -> None:
        """Says nothing."""

    async def on_shutdown(self, app: web.Application) -> None:
        """Close all pages, which ends their screens."""
        closing = (w.close(code=WSCloseCode.GOING_AWAY, message=b"ggtui has ended") for w in tuple(self._open))
        await asyncio.gather(*closing)


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 80


def _cells(n: int) -> int:
    return min(max(n, 1), MAX_CELLS)


class _Screen(AppService):
    """A `ggtui chat` whose screen is a page. It leads a process group, so that Ctrl+C in the terminal reaches the
    server alone, and nothing of it is left behind."""

    def __init__(self, argv: Sequence[str], websocket: web.WebSocketResponse, downloads: DownloadManager) -> None:
        super().__init__(
            shlex.join(argv), write_bytes=websocket.send_bytes, write_str=websocket.send_str, close=self._close,
            download_manager=downloads,
        )  # fmt: skip
        self._argv, self._websocket = tuple(argv), websocket

    async def _close(self) -> None:
        await self._websocket.close()

    async def _open_app_process(self, width: int = 80, height: int = 24) -> Process:
        """Starts it without a shell."""
        self._process = await asyncio.create_subprocess_exec(
            *self._argv, stdin=PIPE, stdout=PIPE, stderr=PIPE, env=self._build_environment(width, height),
            start_new_session=True,
        )  # fmt: skip
        self._stdin = self._process.stdin
        return self._process

    async def run(self) -> None:
        """Pass on what it draws until it ends. What it said on stderr is told in its place, if it failed."""
        assert self._process is not None
        said, _ = await asyncio.gather(self._listen_to_errors(), self._pass_on())
        code = await self._process.wait()
        if code:
            text = printable(said.decode(errors="replace")).strip() or f"ended with exit code {code}"
            lines = text.replace("\n", "\r\n")
            with suppress(ConnectionError, RuntimeError):  # the page is gone
                await self.remote_write_bytes(f"\x1b[?1049l\x1b[?25l\x1b[2J\x1b[H{lines}\r\n".encode())
        await self._close()

    async def _pass_on(self) -> None:
        assert self._process is not None and self._process.stdout is not None
        out = self._process.stdout
        handlers = {b"D": self.on_data, b"M": self.on_meta, b"P": self.on_packed}
        with suppress(asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            await out.readuntil(b"__GANGLION__\n")
            while True:
                head = await out.readexactly(5)
                payload = await out.readexactly(int.from_bytes(head[1:], "big"))
                with suppress(ConnectionError, RuntimeError):  # the page is gone, and the end is near
                    await handlers[head[:1]](payload)

    async def _listen_to_errors(self) -> bytes:
        assert self._process is not None and self._process.stderr is not None
        said = b""
        while more := await self._process.stderr.read(_SAID):
            said = (said + more)[-_SAID:]
        return said

    async def stop(self) -> None:
        """Ask it to end; end it, with its whole group, where it does not."""
        if self._task is None or self._process is None:
            return
        task, self._task = self._task, None
        await self._download_manager.cancel_app_downloads(self.app_service_id)
        await self.send_meta({"type": "quit"})
        try:
            await asyncio.wait_for(task, PATIENCE)
        except TimeoutError:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            await self._process.wait()
