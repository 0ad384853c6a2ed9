"""Steering: get_rps_cpu's decision, the maps and tables behind it, and the rule against reordering (R0-R16, A1-A2b)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emu.rules import rules_for
from emu.skb import HASH_L3, HASH_L4, HASH_SW, Skb
from softirq.hash32 import hash_32
from softirq.rps import (
    RPS_NO_CPU,
    RPS_NO_FILTER,
    RpsDevFlowTable,
    RpsMap,
    RpsSockFlowTable,
    get_rps_cpu,
    set_rps_cpus,
    set_rps_flow_cnt,
    set_rps_sock_flow_entries,
)
from tests.machine_kit import Feed, Kit, skb, udp_bytes


def steered(kit: Kit, packet: Skb, cpu: int = 0) -> int:
    return get_rps_cpu(kit.net.softnet[cpu], kit.dev, packet)


def with_rfs(cpus: int = 4, release: str = "6.9", dev_entries: int = 16, sock_entries: int = 64) -> Kit:
    kit = Kit(cpus, release)
    set_rps_sock_flow_entries(kit.net, sock_entries)
    for queue in kit.dev.queues:
        set_rps_flow_cnt(kit.net, queue, dev_entries)
    return kit


def record(kit: Kit, flow_hash: int, cpu: int) -> None:
    assert kit.net.sock_flow_table is not None
    kit.net.sock_flow_table.record(flow_hash, cpu)


def dev_table(kit: Kit, queue: int = 0) -> RpsDevFlowTable:
    table = kit.dev.queues[queue].rps_flow_table
    assert table is not None
    return table


# ---------------------------------------------------------------- the key and the queue


def key_is_on(kit: Kit) -> bool:
    return kit.net.rps_needed


def test_the_key_is_on_while_any_queue_has_a_map_or_a_sock_flow_table_exists() -> None:  # R0
    kit = Kit(4)
    first, second = kit.dev.queues[:2]
    assert not key_is_on(kit)
    set_rps_cpus(kit.net, first, 0b10)
    set_rps_cpus(kit.net, second, 0b10)
    set_rps_cpus(kit.net, first, 0b11)
    set_rps_cpus(kit.net, first, 0)
    assert key_is_on(kit)
    set_rps_cpus(kit.net, first, 0)
    set_rps_cpus(kit.net, second, 0)
    assert not key_is_on(kit)
    set_rps_sock_flow_entries(kit.net, 1)
    assert key_is_on(kit)
    set_rps_sock_flow_entries(kit.net, 0)
    assert not key_is_on(kit)


def test_a_queue_without_map_and_table_steers_nothing_and_hashes_nothing() -> None:  # R2
    kit = Kit(4, get_rps_cpu_ns=50, flow_dissect_ns=60)
    set_rps_cpus(kit.net, kit.dev.queues[1], 0b10)
    packet = skb(kit, 0)
    assert steered(kit, packet) == -1
    assert packet.hash == 0
    assert kit.cpus[0].local_now_ns == 0


def test_the_recorded_queue_decides_and_one_that_does_not_exist_steers_nothing() -> None:  # R1
    kit = Kit(4)
    set_rps_cpus(kit.net, kit.dev.queues[0], 0b0010)
    set_rps_cpus(kit.net, kit.dev.queues[3], 0b0100)
    assert [steered(kit, skb(kit, 0, 99, queue)) for queue in (0, 1, 3, 4, 200)] == [1, -1, 2, -1, -1]


# ---------------------------------------------------------------- the hash


def test_a_stored_l4_or_software_hash_is_used_and_costs_no_dissection() -> None:  # R3, H1
    kit = Kit(4, get_rps_cpu_ns=50, flow_dissect_ns=60)
    set_rps_cpus(kit.net, kit.dev.queues[0], 0b1111)
    for kind in (HASH_L4, HASH_SW):
        packet = skb(kit, 0)
        packet.hash, packet.hash_kind = 0xC0000000, kind
        assert steered(kit, packet) == 3
    assert kit.cpus[0].local_now_ns == 100


def test_an_l3_hash_is_replaced_by_a_computed_one() -> None:  # H1
    kit = Kit(4, get_rps_cpu_ns=50, flow_dissect_ns=60)
    set_rps_cpus(kit.net, kit.dev.queues[0], 0b1111)
    packet = skb(kit, 0)
    packet.hash, packet.hash_kind = 0xC0000000, HASH_L3
    target = steered(kit, packet)
    assert packet.hash_kind == HASH_SW
    assert packet.hash == kit.net.dissector.hash_of(packet.hdr, packet.data)
    assert target == packet.hash * 4 >> 32
    assert kit.cpus[0].local_now_ns == 110


def test_a_stored_hash_of_zero_means_no_steering() -> None:  # R3
    kit = with_rfs()
    set_rps_cpus(kit.net, kit.dev.queues[0], 0b1111)
    packet = skb(kit, 0)
    packet.hash_kind = HASH_L4
    assert steered(kit, packet) == -1


def test_a_computed_hash_is_the_same_for_both_directions_and_never_zero() -> None:  # H2
    kit = Kit()
    there = skb(kit, 0, data=udp_bytes(7, 5555))
    wire = udp_bytes(7, 5555)
    back = skb(kit, 1, data=wire[:26] + wire[30:34] + wire[26:30] + wire[36:38] + wire[34:36] + wire[38:])
    dissector = kit.net.dissector
    assert dissector.skb_get_hash(there) == dissector.skb_get_hash(back) != 0
    assert dissector.skb_get_hash(skb(kit, 2, data=udp_bytes(7, 5556))) != there.hash


# ---------------------------------------------------------------- RPS


@given(st.integers(1, 0xFFFFFFFF), st.sets(st.integers(0, 7), min_size=1))
@settings(deadline=None)
def test_rps_multiplies_and_shifts_over_the_cpus_of_the_map(flow_hash: int, cpus: set[int]) -> None:  # R6, Z7
    kit = Kit(8)
    set_rps_cpus(kit.net, kit.dev.queues[0], sum(1 << cpu for cpu in cpus))
    target = steered(kit, skb(kit, 0, flow_hash))
    assert target == sorted(cpus)[flow_hash * len(cpus) >> 32]


def test_a_map_holds_the_cpus_online_when_it_was_written() -> None:  # R10
    kit = Kit(4)
    kit.cpus[2].online = False
    queue = kit.dev.queues[0]
    set_rps_cpus(kit.net, queue, 0b1110)
    assert queue.rps_map is not None
    assert queue.rps_map.cpus == [1, 3]
    assert queue.rps_mask == 0b1010  # what rps_cpus reads, as recorded (hotplug: "6c" after 7c was written)
    kit.cpus[2].online = True
    assert queue.rps_map.cpus == [1, 3]
    set_rps_cpus(kit.net, queue, 0b1110)
    assert queue.rps_map.cpus == [1, 2, 3]


def test_a_mask_of_offline_cpus_only_is_no_map() -> None:  # R10
    kit = Kit(4)
    kit.cpus[2].online = False
    set_rps_cpus(kit.net, kit.dev.queues[0], 0b100)
    assert kit.dev.queues[0].rps_map is None
    assert not kit.net.rps_needed


def test_a_cpu_that_went_offline_keeps_its_share_on_the_cpu_of_the_interrupt() -> None:  # R6, R7
    kit = Kit(4)
    set_rps_cpus(kit.net, kit.dev.queues[0], 0b0110)
    kit.cpus[1].online = False
    assert steered(kit, skb(kit, 0, 0x10000000)) == -1
    assert steered(kit, skb(kit, 0, 0xF0000000)) == 2


def test_an_empty_map_is_refused() -> None:
    with pytest.raises(AssertionError, match="R10"):
        RpsMap([])


# ---------------------------------------------------------------- tables


@pytest.mark.parametrize(("count", "entries"), [(1, 1), (2, 2), (3, 4), (4096, 4096), (4097, 8192)])
def test_tables_are_rounded_up_to_a_power_of_two_and_begin_empty(count: int, entries: int) -> None:  # R11
    kit = with_rfs(dev_entries=count, sock_entries=count)
    assert len(dev_table(kit).cpu) == entries
    assert set(dev_table(kit).cpu) == {RPS_NO_CPU}
    assert set(dev_table(kit).filter) == {RPS_NO_FILTER}
    assert kit.net.sock_flow_table is not None
    assert kit.net.sock_flow_table.ents == [0xFFFF] * entries


def test_a_table_of_nothing_is_no_table() -> None:
    kit = with_rfs(dev_entries=0, sock_entries=0)
    assert kit.dev.queues[0].rps_flow_table is None
    assert kit.net.sock_flow_table is None


@pytest.mark.parametrize(
    ("nr_cpus", "mask"), [(1, 0), (2, 1), (3, 3), (4, 3), (5, 7), (8, 7), (9, 15), (64, 63), (65, 127)]
)
def test_a_sock_entry_holds_a_cpu_below_and_the_hash_above(nr_cpus: int, mask: int) -> None:  # R9
    table = RpsSockFlowTable(256, nr_cpus)
    assert table.cpu_mask == mask
    table.record(0x12345678, nr_cpus - 1)
    assert table.lookup(0x12345678, 0) == (0x12345678 & ~mask) | (nr_cpus - 1)


def test_a_flow_without_a_hash_is_not_recorded() -> None:  # R14
    table = RpsSockFlowTable(4, 4)
    table.record(0, 2)
    assert table.ents == [RPS_NO_CPU] * 4


@pytest.mark.parametrize("release", ["6.1", "6.9", "6.12", "6.18"])
def test_the_slot_of_a_flow_is_by_mask_or_by_hash_32(release: str) -> None:  # R13
    table = RpsDevFlowTable(64, rules_for(release).dev_flow_slot_by_hash_32)
    assert table.slot(0xDEADBEEF) == (hash_32(0xDEADBEEF, 6) if release == "6.18" else 0xDEADBEEF & 63)
    assert RpsDevFlowTable(1, True).slot(0xFFFFFFFF) == 0


# ---------------------------------------------------------------- RFS


@pytest.mark.parametrize(("sock", "dev"), [(0, 16), (16, 0)])
def test_rfs_needs_both_tables(sock: int, dev: int) -> None:  # R11
    kit = with_rfs(sock_entries=sock, dev_entries=dev)
    if sock:
        record(kit, 0x5000, 3)
    set_rps_cpus(kit.net, kit.dev.queues[0], 0b10)
    assert steered(kit, skb(kit, 0, 0x5000)) == 1


def test_a_flow_goes_to_the_cpu_of_its_reader_even_outside_the_map() -> None:  # R4, recording note 17
    kit = with_rfs()
    record(kit, 0x5000, 3)
    packet = skb(kit, 0, 0x5000)
    assert steered(kit, packet) == 3
    assert packet.rps_table is dev_table(kit)
    assert dev_table(kit).cpu[packet.rps_slot] == 3


def test_a_flow_that_nobody_reads_falls_back_to_rps() -> None:  # R4, R6
    kit = with_rfs()
    record(kit, 0x5000, 3)
    packet = skb(kit, 0, 0x5400)
    assert steered(kit, packet) == -1
    set_rps_cpus(kit.net, kit.dev.queues[0], 0b10)
    assert steered(kit, packet) == 1
    assert packet.rps_table is None


def test_of_two_flows_in_one_slot_the_last_writer_is_steered_and_the_other_falls_back() -> None:  # R16, note 17
    kit = with_rfs(sock_entries=16)
    record(kit, 0x5000, 3)
    record(kit, 0x6000, 2)
    assert steered(kit, skb(kit, 0, 0x6000)) == 2
    assert steered(kit, skb(kit, 0, 0x5000)) == -1


def test_two_flows_that_differ_only_below_the_cpu_mask_share_an_entry() -> None:  # R16
    kit = with_rfs(cpus=4, sock_entries=1)
    record(kit, 0x5001, 3)
    assert steered(kit, skb(kit, 0, 0x5002)) == 3


def test_an_unset_entry_matches_a_hash_that_looks_like_it() -> None:  # R9
    kit = with_rfs(cpus=4)
    assert steered(kit, skb(kit, 0, 0x0000FFFD)) == 3
    kit = with_rfs(cpus=3)
    assert steered(kit, skb(kit, 0, 0x0000FFFD)) == -1


def test_a_reader_on_an_offline_cpu_is_not_followed() -> None:  # R4
    kit = with_rfs()
    record(kit, 0x5000, 3)
    kit.cpus[3].online = False
    set_rps_cpus(kit.net, kit.dev.queues[0], 0b10)
    assert steered(kit, skb(kit, 0, 0x5000)) == 1


def moving(kit: Kit, head: int, last_qtail: int, old: int = 1, new: int = 3) -> int:
    """Where a flow goes that was on `old`, whose backlog's head is `head`, once its reader runs on `new`."""
    table = dev_table(kit)
    slot = table.slot(0x5000)
    table.cpu[slot] = old
    table.last_qtail[slot] = last_qtail
    sd = kit.net.softnet[old]
    sd.input_queue_head = head
    sd.show_head(10)
    kit.cpus[0].synced_ns = kit.cpus[0].local_now_ns = 20
    record(kit, 0x5000, new)
    return steered(kit, skb(kit, 0, 0x5000))


