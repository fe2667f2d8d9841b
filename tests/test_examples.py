"""The examples run, and say what their docstrings promise."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"

# What an example prints, among other things.
OUTPUT = {
    "01_mul_mat.py": "a: q8_0 ne = (64, 4, 1, 1) nb = (34, 68, 272, 272)",
    "02_add_bias.py": "[mul_mat + add]",
    "03_one_node.py": "by hand: [[0.0, 40.0, 80.0], [10.0, 50.0, 90.0]]",
    "04_own_op.py": "largest difference: ",
    "05_token_to_logits.py": "blk.0.ffn_up          mul_mat         from mul_mat + add + gelu",
    "06_own_model.py": "soft_max       f32 (22, 1)",
    "07_custom_quant.py": "6,733,824 bytes became 5,003,264",
    "08_many_texts.py": "pages of each: [[0], [0], [0]]",
    "09_gradients.py": "w:grad: 20 numbers, as moving each weight says",
    "10_character_model.py": "step 300: loss ",
}


def test_every_example_is_run() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(OUTPUT)


@pytest.mark.parametrize("name", OUTPUT)
def test_example(name: str, tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, EXAMPLES / name], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert OUTPUT[name] in done.stdout
    assert not done.stderr
    assert not list(tmp_path.iterdir())  # nothing is left behind
