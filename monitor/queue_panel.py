"""The queue panel: one line a receive queue, the one in trouble first."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from rich.text import Text

from monitor.lines import HEADING, TROUBLE, WARNING, View, cut, first_lines, gauge, line, place, rule
from monitor.numbers import si
from monitor.rates import QueueRates, Rates
from monitor.snapshot import QueueStatistics, Snapshot

WIDTH: Final = 80
"""Cells of a full line."""
NARROW: Final = 64
"""Cells of a line without rates of packets and losses; another panel stands beside."""


def mode(queue: QueueStatistics) -> str:
    """POLL: the vector is masked and NAPI polls. irq: armed, with the shortest time between two interrupts; `~` if it adapts."""
    if queue.polling:
        return "POLL"
    return f"irq {'~' if queue.adaptive else ''}{queue.itr_us:g}us"


def _key(queue: QueueStatistics, rate: QueueRates) -> tuple[int, int, int]:
    fill = queue.ring_fill * 4 // queue.ring_size if queue.ring_size else 0
    return (-(rate.drops.bit_length()), -fill, queue.index)


SORTS: Final[Mapping[str, Callable[[QueueStatistics, QueueRates], tuple[float, ...]]]] = {
    "trouble": _key,
    "queue": lambda queue, rate: (queue.index,),
    "fill": lambda queue, rate: (-queue.ring_fill,),
    "irq/s": lambda queue, rate: (-rate.irqs,),
    "p/poll": lambda queue, rate: (-rate.packets / rate.polls if rate.polls else 0,),
    "pkt/s": lambda queue, rate: (-rate.packets,),
    "drop": lambda queue, rate: (-rate.drops,),
}
"""Columns that the lines can be sorted by, the most first."""


def queue_order(snapshot: Snapshot, rates: Rates, view: View) -> list[int]:
    """Queues in the order in which they are listed."""
    key = SORTS[view.queue_sort]
    order = list(range(len(snapshot.queues)))
    order.sort(key=lambda i: (key(snapshot.queues[i], rates.queues[i]), i), reverse=view.inverted)
    return order


def _row(queue: QueueStatistics, rate: QueueRates, rates: Rates, wide: bool) -> Text:
    per_second = rates.per_second
    per_poll = f"{rate.packets / rate.polls:.1f}" if rate.polls else "-"
    gro = f"{rate.packets / rate.skbs:.1f}" if rate.skbs else "-"
    full = queue.ring_size > 0 and queue.ring_fill >= queue.ring_size
    tail: list[tuple[str, str]] = []
    if wide:
        tail = [
            (f"{si(per_second(rate.packets)):>7}", ""),
            (f"{si(per_second(rate.drops)):>7}", TROUBLE if rate.drops else ""),
        ]
    return line(
        ("*", TROUBLE) if rate.drops else " ",
        f"rx-{queue.index:<3} ",
        (gauge(queue.ring_fill, queue.ring_size, 8 if wide else 7), TROUBLE if full else ""),
        f"{f'{queue.ring_fill}/{queue.ring_size}':>10}{queue.irq:>4}{queue.cpu:>4}",
        f"{si(per_second(rate.irqs)):>6}{per_poll:>7}{gro:>5} ",
        (f"{mode(queue):<10}", WARNING if queue.polling else ""),
        *tail,
    )


def lines_wanted(snapshot: Snapshot) -> int:
    """Lines of the whole panel."""
    return 2 + len(snapshot.queues)


def queue_panel(snapshot: Snapshot, rates: Rates, view: View, width: int, lines: int) -> list[Text]:
    """At most `lines` lines of at most `width` cells."""
    order = queue_order(snapshot, rates, view)
    wide = width >= WIDTH
    note = f"sort: {view.queue_sort} {'^' if view.inverted else 'v'}"
    heading = " q      ring            fill irq>cpu irq/s p/poll  gro mode         pkt/s   drop"
    if not wide:
        heading = " q      ring           fill irq>cpu irq/s p/poll  gro mode"
    panel = [
        rule(
            "2 QUEUES" + place(view, 2, len(order)),
            width,
            f"POLL: vector masked, {note}" if wide else note,
            view.unicode,
            view.panel == 2,
        ),
        line((heading, HEADING)),
    ][: max(lines, 0)]
    panel += first_lines(
        order,
        lines - len(panel),
        lambda i: _row(snapshot.queues[i], rates.queues[i], rates, wide),
        lambda missing: f"and {missing} queues" + " in less trouble" * (view.queue_sort == "trouble"),
        min(view.row, len(order) - 1) if view.panel == 2 else -1,
    )
    return [cut(text, width) for text in panel]
