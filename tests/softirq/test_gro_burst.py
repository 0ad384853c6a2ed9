"""The driver's burst into GRO: which way packets take from it."""

from __future__ import annotations

from emu.headers import TCP_ACK
from emu.skb import CHECKSUM_UNNECESSARY, HASH_L4, Skb
from softirq.device import NetDevice
from softirq.gro import MAX_GRO_SKBS, end_of_poll
from softirq.gro_burst import napi_gro_receive_burst
from softirq.napi import Napi
from softirq.rps import set_rps_cpus
from tests.netstack.stack_kit import StackKit, tcp4


def segment(kit: StackKit, flow: int, seq: int, size: int) -> Skb:
    skb = kit.make_skb(tcp4(sport=1000 + flow, seq=seq, payload=size, flags=TCP_ACK), 0)
    # All flows in one bucket, all to the first CPU of a map.
    skb.hash, skb.hash_kind, skb.ip_summed = (flow + 1) << 3, HASH_L4, CHECKSUM_UNNECESSARY
    return skb


def test_each_ring_of_a_poll_is_steered_by_its_own_map() -> None:
    kit = StackKit("6.9", cpus=3, get_rps_cpu_ns=1, enqueue_to_backlog_ns=1, driver_rx_ns=1, gro_receive_ns=1)
    dev = NetDevice("eth1", kit.dev.address, 2)
    for queue, mask in zip(dev.queues, (0b010, 0b100), strict=True):
        set_rps_cpus(kit.net, queue, mask)
    kit.net.settings.set("gro_normal_batch", 1)
    sd = kit.net.softnet[0]
    napi = Napi(dev, "rings")
    flows = range(MAX_GRO_SKBS + 1)
    # The last flow drives the first out of the bucket; then a short segment ends what is held of each.
    first = [segment(kit, flow, 0, 100) for flow in flows] + [segment(kit, flow, 100, 10) for flow in flows[1:]]
    napi_gro_receive_burst(sd, napi, first, 0, 1, True)
    assert not napi.gro_held
    napi_gro_receive_burst(sd, napi, [segment(kit, flow, 0, 100) for flow in flows], 1, 1, True)
    end_of_poll(sd, napi)
    steered = [queue.steered.rows() for queue in dev.queues]
    assert steered == [{0: {1: len(flows)}}, {0: {2: 1}}]