@pytest.mark.parametrize(("head", "tail", "cpu"), [(4, 5, 1), (5, 5, 3), (6, 5, 3), (0, 1, 1)])
def test_a_flow_moves_once_its_old_cpu_has_taken_its_last_packet(head: int, tail: int, cpu: int) -> None:  # R4, R5
    kit = with_rfs()
    kit.net.softnet[3].input_queue_head = 77
    kit.net.softnet[3].show_head(10)
    assert moving(kit, head, tail) == cpu
    slot = dev_table(kit).slot(0x5000)
    assert dev_table(kit).cpu[slot] == cpu
    assert dev_table(kit).last_qtail[slot] == (tail if cpu == 1 else 77)  # R12


def test_a_flow_leaves_an_offline_cpu_at_once() -> None:  # R4
    kit = with_rfs()
    kit.cpus[1].online = False
    assert moving(kit, 4, 5) == 3


def test_a_head_that_was_shown_after_the_last_synchronisation_is_not_seen_yet() -> None:
    kit = with_rfs()
    assert moving(kit, 4, 5) == 1
    sd = kit.net.softnet[1]
    sd.input_queue_head = 5
    sd.show_head(30)
    assert steered(kit, skb(kit, 0, 0x5000)) == 1
    kit.cpus[0].synced_ns = 30
    assert steered(kit, skb(kit, 0, 0x5000)) == 3


