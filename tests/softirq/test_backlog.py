"""The backlog: admission, drops, SCHED and IPIs, process_backlog (B1-B12, I1-I3, Z4-Z6)."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cpus.cpu import NET_RX_SOFTIRQ, Cpu
from emu.dropreason import DropReason
from softirq.backlog import enqueue_to_backlog, net_rps_action
from softirq.rps import set_rps_cpus
from tests.machine_kit import Feed, Kit, skb


def hold(kit: Kit, cpu: int) -> None:
    kit.cpus[cpu].bh_disabled += 1


def release(cpu: Cpu) -> None:
    cpu.bh_disabled -= 1


def steer(
    kit: Kit, packets: int, target: int, at_ns: int = 0, cpu: int = 0, packet_ns: int = 1, first: int = 0
) -> Feed:
    """Let `cpu` post `packets` to `target`, from `at_ns` on."""

    class Steering(Feed):
        def poll(self, sd, budget):  # type: ignore[no-untyped-def]
            work = min(len(self.skbs), budget)
            for _ in range(work):
                sd.cpu.local_now_ns += self.packet_ns
                enqueue_to_backlog(sd, self.skbs.pop(0), target)
            if work < budget:
                self.sched = False
            return work

    feed = Steering(kit, f"to{target}", skbs=[skb(kit, first + n) for n in range(packets)], packet_ns=packet_ns)
    kit.schedule(cpu, at_ns, feed)
    return feed


# ---------------------------------------------------------------- admission


@pytest.mark.parametrize(
    ("limit", "sent", "admitted"), [(1000, 1200, 1001), (1000, 1001, 1001), (0, 5, 1), (1, 5, 2), (-1, 1500, 1500)]
)
def test_a_backlog_of_n_admits_n_and_one_more(limit: int, sent: int, admitted: int) -> None:  # B3, B6, Z4, Z6
    kit = Kit(2)
    kit.net.settings.set("netdev_max_backlog", limit)
    hold(kit, 1)
    steer(kit, sent, 1)
    kit.play()
    here, there = kit.net.softnet
    dropped = sent - admitted
    assert len(there.backlog.input_pkt_queue) == admitted
    assert there.backlog.input_queue_tail == admitted
    assert (here.dropped, there.dropped) == (0, dropped)
    assert kit.dev.statistics.rx_dropped == dropped
    assert kit.ledger.dropped_frames[DropReason.CPU_BACKLOG] == dropped
    assert there.backlog.held_frames() == admitted


def test_two_thousand_and_two_packets_are_held_for_one_cpu() -> None:  # Z6
    kit = Kit(2)
    there = kit.net.softnet[1]
    kit.net.settings.set("dev_weight", 1)
    there.backlog.weight = 1
    hold(kit, 1)
    steer(kit, 1001, 1)
    kit.at(1, 50_000, release)
    steer(kit, 1100, 1, at_ns=100_000, first=2000)
    ptype = kit.net.ptypes[0x0800]
    received, held = ptype.func, []

    def slow(sd, packet):  # type: ignore[no-untyped-def]
        sd.cpu.local_now_ns += 1_000_000
        held.append((len(there.backlog.process_queue), len(there.backlog.input_pkt_queue)))
        received(sd, packet)

    ptype.func = slow
    kit.play()
    # While the second packet is worked on, 999 wait behind it, and 1001 in the queue: with the first, 2002 were taken in.
    assert held[0] == (1000, 0)
    assert held[1] == (999, 1001)
    assert there.dropped == 1100 - 1001
    assert there.processed == 2002


def test_process_queue_does_not_count_for_the_limit() -> None:  # B3
    kit = Kit(2, deliver_skb_ns=100_000)
    kit.net.settings.set("netdev_max_backlog", 10)
    hold(kit, 1)
    steer(kit, 11, 1)
    kit.at(1, 1000, release)
    steer(kit, 11, 1, at_ns=5000, first=100)
    kit.play()
    assert kit.net.softnet[1].dropped == 0
    assert kit.net.softnet[1].processed == 22


@pytest.mark.parametrize(
    ("release_name", "counted", "reason"),
    [
        ("6.1", True, DropReason.NOT_SPECIFIED),
        ("6.9", True, DropReason.NOT_SPECIFIED),
        ("6.12", False, DropReason.DEV_READY),
        ("6.18", False, DropReason.DEV_READY),
    ],
)
def test_packets_of_a_stopped_device_are_dropped(
    release_name: str, counted: bool, reason: DropReason
) -> None:  # B2, K10
    kit = Kit(2, release_name)
    kit.dev.running = False
    steer(kit, 3, 1)
    kit.play()
    assert [sd.dropped for sd in kit.net.softnet] == [0, 3 if counted else 0]
    assert kit.ledger.dropped_frames[reason] == 3
    assert kit.dev.statistics.rx_dropped == 3
    assert [sd.received_rps for sd in kit.net.softnet] == [0, 0]


# ---------------------------------------------------------------- SCHED and IPIs


def test_received_rps_counts_interrupts_not_packets() -> None:  # Z5, I2
    kit = Kit(2)
    steer(kit, 64, 1)
    kit.play()
    here, there = kit.net.softnet
    assert (here.received_rps, there.received_rps) == (0, 1)
    assert (here.ipis_sent, there.ipis_sent) == (1, 0)
    assert (here.processed, there.processed) == (0, 64)


def test_a_target_that_is_still_busy_gets_no_second_interrupt() -> None:  # B4
    kit = Kit(2, deliver_skb_ns=1000)
    steer(kit, 50, 1)
    steer(kit, 30, 1, at_ns=20_000, first=100)
    kit.play()
    assert kit.net.softnet[1].received_rps == 1
    assert kit.net.softnet[1].processed == 80


def test_a_target_that_has_completed_gets_another() -> None:  # B4
    kit = Kit(2, deliver_skb_ns=10)
    steer(kit, 50, 1)
    steer(kit, 30, 1, at_ns=20_000, first=100)
    kit.play()
    assert kit.net.softnet[1].received_rps == 2


def test_no_interrupt_leaves_before_the_end_of_the_call_and_the_newest_target_gets_its_first() -> None:  # I1, B4
    kit = Kit(4, ipi_send_ns=100, ipi_receive_ns=1)
    started: dict[int, int] = {}
    feed = Feed(kit, packet_ns=10)

    def poll(sd, budget):  # type: ignore[no-untyped-def]
        for number, target in enumerate((1, 2, 1, 3, 2, 1)):
            sd.cpu.local_now_ns += 10
            enqueue_to_backlog(sd, skb(kit, number), target)
        feed.sched = False
        return 6

    feed.poll = poll  # type: ignore[method-assign]
    kit.schedule(0, 0, feed)
    kit.play()
    for index, time_ns, _ in kit.seen:
        started.setdefault(index, time_ns)
    # The poll ends at 60, its last post is decided at 61; each IPI takes 100 to send, arrives 1 ns later and takes 1.
    assert started == {3: 163, 2: 263, 1: 363}
    assert [sd.received_rps for sd in kit.net.softnet] == [0, 1, 1, 1]
    assert kit.net.softnet[0].ipis_sent == 3


def test_offline_targets_get_no_interrupt() -> None:  # I2
    kit = Kit(3)
    here, gone, there = kit.net.softnet
    gone.cpu.online = False
    here.rps_ipi_list = [gone, there]
    net_rps_action(here)
    assert here.rps_ipi_list == []
    assert here.ipis_sent == 1
    assert gone.cpu.mailbox.next_ns() > 1 << 60
    assert there.cpu.mailbox.next_ns() == 1


def test_waiting_interrupts_leave_before_the_backlogs_own_packets() -> None:  # B8
    kit = Kit(3, deliver_skb_ns=10_000, ipi_send_ns=5)
    hold(kit, 0)
    steer(kit, 8, 0, cpu=2)
    steer(kit, 1, 1, at_ns=1000, first=100)
    kit.at(0, 2000, release)
    kit.play()
    first_there = min(time_ns for index, time_ns, _ in kit.seen if index == 1)
    first_here = min(time_ns for index, time_ns, _ in kit.seen if index == 0)
    # CPU 0's list holds its backlog first (listed by the IPI), so the backlog is drained before CPU 1 hears of its packet...
    order = kit.net.softnet[0].ipis_sent, kit.net.softnet[2].ipis_sent
    assert order == (1, 1)
    assert first_here == 12_000
    assert first_there > 82_000


def test_a_backlog_polled_after_the_device_that_steers_sends_the_interrupts_first() -> None:  # B8
    kit = Kit(3, deliver_skb_ns=10_000, ipi_send_ns=5)
    hold(kit, 0)
    steer(kit, 1, 1, at_ns=0, first=100)
    steer(kit, 8, 0, cpu=2, at_ns=100)
    kit.at(0, 2000, release)
    kit.play()
    first_there = min(time_ns for index, time_ns, _ in kit.seen if index == 1)
    # Polled for 1 ns, the post decided 1 ns later, the IPI sent, under way, the packet delivered.
    assert first_there == 2000 + 1 + 1 + 5 + 1 + 10_000


def test_the_own_backlog_needs_no_interrupt() -> None:  # B4, R8
    kit = Kit(2)
    steer(kit, 5, 0)
    kit.play()
    assert [sd.received_rps for sd in kit.net.softnet] == [0, 0]
    assert [sd.processed for sd in kit.net.softnet] == [5, 0]


def test_a_post_at_the_very_end_of_a_poll_of_a_machine_without_costs_is_not_forgotten() -> None:
    for target in (0, 1):
        kit = Kit(2)
        steer(kit, 1, target, packet_ns=0)
        kit.play()
        assert kit.net.softnet[target].processed == 1


def test_packets_posted_in_a_hard_interrupt_are_processed_on_its_exit() -> None:
    kit = Kit(2)
    first, second = skb(kit, 0), skb(kit, 1)

    def netif_rx(cpu: Cpu) -> None:
        enqueue_to_backlog(kit.net.softnet[0], first, 0)
        enqueue_to_backlog(kit.net.softnet[0], second, 1)

    kit.at(0, 100, netif_rx)
    kit.play()
    assert [sd.processed for sd in kit.net.softnet] == [1, 1]
    assert kit.cpus[0].ksoftirqd_wakeups == 0
    # One round for its own backlog, in which the IPI is sent as well.
    assert kit.cpus[0].softirq_counts[NET_RX_SOFTIRQ] == 1


# ---------------------------------------------------------------- process_backlog


def test_a_backlog_is_polled_64_at_a_time() -> None:  # B10
    kit = Kit(2)
    hold(kit, 1)
    steer(kit, 200, 1)
    kit.at(1, 10_000, release)
    kit.play()
    assert kit.net.softnet[1].net_rx_actions == 4
    assert kit.net.softnet[1].input_queue_head == 200
    assert not kit.net.softnet[1].backlog.sched


def test_a_new_dev_weight_counts_from_the_second_poll_on() -> None:  # B9, K6
    kit = Kit(2)
    hold(kit, 1)
    steer(kit, 100, 1)
    kit.net.settings.set("dev_weight", 4)
    kit.net.settings.set("dev_weight_rx_bias", 3)
    kit.at(1, 10_000, release)
    kit.play()
    # 64 by the old weight, then twelve at a time.
    assert kit.net.softnet[1].net_rx_actions == 1 + 3 + 1
    assert kit.net.softnet[1].backlog.weight == 12


def test_what_arrives_while_a_backlog_is_drained_is_taken_in_the_same_poll() -> None:  # B11
    kit = Kit(2, deliver_skb_ns=1000)
    steer(kit, 5, 1)
    steer(kit, 5, 1, at_ns=3000, first=10)
    kit.play()
    assert kit.net.softnet[1].net_rx_actions == 1
    assert kit.net.softnet[1].processed == 10


def test_packets_of_several_senders_are_taken_in_the_order_of_their_stamps() -> None:
    kit = Kit(4)
    hold(kit, 3)
    for cpu in (2, 0, 1):
        steer(kit, 20, 3, at_ns=cpu, cpu=cpu, packet_ns=5 + cpu, first=100 * cpu)
    kit.at(3, 100_000, release)
    kit.play()
    stamps = {100 * cpu + n: (cpu + (5 + cpu) * (n + 1), cpu) for cpu in range(3) for n in range(20)}
    assert [number for _, _, number in kit.seen] == sorted(stamps, key=lambda number: stamps[number])


@pytest.mark.parametrize(
    ("release_name", "per_packet"), [("6.1", True), ("6.9", True), ("6.12", False), ("6.18", False)]
)
def test_the_head_moves_before_a_splice_or_only_at_the_return(release_name: str, per_packet: bool) -> None:  # B10, B11
    kit = Kit(2, release_name, deliver_skb_ns=1000)
    there = kit.net.softnet[1]
    steer(kit, 5, 1)
    steer(kit, 5, 1, at_ns=3000, first=10)
    heads: list[int] = []
    kit.at(0, 8000, lambda cpu: heads.append(there.head_as_of(cpu.synced_ns)))
    kit.at(0, 20_000, lambda cpu: heads.append(there.head_as_of(cpu.synced_ns)))
    kit.play()
    assert heads == [5 if per_packet else 0, 10]


def test_a_head_is_seen_as_of_the_end_of_the_stretch() -> None:
    kit = Kit()
    sd = kit.net.softnet[0]
    sd.input_queue_head = 7
    sd.show_head(100)
    assert (sd.head_as_of(99), sd.head_as_of(100)) == (0, 7)
    sd.show_head(150)
    assert sd.head_as_of(100) == 7
    sd.input_queue_head = 9
    sd.show_head(200)
    assert (sd.head_as_of(199), sd.head_as_of(200)) == (7, 9)


def test_waits_in_the_backlog_are_measured_from_the_stamp() -> None:
    kit = Kit(2, ipi_send_ns=100, ipi_receive_ns=50, backlog_dequeue_ns=7)
    steer(kit, 2, 1, packet_ns=10)
    kit.play()
    # Posted at 10 and 20, decided at 21; the IPI leaves at 121, arrives at 122, its handler ends at 172.
    assert kit.net.latencies.backlog.count == 2
    assert kit.net.latencies.backlog.total == (172 - 10) + (179 - 20)


def test_packets_filled_on_another_node_cost_more() -> None:
    for nodes, extra in ((1, 0), (2, 400)):
        kit = Kit(2, nodes=nodes, numa_cross_ns=400)
        steer(kit, 1, 1)
        kit.play()
        assert kit.cpus[1].accounts.spent_ns[1] == extra


POSTS = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(0, 30_000), st.integers(1, 90)), min_size=1, max_size=8
)


@given(POSTS, st.integers(0, 60), st.integers(0, 2_000), st.sampled_from(["6.1", "6.9", "6.18"]), st.booleans())
@settings(max_examples=80, deadline=None)
def test_nothing_is_lost_between_enqueue_and_demux(
    posts: list[tuple[int, int, int, int]], limit: int, deliver_ns: int, release_name: str, free: bool
) -> None:
    prices = (
        {} if free else {"ipi_send_ns": 150, "ipi_receive_ns": 90, "enqueue_to_backlog_ns": 30, "softirq_entry_ns": 60}
    )
    kit = Kit(4, release_name, deliver_skb_ns=deliver_ns, **prices)
    kit.net.settings.set("netdev_max_backlog", limit)
    sent: Counter[int] = Counter()
    numbers: dict[int, tuple[int, int]] = {}
    for group, (cpu, target, at_ns, packets) in enumerate(posts):
        first = 1000 * group
        steer(kit, packets, target, at_ns, cpu, packet_ns=0 if free else 20, first=first)
        sent[target] += packets
        numbers |= {first + n: (group, n) for n in range(packets)}
    kit.play()
    for sd in kit.net.softnet:
        backlog = sd.backlog
        assert sd.processed + sd.dropped == sent[sd.index]
        assert backlog.input_queue_tail == sd.input_queue_head == sd.processed
        assert not backlog.sched
        assert not backlog.input_pkt_queue
        assert not backlog.process_queue
        assert not sd.rps_ipi_list
        assert sd.received_rps <= sd.processed
    assert sum(sd.ipis_sent for sd in kit.net.softnet) == sum(sd.received_rps for sd in kit.net.softnet)
    last: dict[int, int] = {}
    for _, _, number in kit.seen:
        group, n = numbers[number]
        assert n > last.get(group, -1)
        last[group] = n


def test_a_steered_flow_takes_the_path_from_the_device_to_the_backlog() -> None:
    kit = Kit(3)
    set_rps_cpus(kit.net, kit.dev.queues[0], 0b100)
    kit.schedule(0, 0, Feed(kit, skbs=[skb(kit, n, 9) for n in range(70)]))
    kit.play()
    assert [sd.processed for sd in kit.net.softnet] == [0, 0, 70]
