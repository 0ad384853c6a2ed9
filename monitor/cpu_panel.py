"""The CPU panel: one line a CPU, the most troubled first; above 16 CPUs nodes and a heat row (`monitor.cpu_heat`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from rich.text import Text

from monitor.cpu_heat import heat_lines, heat_lines_least, heat_lines_wanted
from monitor.cpu_note import Residents, note
from monitor.cpu_row import Columns, heading, in_trouble, row, trouble_key
from monitor.lines import FAINT, TROUBLE, View, cut, cut_visibly, first_lines, gauge, line, place, rule
from monitor.numbers import si
from monitor.rates import CpuRates, Rates
from monitor.snapshot import CpuStatistics, Snapshot

FOLD_ABOVE: Final = 16
"""With more CPUs than this, nodes and heat rows come first."""

SORTS: Final[Mapping[str, Callable[[CpuStatistics, CpuRates], tuple[float, ...]]]] = {
    "trouble": trouble_key,
    "cpu": lambda cpu, rate: (cpu.index,),
    "load": lambda cpu, rate: (-rate.busy,),
    "proc": lambda cpu, rate: (-rate.processed,),
    "drop": lambda cpu, rate: (-rate.dropped,),
    "sqz": lambda cpu, rate: (-rate.squeezes,),
    "rps": lambda cpu, rate: (-rate.received_rps,),
    "ipi>": lambda cpu, rate: (-rate.ipis_sent,),
    "qlen": lambda cpu, rate: (-cpu.input_qlen - cpu.process_qlen,),
}
"""Columns that the lines can be sorted by, the most first."""


def folded(snapshot: Snapshot, view: View) -> bool:
    """Whether nodes and a heat row come first."""
    return len(snapshot.cpus) > FOLD_ABOVE if view.map is None else view.map


def cpu_order(snapshot: Snapshot, rates: Rates, view: View) -> list[int]:
    """CPUs in the order in which they are listed."""
    key = SORTS[view.cpu_sort]
    shown = [cpu.index for cpu in snapshot.cpus if view.node is None or cpu.node == view.node]
    shown.sort(key=lambda i: (key(snapshot.cpus[i], rates.cpus[i]), i), reverse=view.inverted)
    return shown


def cpu_row(
    snapshot: Snapshot, rates: Rates, residents: Residents, index: int, columns: Columns, unicode: bool
) -> Text:
    """The line of CPU `index`."""
    cpu, rate = snapshot.cpus[index], rates.cpus[index]
    text = row(
        rates,
        rate,
        columns,
        f" {cpu.index:>3} {cpu.node:>2}",
        cpu.input_qlen + cpu.process_qlen,
        "R" if cpu.ksoftirqd_running else "-",
        cut_visibly(note(snapshot, rates, residents, index, unicode), columns.note) if columns.note else None,
        in_trouble(rate),
        cpu.online,
    )
    if not cpu.online:
        text.stylize(FAINT)
    return text


def least_lines(snapshot: Snapshot, view: View) -> int:
    """Lines below which the panel would say too little."""
    return (5 + heat_lines_least(snapshot)) if folded(snapshot, view) else 6


def lines_wanted(snapshot: Snapshot, view: View) -> int:
    """Lines of the whole panel with every CPU listed."""
    above = heat_lines_wanted(snapshot) if folded(snapshot, view) else 0
    listed = sum(view.node is None or cpu.node == view.node for cpu in snapshot.cpus)
    return 2 + above + listed + bool(_nodes(snapshot))


def cpu_panel(snapshot: Snapshot, rates: Rates, view: View, lines: int) -> list[Text]:
    """At most `lines` lines: title, names of columns, nodes and heat if folded, CPUs in order, what crosses nodes."""
    columns = Columns.of(view.width)
    order = cpu_order(snapshot, rates, view)
    way = "^" if view.inverted else "v"
    where = "" if view.node is None else f"node{view.node}, "
    note = f"{where}per second, sort: {view.cpu_sort} {way}"
    legend = "h hardirq  s softirq  k ksoftirqd  a app  . idle"
    if view.width >= len(legend) + len(note) + 20:
        note = f"{legend}, {note}"
    panel = [
        rule("1 CPU" + place(view, 1, len(order)), view.width, note, view.unicode, view.panel == 1),
        heading(columns),
    ][: max(lines, 0)]
    if folded(snapshot, view):
        panel += heat_lines(snapshot, rates, view, columns, lines - len(panel))
    nodes = _nodes(snapshot)
    residents = Residents(snapshot)
    foot = [] if not nodes or lines - len(panel) < 4 else [_node_line(snapshot, rates, view, nodes)]
    panel += first_lines(
        order,
        lines - len(panel) - len(foot),
        lambda index: cpu_row(snapshot, rates, residents, index, columns, view.unicode),
        lambda missing: f"and {missing} CPUs in less trouble" if view.cpu_sort == "trouble" else f"and {missing} CPUs",
        min(view.row, len(order) - 1) if view.panel == 1 else -1,
    )
    return panel + foot


def _nodes(snapshot: Snapshot) -> list[int]:
    """The nodes, if there are several."""
    nodes = sorted({cpu.node for cpu in snapshot.cpus})
    return nodes if len(nodes) > 1 else []


def _node_line(snapshot: Snapshot, rates: Rates, view: View, nodes: list[int]) -> Text:
    """How busy each node is, what steering sent across, and what all CPUs processed."""
    crossed, skbs = rates.crossed_skbs, rates.steered_skbs
    processed = sum(rate.processed for rate in rates.cpus)
    text = line("")
    tail = f"  crossing nodes {100 * crossed / skbs if skbs else 0:.1f}% of skbs  {si(rates.per_second(processed))} skb/s processed"
    bar = min(max((view.width - len(tail)) // len(nodes) - 14, 4), 18)
    for node in nodes:
        members = [rates.cpus[cpu.index] for cpu in snapshot.cpus if cpu.node == node]
        whole = sum(sum(rate.parts_ns) for rate in members)
        idle = sum(rate.parts_ns[4] for rate in members)
        busy = whole - idle
        percent = f"{100 * busy / whole:.0f}%" if whole else "-"
        part = f" node{node} {gauge(busy, whole, bar)} {percent:>4}"
        if len(text.plain) + len(part) + len(tail) > view.width:
            break
        text.append(part)
    text.append(tail, TROUBLE if skbs and crossed * 2 > skbs else "")
    return cut(text, view.width)
