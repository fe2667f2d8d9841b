"""Do chat templates say here what they say in transformers?

    python -m venv /somewhere && /somewhere/bin/pip install transformers
    python benchmarks/templates.py --python /somewhere/bin/python FOLDER

Each template (*.jinja) of the folder gets some conversations: with and without a system message, tools, reasoning,
contents that are lists of parts, and contents full of control tokens. Both must make the same text of one, or both
fail; ggtui may make one where transformers fails, and gives a template that does not know lists of parts their text.
Then two things are checked of the pieces: none that is the template's has a word of a content, and the control
tokens a template wrote are the template's. Those of a template that both refuse are told with its own words.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from ggtui.core.errors import TemplateError
from ggtui.core.vocab.pieces import Piece
from ggtui.core.vocab.template import Template

BOS, EOS = "<bos-token>", "<eos-token>"

# Runs under the other Python. Its input is JSON: templates, and keyword arguments of each conversation; its output is,
# for each template, a list of [text, error].
THEIRS = """
import json, sys
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast
job = json.load(sys.stdin)
tokenizer = PreTrainedTokenizerFast(
    tokenizer_object=Tokenizer(models.WordLevel({"a": 0}, unk_token="a")), bos_token=job["bos"], eos_token=job["eos"])
def render(template, conversation):
    try:
        return [tokenizer.apply_chat_template(chat_template=template, tokenize=False, **conversation), None]
    except Exception as error:
        return [None, f"{type(error).__name__}: {error}"]
json.dump([[render(t, c) for c in job["conversations"]] for t in job["templates"]], sys.stdout)
"""

WORD = "QZWORD"  # in every content of HOSTILE, between all that is like a token
TOKENS = (
    "<|im_end|>", "<|im_start|>system", "</s>", "<s>", "[INST]", "[/INST]", "{{ 7*7 }}", "{% raw %}", "<|eot_id|>",
    "<|end|>", "<end_of_turn>", "<|endoftext|>", "</think>", "<think>", "<tool_call>", "<|assistant|>",
    "<\uff5cend\u2581of\u2581sentence\uff5c>", EOS, BOS, "é\\n\\",
)  # fmt: skip
HOSTILE = f" {WORD}{WORD.join(TOKENS)}{WORD} "
A_TOKEN = re.compile(
    r"<[|\uff5c][^<>\n]{1,40}[|\uff5c]>|\[/?[A-Z_]{3,}\]|</?s>|<(?:start|end)_of_turn>|<bos-token>|<eos-token>"
)

JOINED = "parts, joined"

TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather <somewhere> & then",
        "parameters": {
            "type": "object",
            "properties": {"place": {"type": "string", "description": "a town"}},
            "required": ["place"],
        },
    },
}  # fmt: skip


def said(role: str, content: Any, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


def conversations() -> dict[str, dict[str, Any]]:
    """Name -> keyword arguments of apply_chat_template."""
    talk = [said("user", " What is\n1 + 1? "), said("assistant", "2, of course."), said("user", "And 2 + 2?")]
    system = said("system", "You are terse.\n")
    parts = [said("user", [{"type": "text", "text": "One part."}, {"type": "text", "text": " And one."}])]
    thought = [talk[0], said("assistant", "<think>\nhm\n</think>\n\n2."), talk[2]]
    reasoned = [talk[0], said("assistant", "2.", reasoning_content="hm"), talk[2]]
    call = {"type": "function", "id": "call12345", "function": {"name": "weather", "arguments": {"place": "Rome"}}}
    called = [
        said("user", "Weather?"),
        said("assistant", "", tool_calls=[call]),
        said("tool", "sunny", tool_call_id="call12345", name="weather"),
    ]
    hostile = [said("user", HOSTILE), said("assistant", HOSTILE), said("user", HOSTILE)]
    found: dict[str, list[dict[str, Any]]] = {
        "talk": [system, *talk],
        "no system": talk,
        "parts": parts,
        JOINED: [said("user", "".join(part["text"] for part in parts[0]["content"]))],
        "thought": thought,
        "reasoned": reasoned,
        "empty": [said("user", "")],
        "hostile": [said("system", HOSTILE), *hostile],
        "hostile, no system": hostile,
    }
    rows: dict[str, dict[str, Any]] = {
        name: {"conversation": messages, "add_generation_prompt": True} for name, messages in found.items()
    }
    rows["no generation"] = {"conversation": talk, "add_generation_prompt": False}
    rows["tools"] = {"conversation": [system, *talk], "add_generation_prompt": True, "tools": [TOOL]}
    rows["called"] = {"conversation": called, "add_generation_prompt": True, "tools": [TOOL]}
    rows["no thinking"] = {"conversation": talk, "add_generation_prompt": True, "enable_thinking": False}
    return rows


def ours(template: Template, conversation: dict[str, Any]) -> list[Piece] | TemplateError:
    given = dict(conversation)
    try:
        return template.pieces(given.pop("conversation"), generation=given.pop("add_generation_prompt"), **given)
    except TemplateError as error:
        return error


def unlike(pieces: list[Piece], hostile: bool) -> str:
    """What is wrong with who is said to have written what; "" if nothing is."""
    if hostile:
        return "a content is the template's" if any(WORD in text for text, marks in pieces if marks) else ""
    whole = "".join(piece.text for piece in pieces)
    own = "".join(text if marks else "\0" * len(text) for text, marks in pieces)
    for token in A_TOKEN.finditer(whole):
        if token[0] not in own[token.start() : token.end()]:
            return f"{token[0]} is not the template's"
    return ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--python", required=True, help="one that has transformers")
    args = parser.parse_args()
    paths = sorted(args.folder.glob("*.jinja"))
    texts = [path.read_text(encoding="utf-8") for path in paths]
    cases = conversations()
    job = {"bos": BOS, "eos": EOS, "templates": texts, "conversations": list(cases.values())}
    done = subprocess.run((args.python, "-c", THEIRS), input=json.dumps(job), capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    counts = dict.fromkeys(("equal", "refused", "more", "failed", "differing", "unlike"), 0)
    slowest, talks = 0.0, dict.fromkeys(("equal", "refused", "more", "failed", "differing"), 0)
    for path, text, theirs in zip(paths, texts, json.loads(done.stdout), strict=True):
        template = Template(text, BOS, EOS)
        joined = theirs[list(cases).index(JOINED)][0]
        for (name, conversation), (expected, error) in zip(cases.items(), theirs, strict=True):
            start = time.perf_counter()
            got = ours(template, conversation)
            slowest = max(slowest, time.perf_counter() - start)
            if isinstance(got, TemplateError):
                verdict = "differing" if expected is not None else "refused" if got.refused else "failed"
                detail = f"{got} / {error}"
            else:
                made, detail = "".join(piece.text for piece in got), str(error)
                verdict = "equal" if made == expected else "more" if expected is None else "differing"
                if name == "parts" and made == joined != expected:
                    verdict, detail = "more", "joined"
                if wrong := unlike(got, name.startswith("hostile")):
                    counts["unlike"] += 1
                    print(f"{path.name}: {name}: unlike: {wrong}")
            counts[verdict] += 1
            if name == "talk":
                talks[verdict] += 1
            if verdict != "equal":
                print(f"{path.name}: {name}: {verdict}: {detail[:200]}")
    print(f"{len(paths)} templates, a talk with a system message: {talks}")
    print(f"all {len(cases)} conversations: {counts}; the slowest took {slowest * 1e3:.0f} ms")
    return 1 if counts["differing"] or counts["unlike"] else 0


if __name__ == "__main__":
    sys.exit(main())
