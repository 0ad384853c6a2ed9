"""Identities: what must add up in every snapshot of a sound machine. Checked on every frame of the screen and at the end of every run."""

from __future__ import annotations

from monitor.flow import broken_flow
from monitor.snapshot import Snapshot


def broken_identities(snapshot: Snapshot) -> list[str]:
    """What does not add up, one sentence each; empty for every snapshot of a sound machine."""
    broken: list[str] = []
    totals = snapshot.totals
    ends = totals.read_frames + totals.consumed_frames + totals.dropped_frames + totals.held_frames
    if ends != totals.arrived_frames:
        broken.append(f"{totals.arrived_frames} frames arrived, {ends} are accounted for")
    for cpu in snapshot.cpus:
        if cpu.squeeze_budget + cpu.squeeze_time != cpu.time_squeeze:
            broken.append(
                f"cpu{cpu.index}: {cpu.time_squeeze} squeezes, "
                f"{cpu.squeeze_budget} by budget and {cpu.squeeze_time} by time"
            )
        if cpu.squeeze_with_work_left > cpu.time_squeeze:
            broken.append(
                f"cpu{cpu.index}: {cpu.squeeze_with_work_left} squeezes left work, of {cpu.time_squeeze} in all"
            )
        spent_ns = sum(cpu.accounts.parts_ns())
        if cpu.online and spent_ns != snapshot.meta.now_ns:
            broken.append(f"cpu{cpu.index}: its accounts hold {spent_ns} ns at {snapshot.meta.now_ns} ns")
    for queue in snapshot.queues:
        if queue.ring_fill > queue.ring_size:
            broken.append(f"rx-{queue.index}: {queue.ring_fill} frames in a ring of {queue.ring_size}")
    return broken + broken_flow(snapshot)
