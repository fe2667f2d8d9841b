"""What of a repository of the hub is wanted, by the names of its files."""

from __future__ import annotations

import pytest

from ggtui.core.errors import MissingPartError, UsageError
from ggtui.core.files import hub
from ggtui.core.files.hub import HubFile, choose, wanted_files

GGUFS = ("it-Q4_K.gguf", "it-Q4_K_M.gguf", "it-q8_0.gguf", "sub/it-f16.GGUF")
FOLDER = ("config.json", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "tokenizer.json")


def wanted(*names: str, part: str | None = None) -> tuple[list[str], bool]:
    files, is_folder = wanted_files("u/r", [HubFile(name, 1, None) for name in names], part)
    return [file.name for file in files], is_folder


@pytest.mark.parametrize(
    ("part", "name"),
    [
        ("Q4_K_M", "it-Q4_K_M.gguf"),
        ("q4_k", "it-Q4_K.gguf"),  # the word goes before what it is a part of
        ("Q8_0", "it-q8_0.gguf"),
        ("it-q8_0.gguf", "it-q8_0.gguf"),
        ("it-Q8_0", "it-q8_0.gguf"),
        ("F16", "sub/it-f16.GGUF"),
        ("f1", "sub/it-f16.GGUF"),
    ],
)
def test_one_gguf(part: str, name: str) -> None:
    assert wanted("README.md", *GGUFS, *FOLDER, part=part) == ([name], False)


def test_the_only_gguf() -> None:
    assert wanted("README.md", "it.gguf", *FOLDER) == (["it.gguf"], False)
    assert wanted("mmproj-f16.gguf", "it.gguf") == (["it.gguf"], False)
    assert wanted("mmproj-f16.gguf", "it.gguf", part="f16") == (["mmproj-f16.gguf"], False)


def test_a_gguf_in_several_files() -> None:
    shards = [f"sub/it-Q4_K_M-0000{n}-of-00003.gguf" for n in (1, 2, 3)]
    mixed = ["it-Q8_0.gguf", shards[2], shards[0], shards[1], "it-f16-00001-of-00002.gguf"]
    for part in ("Q4_K_M", "sub/it-Q4_K_M-00001-of-00003", "sub/it-q4_k_m"):
        assert wanted(*mixed, part=part) == (shards, False)
    assert wanted(*mixed, part="Q8_0") == (["it-Q8_0.gguf"], False)
    assert wanted(*shards) == (shards, False)
    others = ["sub/it-Q4_K_M-00001-of-00002.gguf", "sub/it-Q4_K_M.gguf"]
    assert wanted(*shards, *others) == (others[1:], False)
    assert wanted(*shards, others[0]) == (shards, False)


def test_a_folder() -> None:
    other = ("README.md", "consolidated.safetensors", "pytorch_model.bin", "sub/config.json", "onnx/model.safetensors")
    templates = ("additional_chat_templates/rag.jinja",)
    files, is_folder = wanted(*other, *FOLDER, *templates)
    assert is_folder and sorted(files) == sorted((*FOLDER, *templates)) and files[0] == "config.json"


@pytest.mark.parametrize(
    ("names", "part", "problem"),
    [
        (GGUFS, None, "several files fit it; add one of them: :it-Q4_K, :it-Q4_K_M, :it-q8_0, "),
        (GGUFS, "Q4", "several files fit Q4; add one of them: :it-Q4_K, :it-Q4_K_M"),
        (GGUFS, "Q2_K", "it has no file that fits Q2_K; add one of them: :it-Q4_K, "),
        (("a-00001-of-00003.gguf", "a-00003-of-00003.gguf"), None, "lacks some of the files"),
        (("a-00001-of-00002.gguf", "a-00003-of-00002.gguf"), None, "lacks some of the files"),
        (("../../a.gguf",), None, "neither a GGUF"),
        (("/a.gguf",), None, "neither a GGUF"),
        (("pytorch_model.bin", "config.json"), None, "neither a GGUF"),
        (FOLDER, "Q8_0", "no GGUF file"),
        ((), None, "neither a GGUF"),
    ],
)
def test_what_is_not_clear(names: tuple[str, ...], part: str | None, problem: str) -> None:
    with pytest.raises(UsageError) as error:
        wanted(*names, part=part)
    assert str(error.value).startswith("hf:u/r: ") and problem in str(error.value)


@pytest.mark.parametrize("name", ["hf:", "hf:a", "hf:a/b/c", "hf:a/b:", "hf:../b\n", "hf:a b/c"])
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(UsageError, match="is no name of the hub"):
        choose(name)


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "find_spec", lambda name: None)
    with pytest.raises(MissingPartError, match=r"pip install .ggtui\[hub\]") as error:
        choose("hf:a/b")
    assert error.value.exit_code == 5
