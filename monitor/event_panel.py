"""The latest events, the newest last."""

from __future__ import annotations

from rich.cells import cell_len
from rich.text import Text

from monitor.lines import FAINT, View, cut, line, plain, rule
from monitor.numbers import clock
from monitor.snapshot import Event, Snapshot


def _row(event: Event, view: View) -> Text:
    where = "   -" if event.cpu is None else f"{f'c{event.cpu}':>4}"
    return line(" ", (clock(event.at_ns)[6:], FAINT), f"{where} ", plain(event.text, unicode=view.unicode))


def _cut_visibly(text: Text, width: int) -> Text:
    """At most `width` cells; what is cut ends in `~`, so that half a number is not read as a whole one."""
    if cell_len(text.plain) > width > 0:
        text.truncate(width - 1)
        text.append("~")
    return text


def event_panel(snapshot: Snapshot, view: View, width: int, lines: int) -> list[Text]:
    """At most `lines` lines of at most `width` cells."""
    panel = [rule("EVENTS", width, "newest last", view.unicode)][: max(lines, 0)]
    room = max(lines - 1, 0)
    shown = snapshot.events[-room:] if room else ()
    panel += [_cut_visibly(_row(event, view), width) for event in shown]
    if room and not shown:
        panel.append(line((" none yet", FAINT)))
    return [cut(text, width) for text in panel]
