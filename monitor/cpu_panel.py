"""The CPU panel: one line a CPU, the most troubled first; above 16 CPUs nodes and a heat row (`monitor.cpu_heat`)."""

from __future__ import annotations

from typing import Final

from rich.text import Text

from monitor.cpu_heat import heat_lines, heat_lines_least, heat_lines_wanted
from monitor.cpu_row import Columns, heading, in_trouble, row, trouble_key
from monitor.lines import FAINT, TROUBLE, View, cut, first_lines, line, plain, rule
from monitor.rates import CpuRates, Rates
from monitor.snapshot import CpuStatistics, Snapshot

FOLD_ABOVE: Final = 16
"""With more CPUs than this, nodes and heat rows come first."""


def _note(snapshot: Snapshot, cpu: CpuStatistics, rate: CpuRates, width: int, unicode: bool) -> Text:
    vectors = [queue.index for queue in snapshot.queues if queue.cpu == cpu.index]
    text = line()
    if not cpu.online:
        text.append("offline", FAINT)
    elif rate.flow_limit_count:
        text.append("flow limit", TROUBLE)
    elif rate.dropped:
        text.append("backlog full", TROUBLE)
    elif vectors:
        text.append(f"IRQ {_ranges(vectors)}")
    elif cpu.current and not cpu.current.startswith("ksoftirqd"):
        text.append(f"app {plain(cpu.current, unicode=unicode)}")
    elif not rate.busy and not cpu.processed:
        text.append("unused", FAINT)
    return cut(text, width)


def _ranges(vectors: list[int]) -> str:
    """Rising queue numbers as `rx-0..3,5`."""
    spans: list[list[int]] = []
    for number in vectors:
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return "rx-" + ",".join(str(a) if a == b else f"{a}..{b}" for a, b in spans)


def cpu_row(snapshot: Snapshot, rates: Rates, index: int, columns: Columns, unicode: bool) -> Text:
    """The line of CPU `index`."""
    cpu, rate = snapshot.cpus[index], rates.cpus[index]
    text = row(
        rates,
        rate,
        columns,
        f" {cpu.index:>3} {cpu.node:>2}",
        cpu.input_qlen + cpu.process_qlen,
        "R" if cpu.ksoftirqd_running else "-",
        _note(snapshot, cpu, rate, columns.note, unicode) if columns.note else None,
        in_trouble(rate),
    )
    if not cpu.online:
        text.stylize(FAINT)
    return text


def least_lines(snapshot: Snapshot) -> int:
    """Lines below which the panel would say too little."""
    return 6 if len(snapshot.cpus) <= FOLD_ABOVE else 5 + heat_lines_least(snapshot)


def lines_wanted(snapshot: Snapshot) -> int:
    """Lines of the whole panel with every CPU listed."""
    folded = heat_lines_wanted(snapshot) if len(snapshot.cpus) > FOLD_ABOVE else 0
    return 2 + folded + len(snapshot.cpus)


def cpu_panel(snapshot: Snapshot, rates: Rates, view: View, lines: int) -> list[Text]:
    """At most `lines` lines: title, names of columns, nodes and heat if folded, then CPUs by trouble."""
    columns = Columns.of(view.width)
    order = sorted(range(len(snapshot.cpus)), key=lambda i: trouble_key(snapshot.cpus[i], rates.cpus[i]))
    panel = [
        rule("CPU", view.width, "h hardirq  s softirq  k ksoftirqd  a app  . idle, per second", view.unicode),
        heading(columns),
    ][: max(lines, 0)]
    if len(snapshot.cpus) > FOLD_ABOVE:
        panel += heat_lines(snapshot, rates, view, columns, lines - len(panel))
    panel += first_lines(
        order,
        lines - len(panel),
        lambda index: cpu_row(snapshot, rates, index, columns, view.unicode),
        lambda missing: f"and {missing} CPUs in less trouble",
    )
    return panel
