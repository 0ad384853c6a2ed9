"""Waiting times by stage since the run began, from the histograms."""

from __future__ import annotations

from rich.text import Text

from monitor.lines import HEADING, View, cut, first_lines, line, plain, rule
from monitor.numbers import duration, si
from monitor.snapshot import WHOLE_WAY, Latency, Snapshot


def lines_wanted(snapshot: Snapshot) -> int:
    """Lines of the whole panel."""
    return 2 + len(snapshot.latencies)


def latency_panel(snapshot: Snapshot, view: View, width: int, lines: int) -> list[Text]:
    """At most `lines` lines of at most `width` cells; the whole way is named in bold and comes first."""
    counted = width >= 48
    name_width = max(width - (38 if counted else 31), 6)

    def draw(late: Latency) -> Text:
        count = f"{si(late.count):>7}" if counted else ""
        times = (late.p50_ns, late.p90_ns, late.p99_ns, late.p999_ns, late.max_ns)
        figures = "".join(f"{duration(span) if late.count else '-':>6}" for span in times)
        name = plain(late.stage, name_width, view.unicode)
        return line(" ", (name, HEADING if late.stage == WHOLE_WAY else ""), count, figures)

    panel = [
        rule("WAITS", width, "whole run", view.unicode),
        line(
            (
                f" {'stage'.ljust(name_width)}{'  count' if counted else ''}   p50   p90   p99 p99.9   max",
                HEADING,
            )
        ),
    ][: max(lines, 0)]
    # A short panel must not lose the sum of them all.
    order = sorted(snapshot.latencies, key=lambda late: late.stage != WHOLE_WAY)
    panel += first_lines(order, lines - len(panel), draw, lambda missing: f"and {missing} stages")
    return [cut(text, width) for text in panel]
