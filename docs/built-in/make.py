"""The built-in model, ggtui/data/tales.gguf: trains it, and stores its matrices as Q8_0.

    python docs/built-in/make.py TALES HELDOUT FOLDER

TALES and HELDOUT are texts, or folders of them. FOLDER gets `f32/tales.gguf`, the weights as they were trained, with
their checkpoint and the log of all steps; `tales.gguf`, which is the built-in model; and `train.jsonl`, the log with a
few of the steps. A training that was stopped goes on; one that is done is not done again.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from ggtui.core.files import open_model
from ggtui.core.files.convert import convert
from ggtui.core.training.events import Began, Ended
from ggtui.core.training.log import Log, read_log

SETTINGS = {
    "shape": "gpt2:embd=256,layer=6,head=4,ff=1024,ctx=512",
    "vocab": "built-in",
    "ctx": 512,
    "batch": 4,
    "steps": 6000,
    "lr": 1.5e-3,
    "warm-up": 200,
    "last": 0.02,
    "eval-windows": 64,
    "eval-every": 250,
    "save-every": 250,
    "prompt": "Once upon a time",
}  # of `ggtui train`
METADATA = {
    "general.author": "The ggtui authors",
    "general.description": (
        "A small GPT-2, trained on public-domain fairy tales: Lang's Fairy Books, Grimm, Andersen, Jacobs."
    ),
    "general.license": "MIT",
}
EVERY = 20  # steps, of which the thinned log has the last


def train(tales: Path, heldout: Path, out: Path, log: Path) -> None:
    """Raises CalledProcessError where ggtui says what is wrong."""
    what = [str(tales), "--valid", str(heldout), *(part for k, v in SETTINGS.items() for part in (f"--{k}", str(v)))]
    if out.with_name(f"{out.name}.checkpoint").exists():
        what = ["--resume"]
    command = [sys.executable, "-m", "ggtui", "train", *what, "--out", str(out), "--json", str(log)]
    subprocess.run([*command, "--threads", "1", "--plain"], check=True)


def thin(log: Path, to: Path) -> None:
    """Evaluations, saves, the first step, and of the others one in EVERY; texts by the names of their folders alone."""
    began, *rest = read_log(log)
    assert isinstance(began, Began)
    names = {key: [Path(text).name for text in began.settings[key]] for key in ("texts", "valid")}
    with Log(to) as thinned:
        thinned.write(replace(began, settings={**began.settings, **names}))
        for event in rest:
            if event.kind != "step" or event.step == 1 or event.step % EVERY == 0:
                thinned.write(event)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("tales", "heldout", "folder"):
        parser.add_argument(name, type=Path)
    args = parser.parse_args()
    weights = args.folder / "f32" / "tales.gguf"
    weights.parent.mkdir(parents=True, exist_ok=True)
    log = weights.with_name("train.jsonl")
    train(args.tales, args.heldout, weights, log)
    ended = read_log(log)[-1]
    if not isinstance(ended, Ended) or ended.reason != "done":
        sys.exit("the training was stopped; the same command goes on with it")
    thin(log, args.folder / "train.jsonl")
    with open_model(weights) as file:
        convert(file, args.folder / "tales.gguf", "q8_0", metadata=METADATA, overwrite=True)


if __name__ == "__main__":
    main()
