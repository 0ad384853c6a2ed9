"""The queue panel: one line a receive queue, the one in trouble first."""

from __future__ import annotations

from typing import Final

from rich.text import Text

from monitor.lines import HEADING, TROUBLE, WARNING, View, cut, first_lines, gauge, line, rule
from monitor.numbers import si
from monitor.rates import QueueRates, Rates
from monitor.snapshot import QueueStatistics, Snapshot

WIDTH: Final = 79
"""Cells of a full line; wider screens put another panel beside."""


def mode(queue: QueueStatistics) -> str:
    """POLL: the vector is masked and NAPI polls. irq: armed, with the shortest time between two interrupts; `~` if it adapts."""
    if queue.polling:
        return "POLL"
    return f"irq {'~' if queue.adaptive else ''}{queue.itr_us:g}us"


def _key(queue: QueueStatistics, rate: QueueRates) -> tuple[int, int, int]:
    fill = queue.ring_fill * 4 // queue.ring_size if queue.ring_size else 0
    return (-(rate.drops.bit_length()), -fill, queue.index)


def _row(queue: QueueStatistics, rate: QueueRates, rates: Rates) -> Text:
    per_second = rates.per_second
    per_poll = f"{rate.packets / rate.polls:.1f}" if rate.polls else "-"
    gro = f"{rate.packets / rate.skbs:.1f}" if rate.skbs else "-"
    full = queue.ring_size > 0 and queue.ring_fill >= queue.ring_size
    return line(
        ("*", TROUBLE) if rate.drops else " ",
        f"rx-{queue.index:<3} ",
        (gauge(queue.ring_fill, queue.ring_size, 8), TROUBLE if full else ""),
        f"{f'{queue.ring_fill}/{queue.ring_size}':>10}{queue.irq:>5}{queue.cpu:>5}",
        f"{si(per_second(rate.irqs)):>6}{per_poll:>7}{gro:>5} ",
        (f"{mode(queue):<10}", WARNING if queue.polling else ""),
        f"{si(per_second(rate.packets)):>6}",
        (f"{si(per_second(rate.drops)):>6}", TROUBLE if rate.drops else ""),
    )


def lines_wanted(snapshot: Snapshot) -> int:
    """Lines of the whole panel."""
    return 2 + len(snapshot.queues)


def queue_panel(snapshot: Snapshot, rates: Rates, view: View, width: int, lines: int) -> list[Text]:
    """At most `lines` lines of at most `width` cells."""
    order = sorted(range(len(snapshot.queues)), key=lambda i: _key(snapshot.queues[i], rates.queues[i]))
    panel = [
        rule("QUEUES", width, "per second, POLL = vector masked", view.unicode),
        line((" q      ring            fill  irq >cpu irq/s p/poll  gro mode       pkt/s  drop", HEADING)),
    ][: max(lines, 0)]
    panel += first_lines(
        order,
        lines - len(panel),
        lambda i: _row(snapshot.queues[i], rates.queues[i], rates),
        lambda missing: f"and {missing} queues in less trouble",
    )
    return [cut(text, width) for text in panel]
