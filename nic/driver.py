"""The driver's half: an ice-style NAPI poll over the rings of one vector.

Models: C3-C7: the budget split over rings, write-back-on-ITR when the poll is not finished, completion, DIM, refill at the end of a
clean, eth_type_trans; hash, checksum state and VLAN tag handed to the skb were decided when the frame was steered (`nic.steering`).
Leaves out: transmit rings, XDP, page recycling, failed allocations, netpoll.
Source: drivers/net/ethernet/intel/ice (6.9); rules of section 11.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from emu.skb import PACKET_MULTICAST, Skb
from softirq.completion import napi_complete_done
from softirq.gro_burst import napi_gro_receive_burst
from softirq.napi import Napi

if TYPE_CHECKING:
    from nic.nic import Nic
    from nic.ring import RxRing
    from nic.vector import MsixVector
    from softirq.softnet_data import SoftnetData

LONG_BUFFER_TRUESIZE_BYTES: Final = 4096
"""Half of an order-1 page: what a buffer of 3072 bytes costs a socket (C9)."""
SK_BUFF_BYTES: Final = 256


class IceNapi(Napi):
    """The NAPI of one vector."""

    def __init__(self, nic: Nic, vector: MsixVector) -> None:
        super().__init__(nic.dev, vector.name)
        self.nic = nic
        self.vector = vector

    def poll(self, sd: SoftnetData, budget: int) -> int:
        """ice_napi_poll: clean every ring, complete if none used its share."""
        cpu = sd.cpu
        vector = self.vector
        rings = vector.rings
        costs = sd.net.costs
        cpu.local_now_ns += costs.napi_poll_ns
        share = budget if len(rings) == 1 else max(budget // len(rings), 1)
        work = 0
        is_clean = True
        for ring in rings:
            cleaned = self._clean(sd, ring, share)
            work += cleaned
            if cleaned >= share:
                is_clean = False
        if not is_clean:
            vector.wb_on_itr = True
            return budget
        if napi_complete_done(sd, self, work):
            if vector.moderation.adaptive and vector.moderation.sample(
                cpu.local_now_ns,
                vector.total_events,
                sum(ring.polled for ring in rings),
                sum(ring.polled_bytes for ring in rings),
            ):
                cpu.local_now_ns += costs.itr_program_ns
            # A vector that has moved interrupts another CPU, which hears of it 1 ns later, as of all that CPUs do.
            self.nic.arm(vector, cpu.local_now_ns + (vector.cpu != cpu.index))
        else:
            vector.wb_on_itr = True
        return min(work, budget - 1)

    def _clean(self, sd: SoftnetData, ring: RxRing, budget: int) -> int:
        """ice_clean_rx_irq: take frames while there are any and budget is left, looking again as time goes on; then refill."""
        cpu = sd.cpu
        nic = self.nic
        arrivals = nic.arrivals
        dev = self.dev
        costs = sd.net.costs
        driver_rx_ns = costs.driver_rx_ns
        if cpu.node != nic.node:
            driver_rx_ns += costs.numa_cross_ns
        done = 0
        total_bytes = 0
        while done < budget:
            now_ns = cpu.local_now_ns
            if now_ns > arrivals.generated_ns:
                nic.generate(now_ns)
            if not ring.advance(now_ns):
                break
            batch = ring.take(budget - done)
            done += len(batch)
            if ring.polled > ring.sample.next_at:
                ring.sample.look(batch, ring.polled)
            if ring.has_odd_frames:
                dev.statistics.multicast += sum(skb.pkt_type == PACKET_MULTICAST for skb in batch)
            if ring.frame_bytes_max > ring.buffer_bytes:
                _account_long(batch, ring.buffer_bytes)
            total_bytes += sum([skb.wire_bytes for skb in batch])
            napi_gro_receive_burst(sd, self, batch, ring.index, driver_rx_ns, ring.is_plain)
        if ring.cleaned:
            ring.polled_bytes += total_bytes
            dev.statistics.rx_packets += done
            dev.statistics.rx_bytes += total_bytes
            cpu.local_now_ns += costs.refill_ns * ring.cleaned
            # What came while there was no descriptor is lost before the refill helps.
            nic.look(ring, cpu.local_now_ns)
            ring.refill()
        return done


def _account_long(batch: list[Skb], buffer_bytes: int) -> None:
    """Buffers of an MTU above 1500: the first is the head, each further one a page fragment."""
    for skb in batch:
        buffers = -(-skb.wire_bytes // buffer_bytes)
        skb.frags = buffers - 1
        skb.truesize_bytes = buffers * LONG_BUFFER_TRUESIZE_BYTES + SK_BUFF_BYTES