def test_a_flow_posted_since_the_last_synchronisation_is_outstanding() -> None:
    kit = with_rfs()
    table = dev_table(kit)
    table.posted_ns[table.slot(0x5000)] = 20
    assert moving(kit, 9, 5) == 1
    kit.cpus[0].synced_ns = 21
    assert steered(kit, skb(kit, 0, 0x5000)) == 3


def test_the_enqueue_tells_the_flow_where_its_last_packet_lies_but_a_drop_does_not() -> None:  # B5, R12
    kit = with_rfs(cpus=2)
    kit.net.settings.set("netdev_max_backlog", 4)
    kit.cpus[1].bh_disabled = 1
    record(kit, 0x5000, 1)
    kit.schedule(0, 0, Feed(kit, packet_ns=1, skbs=[skb(kit, n, 0x5000) for n in range(9)]))
    kit.play()
    table = dev_table(kit)
    assert table.last_qtail[table.slot(0x5000)] == 5
    assert kit.net.softnet[1].dropped == 4


@given(
    st.lists(st.tuples(st.integers(1, 60_000), st.integers(0, 3), st.integers(1, 40)), min_size=1, max_size=8),
    st.lists(st.tuples(st.integers(1, 60_000), st.integers(0, 3), st.integers(0, 2)), max_size=8),
    st.integers(0, 900),
    st.sampled_from(["6.1", "6.9", "6.12", "6.18"]),
)
@settings(max_examples=60, deadline=None)
def test_rfs_never_reorders_a_flow(
    bursts: list[tuple[int, int, int]], moves: list[tuple[int, int, int]], deliver_ns: int, release: str
) -> None:
    kit = Kit(4, release, deliver_skb_ns=deliver_ns, ipi_send_ns=200, ipi_receive_ns=300, enqueue_to_backlog_ns=20)
    set_rps_sock_flow_entries(kit.net, 64)
    for queue in kit.dev.queues:
        set_rps_flow_cnt(kit.net, queue, 64)
        set_rps_cpus(kit.net, queue, 0b1111)
    flows = [0x5000, 0x6004, 0x7008]
    for flow_hash in flows:  # a flow that plain RPS has steered so far may be reordered when its first reader is seen
        record(kit, flow_hash, 1)
    number = 0
    for at_ns, _, packets in sorted(bursts):
        feed = Feed(kit, packet_ns=30, skbs=[skb(kit, number + n, flows[n % 3]) for n in range(packets)])
        number += packets
        kit.schedule(0, at_ns, feed)
    for at_ns, reader, flow in moves:
        kit.at(reader, at_ns, lambda cpu, flow=flow: record(kit, flows[flow], cpu.index))  # type: ignore[misc]
    flow_of: dict[int, int] = {}
    start = 0
    for _, _, packets in sorted(bursts):
        flow_of |= {start + n: n % 3 for n in range(packets)}
        start += packets
    kit.play()
    assert len(kit.seen) == number
    # All feeds are polled by CPU 0, first come first served and within one poll each: so numbers rise in the order of steering.
    for flow in range(3):
        numbers = [n for _, n in sorted((time_ns, n) for _, time_ns, n in kit.seen if flow_of[n] == flow)]
        assert numbers == sorted(numbers)


