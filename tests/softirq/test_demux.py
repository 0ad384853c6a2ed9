"""The protocol demux: what counts as processed, taps, tags, dispatch (D1-D4, Z3)."""

from __future__ import annotations

import pytest

from emu.dropreason import DropReason
from emu.skb import PACKET_HOST, PACKET_OTHERHOST, Skb
from softirq.demux import netif_receive_skb, netif_receive_skb_list
from softirq.net import PacketType
from softirq.receive import netif_receive_skb_list_internal
from softirq.rps import set_rps_cpus
from softirq.softnet_data import SoftnetData
from tests.machine_kit import Kit, skb, udp_bytes


def tagged(*tags: tuple[int, int]) -> bytes:
    """The UDP frame with VLAN tags (protocol, tci), outermost first."""
    plain = udp_bytes()
    return plain[:12] + b"".join(p.to_bytes(2, "big") + t.to_bytes(2, "big") for p, t in tags) + plain[12:]


def other(kit: Kit, number: int, ethertype: int = 0x88B5) -> Skb:
    plain = udp_bytes()
    return skb(kit, number, data=plain[:12] + ethertype.to_bytes(2, "big") + plain[14:])


class Handler:
    """A protocol that notes what it is given, one by one or by list."""

    def __init__(self, kit: Kit, ethertype: int, by_list: bool = True) -> None:
        self.kit = kit
        self.got: list[list[int]] = []
        kit.net.ptypes[ethertype] = PacketType(ethertype, self.one, self.many if by_list else None)

    def one(self, sd: SoftnetData, packet: Skb) -> None:
        self.got.append([packet.number])
        self.kit.ledger.consumed_frames += packet.frames

    def many(self, sd: SoftnetData, packets: list[Skb]) -> None:
        self.got.append([packet.number for packet in packets])
        self.kit.ledger.consumed_frames += sum(packet.frames for packet in packets)


def test_each_skb_counts_once_whatever_it_merged() -> None:  # Z3
    kit = Kit()
    handler = Handler(kit, 0x0800)
    packet = skb(kit, 0)
    packet.frames = 17
    kit.ledger.arrived_frames += 16
    netif_receive_skb(kit.net.softnet[0], packet)
    assert kit.net.softnet[0].processed == 1
    assert handler.got == [[0]]
    kit.ledger.check(0)


def test_a_packet_without_a_handler_is_dropped_and_counted_on_the_device() -> None:  # D3
    kit = Kit()
    netif_receive_skb(kit.net.softnet[0], other(kit, 0))
    netif_receive_skb_list(kit.net.softnet[0], [other(kit, 1), other(kit, 2)])
    assert kit.dev.statistics.rx_dropped == 3
    assert kit.ledger.dropped_frames[DropReason.UNHANDLED_PROTO] == 3
    assert kit.net.softnet[0].processed == 3
    kit.ledger.check(0)


def test_a_tap_sees_each_packet_first_and_counts_as_a_handler() -> None:  # D2, D3
    kit = Kit()
    handler = Handler(kit, 0x0800)
    order: list[tuple[int, int]] = []
    kit.net.taps.append(lambda _, packet: order.append((packet.number, len(handler.got))))
    sd = kit.net.softnet[0]
    netif_receive_skb(sd, skb(kit, 0))
    netif_receive_skb_list(sd, [skb(kit, 1), other(kit, 2), skb(kit, 3)])
    assert [number for number, _ in order] == [0, 1, 2, 3]
    assert order[0] == (0, 0)
    assert kit.dev.statistics.rx_dropped == 0
    assert sd.processed == 4
    kit.ledger.check(0)


def test_consecutive_packets_of_a_type_go_up_as_one_list() -> None:  # D4
    kit = Kit()
    first, second = Handler(kit, 0x0800), Handler(kit, 0x88B5)
    kinds = [0, 0, 1, 0, 1, 1]
    packets = [other(kit, n) if kind else skb(kit, n) for n, kind in enumerate(kinds)]
    netif_receive_skb_list(kit.net.softnet[0], packets)
    assert first.got == [[0, 1], [3]]
    assert second.got == [[2], [4, 5]]
    assert kit.net.softnet[0].processed == 6


