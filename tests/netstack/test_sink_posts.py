"""Late posts: when they are decided makes no difference to what is counted, measured and kept."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from emu.clock import NEVER, RANK_BITS
from emu.headers import TCP_ACK, TCP_FIN
from emu.skb import Skb
from netstack.tcp_sink import TcpSink
from tests.netstack.stack_kit import LOCAL4, PEER4, StackKit, tcp4

PORTS = (1000, 1001, 1002)
START_NS = 100


def kit_with_sinks(rcv_nxt: int = 0) -> tuple[StackKit, list[TcpSink]]:
    kit = StackKit("6.9", cpus=2, tcp_rcv_ns=100, skb_free_ns=10)
    sinks = []
    for port in PORTS:
        sink = kit.stack.tcp_socket((6, PEER4, LOCAL4, port, 8000), rcv_nxt=rcv_nxt, sink=True)
        assert isinstance(sink, TcpSink)
        sinks.append(sink)
    return kit, sinks


def segment(kit: StackKit, sink: TcpSink, seq: int, size: int, flags: int = TCP_ACK) -> Skb:
    skb = kit.make_skb(tcp4(sport=sink.flow[3], seq=seq, payload=size, flags=flags), 1)
    if flags == TCP_ACK:
        skb.hdr.sink = sink
    return skb


def post_late(kit: StackKit, cpu: int, stamp_ns: int, sink: TcpSink, skb: Skb) -> None:
    posts = kit.stack.sink_posts
    assert posts is not None
    sender = kit.cpus[cpu]
    lane = next((lane for lane in posts.lanes if lane.cpu is sender), None) or posts.lane(sender, 0, lambda _: None)
    lane.claim([skb])
    assert lane.add_list([sink], [skb], stamp_ns - sink.rcv_ns) == stamp_ns


def post_ordinarily(kit: StackKit, cpu: int, stamp_ns: int, sink: TcpSink, skb: Skb) -> None:
    skb.stage_ns = stamp_ns - sink.rcv_ns
    sender = kit.cpus[cpu]
    kit.clock.post_keyed([(stamp_ns << RANK_BITS | sender.rank, sink, sender, skb)])


def outcome(kit: StackKit, sinks: list[TcpSink]) -> Any:
    return (
        [(sink.read_bytes, sink.ofo_frames, sink.rmem_alloc_bytes, sink.sk_drops) for sink in sinks],
        (kit.ledger.read_frames, kit.ledger.consumed_frames, kit.dropped()),
        [(latency.bins(), latency.total, latency.maximum) for latency in kit.net.latencies.by_stage().values()],
    )


def test_a_late_post_waits_until_somebody_looks_at_a_later_time() -> None:
    kit, (sink, *_) = kit_with_sinks()
    for at, seq in enumerate((0, 10, 20)):
        post_late(kit, 0, START_NS + at, sink, segment(kit, sink, seq, 10))
    assert len(kit.clock.posts_waiting()) == 3
    assert sink.read_bytes == 0
    kit.clock.settle(START_NS + 2)
    assert [item.seq for _, _, _, item in kit.clock.posts_waiting()] == [20]
    assert sink.read_bytes == 20
    assert kit.ledger.read_frames == 2


def test_what_is_posted_to_the_same_sink_later_finds_late_data_taken() -> None:
    kit, (sink, *_) = kit_with_sinks()
    post_late(kit, 0, START_NS, sink, segment(kit, sink, 0, 10))
    post_late(kit, 0, START_NS + 9, sink, segment(kit, sink, 15, 10))
    post_ordinarily(kit, 0, START_NS + 5, sink, segment(kit, sink, 10, 5, TCP_ACK | TCP_FIN))
    kit.clock._decide(NEVER)
    assert sink.at_end()
    assert sink.read_bytes == 15
    kit.clock.settle(NEVER)
    assert kit.dropped() == {"TCP_CLOSE": 1}


def test_sequence_numbers_wrap_around() -> None:
    kit, (sink, *_) = kit_with_sinks(0xFFFFFFF0)
    for at in range(4):
        post_late(kit, 0, START_NS + at, sink, segment(kit, sink, 0xFFFFFFF0 + 10 * at, 10))
    kit.clock.settle(NEVER)
    assert sink.read_bytes == 40
    assert kit.ledger.read_frames == 4


def test_of_equal_stamps_the_lower_rank_comes_first() -> None:
    kit, (sink, *_) = kit_with_sinks()
    post_ordinarily(kit, 1, START_NS, sink, segment(kit, sink, 10, 10, TCP_ACK | TCP_FIN))
    post_late(kit, 0, START_NS, sink, segment(kit, sink, 0, 10))
    kit.clock._decide(NEVER)
    assert sink.at_end()
    assert sink.ofo_frames == 0


@given(
    st.lists(
        st.tuples(st.integers(0, 1), st.integers(0, 2), st.integers(0, 12), st.integers(1, 9), st.integers(1, 3)),
        max_size=40,
    ),
    st.sets(st.integers(0, 40)),
)
def test_late_or_not_the_outcome_is_the_same(plan: list[tuple[int, int, int, int, int]], looks: set[int]) -> None:
    outcomes = []
    for late in (True, False):
        kit, sinks = kit_with_sinks()
        # Each CPU works ahead of the other: its posts come in one go, with stamps of its own time.
        clocks = [START_NS, START_NS]
        stamped = []
        for cpu, which, start, size, step in plan:
            clocks[cpu] += step
            stamped.append((clocks[cpu], cpu, sinks[which], segment(kit, sinks[which], start * 5, size)))
        for place, (stamp_ns, cpu, sink, skb) in enumerate(stamped):
            (post_late if late else post_ordinarily)(kit, cpu, stamp_ns, sink, skb)
            if place in looks:
                # Nobody looks at a time that a CPU has not reached yet.
                until_ns = min(clock_ns for clock_ns in _reached(stamped[: place + 1], stamped[place + 1 :]))
                kit.clock._decide(until_ns)
                kit.clock.settle(until_ns)
        kit.clock._decide(NEVER)
        kit.clock.settle(NEVER)
        outcomes.append(outcome(kit, sinks))
    assert outcomes[0] == outcomes[1]


def _reached(posted: list[Any], to_come: list[Any]) -> list[int]:
    """For each CPU, up to when it has posted all: the stamp of its next post, else a time after all of them."""
    last_ns = max(stamp_ns for stamp_ns, *_ in posted + to_come) + 1
    return [min((stamp_ns for stamp_ns, by, *_ in to_come if by == cpu), default=last_ns) for cpu in (0, 1)]
