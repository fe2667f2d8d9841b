"""Model files taken apart into fields, and damaged field by field: a number becomes another one, a field goes missing,
comes twice, changes places."""

from __future__ import annotations

import json
import random
import struct
from pathlib import Path
from typing import Any

import numpy as np

NUMBERS = (0, 1, 2, 3, 4, 7, 8, 9, 12, 13, 31, 32, 33, 63, 64, 127, 128, 255, 256, 999, 1000, 1001, 2007, 65535, 65536)
NUMBERS += tuple((1 << bits) + d for bits in (24, 31, 32, 62, 63) for d in (-1, 0, 1))
NUMBERS += tuple((1 << 64) - d for d in (1, 2, 32))

Fields = list[bytes]


def gguf_fields(folder: Path) -> Fields:
    """Every number and every text of the header as a field of its own, then the data of all tensors."""
    raw = (folder / "model.gguf").read_bytes()
    out, at = Fields(), 0

    def take(n: int) -> bytes:
        nonlocal at
        at += n
        out.append(raw[at - n : at])
        return out[-1]

    def number(layout: str) -> Any:
        return struct.unpack("<" + layout, take(struct.calcsize(layout)))[0]

    def value(kind: int) -> None:
        if kind == 8:
            take(number("Q"))
        elif kind == 9:
            of, n = number("I"), number("Q")
            for _ in range(n):
                value(of)
        else:
            take((1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8)[kind])

    take(4), number("I")
    n_tensors, n_keys = number("Q"), number("Q")
    for _ in range(n_keys):
        take(number("Q"))
        value(number("I"))
    for _ in range(n_tensors):
        take(number("Q"))
        for _ in range(number("I")):
            number("Q")
        number("I"), number("Q")
    take(-at % 32)
    while at < len(raw):
        take(min(4096, len(raw) - at))
    assert b"".join(out) == raw
    return out


def legacy_fields(folder: Path) -> Fields:
    raw = (folder / "model.bin").read_bytes()
    out, at = Fields(), 0

    def take(n: int) -> bytes:
        nonlocal at
        at += n
        out.append(raw[at - n : at])
        return out[-1]

    def number() -> int:
        return int.from_bytes(take(4), "little")

    take(4)
    hparams = [number() for _ in range(6)]
    number()
    for _ in range(hparams[0]):
        take(number())
    while at < len(raw):
        n_dims, n_name, kind = number(), number(), number()
        ne = [number() for _ in range(n_dims)]
        take(n_name)
        take(int(np.prod(ne)) * (2 if kind == 1 else 4))
    assert b"".join(out) == raw
    return out


def safetensors_fields(folder: Path) -> Fields:
    """The tokens of the JSON header, then the data."""
    raw = (folder / "model.safetensors").read_bytes()
    n = struct.unpack_from("<Q", raw)[0]
    out = Fields([raw[:8], *json_fields(raw[8 : 8 + n].decode())])
    out += [raw[at : at + 4096] for at in range(8 + n, len(raw), 4096)]
    assert b"".join(out) == raw
    return out


def json_fields(text: str) -> Fields:
    """Its tokens: punctuation, texts, numbers."""
    out, scanner, at = Fields(), json.JSONDecoder(), 0
    while at < len(text):
        end = at + 1
        if text[at] in '"-0123456789':
            end = scanner.raw_decode(text, at)[1]
        out.append(text[at:end].encode())
        at = end
    return out


def damaged(fields: Fields, rng: random.Random) -> bytes:
    """One to four changes; early fields, which decide about what follows, are changed as often as all others."""
    fields = list(fields)
    for _ in range(rng.randint(1, 4)):
        i = rng.randrange(min(len(fields), rng.choice((12, 60, len(fields)))))
        size = len(fields[i])
        match rng.randrange(8):
            case 0 | 1 | 2:  # another number, as bytes or as text
                number = rng.choice(NUMBERS)
                as_text = fields[i].isdigit()
                fields[i] = str(number).encode() if as_text else number.to_bytes(8, "little")[: max(size, 1)]
            case 3:
                raw = bytearray(fields[i] or b"x")
                raw[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)
                fields[i] = bytes(raw)
            case 4:
                fields[i] = b""
            case 5:
                fields[i] *= rng.choice((2, 2, 3, 100))
            case 6:
                j = rng.randrange(len(fields))
                fields[i], fields[j] = fields[j], fields[i]
            case 7:
                j = rng.randrange(len(fields))
                fields[i] = fields[j]
    raw = b"".join(fields)
    return raw[: rng.randrange(len(raw) + 1)] if rng.random() < 0.1 else raw
