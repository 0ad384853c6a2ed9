"""WHY in sentences. Each has the keys that prove it and, where there are any, that show the commands of what one might do."""

from __future__ import annotations

import textwrap
from functools import lru_cache

from rich.cells import cell_len
from rich.text import Text

from monitor.lines import FAINT, HEADING, TROUBLE, View, cut, cut_visibly, line, plain, rule
from monitor.numbers import duration
from monitor.rates import Rates
from monitor.why.finding import Finding


def _sentence(finding: Finding, view: View, width: int) -> list[Text]:
    """The sentence on as many lines as it takes; the keys at the end of the last one if there is room."""
    room = max(width - 4, 10)
    words = plain(finding.text, unicode=view.unicode)
    parts = (words,) if cell_len(words) <= room else _wrap(words, room)
    keys = ("[p] proof" + (" [a] commands" if finding.commands else "")) if view.keys else ""
    left = room - cell_len(parts[-1]) - len(keys)
    tail = (" " * left + keys if keys and left >= 2 else "", FAINT)
    marks = [(" ! ", TROUBLE) if finding.trouble else (" i ", "")] + [("   ", "")] * (len(parts) - 1)
    return [
        line(mark, part, tail if number + 1 == len(parts) else "")
        for number, (mark, part) in enumerate(zip(marks, parts, strict=True))
    ]


@lru_cache(maxsize=256)  # asked for the height first, then for the text
def _wrap(words: str, width: int) -> tuple[str, ...]:
    return tuple(textwrap.wrap(words, width))


def lines_wanted(found: tuple[Finding, ...], view: View, width: int) -> int:
    """Lines of the whole panel."""
    return 1 + max(sum(len(_sentence(finding, view, width)) for finding in found), 1)


def lines_least(found: tuple[Finding, ...], view: View, width: int) -> int:
    """Lines that show the first sentence, and how many there are."""
    return 1 + (len(_sentence(found[0], view, width)) if found else 1) + (len(found) > 1)


def why_panel(found: tuple[Finding, ...], rates: Rates, view: View, width: int, lines: int) -> list[Text]:
    """At most `lines` lines of at most `width` cells: the first sentences, or those from before the selected one on."""
    note = f"what counters prove of the last {duration(rates.interval_ns)}" if rates.interval_ns else ""
    panel = [rule("5 WHY", width, note, view.unicode, view.panel == 5)][: max(lines, 0)]
    if not found and lines > 1:
        panel.append(line((" nothing to say before time passes", FAINT)))
    chosen = min(view.row, len(found) - 1) if view.panel == 5 else -1
    drawn = [_sentence(finding, view, width) for finding in found]
    if chosen >= 0:
        for text in drawn[chosen]:
            text.stylize("reverse")
    room = max(lines - len(panel), 0)
    start = 0
    while start < chosen and sum(len(sentence) for sentence in drawn[start : chosen + 1]) + 1 > room:
        start += 1
    left = room
    for number in range(start, len(drawn)):
        after = number + 1 < len(drawn)
        if len(drawn[number]) + after > left:
            if number == start:  # half a sentence says more than how many there are
                panel += drawn[number][:left]
            elif left > 0:
                missing = len(drawn) - number
                panel.append(line((f" and {missing} more sentence{'s' * (missing > 1)}", FAINT)))
            break
        panel += drawn[number]
        left -= len(drawn[number])
    return [cut(text, width) for text in panel]


def proof_lines(found: tuple[Finding, ...], view: View, lines: int) -> list[Text]:
    """The selected sentence and the numbers behind it."""
    finding = selected(found, view)
    if finding is None:
        return [rule("PROOF", view.width, unicode=view.unicode), line(" nothing is claimed yet")][:lines]
    page = [rule("PROOF", view.width, place_among(found, finding), view.unicode)]
    page += wrapped(finding.text, view, HEADING)
    for number in finding.proof:
        page += wrapped(number, view, "", "  ")
    if finding.advice:
        page += [line(), *wrapped(f"What would change it: {finding.advice}.", view, "")]
    return [cut(text, view.width) for text in page[:lines]]


def command_page(found: tuple[Finding, ...], view: View, lines: int) -> list[Text]:
    """Shell commands for the selected sentence; printed, never run."""
    finding = selected(found, view)
    note = f"for a server, or behind `:` here; {place_among(found, finding)}"
    page = [rule("COMMANDS", view.width, note, view.unicode)]
    if finding is not None:
        page += wrapped(finding.text, view, HEADING)
        if finding.advice:
            page += wrapped(finding.advice, view, "")
        page.append(line())
        page += [
            cut_visibly(line("  ", plain(command, unicode=view.unicode)), view.width) for command in finding.commands
        ]
    if finding is None or not finding.commands:
        page.append(line((" no setting changes this", FAINT)))
    return [cut(text, view.width) for text in page[:lines]]


def place_among(found: tuple[Finding, ...], finding: Finding | None) -> str:
    """Which sentence a page is about, and the keys for the others."""
    return "" if finding is None else f"{found.index(finding) + 1} of {len(found)}, up and down"


def selected(found: tuple[Finding, ...], view: View) -> Finding | None:
    """The sentence that keys are about: the selected one, else the first."""
    if not found:
        return None
    return found[min(view.row, len(found) - 1)] if view.panel == 5 else found[0]


def wrapped(words: str, view: View, style: str, indent: str = " ") -> list[Text]:
    """A paragraph over the whole width."""
    width = max(view.width - len(indent) - 1, 20)
    return [line(indent, (part, style)) for part in textwrap.wrap(plain(words, unicode=view.unicode), width)]
