"""Where frames ended: drops by reason, the worst first, then what is held and what arrived where it should."""

from __future__ import annotations

from rich.text import Text

from monitor.lines import HEADING, TROUBLE, View, cut, first_lines, line, plain, rule
from monitor.numbers import si
from monitor.rates import Rates
from monitor.snapshot import Snapshot

Entry = tuple[str, float | None, int, str]
"""Name, frames a second (None for a place, which has none), frames, style."""


def _entries(snapshot: Snapshot, rates: Rates) -> list[Entry]:
    totals = snapshot.totals
    now = rates.dropped
    reasons = [(reason, count) for reason, count in totals.dropped.items() if count]
    reasons.sort(key=lambda item: (-now.get(item[0], 0).bit_length(), -item[1], item[0]))
    drops: list[Entry] = [
        (reason, rates.per_second(now.get(reason, 0)), count, TROUBLE if now.get(reason, 0) else "")
        for reason, count in reasons
    ]
    held: list[Entry] = [(f"held: {place}", None, count, "") for place, count in totals.held.items() if count]
    ends: list[Entry] = [
        ("read", rates.per_second(rates.read_frames), totals.read_frames, ""),
        ("consumed in kernel", rates.per_second(rates.consumed_frames), totals.consumed_frames, ""),
    ]
    return drops + sorted(held, key=lambda entry: (-entry[2], entry[0])) + ends


def lines_wanted(snapshot: Snapshot, rates: Rates) -> int:
    """Lines of the whole panel."""
    return 2 + len(_entries(snapshot, rates))


def drop_panel(snapshot: Snapshot, rates: Rates, view: View, width: int, lines: int) -> list[Text]:
    """At most `lines` lines of at most `width` cells; every frame that arrived is in exactly one of them."""
    name_width = min(max(width - 16, 6), 36)

    def draw(entry: Entry) -> Text:
        name, rate, count, style = entry
        shown = plain(name, name_width, view.unicode)
        return line(" ", (shown, style), f"{'' if rate is None else si(rate):>7}{si(count):>8}")

    panel = [
        rule("WHERE FRAMES END", width, unicode=view.unicode),
        line((f" {'reason'.ljust(name_width)}{'/s':>7}{'frames':>8}", HEADING)),
    ][: max(lines, 0)]
    panel += first_lines(
        _entries(snapshot, rates), lines - len(panel), draw, lambda missing: f"and {missing} more accounts"
    )
    return [cut(text, width) for text in panel]
