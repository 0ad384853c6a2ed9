"""Many CPUs folded: one line a NUMA node, and a heat row of one cell a CPU."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from typing import Final

from rich.text import Text

from monitor.cpu_row import Columns, in_trouble, row
from monitor.lines import FAINT, TROUBLE, View, line
from monitor.rates import CpuRates, Rates, together
from monitor.snapshot import CpuStatistics, Snapshot

_CELLS: Final = 64
_LABEL: Final = 12
"""Cells of a heat row beside those of its CPUs."""


def heat_lines_wanted(snapshot: Snapshot) -> int:
    """Lines for all nodes and all heat rows."""
    return sum(1 + -(-len(members) // _CELLS) for members in _nodes(snapshot).values())


def heat_lines_least(snapshot: Snapshot) -> int:
    """Lines for the heat alone, on a screen of 80 columns."""
    used, lines = 80, 0
    for members in _nodes(snapshot).values():
        for at in range(0, len(members), _CELLS):
            cells = min(len(members) - at, _CELLS) + _LABEL
            lines, used = (lines + 1, cells) if used + cells > 80 else (lines, used + cells)
    return lines


def heat_lines(snapshot: Snapshot, rates: Rates, view: View, columns: Columns, lines: int) -> list[Text]:
    """At most `lines` lines: node by node its sums and its heat; only the heat if there is no room for both."""
    sums = heat_lines_wanted(snapshot) + 4 <= lines
    drawn: list[Text] = []
    for node, members in _nodes(snapshot).items():
        if sums:
            drawn.append(_node_line(snapshot, rates, columns, node, members))
        for at in range(0, len(members), _CELLS):
            heat = _heat_row([snapshot.cpus[i] for i in members[at : at + _CELLS]], rates)
            if not sums and drawn and len(drawn[-1].plain) + len(heat.plain) <= view.width:
                drawn[-1].append_text(heat)
            else:
                drawn.append(heat)
    if len(drawn) > lines > 0:
        missing = len(drawn) - lines + 1
        drawn[lines - 1 :] = [line((f" and {missing} rows of CPUs: more lines would show them", FAINT))]
    return drawn[: max(lines, 0)]


def heat_cell(cpu: CpuStatistics, rate: CpuRates) -> tuple[str, str]:
    """One character and its style: `!` in trouble, `x` offline, else how busy: `.` under 5 %, then tenths `1`..`9`, `#` from 95 %."""
    if not cpu.online:
        return "x", FAINT
    if in_trouble(rate):
        return "!", TROUBLE
    tenth = int(rate.busy * 10 + 0.5)
    if tenth == 0:
        return ".", FAINT
    return ("#" if tenth >= 10 else str(tenth)), ("green", "yellow", "red")[min(tenth // 4, 2)]


def _nodes(snapshot: Snapshot) -> Mapping[int, list[int]]:
    return _members(tuple([cpu.node for cpu in snapshot.cpus]))


@lru_cache(maxsize=16)
def _members(nodes: tuple[int, ...]) -> Mapping[int, list[int]]:
    """Node -> its CPUs, of the node of each CPU."""
    return {node: [cpu for cpu, at in enumerate(nodes) if at == node] for node in sorted(set(nodes))}


def _heat_row(cpus: list[CpuStatistics], rates: Rates) -> Text:
    label = f" {f'{cpus[0].index}-{cpus[-1].index}':>8} |"
    cells = [heat_cell(cpu, rates.cpus[cpu.index]) for cpu in cpus]
    runs = [("".join([words for words, _ in run]), style) for style, run in groupby(cells, key=itemgetter(1))]
    return line(label, *runs, "|")


def _node_line(snapshot: Snapshot, rates: Rates, columns: Columns, node: int, members: list[int]) -> Text:
    of = [rates.cpus[i] for i in members]
    cpus = [snapshot.cpus[i] for i in members]
    qlen = sum([cpu.input_qlen + cpu.process_qlen for cpu in cpus])
    running = sum([cpu.ksoftirqd_running for cpu in cpus])
    troubled = sum([in_trouble(rate) for rate in of])
    note = line((f"{troubled} in trouble", TROUBLE) if troubled else "")
    return row(
        rates,
        together(of),
        columns,
        f" node{node}"[:7].ljust(7),
        qlen,
        str(running) if running else "-",
        note,
        troubled > 0,
    )
