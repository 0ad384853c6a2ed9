"""Rings and queues that are taken down and up while frames flow."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emu.dropreason import DropReason
from emu.errors import ConfigError, ControlError
from emu.headers import Headers, HeaderTable
from nic.channels import set_descriptors, set_queues
from nic.controls import contribute
from nic.nic import Nic
from nic.vector import VECTORS_PER_CPU
from softirq import controls as softirq_controls
from softirq.rps import set_rps_cpus, set_rps_flow_cnt
from softirq.threaded import dev_set_threaded
from tests.nic.rig import HARDIRQ_NS, Rig, frame, udp_headers
from tests.scenario_kit import play

TABLE = HeaderTable()
FLOWS = [udp_headers(number, table=TABLE) for number in range(64)]


def rig(times: range | list[int], *, queues: int = 4, cpus: int = 4, tree: bool = True, **more: object) -> Rig:
    """A NIC that gets a frame of the next of 64 flows at each time."""
    frames = [frame(FLOWS[number % 64], time) for number, time in enumerate(times)]
    made = Rig(frames, cpus=cpus, queues=queues, **more)  # type: ignore[arg-type]
    if tree:
        softirq_controls.contribute_device(made.machine.tree, made.net, made.dev)
        contribute(made.machine.tree, made.machine.irqs, made.nic)
    return made


def lost(made: Rig) -> int:
    return made.net.ledger.dropped_frames[DropReason.NIC_RESET]


def is_quiet(nic: Nic) -> bool:
    """Nothing is stranded: no ring holds a frame, each vector is armed, no NAPI is still on its way out."""
    return not nic.held_frames() and not nic.leaving and all(vector.armed and not vector.gone for vector in nic.vectors)


def test_a_remade_ring_loses_what_lies_in_it_and_keeps_its_counters() -> None:
    """20 frames wait for a CPU that is taken by the interrupt; the ring is remade before it looks."""
    made = rig([1000] * 20, queues=1, cpus=1)
    made.at(1500, lambda: set_descriptors(made.nic, 100))
    made.run()
    ring = made.nic.rings[0]
    assert (lost(made), ring.discarded, ring.accepted, len(made.received)) == (20, 20, 20, 0)
    assert (ring.descriptors, ring.available) == (128, 120)
    assert made.nic.arrived_bytes() == 20 * 64
    assert [event.text for event in made.net.events.last(9)] == ["eth0: rings taken down, 20 frames in them are lost"]
    assert is_quiet(made.nic)


def test_frames_after_a_remade_ring_arrive_in_the_new_one() -> None:
    made = rig(range(1000, 101_000, 1000), queues=1, cpus=1)
    made.at(50_500, lambda: set_descriptors(made.nic, 64))
    made.run()
    assert len(made.received) + lost(made) == 100
    assert lost(made) <= 2
    assert made.nic.rings[0].polled == len(made.received)


def test_a_poll_that_has_begun_is_not_undone_by_a_remade_ring() -> None:
    """Its CPU works ahead of the write: what it took out is through, and the ring is empty by then."""
    made = rig([1000] * 20, queues=1, cpus=1)
    made.at(1000 + HARDIRQ_NS + 500, lambda: set_descriptors(made.nic, 512))
    made.run()
    assert (len(made.received), lost(made)) == (20, 0)


def test_a_wrong_size_changes_no_ring() -> None:
    made = rig([1000])
    for size in (0, 63, 8161):
        with pytest.raises(ConfigError, match="nearest possible"):
            set_descriptors(made.nic, size)
    assert [ring.descriptors for ring in made.nic.rings] == [2048] * 4
    assert len(made.run().received) == 1


def test_fewer_queues_take_all_frames_from_then_on() -> None:
    made = rig(range(1000, 401_000, 1000))
    made.at(200_500, lambda: set_queues(made.nic, 2))
    made.run()
    early = {skb.rx_queue for _, _, skb in made.received if skb.arrived_ns < 200_500}
    late = {skb.rx_queue for _, _, skb in made.received if skb.arrived_ns > 200_500}
    assert (early, late) == ({0, 1, 2, 3}, {0, 1})
    assert len(made.received) + lost(made) == 400
    assert is_quiet(made.nic)


def test_more_queues_share_the_frames_from_then_on() -> None:
    made = rig(range(1000, 401_000, 1000), queues=1)
    made.at(200_500, lambda: set_queues(made.nic, 4))
    made.run()
    cpus = {cpu for cpu, _, skb in made.received if skb.arrived_ns > 200_500}
    assert cpus == {0, 1, 2, 3}
    assert {skb.rx_queue for _, _, skb in made.received if skb.arrived_ns < 200_500} == {0}
    assert is_quiet(made.nic)


def test_a_queue_that_appears_interrupts_for_its_first_frame() -> None:
    to_third = next(hdr for hdr in FLOWS if rig([], tree=False).rss.classify(hdr)[2] == 3)
    made = Rig([frame(to_third, 50_000)], cpus=4, queues=2)
    made.at(10_000, lambda: set_queues(made.nic, 4))
    made.run()
    assert [(cpu, skb.rx_queue) for cpu, _, skb in made.received] == [(3, 3)]
    assert made.nic.vectors[3].irqs == [0, 0, 0, 1]


def test_files_of_queues_and_interrupts_vanish_and_appear() -> None:
    made = rig([])
    tree = made.machine.tree

    def numbers() -> list[str]:
        return [name for name in tree.list("/proc/irq") if name.isdigit()]

    set_queues(made.nic, 2)
    assert tree.list("/sys/class/net/eth0/queues") == ["rx-0", "rx-1"]
    assert numbers() == tree.list("/sys/kernel/irq") == ["32", "33"]
    assert tree.read("/proc/interrupts").count("eth0-TxRx-") == 2
    set_queues(made.nic, 3)
    assert tree.list("/sys/class/net/eth0/queues") == ["rx-0", "rx-1", "rx-2"]
    assert numbers() == tree.list("/sys/class/net/eth0/device/msi_irqs") == ["32", "33", "34"]
    assert tree.read("/proc/irq/34/smp_affinity_list") == "2\n"
    tree.write("/sys/class/net/eth0/queues/rx-2/rps_cpus", "f")
    assert made.dev.queues[2].rps_mask == 15


def test_vectors_that_stay_keep_their_affinity_and_new_ones_get_the_scenarios() -> None:
    made = rig([], queues=2)
    nic = made.nic
    nic.affinity_masks = [0b1, 0b1, 0b1000]
    nic.set_affinity(0, 0b0100)
    set_queues(nic, 4)
    assert [vector.affinity for vector in nic.vectors] == [0b0100, 0b0010, 0b1000, 0b1000]
    assert [vector.irq for vector in nic.vectors] == [32, 33, 34, 35]


def test_vectors_that_go_leave_room_and_number_to_others() -> None:
    made = rig([])
    set_queues(made.nic, 1)
    assert made.matrix.free == [VECTORS_PER_CPU - 1] + [VECTORS_PER_CPU] * 3
    assert made.matrix.irqs == {32}
    set_queues(made.nic, 4)
    assert made.matrix.free == [VECTORS_PER_CPU - 1] * 4
    assert made.matrix.irqs == {32, 33, 34, 35}


def test_no_room_for_a_vector_changes_nothing() -> None:
    made = rig([], queues=1)
    made.matrix.free[2] = 0
    with pytest.raises(ControlError) as error:
        set_queues(made.nic, 4)
    assert error.value.errno_name == "ENOSPC"
    assert (len(made.nic.rings), len(made.nic.vectors), len(made.dev.napis), len(made.dev.queues)) == (1, 1, 1, 1)
    assert made.matrix.irqs == {32}
    assert made.matrix.free[1] == VECTORS_PER_CPU


def test_the_default_table_follows_and_a_users_does_not() -> None:
    made = rig([])
    set_queues(made.nic, 3)
    assert set(made.rss.indirection) == {0, 1, 2}
    made.rss.set_equal(2)
    set_queues(made.nic, 4)
    assert set(made.rss.indirection) == {0, 1}
    with pytest.raises(ControlError, match="names queue 1"):
        set_queues(made.nic, 1)
    assert (made.rss.queues, len(made.nic.vectors), len(made.dev.queues)) == (4, 4, 4)
    made.rss.set_default()
    set_queues(made.nic, 1)
    assert set(made.rss.indirection) == {0}


def test_steering_state_goes_with_its_queue() -> None:
    made = rig([])
    for queue in made.dev.queues:
        set_rps_cpus(made.net, queue, 0b11)
        set_rps_flow_cnt(made.net, queue, 16)
    assert made.net.rps_maps_set == 4
    set_queues(made.nic, 1)
    assert made.net.rps_maps_set == 1
    made.net.settings.rps_default_mask = 0b1100
    set_queues(made.nic, 2)
    assert [queue.rps_mask for queue in made.dev.queues] == [0b11, 0b1100]
    assert made.dev.queues[1].rps_flow_table is None


def test_skbs_of_a_queue_that_vanished_are_no_longer_steered() -> None:
    """R1: what a NAPI still hands over of its old queue is processed where it is."""
    made = rig([1000] * 400, queues=2, cpus=4, deliver_skb=2000)
    for queue in made.dev.queues:
        set_rps_cpus(made.net, queue, 0b1100)
    made.dev.gro_flush_timeout_ns = 0
    made.at(200_000, lambda: set_queues(made.nic, 1))
    made.run(5_000_000)
    assert {cpu for cpu, _, _ in made.received} <= {0, 1, 2, 3}
    assert len(made.received) + lost(made) + made.dev.statistics.rx_missed_errors == 400
    assert is_quiet(made.nic)


def test_a_scheduled_napi_of_a_vector_that_goes_ends_its_poll_by_itself() -> None:
    """CPU 1 polls queue 1 again and again when the queue goes: the rest of its ring is lost, its NAPI ends with an empty poll."""
    made = rig([], queues=2, tree=False)
    to_second = next(hdr for hdr in FLOWS if made.rss.classify(hdr)[2] == 1)
    made = Rig([frame(to_second, 1000) for _ in range(1000)], cpus=4, queues=2)
    napi = made.nic.vectors[1].napis[0]
    seen: list[tuple[bool, int]] = []

    def write() -> None:
        set_queues(made.nic, 1)
        seen.append((napi.sched, len(made.nic.leaving)))

    made.at(30_000, write)
    made.run()
    assert seen == [(True, 1)]
    assert not napi.sched
    assert 0 < len(made.received) < 1000
    assert len(made.received) + lost(made) == 1000
    assert is_quiet(made.nic)


def test_what_gro_held_in_a_napi_that_nobody_polls_is_lost_with_it() -> None:
    made = rig([1000], queues=2, gro=True)
    made.dev.gro_flush_timeout_ns = 1_000_000
    napi = made.nic.vectors[1].napis[0]

    def write() -> None:
        skb = frame(FLOWS[0], 0)
        napi.gro_hash[0][b"a key"] = skb
        made.net.ledger.arrived_frames += 1
        set_queues(made.nic, 1)

    made.at(500_000, write)
    made.run()
    assert made.net.ledger.dropped_frames[DropReason.EMU_NAPI_DEL] == 1
    assert (lost(made), napi.gro_held, len(made.received)) == (0, 0, 1)
    assert napi not in made.dev.napis


def test_threads_of_new_napis_poll_and_those_of_old_ones_end() -> None:
    made = rig(range(1000, 401_000, 500))
    dev_set_threaded(made.net, made.dev, True)
    made.at(100_500, lambda: set_queues(made.nic, 1))
    made.at(200_500, lambda: set_queues(made.nic, 4))
    made.run()
    assert all(napi.threaded and napi.thread is not None for napi in made.dev.napis)
    assert len(made.received) + lost(made) == 800
    assert {skb.rx_queue for _, _, skb in made.received if skb.arrived_ns > 200_500} == {0, 1, 2, 3}
    assert is_quiet(made.nic)


def test_six_queues_on_two_vectors_become_three_with_a_vector_each() -> None:
    made = rig(range(1000, 301_000, 500), queues=6, vectors=2)
    made.at(150_000, lambda: set_queues(made.nic, 3))
    made.run()
    assert [[ring.index for ring in vector.rings] for vector in made.nic.vectors] == [[0], [1], [2]]
    assert is_quiet(made.nic)


def test_queues_set_before_the_run_hold_for_the_first_frame() -> None:
    made = rig([0, 0, 0, 0])
    set_queues(made.nic, 1)
    assert made.nic.wire.generated_frames == 0
    made.run()
    assert {(cpu, skb.rx_queue) for cpu, _, skb in made.received} == {(0, 0)}


def test_bytes_that_came_to_queues_which_are_gone_are_not_forgotten() -> None:
    made = rig(range(1000, 101_000, 1000))
    before: list[int] = []

    def write() -> None:
        made.nic.advance(made.clock.now_ns)
        before.append(made.nic.arrived_bytes())
        set_queues(made.nic, 1)
        before.append(made.nic.arrived_bytes())

    made.at(60_500, write)
    made.run()
    assert before[0] == before[1] > 0
    assert made.nic.arrived_bytes() == 100 * 64


Change = Callable[[Nic], object]

CHANGES: list[Change] = [
    lambda nic: set_queues(nic, 1),
    lambda nic: set_queues(nic, 2),
    lambda nic: set_queues(nic, 5),
    lambda nic: set_descriptors(nic, 64),
    lambda nic: set_descriptors(nic, 512),
    lambda nic: nic.reconfigure(lambda: nic.rss.set_equal(1)),
    lambda nic: nic.reconfigure(lambda: nic.rss.set_weights([1] * nic.rss.queues)),
    lambda nic: nic.reconfigure(nic.rss.set_default),
    lambda nic: nic.set_coalesce(rx_usecs=30, adaptive=False),
    lambda nic: nic.set_coalesce(adaptive=True),
    lambda nic: nic.set_affinity(0, 0b100),
    lambda nic: nic.set_mtu(9000),
    lambda nic: dev_set_threaded(nic.net, nic.dev, not nic.dev.threaded),
]


@settings(max_examples=60, deadline=None)
@given(
    traffic=st.lists(st.tuples(st.integers(0, 300_000), st.integers(0, 63)), min_size=1, max_size=300),
    changes=st.lists(st.tuples(st.integers(0, 320_000), st.sampled_from(CHANGES)), min_size=1, max_size=8),
    queues=st.integers(1, 4),
    deliver_skb=st.sampled_from([0, 3000]),
    defer=st.booleans(),
)
def test_no_frame_is_lost_from_the_books_and_none_is_stranded_whatever_changes_when(
    traffic: list[tuple[int, int]], changes: list[tuple[int, Change]], queues: int, deliver_skb: int, defer: bool
) -> None:
    """Arrived = received + dropped (`Rig.run` checks the ledger), and in the end all is quiet."""
    arriving: list[tuple[int, Headers]] = [(time, FLOWS[flow]) for time, flow in traffic]
    made = Rig(
        [frame(hdr, time) for time, hdr in arriving],
        cpus=3,
        queues=queues,
        descriptors=64,
        gro=True,
        deliver_skb=deliver_skb,
    )
    nic = made.nic
    if defer:
        made.dev.gro_flush_timeout_ns = 15_000
        made.dev.napi_defer_hard_irqs = 2

    def write(change: Change) -> None:
        try:
            change(nic)
        except ControlError as error:
            if "names queue" not in error.message:
                raise
        made.net.ledger.check(made.clock.now_ns)

    for when_ns, change in changes:
        made.at(when_ns, lambda change=change: write(change))  # type: ignore[misc]
    made.run(5_000_000)
    received = sum(skb.frames for _, _, skb in made.received)
    assert received + sum(made.net.ledger.dropped_frames) == len(traffic)
    assert is_quiet(nic)
    assert len(nic.vectors) <= len(nic.rings) == len(made.dev.queues) == nic.rss.queues
    assert len(made.dev.napis) == len(nic.vectors)


def test_a_scheduled_napi_that_vanishes_lets_go_of_what_it_holds_and_is_not_woken_by_its_timer() -> None:
    text = """
[machine]
cpus = 2
[nic]
queues = 3
rx_usecs = 40
[set]
"/sys/class/net/eth0/gro_flush_timeout" = 40000
[[traffic]]
protocol = "tcp"
rate_pps = 3000000
packets = 3000
flows = 500
size = 128
[[app]]
protocol = "tcp"
port = 5001
"""
    writes = [(475_000, "ethtool", "-L eth0 combined 1")]
    built = play(text, writes=writes)
    assert not built.nic.leaving
