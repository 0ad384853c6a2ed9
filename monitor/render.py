"""The screen: panels composed for a width and a height. A pure function of numbers; nothing here knows a terminal.

Every line is pre-formatted text: a table of rich costs twenty times as much a frame. 80 x 24 is the least that shows everything; smaller
terminals get the head, the most troubled CPUs, and are told what is missing.
"""

from __future__ import annotations

from typing import Final

from rich.text import Text

from monitor import cpu_panel, cpu_row, drop_panel, latency_panel, queue_panel
from monitor.command_line import command_lines
from monitor.event_panel import event_panel
from monitor.header import conserved_parts, header, identity_line, state_words
from monitor.help import help_lines
from monitor.history import Sample
from monitor.lines import FAINT, TROUBLE, WARNING, View, beside, cut, fit, line, share_lines
from monitor.numbers import per_second_parts, si
from monitor.rates import Rates
from monitor.snapshot import Meta, Snapshot

LEAST_WIDTH: Final = 80
LEAST_HEIGHT: Final = 24
WIDE: Final = 118
"""From this width on, panels stand beside the queues."""


def frame(snapshot: Snapshot, rates: Rates, samples: tuple[Sample, ...], view: View) -> Text:
    """The whole screen as one text of at most `view.height` lines of at most `view.width` cells."""
    if view.width < LEAST_WIDTH or view.height < LEAST_HEIGHT:
        lines = _tiny(snapshot, rates, view)
    else:
        lines = header(snapshot, rates, samples, view)
        room = view.height - len(lines) - view.footer
        lines += help_lines(view, room) if view.help else _panels(snapshot, rates, view, room)
        if view.footer:
            lines += [line() for _ in range(view.height - 1 - len(lines))]
            lines.append(footer(snapshot.meta, view))
    if view.command is not None:
        asked = command_lines(view.command, view, max(view.height // 2, 1))
        lines += [line() for _ in range(view.height - len(lines))]
        lines[view.height - len(asked) :] = asked
    return Text("\n", no_wrap=True, overflow="crop", end="").join(
        cut(text, view.width) for text in lines[: view.height]
    )


def footer(meta: Meta, view: View) -> Text:
    """The keys that do something now."""
    if not view.keys:
        return cut(line((" no keyboard here: Ctrl-C ends the run", FAINT)), view.width)
    keys = [(50, "q quit", ""), (40, "? back" if view.help else "? help", "")]
    if not meta.finished:
        keys += [(35, "SPC go on" if meta.paused else "SPC pause", "")]
        keys += [(30, ". step", ""), (20, "+ - speed", ""), (32, ": command", ""), (15, "s save", "")]
    else:
        keys += [(60, "the run is over; q shows the summary", WARNING)]
    return fit(keys, view.width)


def _panels(snapshot: Snapshot, rates: Rates, view: View, room: int) -> list[Text]:
    wide = view.width >= WIDE
    least = min(cpu_panel.least_lines(snapshot), room - 6)
    cpus_want = cpu_panel.lines_wanted(snapshot)
    queues_want = queue_panel.lines_wanted(snapshot)
    drops_want = drop_panel.lines_wanted(snapshot, rates)
    waits_want = latency_panel.lines_wanted(snapshot)
    if wide:
        left = queue_panel.WIDTH
        right = view.width - left - 1
        middle_want, lower_want = max(queues_want, drops_want), max(waits_want, 5)
        cpus, middle, lower = share_lines((cpus_want, middle_want, lower_want), (least, 6, 6), room)
        lower += room - cpus - middle - lower
        half = min(view.width // 2, 70)
        return (
            cpu_panel.cpu_panel(snapshot, rates, view, cpus)
            + beside(
                queue_panel.queue_panel(snapshot, rates, view, left, middle),
                drop_panel.drop_panel(snapshot, rates, view, right, middle),
                left,
            )
            + beside(
                latency_panel.latency_panel(snapshot, view, half, min(lower, waits_want)),
                event_panel(snapshot, view, view.width - half - 1, lower),
                half,
            )
        )
    left = view.width // 2 - 2
    cpus, middle, lower = share_lines((cpus_want, queues_want, max(drops_want, waits_want)), (least, 5, 5), room)
    if lower < 3:  # titles alone say nothing
        middle, lower = middle + lower, 0
    panels = (
        cpu_panel.cpu_panel(snapshot, rates, view, cpus)
        + queue_panel.queue_panel(snapshot, rates, view, view.width, middle)
        + beside(
            drop_panel.drop_panel(snapshot, rates, view, left, lower),
            latency_panel.latency_panel(snapshot, view, view.width - left - 1, lower),
            left,
        )
    )
    rest = room - len(panels)
    return panels + event_panel(snapshot, view, view.width, rest) if rest >= 3 else panels


def _tiny(snapshot: Snapshot, rates: Rates, view: View) -> list[Text]:
    """What fits below 80 x 24."""
    missing = [
        f"{lack} {what}"
        for lack, what in ((LEAST_WIDTH - view.width, "columns"), (LEAST_HEIGHT - view.height, "lines"))
        if lack > 0
    ]
    arrived, out, dropped, held = conserved_parts(rates)
    budget, time = per_second_parts([rates.squeeze_budget, rates.squeeze_time], rates.interval_ns)
    lines = [
        identity_line(snapshot, view),
        line((f" {' and '.join(missing)} missing for queues, drops, waits", WARNING)),
        line(f" IN {arrived:,}/s = OUT {out:,}"),
        line((f"  + DROP {dropped:,}", TROUBLE if rates.dropped_frames else ""), f" + HELD {held:,}"),
        line(f" SQZ {budget + time:,} = b {budget:,} + t {time:,}"),
    ]
    order = sorted(range(len(snapshot.cpus)), key=lambda i: cpu_row.trouble_key(snapshot.cpus[i], rates.cpus[i]))
    for i in order:
        hi, softirq, app, idle = cpu_row.shares(rates.cpus[i].parts_ns)
        lost = si(rates.per_second(rates.cpus[i].dropped))
        star = "*" if cpu_row.in_trouble(rates.cpus[i]) else " "
        lines.append(line(f"{star}cpu{i:<3} hi{hi} si{softirq} app{app} idl{idle} drop {lost}"))
    last = line((f" {state_words(snapshot.meta)}", FAINT), "  q quit" if view.keys else "")
    body = max(view.height - 1, 0)
    return [cut(text, view.width) for text in [*lines[:body], *(line() for _ in range(body - len(lines))), last]]
