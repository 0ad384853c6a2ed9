"""Why net_rx_action stopped early: by time or by budget (N1-N4, Z1, Z2)."""

from __future__ import annotations

from monitor.rates import Rates
from monitor.snapshot import Snapshot
from monitor.why.finding import Finding, knob, sysctl

BUDGET = "net.core.netdev_budget"
USECS = "net.core.netdev_budget_usecs"


def squeezes_by_time(snapshot: Snapshot, rates: Rates) -> Finding | None:
    """The CPU with most squeezes by time, if time is what ended most of its squeezes."""
    worst = max(range(len(rates.cpus)), key=lambda i: rates.cpus[i].squeeze_time, default=-1)
    if worst < 0 or rates.cpus[worst].squeeze_time <= rates.cpus[worst].squeeze_budget:
        return None
    rate = rates.cpus[worst]
    usecs = knob(snapshot, USECS, "?")
    which = "The squeeze" if rate.squeezes == 1 else f"{rate.squeeze_time:,} of {rate.squeezes:,} squeezes"
    them = "it" if rate.squeezes == 1 else "them"
    return Finding(
        bool(rate.squeeze_with_work_left),
        f"{which} on cpu{worst} ended on {USECS.rpartition('.')[2]} {usecs}; a larger netdev_budget changes nothing about {them}.",
        _proof(snapshot, rates, worst),
        "a longer time lets NET_RX run longer at a stretch, and everything else on the CPU waits longer",
        (sysctl(USECS, str(int(usecs) * 2)),) if usecs.isdecimal() else (),
    )


def squeezes_by_budget(snapshot: Snapshot, rates: Rates) -> Finding | None:
    """The CPU with most squeezes by budget, if the budget is what ended most of its squeezes."""
    worst = max(range(len(rates.cpus)), key=lambda i: rates.cpus[i].squeeze_budget, default=-1)
    if (
        worst < 0
        or not rates.cpus[worst].squeeze_budget
        or (rates.cpus[worst].squeeze_time > rates.cpus[worst].squeeze_budget)
    ):
        return None
    rate = rates.cpus[worst]
    budget = knob(snapshot, BUDGET, "?")
    which = "The squeeze" if rate.squeezes == 1 else f"{rate.squeeze_budget:,} of {rate.squeezes:,} squeezes"
    return Finding(
        bool(rate.squeeze_with_work_left),
        f"{which} on cpu{worst} ended on netdev_budget {budget}: so many packets came before the time was up.",
        (
            *_proof(snapshot, rates, worst),
            f"a NAPI that stays full is polled once a round, for 64: a budget of {budget} takes "
            + (
                f"{max(-(-int(budget) // 64), 1)} of them, or NAPIs that come again"
                if budget.isdecimal()
                else "several"
            ),
        ),
        "a larger budget makes rounds longer; fewer queues on this CPU make them shorter",
        (sysctl(BUDGET, str(int(budget) * 2)),) if budget.isdecimal() else (),
    )


def _proof(snapshot: Snapshot, rates: Rates, index: int) -> tuple[str, ...]:
    rate = rates.cpus[index]
    return (
        f"softnet_stat time_squeeze, cpu{index}: {rate.squeezes:,} in the interval",
        f"  {rate.squeeze_budget:,} by budget + {rate.squeeze_time:,} by time; {rate.squeeze_with_work_left:,} left work behind",
        f"{BUDGET} = {knob(snapshot, BUDGET)}, {USECS} = {knob(snapshot, USECS)}, HZ = {snapshot.meta.hz}",
    )
