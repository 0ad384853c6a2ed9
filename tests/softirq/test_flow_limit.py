"""Flow limit: the last 128 packets by hash, half of them at most for one flow (F1-F4, Z7)."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emu.dropreason import DropReason
from softirq.flow_limit import FLOW_LIMIT_HISTORY, FlowLimit
from softirq.hash32 import hash_32
from softirq.rps import set_rps_cpus
from tests.machine_kit import Feed, Kit, skb


def test_one_flow_is_dropped_from_its_65th_packet_on() -> None:  # F2
    table = FlowLimit(4096, False)
    assert [table.over_limit(5) for _ in range(200)] == [False] * 64 + [True] * 136
    assert table.count == 136


def test_a_flow_with_half_of_the_packets_is_never_dropped() -> None:
    table = FlowLimit(4096, False)
    assert not any(table.over_limit(flow) for _ in range(1000) for flow in (5, 6))


def test_the_history_goes_on_for_dropped_packets_too() -> None:  # F3
    table = FlowLimit(16, False)
    for _ in range(FLOW_LIMIT_HISTORY):
        table.over_limit(5)
    assert table.buckets[5] == 128
    for _ in range(64):
        assert not table.over_limit(6)
    assert table.buckets[5] == 64
    assert not table.over_limit(5) or table.buckets[5] == 65


def test_bucket_zero_is_not_taken_below_zero_by_the_empty_history() -> None:  # F3
    table = FlowLimit(16, False)
    for _ in range(10):
        table.over_limit(3)
    assert table.buckets[0] == 0
    assert table.buckets[3] == 10


def test_the_empty_history_takes_early_packets_of_bucket_zero_back() -> None:  # F3
    table = FlowLimit(16, False)
    assert not any(table.over_limit(0) for _ in range(FLOW_LIMIT_HISTORY))
    assert table.buckets[0] == 1


@given(
    st.integers(0, 12),
    st.booleans(),
    st.lists(st.tuples(st.integers(0, 0xFFFFFFFF), st.integers(1, 90)), min_size=1, max_size=8),
)
@settings(max_examples=80, deadline=None)
def test_a_table_says_what_its_last_128_packets_say(bits: int, by_hash_32: bool, runs: list[tuple[int, int]]) -> None:
    table = FlowLimit(1 << bits, by_hash_32)
    last: deque[int] = deque([0] * FLOW_LIMIT_HISTORY)
    model = dict.fromkeys(range(1 << bits), 0)
    drops = 0
    for flow_hash, times in runs:
        bucket = (flow_hash * 0x61C88647 % 2**32) >> (32 - bits) if by_hash_32 else flow_hash % (1 << bits)
        for _ in range(times):
            old = last.popleft()
            model[old] = max(model[old] - 1, 0)
            last.append(bucket)
            model[bucket] += 1
            dropped = model[bucket] > 64
            drops += dropped
            assert table.over_limit(flow_hash) is dropped
    assert table.count == drops
    assert dict(enumerate(table.buckets)) == model


@given(st.integers(0, 0xFFFFFFFF), st.integers(0, 32))
def test_hash_32_keeps_the_top_bits(value: int, bits: int) -> None:  # F4
    assert 0 <= hash_32(value, bits) < 1 << bits or bits == 0
    assert hash_32(value, bits) == hash_32(value, 32) >> (32 - bits)


def test_hash_32_of_one_is_the_constant() -> None:
    assert hash_32(1, 32) == 0x61C88647


@pytest.mark.parametrize("buckets", [0, 3, 100])
def test_a_table_has_a_power_of_two_of_buckets(buckets: int) -> None:
    with pytest.raises(AssertionError, match="power of two"):
        FlowLimit(buckets, False)


def steered(enqueuing_table: bool, target_table: bool, max_backlog: int, packets: int, flows: int = 1) -> Kit:
    """CPU 0 steers `packets` to CPU 1, which holds softirqs off."""
    kit = Kit(2)
    kit.net.settings.set("netdev_max_backlog", max_backlog)
    set_rps_cpus(kit.net, kit.dev.queues[0], 0b10)
    for cpu, has_table in enumerate((enqueuing_table, target_table)):
        kit.net.softnet[cpu].flow_limit = FlowLimit(4096, False) if has_table else None
    kit.cpus[1].bh_disabled = 1
    kit.schedule(0, 0, Feed(kit, packet_ns=1, skbs=[skb(kit, n, 0x1234 + n % flows) for n in range(packets)]))
    kit.play()
    return kit


def test_the_limit_begins_at_half_of_the_backlog_and_counts_on_the_enqueuing_row() -> None:  # F1, F3, Z4, Z7
    kit = steered(True, False, 200, 300)
    here, there = kit.net.softnet
    # 100 pass unseen, 64 are remembered and pass, the rest is too much of one flow.
    assert len(there.backlog.input_pkt_queue) == 164
    assert (here.flow_limit_count, there.flow_limit_count) == (136, 0)
    assert (here.dropped, there.dropped) == (0, 136)
    assert kit.dev.statistics.rx_dropped == 136
    assert kit.ledger.dropped_frames[DropReason.CPU_BACKLOG] == 136


def test_the_targets_own_table_does_not_matter() -> None:  # F1, Z7
    kit = steered(False, True, 200, 300)
    assert len(kit.net.softnet[1].backlog.input_pkt_queue) == 201
    assert [sd.flow_limit_count for sd in kit.net.softnet] == [0, 0]


def test_half_of_an_odd_backlog_is_rounded_down() -> None:  # F1
    kit = steered(True, False, 7, 4)
    assert kit.net.softnet[0].flow_limit is not None
    assert sum(kit.net.softnet[0].flow_limit.buckets) == 1


def test_three_equal_flows_fill_the_backlog() -> None:
    kit = steered(True, False, 200, 300, flows=3)
    assert len(kit.net.softnet[1].backlog.input_pkt_queue) == 201
    assert kit.net.softnet[0].flow_limit_count == 0