# ---------------------------------------------------------------- accelerated RFS


class Steerer:
    """A driver that takes filters for queue = CPU."""

    def __init__(self, kit: Kit, answer: int = 40) -> None:
        self.asked: list[tuple[int, int]] = []
        self.answer = answer
        kit.dev.ntuple = True
        kit.dev.rx_cpu_rmap = lambda cpu: cpu
        kit.dev.ndo_rx_flow_steer = self.steer

    def steer(self, packet: Skb, rxq: int, flow_id: int) -> int:
        self.asked.append((rxq, flow_id))
        return self.answer


def test_a_moved_flow_asks_the_driver_for_a_filter_on_the_readers_queue() -> None:  # A1, A2
    kit = with_rfs()
    steerer = Steerer(kit)
    record(kit, 0x5003, 2)
    packet = skb(kit, 0, 0x5003)
    assert steered(kit, packet) == 2
    old, new = dev_table(kit, 0), dev_table(kit, 2)
    assert steerer.asked == [(2, new.slot(0x5003))]
    assert new.filter[new.slot(0x5003)] == 40
    assert packet.rps_table is new
    assert (new.cpu[new.slot(0x5003)], old.cpu[old.slot(0x5003)]) == (2, RPS_NO_CPU)


def test_each_further_packet_on_the_old_queue_asks_again() -> None:  # A2b
    kit = with_rfs()
    steerer = Steerer(kit)
    record(kit, 0x5003, 2)
    for number in range(3):
        assert steered(kit, skb(kit, number, 0x5003)) == 2
    assert len(steerer.asked) == 3


