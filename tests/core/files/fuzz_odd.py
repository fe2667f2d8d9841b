"""Model files that say what no model says: values of another kind under every key, counts that are huge, one thing a
million times over, brackets in brackets. All else in them is sound, so that a reader comes to what is odd."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

REFERENCES = Path(__file__).parents[2] / "references" / "architectures"

STRING, ARRAY, BOOL = 8, 9, 7
FORMATS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
NUMBERS = (0, 1, -1, 2, 63, 255, 1 << 31, 1 << 53, (1 << 64) - 1, 0.5, 1e-5, 1e300, float("nan"), float("-inf"), True)
TEXTS = ("", " ", "a", "gpt2", "h e", "\0", "\u2028", "<|endoftext|>", "😀", "x" * 5000, "a b c")
MAX_BYTES = 1 << 22  # of what is put in


def count(rng: random.Random, most: int) -> int:
    """A number up to `most`, small ones as often as large ones."""
    return min(most, int(2 ** rng.uniform(0, 23)))


# ---- GGUF ----


def _u64(n: int) -> bytes:
    return struct.pack("<Q", n)


def string(text: str) -> bytes:
    raw = text.encode()
    return _u64(len(raw)) + raw


def array(kind: int, items: list[bytes]) -> bytes:
    """With its own kind before it, as a value has it."""
    return struct.pack("<IIQ", ARRAY, kind, len(items)) + b"".join(items)


def _number(rng: random.Random, kind: int) -> bytes:
    value = rng.choice(NUMBERS)
    if FORMATS[kind] in "fd":
        return struct.pack("<" + FORMATS[kind], value if kind == 12 or value != 1e300 else 1e30)
    n = struct.calcsize(FORMATS[kind])
    return (int(value) if value == value and abs(value) < 1e300 else 7).to_bytes(16, "little", signed=True)[:n]


def odd_value(rng: random.Random) -> bytes:
    """A value of GGUF, with its kind before it."""
    kind = rng.choice([*FORMATS, STRING, STRING, ARRAY, ARRAY, ARRAY, ARRAY])
    if kind in FORMATS:
        return struct.pack("<I", kind) + _number(rng, kind)
    if kind == STRING:
        return struct.pack("<I", kind) + string(rng.choice(TEXTS) * rng.choice((1, 1, 100)))
    of = rng.choice([*FORMATS, STRING, STRING, STRING, STRING])
    if of in FORMATS:
        return array(of, [_number(rng, of)] * count(rng, MAX_BYTES // 8))
    texts = [string(text) for text in rng.sample(TEXTS, rng.randint(1, 3))]
    n = count(rng, MAX_BYTES // len(b"".join(texts)))
    if rng.random() < 0.3:
        return array(STRING, [string(f"{rng.choice(TEXTS)[:9]}{i}") for i in range(n)])
    return array(STRING, texts * n)


def odd_gguf(folder: Path, rng: random.Random) -> tuple[str, bytes]:
    """The small model, with odd values under one to three keys, or far more keys."""
    from ggtui.core.files import open_model

    with open_model(folder / "model.gguf") as file:
        pairs = {key: plain_value(value) for key, value in file.metadata.items()}
        infos = list(file.tensors.values())
        data = [file.data(info.name).tobytes() for info in infos]
    keys = [*pairs, "gpt2.activation_function", "general.alignment", "ggtui.own_types", "ggtui.own_type_sizes", "x"]
    for key in rng.sample(keys, rng.randint(1, 3)):
        pairs[key] = odd_value(rng)
    if rng.random() < 0.1:
        pairs |= {f"k{i}": struct.pack("<IB", BOOL, 1) for i in range(count(rng, 1 << 16))}
    header = b"GGUF" + struct.pack("<IQQ", 3, len(infos), len(pairs))
    header += b"".join(string(key) + value for key, value in pairs.items())
    at = 0
    for info, raw in zip(infos, data, strict=True):
        header += string(info.name) + struct.pack("<I4qIQ", 4, *info.ne, info.type.id, at)
        at += len(raw) + -len(raw) % 32
    header += bytes(-len(header) % 32)
    return "model.gguf", header + b"".join(raw + bytes(-len(raw) % 32) for raw in data)


def plain_value(value: Any) -> bytes:
    """A value as the reader gives it, as it stands in a file."""
    if isinstance(value, str):
        return struct.pack("<I", STRING) + string(value)
    if isinstance(value, float):
        return struct.pack("<If", 6, value)
    if isinstance(value, int):
        return struct.pack("<II", 4, value)
    items = value.tolist() if hasattr(value, "tolist") else list(value)
    if items and isinstance(items[0], str):
        return array(STRING, [string(item) for item in items])
    if items and isinstance(items[0], float):
        return array(6, [struct.pack("<f", item) for item in items])
    return array(5, [struct.pack("<i", item) for item in items])


# ---- legacy ----


def legacy(tokens: list[bytes], tail: bytes = b"", *, n: int | None = None) -> bytes:
    """The header and the vocabulary of a file, with the sizes of the small model; `n` tokens, as it says."""
    n = len(tokens) if n is None else n
    head = b"lmgg" + struct.pack("<7i", n, 16, 64, 4, 2, 1, n)
    return head + b"".join(struct.pack("<I", len(token)) + token for token in tokens) + tail


def odd_legacy(folder: Path, rng: random.Random) -> tuple[str, bytes]:
    """The small model with other tokens, and so with no tensor that fits them."""
    tokens = [bytes([b]) for b in range(256)]
    n = count(rng, MAX_BYTES // 8)
    match rng.randrange(5):
        case 0:
            tokens += [rng.choice(TEXTS).encode()[:999]] * n
        case 1:
            tokens += [rng.randbytes(rng.randint(0, 4)) for _ in range(n)]
        case 2:
            tokens += [f"{i:x}".encode() for i in range(n)]
        case 3:
            tokens += [b"a" * i for i in range(2, min(n, 600))]
        case 4:
            made = list(tokens)
            for _ in range(min(n, 20_000)):
                made.append((rng.choice(made) + rng.choice(made))[:60])
            tokens = list(dict.fromkeys(made))
    raw = (folder / "model.bin").read_bytes()
    claimed = len(tokens) if rng.random() < 0.8 else rng.choice((0, 1, len(tokens) + 1, 1 << 19, 1 << 30))
    return "model.bin", legacy(tokens, raw[-rng.randrange(len(raw)) :], n=claimed)


# ---- JSON ----


def odd_json(rng: random.Random) -> str:
    """The text of a value. It is never made as Python's: some are nested too deeply for that."""
    n = count(rng, MAX_BYTES // 8)
    match rng.randrange(12):
        case 0:
            return rng.choice(("null", "true", "-1", "0", "1", "1.5", "1e400", "-0.0", "1e-9", "9" * 30, "1" * 5000))
        case 1:
            return json.dumps(rng.choice(TEXTS), ensure_ascii=rng.random() < 0.5)
        case 2:
            return json.dumps(rng.choice(TEXTS)) if n < 1000 else json.dumps("é" * n)
        case 3:
            return rng.choice(("[]", "{}", "[[]]", '{"a": {}}', "[null]", '"\\ud800"', '["\\udc00\\ud800"]'))
        case 4:
            return "[" * n + "]" * rng.choice((0, n, n))
        case 5:
            return '{"a":' * n + "1" + "}" * n
        case 6:
            depth = rng.randint(1, 1200)
            return "[" * depth + "1" + "]" * depth
        case 7:
            item = rng.choice(("1", '"a"', "[]", "{}", "null", "[1,[2]]", '["h","e"]', '"h e"', '"\\n"', "1.5"))
            return f"[{','.join([item] * n)}]"
        case 8:
            return "{" + ",".join([f'"a": {rng.choice(("1", "[]", "{}"))}'] * n) + "}"
        case 9:
            text = '"x"'
            return "{" + ",".join(f'"k{i}": {i if n % 2 else text}' for i in range(n)) + "}"
        case 10:
            return "[" + ",".join(f'{{"id": {i}, "content": "c{i}"}}' for i in range(min(n, MAX_BYTES // 32))) + "]"
        case _:
            return '"' + "\\n" * n + '"'


def replaced(rng: random.Random, tree: Any) -> str:
    """A tree as JSON, with an odd value at one place, or under a key more."""
    if not tree or rng.random() < 0.05:
        return odd_json(rng)
    here = tree
    key = rng.choice(list(here) if isinstance(here, dict) else range(len(here)))
    while isinstance(here[key], dict | list) and here[key] and rng.random() < 0.7:
        here = here[key]
        key = rng.choice(list(here) if isinstance(here, dict) else range(len(here)))
    if isinstance(here, dict) and rng.random() < 0.1:
        key = "new"
    here[key] = "THE ODD ONE"
    return json.dumps(tree).replace('"THE ODD ONE"', odd_json(rng))


def tokenizer_json(vocab: Mapping[str, int], merges: list[Any]) -> dict[str, Any]:
    model = {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": "", "fuse_unk": False}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    added = [{"id": 263, "content": "<|endoftext|>", "single_word": False, "special": True}]
    around = [{"SpecialToken": {"id": "<|endoftext|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
    return {
        "version": "1.0", "truncation": None, "added_tokens": added, "normalizer": None, "pre_tokenizer": byte_level,
        "post_processor": {"type": "Sequence", "processors": [{"type": "TemplateProcessing", "single": around}]},
        "model": {**model, "vocab": dict(vocab), "merges": merges},
    }  # fmt: skip


def odd_folder(folder: Path, rng: random.Random) -> tuple[str, bytes]:
    """One file of the folder, odd at one place."""
    vocab = json.loads((folder / "vocab.json").read_text())
    merges = (folder / "merges.txt").read_text().split("\n")[1:-1]
    raw = (folder / "model.safetensors").read_bytes()
    n = struct.unpack_from("<Q", raw)[0]
    header = json.loads(raw[8 : 8 + n])
    others = sorted(REFERENCES.glob("*/config.json"))
    trees: dict[str, Callable[[], Any]] = {
        "config.json": lambda: json.loads(rng.choice((folder / "config.json", *others)).read_text()),
        "tokenizer_config.json": lambda: {
            "eos_token": {"content": "<|endoftext|>"},
            "add_bos_token": True,
            "chat_template": [{"name": "default", "template": "a"}, {"name": "b", "template": "c"}],
        },
        "generation_config.json": lambda: {"eos_token_id": [1, 2], "bos_token_id": 3},
        "tokenizer.json": lambda: tokenizer_json(vocab, [m.split(" ") if rng.random() < 0.5 else m for m in merges]),
        "vocab.json": lambda: vocab,
        "special_tokens_map.json": lambda: {
            "eos_token": {"content": "<|endoftext|>"},
            "pad_token": "a",
            "other": ["b"],
        },
        "added_tokens.json": lambda: {"<|endoftext|>": 263, "a": 64},
        "model.safetensors.index.json": lambda: {"weight_map": dict.fromkeys(header, "model.safetensors")},
        "model.safetensors": lambda: header,
    }
    name = rng.choice([*trees, "tokenizer.json", "merges.txt"])
    if name == "merges.txt":
        line = rng.choice(("h e", "", "#version", "a", "h  e", "h e ", "\r", "x" * 999, "\0"))
        lines = ["#version: 0.2", *merges, *[line] * count(rng, MAX_BYTES // (len(line) + 1))]
        return name, "\n".join(lines).encode()
    text = replaced(rng, trees[name]()).encode()
    return name, struct.pack("<Q", len(text)) + text + raw[8 + n :] if name == "model.safetensors" else text


ODD: dict[str, Callable[[Path, random.Random], tuple[str, bytes]]] = {
    "gguf": odd_gguf,
    "legacy": odd_legacy,
    "huggingface": odd_folder,
}
