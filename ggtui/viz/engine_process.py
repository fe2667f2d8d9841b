"""The engine's process: `python -m ggtui.viz.engine_process FD`, where FD is a socket to the screen's process.

The main thread does the commands in their order, one thread takes them in, and one sends what there is to tell. It
ends when the other side does.
"""

from __future__ import annotations

import math
import os
import queue
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Generator, Mapping
from contextlib import suppress
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from ggtui.chat.settings import ANEW, LOADING, values_of
from ggtui.core.errors import ContextFullError, GgtuiError, UnknownModelError, UsageError
from ggtui.viz.text import asked_name, printable_line
from ggtui.viz.wire import take_frames

if TYPE_CHECKING:
    from ggtui.chat.conversation import Chat, Turn
    from ggtui.core.engine.session import Session
    from ggtui.core.engine.steps import Step
    from ggtui.viz.messages import Alternative, Began, Command, Loaded
    from ggtui.viz.outbox import Outbox

_TEXT_NS = 45_000_000  # between two batches: 20 Hz, with a little room
_RECORDS_NS = 250_000_000  # between two with records
_N_NEXT = 3
_MOST_READ = 4096  # tokens that are told to have been read
_POLL = 0.001  # seconds between two tries to stop
_SHORT = 200  # characters of metadata that are worth a line
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


