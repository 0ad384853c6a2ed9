"""WHY in sentences. Each has the keys that prove it and, where there are any, that show the commands of what one might do."""

from __future__ import annotations

import textwrap

from rich.cells import cell_len
from rich.text import Text

from monitor.lines import FAINT, HEADING, TROUBLE, View, cut, first_lines, line, plain, rule
from monitor.why.finding import Finding


def _row(finding: Finding, view: View, width: int) -> Text:
    words = plain(finding.text, unicode=view.unicode)
    keys = ("[p] proof" + (" [a] commands" if finding.commands else "")) if view.keys else ""
    room = width - 3
    text = line((" ! ", TROUBLE) if finding.trouble else " i ")
    if cell_len(words) > room:
        words = words[: room - 1] + "~"
    text.append(words)
    if keys and cell_len(words) + len(keys) + 2 <= room:
        text.append(" " * (room - cell_len(words) - len(keys)))
        text.append(keys, FAINT)
    return text


def why_panel(found: tuple[Finding, ...], view: View, width: int, lines: int) -> list[Text]:
    """At most `lines` lines of at most `width` cells."""
    panel = [rule("5 WHY", width, "claimed of this interval", view.unicode, view.panel == 5)][: max(lines, 0)]
    if not found and lines > 1:
        panel.append(line((" nothing to say before time passes", FAINT)))
    panel += first_lines(
        found,
        lines - len(panel),
        lambda finding: _row(finding, view, width),
        lambda missing: f"and {missing} more sentences",
        min(view.row, len(found) - 1) if view.panel == 5 else -1,
    )
    return [cut(text, width) for text in panel]


def proof_lines(found: tuple[Finding, ...], view: View, lines: int) -> list[Text]:
    """The selected sentence and the numbers behind it."""
    finding = selected(found, view)
    if finding is None:
        return [rule("PROOF", view.width, unicode=view.unicode), line(" nothing is claimed yet")][:lines]
    page = [rule("PROOF", view.width, f"{found.index(finding) + 1} of {len(found)}, up and down", view.unicode)]
    page += _wrapped(finding.text, view, HEADING)
    for number in finding.proof:
        page += _wrapped(number, view, "", "  ")
    if finding.advice:
        page += [line(), *_wrapped(f"What would change it: {finding.advice}.", view, "")]
    return [cut(text, view.width) for text in page[:lines]]


def command_page(found: tuple[Finding, ...], view: View, lines: int) -> list[Text]:
    """Shell commands for the selected sentence; printed, never run."""
    finding = selected(found, view)
    page = [rule("COMMANDS", view.width, "for a server, or behind `:` here", view.unicode)]
    if finding is not None:
        page += _wrapped(finding.text, view, HEADING)
        if finding.advice:
            page += _wrapped(finding.advice, view, "")
        page.append(line())
        page += [line("  ", plain(command, unicode=view.unicode)) for command in finding.commands]
    if finding is None or not finding.commands:
        page.append(line((" no setting changes this", FAINT)))
    return [cut(text, view.width) for text in page[:lines]]


def selected(found: tuple[Finding, ...], view: View) -> Finding | None:
    """The sentence that keys are about: the selected one, else the first."""
    if not found:
        return None
    return found[min(view.row, len(found) - 1)] if view.panel == 5 else found[0]


def _wrapped(words: str, view: View, style: str, indent: str = " ") -> list[Text]:
    width = max(view.width - len(indent) - 1, 20)
    return [line(indent, (part, style)) for part in textwrap.wrap(plain(words, unicode=view.unicode), width)]
