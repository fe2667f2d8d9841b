"""Models in made-up homes, and what a name means there."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from ggtui.core.engine.model import BUILT_IN
from ggtui.core.errors import ModelFileError
from ggtui.core.files import open_model, places
from ggtui.core.files.catalogue import CATALOGUE
from ggtui.core.files.places import find_model, models, own_folder, path_of, pulled_path, template_of

DIGEST = "0123456789abcdef" * 4
MINE = ("GGTUI_MODELS", "XDG_DATA_HOME", "XDG_CACHE_HOME", "HF_HOME", "HF_HUB_CACHE", "LLAMA_CACHE", "OLLAMA_MODELS")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in MINE:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(places, "OLLAMA_SERVICE", tmp_path / "service")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def put(path: Path, n_bytes: int = 3) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * n_bytes)
    return path


def put_ollama(root: Path, name: str, digest: str = DIGEST) -> Path:
    manifest = put(root / "manifests" / name)
    layers = [
        {"mediaType": "application/vnd.ollama.image.license", "digest": f"sha256:{'f' * 64}"},
        {"mediaType": "application/vnd.ollama.image.model", "digest": f"sha256:{digest}"},
    ]
    manifest.write_text(json.dumps({"layers": layers}))
    return put(root / "blobs" / f"sha256-{DIGEST}", 7)


def put_hub(hub: Path, repository: str, file: str, revision: str = "abc", n_bytes: int = 5) -> Path:
    """As huggingface_hub does: a link into the blobs."""
    folder = hub / f"models--{repository.replace('/', '--')}"
    put(folder / "blobs" / f"{revision}-{file}", n_bytes)
    link = folder / "snapshots" / revision / file
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(f"../../blobs/{revision}-{file}")
    return link


def names() -> dict[str, tuple[str, int]]:
    return {found.name: (found.owner, found.size) for found in models()}


def test_nothing_is_found_in_an_empty_home() -> None:
    assert list(models()) == []


def test_every_place(home: Path) -> None:
    put(home / ".local/share/ggtui/models/mine.gguf")
    put(home / ".local/share/ggtui/models/notes.txt")
    put_hub(home / ".cache/huggingface/hub", "who/what-GGUF", "what.Q4_K_M.gguf")
    for file in ("config.json", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"):
        put_hub(home / ".cache/huggingface/hub", "who/folder", file)
    put(home / ".cache/llama.cpp/who_x_y-Q8_0.gguf")
    put_ollama(home / ".ollama/models", "registry.ollama.ai/library/llama3.2/1b")
    put_ollama(home / "service", "registry.ollama.ai/someone/model/latest")
    put_ollama(home / "service", "hf.co/who/model/Q4_0")
    put(home / ".lmstudio/models/who/repo/file.gguf")
    put(home / ".cache/lm-studio/models/who/old/file.gguf")
    assert names() == {
        "mine": ("ggtui", 3),
        "hf:who/folder": ("Hugging Face", 10),
        "hf:who/what-GGUF:what.Q4_K_M": ("Hugging Face", 5),
        "who_x_y-Q8_0": ("llama.cpp", 3),
        "llama3.2:1b": ("ollama", 7),
        "someone/model:latest": ("ollama", 7),
        "hf.co/who/model:Q4_0": ("ollama", 7),
        "who/repo/file": ("LM Studio", 3),
        "who/old/file": ("LM Studio", 3),
    }


@pytest.mark.parametrize(
    ("variable", "below", "file"),
    [
        ("GGTUI_MODELS", "", "a.gguf"),
        ("XDG_DATA_HOME", "ggtui/models", "a.gguf"),
        ("LLAMA_CACHE", "", "a.gguf"),
        ("XDG_CACHE_HOME", "llama.cpp", "a.gguf"),
        ("XDG_CACHE_HOME", "huggingface/hub/models--u--r/snapshots/abc", "a.gguf"),
        ("HF_HOME", "hub/models--u--r/snapshots/abc", "a.gguf"),
        ("HF_HUB_CACHE", "models--u--r/snapshots/abc", "a.gguf"),
    ],
)
def test_variables_name_the_places(
    home: Path, monkeypatch: pytest.MonkeyPatch, variable: str, below: str, file: str
) -> None:
    monkeypatch.setenv(variable, str(home / "elsewhere"))
    path = put(home / "elsewhere" / below / file)
    assert [found.path for found in models()] == [path]


def test_ollamas_variable_names_its_only_place(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_ollama(home / ".ollama/models", "registry.ollama.ai/library/a/b")
    monkeypatch.setenv("OLLAMA_MODELS", str(home / "elsewhere"))
    assert not names()
    put_ollama(home / "elsewhere", "registry.ollama.ai/library/c/d")
    assert list(names()) == ["c:d"]


def test_a_split_file_is_one_model(home: Path) -> None:
    for i in (1, 2, 3):
        put(own_folder() / f"big-{i:05}-of-00003.gguf", i)
    [found] = models()
    assert found.path.name == "big-00001-of-00003.gguf" and found.size == 6


def test_of_snapshots_the_newest_counts(home: Path) -> None:
    hub = home / ".cache/huggingface/hub"
    old, new = (put_hub(hub, "u/r", "a.gguf", revision) for revision in ("zzz", "aaa"))
    os.utime(old.parent, (1, 1))
    assert [found.path for found in models()] == [new]


def test_links_out_of_the_places_are_not_followed(home: Path) -> None:
    put(home / "outside/a.gguf")
    folder = own_folder()
    folder.mkdir(parents=True)
    (folder / "a.gguf").symlink_to(home / "outside/a.gguf")
    (folder / "gone.gguf").symlink_to("nowhere")
    (folder / "sub").symlink_to(home / "outside")
    (folder / "loop").symlink_to(".")
    os.mkfifo(folder / "pipe.gguf")
    (folder / "a folder.gguf").mkdir()
    assert list(models()) == []


@pytest.mark.parametrize(
    "manifest", ["", "{", "[]", '{"layers": 3}', '{"layers": [3]}', '{"layers": []}', '{"layers": [{"mediaType": 1}]}']
)
def test_odd_manifests_are_none(home: Path, manifest: str) -> None:
    put_ollama(home / ".ollama/models", "registry.ollama.ai/library/a/b").parent.parent.joinpath(
        "manifests/registry.ollama.ai/library/a/b"
    ).write_text(manifest)
    assert list(models()) == []


@pytest.mark.parametrize("digest", ["../../../../etc/passwd", "0" * 64, "A" * 64, ""])
def test_blobs_that_are_none(home: Path, digest: str) -> None:
    put_ollama(home / ".ollama/models", "registry.ollama.ai/library/a/b", digest)
    assert list(models()) == []


def test_looks_only_so_deep_and_so_far(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(own_folder() / Path(*"abcdefg") / "deep.gguf")
    put(own_folder() / Path(*"abcdef") / "less.gguf")
    assert list(names()) == ["a/b/c/d/e/f/less"]
    monkeypatch.setattr(places, "MOST", 3)
    assert not names()


# ---- names ----


def asked(name: str) -> str:
    with pytest.raises(ModelFileError) as error:
        find_model(name)
    assert error.value.exit_code == 4
    return str(error.value)


def test_a_path_that_exists_goes_before_names(home: Path) -> None:
    put(pulled_path("smollm2"))
    assert find_model("smollm2") == pulled_path("smollm2")
    put(home / "smollm2")
    assert find_model("smollm2") == Path("smollm2")


def test_a_name_of_the_catalogue_that_is_not_here() -> None:
    assert asked("smollm2") == "smollm2: model: is not on this machine yet; fetch it with: ggtui pull smollm2"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("llama3.2:1b", "llama3.2:1b"),
        ("phi", "phi:latest"),
        ("Q4_K_M", "hf:who/what-GGUF:what.Q4_K_M"),
        ("hf:who/what-GGUF", "hf:who/what-GGUF:what.Q4_K_M"),
        ("hf:who/what-GGUF:Q4_K_M", "hf:who/what-GGUF:what.Q4_K_M"),
        ("hf:who/what-GGUF:what.Q4_K_M.gguf", "hf:who/what-GGUF:what.Q4_K_M"),
        ("HF:who/WHAT", "hf:who/what-GGUF:what.Q4_K_M"),
        ("mine", "mine"),
        ("mine.gguf", "mine"),
        ("mine2", "mine2"),
    ],
)
def test_names(home: Path, name: str, meant: str) -> None:
    put(own_folder() / "mine.gguf")
    put(own_folder() / "mine2.gguf")
    put_hub(home / ".cache/huggingface/hub", "who/what-GGUF", "what.Q4_K_M.gguf")
    put_ollama(home / ".ollama/models", "registry.ollama.ai/library/llama3.2/1b")
    put_ollama(home / ".ollama/models", "registry.ollama.ai/library/phi/latest")
    assert find_model(name) == {found.name: found.path for found in models()}[meant]


def test_names_that_fit_several_or_none() -> None:
    for i in range(6):
        put(own_folder() / f"mine{i}.gguf")
    assert asked("mine") == "mine: model: may mean mine0, mine1, mine2, mine3, ...; say which"
    assert "did you mean" in asked("mime1") and "mine1" in asked("mime1")
    put(pulled_path("smollm2"))
    assert asked("smolm2").endswith("; did you mean smollm2 or smollm2-360m?")
    assert asked("hf:who/what").endswith("fetch it with: ggtui pull hf:who/what")
    assert asked("zzz").endswith("check the spelling, or see: ggtui list")
    assert "does not exist" in asked("")


def test_the_built_in_model_has_a_name() -> None:
    assert find_model("built-in") == BUILT_IN and "did you mean built-in?" in asked("builtin")


def test_a_model_of_the_catalogue_in_the_hubs_cache(home: Path) -> None:
    assert asked("qwen3-0.6b").endswith("is not on this machine yet; fetch it with: ggtui pull qwen3-0.6b")
    folder = home / ".cache/huggingface/hub/models--Qwen--Qwen3-0.6B-GGUF/snapshots/1"
    put(folder / "Qwen3-0.6B-BF16.gguf")
    assert path_of(CATALOGUE["qwen3-0.6b"]) is None
    put(folder / "Qwen3-0.6B-Q8_0.gguf")
    assert find_model("qwen3-0.6b") == folder / "Qwen3-0.6B-Q8_0.gguf" == path_of(CATALOGUE["qwen3-0.6b"])


@pytest.mark.parametrize("path", ["/nowhere/x.gguf", "./x", "../x", "a\0b"])
def test_what_can_only_be_a_path_is_left_to_who_opens_it(path: str) -> None:
    assert find_model(path) == Path(path)


def test_whoever_opens_a_model_goes_by_names() -> None:
    folder = own_folder()
    folder.mkdir(parents=True)
    (folder / "stories.gguf").write_bytes(BUILT_IN.read_bytes())
    with open_model("stories") as file:
        assert file.path == folder / "stories.gguf" and file.tensors
    with pytest.raises(ModelFileError, match=re.escape("ggtui pull smollm2")):
        open_model("smollm2")


def test_templates_are_for_files_in_ggtuis_own_folder(home: Path) -> None:
    assert template_of(put(pulled_path("smollm2"))) == "chatml"
    assert template_of(put(home / "smollm2.gguf")) is None
    assert template_of(put(pulled_path("gemma3-270m"))) is None
    assert template_of(put(pulled_path("other"))) is None
