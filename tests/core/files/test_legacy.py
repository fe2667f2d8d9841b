"""Legacy ggml files: hand-made ones, round trips, and everything that is refused."""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ggtui.core.errors import ModelFileError
from ggtui.core.files import open_model
from ggtui.core.files.convert import convert
from ggtui.core.files.legacy import MAX_TOKEN, LegacyFile, vocabulary
from ggtui.core.models import check_model
from ggtui.core.runtime.reference.quants import quantize
from ggtui.core.vocab.bpe import BYTE_ALPHABET, CONTROL, NORMAL, UNUSED, USER_DEFINED, Tokenizer

GPT2_VOCABULARY = Path(__file__).parents[2] / "data/ggml-vocab-gpt-2.gguf"
END = b"<|endoftext|>"
TOKENS = (*(bytes([b]) for b in range(256)), b"he", b"the", END)
H = {"n_vocab": len(TOKENS), "n_ctx": 4, "n_embd": 32, "n_head": 2, "n_layer": 1}


def i32(*numbers: int) -> bytes:
    return struct.pack(f"<{len(numbers)}i", *numbers)


def header(ftype: int = 0, **changes: int) -> bytes:
    return b"lmgg" + i32(*(H | changes).values(), ftype)


def tokens(raw: Sequence[bytes] = TOKENS, n: int | None = None) -> bytes:
    return i32(len(raw) if n is None else n) + b"".join(i32(len(token)) + token for token in raw)


def tensor(name: str, *ne: int, type: int = 0, data: bytes | None = None, n_dims: int | None = None) -> bytes:
    data = (np.arange(np.prod(ne)) / 64).astype("<f4").tobytes() if data is None else data
    return i32(len(ne) if n_dims is None else n_dims, len(name), type, *ne) + name.encode() + data


SHAPES: dict[str, tuple[int, ...]] = {
    "model/wte": (32, len(TOKENS)),
    "model/wpe": (32, 4),
    "model/ln_f/g": (32,),
    "model/ln_f/b": (32,),
    "model/h0/ln_1/g": (32,),
    "model/h0/ln_1/b": (32,),
    "model/h0/attn/c_attn/w": (32, 96),
    "model/h0/attn/c_attn/b": (96,),
    "model/h0/attn/c_proj/w": (32, 32),
    "model/h0/attn/c_proj/b": (32,),
    "model/h0/ln_2/g": (32,),
    "model/h0/ln_2/b": (32,),
    "model/h0/mlp/c_fc/w": (32, 128),
    "model/h0/mlp/c_fc/b": (128,),
    "model/h0/mlp/c_proj/w": (128, 32),
    "model/h0/mlp/c_proj/b": (32,),
}


def tensors(**instead: bytes) -> bytes:
    return b"".join(instead.get(name.split("/", 1)[1], tensor(name, *ne)) for name, ne in SHAPES.items())


MODEL = header() + tokens() + tensors()
START = len(header() + tokens())  # of the tensors


def refusal(path: Path) -> ModelFileError:
    with pytest.raises(ModelFileError) as caught:
        LegacyFile(path)
    return caught.value


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ggml-model.bin"


def test_a_hand_made_file(path: Path) -> None:
    path.write_bytes(MODEL)
    with open_model(path) as file:
        assert isinstance(file, LegacyFile)
        check_model(file)
        assert {key: value for key, value in file.metadata.items() if isinstance(value, str | int | float)} == {
            "general.architecture": "gpt2",
            "general.name": "ggml-model",
            "gpt2.block_count": 1,
            "gpt2.context_length": 4,
            "gpt2.embedding_length": 32,
            "gpt2.feed_forward_length": 128,
            "gpt2.attention.head_count": 2,
            "gpt2.attention.layer_norm_epsilon": 1e-5,
            "tokenizer.ggml.model": "gpt2",
            "tokenizer.ggml.pre": "gpt-2",
            "tokenizer.ggml.bos_token_id": 258,
            "tokenizer.ggml.eos_token_id": 258,
        }
        assert file.tensors["blk.0.ffn_down.weight"].ne == (128, 32, 1, 1)
        assert file.tensors["blk.0.attn_qkv.bias"].ne == (96, 1, 1, 1)
        assert len(file.tensors) == len(SHAPES)
        for info in file.tensors.values():
            data = file.data(info.name)
            np.testing.assert_array_equal(data.view(np.float32), np.arange(np.prod(info.ne)) / 64)


def test_the_vocabulary_has_its_merges_back(path: Path) -> None:
    path.write_bytes(MODEL)
    with open_model(path) as file:
        assert file.metadata["tokenizer.ggml.merges"] == ["h e", "t he"]
        assert file.metadata["tokenizer.ggml.tokens"][:256] == list(BYTE_ALPHABET)
        assert file.metadata["tokenizer.ggml.token_type"] == [NORMAL] * 258 + [CONTROL]
        tokenizer = Tokenizer.from_metadata(file.metadata, path)
    assert tokenizer.encode("the <|endoftext|>", special=True) == [257, 32, 258]
    assert tokenizer.eos == 258