def test_a_packet_on_the_right_queue_asks_nobody() -> None:  # A1
    kit = with_rfs()
    steerer = Steerer(kit)
    record(kit, 0x5003, 2)
    packet = skb(kit, 0, 0x5003, queue=2)
    assert steered(kit, packet) == 2
    assert steerer.asked == []
    assert packet.rps_table is dev_table(kit, 2)


def test_an_old_entry_with_the_same_filter_loses_it() -> None:  # A2
    kit = with_rfs()
    Steerer(kit)
    record(kit, 0x5003, 2)
    old = dev_table(kit, 0)
    old.filter[old.slot(0x5003)] = 40
    steered(kit, skb(kit, 0, 0x5003))
    assert old.filter[old.slot(0x5003)] == RPS_NO_FILTER


@pytest.mark.parametrize("why", ["refused", "no ntuple", "no map", "no operation", "no table there", "no such queue"])
def test_without_a_filter_the_flow_moves_in_the_old_queues_table(why: str) -> None:  # A1, A2
    kit = with_rfs()
    steerer = Steerer(kit, -28 if why == "refused" else 40)
    if why == "no ntuple":
        kit.dev.ntuple = False
    elif why == "no map":
        kit.dev.rx_cpu_rmap = None
    elif why == "no operation":
        kit.dev.ndo_rx_flow_steer = None
    elif why == "no table there":
        set_rps_flow_cnt(kit.net, kit.dev.queues[2], 0)
    elif why == "no such queue":
        kit.dev.rx_cpu_rmap = lambda cpu: 400
    record(kit, 0x5003, 2)
    packet = skb(kit, 0, 0x5003)
    assert steered(kit, packet) == 2
    assert packet.rps_table is dev_table(kit, 0)
    assert dev_table(kit, 0).cpu[packet.rps_slot] == 2
    assert steered(kit, skb(kit, 1, 0x5003)) == 2
    assert len(steerer.asked) == (why == "refused")
