"""tokenizer.json: its vocabulary, merges and added tokens, and what it does to texts, as GGUF says it.

Byte-level BPE becomes GGUF's "gpt2". BPE over characters with bytes for those it lacks, which is what is made of
SentencePiece's models, becomes "llama": a pair is merged the sooner, the higher the score of what it makes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from ggtui.core.errors import ModelFileError
from ggtui.core.files.fields import shown
from ggtui.core.files.hf.pre_tokenizers import UNKNOWN, parts, pre_name
from ggtui.core.files.json_file import read_json
from ggtui.core.files.model_file import ModelFile
from ggtui.core.files.texts import Texts
from ggtui.core.vocab.bpe import MAX_MERGES

MOST = 40 << 20  # bytes of a file; those of large vocabularies have 33 million
_SPACE = "\u2581"

# What the model may say besides what is read from it; None: anything. Whatever else there is would change the tokens.
_MODEL: dict[str, tuple[Any, ...] | None] = {
    "type": ("BPE", None),
    "dropout": (None, 0, 0.0),
    "unk_token": None,
    "continuing_subword_prefix": ("", None),
    "end_of_word_suffix": ("", None),
    "fuse_unk": None,
    "byte_fallback": (False, True, None),
    "ignore_merges": (False, True, None),
    "vocab": None,
    "merges": None,
}


@dataclass(frozen=True)
class Added:
    """A token beside those that merges make. lstrip, rstrip: it takes the white space before, after it."""

    text: str
    id: Any
    special: bool
    lstrip: bool = False
    rstrip: bool = False


@dataclass
class Parts:
    """What a vocabulary is made of.

    source  the file that says so; ids: of each token; merges: "left right", in their order
    said    GGUF's keys, but those of the lists
    unknown what stands for what no token does
    around  whether `source` says what every text begins and ends with: the tokens `before` and `after`
    """

    source: Path
    ids: dict[str, Any]
    merges: Texts
    added: list[Added]
    said: dict[str, Any]
    unknown: str | None = None
    around: bool = False
    before: list[str] = field(default_factory=list)
    after: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def by_characters(self) -> bool:
        return bool(self.said["tokenizer.ggml.model"] == "llama")


class _TokenizerJson:
    def __init__(self, path: Path) -> None:
        self.path, self.json = path, read_json(path, MOST)
        self.notes: list[str] = []

    def refuse(self, field: str, problem: str) -> NoReturn:
        raise ModelFileError(self.path, field, problem)

    def check(self, field: str, part: Any, allowed: Mapping[str, tuple[Any, ...] | None]) -> None:
        for key, value in part.items():
            if key not in allowed:
                self.refuse(f"{field}.{key}", f"is {shown(value)}, which ggtui does not know")
            values = allowed[key]
            if values is not None and not any(value is v or (type(value) is type(v) and value == v) for v in values):
                self.refuse(f"{field}.{key}", f"is {shown(value)}; ggtui reads only {values[0]!r}")

    def parts(self) -> Parts:
        model = self.json.get("model")
        if not isinstance(model, dict):
            self.refuse("model", "is missing")
        self.check("model", {"type": model.get("type")}, _MODEL)  # said first: another type has other keys too
        self.check("model", model, _MODEL)
        said = self._characters() if model.get("byte_fallback") else self._bytes(model.get("ignore_merges") is True)
        ids, merges = model.get("vocab"), model.get("merges")
        if not isinstance(ids, dict):
            self.refuse("model.vocab", "is missing")
        if not isinstance(merges, list):
            self.refuse("model.merges", "is missing")
        if len(merges) > MAX_MERGES:
            self.refuse("model.merges", f"are {len(merges)}, over the limit of {MAX_MERGES}")
        lines = (" ".join(m) if isinstance(m, list) and all(isinstance(t, str) for t in m) else m for m in merges)
        unknown = model.get("unk_token")
        made = Parts(
            self.path,
            ids,
            checked_merges(self.path, "model.merges", enumerate(lines)),
            self._added(),
            said,
            unknown if isinstance(unknown, str) else None,
            notes=self.notes,
        )
        self._around(made)
        return made

    def _added(self) -> list[Added]:
        added = self.json.get("added_tokens") or []
        if not isinstance(added, list) or not all(
            isinstance(a, dict) and isinstance(a.get("content"), str) for a in added
        ):
            self.refuse("added_tokens", "is not a list of tokens")
        flags = ("special", "lstrip", "rstrip")
        return [Added(a["content"], a.get("id"), *(a.get(flag) is True for flag in flags)) for a in added]

    def _bytes(self, ignore_merges: bool) -> dict[str, Any]:
        """GGUF's keys for byte-level BPE, and one of ggtui's own."""
        nfc = False
        for normalizer in parts(self.json.get("normalizer"), "normalizers"):
            if not isinstance(normalizer, dict) or normalizer.get("type") != "NFC":
                self.refuse("normalizer", f"is {shown(normalizer)}; ggtui reads only vocabularies without one")
            nfc = True
        steps = list(parts(self.json.get("pre_tokenizer"), "pretokenizers"))
        if not steps:
            self.refuse("pre_tokenizer", "is missing; ggtui reads only 'ByteLevel'")
        last = steps[-1] if isinstance(steps[-1], dict) else {}
        known = {"type": ("ByteLevel",), "add_prefix_space": (False,), "trim_offsets": None, "use_regex": (True, False)}
        self.check("pre_tokenizer", {"type": last.get("type")}, known)
        self.check("pre_tokenizer", {"add_prefix_space": True} | last, known)
        name = pre_name(steps, ignore_merges)
        if name == UNKNOWN and ignore_merges and pre_name(steps, False) != UNKNOWN:
            self.refuse("model.ignore_merges", f"is True; with {pre_name(steps, False)} ggtui reads only False")
        if name == UNKNOWN:
            self.notes.append(f"how its tokenizer splits text is not known: {shown(self.json['pre_tokenizer'])}")
        return {
            "tokenizer.ggml.model": "gpt2",
            "tokenizer.ggml.pre": name,
            **({"ggtui.tokenizer.nfc": True} if nfc else {}),
        }

    def _characters(self) -> dict[str, Any]:
        """GGUF's keys for BPE over characters, in which a mark stands for a space."""
        prefix = replaced = False
        said: dict[str, Any] = {"tokenizer.ggml.model": "llama", "tokenizer.ggml.pre": "default"}
        for normalizer in parts(self.json.get("normalizer"), "normalizers"):
            if normalizer == {"type": "Prepend", "prepend": _SPACE}:
                prefix = True
            elif normalizer == {"type": "Replace", "pattern": {"String": " "}, "content": _SPACE}:
                replaced = True
            else:
                self.refuse("normalizer", f"is {shown(normalizer)}, which ggtui does not know with byte_fallback")
        for step in parts(self.json.get("pre_tokenizer"), "pretokenizers"):
            kind = step.get("type") if isinstance(step, dict) else None
            if kind == "Metaspace" and step.get("replacement") == _SPACE and step.get("split") is False:
                scheme = step.get("prepend_scheme", "always")
                if scheme not in ("always", "first", "never"):
                    self.refuse("pre_tokenizer.prepend_scheme", f"is {shown(scheme)}, which ggtui does not know")
                prefix, replaced = prefix or scheme != "never", True
                if scheme != "never":  # unlike GGUF's, none before a space, and "first": none after a named token
                    said["ggtui.tokenizer.prepend_scheme"] = scheme
            elif not (kind == "Split" and step.get("pattern") == {"String": " "} and replaced):
                # once spaces are marks, there are none at which it could split
                self.refuse("pre_tokenizer", f"is {shown(step)}, which ggtui does not know with byte_fallback")
        if not replaced:
            self.refuse("normalizer", f"does not replace spaces by {_SPACE!r}, which ggtui wants with byte_fallback")
        return {**said, "tokenizer.ggml.add_space_prefix": prefix}

    def _around(self, made: Parts) -> None:
        """Finds the tokens that every text begins and ends with."""
        for processor in parts(self.json.get("post_processor"), "processors"):
            kind = processor.get("type") if isinstance(processor, dict) else None
            if kind == "ByteLevel":
                continue
            single = processor.get("single") if kind == "TemplateProcessing" else None
            if not isinstance(single, list):
                self.refuse("post_processor", f"is {shown(processor)}; ggtui knows ByteLevel and TemplateProcessing")
            tokens, made.around = made.before, True
            for step in single:
                token = step.get("SpecialToken") if isinstance(step, dict) else None
                if isinstance(token, dict) and isinstance(token.get("id"), str):
                    tokens.append(token["id"])
                elif isinstance(step, dict) and isinstance(step.get("Sequence"), dict) and tokens is made.before:
                    tokens = made.after
                else:
                    self.refuse("post_processor.single", f"has {shown(step)}, which ggtui does not know there")
            if tokens is made.before or len(made.before) > 1 or len(made.after) > 1:
                problem = f"is {shown(single)}; ggtui knows one token before a text, and one after it"
                self.refuse("post_processor.single", problem)


