"""The parts that tokens play: which begin and end a text, which are found by their names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from ggtui.core.errors import ModelFileError
from ggtui.core.files.fields import Fields, are_texts, shown
from ggtui.core.vocab.kinds import (
    CONTROL,
    KINDS,
    MAX_LENGTHS,
    MAX_SPECIAL,
    MAX_SPECIAL_TEXT,
    MAX_TOKENS,
    NORMAL,
    UNKNOWN,
    USER_DEFINED,
)

# Names of tokens that end a text or a turn. Files often say only which is eos. </s> is none of them: in some
# vocabularies it is a tag like others.
ENDS = frozenset({
    "<|endoftext|>", "<|end_of_text|>", "<|im_end|>", "<|end|>", "<|eot_id|>", "<|eom_id|>", "<end_of_turn>",
    "<turn|>", "<|tool_response>", "<eos>", "<EOT>", "_<EOT>", "[EOT]", "[EOS]", "<end_of_utterance>",
    "<\uff5cend\u2581of\u2581sentence\uff5c>", "<|return|>", "<|call|>", "<|calls|>", "<|flush|>", "[e~[",
})  # fmt: skip
# With these beside it, <|end|> ends a part of a turn, after which more comes.
_LATER_ENDS = ({"<|return|>", "<|call|>"}, {"<|call|>", "<|flush|>"}, {"<|calls|>", "<|flush|>"})


NFC = "ggtui.tokenizer.nfc"  # in metadata: whether texts are brought to Unicode's form NFC first


def truth(metadata: Mapping[str, Any], path: str | Path, key: str, default: bool | None) -> bool | None:
    """What is true or false. Raises ModelFileError, in the name of `path`, for what is neither."""
    value = metadata.get(key)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise ModelFileError(path, key, f"is {shown(value)}, not true or false")
    return value


@dataclass(frozen=True)
class Said:
    """What a file says of single tokens. Ids that the vocabulary lacks are left out; None is for none said."""

    bos: int | None = None
    eos: int | None = None
    ends: frozenset[int] = frozenset()
    lstrip: frozenset[int] = frozenset()
    rstrip: frozenset[int] = frozenset()
    add_bos: bool | None = None
    nfc: bool = False

    @classmethod
    def of(cls, metadata: Mapping[str, Any], path: str | Path) -> Said:
        """By GGUF's keys, and four of ggtui's own for what Hugging Face's folders say beyond these. Raises
        ModelFileError, in the name of `path`, for values of another kind."""
        fields = Fields.of(metadata, path)

        def one(key: str) -> int | None:
            key = f"tokenizer.ggml.{key}_token_id"
            return fields.whole(key, -1 << 63, 1 << 64) if key in fields else None

        def several(key: str) -> frozenset[int]:
            return frozenset(fields.wholes(f"ggtui.tokenizer.{key}", []).tolist())

        add_bos = truth(metadata, path, "tokenizer.ggml.add_bos_token", None)
        ends = {id for id in (one("eot"), one("eom")) if id is not None}
        nfc = truth(metadata, path, NFC, False) is True
        return cls(
            one("bos"), one("eos"), several("end_ids") | ends, several("lstrip"), several("rstrip"), add_bos, nfc
        )


@dataclass(frozen=True)
class Roles:
    """As in `Vocabulary`. user_defined, control: tokens by their names, those found in any text, and those found only
    where names of control tokens are asked for. lstrip, rstrip: tokens that take the white space before and after. nfc:
    texts are brought to Unicode's form NFC first."""

    bos: int | None
    eos: int | None
    add_bos: bool
    ends: frozenset[int]
    lstrip: frozenset[int] = frozenset()
    rstrip: frozenset[int] = frozenset()
    user_defined: dict[str, int] = field(default_factory=dict)
    control: dict[str, int] = field(default_factory=dict)
    nfc: bool = False


class Tokens:
    """The texts of the tokens of a vocabulary and their kinds, checked.

    kinds  uint8 (n_vocab,), of GGUF's
    """

    def __init__(
        self, path: str | Path, texts: Sequence[str], kinds: Sequence[int] | npt.NDArray[np.integer[Any]] | None
    ) -> None:
        """Without kinds all are normal. Raises ModelFileError, in the name of `path`."""
        self.path, self.texts = path, texts
        if not len(texts) or not are_texts(texts):
            self.refuse("tokenizer.ggml.tokens", "is no list of texts" if len(texts) else "is empty")
        if len(texts) > MAX_TOKENS:
            self.refuse("tokenizer.ggml.tokens", f"has {len(texts)} entries, over the limit of {MAX_TOKENS}")
        values = np.full(len(texts), NORMAL) if kinds is None else np.asarray(kinds)
        if len(values) != len(texts):
            self.refuse("tokenizer.ggml.token_type", f"has {len(values)} entries for {len(texts)} tokens")
        known = np.isin(values, KINDS)
        if not known.all():
            id = int(np.argmin(known))
            self.refuse(f"tokenizer.ggml.token_type[{id}]", f"is {values[id]}, not 1 to 6")
        self.kinds = values.astype(np.uint8)

    def refuse(self, field: str, problem: str) -> NoReturn:
        raise ModelFileError(self.path, field, problem)

    def roles(self, said: Said, unmade: Iterable[int], add_bos: bool, space: str = " ") -> Roles:
        """What the tokens are for. unmade: ids of the normal tokens that text never becomes; those of them that begin
        or end a text are control tokens. add_bos: for a file that does not say it. space: what stands for a space in
        the names of user-defined tokens."""
        bos, eos = (id if id is not None and 0 <= id < len(self.texts) else None for id in (said.bos, said.eos))
        ends = {id for id in said.ends if 0 <= id < len(self.texts)} | ({eos} - {None})
        others = np.flatnonzero(np.isin(self.kinds, (UNKNOWN, CONTROL, USER_DEFINED))).tolist()
        candidates = {id: self.texts[id] for id in (*others, *unmade)}
        by_text = {text: id for id, text in candidates.items() if text in ENDS}
        if any(later <= by_text.keys() for later in _LATER_ENDS):
            by_text.pop("<|end|>", None)
        ends.update(by_text.values())
        control, user_defined = {}, {}
        for id, text in candidates.items():
            if not _is_name(text):
                continue
            if id in ends or self.kinds[id] in (CONTROL, UNKNOWN) or (id == bos and self.kinds[id] == NORMAL):
                control[text] = id
            elif self.kinds[id] == USER_DEFINED:
                user_defined[text.replace(space, " ")] = id
        names = [*control, *user_defined]
        size, lengths = sum(map(len, names)), len(set(map(len, names)))
        if len(names) > MAX_SPECIAL or size > MAX_SPECIAL_TEXT or lengths > MAX_LENGTHS:
            problem = f"has {len(names)} control and user-defined tokens with names of {size} characters in all"
            limits = f"at most {MAX_SPECIAL} of {MAX_SPECIAL_TEXT} are read, and of {MAX_LENGTHS} lengths"
            self.refuse("tokenizer.ggml.token_type", f"{problem} and {lengths} lengths; {limits}")
        add_bos = bos is not None and (add_bos if said.add_bos is None else said.add_bos)
        return Roles(
            bos, eos, add_bos, frozenset(id for id in ends if id is not None), said.lstrip, said.rstrip,
            user_defined, control, said.nfc,
        )  # fmt: skip


def _is_name(text: str) -> bool:
    """Whether a text can hold it."""
    return bool(text) and not any("\ud800" <= c <= "\udfff" for c in text)
