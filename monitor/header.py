"""The head of the screen: what runs, the conservation of frames as an equation, squeezes by cause, sparklines."""

from __future__ import annotations

from rich.cells import cell_len
from rich.text import Text

from monitor.history import Sample
from monitor.lines import FAINT, HEADING, TROUBLE, WARNING, View, cut, fit, line, plain
from monitor.numbers import clock, duration, per_second_parts, si
from monitor.rates import Rates
from monitor.snapshot import Meta, Snapshot
from monitor.sparkline import sparkline


def speed_words(meta: Meta) -> str:
    """`x0.25`, or `as fast as it goes` in short."""
    return "full speed" if meta.speed is None else f"x{meta.speed:g}"


def state_words(meta: Meta) -> str:
    """RUN, PAUSE or END."""
    return "END" if meta.finished else "PAUSE" if meta.paused else "RUN"


def identity_line(snapshot: Snapshot, view: View) -> Text:
    """Scenario, machine, rules, virtual clock."""
    meta = snapshot.meta
    state = state_words(meta)
    return fit(
        [
            (50, "softnet", HEADING),
            (80, plain(meta.scenario, unicode=view.unicode)[: max(view.width // 3, 12)], HEADING),
            (60, f"{plain(meta.nic, unicode=view.unicode)[:20]} {meta.queues}q {len(snapshot.cpus)}cpu", ""),
            (40, f"rules {plain(meta.rules)} HZ={meta.hz}", ""),
            (95, clock(meta.now_ns), HEADING),
            (70, speed_words(meta), ""),
            (99, state, WARNING if state == "PAUSE" else HEADING),
            (90, "open-loop TCP" if meta.open_loop_capture else "", WARNING),
            (30, f"seed {meta.seed}", ""),
            (20, "does not slow down" if meta.open_loop_capture else "", FAINT),
        ],
        view.width,
    )


def conserved_parts(rates: Rates) -> tuple[int, int, int, int]:
    """Frames a second in, out, dropped and newly held, rounded so that in = out + dropped + held."""
    out, dropped, held = per_second_parts(
        [rates.out_frames, rates.dropped_frames, rates.held_frames], rates.interval_ns
    )
    return out + dropped + held, out, dropped, held


def conservation_line(rates: Rates, width: int) -> Text:
    """IN = OUT + DROP + HELD, in whole frames a second: what adds up must be seen to add up, so nothing is abbreviated."""
    parts = conserved_parts(rates)
    words = [f" IN {{:{comma}}}/s = OUT {{:{comma}}} + DROP {{:{comma}}} + HELD {{:{comma}}}" for comma in (",", "")]
    equation = words[0].format(*parts)
    if len(equation) > width:
        equation = words[1].format(*parts)
    drop, held = equation.index("+ DROP"), equation.index(" + HELD")
    lost = TROUBLE if rates.dropped_frames else HEADING
    text = line((equation[:drop], HEADING), (equation[drop:held], lost), (equation[held:], HEADING))
    arrived, out = parts[:2]
    share = f" {100 * out / arrived:.1f}% out" if arrived else ""
    for more in (f" | {si(rates.per_second(rates.arrived_bytes * 8))}bit/s", share):
        if cell_len(text.plain) + len(more) > width:
            break
        text.append(more)
    return cut(text, width)


def squeeze_line(rates: Rates, width: int) -> Text:
    """Squeezes by cause, and the wait from wire to read."""
    budget, time = per_second_parts([rates.squeeze_budget, rates.squeeze_time], rates.interval_ns)
    style = WARNING if rates.squeeze_budget or rates.squeeze_time else ""
    wait = rates.whole_way()
    return fit(
        [
            (90, f"SQZ {budget + time:,}/s", style or HEADING),
            (80, f"= budget {budget:,} + time {time:,}", style),
            (20, f"({si(rates.per_second(rates.squeeze_with_work_left))} left work)", ""),
            (
                70,
                f"| wire to read p50 {duration(wait.p50_ns)} p99 {duration(wait.p99_ns)} p99.9 {duration(wait.p999_ns)}"
                if wait is not None
                else "| nothing read",
                "",
            ),
        ],
        width,
        gap=" ",
    )


def spark_line(samples: tuple[Sample, ...], view: View) -> Text:
    """Arrivals, drops, squeezes and p99 of the wait in the last steps, each to its own peak."""
    cells = max((view.width - 31) // 4, 4)
    shown = samples[-cells:]
    text = line()
    for label, values, style in (
        (" in ", [sample.arrived for sample in shown], "green"),
        (" drop ", [sample.dropped for sample in shown], "red"),
        (" sqz ", [sample.squeezes for sample in shown], "yellow"),
        (" p99 ", [sample.p99_ns for sample in shown], "cyan"),
    ):
        text.append(label)
        text.append(sparkline(values, cells, view.unicode), style)
    if len(shown) > 1:
        text.append(f"  {duration(shown[-1].now_ns - shown[0].now_ns)}", FAINT)
    return text


def header(snapshot: Snapshot, rates: Rates, samples: tuple[Sample, ...], view: View) -> list[Text]:
    """Four lines."""
    return [
        identity_line(snapshot, view),
        conservation_line(rates, view.width),
        squeeze_line(rates, view.width),
        spark_line(samples, view),
    ]
