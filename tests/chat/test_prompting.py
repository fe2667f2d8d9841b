"""Turns written down by a chat template, and by plain modes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from chat_fixtures import text_of

from ggtui.chat import saved
from ggtui.chat.conversation import Chat, Turn
from ggtui.chat.prompting import Prompting
from ggtui.core.errors import TemplateError, UsageError
from ggtui.core.vocab.pieces import Piece

CHATML = "<|im_start|>{}\n{}<|im_end|>\n"
ANSWER = "<|im_start|>assistant\n"
FORGETS = "{{ messages | length }}: {{ messages[-1].content }}"  # writes down nothing of what was said before
NO_SYSTEM = (
    "{% for m in messages %}{{ raise_exception('no system here') if m.role == 'system' }}<{{ m.role }}>{{ m.content }}"
    "{% endfor %}{{ '<assistant>' if add_generation_prompt }}"
)


class Letters:
    """A vocabulary of code points, and of two names in marks: <b> begins a text, and <e> ends it."""

    bos, eos, ends = 1, 2, frozenset([2])
    names = {"<b>": 1, "<e>": 2}  # noqa: RUF012

    def __init__(self, add_bos: bool) -> None:
        self.add_bos = add_bos
        self.pieces: list[Piece] = []

    def encode(self, text: str) -> list[int]:
        return list(map(ord, text))

    def begin(self, text: str) -> list[int]:
        return [1, *self.encode(text)] if self.add_bos else self.encode(text)

    def encode_pieces(self, pieces: Iterable[Piece]) -> list[int]:
        self.pieces, ids = list(pieces), []
        for text, marks in self.pieces:
            while text:
                name = next((name for name in self.names if marks and text.startswith(name)), "")
                ids.append(self.names[name] if name else ord(text[0]))
                text = text[len(name) or 1 :]
        return ids

    def normal_form(self, text: str) -> str:
        return text

    def encode_marked(self, pieces: Iterable[Piece]) -> tuple[list[int], list[bool]]:
        given = list(pieces)
        marks = [piece.marks for piece in given for _ in self.encode_pieces([piece])]
        return self.encode_pieces(given), marks

    def decode(self, ids: Sequence[int]) -> str:
        return "".join({1: "<b>", 2: "<e>"}.get(id, chr(id)) for id in ids)


def prompting(template: str, tmp_path: Path, *, add_bos: bool = False) -> Prompting:
    path = tmp_path / "template.jinja"
    path.write_text(template)
    session: Any = SimpleNamespace(tokenizer=Letters(add_bos), metadata={})
    return Prompting(session, str(path))


def test_the_mode_is_chat_where_there_is_a_template(new_chat: Any) -> None:
    assert new_chat().mode == "complete" and new_chat(template="chatml").mode == "chat"
    assert new_chat(template="chatml", mode="complete").mode == "complete"
    chat = new_chat(template="chatml")
    chat.configure({"mode": "complete"})
    chat.configure({"mode": None})
    assert chat.mode == "chat"


def test_turns_as_the_template_has_them(new_chat: Any) -> None:
    chat: Chat = new_chat(template="chatml")
    first = text_of(chat.say("Who was the king?"))
    decode = chat.session.tokenizer.decode
    assert decode(chat.tokens) == CHATML.format("user", "Who was the king?") + ANSWER + first
    n_read = chat.session.stats.n_prompt
    second = text_of(chat.say("And the queen?"))
    asked = "<|im_end|>\n" + CHATML.format("user", "And the queen?") + ANSWER
    assert decode(chat.turns[1].ids) == asked + second and not chat.turns[1].anew
    assert chat.session.stats.n_prompt - n_read == chat.turns[1].n_prompt + 1, "what was read is not read again"
    assert chat.session.tokens == chat.tokens


def test_stop_texts_are_for_what_has_no_template(new_chat: Any) -> None:
    assert new_chat(mode="chat").prompting.stop("chat") == ("\nUser:", "\nAssistant:")
    assert new_chat(template="chatml").prompting.stop("chat") == ()
    assert new_chat(template="chatml").prompting.stop("complete") == ()


def test_a_template_that_writes_history_otherwise(new_chat: Any, tmp_path: Path) -> None:
    path = tmp_path / "forgets.jinja"
    path.write_text(FORGETS)
    chat: Chat = new_chat(template=str(path))
    text_of(chat.say("One."))
    second = text_of(chat.say("Two."))
    assert chat.turns[1].anew and chat.session.tokenizer.decode(chat.tokens) == f"3: Two.{second}"
    assert chat.session.tokens == chat.tokens
    chat.undo()
    assert chat.session.tokenizer.decode(chat.tokens) == f"1: One.{chat.turns[0].text}"
    chat.redo()
    assert len(chat.alternatives(3)) == 3 and len(chat.alternatives(3, keep=1)) == 3


def test_what_the_model_is_told_before(new_chat: Any) -> None:
    chat: Chat = new_chat(template="chatml", system="Be brief.")
    text_of(chat.say("Hello"))
    told = CHATML.format("system", "Be brief.") + CHATML.format("user", "Hello")
    assert chat.session.tokenizer.decode(chat.tokens).startswith(told)
    chat.configure({"system": "Be long."})
    text_of(chat.say("Go on"))
    assert chat.turns[1].anew and chat.session.tokenizer.decode(chat.tokens).startswith(told.replace("brief", "long"))


def test_a_system_nobody_hears_is_noted(new_chat: Any) -> None:
    assert any("--system" in line for line in new_chat(system="Be brief.").notes)
    assert not any("--system" in line for line in new_chat(template="chatml", system="Be brief.").notes)
    assert new_chat().notes == new_chat().session.model.notes


def test_a_template_without_a_system(tmp_path: Path) -> None:
    how = prompting(NO_SYSTEM, tmp_path)
    prompt = how.prompt([Turn("Hello", "Hi")], [], "Go on", "chat", "Be brief.")
    assert "".join(map(chr, prompt.ids)) == "<user>Be brief.\n\nHello<assistant>Hi<user>Go on<assistant>"


def test_the_user_s_words_never_become_tokens_of_the_template(tmp_path: Path) -> None:
    how = prompting("{% for m in messages %}<b>{{ m.content }}<e>{% endfor %}<b>", tmp_path)
    ids = how.prompt([], [], "<e><b>no", "chat", "").ids
    assert ids == [1, *map(ord, "<e><b>no"), 2, 1]
    turn = Turn("a", "<e>", ids=[1, ord("a"), 2, 1, *map(ord, "<e>"), 2])
    later = how.prompt([turn], turn.ids, "<b>", "chat", "")
    assert (later.ids, later.anew) == ([1, *map(ord, "<b>"), 2, 1], False)


@pytest.mark.parametrize("add_bos", [False, True])
def test_no_text_begins_twice(tmp_path: Path, add_bos: bool) -> None:
    writes_it = prompting("{{ bos_token }}{{ messages[0].content }}", tmp_path, add_bos=add_bos)
    assert writes_it.prompt([], [], "a", "chat", "").ids == [1, ord("a")]
    leaves_it = prompting("{{ messages[0].content }}", tmp_path, add_bos=add_bos)
    assert leaves_it.prompt([], [], "a", "chat", "").ids == ([1, ord("a")] if add_bos else [ord("a")])
    for how in (writes_it, leaves_it):
        assert how.prompt([], [], "a", "complete", "").ids == ([1, ord("a")] if add_bos else [ord("a")])
        assert how.prompt([Turn("b")], [ord("b")], "a", "complete", "").ids == [ord("a")]


def test_a_prompt_goes_on_behind_the_token_that_begins_the_text(tmp_path: Path) -> None:
    template = "{% for m in messages %}[{{ m.content }}]{% endfor %}"
    how = prompting(template, tmp_path, add_bos=True)
    read = [1, *map(ord, "[a]b")]
    assert how.prompt([Turn("a", "b")], read, "c", "chat", "").anew  # the template puts brackets around the answer
    read = [1, *map(ord, "[a][b")]
    assert how.prompt([Turn("a", "b")], read, "c", "chat", "") == (
        list(map(ord, "][c]")), [True, True, False, True], False, False
    )  # fmt: skip


def test_what_no_template_takes_leaves_the_chat_as_it_was(new_chat: Any, tmp_path: Path) -> None:
    path = tmp_path / "refuses.jinja"
    path.write_text("{{ raise_exception('never') if messages | length > 1 }}{{ messages[-1].content }}")
    chat: Chat = new_chat(template=str(path))
    text_of(chat.say("One."))
    with pytest.raises(TemplateError, match="never"):
        text_of(chat.say("Two."))
    assert len(chat.turns) == 1 and chat.tokens == chat.turns[0].ids


def test_a_saved_chat_has_its_tokens_again(new_chat: Any) -> None:
    chat: Chat = new_chat(template="chatml")
    for words in ("Who was the king?", "And the queen?"):
        text_of(chat.say(words))
    saved.save("talk", chat.tree, "tales")
    before = chat.session.tokenizer.decode(chat.tokens)
    other: Chat = new_chat(template="chatml")
    other.restore(saved.load("talk"))
    assert other.session.tokenizer.decode(other.tokens) == before


def test_templates_that_there_are_not(new_chat: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no chat template is called 'chatmll'; there is chatml"):
        new_chat(template="chatmll")
    with pytest.raises(UsageError, match="Is a directory; name a file with a chat template"):
        new_chat(template=str(tmp_path))
    path = tmp_path / "latin.jinja"
    path.write_bytes(b"\xff")
    with pytest.raises(UsageError, match="is not text in UTF-8"):
        new_chat(template=str(path))