def test_the_merges_of_gpt2() -> None:
    with open_model(GPT2_VOCABULARY) as file:
        names = file.metadata["tokenizer.ggml.tokens"]
        raw = [bytes(map(BYTE_ALPHABET.index, name)) for name in names]
        again = vocabulary(raw)
        assert again["tokenizer.ggml.merges"] == file.metadata["tokenizer.ggml.merges"]
        assert again["tokenizer.ggml.tokens"] == names
        assert again["tokenizer.ggml.token_type"] == file.metadata["tokenizer.ggml.token_type"].tolist()
        assert again["tokenizer.ggml.eos_token_id"] == file.metadata["tokenizer.ggml.eos_token_id"]


def byte_pair_merges(tokens: Sequence[bytes]) -> list[tuple[bytes, bytes]]:
    """The slow way: merge each token as text would be, by the merges before it, until two parts are left."""
    made: list[bytes] = []
    merges = []
    for token in tokens:
        parts = [token[i : i + 1] for i in range(len(token))]
        while len(parts) > 2:
            pairs = {a + b: i for i, (a, b) in reversed(list(enumerate(pairwise(parts))))}
            pair = next((whole for whole in made if whole in pairs), None)
            if pair is None:
                break
            parts[pairs[pair] : pairs[pair] + 2] = [pair]
        if len(parts) == 2:
            made.append(token)
            merges.append((parts[0], parts[1]))
    return merges


@settings(max_examples=150)
@given(st.data())
def test_merges_of_any_vocabulary(data: st.DataObject) -> None:
    raw = [b"a", b"b"]
    for _ in range(data.draw(st.integers(1, 14))):
        token = data.draw(st.sampled_from(raw)) + data.draw(st.sampled_from(raw))
        if token not in raw:
            raw.append(token)
    merges = vocabulary(raw)["tokenizer.ggml.merges"]
    assert [tuple(part.encode() for part in merge.split(" ")) for merge in merges] == byte_pair_merges(raw)


def test_tokens_that_no_merge_makes() -> None:
    made = vocabulary([*TOKENS, "<|é|>".encode(), b"", b"x\xff"[:1] + b"y"])
    assert made["tokenizer.ggml.tokens"][258:] == ["<|endoftext|>", "<|é|>", "[PAD260]", "xy"]
    assert made["tokenizer.ggml.token_type"][258:] == [CONTROL, USER_DEFINED, UNUSED, NORMAL]
    assert Tokenizer.from_metadata(made, "x").decode([259]) == "<|é|>"
    assert "tokenizer.ggml.eos_token_id" not in vocabulary(TOKENS[:-1])
    for raw, said in (
        ((b"\xff\xfe\xfd",), r"token 259 is b'\xff\xfe\xfd', which neither a merge makes nor is text"),
        ((b"the",), "has the token 'the' 2 times"),
        ((b"x" * MAX_TOKEN,) * 100, "has far too many long tokens"),
    ):
        with pytest.raises(ValueError, match=re.escape(said)):
            vocabulary([*TOKENS, *raw])


FIRST = len(tensor("model/wte", *SHAPES["model/wte"]))
SECOND = START + FIRST


