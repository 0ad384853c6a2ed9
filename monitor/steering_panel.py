"""The steering matrix: of each queue's skbs, the share that each CPU got; `i` marks the CPU that takes the interrupt, `!` another node.

Shares are rounded so that a queue's add up to 100; `.` is none, `<1` less than half a percent.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final

from rich.text import Text

from monitor.lines import FAINT, HEADING, TROUBLE, WARNING, View, cut, first_lines, line, rule
from monitor.numbers import portions
from monitor.queue_panel import queue_order
from monitor.rates import Rates
from monitor.snapshot import Snapshot
from monitor.steering import Steering

_CELL: Final = 5
_LABEL: Final = 8


def percents(row: Steering) -> dict[int, int]:
    """CPU -> share of the queue's skbs in percent; they add up to 100 unless the queue had none."""
    cpus = sorted(row.to)
    return dict(zip(cpus, portions([row.to[cpu] for cpu in cpus], 100), strict=True))


def lines_wanted(snapshot: Snapshot) -> int:
    """Lines of the whole panel."""
    return 2 + len(snapshot.queues)


def steering_panel(snapshot: Snapshot, rates: Rates, view: View, width: int, lines: int) -> list[Text]:
    """At most `lines` lines of at most `width` cells; the queues stand in the order of the queue panel."""
    order = queue_order(snapshot, rates, view)
    nodes = [snapshot.cpus[i].node for i in range(len(snapshot.cpus))]
    breaks = sum(a != b for a, b in pairwise(nodes))
    matrix = _LABEL + _CELL * len(snapshot.cpus) + 2 * breaks <= width
    heading = " q      " + (_names(snapshot) if matrix else "its CPUs, the largest share first")
    panel = [
        rule("3 STEERING", width, "% of skbs, i: IRQ cpu, !: other node", view.unicode, view.panel == 3),
        line((heading, HEADING)),
    ][: max(lines, 0)]

    def draw(index: int) -> Text:
        return _columns(snapshot, rates, index) if matrix else _shares(snapshot, rates, index, width)

    panel += first_lines(
        order,
        lines - len(panel),
        draw,
        lambda missing: f"and {missing} queues",
        min(view.row, len(order) - 1) if view.panel in (2, 3) else -1,
    )
    return [cut(text, width) for text in panel]


def _names(snapshot: Snapshot) -> str:
    words = ""
    for cpu in snapshot.cpus:
        words += _gap(snapshot, cpu.index) + f"{f'c{cpu.index}':>{_CELL}}"
    return words


def _gap(snapshot: Snapshot, cpu: int) -> str:
    return " |" if cpu and snapshot.cpus[cpu].node != snapshot.cpus[cpu - 1].node else ""


def _cell(snapshot: Snapshot, rates: Rates, queue: int, cpu: int, percent: int) -> tuple[str, str]:
    """The mark, the share and the style of one place of the matrix."""
    taker = snapshot.queues[queue].cpu
    skbs = rates.queues[queue].steering.to.get(cpu, 0)
    crosses = skbs and snapshot.cpus[cpu].node != snapshot.cpus[taker].node
    mark = "i" if cpu == taker else "!" if crosses else " "
    share = str(percent) if percent else "<1" if skbs else "."
    return f"{mark}{share:>3}", TROUBLE if crosses else "" if skbs else FAINT


def _columns(snapshot: Snapshot, rates: Rates, queue: int) -> Text:
    row = rates.queues[queue].steering
    shares = percents(row)
    parts: list[tuple[str, str]] = [(f" rx-{queue:<4}", "")]
    for cpu in snapshot.cpus:
        words, style = _cell(snapshot, rates, queue, cpu.index, shares.get(cpu.index, 0))
        parts += [(_gap(snapshot, cpu.index), FAINT), (" " * (_CELL - len(words)), ""), (words, style)]
    return line(*parts)


def _shares(snapshot: Snapshot, rates: Rates, queue: int, width: int) -> Text:
    """For many CPUs: those that got something, the largest share first, as many as fit."""
    shares = percents(rates.queues[queue].steering)
    taker = snapshot.queues[queue].cpu
    text = line(f" rx-{queue:<4} i c{taker:<4}")
    order = sorted(shares, key=lambda cpu: (-shares[cpu], cpu))
    for number, cpu in enumerate(order):
        words, style = _cell(snapshot, rates, queue, cpu, shares[cpu])
        part = f"  {words[0].replace('i', ' ').strip()}c{cpu} {words[1:].strip()}%"
        left = f"  and {len(order) - number} more"
        if len(text.plain) + len(part) + (len(left) if number + 1 < len(order) else 0) > width:
            text.append(left, WARNING)
            break
        text.append(part, style or None)
    return text
