"""The latest events, the newest last."""

from __future__ import annotations

import re

from rich.text import Text

from monitor.lines import FAINT, View, cut, cut_visibly, line, plain, rule
from monitor.numbers import clock
from monitor.snapshot import Event, Snapshot


def _row(event: Event, view: View) -> Text:
    where = "   -" if event.cpu is None else f"{f'c{event.cpu}':>4}"
    return line(" ", (clock(event.at_ns)[6:], FAINT), f"{where} ", plain(event.text, unicode=view.unicode))


def matches(event: Event, words: str) -> bool:
    """Whether an event passes the filter: `cpu2` or `c2` its CPU; `rx-0`, `pkt 7` and any other words as they stand in its text."""
    wanted = words.strip().lower()
    if not wanted:
        return True
    cpu = re.fullmatch(r"c(?:pu)?(\d+)", wanted)
    if cpu is not None:
        return event.cpu == int(cpu[1])
    return re.search(rf"(?<!\w){re.escape(wanted)}(?!\d)", event.text.lower()) is not None


def shown_events(snapshot: Snapshot, view: View) -> list[Event]:
    """The events that pass the filter, the newest last."""
    return [event for event in snapshot.events if matches(event, view.filter)]


def event_panel(snapshot: Snapshot, view: View, width: int, lines: int) -> list[Text]:
    """At most `lines` lines of at most `width` cells: the newest events, or those around the selected one."""
    words = plain(view.filter, unicode=view.unicode)[:30] or "all"
    panel = [rule("6 EVENTS", width, f"newest last, filter: {words}", view.unicode, view.panel == 6)][: max(lines, 0)]
    room = max(lines - 1, 0)
    events = shown_events(snapshot, view)
    at = min(view.row, len(events) - 1) if view.panel == 6 else -1
    end = len(events) if at < 0 else min(max(at + 1 + room // 2, room), len(events))
    begin = max(end - room, 0)
    for number, event in enumerate(events[begin:end], begin):
        text = cut_visibly(_row(event, view), width)
        if number == at:
            text.stylize("reverse")
        panel.append(text)
    if room and not events:
        panel.append(line((" none yet" if not view.filter else " none that passes the filter", FAINT)))
    return [cut(text, width) for text in panel]
