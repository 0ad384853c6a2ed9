"""Rings and queues of a NIC that is up: `ethtool -G` and `-L` while traffic flows.

Models: ice takes its rings down and up for either: what lies in them is lost (NIC_RESET; no counter of a real device tells of it),
counters of queues that stay go on. After -L each queue has a vector of its own; vectors that stay keep number, affinity and interval.
A NAPI that is scheduled when its vector goes ends its poll by itself: it finds no ring to clean, hands over what GRO held and is gone.
Leaves out: the time the device is down (nothing was measured: it is none), the transmit side's rings.
Source: drivers/net/ethernet/intel/ice ice_set_ringparam, ice_set_channels, ice_vsi_rebuild (6.9); rules H5, S13, S14, P9.
"""

from __future__ import annotations

from errno import ENOSPC
from typing import TYPE_CHECKING

from emu.errors import ConfigError, ControlError
from softirq.napi import netif_napi_del
from softirq.rx_queues import netif_set_real_num_rx_queues
from softirq.threaded import dev_set_threaded

if TYPE_CHECKING:
    from nic.nic import Nic
    from nic.vector import MsixVector


def set_descriptors(nic: Nic, descriptors: int) -> None:
    """Remake every receive ring with `descriptors` (64 to 8160, rounded up to a multiple of 32) at the clock's time.

    Raises ConfigError out of bounds, and then nothing has changed.
    """

    nic.reconfigure(lambda: _take_down(nic, descriptors))


def set_queues(nic: Nic, count: int) -> None:
    """Have `count` receive queues (at least 1), a vector each, at the clock's time.

    The default indirection table follows. ControlError EINVAL when a user's table names a queue that would be gone, ENOSPC when no
    CPU has an interrupt vector left; then nothing has changed.
    """
    new: list[MsixVector] = []
    gone: list[MsixVector] = []

    def change() -> None:
        new.extend(_new_vectors(nic, count))
        try:
            nic.rss.set_queues(count)
        except ControlError:
            _take_back(nic, new)
            raise
        descriptors = nic.rings[0].descriptors
        _take_down(nic, descriptors)
        for ring in nic.rings[count:]:
            nic.gone.bytes += ring.accepted_bytes + ring.dropped_bytes
            nic.gone.packets += ring.polled
        gone.extend(nic.vectors[count:])
        nic.rings = nic.rings[:count] + [nic.new_ring(index, descriptors) for index in range(len(nic.rings), count)]
        nic.vectors = nic.vectors[:count] + new
        nic.share_rings()
        for vector in nic.vectors:
            vector.moderation.restart()
        for vector in gone:
            _give_up(nic, vector)
        netif_set_real_num_rx_queues(nic.net, nic.dev, count)
        if nic.dev.threaded:
            dev_set_threaded(nic.net, nic.dev, True)
        nic.gone.changes += 1
        for follow in nic.on_vectors:
            follow(gone, new)

    nic.reconfigure(change)
    if nic.has_begun:
        for vector in new:
            nic.arm(vector, nic.clock.now_ns + 1)


def _take_down(nic: Nic, descriptors: int) -> None:
    """Take every ring down and up with `descriptors`, and note what was lost."""
    before = sum(ring.discarded for ring in nic.rings)
    for ring in nic.rings:
        ring.remake(descriptors)
    lost = sum(ring.discarded for ring in nic.rings) - before
    if nic.has_begun:
        nic.net.events.note(nic.clock.now_ns, None, f"{nic.dev.name}: rings taken down, {lost} frames in them are lost")


def _new_vectors(nic: Nic, count: int) -> list[MsixVector]:
    """Vectors that are missing for `count` of them, with the interval and the weight that the others have."""
    pattern = nic.vectors[0]
    new: list[MsixVector] = []
    try:
        for index in range(len(nic.vectors), count):
            vector = nic.new_vector(index, pattern.moderation.fresh())
            new.append(vector)
            vector.napis[0].weight = pattern.napis[0].weight
            if index < len(nic.affinity_masks):
                mask = nic.affinity_masks[index]
                if mask & nic.matrix.online_mask():
                    vector.set_affinity(mask)
    except (ConfigError, ControlError) as error:
        _take_back(nic, new)
        raise ControlError(ENOSPC, f"{count} channels: {error}") from error
    return new


def _take_back(nic: Nic, vectors: list[MsixVector]) -> None:
    """Undo `_new_vectors`."""
    for vector in vectors:
        vector.release()
        for napi in vector.napis:
            netif_napi_del(napi, nic.net.ledger)


def _give_up(nic: Nic, vector: MsixVector) -> None:
    vector.release()
    for napi in vector.napis:
        if napi.sched:
            nic.leaving.append(vector)
            # It completes once more, holds nothing back then, and no timer wakes it again.
            napi.gro_flush_timeout_ns = napi.napi_defer_hard_irqs = 0
            if napi.timer is not None:
                napi.timer.withdrawn = True
                napi.timer = None
            nic.dev.napis.remove(napi)
        else:
            nic.gone.skbs += napi.delivered_skbs
            netif_napi_del(napi, nic.net.ledger)
