"""The comparison side by side, as text: A, B, their difference and its interval, in 80 columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from monitor.lines import plain
from monitor.numbers import duration, si
from monitor.summary import table
from scenarios.study.figures import ALL_CPUS, BUSIEST, LATENCY
from scenarios.study.paired import Paired
from scenarios.study.verdict import is_visible, value

MAX_CPUS: Final = 24
"""CPUs in the table: those with most to do in A or B."""
MAX_CPUS_IN_PARTS: Final = 8
"""CPUs whose time is shown account by account; of more CPUs the sum is enough to read."""
LEAST_BUSY_PERCENT: Final = 0.05

_SECTIONS: Final = (
    ("Frames", ("offered", "read", "read data", "consumed", "dropped", "lost"), ""),
    ("Drops by reason", (), "drops/"),
    ("Squeezes", (), "squeezes/"),
    ("Interrupts", (), "interrupts/"),
)


def side_by_side(paired: Sequence[Paired]) -> list[str]:
    """The sections of the table, line by line; figures that are 0 in both are left out."""
    lines: list[str] = []
    for title, names, prefix in _SECTIONS:
        figures = [figure for figure in paired if figure.name in names or (prefix and figure.name.startswith(prefix))]
        rows = [_row(figure.name.removeprefix(prefix), figure) for figure in figures if figure.a or figure.b]
        lines += _section(title, rows)
    lines += _cpus(paired)
    rows = [
        _row(figure.name.removeprefix(f"{LATENCY}/").replace("/", " "), figure)
        for figure in paired
        if figure.name.startswith(f"{LATENCY}/") and (figure.a is not None or figure.b is not None)
    ]
    return lines + _section("Waits (percentiles are upper bounds of bins, in steps of at most 6.25%)", rows)


def _section(title: str, rows: list[list[str]]) -> list[str]:
    if not rows:
        return []
    return ["", title, *(line.rstrip() for line in table([["", "A", "B", "B - A", "95% interval", ""], *rows]))]


def _cpus(paired: Sequence[Paired]) -> list[str]:
    busy = [figure for figure in paired if figure.name.startswith("cpu") and figure.name.endswith("/busy")]
    working = [figure for figure in busy if max(figure.a or 0, figure.b or 0) >= LEAST_BUSY_PERCENT]
    shown = sorted(working, key=lambda figure: -max(figure.a or 0, figure.b or 0))[:MAX_CPUS]
    rows = []
    by = {figure.name: figure for figure in paired}
    for figure in busy:
        if figure in shown:
            cpu = figure.name.partition("/")[0]
            rows.append(_row(f"{cpu} busy", figure))
            rows += [
                _row(f"  {account}", by[f"{cpu}/{account}"])
                for account in ("hardirq", "softirq", "ksoftirqd", "application")
                if len(shown) <= MAX_CPUS_IN_PARTS
                and max(by[f"{cpu}/{account}"].a or 0, by[f"{cpu}/{account}"].b or 0) >= LEAST_BUSY_PERCENT
            ]
    if len(shown) > 1:
        rows[:0] = [_row(name, by[f"{name}/busy"]) for name in (ALL_CPUS, BUSIEST)]
    lines = _section("CPUs, share of their time", rows)
    left = len(busy) - len(shown)
    if lines and left:
        lines.append(f"  ({left} more {'did less' if len(working) > len(shown) else 'did nothing'})")
    return lines


def _row(name: str, figure: Paired) -> list[str]:
    return [
        plain(name),
        value(figure, figure.a),
        value(figure, figure.b),
        _change(figure, figure.difference),
        _interval(figure),
        _word(figure),
    ]


def _interval(figure: Paired) -> str:
    if figure.difference is None or figure.low is None or figure.high is None:
        return ""
    if figure.same_in_every_seed:
        return "same in every seed"
    if figure.proven and not figure.b:
        return "gone in every seed"
    return f"{_change(figure, figure.low)} .. {_change(figure, figure.high)}"


def _change(figure: Paired, amount: float | None) -> str:
    """A difference with its sign: in per cent of A, but in points for shares, and in its own unit where A has nothing."""
    if amount is None:
        return ""
    if amount == 0:
        return "0"
    sign = "+" if amount > 0 else "-"
    if figure.unit == "%":
        return f"{sign}{abs(amount):.1f}"
    if figure.a:
        percent = 100 * abs(amount) / figure.a
        return f"{sign}{percent:.1f}%" if percent < 999.5 else f"{sign}{si(percent)}%"
    return f"{sign}{duration(abs(amount)) if figure.unit == 'ns' else si(abs(amount))}"


def _word(figure: Paired) -> str:
    if not is_visible(figure):
        return ""
    if figure.is_better:
        return "better"
    if figure.is_worse:
        return "worse"
    return ""
