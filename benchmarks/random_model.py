"""Writes a GPT-2 or a Llama of a known size with random weights as GGUF, so that other programs can run it too.

    python benchmarks/random_model.py 124M q4_0 model.gguf [--head q8_0]

The vocabulary is made up: the 256 bytes and then what can be made of them; its texts mean nothing. 1.1B is a Llama in
TinyLlama's shape, 7B one in the first Llama's, the others are GPT-2s.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ggtui.core.files.convert import convert
from ggtui.core.graph.types import TYPES
from ggtui.perf.random_model import SHAPES, random_model


def write_random(path: Path, shape: str, type: str, head: str | None = None) -> None:
    """Write a model of a row of SHAPES, matrices in `type`, the output (of a GPT-2 the token embedding) in `head`.

    A name that is a type and a mix means the type here: the body and the head are of one type unless asked otherwise.
    """
    kinds = [TYPES.get(name.lower(), name) for name in (type, head or type)]
    convert(random_model(shape, *kinds), path, overwrite=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("type", help="a tensor type or a mix")
    parser.add_argument("path", type=Path)
    parser.add_argument("--head", help="type of the output matrix (default: as the rest)")
    args = parser.parse_args()
    write_random(args.path, args.shape, args.type, args.head)


if __name__ == "__main__":
    main()
