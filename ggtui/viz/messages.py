"""What the screen and the engine's process say to each other: plain records.

Commands go in, one at a time; events come out. A command that fails is answered by `Failed`, one that changed the chat
by `Turns`, one that makes the model speak by `Began`, any number of `Batch`es and `Ended`. Before all of them come any
number of `Loading`s and `Loaded`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ggtui.chat.conversation import Turn, Written
from ggtui.chat.tree import Tree
from ggtui.core.engine.steps import Step
from ggtui.core.runtime.busy import Busy
from ggtui.core.runtime.record import GraphInfo, Limits, MemoryUse, RunInfo, TokenRecord

# ---- commands ----


@dataclass(frozen=True, slots=True)
class Say:
    """A new turn. An empty prompt lets the model go on."""

    prompt: str


@dataclass(frozen=True, slots=True)
class Regen:
    """The last prompt again, for another answer."""


@dataclass(frozen=True, slots=True)
class Edit:
    """The last turn again with another prompt."""

    prompt: str


@dataclass(frozen=True, slots=True)
class Choose:
    """Go on with the last answer from its first `keep` tokens and `token` behind them."""

    keep: int
    token: int


@dataclass(frozen=True, slots=True)
class Stop:
    """End the answer under way, at the next node. The only command that does not wait for the ones before it."""


@dataclass(frozen=True, slots=True)
class Undo:
    """Take the last turn back, or right after Clear or Restore: bring back what was there before."""


@dataclass(frozen=True, slots=True)
class Redo:
    """Bring the turn back that was taken back last."""


@dataclass(frozen=True, slots=True)
class Branch:
    """At the last turn that was said in more than one way, go `by` ways further."""

    by: int


@dataclass(frozen=True, slots=True)
class Clear:
    """Forget all turns."""


@dataclass(frozen=True, slots=True)
class Restore:
    """Have these turns, such as loaded ones, in place of what was said."""

    tree: Tree[Turn]


@dataclass(frozen=True, slots=True)
class Configure:
    """Settings for the answers to come, by their names in Python (`temp`, `top_k`, ... `seed`, `mode`)."""

    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Alternatives:
    """The `n` likeliest tokens after the first `keep` tokens of the last answer; None: after all of it."""

    n: int
    keep: int | None = None


@dataclass(frozen=True, slots=True)
class Tokens:
    """Those of the conversation as the model reads them."""


@dataclass(frozen=True, slots=True)
class Profile:
    """Record node times, or not."""

    on: bool


@dataclass(frozen=True, slots=True)
class MeasureLimits:
    """Measure what this machine allows; takes a second or two."""


@dataclass(frozen=True, slots=True)
class MeasureKl:
    """Measure what fewer bits of each matrix would cost, over the tokens of the conversation; takes about as long as
    the model takes to read some thousands of tokens. A Stop ends it."""


@dataclass(frozen=True, slots=True)
class Quit:
    """End the process."""


Command = (
    Say
    | Regen
    | Edit
    | Choose
    | Stop
    | Undo
    | Redo
    | Branch
    | Clear
    | Restore
    | Configure
    | Alternatives
    | Tokens
    | Profile
    | MeasureLimits
    | MeasureKl
    | Quit
)

# ---- events ----


@dataclass(frozen=True, slots=True)
class TensorFact:
    """A tensor of the model file."""

    name: str
    type: str
    ne: tuple[int, ...]
    n_bytes: int


@dataclass(frozen=True, slots=True)
class Loading:
    """The model is on its way into memory: `part` of its weights is there, 0 to 1. A few times a second, where that
    takes so long; `model` is what it was asked for as."""

    model: str
    part: float


@dataclass(frozen=True, slots=True)
class Loaded:
    """The model is in memory. `eos` is the end-of-text token, or None; `kv_bytes_per_token` of one token's keys and
    values; `settings` the values of the live settings, by their names in Python; `started` those that it was loaded
    with; `notes` what of the file is not as it seems."""

    path: str
    run: RunInfo
    graphs: tuple[GraphInfo, ...]
    memory: MemoryUse
    limits: Limits | None
    n_ctx: int
    n_vocab: int
    eos: int | None
    kv_bytes_per_token: int
    load_ns: int
    metadata: Mapping[str, str]
    tensors: tuple[TensorFact, ...]
    settings: Mapping[str, Any]
    started: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Began:
    """A turn begins. `replaces`: in place of the last one. `kept`: so much of its answer stays (after Choose), with the
    tokens and their text alone: what they cost is not known any more, and their logprob is nan. The chosen one is the
    first of the steps that follow."""

    prompt: str
    mode: str
    replaces: bool = False
    kept: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True)
class Alternative:
    """A token that could come next, with its probability under the model, before any filter."""

    token: int
    text: str
    p: float


@dataclass(frozen=True, slots=True)
class Batch:
    """Some tokens that came since the last batch.

    steps        all tokens; their records have none of nodes
    evaluations  records of some of the runs since then, the newest; unrecorded counts the others
    next         the likeliest tokens, the best first: where the last step was taken, or, with `ahead`, after it
    graphs       all graphs, when there are more than were told before
    rss          bytes of the process in memory
    busy         what else used the cores since it was told last, about once a second
    """

    steps: tuple[Step, ...] = ()
    evaluations: tuple[TokenRecord, ...] = ()
    unrecorded: int = 0
    next: tuple[Alternative, ...] = ()
    ahead: bool = False
    graphs: tuple[GraphInfo, ...] = ()
    memory: MemoryUse | None = None
    rss: int = 0
    busy: Busy | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """The answer is complete. `reason` as Turn.reason ("interrupted" after Stop); `turn` as the engine keeps it; None
    if not one token came: then the chat is as before, and `Turns` follows. `note` says what to do where the reason asks
    for it, else ""."""

    reason: str
    turn: Turn | None
    note: str = ""
    n_past: int = 0


@dataclass(frozen=True, slots=True)
class Turns:
    """The whole chat, after something else than an answer changed it. `replaced`: Undo brings back what was there
    before."""

    tree: Tree[Turn]
    n_past: int = 0
    replaced: bool = False


@dataclass(frozen=True, slots=True)
class Likeliest:
    """What Alternatives asked for."""

    keep: int
    rows: tuple[Alternative, ...]


@dataclass(frozen=True, slots=True)
class Configured:
    """All live settings as they are now."""

    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Measured:
    """What MeasureLimits found."""

    limits: Limits


@dataclass(frozen=True, slots=True)
class Measuring:
    """How much of what MeasureKl asked for is done, 0 to 1."""

    part: float


@dataclass(frozen=True, slots=True)
class MeasuredKl:
    """What MeasureKl found, see Trace.kl."""

    kl: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Failed:
    """A command was not done. `message` is one line: what, where, what to do."""

    message: str


@dataclass(frozen=True, slots=True)
class AsRead:
    """What Tokens asked for: the newest, and how many there are before them."""

    tokens: tuple[Written, ...]
    n_before: int


@dataclass(frozen=True, slots=True)
class Gone:
    """The process ended without being asked to; made by the side that noticed. `loading`: before it was ready, and
    then `exit_code` is what a program that needs it ends with. `unknown`: no model has the name it was given."""

    message: str
    loading: bool = False
    exit_code: int = 1
    unknown: bool = False


Event = (
    Loading
    | Loaded
    | Began
    | Batch
    | Ended
    | Turns
    | Likeliest
    | Configured
    | Measured
    | Measuring
    | MeasuredKl
    | AsRead
    | Failed
    | Gone
)