def tokenizer_json(path: Path) -> Parts:
    """What the file says. Raises ModelFileError for what is not understood."""
    return _TokenizerJson(path).parts()


def vocab_json(folder: Path) -> Parts:
    """What vocab.json, merges.txt and the files beside them say: byte-level BPE as GPT-2's. Raises ModelFileError."""
    ids = read_json(folder / "vocab.json", MOST)
    path = folder / "merges.txt"
    with ModelFile(path) as file:
        if file.size > MOST:
            file.refuse("file", f"is over the limit of {MOST} bytes for such a file")
        raw = file.head(MOST)
    n = raw.count(b"\n")
    if n > MAX_MERGES:
        raise ModelFileError(path, "merges", f"have {n} lines, over the limit of {MAX_MERGES}")
    try:
        lines = raw.decode().removeprefix("\ufeff").split("\n")
    except UnicodeDecodeError as error:
        raise ModelFileError(path, "merges", "are not valid UTF-8", error.start) from None
    del raw
    first = 1 if lines[0].startswith("#version") else 0
    numbered = ((n, line.rstrip("\r")) for n, line in enumerate(lines[first:], first + 1) if line.rstrip("\r"))
    merges = checked_merges(path, "line", numbered)
    special = _special_tokens(folder / "special_tokens_map.json")
    added = [Added(token, ids[token], True) for token in special if token in ids]
    if os.path.exists(folder / "added_tokens.json"):
        more = read_json(folder / "added_tokens.json", MOST)
        added += [Added(token, id, token in special or token not in ids) for token, id in more.items()]
    said = {"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "gpt-2"}
    return Parts(folder / "vocab.json", ids, merges, added, said)


def _special_tokens(path: Path) -> set[str]:
    """The tokens that special_tokens_map.json gives a role, such as that of padding."""
    if not os.path.exists(path):
        return set()
    roles = read_json(path, 1 << 20).values()
    tokens = (t for role in roles for t in (role if isinstance(role, list) else [role]))
    texts = (t.get("content") if isinstance(t, dict) else t for t in tokens)
    return {t for t in texts if isinstance(t, str)}


def checked_merges(path: Path, field: str, lines: Iterable[tuple[int, Any]]) -> Texts:
    """Those lines. Raises ModelFileError, with the number of a line that is not of two parts."""

    def checked() -> Iterator[str]:
        for n, line in lines:
            if not isinstance(line, str) or line.count(" ") != 1 or line[0] == " " or line[-1] == " ":
                raise ModelFileError(path, f"{field} {n}", f"is {shown(line)}, not two parts with a space between")
            yield line

    return Texts.of(checked())
