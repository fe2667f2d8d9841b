"""Small files that ask for much: each took over a gigabyte or five seconds once, or comes near to it."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from itertools import islice, product

from fuzz_odd import array, legacy, string, tokenizer_json

from ggtui.core.vocab.bpe import BYTE_ALPHABET, MAX_MERGES, MAX_SPECIAL, MAX_SPECIAL_TEXT, MAX_TOKENS

BYTES = [bytes([b]) for b in range(256)]
LETTERS = BYTE_ALPHABET[:81]


def gguf(**pairs: bytes) -> bytes:
    """No tensors; `tokenizer.ggml.` before the keys."""
    about = {"general.architecture": string("gpt2"), "tokenizer.ggml.model": string("gpt2")}
    head = b"".join(string(key) + struct.pack("<I", 8) + value for key, value in about.items())
    head += b"".join(string(f"tokenizer.ggml.{key}") + value for key, value in pairs.items())
    return b"GGUF" + struct.pack("<IQQ", 3, 0, len(about) + len(pairs)) + head + bytes(64)


def numbers(n: int, kind: int = 1, item: bytes = b"\1") -> bytes:
    return struct.pack("<IIQ", 9, kind, n) + item * n


def texts(items: list[str]) -> bytes:
    return array(8, list(map(string, items)))


def kinds(kind: int, n: int) -> bytes:
    return numbers(256 + n, 5, struct.pack("<i", 1))[: 16 + 4 * 256] + struct.pack("<i", kind) * n


def large_vocabulary(n_tokens: int) -> tuple[list[str], list[str]]:
    """As large as there are: tokens of three letters, each made in two ways."""
    two = ["".join(pair) for pair in product(LETTERS, repeat=2)]
    three = ["".join(letters) for letters in islice(product(LETTERS, repeat=3), n_tokens - 256 - len(two))]
    merges = [f"{t[0]} {t[1]}" for t in two] + [f"{t[:i]} {t[i:]}" for t in three for i in (1, 2)]
    return [*BYTE_ALPHABET, *two, *three], merges


def in_header(text: str) -> bytes:
    return struct.pack("<Q", len(text)) + text.encode()


def in_tokenizer(vocab: str | None = None, merges: str = "[]") -> bytes:
    if vocab is None:
        vocab = json.dumps({token: id for id, token in enumerate([*BYTE_ALPHABET, "he"])})
    whole = json.dumps(tokenizer_json({}, []))
    return whole.replace('"vocab": {}', f'"vocab": {vocab}').replace('"merges": []', f'"merges": {merges}').encode()


def listed(item: str, n: int) -> str:
    return f"[{','.join([item] * n)}]"


def keys(n: int, value: str = "1") -> str:
    return "{" + ",".join(f'"{i:x}":{value}' for i in range(n)) + "}"


def _full() -> bytes:
    tokens, merges = large_vocabulary(MAX_TOKENS)
    return gguf(tokens=texts(tokens), merges=texts(merges))


def _large_json() -> bytes:
    tokens, merges = large_vocabulary(262_144)
    tree = tokenizer_json({token: id for id, token in enumerate(tokens)}, [m.split(" ") for m in merges])
    return json.dumps(tree, ensure_ascii=False).encode()


WORST: dict[str, tuple[str, Callable[[], bytes]]] = {
    "arrays of bytes": ("model.gguf", lambda: gguf(a=numbers(1 << 24), b=numbers(1 << 24), c=numbers(1 << 24))),
    "a wide text": ("model.gguf", lambda: gguf(a=struct.pack("<I", 8) + string("x" * (15 << 20) + "😀"))),
    "equal merges": (
        "model.gguf", lambda: gguf(tokens=texts(list(BYTE_ALPHABET)), merges=numbers(1 << 22, 8, string("h e"))),
    ),
    "equal tokens": ("model.gguf", lambda: gguf(tokens=numbers(1 << 22, 8, string("ab")))),
    "a full vocabulary": ("model.gguf", _full),
    "user-defined tokens": (
        "model.gguf",
        lambda: gguf(tokens=texts([*BYTE_ALPHABET, *(f"<{i}>" for i in range(200_000))]), token_type=kinds(4, 200_000)),
    ),
    "as many user-defined tokens as are read": (
        "model.gguf",
        lambda: gguf(
            tokens=texts([*BYTE_ALPHABET, *(f"<{i:013}>" for i in range(MAX_SPECIAL))]),
            token_type=kinds(4, MAX_SPECIAL),
        ),
    ),
    "a user-defined token that is long": (
        "model.gguf", lambda: gguf(tokens=texts([*BYTE_ALPHABET, "x" * MAX_SPECIAL_TEXT]), token_type=kinds(4, 1)),
    ),
    "legacy tokens": (
        "model.bin",
        lambda: legacy(
            [bytes(t) for n in (1, 2, 3) for t in islice(product(range(256), repeat=n), MAX_TOKENS)][:MAX_TOKENS]
        ),
    ),
    "legacy tokens in a chain": ("model.bin", lambda: legacy([*BYTES, *(b"a" * n for n in range(2, 368))])),
    "legacy tokens of nothing": ("model.bin", lambda: legacy([*BYTES, *[b""] * (MAX_TOKENS - 256)])),
    "keys of a vocabulary": ("tokenizer.json", lambda: in_tokenizer(keys(3_000_000))),
    "as many keys as are read": ("tokenizer.json", lambda: in_tokenizer(keys(500_000, '"x"'))),
    "merges as pairs": ("tokenizer.json", lambda: in_tokenizer(merges=listed('["h","e"]', 690_000))),
    "empty lists": ("tokenizer.json", lambda: in_tokenizer(merges=listed("[]", 1_040_000))),
    "a long text": ("tokenizer.json", lambda: in_tokenizer('"' + "x" * (39 << 20) + '😀"')),
    "escapes": ("tokenizer.json", lambda: in_tokenizer('"' + "\\n" * (19 << 20) + '\\ud800"')),
    "a large tokenizer": ("tokenizer.json", _large_json),
    "lines of merges": ("merges.txt", lambda: b"h e\n" * (10 << 20)),
    "as many lines as are read": ("merges.txt", lambda: b"h e\n" * MAX_MERGES),
    "keys of weights": ("model.safetensors", lambda: in_header(keys(1_400_000))),
    "weights": (
        "model.safetensors",
        lambda: in_header(keys(65_536, '{"dtype":"F32","shape":[0],"data_offsets":[0,0]}')),
    ),
    "places of weights": (
        "model.safetensors.index.json", lambda: ('{"weight_map":' + keys(500_000, '"a"') + "}").encode(),
    ),
    **{
        f"brackets in {name}": (name, lambda size=size: b"[" * size)
        for name, size in (("config.json", 1 << 20), ("tokenizer.json", 40 << 20))
    },
    "brackets in a header": ("model.safetensors", lambda: in_header("[" * (15 << 20))),
}  # fmt: skip
