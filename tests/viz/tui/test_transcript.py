"""The transcript: lines broken as text comes, what is redrawn, scrolling, probabilities, selecting."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorded import RecordedEngine, answer, drive, lines, loaded, settle, step
from rich.cells import cell_len
from textual.geometry import Offset, Size
from textual.pilot import Pilot
from textual.selection import Selection

from ggtui.chat.conversation import Turn
from ggtui.chat.tree import Tree
from ggtui.core.engine.steps import Step
from ggtui.core.runtime.record import TokenRecord
from ggtui.viz.live import Live, Spoken
from ggtui.viz.messages import Batch, Began, Turns
from ggtui.viz.tui.app import GgtuiApp
from ggtui.viz.tui.widgets.blocks import Block
from ggtui.viz.tui.widgets.transcript import Transcript
from ggtui.viz.tui.widgets.wrapping import Lines

TEXTS = st.text(alphabet="ab \n王e\u0301", max_size=60)


def shown(made: Lines) -> list[str]:
    return [made.line(i) for i in range(len(made.lines))]


@pytest.mark.parametrize(
    ("text", "width", "expected"),
    [
        ("", 10, [""]),
        ("one two three", 8, ["one two", "three"]),
        ("one two", 7, ["one two"]),
        ("one  two", 6, ["one", "two"]),
        ("abcdefgh", 3, ["abc", "def", "gh"]),
        ("a abcdefgh", 4, ["a", "abcd", "efgh"]),
        ("a\n\nb\n", 9, ["a", "", "b", ""]),
        ("王王王", 4, ["王王", "王"]),
    ],
)
def test_lines_break_between_words(text: str, width: int, expected: list[str]) -> None:
    assert shown(Lines(width, text)) == expected


@given(st.lists(TEXTS, max_size=8), st.integers(1, 12))
def test_lines_are_the_same_however_the_text_comes(pieces: list[str], width: int) -> None:
    grown = Lines(width)
    for piece in pieces:
        grown.add(piece)
    whole = Lines(width, "".join(pieces))
    assert grown.lines == whole.lines
    for line in shown(whole):
        assert cell_len(line.rstrip(" ")) <= max(width, 2)
    between = [whole.text[a:b] for (_, a), (b, _) in zip(whole.lines, whole.lines[1:], strict=False)]
    assert all(set(gap) <= {" ", "\n"} for gap in between)
    assert whole.lines[0][0] == 0 and whole.lines[-1][1] == len(whole.text)


def spoken(*pieces: str, prompt: str = "Once") -> Spoken:
    steps = [Step(n, text, -0.1, TokenRecord(n - 1, 1, 1, 1)) for n, text in enumerate(pieces)]
    return Spoken(Turn(prompt, "".join(pieces)), steps)


def test_a_block_takes_in_what_came() -> None:
    one = spoken(" there", " was")
    block = Block(one, 9)
    assert (len(block), block.bring_up()) == (3, None)
    one.steps.append(Step(9, " a\x1b king", -3.0, TokenRecord(2, 1, 1, 1)))
    one.turn.text += " a\x1b king"
    assert block.bring_up() == 1
    assert shown(block.answer) == ["there was", "a\\x1b", "king"]
    one.turn = replace(one.turn)
    assert block.bring_up() is None
    assert block.levels(0, 100) == [(0, 5, 0), (5, 9, 0), (9, 20, 2)]
    assert block.levels(7, 12) == [(7, 9, 0), (9, 12, 2)]


def test_a_stop_text_is_taken_from_the_end() -> None:
    one = spoken(" there", "\nUser:")
    block = Block(one, 20)
    assert shown(block.answer) == ["there", "User:"]
    one.turn = Turn("Once", " there", reason="stop text")
    assert block.bring_up() == 0
    assert shown(block.answer) == ["there"]
    assert block.levels(0, 5) == [(0, 5, 0)]
    assert block.bring_up() is None


def test_a_turn_without_tokens_has_its_text() -> None:
    block = Block(Spoken(Turn("", "\n there was")), 20)
    assert (len(block), shown(block.answer), block.levels(0, 9)) == (2, ["there was"], [])


def answered(block: Block) -> list[str]:
    """The lines below the prompt."""
    places = [block.place(line) for line in range(block.n_prompt, len(block) - 1)]
    return [place.text.line(place.number) for place in places if place is not None]


def test_what_a_model_thinks_is_a_few_words_where_it_is_folded() -> None:
    one = spoken("<think>", "\nwell", " then", "\n</think>", "\n\nYes", ".")
    block = Block(one, 40)
    assert answered(block) == ["<think>", "well then", "</think>", "", "Yes."]
    assert block.dim == block.thoughts == [range(0, len("<think>\nwell then\n</think>"))]
    block.fold(True)
    assert answered(block) == ["(thought 4 tokens; Esc t shows them)", "", "Yes."] and len(block) == 5
    assert block.said(0, 99) == one.turn.text and block.said(36, 99) == "\n\nYes." and block.said(5, 38) == "\n\n"
    assert [level[:2] for level in block.levels(0, 99)] == [(36, 41), (41, 42)]
    one.steps.append(Step(9, " It is", -0.1, TokenRecord(9, 1, 1)))
    one.turn.text += " It is"
    assert block.bring_up() == 3 and answered(block)[-1] == "Yes. It is"
    block.fold(False)
    assert answered(block) == ["<think>", "well then", "</think>", "", "Yes. It is"]


def test_what_stands_beside_a_thought_stays() -> None:
    one = spoken("Well. <think>two", " and two</think> It is", " four.\n<think>no</think> Yes, four. <think>but")
    block = Block(one, 90, folded=True)
    (first, second), note = answered(block), "(thought; Esc t shows it)"
    assert first.startswith("Well. (thought") and first.endswith(") It is four.")
    assert second == f"{note} Yes, four. {note}" and block.said(0, 999) == one.turn.text
    tags = spoken("The tag </think> ends a thought.\nThat is all.")
    assert answered(Block(tags, 90, folded=True)) == ["The tag </think> ends a thought.", "That is all."]


def test_a_thought_that_goes_on_stays_a_few_words() -> None:
    one = spoken("<think>", "\nwell")
    block = Block(one, 40, folded=True)
    for n, piece in enumerate(("\nthen", "\nthe", "\nn")):
        one.steps.append(Step(n, piece, -0.1, TokenRecord(n + 2, 1, 1)))
        one.turn.text += piece
        assert block.bring_up() == 1
        assert answered(block) == [f"(thought {n + 3} tokens; Esc t shows them)"]


def test_a_template_may_have_begun_the_thought() -> None:
    one = spoken("well", "\n</think>", "\nYes")
    block = Block(one, 40, folded=True)
    assert answered(block) == ["well", "</think>", "Yes"]
    one.turn = replace(one.turn, thinks=True)  # which is known once it is complete
    assert block.bring_up() == 0 and answered(block) == ["(thought 2 tokens; Esc t shows them)", "Yes"]
    assert answered(Block(spoken("No thought"), 40, folded=True)) == ["No thought"]


@given(st.lists(st.sampled_from(["<think>", "</think>", "a", " b", "\n", "c d e f g"]), max_size=9), st.integers(9, 40))
def test_a_fold_loses_nothing(pieces: list[str], width: int) -> None:
    """However it comes, it is laid out as if it came at once, and selecting all of it gives the answer."""
    one = spoken()
    grown = Block(one, width, folded=True)
    for n, piece in enumerate(pieces):
        before = answered(grown)
        one.steps.append(Step(n, piece, -0.1, TokenRecord(n, 1, 1)))
        one.turn.text += piece
        first = grown.bring_up()
        assert first is None or before[: first - 1] == answered(grown)[: first - 1]
    whole = Block(one, width, folded=True)
    assert answered(grown) == answered(whole)
    assert whole.said(0, 999) == "".join(pieces).lstrip(" \n")


def test_thoughts_are_folded_by_a_key_and_drawn_apart() -> None:
    async def script(pilot: Pilot[int]) -> None:
        transcript = pilot.app.screen.query_one(Transcript)

        def text() -> str:
            return "\n".join(lines(pilot.app))  # type: ignore[arg-type]

        italic = [s.text for y in range(6) for s in transcript.render_line(y) if s.style and s.style.italic]
        assert [part.strip() for part in italic if part.strip()] == ["<think>", "well", "</think>"]
        await pilot.press("escape", "t")
        await settle(pilot)
        assert "(thought; Esc t shows it)" in text() and "well" not in text() and "Yes" in text()
        await pilot.press("t")
        await settle(pilot)
        assert "well" in text()

    turn = Turn("Well?", "<think>\nwell\n</think>\nYes")
    drive(GgtuiApp(Live(), RecordedEngine(loaded(), Turns(Tree([turn])))), script)


def test_each_answer_is_under_the_name_of_the_model_that_gave_it() -> None:
    async def script(pilot: Pilot[int]) -> None:
        text = lines(pilot.app)  # type: ignore[arg-type]
        assert any(line.startswith(" another-mode two") for line in text)  # at most 12 columns
        assert any(line.startswith(" tales        four") for line in text)
        live = pilot.app.live  # type: ignore[attr-defined]
        live.take(Turns(Tree([Turn("three", " four")])))
        await settle(pilot)
        assert any(line.startswith(" tales four") for line in lines(pilot.app))  # type: ignore[arg-type]

    turns = [Turn("one", " two", by="another-model-of-mine.gguf"), Turn("three", " four")]
    drive(GgtuiApp(Live(), RecordedEngine(loaded(), Turns(Tree(turns)))), script)


def many(live: Live, first: int, n: int) -> Batch:
    steps = (step(i % 40, i % 40 + 1) for i in range(first, first + n))
    return Batch(tuple(replace(s, record=replace(s.record, n_past=0)) for s in steps))


def test_a_flush_draws_the_last_lines_alone() -> None:
    async def script(pilot: Pilot[int]) -> None:
        live = pilot.app.live  # type: ignore[attr-defined]
        transcript = pilot.app.screen.query_one(Transcript)
        live.take(Began("Once", "complete"))
        live.take(many(live, 0, 3000))
        pilot.app.screen.stream()  # type: ignore[attr-defined]
        await pilot.pause()
        drawn: list[int] = []
        broken: list[int] = []
        draw, add = transcript._line, Lines._break
        transcript._line = lambda line: drawn.append(line) or draw(line)  # type: ignore[method-assign,func-returns-value]
        Lines._break = lambda self, start: broken.append(len(self.text) - start) or add(self, start)  # type: ignore
        try:
            for i in range(10):
                live.take(many(live, 3000 + 12 * i, 12))
                pilot.app.screen.stream()  # type: ignore[attr-defined]
                await pilot.pause()
        finally:
            Lines._break = add  # type: ignore[method-assign]
        assert 0 < len(drawn) <= 60
        assert len(broken) == 10 and max(broken) < 200
        assert transcript.below == 0

    drive(GgtuiApp(Live(), RecordedEngine(loaded())), script)


def test_it_follows_the_end_until_one_scrolls() -> None:
    async def script(pilot: Pilot[int]) -> None:
        live = pilot.app.live  # type: ignore[attr-defined]
        transcript = pilot.app.screen.query_one(Transcript)
        live.take(Began("Once", "complete"))
        live.take(many(live, 0, 600))
        await settle(pilot)
        assert transcript.below == 0
        await pilot.press("pageup")  # in the prompt
        await settle(pilot)
        top, below = transcript.scroll_offset.y, transcript.below
        assert below == transcript.size.height - 2
        assert any(f"{below} more lines below: End" in line for line in lines(pilot.app))  # type: ignore[arg-type]
        live.take(many(live, 600, 300))
        await settle(pilot)
        assert transcript.scroll_offset.y == top and transcript.below > below
        await pilot.press("escape", "home")
        assert transcript.scroll_offset.y == 0
        await pilot.press("pagedown")
        assert transcript.scroll_offset.y == transcript.size.height - 2
        await pilot.press("end")
        assert transcript.below == 0
        live.take(many(live, 900, 300))
        await settle(pilot)
        assert transcript.below == 0
        await pilot.resize_terminal(60, 16)
        await settle(pilot)
        assert transcript.below == 0 and transcript.size.width == 60

    drive(GgtuiApp(Live(), RecordedEngine(loaded())), script)


def test_answers_with_others_say_which_they_are() -> None:
    """All of them; keys are named at the last one, to which they go."""
    tree = Tree((Turn("one", " 1"), Turn("two", " 2")))
    tree.undo()
    tree.add(Turn("second", " II"))
    tree.undo()
    tree.undo()
    tree.add(Turn("first", " I"))
    tree.branch(1)

    def marks(pilot: Pilot[int]) -> list[str]:
        return [line.strip() for line in lines(pilot.app)[1:] if "/2" in line]  # type: ignore[arg-type]

    async def script(pilot: Pilot[int]) -> None:
        assert marks(pilot) == ["1/2", "2/2  alt+left, alt+right: the others"]
        live = pilot.app.live  # type: ignore[attr-defined]
        tree.undo()
        live.take(Turns(tree))
        await settle(pilot)
        assert marks(pilot) == ["1/2  alt+left, alt+right: the others"]
        live.take(Began("again", "complete"))
        await settle(pilot)
        assert marks(pilot) == ["1/2"] and "3/3  alt+left" in "\n".join(lines(pilot.app))  # type: ignore[arg-type]
        assert "/" not in (pilot.app.screen.query_one(Transcript).get_selection(Selection(None, None)) or ("",))[0]

    drive(GgtuiApp(Live(), RecordedEngine(loaded(), Turns(tree))), script)


def test_turns_that_change_are_shown_as_they_are() -> None:
    async def script(pilot: Pilot[int]) -> None:
        app = pilot.app
        live = app.live  # type: ignore[attr-defined]
        for turns in ((), (Turn("one", " two"), Turn("three", " four")), (Turn("one", " two"),)):
            live.take(Turns(Tree(turns)))
            await settle(pilot)
            text = "\n".join(lines(app))  # type: ignore[arg-type]
            for word in ("one", "two", "three", "four"):
                assert (f" {word}\n" in text) == any(word in t.prompt + t.text for t in turns)

    drive(GgtuiApp(Live(), RecordedEngine(loaded(), *answer())), script)


def test_selected_text_is_unbroken_and_without_names() -> None:
    async def script(pilot: Pilot[int]) -> None:
        screen, transcript = pilot.app.screen, pilot.app.screen.query_one(Transcript)
        at = transcript.indent
        screen.selections = {transcript: Selection(Offset(at + 5, 0), Offset(at + 7, 2))}
        await pilot.pause()
        text = screen.get_selected_text()
        assert text is not None
        first, second = text.split("\n")
        assert first == "upon a time" and second.startswith("there lived a king") and second.endswith("of them was so ")
        screen.selections = {transcript: Selection(None, None)}
        assert (screen.get_selected_text() or "").startswith("Once upon a time\nthere lived")
        screen.clear_selection()
        await pilot.mouse_down(Transcript, offset=(at, 0))
        await pilot.hover(Transcript, offset=(at + 4, 0))
        await pilot.mouse_up(Transcript, offset=(at + 4, 0))
        await pilot.press("ctrl+c")
        assert pilot.app.clipboard in ("Once", "Once ")
        assert screen.get_selected_text() is None

    drive(GgtuiApp(Live(), RecordedEngine(loaded(), *answer())), script)


def test_unlikely_tokens_are_underlined() -> None:
    async def script(pilot: Pilot[int]) -> None:
        transcript = pilot.app.screen.query_one(Transcript)

        def underlined() -> list[str]:
            strips = [transcript.render_line(y) for y in range(8)]
            return [s.text.strip() for strip in strips for s in strip if s.style and s.style.underline]

        assert not underlined()
        await pilot.press("escape", "p")
        await settle(pilot)
        assert underlined()[:3] == ["daughters", "and", "youngest"]
        assert "odds: 50%+" in "\n".join(lines(pilot.app))  # type: ignore[arg-type]
        await pilot.press("p")
        await settle(pilot)
        assert not underlined()

    drive(GgtuiApp(Live(), RecordedEngine(loaded(), *answer())), script)


def test_tokens_of_unknown_probability_have_no_mark() -> None:
    steps = [Step(1, " one", math.nan, TokenRecord(0, 1, 0)), Step(2, " two", -9.0, TokenRecord(1, 1, 0))]
    block = Block(Spoken(Turn("", " one two"), steps), 40)
    assert block.levels(0, 7) == [(3, 7, 3)]


def test_lines_kept_for_drawing_are_bounded() -> None:
    transcript = Transcript()
    assert transcript._strips.maxsize <= 512
    assert transcript.virtual_size == Size(0, 0)
