"""One line of the CPU panel: the bar, the shares that add up to 100, the counters; for a CPU or for a whole node.

The names of the columns are the kernel's or mpstat's: %si holds softirqs and ksoftirqd, `b/t` splits the squeezes of the interval into
budget and time, `rps` counts wake-ups received by IPI.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rich.text import Text

from monitor.lines import HEADING, TROUBLE, line
from monitor.numbers import per_second_parts, portions, si
from monitor.rates import CpuRates, Rates
from monitor.snapshot import CpuStatistics

_LETTERS: Final = ("h", "s", "k", "a", ".")
_STYLES: Final = ("magenta", "red", "yellow", "green", "dim")


@dataclass(frozen=True, slots=True)
class Columns:
    """Widths that follow from the width of the screen."""

    bar: int
    note: int
    wide: bool

    @classmethod
    def of(cls, width: int) -> Columns:
        """The wide form has squeezes, IPIs and notes of their own and begins at 110 cells."""
        if width >= 110:
            bar = min(15 + (width - 110) // 5, 40)
            return cls(bar, max(width - 85 - bar, 0), True)
        return cls(max(width - 70, 4), 0, False)


def shares(parts_ns: Sequence[int]) -> tuple[str, str, str, str]:
    """%hi %si %app %idl in 5 cells each, adding up to exactly 100; dashes when no time passed."""
    hardirq, softirq, ksoftirqd, application, idle = parts_ns
    if not hardirq + softirq + ksoftirqd + application + idle:
        return ("    -", "    -", "    -", "    -")
    tenths = portions([hardirq, softirq + ksoftirqd, application, idle], 1000)
    hi, si_, app, idl = ("  100" if t == 1000 else f"{t // 10:3}.{t % 10}" for t in tenths)
    return hi, si_, app, idl


def squeezes(rates: Rates, budget: int, time: int) -> tuple[str, str]:
    """Squeezes a second, and by budget/time; below ten a second with tenths, so that the parts add up as shown."""
    scale = 10 if rates.per_second(budget + time) < 9.95 else 1
    by_budget, by_time = per_second_parts([budget, time], rates.interval_ns, scale)
    if not by_budget + by_time:
        return (si(rates.per_second(budget + time)), "-") if budget + time else ("0", "-")
    return si((by_budget + by_time) / scale), f"{si(by_budget / scale, 2)}/{si(by_time / scale, 2)}"


def in_trouble(rate: CpuRates) -> bool:
    """Its backlog or a ring that it has to empty lost packets, or net_rx_action stopped with work left."""
    return bool(rate.dropped or rate.ring_drops or rate.squeeze_with_work_left)


def trouble_key(cpu: CpuStatistics, rate: CpuRates) -> tuple[bool, int, int, int, int, int]:
    """Sorts the most troubled first, those with a star before all others. Magnitudes, not values, so that lines do not
    change places for nothing."""
    return (
        not in_trouble(rate),
        -(rate.dropped + rate.ring_drops + 1).bit_length(),
        -(rate.squeezes + 1).bit_length(),
        -int(cpu.ksoftirqd_running),
        -int(rate.busy * 5),
        cpu.index,
    )


def heading(columns: Columns, first: str = " cpu nd") -> Text:
    """The names of the columns."""
    load = "load".ljust(columns.bar + 2)
    if columns.wide:
        tail = "   proc   drop   sqz       b/t    rps   ipi>   qlen ks note"
    else:
        tail = "  proc  drop       b/t   rps qlen k"
    return line((f"{first} {load}  %hi  %si %app %idl{tail}", HEADING))


def row(
    rates: Rates,
    rate: CpuRates,
    columns: Columns,
    label: str,
    qlen: int,
    ksoftirqd: str,
    note: Text | None,
    star: bool,
    online: bool = True,
) -> Text:
    """One line; `label` has 7 cells, the first of them is the star's. The bar of a CPU that is not online says so."""
    bar = [
        (letter * cells, style)
        for cells, letter, style in zip(portions(rate.parts_ns, columns.bar), _LETTERS, _STYLES, strict=True)
    ]
    if not online:
        bar = [("offline"[: columns.bar].ljust(columns.bar), "")]
    elif not any(rate.parts_ns):
        bar = [(" " * columns.bar, "")]
    sqz, by_cause = squeezes(rates, rate.squeeze_budget, rate.squeeze_time)
    per_second = rates.per_second
    processed, dropped = si(per_second(rate.processed)), si(per_second(rate.dropped))
    head = [("*" if star else " ", TROUBLE), (label[1:], ""), (" [", ""), *bar, ("]", "")]
    lost = TROUBLE if rate.dropped else ""
    figures = "".join(shares(rate.parts_ns))
    if not columns.wide:
        return line(
            *head,
            f"{figures}{processed:>6}",
            (f"{dropped:>6}", lost),
            f"{by_cause:>10}{si(per_second(rate.received_rps)):>6}{si(qlen, 2):>5} {ksoftirqd}",
        )
    text = line(
        *head,
        f"{figures}{processed:>7}",
        (f"{dropped:>7}", lost),
        f"{sqz:>6}{by_cause:>10}{si(per_second(rate.received_rps)):>7}{si(per_second(rate.ipis_sent)):>7}"
        f"{qlen if qlen < 1_000_000 else si(qlen):>7} {ksoftirqd:<2} ",
    )
    if note is not None:
        text.append_text(note)
    return text
