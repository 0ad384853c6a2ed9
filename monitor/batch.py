"""Batch lines: one line an interval of virtual time, for an output that is no terminal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from monitor.cpu_row import shares
from monitor.header import conserved_parts
from monitor.numbers import clock, duration, per_second_parts
from monitor.rates import Rates, delta
from monitor.snapshot import Snapshot
from monitor.summary import summary

HEADER: Final = (
    "           time        in/s       out/s      drop/s      held/s  sqz/s budget   time   %hi  %si %app %idl"
    "   p50   p99"
)


def batch_line(snapshot: Snapshot, rates: Rates) -> str:
    """The columns of `HEADER`. in = out + drop + held, sqz = budget + time; shares of all CPUs, percentiles of the whole run."""
    arrived, out, dropped, held = conserved_parts(rates)
    budget, time = per_second_parts([rates.squeeze_budget, rates.squeeze_time], rates.interval_ns)
    of_all = [sum(cpu.parts_ns[account] for cpu in rates.cpus) for account in range(5)]
    wait = snapshot.whole_way()
    known = wait is not None and wait.count > 0
    p50, p99 = (duration(wait.p50_ns), duration(wait.p99_ns)) if wait is not None and known else ("-", "-")
    return (
        f"{clock(snapshot.meta.now_ns)} {arrived:11} {out:11} {dropped:11} {held:11} {budget + time:6} {budget:6} {time:6} "
        f"{''.join(shares(of_all))} {p50:>5} {p99:>5}"
    )


class BatchWriter:
    """Writes the lines of one run. `write` gets whole lines, each with its newline."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write
        self._last: Snapshot | None = None

    def interval(self, snapshot: Snapshot) -> None:
        """One more interval ended; the header goes before the first line. No time since the last line: no line."""
        if self._last is None:
            self._write(HEADER + "\n")
        elif self._last.meta.now_ns == snapshot.meta.now_ns:
            return
        self._write(batch_line(snapshot, delta(self._last, snapshot)) + "\n")
        self._last = snapshot

    def end(self, snapshot: Snapshot) -> None:
        """The run ended: the last, shorter interval, and the summary."""
        self.interval(snapshot)
        self._write("\n" + summary(snapshot))
