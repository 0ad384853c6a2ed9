"""Why packets end above the backlogs: full sockets, no socket, damage; and what else the CPU has to do."""

from __future__ import annotations

from monitor.flow import STAGES, stage_of_drop
from monitor.lines import plain
from monitor.rates import Rates
from monitor.snapshot import Snapshot
from monitor.why.finding import Finding, knob, per_second, percent

FULL_SOCKET = ("SOCKET_RCVBUFF", "SOCKET_BACKLOG", "PROTO_MEM", "TCP_ZEROWINDOW")
TOLD = ("CPU_BACKLOG", "NIC_RING_FULL", "NO_SOCKET", *FULL_SOCKET)
KSOFTIRQD = 0.2
RMEM = "net.core.rmem_default"


def socket_full(snapshot: Snapshot, rates: Rates) -> Finding | None:
    """Sockets that had no room left, with the one that lost most."""
    lost = {reason: rates.dropped.get(reason, 0) for reason in FULL_SOCKET}
    whole = sum(lost.values())
    if not whole:
        return None
    top = max(rates.socket_drops.items(), key=lambda item: item[1], default=("", 0))
    where = f", most at {plain(top[0])}" if top[1] else ""
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in lost.items() if count)
    rmem = knob(snapshot, RMEM)
    return Finding(
        True,
        f"Sockets had no room for {per_second(rates, whole)} frames/s ({percent(whole, rates.arrived_frames)} of what came){where}.",
        (
            f"frames dropped in the interval: {reasons}",
            *(f"skbs dropped at {plain(name)}: {count:,}" for name, count in rates.socket_drops.items() if count),
            f"{RMEM} = {rmem}; a socket may have asked for its own size, and TCP goes by tcp_rmem",
        )[:8],
        "readers that keep up; a larger buffer, which a socket gets when it is opened, takes a longer burst",
    )


def no_socket(snapshot: Snapshot, rates: Rates) -> Finding | None:
    """Packets for ports that nobody has opened."""
    count = rates.dropped.get("NO_SOCKET", 0)
    if not count:
        return None
    return Finding(
        True,
        f"{per_second(rates, count)} frames/s ({percent(count, rates.arrived_frames)} of what came) were for no open socket.",
        (
            f"frames dropped as NO_SOCKET: {count:,} in the interval",
            f"since the run began: Udp.NoPorts {snapshot.snmp.get('Udp.NoPorts', 0):,}, "
            f"Udp6NoPorts {snapshot.snmp.get('Udp6NoPorts', 0):,}",
        ),
    )


def other_losses(snapshot: Snapshot, rates: Rates) -> Finding | None:
    """The most frequent reason that no other rule speaks of."""
    others = {reason: count for reason, count in rates.dropped.items() if count and reason not in TOLD}
    if not others:
        return None
    reason, count = max(others.items(), key=lambda item: (item[1], item[0]))
    stage = stage_of_drop(reason)
    return Finding(
        True,
        f"{per_second(rates, count)} frames/s ({percent(count, rates.arrived_frames)} of what came) were dropped as {plain(reason)}, "
        f"between {stage} and {STAGES[STAGES.index(stage) + 1]}.",
        tuple(f"frames dropped as {plain(name)}: {n:,} in the interval" for name, n in sorted(others.items())[:8]),
    )


def ksoftirqd_runs(snapshot: Snapshot, rates: Rates) -> Finding | None:
    """The CPU on which ksoftirqd had most of the time: softirqs share it with processes by the scheduler's rules (S7)."""
    worst = max(range(len(rates.cpus)), key=lambda i: rates.cpus[i].parts_ns[2], default=-1)
    if worst < 0 or not rates.interval_ns:
        return None
    ran_ns = rates.cpus[worst].parts_ns[2]
    if ran_ns < KSOFTIRQD * rates.interval_ns:
        return None
    rate = rates.cpus[worst]
    app_ns = rate.parts_ns[3]
    beside = (
        f"; applications there had {percent(app_ns, rates.interval_ns)}" if app_ns * 1000 > rates.interval_ns else ""
    )
    return Finding(
        rate.busy > 0.99 and bool(rates.dropped_frames),
        f"ksoftirqd/{worst} ran {percent(ran_ns, rates.interval_ns)} of the time: softirqs of cpu{worst} were left to it{beside}.",
        (
            f"cpu{worst}: hardirq, softirq, ksoftirqd, application, idle in us: "
            + ", ".join(f"{part // 1000:,}" for part in rate.parts_ns),
            f"wake-ups of ksoftirqd/{worst} since the run began: {snapshot.cpus[worst].ksoftirqd_wakeups:,}",
        ),
    )


def gro_off(snapshot: Snapshot, rates: Rates) -> Finding | None:
    """The device hands up each frame as a packet of its own because GRO is off."""
    name = f"ethtool -K {snapshot.meta.nic} gro"
    packets = sum(rate.packets for rate in rates.queues)
    if knob(snapshot, name) != "off" or not packets:
        return None
    skbs = rates.steered_skbs
    return Finding(
        False,
        f"GRO is off: {per_second(rates, packets)} frames/s go up as {per_second(rates, skbs)} skbs/s, each through the whole stack.",
        (f"{name}: off", f"frames polled: {packets:,}, skbs handed over: {skbs:,} in the interval"),
        "TCP segments that follow each other become one skb",
        (f"{name} on",),
    )