def test_a_packet_that_ends_in_the_demux_does_not_split_a_list() -> None:  # D4
    kit = Kit()
    handler = Handler(kit, 0x0800)
    netif_receive_skb_list(kit.net.softnet[0], [skb(kit, 0), other(kit, 1), skb(kit, 2)])
    assert handler.got == [[0, 2]]


def test_a_handler_without_a_list_function_gets_them_one_by_one() -> None:
    kit = Kit()
    handler = Handler(kit, 0x0800, by_list=False)
    netif_receive_skb_list(kit.net.softnet[0], [skb(kit, n) for n in range(3)])
    assert handler.got == [[0], [1], [2]]


def test_the_price_of_the_demux_is_paid_per_skb() -> None:
    kit = Kit(deliver_skb_ns=70)
    Handler(kit, 0x0800)
    netif_receive_skb(kit.net.softnet[0], skb(kit, 0))
    netif_receive_skb_list(kit.net.softnet[0], [skb(kit, n) for n in range(3)])
    assert kit.cpus[0].local_now_ns == 280


@pytest.mark.parametrize("by_list", [False, True])
@pytest.mark.parametrize(
    ("tags", "reaches", "pkt_type"),
    [
        ([(0x8100, 0)], True, PACKET_HOST),
        ([(0x8100, 0xE000)], True, PACKET_HOST),  # a priority without a VLAN id
        ([(0x8100, 5)], True, PACKET_OTHERHOST),
        ([(0x88A8, 0), (0x8100, 0)], True, PACKET_HOST),
        ([(0x8100, 0), (0x8100, 7)], True, PACKET_OTHERHOST),
        (
            [(0x88A8, 7), (0x8100, 7)],
            False,
            PACKET_OTHERHOST,
        ),  # only one tag is taken off; behind it lies no known type
    ],
)
def test_tags_in_the_frame_are_taken_off(
    tags: list[tuple[int, int]], reaches: bool, pkt_type: int, by_list: bool
) -> None:  # D2
    kit = Kit()
    handler = Handler(kit, 0x0800)
    packet = skb(kit, 0, data=tagged(*tags))
    before = packet.len_bytes
    if by_list:
        netif_receive_skb_list(kit.net.softnet[0], [packet])
    else:
        netif_receive_skb(kit.net.softnet[0], packet)
    assert bool(handler.got) is reaches
    assert packet.pkt_type == pkt_type
    assert before - packet.len_bytes == 4 * (len(tags) if reaches else 1)
    assert kit.dev.statistics.rx_dropped == (not reaches)
    assert kit.net.softnet[0].processed == 1


@pytest.mark.parametrize(("tci", "pkt_type"), [(0, PACKET_HOST), (5, PACKET_OTHERHOST)])
def test_a_tag_that_the_nic_took_off_is_cleared_or_marks_a_stranger(tci: int, pkt_type: int) -> None:  # D2
    kit = Kit()
    handler = Handler(kit, 0x0800)
    packet = skb(kit, 0)
    packet.vlan_tci = 0x8100 << 16 | tci
    netif_receive_skb_list(kit.net.softnet[0], [packet])
    assert handler.got == [[0]]
    assert packet.pkt_type == pkt_type
    assert packet.vlan_tci == -1


def test_steering_is_asked_for_each_skb_and_the_rest_go_up_together() -> None:  # D1
    kit = Kit(2)
    handler = Handler(kit, 0x0800)
    set_rps_cpus(kit.net, kit.dev.queues[0], 0b10)
    packets = [skb(kit, n, flow_hash=9, queue=n % 2) for n in range(6)]
    netif_receive_skb_list_internal(kit.net.softnet[0], packets)
    assert handler.got == [[1, 3, 5]]
    assert [item.number for _, _, _, item in kit.clock.posts_waiting()] == [0, 2, 4]


def test_without_any_map_nothing_is_asked() -> None:  # R0
    kit = Kit(2, get_rps_cpu_ns=50)
    Handler(kit, 0x0800)
    netif_receive_skb_list_internal(kit.net.softnet[0], [skb(kit, 0)])
    assert kit.cpus[0].local_now_ns == 0
