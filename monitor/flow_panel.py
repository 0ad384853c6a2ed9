"""WHERE PACKETS GO: the conserved flow from the wire to the application, the wait that ends in each stage, and what was lost where."""

from __future__ import annotations

from typing import Final

from rich.text import Text

from monitor.flow import STAGES, WAITS, Stage
from monitor.lines import FAINT, HEADING, TROUBLE, View, cut, line, plain, rule
from monitor.numbers import duration, per_second_parts, si
from monitor.rates import Rates
from monitor.snapshot import Snapshot

LINES: Final = 5
"""Title, names, frames, skbs, waits."""
_LABEL: Final = 6
_REASONS: Final = 30
"""Cells that reasons take at least, where they stand beside."""
_SHORT: Final = {"NIC_RING_FULL": "ring full", "NO_SOCKET": "no socket"}


def losses(snapshot: Snapshot, rates: Rates) -> list[tuple[int, str]]:
    """(frames lost in the interval, reason and place), the most first."""
    lost = [(count, reason) for reason, count in rates.dropped.items() if count]
    lost.sort(key=lambda item: (-item[0], item[1]))
    return [(count, f"{_SHORT.get(reason, plain(reason))}{_place(snapshot, rates, reason)}") for count, reason in lost]


def _place(snapshot: Snapshot, rates: Rates, reason: str) -> str:
    """The CPU, queue or socket that lost most, where a counter tells."""
    counts: list[tuple[int, str]] = []
    if reason == "CPU_BACKLOG":
        counts = [(rate.dropped, f"cpu{i}") for i, rate in enumerate(rates.cpus) if rate.dropped]
    elif reason == "NIC_RING_FULL":
        counts = [(rate.drops, f"rx-{i}") for i, rate in enumerate(rates.queues) if rate.drops]
    elif reason.startswith("SOCKET_"):
        counts = [(count, plain(name)) for name, count in rates.socket_drops.items() if count]
    if not counts:
        return ""
    counts.sort(key=lambda item: (-item[0], item[1]))
    return f" ({counts[0][1]}{f' +{len(counts) - 1}' if len(counts) > 1 else ''})"


def flow_panel(snapshot: Snapshot, rates: Rates, view: View, width: int, lines: int) -> list[Text]:
    """At most `lines` lines of at most `width` cells: five, and the reasons beside them or below."""
    beside = width >= _LABEL + 8 * len(STAGES) + _REASONS
    cell = 8 if beside else max((width - _LABEL) // len(STAGES), 4)
    table = [_names(rates.flow, cell), _frames(rates, cell), _skbs(rates, cell), _waits(rates, cell)]
    lost = losses(snapshot, rates)
    panel = [rule("4 WHERE PACKETS GO", width, "a second", view.unicode, view.panel == 4)]
    if beside:
        room = width - _LABEL - cell * len(STAGES) - 9
        heads = [("|lost/s reason", HEADING)]
        shown = lost if len(lost) <= 3 else lost[:2]
        parts = [
            (f"|{si(rates.per_second(count)):>6} {words if len(words) <= room else words[: room - 1] + '~'}", TROUBLE)
            for count, words in shown
        ]
        if len(lost) > len(shown):
            rest = sum(count for count, _ in lost[2:])
            parts.append((f"|{si(rates.per_second(rest)):>6} {len(lost) - 2} other reasons", TROUBLE))
        parts += [("|", FAINT)] * (3 - len(parts))
        for text, (words, style) in zip(table, heads + parts, strict=False):
            text.append(" " * max(_LABEL + cell * len(STAGES) + 1 - len(text.plain), 0))
            text.append(words, style)
    elif lost:
        words = "   ".join(f"{si(rates.per_second(count))} {reason}" for count, reason in lost)
        table.append(line((f" lost/s {words}", TROUBLE)))
    return [cut(text, width) for text in [*panel, *table][: max(lines, 0)]]


def _names(stages: tuple[Stage, ...], cell: int) -> Text:
    return line((" " * _LABEL + "".join(f"{stage.name:>{cell}}" for stage in stages), HEADING))


def _frames(rates: Rates, cell: int) -> Text:
    parts = [" pkts "]
    for number, stage in enumerate(rates.flow):
        words = si(rates.per_second(stage.frames))
        parts.append(f"{words:>{cell}}" if not number or len(words) + 2 > cell else f" >{words:>{cell - 2}}")
    return line("".join(parts))


def _skbs(rates: Rates, cell: int) -> Text:
    counts = ["" if stage.skbs is None else si(rates.per_second(stage.skbs)) for stage in rates.flow]
    return line(" skbs " + "".join(f"{count:>{cell}}" for count in counts))


def _waits(rates: Rates, cell: int) -> Text:
    waits = [rates.waits.get(WAITS.get(stage.name, "")) for stage in rates.flow]
    spans = [duration(wait.p99_ns) if wait is not None and wait.count else "" for wait in waits]
    return line(" p99  " + "".join(f"{span:>{cell}}" for span in spans))


def stage_table(rates: Rates, view: View, width: int) -> list[Text]:
    """For the zoomed panel: each stage in whole numbers a second, came = next + lost + held + consumed."""
    names = ("came/s", "= next", "+ lost", "+ held", "+ consumed", "skbs/s")
    heading = f" {'stage':<8}" + "".join(f" {name:>11}" for name in names) + "   wait p50   p99 p99.9"
    table = [rule("BY STAGE", width, unicode=view.unicode), line((heading, HEADING))]
    for number, stage in enumerate(rates.flow):
        following = rates.flow[number + 1].frames if number + 1 < len(rates.flow) else stage.frames - stage.held
        passed, lost, held, consumed = per_second_parts(
            [following, stage.lost, stage.held, stage.consumed], rates.interval_ns
        )
        wait = rates.waits.get(WAITS.get(stage.name, ""))
        spans = (wait.p50_ns, wait.p99_ns, wait.p999_ns) if wait is not None and wait.count else ()
        skbs = "" if stage.skbs is None else f"{round(rates.per_second(stage.skbs)):,}"
        table.append(
            line(
                f" {stage.name:<8} {passed + lost + held + consumed:>11,} {passed:>11,} ",
                (f"{lost:>11,}", TROUBLE if stage.lost else ""),
                f" {held:>11,} {consumed:>11,} {skbs:>11}      ",
                "".join(f"{duration(span):>6}" for span in spans),
            )
        )
    return [cut(text, width) for text in table]