@pytest.mark.parametrize(
    ("content", "offset", "field", "said"),
    [
        (b"lmgg", 4, "n_vocab", "needs 4 bytes where 0 are left"),
        (b"GGUF" + MODEL[4:], 0, "magic", "is b'GGUF', not b'lmgg'"),
        (header(n_vocab=0) + tokens(), 4, "n_vocab", "is 0, not 1 to"),
        (header(n_ctx=-1) + tokens(), 8, "n_ctx", "is -1, not 1 to"),
        (header(n_embd=1 << 30) + tokens(), 12, "n_embd", "is 1073741824, not 1 to"),
        (header(n_head=3) + tokens(), 16, "n_head", "is 3, which does not divide n_embd, 32"),
        (header(n_layer=1025) + tokens(), 20, "n_layer", "is 1025, not 1 to 1024"),
        (header(ftype=-1) + tokens(), 24, "ftype", "is -1, not 0 to"),
        (header(ftype=2) + tokens(), 24, "ftype", "is 2: q4_0 of quantization version 0, of other blocks"),
        (header(ftype=1002) + tokens(), 24, "ftype", "is 1002: q4_0 of quantization version 1, of other blocks"),
        (header(ftype=1001) + tokens(), 24, "ftype", "is 1001: f16 of quantization version 1"),
        (header(ftype=3007) + tokens(), 24, "ftype", "is 3007: q8_0 of quantization version 3"),
        (header(ftype=2004) + tokens(), 24, "ftype", "is 2004: type 4, which ggtui does not read"),
        (header() + tokens(n=258), 28, "n_vocab of the vocabulary", "is 258, the header says 259"),
        (header(n_vocab=1 << 18) + i32(1 << 18), 4, "n_vocab", "is 262144, but that many tokens do not fit"),
        (header(n_vocab=1 << 20) + i32(1 << 20), 4, "n_vocab", "is 1048576, not 1 to 393216"),
        (header() + tokens([b"a"] * 10, 259) + bytes(1000), 32, "vocabulary", "has the token 'a' 10 times"),
        (header() + i32(259, MAX_TOKEN + 1) + bytes(2000), 32, "length of token 0", "is 1025, not 0 to 1024"),
        (header() + i32(259, 900) + bytes(1200), 1236, "length of token 76", "needs 4 bytes where 0 are left"),
        (header() + tokens([*TOKENS[:-1], b"he"]) + tensors(), 32, "vocabulary", "has the token 'he' 2 times"),
        (MODEL[: START + 3], START, "n_dims of tensor 0", "needs 4 bytes where 3 are left"),
        (MODEL[:START] + tensor("model/wte", 32, n_dims=3), START, "n_dims of tensor 0", "is 3, not 1 to 2"),
        (MODEL[:START] + i32(1, 0, 0, 1), START + 4, "name length of tensor 0", "is 0, not 1 to 63"),
        (MODEL[:START] + tensor("x" * 64, 32), START + 4, "name length of tensor 0", "is 64, not 1 to 63"),
        (
            MODEL[:START] + tensor("model/h1/ln_1/g", 32),
            START,
            "name of tensor 0",
            "is 'model/h1/ln_1/g'; a GPT-2 of 1 layers",
        ),
        (
            MODEL[:START] + tensor("\u00ff", 32),
            START,
            "name of tensor 0",
            "is '\ufffd'; a GPT-2 of 1 layers has no such",
        ),
        (MODEL + tensor("model/ln_f/b", 32), len(MODEL), "model/ln_f/b", "stands in the file twice"),
        (
            MODEL[:START] + tensor("model/wte", 32, type=4),
            START + 8,
            "type of model/wte",
            "is 4, which ggtui does not read",
        ),
        (
            MODEL[:START] + tensor("model/wte", 32, type=9),
            START + 8,
            "type of model/wte",
            "is q8_1, which ggtui does not",
        ),
        (
            MODEL[:START] + tensor("model/wte", 32, type=26),
            START + 8,
            "type of model/wte",
            "is 26, which ggtui does not",
        ),
        (MODEL[:START] + tensor("model/wte", 32, type=8), START + 8, "type of model/wte", "is q8_0, but by its ftype"),
        (MODEL[:START] + tensor("model/wte", 32, 0), START + 16, "ne[1] of tensor 0", "is 0, not 1 to"),
        (MODEL[:START] + i32(1, 9, 0, -5), START + 12, "ne[0] of tensor 0", "is -5, not 1 to"),
        (
            header(2007) + tokens() + tensor("model/wte", 33, 259, type=8),
            START + 12,
            "ne[0] of model/wte",
            "is 33, no whole",
        ),
        (
            MODEL[:START] + tensor("model/wte", 1 << 30, 1 << 30, data=b""),
            START + 29,
            "data of model/wte",
            "needs 46116860",
        ),
        (MODEL[: SECOND - 1], START + 29, "data of model/wte", "needs 33152 bytes where 33151 are left"),
        (MODEL[:SECOND], SECOND, "model/wpe", "the tensor is missing"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_files_that_are_refused(path: Path, content: bytes, offset: int, field: str, said: str) -> None:
    path.write_bytes(content)
    error = refusal(path)
    assert error.path == path
    assert (error.offset, error.field) == (offset, field), error
    assert error.problem.startswith(said), error.problem


@pytest.mark.parametrize(("type", "name"), [(5, "5"), (9, "q8_1"), (20, "20")])
def test_types_that_such_files_cannot_have_are_refused_by_name(path: Path, type: int, name: str) -> None:
    path.write_bytes(header(2007) + tokens() + tensor("model/wte", 32, type=type))
    assert refusal(path).problem == f"is {name}, which ggtui does not read in such a file"


def test_quantized_matrices_at_odd_places(path: Path) -> None:
    rng = np.random.default_rng(3)
    weights = rng.standard_normal((len(TOKENS), 32)).astype(np.float32)
    raw = quantize(weights, "q8_0").tobytes()
    changed = tensors(wte=tensor("model/wte", 32, len(TOKENS), type=8, data=raw))
    path.write_bytes(header(2007) + tokens() + changed)
    with open_model(path) as file:
        assert file.tensors["token_embd.weight"].type.name == "q8_0"
        assert file.data("token_embd.weight").tobytes() == raw


def test_a_model_is_written_as_it_was_read(path: Path) -> None:
    path.write_bytes(MODEL)
    with open_model(path) as file:
        convert(file, path.with_name("again.bin"))
    assert path.with_name("again.bin").read_bytes() == MODEL


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_files_end_in_an_error_or_a_model(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.bin"
    raw = bytearray(MODEL)
    places = st.one_of(st.integers(0, 40), st.integers(START - 40, START + 60), st.integers(SECOND - 20, SECOND + 60))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.one_of(places, st.integers(0, len(raw) - 1)))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.one_of(st.none(), st.integers(0, len(raw))))
    path.write_bytes(raw[:cut])
    try:
        file = LegacyFile(path)
    except ModelFileError:
        return
    with file:
        for info in file.tensors.values():
            assert file.data(info.name).nbytes == info.n_bytes
        assert len(file.metadata["tokenizer.ggml.tokens"]) == 259
