"""The NIC as a whole: when it interrupts, what a poll does, what settings change and when."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emu.dropreason import DropReason
from emu.errors import ConfigError, ControlError
from emu.headers import HeaderTable
from emu.skb import Skb
from nic.nic import Nic
from nic.vector import SW_ITR_NS
from tests.nic.rig import HARDIRQ_NS, POLL_NS, REFILL_NS, RX_NS, Rig, frame, udp_headers

HDR = udp_headers()
CYCLE_NS = HARDIRQ_NS + POLL_NS + RX_NS + REFILL_NS
"""An interrupt for one frame, until it is armed again."""


def at(*times: int) -> list[Skb]:
    return [frame(HDR, time) for time in times]


def irq_times(rig: Rig) -> list[int]:
    return [time for _, _, time in rig.irqs]


def test_the_first_frame_of_an_idle_vector_interrupts_at_its_arrival() -> None:
    assert irq_times(Rig(at(7777), rx_usecs=50).run()) == [7777]


def test_a_frame_is_picked_after_the_interrupt_and_the_start_of_the_poll() -> None:
    rig = Rig(at(1000)).run()
    assert rig.received[0][2].rx_ns == 1000 + HARDIRQ_NS + POLL_NS
    assert rig.net.latencies.ring.total == HARDIRQ_NS + POLL_NS
    assert rig.cpus[0].accounts.at(10_000)[:2] == [HARDIRQ_NS, POLL_NS + RX_NS + REFILL_NS]


@pytest.mark.parametrize(
    ("rx_usecs", "times"),
    [
        # Armed again at 1000 + CYCLE; the frame at 1500 is taken by the first poll.
        (0, [1000, 3000, 30_000, 130_000]),
        (20, [1000, 21_000, 41_000, 130_000]),
        (50, [1000, 51_000, 130_000]),
        (100, [1000, 101_000, 201_000]),
    ],
)
def test_interrupts_are_an_interval_apart(rx_usecs: int, times: list[int]) -> None:
    """C13: armed, a frame waits, and the interval since the last interrupt has passed."""
    rig = Rig(at(1000, 1500, 3000, 30_000, 130_000), rx_usecs=rx_usecs).run()
    assert irq_times(rig) == times
    assert len(rig.received) == 5


def test_a_frame_that_came_during_the_poll_interrupts_when_the_vector_is_armed_again() -> None:
    """At 2305 the poll has looked for the last time; it arms at 2310."""
    last_look = 1000 + HARDIRQ_NS + POLL_NS + RX_NS
    rig = Rig(at(1000, last_look + 5)).run()
    assert irq_times(rig) == [1000, 1000 + CYCLE_NS]


def test_a_poll_looks_again_as_its_time_goes_on() -> None:
    """The second frame arrives while the first is processed: the same poll takes it."""
    rig = Rig(at(1000, 1000 + HARDIRQ_NS + POLL_NS + RX_NS // 2)).run()
    assert irq_times(rig) == [1000]
    assert rig.nic.vectors[0].napis[0].polls == 1


def test_a_full_poll_stays_masked_and_is_polled_again() -> None:
    """N2, C3: 64 and 36 frames in two calls of net_rx_action, one interrupt."""
    rig = Rig(at(*[1000] * 100)).run(40_000)
    napi = rig.nic.vectors[0].napis[0]
    assert irq_times(rig)[:1] == [1000]
    assert (napi.polls, napi.full_polls, napi.polled_packets) == (2, 1, 64 + 36)
    assert rig.net.softnet[0].time_squeeze == 0


def test_after_a_full_poll_a_software_interrupt_follows_at_its_own_pace() -> None:
    """C4: nothing waits any more, but the vector was in write-back-on-ITR mode."""
    rig = Rig(at(*[1000] * 100)).run(1_000_000)
    assert irq_times(rig) == [1000, 1000 + SW_ITR_NS]
    assert rig.nic.vectors[0].napis[0].polls == 3


def test_a_frame_after_a_full_poll_does_not_wait_for_the_software_interrupt() -> None:
    rig = Rig([*at(*[1000] * 100), *at(30_000)]).run(1_000_000)
    assert irq_times(rig) == [1000, 30_000]


def test_budget_is_split_over_the_rings_of_a_vector() -> None:
    """C3: two rings of one vector, 32 each; one that used its share keeps the poll going."""
    table = HeaderTable()
    rig = Rig([], queues=2, vectors=1)
    flows = [udp_headers(number, table=table) for number in range(50)]
    queues = [rig.rss.classify(hdr)[2] for hdr in flows]
    first, second = flows[queues.index(0)], flows[queues.index(1)]
    arriving = [frame(first, 1000) for _ in range(40)] + [frame(second, 1000) for _ in range(5)]
    rig = Rig(arriving, queues=2, vectors=1).run(40_000)
    napi = rig.nic.vectors[0].napis[0]
    # 32 + 5 in the first poll, charged as a whole budget (N8); 8 in the second.
    assert (napi.polls, napi.full_polls, napi.polled_packets) == (2, 1, 64 + 8)
    assert [skb.rx_queue for _, _, skb in rig.received] == [0] * 32 + [1] * 5 + [0] * 8


def test_a_full_ring_drops_and_the_device_counts() -> None:
    """C7: seen as rx_missed_errors, never in softnet_stat."""
    rig = Rig(at(*range(1000, 1300)), descriptors=64).run()
    ring = rig.nic.rings[0]
    assert ring.dropped == rig.dev.statistics.rx_missed_errors == 300 - len(rig.received) > 0
    assert rig.net.ledger.dropped_frames[DropReason.NIC_RING_FULL] == ring.dropped
    assert ring.peak == 56
    assert ring.accepted_bytes == 64 * len(rig.received)
    assert rig.net.softnet[0].dropped == 0


def test_descriptors_come_back_at_the_end_of_a_clean_only() -> None:
    """C6: 56 frames fill the ring; what comes while they are cleaned is lost, what comes after the refill is not."""
    clean_ends = 1000 + HARDIRQ_NS + POLL_NS + 56 * RX_NS + 56 * REFILL_NS
    rig = Rig([*at(*[1000] * 56), *at(clean_ends - 1, clean_ends, clean_ends + 1)], descriptors=64).run()
    assert [skb.arrived_ns for _, _, skb in rig.received[56:]] == [clean_ends + 1]
    assert rig.nic.rings[0].dropped == 2


def test_a_loaded_nic_takes_no_turn() -> None:
    """Polls generate what they need: one turn at the start, and one at the end of the first chunk at most."""
    rig = Rig(at(*range(1000, 3_000_000, 150))).run(3_000_000)
    assert len(rig.received) > 10_000
    assert rig.nic.turns <= 3


def test_sparse_traffic_costs_a_turn_a_frame() -> None:
    frames = at(*range(10**7, 2 * 10**8, 10**7))
    rig = Rig(frames).run(10**9)
    assert irq_times(rig) == [skb.arrived_ns for skb in frames]
    assert rig.nic.turns <= len(frames) + 2


def test_a_new_affinity_takes_what_is_on_its_way() -> None:
    rig = Rig(at(1000, 9_000), cpus=2)
    rig.at(5_000, lambda: rig.nic.set_affinity(0, 0b10))
    rig.run()
    assert rig.irqs == [(0, 0, 1000), (0, 1, 9000)]
    assert rig.nic.vectors[0].irqs == [1, 1]


def test_a_new_affinity_does_not_take_back_what_has_arrived() -> None:
    """The CPU is at work with softirqs of the first frame when the vector moves: that poll goes on where it is."""
    rig = Rig(at(1000, 2250), cpus=2)
    rig.at(2_200, lambda: rig.nic.set_affinity(0, 0b10))
    rig.run()
    assert rig.irqs == [(0, 0, 1000)]
    assert [cpu for cpu, _, _ in rig.received] == [0, 0]


def test_a_shorter_interval_brings_a_waiting_interrupt_forward() -> None:
    rig = Rig(at(1000, 4000), rx_usecs=1000)
    rig.at(10_000, lambda: rig.nic.set_coalesce(rx_usecs=0))
    rig.run()
    assert irq_times(rig) == [1000, 10_001]


def test_a_longer_interval_puts_a_waiting_interrupt_off() -> None:
    rig = Rig(at(1000, 4000), rx_usecs=20)
    rig.at(10_000, lambda: rig.nic.set_coalesce(rx_usecs=100))
    rig.run()
    assert irq_times(rig) == [1000, 101_000]


def test_a_wrong_interval_changes_no_vector() -> None:
    rig = Rig([], queues=2, rx_usecs=50)
    with pytest.raises(ControlError):
        rig.nic.set_coalesce(rx_usecs=9000)
    assert {vector.moderation.itr_ns for vector in rig.nic.vectors} == {50_000}


def test_a_new_indirection_steers_what_has_not_arrived() -> None:
    rig = Rig(at(*range(1000, 101_000, 1000)), cpus=4, queues=4)
    home = rig.rss.classify(HDR)[2]
    away = (home + 1) % 4
    rig.at(50_500, lambda: rig.nic.reconfigure(lambda: rig.rss.set_indirection([away] * 2048)))
    rig.run()
    assert [(skb.arrived_ns > 50_500, skb.rx_queue) for _, _, skb in rig.received] == [
        (late, away if late else home) for late in [False] * 50 + [True] * 50
    ]


def test_settings_written_before_the_run_hold_for_a_frame_at_time_0() -> None:
    rig = Rig(at(0), cpus=2, queues=2)
    rig.nic.set_affinity(0, 0b10)
    rig.nic.set_coalesce(rx_usecs=10)
    rig.nic.reconfigure(lambda: rig.rss.set_indirection([0] * 2048))
    assert rig.nic.wire.generated_frames == 0
    assert rig.run().irqs == [(0, 1, 0)]


def test_two_runs_are_equal() -> None:
    """trio starts tasks in random order; nothing depends on it."""
    first, second = (Rig(at(*range(0, 500_000, 700)), cpus=4, queues=4, rx_usecs=20) for _ in range(2))
    assert outcome(first.run(2_000_000)) == outcome(second.run(2_000_000))


def test_a_refused_change_leaves_frames_where_they_were() -> None:
    rig = Rig(at(*range(1000, 11_000, 1000)))
    errors: list[str] = []

    def write() -> None:
        with pytest.raises(ControlError) as error:
            rig.nic.reconfigure(lambda: rig.rss.set_equal(9))
        errors.append(error.value.errno_name)

    rig.at(5_500, write)
    rig.run()
    assert errors == ["EINVAL"]
    assert len(rig.received) == 10


def test_adaptive_moderation_lengthens_the_interval_under_load() -> None:
    """C11: it starts at 8 us, and leaves it."""
    rig = Rig(at(*range(1000, 20_000_000, 500)), adaptive_rx=True).run(20_000_000)
    moderation = rig.nic.vectors[0].moderation
    assert moderation.dim.decisions > 3
    assert rig.nic.statistics().vectors[0].adaptive


def test_deferred_interrupts_keep_the_vector_masked() -> None:
    """P6: napi_defer_hard_irqs and gro_flush_timeout: the timer polls, the interrupt comes after the empty polls."""
    rig = Rig(at(1000, 12_000))
    rig.dev.gro_flush_timeout_ns = 20_000
    rig.dev.napi_defer_hard_irqs = 1
    rig.run(200_000)
    assert irq_times(rig)[0] == 1000
    # 12000 finds the vector masked: the timer of the first completion takes the frame.
    assert rig.received[1][1] > 20_000
    assert rig.nic.vectors[0].armed


def test_wrong_numbers_of_vectors_are_refused() -> None:
    for vectors in (0, 3):
        with pytest.raises(ConfigError, match="1 to 2"):
            Rig([], queues=2, vectors=vectors)


def test_statistics_are_a_copy() -> None:
    rig = Rig(at(1000, 2000), cpus=2)
    before = rig.nic.statistics()
    rig.run()
    after = rig.nic.statistics()
    assert before.queues[0].packets == 0
    assert (after.queues[0].packets, after.queues[0].bytes, after.vectors[0].packets) == (2, 128, 2)
    assert after.vectors[0].irqs == (1, 0)


def outcome(rig: Rig) -> object:
    return (
        rig.irqs,
        [(cpu, time, skb.number, skb.rx_ns) for cpu, time, skb in rig.received],
        rig.nic.statistics(),
        [cpu.accounts.at(2_000_000) for cpu in rig.cpus],
    )


TRAFFIC = st.lists(st.tuples(st.integers(0, 400_000), st.integers(0, 7)), min_size=1, max_size=150)


@settings(max_examples=40, deadline=None)
@given(traffic=TRAFFIC, rx_usecs=st.sampled_from([0, 10, 50]), chunk_ns=st.sampled_from([1_000, 30_000, 1_000_000]))
def test_results_do_not_depend_on_where_the_chunks_end(
    traffic: list[tuple[int, int]], rx_usecs: int, chunk_ns: int
) -> None:
    table = HeaderTable()
    flows = [udp_headers(number, table=table) for number in range(8)]

    def made() -> Rig:
        frames = [frame(flows[flow], time) for time, flow in traffic]
        return Rig(frames, cpus=2, queues=2, descriptors=64, rx_usecs=rx_usecs)

    plain, chunked = made(), made()
    fix_chunk(chunked.nic, chunk_ns)
    assert outcome(plain.run(2_000_000)) == outcome(chunked.run(2_000_000))


def fix_chunk(nic: Nic, chunk_ns: int) -> None:
    generate: Callable[[int], None] = nic.generate

    def generate_chunk(until_ns: int) -> None:
        nic.arrivals.chunk_ns = chunk_ns
        generate(until_ns)

    nic.generate = generate_chunk  # type: ignore[method-assign]


@settings(max_examples=40, deadline=None)
@given(
    traffic=TRAFFIC,
    writes=st.lists(st.tuples(st.integers(0, 500_000), st.integers(0, 4)), max_size=4),
    release=st.sampled_from(["6.1", "6.9"]),
)
def test_nothing_is_lost_whatever_is_written_when(
    traffic: list[tuple[int, int]], writes: list[tuple[int, int]], release: str
) -> None:
    """Arrived = read out + dropped, whatever settings change on the way (`Rig.run` checks the ledger too)."""
    table = HeaderTable()
    flows = [udp_headers(number, table=table) for number in range(8)]
    rig = Rig([frame(flows[flow], time) for time, flow in traffic], cpus=3, queues=2, descriptors=64, release=release)
    nic = rig.nic
    actions: list[Callable[[], object]] = [
        lambda: nic.set_affinity(0, 0b110),
        lambda: nic.set_affinity(0, 0b001),
        lambda: nic.set_coalesce(rx_usecs=100),
        lambda: nic.reconfigure(lambda: rig.rss.set_equal(1)),
        lambda: nic.reconfigure(lambda: rig.rss.set_weights([1, 2])),
    ]
    for when, which in writes:
        rig.at(when, actions[which])
    rig.run(2_000_000)
    dropped = sum(ring.dropped for ring in nic.rings)
    assert len(rig.received) + dropped == len(traffic) == rig.net.ledger.arrived_frames
    assert all(vector.armed for vector in nic.vectors)
    per_flow: dict[int, list[int]] = {}
    for _, _, skb in rig.received:
        per_flow.setdefault(skb.rx_queue, []).append(skb.number)
    if not writes:
        assert all(numbers == sorted(numbers) for numbers in per_flow.values())
