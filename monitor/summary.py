"""The words at the end of a run: everything that matters, in whole numbers, on any output."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from monitor.cpu_row import shares
from monitor.lines import plain
from monitor.numbers import clock, duration, si
from monitor.rates import delta
from monitor.snapshot import CpuStatistics, Snapshot
from monitor.why.findings import findings

COMMANDS_SHOWN: Final = 20

Rows = Sequence[Sequence[str]]


def table(rows: Rows) -> list[str]:
    """Rows of equal length as lines: the first column to the left, the others to the right; closer together if long."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    gap = "  " if sum(widths) + 2 * len(widths) <= 80 else " "
    return [
        "  "
        + row[0].ljust(widths[0])
        + "".join(gap + cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))
        for row in rows
    ]


def summary(snapshot: Snapshot) -> str:
    """The final text of a run, or of what there was of it; ends with a newline. No escape sequence, no colour."""
    meta = snapshot.meta
    lines = [
        f"{plain(meta.scenario)}: {'finished' if meta.finished else 'stopped'} at {clock(meta.now_ns)} of virtual time",
        f"  {plain(meta.nic)}, {meta.queues} queues, {len(snapshot.cpus)} CPUs, rules {plain(meta.rules)}, HZ={meta.hz}, seed {meta.seed}"
        + (f", settings {plain(meta.settings_hash)}" if meta.settings_hash else ""),
    ]
    if meta.open_loop_capture:
        lines.append("  Captured TCP is open-loop: its sender does not slow down, whatever is lost here.")
    idle = sum(not _worked(cpu) for cpu in snapshot.cpus)
    for title, rows in (
        ("Frames", _frames(snapshot)),
        ("Drops by reason", _drops(snapshot)),
        (f"CPUs ({idle} more did nothing)" if idle else "CPUs", _cpus(snapshot)),
        ("Queues", _queues(snapshot)),
        ("Waits of the whole run", _waits(snapshot)),
    ):
        if rows:
            lines += ["", title, *table(rows)]
        if title == "Frames" and snapshot.totals.consumed_frames:
            lines.append("  (consumed: by the kernel itself, as pure ACKs, handshakes, ARP and ICMP)")
    sentences = findings(snapshot, delta(None, snapshot))
    if sentences:
        lines += ["", "Why"]
        lines += [f"  {'!' if finding.trouble else 'i'} {plain(finding.text)}" for finding in sentences]
    changes = [done for done in snapshot.commands if not done.asked]
    if changes:
        shown = changes if len(changes) <= COMMANDS_SHOWN else changes[: COMMANDS_SHOWN - 1]
        lines += ["", "Commands", *(f"  {clock(done.at_ns)}  {plain(done.line)}" for done in shown)]
        if len(shown) < len(changes):
            lines.append(f"  and {len(changes) - len(shown)} more")
    if meta.command:
        live = sum(done.live for done in changes)
        without = f" (without {'the command' if live == 1 else f'the {live} commands'} given live)" if live else ""
        lines += ["", f"Again: {plain(meta.command)}{without}"]
    return "\n".join(lines) + "\n"


def _frames(snapshot: Snapshot) -> Rows:
    totals = snapshot.totals
    seconds = snapshot.meta.now_ns / 1e9
    ends = [
        ("arrived", totals.arrived_frames),
        ("= read", totals.read_frames),
        ("+ consumed", totals.consumed_frames),
        ("+ dropped", totals.dropped_frames),
        ("+ held", totals.held_frames),
    ]
    rows = [
        [
            name,
            f"{count:,}",
            f"{100 * count / totals.arrived_frames:.2f}%" if totals.arrived_frames else "-",
            f"{si(count / seconds)}/s" if seconds else "-",
        ]
        for name, count in ends
    ]
    bits = f"{si(totals.arrived_bytes * 8 / seconds)}bit/s" if seconds else "-"
    return [*rows, ["bytes arrived", f"{totals.arrived_bytes:,}", "", bits]]


def _drops(snapshot: Snapshot) -> Rows:
    dropped = snapshot.totals.dropped
    arrived = snapshot.totals.arrived_frames
    return [
        [plain(reason), f"{count:,}", f"{100 * count / arrived:.2f}%" if arrived else "-"]
        for reason, count in sorted(dropped.items(), key=lambda item: (-item[1], item[0]))
        if count
    ]


def _worked(cpu: CpuStatistics) -> bool:
    hardirq, softirq, ksoftirqd, application, _ = cpu.accounts.parts_ns()
    return bool(hardirq + softirq + ksoftirqd + application or cpu.processed or cpu.dropped)


_CPU_COUNTS: Final = ("proc", "drop", "sqz", "budget", "time", "left", "rps", "ipis", "flowlim", "qlen", "ksoftirqd")
_ALWAYS: Final = 3
"""So many of `_CPU_COUNTS` are shown in any case, the others if they are not 0 on all CPUs."""


def _cpus(snapshot: Snapshot) -> Rows:
    working = [cpu for cpu in snapshot.cpus if _worked(cpu)]
    if not working:
        return []
    counts = [
        (
            cpu.processed,
            cpu.dropped,
            cpu.time_squeeze,
            cpu.squeeze_budget,
            cpu.squeeze_time,
            cpu.squeeze_with_work_left,
            cpu.received_rps,
            cpu.ipis_sent,
            cpu.flow_limit_count,
            cpu.input_qlen + cpu.process_qlen,
            cpu.ksoftirqd_wakeups,
        )
        for cpu in working
    ]
    shown = [i for i in range(len(_CPU_COUNTS)) if i < _ALWAYS or any(row[i] for row in counts)]
    rows = [["cpu", "node", "%hi", "%si", "%app", "%idl", *(_CPU_COUNTS[i] for i in shown)]]
    for cpu, row in zip(working, counts, strict=True):
        name = f"cpu{cpu.index}" + ("" if cpu.online else " offline")
        percents = [share.strip() for share in shares(cpu.accounts.parts_ns())]
        rows.append([name, str(cpu.node), *percents, *(f"{row[i]:,}" for i in shown)])
    return rows


def _queues(snapshot: Snapshot) -> Rows:
    rows = [
        ["queue", "irq", "cpu", "interrupts", "polls", "frames", "frames/poll", "full polls", "gro", "ring", "drops"]
    ]
    for queue in snapshot.queues:
        rows.append(
            [
                f"rx-{queue.index}",
                str(queue.irq),
                str(queue.cpu),
                f"{queue.irqs:,}",
                f"{queue.polls:,}",
                f"{queue.packets:,}",
                f"{queue.packets / queue.polls:.1f}" if queue.polls else "-",
                f"{queue.full_polls:,}",
                f"{queue.packets / queue.skbs:.2f}" if queue.skbs else "-",
                f"{queue.ring_fill}/{queue.ring_size}",
                f"{queue.drops:,}",
            ]
        )
    return rows


def _waits(snapshot: Snapshot) -> Rows:
    rows = [["stage", "samples", "mean", "p50", "p90", "p99", "p99.9", "max"]]
    for late in snapshot.latencies:
        if late.count:
            spans = (late.sum_ns / late.count, late.p50_ns, late.p90_ns, late.p99_ns, late.p999_ns, late.max_ns)
            rows.append([plain(late.stage), f"{late.count:,}", *(duration(span) for span in spans)])
    return rows if len(rows) > 1 else []
