"""Where packets go: one conserved flow from the wire to the application, stage by stage.

Models: frames into each stage; what a stage lost and holds explains all that the next one did not get:
frames(stage) = frames(next) + lost + held. Every drop reason of the ledger belongs to one stage, every place that holds frames too.
skbs are counted where somebody counts them (napi, GRO, steering, demux, InDelivers, sockets, reads); fragments and GRO join them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from monitor.snapshot import Snapshot, Totals

STAGES: Final = ("wire", "ring", "napi", "gro", "rps", "backlog", "ip", "l4", "sock", "app")
"""In the order of the way. A stage's figure is what came into it; the lost are named by the stage that lost them:
the wire to the ring (the device), steering to a backlog, and so on."""

WAITS: Final = {"napi": "ring", "gro": "gro", "backlog": "backlog", "sock": "protocol", "app": "socket"}
"""Stage -> the measured wait that ends in it."""

_BACKLOG: Final = frozenset({"CPU_BACKLOG", "DEV_READY", "EMU_CPU_OFFLINE"})
_DEMUX: Final = frozenset({"UNHANDLED_PROTO", "DEV_HDR"})
_NETWORK: Final = frozenset(
    {
        "OTHERHOST",
        "IP_CSUM",
        "IP_INHDR",
        "IP_RPFILTER",
        "UNICAST_IN_L2_MULTICAST",
        "IP_NOPROTO",
        "XFRM_POLICY",
        "IP_INADDRERRORS",
        "IP_INNOROUTES",
        "DUP_FRAG",
        "FRAG_REASM_TIMEOUT",
        "IPV6DISABLED",
        "IPV6_BAD_EXTHDR",
    }
)
_HELD_AT: Final = {
    "backlog": "rps",
    "posts to backlogs": "rps",
    "fragments": "ip",
    "posts to sockets": "l4",
    "sockets": "sock",
}
"""Place of the ledger -> stage whose frames it holds; every other place is a device, which holds in its rings and in GRO."""


class Stage(Struct, frozen=True):
    """One stage of the flow. Frames: came = passed on + lost + held (+ consumed by the kernel itself)."""

    name: str
    frames: int
    skbs: int | None
    """None where nobody counts them."""
    lost: int
    held: int
    consumed: int = 0


def stage_of_drop(reason: str) -> str:
    """The stage that lost a frame which was dropped for `reason`."""
    if reason.startswith("NIC_"):
        return "wire"
    if reason == "EMU_NAPI_DEL":
        return "napi"
    if reason in _BACKLOG:
        return "rps"
    if reason in _DEMUX:
        return "backlog"
    return "ip" if reason in _NETWORK else "l4"


def flow(snapshot: Snapshot) -> tuple[Stage, ...]:
    """The stages since the run began, in the order of `STAGES`."""
    totals = snapshot.totals
    lost = dict.fromkeys(STAGES, 0)
    for reason, count in totals.dropped.items():
        lost[stage_of_drop(reason)] += count
    held = _held(snapshot, totals)
    skbs = _skbs(snapshot)
    stages: list[Stage] = []
    frames = totals.arrived_frames
    for name in STAGES:
        consumed = totals.consumed_frames if name == "l4" else 0
        stages.append(Stage(name, frames, skbs.get(name), lost[name], held[name], consumed))
        frames -= lost[name] + held[name] + consumed
    return tuple(stages)


def flow_between(old: Snapshot | None, new: Snapshot) -> tuple[Stage, ...]:
    """The flow of the interval; `held` is what a stage gained and may be negative."""
    now = flow(new)
    if old is None:
        return now
    return tuple(
        Stage(
            b.name,
            b.frames - a.frames,
            b.skbs - a.skbs if b.skbs is not None and a.skbs is not None else None,
            b.lost - a.lost,
            b.held - a.held,
            b.consumed - a.consumed,
        )
        for a, b in zip(flow(old), now, strict=True)
    )


def broken_flow(snapshot: Snapshot) -> list[str]:
    """What the flow and the counters of its stages do not agree on, a sentence each."""
    stages = flow(snapshot)
    broken = [f"{stage.name}: {stage.frames} frames came in" for stage in stages if stage.frames < 0]
    app = stages[-1]
    if app.frames != snapshot.totals.read_frames:
        broken.append(f"{snapshot.totals.read_frames} frames were read, {app.frames} came to applications")
    in_rings = sum(queue.packets + queue.ring_fill for queue in snapshot.queues) + snapshot.totals.gone_packets
    if stages[1].frames != in_rings:
        broken.append(f"{stages[1].frames} frames came into rings, the rings know of {in_rings}")
    steered: dict[int, int] = {}
    for row in snapshot.steering:
        steered[row.queue] = steered.get(row.queue, 0) + sum(skbs for _, skbs in row.targets)
    for queue in snapshot.queues:
        # Once the number of queues has changed a NAPI may have handed over what came to a queue that is another one's now, or gone.
        if steered.get(queue.index, 0) != queue.skbs and not snapshot.totals.channel_changes:
            broken.append(f"rx-{queue.index}: {queue.skbs} skbs, {steered.get(queue.index, 0)} of them were steered")
    demuxed = snapshot.totals.backlog_posts
    demuxed += sum(cpu.processed + cpu.dropped + cpu.input_qlen + cpu.process_qlen for cpu in snapshot.cpus)
    skbs = sum(queue.skbs for queue in snapshot.queues) + snapshot.totals.gone_skbs
    if (
        skbs != demuxed and "DEV_READY" not in snapshot.totals.dropped
    ):  # some releases do not count those on a CPU's row
        broken.append(f"{skbs} skbs were steered, the CPUs know of {demuxed}")
    return broken


def _held(snapshot: Snapshot, totals: Totals) -> dict[str, int]:
    held = dict.fromkeys(STAGES, 0)
    in_devices = 0
    for place, count in totals.held.items():
        stage = _HELD_AT.get(place)
        if stage is None:
            in_devices += count
        else:
            held[stage] += count
    held["ring"] = sum(queue.ring_fill for queue in snapshot.queues)
    held["napi"] = in_devices - held["ring"]
    return held


def _skbs(snapshot: Snapshot) -> dict[str, int]:
    counts: dict[str, int] = {}
    counts["napi"] = sum(queue.packets for queue in snapshot.queues) + snapshot.totals.gone_packets
    counts["gro"] = counts["rps"] = sum(queue.skbs for queue in snapshot.queues) + snapshot.totals.gone_skbs
    counts["backlog"] = sum(cpu.processed for cpu in snapshot.cpus)
    # What has no handler was not merged either: a frame is an skb.
    counts["ip"] = counts["backlog"] - sum(snapshot.totals.dropped.get(reason, 0) for reason in _DEMUX)
    snmp: Mapping[str, int] = snapshot.snmp
    counts["l4"] = snmp.get("Ip.InDelivers", 0) + snmp.get("Ip6InDelivers", 0)
    for latency in snapshot.latencies:
        if latency.stage == "protocol":
            counts["sock"] = latency.count
        elif latency.stage == "socket":
            counts["app"] = latency.count
    return counts
