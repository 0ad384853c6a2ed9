"""All rules, asked in one order: troubles first, in each group where packets come by first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from monitor.rates import Rates
from monitor.snapshot import Snapshot
from monitor.why.backlogs import backlog_overflows, flow_limit_drops
from monitor.why.ends import gro_off, ksoftirqd_runs, no_socket, other_losses, socket_full
from monitor.why.finding import Finding
from monitor.why.interrupts import one_cpu_takes_all_interrupts, one_queue, unused_cpus
from monitor.why.rings import ring_full
from monitor.why.spread import crossing_nodes, elephant, rfs_half_set, uneven_steering
from monitor.why.squeezes import squeezes_by_budget, squeezes_by_time

Rule = Callable[[Snapshot, Rates], Finding | None]

RULES: Final[tuple[Rule, ...]] = (
    ring_full,
    backlog_overflows,
    flow_limit_drops,
    socket_full,
    no_socket,
    other_losses,
    elephant,
    uneven_steering,
    one_queue,
    one_cpu_takes_all_interrupts,
    squeezes_by_time,
    squeezes_by_budget,
    ksoftirqd_runs,
    unused_cpus,
    crossing_nodes,
    rfs_half_set,
    gro_off,
)


def findings(snapshot: Snapshot, rates: Rates) -> tuple[Finding, ...]:
    """What the interval's counters prove, troubles first. Empty before any time passed."""
    if not rates.interval_ns:
        return ()
    found = [finding for rule in RULES if (finding := rule(snapshot, rates)) is not None]
    if not any(finding.trouble for finding in found):
        found.insert(0, _quiet(rates))
    return tuple(sorted(found, key=lambda finding: not finding.trouble))


def _quiet(rates: Rates) -> Finding:
    left = rates.squeeze_with_work_left
    gained = rates.held_frames
    held = f"{abs(gained):,} {'more' if gained > 0 else 'fewer'} are held" if gained else "as many are held as before"
    return Finding(
        False,
        f"Nothing was lost: {rates.arrived_frames:,} frames came, {rates.out_frames:,} reached their end, {held}"
        f"{'' if left else '; no squeeze left work'}.",
        (
            f"in {rates.arrived_frames:,} = out {rates.out_frames:,} + dropped 0 + held {rates.held_frames:+,}",
            f"squeezes: {rates.squeeze_budget:,} by budget, {rates.squeeze_time:,} by time, {left:,} left work",
        ),
    )