class Inbox:
    """Takes messages in; the first is what the process was started with, the others are commands, numbered as they
    come. A Stop is for the commands before it and for no other, however late it or they are looked at."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._messages: queue.SimpleQueue[tuple[int, Any]] = queue.SimpleQueue()
        self._n_taken = 0
        self._stopped = 0  # the number of the last command that a Stop was for
        self._under_way = 0
        self._session: Session | None = None
        self._stop_came = threading.Event()
        self._lock = threading.Lock()
        threading.Thread(target=self._read, name="ggtui-inbox", daemon=True).start()

    def get(self) -> tuple[int, Any]:
        """The next message and its number."""
        return self._messages.get()

    def begin(self, number: int, session: Session) -> None:
        """From here on a Stop for this command stops what the session evaluates."""
        with self._lock:
            self._stop_came.clear()
            self._under_way, self._session = number, session

    def end(self) -> None:
        """From here on it does not."""
        with self._lock:
            self._under_way = 0

    def stopped(self, number: int) -> bool:
        """Whether a Stop came for this command."""
        return number <= self._stopped

    def pause(self, seconds: float) -> None:
        """Wait, but for a Stop. Raises GgtuiError when one comes."""
        if self._stop_came.wait(seconds):
            raise GgtuiError("stopped")

    def _read(self) -> None:
        buffer = bytearray()
        try:
            while data := self._socket.recv(1 << 18):
                buffer += data
                for message in take_frames(buffer):
                    self._take(message)
        except ConnectionError:
            pass
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)  # also while the model computes: nobody is there to hear what it says

    def _take(self, message: Any) -> None:
        from ggtui.viz.messages import Quit, Stop

        if isinstance(message, Quit):
            os._exit(0)
        elif isinstance(message, Stop):
            self._stop()
        else:
            self._n_taken += 1
            self._messages.put((self._n_taken, message))

    def _stop(self) -> None:
        """Again and again until it is over: a command may be between two evaluations, with nothing to stop."""
        self._stopped = self._n_taken
        self._stop_came.set()
        while True:
            with self._lock:
                if not 0 < self._under_way <= self._stopped or self._session is None:
                    return
                self._session.stop()
            time.sleep(_POLL)


class Engine:
    """Does commands with a chat, and tells what came of them."""

    def __init__(self, chat: Chat, inbox: Inbox, outbox: Outbox) -> None:
        self.chat, self.session = chat, chat.session
        self._inbox, self._outbox = inbox, outbox
        self._teller: _Teller | None = None
        chat.pause = self._pause

    def run(self) -> None:
        """Until the process is ended."""
        while True:
            number, command = self._inbox.get()
            try:
                self._do(number, command)
            except (GgtuiError, OSError) as error:
                self._fail(error)

    def _do(self, number: int, command: Command) -> None:
        from ggtui.viz import messages as m

        chat = self.chat
        match command:
            case m.Say(prompt):
                self._speak(number, m.Began(prompt, chat.mode), chat.say(prompt))
            case m.Regen():
                self._speak(number, self._again(), chat.regen())
            case m.Edit(prompt):
                self._speak(number, self._again(prompt), chat.edit(prompt))
            case m.Choose(keep, token):
                steps = chat.choose(keep, token)
                self._speak(number, self._again(kept=self._kept(keep)), steps)
            case m.Undo():
                chat.undo()
                self._tell_turns()
            case m.Redo():
                chat.redo()
                self._tell_turns()
            case m.Branch(by):
                chat.branch(by)
                self._tell_turns()
            case m.Clear():
                chat.clear()
                self._tell_turns()
            case m.Restore(tree):
                chat.restore(tree)
                self._tell_turns()
            case m.Configure(values):
                chat.configure(values)
                self._outbox.put(m.Configured(chat.values))
            case m.Alternatives(n, keep):
                self._outbox.put(self._likeliest(number, n, keep))
            case m.Tokens():
                rows = chat.written()
                self._outbox.put(m.AsRead(tuple(rows[-_MOST_READ:]), max(len(rows) - _MOST_READ, 0)))
            case m.Profile(on):
                self.session.recording = on
            case m.MeasureLimits():
                from ggtui.perf.roofline import limits, runs_on

                found = limits(*runs_on(self.session))
                unknown = m.Failed(f"device {self.session.device}: what it allows is not measured")
                self._outbox.put(unknown if found is None else m.Measured(found))
            case m.MeasureKl():
                self._outbox.put(m.MeasuredKl(self._kl(number)))

    def _kl(self, number: int) -> dict[str, dict[str, float]]:
        from ggtui.core.training.sensitivity import kl_over
        from ggtui.viz.messages import Measuring

        def tell(part: float) -> None:
            if self._inbox.stopped(number):
                raise GgtuiError("what fewer bits cost was not measured to its end")
            self._outbox.put(Measuring(part))

        return kl_over(self.session, self.chat.tokens, tell)

    def _fail(self, error: GgtuiError | OSError) -> None:
        from ggtui.viz import summary
        from ggtui.viz.messages import Failed

        full = isinstance(error, ContextFullError) and self.chat.turns  # without them it is the prompt's length
        self._outbox.put(Failed(summary.context_full(self.session, in_chat=True) if full else one_line(error)))

    def _tell_turns(self) -> None:
        from ggtui.viz.messages import Turns

        tree = self.chat.tree.map(lambda turn: turn)  # since it is sent a little later
        self._outbox.put(Turns(tree, self.chat.n_past, self.chat.replaced))

    def _last(self) -> Turn:
        if not self.chat.turns:
            raise UsageError("nothing was said yet")
        return self.chat.turns[-1]

    def _again(self, prompt: str | None = None, kept: tuple[Step, ...] = ()) -> Began:
        """The beginning of a turn in place of the last."""
        from ggtui.viz.messages import Began

        last = self._last()
        return Began(last.prompt if prompt is None else prompt, last.mode, replaces=True, kept=kept)

    def _kept(self, keep: int) -> tuple[Step, ...]:
        """The first tokens of the last answer; what they cost is not known here any more."""
        from ggtui.core.engine.steps import Step
        from ggtui.core.runtime.record import TokenRecord

        chat = self.chat
        turn = chat.cut(self._last(), keep)
        first = len(chat.tokens) - len(self._last().ids) + turn.n_prompt
        rows = enumerate(zip(turn.sampled, chat.pieces(turn), strict=True), first)
        return tuple(Step(id, text, math.nan, TokenRecord(n_kv - 1, 1, 0)) for n_kv, (id, text) in rows)

    def _likeliest(self, number: int, n: int, keep: int | None) -> Any:
        from ggtui.viz.messages import Alternative, Likeliest

        self._inbox.begin(number, self.session)
        try:
            rows = self.chat.alternatives(n, keep)
        finally:
            self._inbox.end()
        all_of_it = len(self.chat.turns[-1].sampled) if self.chat.turns else 0
        return Likeliest(all_of_it if keep is None else keep, tuple(Alternative(*row) for row in rows))

    # ---- answers ----

    def _speak(self, number: int, began: Began, steps: Generator[Step]) -> None:
        """Tell an answer as it comes, and how it ended."""
        from ggtui.viz import summary
        from ggtui.viz.messages import Ended

        chat, session, inbox = self.chat, self.session, self._inbox
        self._outbox.put(began)
        teller = self._teller = _Teller(chat, self._outbox)
        failure, reason = None, "interrupted"
        inbox.begin(number, session)
        try:
            try:
                while not inbox.stopped(number) and (step := next(steps, None)):
                    teller.take(step)
            except (GgtuiError, OSError) as error:
                if not inbox.stopped(number):
                    failure, reason = error, "failed"
            finally:
                steps.close()
            teller.tell(last=True)
            if teller.n_steps and failure is None and not inbox.stopped(number):
                self._look_ahead(teller)
        finally:  # whatever comes, a Stop goes on until this
            inbox.end()
        turn = chat.turns[-1] if teller.n_steps else None
        note = summary.context_full(session, in_chat=True) if turn and turn.reason == "context full" else ""
        self._outbox.put(Ended(turn.reason if turn else reason, turn, note, session.n_past))
        if turn is None:
            self._tell_turns()
        if failure is not None:
            self._fail(failure)

    def _look_ahead(self, teller: _Teller) -> None:
        """Read the last token of an answer, as the next answer would, and tell what may follow it."""
        with suppress(GgtuiError):  # a full context, or a Stop: then it is not known
            self.chat.alternatives(_N_NEXT)
            teller.ahead = True
            teller.tell()

    def _pause(self, seconds: float) -> None:
        """Between two tokens that are not to come as fast as they can: the next one is chosen, but not told yet."""
        if self._teller is not None:
            self._teller.ahead = True
            if seconds * 1e9 > _TEXT_NS:
                self._teller.tell()
        self._inbox.pause(seconds)


class _Teller:
    """Tells of an answer's steps. Of its evaluations it tells less often, and of the newest.

    ahead  the model has read all tokens that came, so that its logits are of what follows them
    """

    def __init__(self, chat: Chat, outbox: Outbox) -> None:
        from ggtui.viz.outbox import Newest

        self._chat, self._outbox = chat, outbox
        self._new, self._newest = Newest, Newest()
        self._fresh: list[Step] = []
        self._text_due, self._records_due = 0, time.perf_counter_ns() + _RECORDS_NS
        self.n_steps, self.ahead = 0, False

    def take(self, step: Step) -> None:
        """Tell of it, now or soon."""
        self._fresh.append(step)
        self.ahead = False
        if time.perf_counter_ns() >= self._text_due:
            self.tell()
            self._text_due = time.perf_counter_ns() + _TEXT_NS

    def tell(self, *, last: bool = False) -> None:
        """Of all that came."""
        from ggtui.viz.messages import Alternative

        steps, self._fresh = self._fresh, []
        for step in steps:
            self._newest.add(step.runs, recorded=self._chat.session.recording)
        self.n_steps += len(steps)
        now, newest = time.perf_counter_ns(), None
        if last or now >= self._records_due:
            newest, self._newest = self._newest, self._new()
            self._records_due = now + _RECORDS_NS
        likeliest: tuple[Alternative, ...] = ()
        if steps or self.ahead:
            with suppress(GgtuiError):  # no numbers, or not known since a Stop, and that stops the looking up too
                likeliest = tuple(Alternative(*row) for row in self._chat.likeliest(_N_NEXT))
        self._outbox.add(steps, newest, likeliest, ahead=self.ahead)


# ---- the process ----


def one_line(error: BaseException) -> str:
    """An error as one line that a terminal can show."""
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename is not None else ""
        return printable_line(f"{where}{error.strerror or error}")
    return printable_line(str(error))


def describe(chat: Chat, started: Mapping[str, Any]) -> Loaded:
    """What there is to tell of a model in memory, and how it was asked for."""
    from ggtui.perf.roofline import known_limits
    from ggtui.viz.messages import Loaded, TensorFact

    session = chat.session
    try:
        limits = known_limits(session.engine.device, session.threads, session.options["isa"])
    except GgtuiError:  # no home folder to look in
        limits = None
    facts = ((k, str(v)) for k, v in session.metadata.items() if isinstance(v, str | int | float | bool))
    return Loaded(
        path=str(session.path), run=session.run_info(), graphs=session.graphs(), memory=session.memory(), limits=limits,
        n_ctx=session.n_ctx, n_vocab=session.tokenizer.n_vocab, eos=session.tokenizer.eos,
        kv_bytes_per_token=session.kv.bytes_per_token, load_ns=session.stats.load_ns,
        metadata={k: v for k, v in facts if len(v) <= _SHORT},
        tensors=tuple(TensorFact(t.name, t.type.name, tuple(map(int, t.ne)), t.n_bytes)
                      for t in session.weights.values()),
        settings=chat.values, started=started, notes=chat.notes,
    )  # fmt: skip


def _die_with_parent() -> None:
    """With the thread that started it, to be exact, and at once. Elsewhere than on Linux the end of file must do."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def main(fd: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _die_with_parent()
    sock = socket.socket(fileno=fd)
    inbox = Inbox(sock)
    from ggtui.viz.messages import Gone
    from ggtui.viz.outbox import Outbox

    outbox = Outbox(sock)
    settings = SimpleNamespace(**inbox.get()[1])
    try:
        from ggtui.chat.conversation import Chat
        from ggtui.core.engine.session import load
        from ggtui.core.graph.own_types import register_from
        from ggtui.core.runtime.cores import usable_cores

        for path in settings.type_from:
            register_from(path)
        options = values_of(settings, LOADING)
        if (
            options["threads"] is None
        ):  # the screen needs a core too; where it had none, all threads waited for one another
            options["threads"] = max(1, usable_cores() - 1)
        options |= {"talk": settings.mode != "complete", "progress": outbox.loading(asked_name(settings.model))}
        chat = Chat(load(settings.model, record=True, **options), settings)
        loaded = describe(chat, values_of(settings, ANEW))
    except (GgtuiError, OSError) as error:
        code = error.exit_code if isinstance(error, GgtuiError) else 1
        outbox.put(Gone(one_line(error), loading=True, exit_code=code, unknown=isinstance(error, UnknownModelError)))
        outbox.close()
        sys.exit(code)
    outbox.know(chat.session, len(loaded.graphs))
    outbox.put(loaded)
    Engine(chat, inbox, outbox).run()


if __name__ == "__main__":
    main(int(sys.argv[1]))
