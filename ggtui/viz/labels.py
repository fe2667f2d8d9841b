"""The text of a drawing, in the two ways Graphviz has: markup, with sizes and grounds, and plain, which every build of
it understands. Names come from model files: what is not printable is shown escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

# Lines, text on a ground of its own and the ground; cards; dark text on light grounds.
LINE, CHIP, CARD, INK = "#848d97", "#4f5966", "#f2f4f7", "#1b1f24"
GREY = "#76808b"  # text on the page itself

Line = tuple[str, int, bool]  # text, points, bold
Swatch = tuple[str, str, str, int]  # text, ground, ink, points


def plain(text: str) -> str:
    """A text as an attribute; Graphviz would read backslashes and entities in it."""
    shown = "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)
    return html.escape(shown, quote=False).replace("\\", "\\\\")


class Plain:
    """Labels without markup: of one size each, and where they stand on the page itself in a grey between black and
    white."""

    def box(self, lines: Sequence[Line], ink: str) -> dict[str, str]:
        """Attributes of a node with these lines."""
        points = 8 + (lines[0][1] - 8) // 3
        # What draws without markup also measures text without fonts: more room is needed at the sides.
        label = plain("\n".join(text for text, _, _ in lines))
        return {"label": label, "fontsize": str(points), "fontcolor": ink, "margin": "0.18,0.04"}

    def chip(self, text: str, points: int, ground: str = CHIP, ink: str = "#ffffff") -> dict[str, str]:
        """Attributes of a cluster or an edge with this text."""
        return {"label": plain(text), "fontsize": str(points), "fontcolor": GREY}

    def legend(self, lines: Sequence[Line], heading: str, scale: Sequence[Swatch]) -> dict[str, str]:
        """Attributes of the picture with these lines over it; the scale is left to nodes."""
        return {"label": plain("\n".join(text for text, _, _ in lines)), "fontsize": "13", "fontcolor": GREY}


class Markup(Plain):
    """Labels in Graphviz's likeness of HTML."""

    def box(self, lines: Sequence[Line], ink: str) -> dict[str, str]:
        rows = "".join(f"<TR><TD>{_cell(*line)}</TD></TR>" for line in lines)
        table = f'<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="0">{rows}</TABLE>'
        return {"label": f"<{table}>", "fontcolor": ink}

    def chip(self, text: str, points: int, ground: str = CHIP, ink: str = "#ffffff") -> dict[str, str]:
        cell = f'<TD><FONT COLOR="{ink}">{_cell(text, points, ground == CHIP)}</FONT></TD>'
        table = f'<TABLE BORDER="0" CELLSPACING="0" CELLPADDING="2" BGCOLOR="{ground}"><TR>{cell}</TR></TABLE>'
        return {"label": f"<{table}>"}

    def legend(self, lines: Sequence[Line], heading: str, scale: Sequence[Swatch]) -> dict[str, str]:
        rows = [_row([f'<TD COLSPAN="{len(scale) + 1}" ALIGN="LEFT">{_cell(*line)}</TD>']) for line in lines]
        swatches = [
            f'<TD BGCOLOR="{ground}"><FONT COLOR="{ink}">{_cell(text, points, False)}</FONT></TD>'
            for text, ground, ink, points in scale
        ]
        if swatches:
            rows.append(_row([f'<TD ALIGN="LEFT">{_cell(heading, 10, False)}</TD>', *swatches]))
        table = f'<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="2" CELLPADDING="3" BGCOLOR="{CARD}">'
        return {"label": f'<<FONT COLOR="{INK}">{table}{"".join(rows)}</TABLE></FONT>>'}


def _row(cells: Iterable[str]) -> str:
    return f"<TR>{''.join(cells)}</TR>"


def _cell(text: str, points: int, bold: bool) -> str:
    marked = plain(text)
    return f'<FONT POINT-SIZE="{points}">{f"<B>{marked}</B>" if bold else marked}</FONT>'
