"""Building lines of the screen: names made harmless, rules with titles, segments that fit, panels beside each other."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final, TypeVar

from rich.cells import cell_len, set_cell_size
from rich.text import Span, Text

if TYPE_CHECKING:
    from monitor.command_line import CommandLine

T = TypeVar("T")

TROUBLE: Final = "bold red"
WARNING: Final = "yellow"
FAINT: Final = "dim"
HEADING: Final = "bold"
TITLE: Final = "bold cyan"


@dataclass(frozen=True, slots=True)
class View:
    """How to show: the terminal's size in cells, what it can draw, and what the user asked for."""

    width: int
    height: int
    _: KW_ONLY
    unicode: bool = True
    keys: bool = True
    """Somebody can press keys."""
    footer: bool = True
    """The last line names the keys; a picture needs none."""
    page: str = ""
    """What stands in place of the panels: help, setup, knobs, before, proof, commands, what-if; empty for the panels."""
    panel: int = 0
    """The panel that keys move in, 1 to 6; 0 for none, as on a picture."""
    row: int = 0
    """The selected row of that panel, from 0."""
    zoomed: bool = False
    """That panel has the whole screen."""
    cpu_sort: str = "trouble"
    queue_sort: str = "trouble"
    inverted: bool = False
    """Sorted the other way round."""
    filter: str = ""
    """Events that are shown: of a CPU (cpu2), a queue (rx-0), a packet (pkt 7), or with these words."""
    find: str = ""
    """What was searched for; the row it was found in is selected."""
    map: bool | None = None
    """CPUs as nodes and a heat row; None: when there are many."""
    node: int | None = None
    """The node whose CPUs are listed; None for all."""
    hidden: frozenset[str] = frozenset()
    """Panels that the user left out."""
    page_row: int = 0
    """The selected line of a page."""
    command: CommandLine | None = None
    """The command line at the bottom, in place of the footer."""


@lru_cache(maxsize=4096)
def plain(name: str, width: int = 0, unicode: bool = True) -> str:
    """A name from a file, safe for a terminal: no C0, C1, ESC, format or direction characters; `?` for what ASCII lacks.

    With `width`, exactly that many cells: cut, or padded on the right.
    """
    kept = "".join(c for c in name if unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Zl", "Zp"))
    if not unicode:
        kept = kept.encode("ascii", "replace").decode("ascii")
    return set_cell_size(kept, width) if width else kept


def line(*parts: str | tuple[str, str]) -> Text:
    """One line of unstyled strings and (string, style) pairs. Nothing in them is markup."""
    # One constructor: appending part by part costs several times as much.
    words: list[str] = []
    spans: list[Span] = []
    at = 0
    for part in parts:
        if isinstance(part, str):
            words.append(part)
            at += len(part)
        else:
            word, style = part
            words.append(word)
            end = at + len(word)
            if style and word:
                if spans and spans[-1].end == at and spans[-1].style == style:
                    spans[-1] = Span(spans[-1].start, end, style)
                else:
                    spans.append(Span(at, end, style))
            at = end
    return Text("".join(words), no_wrap=True, overflow="crop", end="", spans=spans)


def rule(title: str, width: int, note: str = "", unicode: bool = True, focused: bool = False) -> Text:
    """The top line of a panel; `note` stands at its right end and goes first when there is no room. A focused one has brackets."""
    dash = "─" if unicode else "-"
    title = f"[{title}]" if focused else title
    if cell_len(title) + cell_len(note) + 8 > width:
        note = ""
    title = title[: max(width - 4, 0)]
    right = f" {note} {dash}" if note else ""
    middle = dash * max(width - len(title) - len(right) - 3, 0)
    return line((f"{dash} ", FAINT), (title, TITLE), (f" {middle}", FAINT), (right, FAINT))


def place(view: View, panel: int, rows: int) -> str:
    """Behind a focused panel's title: which of its rows is selected."""
    return f", row {min(view.row + 1, rows)} of {rows}" if view.panel == panel and rows else ""


def gauge(fill: int, size: int, cells: int) -> str:
    """`[####......]` with `cells` cells; anything above nothing shows at least one."""
    full = min(-(-fill * cells // size), cells) if size else 0
    return f"[{'#' * full}{'.' * (cells - full)}]"


def fit(segments: Sequence[tuple[int, str, str]], width: int, gap: str = "  ") -> Text:
    """Segments (importance, text, style) in their order on one line; the least important are left out until they fit."""
    kept = [segment for segment in segments if segment[1]]
    while len(kept) > 1 and sum(cell_len(s[1]) for s in kept) + len(gap) * (len(kept) - 1) + 1 > width:
        kept.remove(min(kept, key=lambda segment: segment[0]))
    parts: list[tuple[str, str]] = []
    for number, (_, words, style) in enumerate(kept):
        parts += [(gap if number else " ", ""), (words, style)]
    return cut(line(*parts), width)


def cut(text: Text, width: int) -> Text:
    """`text` with at most `width` cells."""
    if len(text) * 2 <= width or (len(text) <= width and text.plain.isascii()):
        return text
    if cell_len(text.plain) > width:
        text.truncate(max(width, 0))
    return text


def cut_visibly(text: Text, width: int) -> Text:
    """At most `width` cells; what is cut ends in `~`, so that half a number or name is not read as a whole one."""
    if cell_len(text.plain) > width > 0:
        text.truncate(width - 1)
        text.append("~")
    return text


def beside(left: list[Text], right: list[Text], left_width: int, gap: int = 1) -> list[Text]:
    """Two panels as one, `right` beginning `gap` cells after `left_width`."""
    joined: list[Text] = []
    for number in range(max(len(left), len(right))):
        text = left[number].copy() if number < len(left) else line()
        if number < len(right):
            text.append(" " * (left_width + gap - cell_len(text.plain)))
            text.append_text(right[number])
        joined.append(text)
    return joined


def share_lines(wants: Sequence[int], least: Sequence[int], lines: int) -> list[int]:
    """Deal out `lines` among panels: each its least first (in order, as far as they go), then in turn up to what it wants."""
    given = [0] * len(wants)
    for number, (want, low) in enumerate(zip(wants, least, strict=True)):
        given[number] = min(want, low, max(lines - sum(given), 0))
    left = lines - sum(given)
    while left > 0 and any(g < w for g, w in zip(given, wants, strict=True)):
        for number, want in enumerate(wants):
            if left > 0 and given[number] < want:
                given[number] += 1
                left -= 1
    return given


def first_lines(
    items: Sequence[T], lines: int, draw: Callable[[T], Text], more: Callable[[int], str], selected: int = -1
) -> list[Text]:
    """Items, one a line; if they do not all fit, the last line says how many are missing.

    The first ones, or those around item `selected`, which is shown in reverse.
    """
    if lines <= 0:
        return []
    start, shown = 0, len(items)
    if len(items) > lines:
        shown = lines - 1
        start = min(max(selected - shown // 2, 0), len(items) - shown) if selected >= 0 else 0
    drawn = [draw(item) for item in items[start : start + shown]]
    if start <= selected < start + shown:
        drawn[selected - start].stylize("reverse")
    if shown < len(items):
        above = f"{start} above, " if start else ""
        drawn.append(line((f" {above}{more(len(items) - shown - start)}", FAINT)))
    return drawn
