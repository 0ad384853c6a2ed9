"""Why backlogs refuse: the queue's limit, or the flow limit (B2, F1)."""

from __future__ import annotations

from monitor.rates import Rates
from monitor.snapshot import Snapshot
from monitor.why.finding import Finding, knob, per_second, percent, sysctl

LIMIT = "net.core.netdev_max_backlog"


def backlog_overflows(snapshot: Snapshot, rates: Rates) -> Finding | None:
    """The CPU whose backlog refused most, where its length and not the flow limit was the reason."""
    refused = sum(rate.dropped for rate in rates.cpus)
    limited = sum(rate.flow_limit_count for rate in rates.cpus)
    by_length = rates.dropped.get("CPU_BACKLOG", 0) and refused - limited
    if by_length <= 0:
        return None
    worst = max(range(len(rates.cpus)), key=lambda i: rates.cpus[i].dropped)
    rate, cpu = rates.cpus[worst], snapshot.cpus[worst]
    limit = knob(snapshot, LIMIT, "?")
    others = sum(1 for other in rates.cpus if other.dropped) - 1
    more = f" ({others} other CPU{'s' * (others > 1)} refused too)" if others else ""
    if limited:
        return Finding(
            True,
            f"Backlogs refused {per_second(rates, by_length)} skbs/s at netdev_max_backlog {limit}, most on cpu{worst}{more}.",
            (
                f"softnet_stat dropped, all CPUs: {refused:,} in the interval; flow_limit_count: {limited:,}",
                f"cpu{worst} dropped: {rate.dropped:,}; busy {100 * rate.busy:.1f} %",
            ),
        )
    return Finding(
        True,
        f"cpu{worst} refused {per_second(rates, rate.dropped)} skbs/s at netdev_max_backlog {limit} "
        f"and was busy {100 * rate.busy:.0f} % of the time{more}.",
        (
            f"softnet_stat dropped, cpu{worst}: {rate.dropped:,} in the interval ({percent(rate.dropped, refused)} of all CPUs')",
            f"softnet_stat processed, cpu{worst}: {rate.processed:,}; flow_limit_count of all CPUs: {limited}",
            f"queued now: input_qlen {cpu.input_qlen}, process_qlen {cpu.process_qlen}; {LIMIT} = {limit}",
            f"frames dropped as CPU_BACKLOG, all CPUs: {rates.dropped.get('CPU_BACKLOG', 0):,}",
        ),
        ("" if _one_flow(rates, worst) else "more CPUs in rps_cpus, or RFS; ")
        + "a longer backlog takes a longer burst and adds its wait",
        (sysctl(LIMIT, str(int(limit) * 2)),) if limit.isdecimal() and rate.busy < 0.95 else (),
    )


def _one_flow(rates: Rates, cpu: int) -> bool:
    """Whether most that a queue sends to `cpu` is one flow: more CPUs cannot divide that."""
    return any(
        rate.top_flow is not None
        and rate.top_flow.share >= 0.5
        and rate.steering.to.get(cpu, 0) * 2 > rate.steering.skbs
        for rate in rates.queues
    )


def flow_limit_drops(snapshot: Snapshot, rates: Rates) -> Finding | None:
    """The CPU whose flow-limit table refused most; the counter is on the sender's row (Z7)."""
    limited = sum(rate.flow_limit_count for rate in rates.cpus)
    if not limited:
        return None
    worst = max(range(len(rates.cpus)), key=lambda i: rates.cpus[i].flow_limit_count)
    count = rates.cpus[worst].flow_limit_count
    return Finding(
        True,
        f"Flow limit of cpu{worst} kept {per_second(rates, count)} skbs/s of its largest flows out of backlogs more than half full.",
        (
            f"softnet_stat flow_limit_count, cpu{worst}: {count:,} in the interval; all CPUs: {limited:,}",
            f"softnet_stat dropped, all CPUs: {sum(rate.dropped for rate in rates.cpus):,}",
            f"net.core.flow_limit_cpu_bitmap = {knob(snapshot, 'net.core.flow_limit_cpu_bitmap')}",
            "a flow is limited when more than 64 of the last 128 packets are its own",
        ),
    )
