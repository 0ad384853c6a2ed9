"""NAPI: one pollable queue and its state bits.

Models: P1, P5, P9 (SCHED, MISSED, DISABLE, NPSVC), weights, the GRO state that each NAPI has.
Leaves out: busy polling, netpoll.
Source: net/core/dev.c, include/linux/netdevice.h (6.9).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cpus.cpu import NET_RX_SOFTIRQ, Timer
from emu.dropreason import DropReason
from emu.gro_shape import GRO_HASH_BUCKETS
from emu.skb import Received
from softirq.gro_merge import GroHeld

if TYPE_CHECKING:
    from emu.ledger import Ledger
    from emu.skb import Skb
    from softirq.device import NetDevice
    from softirq.plain_way import PlainWay
    from softirq.softnet_data import SoftnetData
    from softirq.threaded import NapiThread

NAPI_POLL_WEIGHT: Final = 64


class Napi:
    """A device queue's NAPI. `poll(sd, budget)` is the driver's; it runs synchronously and charges `sd.cpu`."""

    is_backlog = False

    def __init__(self, dev: NetDevice, name: str, weight: int = NAPI_POLL_WEIGHT) -> None:
        self.dev = dev
        self.name = name
        self.weight = weight
        self.sched = False
        self.missed = False
        self.disable = False
        self.npsvc = False
        self.prefer_busy_poll = False
        self.gro_hash: list[dict[bytes, Skb | GroHeld]] = [{} for _ in range(GRO_HASH_BUCKETS)]
        """Held packets per bucket, oldest first, by `GroShape.key_for`; one that met another of its flow is kept as its `GroHeld`."""
        self.gro_merging = 0
        """Bit n: bucket n may hold a `GroHeld`; others hold skbs only."""
        self.rx_list: list[Skb] = []
        self.rx_count = 0
        """Segments (not packets) on rx_list (G5)."""
        self.plain: Received | None = None
        """Where all that GRO holds and rx_list has came from, if it came the straight way or was merged into what did: data whose sum the
        device vouched for, to this host, without a tag. Else None."""
        self.way: PlainWay | None = None
        """In a poll: where such packets go from GRO, once it is known."""
        self._received: dict[int, Received] = {}
        self.defer_hard_irqs_count = 0
        self.timer: Timer | None = None
        self.threaded = False
        """Schedules wake `thread` (P8)."""
        self.thread: NapiThread | None = None
        self.gro_flush_timeout_ns: int | None = None
        """This NAPI's own value where the release has one per NAPI (P7), None: the device's."""
        self.napi_defer_hard_irqs: int | None = None
        # counters of ours, for the screen
        self.polls = 0
        self.polled_packets = 0
        self.full_polls = 0
        self.completions = 0
        self.delivered_skbs = 0
        """Handed over by GRO, merged or not."""

    def poll(self, sd: SoftnetData, budget: int) -> int:
        """Process up to `budget` packets; returns how many. Less than `budget` means it completed itself (N7)."""
        raise NotImplementedError

    @property
    def gro_held(self) -> int:
        """Packets held over all buckets."""
        return sum(map(len, self.gro_hash))

    def received_on(self, queue: int, cpu: int) -> Received:
        """What says that skbs came in on receive queue `queue` and were polled by CPU `cpu`."""
        received = self._received.get(queue)
        if received is None or received.cpu != cpu:
            received = self._received[queue] = Received(self.dev, queue, cpu)
        return received

    def held_frames(self) -> int:
        """Frames held by GRO or waiting on rx_list."""
        total = sum(skb.frames for skb in self.rx_list)
        for bucket in self.gro_hash:
            for held in bucket.values():
                total += held.frames
        return total

    def schedule_prep(self) -> bool:
        """P5: True if the caller now owns it and must call `napi_schedule_irqoff`."""
        if self.disable:
            return False
        if self.sched:
            self.missed = True
            return False
        self.sched = True
        return True


def netif_napi_del(napi: Napi, ledger: Ledger) -> None:
    """Take a NAPI that nobody polls from its device: its timer is cancelled, what its GRO held is dropped."""
    assert not napi.sched, f"{napi.name} is scheduled"
    napi.dev.napis.remove(napi)
    if napi.timer is not None:
        napi.timer.withdrawn = True
        napi.timer = None
    for bucket in napi.gro_hash:
        for held in bucket.values():
            ledger.drop(held.finish() if isinstance(held, GroHeld) else held, DropReason.EMU_NAPI_DEL)
        bucket.clear()


def napi_schedule_irqoff(sd: SoftnetData, napi: Napi) -> None:
    """____napi_schedule: list `napi` on this CPU and raise NET_RX, except inside net_rx_action where the release says so (N5)."""
    if napi.threaded:
        assert napi.thread is not None, f"{napi.name} is threaded and has no thread"
        sd.net.clock.post(sd.cpu, napi.thread, napi.thread)
        return
    sd.poll_list.append(napi)
    if not (sd.in_net_rx_action and sd.net.rules.in_net_rx_action_suppresses_raise):
        sd.cpu.raise_softirq_irqoff(NET_RX_SOFTIRQ)


def napi_schedule(sd: SoftnetData, napi: Napi) -> bool:
    """Schedule `napi` on `sd`'s CPU if nobody has. Returns whether it was listed."""
    if napi.schedule_prep():
        napi_schedule_irqoff(sd, napi)
        return True
    return False
