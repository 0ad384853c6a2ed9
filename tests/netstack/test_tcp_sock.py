"""TCP sockets: the rest of section 9, T1-T6."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emu.headers import TCP_ACK, TCP_FIN, TCP_PSH, TCP_RST, TCP_SYN
from emu.skb import Skb
from netstack.tcp_sink import TcpSink
from netstack.tcp_sock import TcpSocket
from softirq.rps import RpsSockFlowTable
from tests.netstack.stack_kit import StackKit, tcp4

FLOW = (6, bytes([10, 0, 0, 2]), bytes([10, 0, 0, 1]), 1000, 8000)
ALL = 1 << 62


def connected(
    release: str = "6.9", rcvbuf: int | None = None, rcv_nxt: int = 0, sink: bool = False
) -> tuple[StackKit, TcpSocket]:
    kit = StackKit(release)
    kit.dev.gro = False
    return kit, kit.stack.tcp_socket(FLOW, rcvbuf=rcvbuf, rcv_nxt=rcv_nxt, sink=sink)


def data(*starts: int, size: int = 100) -> list[bytes]:
    return [tcp4(seq=start, payload=size) for start in starts]


def ext(kit: StackKit) -> dict[str, int]:
    return {name[7:]: value for name, value in kit.moved().items() if name.startswith("TcpExt.")}


def read(kit: StackKit, sock: TcpSocket, most: int = ALL) -> int:
    return sock.recv(kit.reader(), most)


# ---------------------------------------------------------------- in order


@pytest.mark.parametrize("start", [0, 5, 0xFFFFFFF0])
def test_data_in_order_is_read_as_one_stream(start: int) -> None:
    kit, sock = connected(rcv_nxt=start)
    kit.up(*data(start, start + 100, start + 200))
    assert [read(kit, sock, 150), read(kit, sock), read(kit, sock)] == [150, 150, 0]
    assert kit.ledger.read_frames == 3
    assert sock.rmem_alloc_bytes == 0
    assert not sock.at_end()


def test_the_first_segment_of_a_flow_seen_from_its_middle_is_adopted() -> None:
    kit, sock = connected(rcv_nxt=-1)
    kit.up(*data(4_000_000_000, 4_000_000_100))
    assert read(kit, sock) == 200


def test_a_frame_is_read_when_its_last_byte_is() -> None:
    kit, sock = connected()
    kit.up(*data(0, 100))
    for most, frames in ((99, 0), (1, 1), (50, 1), (50, 2)):
        read(kit, sock, most)
        assert kit.ledger.read_frames == frames


def test_pure_acks_are_consumed() -> None:
    kit, sock = connected()
    kit.up(tcp4(seq=0), tcp4(seq=0), tcp4(seq=50))
    assert kit.ledger.consumed_frames == 3
    assert not sock.readable()


def test_prediction_needs_memory_at_hand_and_an_equal_window() -> None:  # T3
    kit, sock = connected()
    kit.up(*data(0), truesize=2304)  # takes a page, 1,792 bytes are left
    kit.up(*data(100), truesize=1280)
    assert ext(kit) == {"TCPHPHits": 1, "TCPRcvCoalesce": 1}
    kit.up(tcp4(seq=200, payload=10, window=999), truesize=64)
    assert "TCPHPHits" not in ext(kit)
    kit.up(tcp4(seq=210, payload=10, window=999), truesize=64)
    assert ext(kit)["TCPHPHits"] == 1
    assert sock.rmem_alloc_bytes == 2304


def test_a_segment_out_of_order_ends_prediction() -> None:  # T3
    kit, _ = connected()
    kit.up(*data(0), truesize=1280)
    kit.up(*data(300), truesize=1280)
    ext(kit)
    kit.up(*data(100), truesize=1280)
    assert "TCPHPHits" not in ext(kit)


def test_small_segments_fill_the_room_behind_the_first() -> None:  # T6
    kit, sock = connected()
    kit.up(*data(*range(0, 600, 6), size=6), truesize=2304)
    assert len(sock.queue) == 1
    assert sock.rmem_alloc_bytes == 2304
    assert ext(kit)["TCPRcvCoalesce"] == 99


def test_full_segments_are_chained_as_page_fragments_up_to_17() -> None:  # T6
    kit, sock = connected()
    kit.up(*data(*range(0, 28_000, 1400), size=1400), truesize=2304)
    assert [segment.frags for segment in sock.queue] == [17, 1]
    assert sock.rmem_alloc_bytes == 18 * 2304 - 16 * 256 - 256 + 2 * 2304 - 256


def test_heads_from_kmalloc_are_not_chained() -> None:
    kit, sock = connected()
    skbs = [kit.make_skb(frame, truesize_bytes=1280) for frame in data(0, 1000, size=1000)]
    for skb in skbs:
        skb.head_frag = False
    kit.up(*skbs)
    assert len(sock.queue) == 2


# ---------------------------------------------------------------- duplicates, gaps, overlaps


def test_old_data_is_dropped_and_counted() -> None:
    kit, _ = connected()
    kit.up(*data(0, 100))
    ext(kit)
    kit.up(*data(0, 100, 50))
    assert ext(kit) == {"DelayedACKLost": 3}
    assert kit.dropped() == {"TCP_OLD_DATA": 3}


def test_a_segment_half_old_gives_its_new_half() -> None:
    kit, sock = connected()
    kit.up(*data(0, 50))
    assert read(kit, sock) == 150
    assert sock.rcv_nxt == 150


def test_a_gap_holds_data_back_until_it_is_filled() -> None:
    kit, sock = connected()
    kit.up(*data(100, 300, 200))
    assert sock.ofo_frames == 3
    assert not sock.readable()
    kit.up(*data(0))
    assert sock.ofo_frames == 0
    assert read(kit, sock) == 400
    assert sock.rmem_alloc_bytes == 0


def test_duplicates_out_of_order_are_merged_away() -> None:
    kit, sock = connected()
    kit.up(*data(100, 100, 300))
    kit.up(tcp4(seq=250, payload=200))  # covers what lies at 300
    assert ext(kit) == {"TCPOFOQueue": 4, "TCPOFOMerge": 2}
    assert kit.dropped() == {"TCP_OFOMERGE": 2}
    assert [(segment.seq, segment.end_seq) for segment in sock.ofo] == [(100, 200), (250, 450)]


@given(st.randoms(use_true_random=False), st.integers(0, 0xFFFFFFFF), st.booleans())
def test_any_order_with_any_overlap_gives_the_stream(random: Random, start: int, sink: bool) -> None:
    kit, sock = connected(rcv_nxt=start, sink=sink)
    pieces = []
    for at in range(0, 3000, 100):
        pieces += [(at, 100)] + [(at, random.choice((100, 150, 350)))] * random.randrange(2)
    random.shuffle(pieces)
    for at, size in pieces:
        kit.up(tcp4(seq=start + at, payload=min(size, 3000 - at)), truesize=1280)
    if not sink:
        assert read(kit, sock) == 3000
    assert sock.rcv_nxt == (start + 3000) & 0xFFFFFFFF
    assert sock.frames_held() == 0
    assert sock.rmem_alloc_bytes == 0
    assert set(kit.dropped()) <= {"TCP_OLD_DATA", "TCP_OFOMERGE"}


# ---------------------------------------------------------------- flags


def test_a_segment_without_ack_rst_or_syn_is_dropped() -> None:
    kit, _ = connected()
    kit.up(tcp4(seq=0, payload=10, flags=TCP_PSH), tcp4(seq=0, flags=0))
    assert kit.dropped() == {"TCP_FLAGS": 2}


def test_fin_ends_the_stream_after_its_data() -> None:
    kit, sock = connected()
    kit.up(tcp4(seq=100, payload=100, flags=TCP_ACK | TCP_FIN), *data(0))
    assert not sock.at_end()
    assert read(kit, sock) == 200
    assert sock.at_end()
    assert sock.rcv_nxt == 201
    kit.up(*data(201))
    assert kit.dropped() == {"NOT_SPECIFIED": 1}


def test_reset_in_sequence_closes_and_leaves_the_table() -> None:
    kit, sock = connected()
    kit.up(*data(0), tcp4(seq=100, flags=TCP_RST))
    assert sock.reset
    assert kit.moved()["Tcp.EstabResets"] == 1
    assert kit.stack.snmp.Tcp.CurrEstab == 0
    kit.up(*data(100))
    assert kit.dropped() == {"TCP_RESET": 1, "NO_SOCKET": 1}
    assert read(kit, sock) == 100


def test_a_reset_elsewhere_in_the_window_is_challenged() -> None:
    kit, sock = connected()
    kit.up(tcp4(seq=1, flags=TCP_RST))
    assert not sock.reset
    assert ext(kit) == {"TCPChallengeACK": 1}


def test_a_syn_in_a_connection_is_challenged() -> None:
    kit, _ = connected()
    kit.up(tcp4(seq=0, flags=TCP_SYN))
    assert ext(kit) == {"TCPChallengeACK": 1, "TCPSYNChallenge": 1}
    assert kit.dropped() == {"TCP_INVALID_SYN": 1}


# ---------------------------------------------------------------- window and memory


def test_beyond_the_window_nothing_is_taken() -> None:
    kit, _ = connected(rcvbuf=50_000)  # a buffer of 100,000, a window of 50,000
    kit.up(*data(50_000, 50_001))
    assert kit.dropped() == {"TCP_OVERWINDOW": 1, "TCP_INVALID_SEQUENCE": 1}


def test_a_window_that_stayed_shut_takes_nothing_in_order() -> None:
    kit, sock = connected(rcvbuf=20_000)  # 40,000; below 1,250 bytes of free window it stays where it is
    for frame in data(*range(0, 39_000, 1000), size=1000):
        skb = kit.make_skb(frame, truesize_bytes=1024)
        skb.head_frag = False
        kit.up(skb)
    assert ext(kit)["TCPZeroWindowDrop"] == 1
    assert kit.dropped() == {"TCP_ZEROWINDOW": 1}
    assert read(kit, sock) == 38_000
    kit.up(*data(38_000))
    assert read(kit, sock) == 100


@pytest.mark.parametrize("release", ["6.1", "6.9"])
def test_an_empty_queue_always_gets_the_next_data(release: str) -> None:  # T4
    kit, sock = connected(release, rcvbuf=0)  # 2,304 bytes, a window of 1,152
    kit.up(*data(200), truesize=30_000)
    kit.up(*data(0), truesize=30_000)
    assert read(kit, sock) == 100
    assert ext(kit).get("PruneCalled", 0) == (release == "6.9")


@pytest.mark.parametrize(("release", "fits"), [("6.9", True), ("6.18", False)])
def test_the_newest_release_counts_the_incoming_bytes_too(release: str, fits: bool) -> None:  # T4
    kit, sock = connected(release, rcvbuf=5_000)  # 10,000
    kit.up(*data(0), truesize=9_990)
    kit.up(tcp4(seq=100, payload=10), truesize=30_000)
    assert ("PruneCalled" not in ext(kit)) == fits
    assert sock.rcv_nxt in (100, 110)


def test_a_full_buffer_is_collapsed_before_anything_is_dropped() -> None:  # T4
    kit, sock = connected(rcvbuf=20_000)  # 40,000
    for frame in data(*range(0, 1500, 100)):
        skb = kit.make_skb(frame, truesize_bytes=4000)
        skb.head_frag = False
        skb.frags = 1
        kit.up(skb)
    moved = ext(kit)
    assert moved["PruneCalled"] == 1
    assert moved["TCPRcvCollapsed"] == 11
    assert kit.dropped() == {}
    assert sock.rmem_alloc_bytes < 20_000
    assert read(kit, sock) == 1500
    assert kit.ledger.read_frames == 15
    assert sock.rmem_alloc_bytes == 0


def test_what_lies_furthest_out_of_order_goes_first() -> None:  # T4
    kit, sock = connected(rcvbuf=20_000)
    for at in (1000, 3000, 5000, 7000):
        kit.up(tcp4(seq=at, payload=1000), truesize=12_000)
    moved = ext(kit)
    assert "TCPOFODrop" not in moved
    kit.up(tcp4(seq=9000, payload=1000), truesize=30_000)
    kit.up(tcp4(seq=11_000, payload=1000), truesize=30_000)
    moved = ext(kit)
    assert moved["TCPOFODrop"] == moved["RcvPruned"] == 2
    assert kit.dropped() == {"PROTO_MEM": 2}
    kit.up(tcp4(seq=0, payload=1000), truesize=1500)
    moved = ext(kit)
    assert moved.get("OfoPruned", 0) == 1
    assert read(kit, sock) == 2000


def test_a_buffer_that_nobody_fixed_grows_when_it_is_full() -> None:
    kit, sock = connected()
    assert sock.rcvbuf_bytes == 131_072
    for at in range(0, 300_000, 1000):
        skb = kit.make_skb(tcp4(seq=at, payload=1000), truesize_bytes=2304)
        skb.head_frag = False
        kit.up(skb)
    assert sock.rcvbuf_bytes > 500_000
    assert kit.dropped() == {}


def test_gaps_may_be_taken_as_filled() -> None:
    kit, sock = connected()
    sock.peer_fills_gaps = True
    kit.up(*data(0, 500, 1_000_000_000))
    assert read(kit, sock) == 300
    assert sock.resyncs == 2


# ---------------------------------------------------------------- the backlog of an owned socket


def test_packets_of_an_owned_socket_wait_for_its_release() -> None:  # T1, T2
    kit, sock = connected()
    reader = kit.reader()
    sock.lock_sock(reader)
    kit.up(*data(0, 300, 100))
    assert sock.backlog_frames == 3
    assert not sock.readable()
    sock.release_sock(reader)
    assert (sock.backlog_frames, sock.ofo_frames) == (0, 1)
    assert read(kit, sock) == 200
    kit.settle()


def test_the_backlog_coalesces_only_what_is_alike() -> None:  # T1
    kit, sock = connected()
    sock.lock_sock(kit.reader())
    kit.up(*data(0, 100), tcp4(seq=200, payload=10, options=bytes([1, 1, 1, 1])), tcp4(seq=210, payload=10))
    assert ext(kit) == {"TCPBacklogCoalesce": 1}


def test_the_backlog_has_a_limit_that_ignores_the_packet_itself() -> None:  # T1
    kit, sock = connected(rcvbuf=5_000)
    limit = 10_000 + 87_040 // 2 + 65_536
    sock.lock_sock(kit.reader())
    kit.up(*data(0), truesize=limit)
    kit.up(*data(500), truesize=50_000)
    kit.up(*data(1000))
    assert ext(kit) == {"TCPBacklogDrop": 1}
    assert kit.dropped() == {"SOCKET_BACKLOG": 1}
    assert sock.sk_drops == 1


# ---------------------------------------------------------------- sinks and RFS


@given(
    st.lists(
        st.tuples(st.integers(0, 40), st.integers(0, 8), st.sampled_from([TCP_ACK, TCP_ACK | TCP_PSH, 0])), max_size=60
    )
)
def test_a_sink_takes_what_an_eager_reader_would(segments: list[tuple[int, int, int]]) -> None:
    outcomes = []
    for sink in (True, False):
        kit, sock = connected(sink=sink)
        got = 0
        for start, size, flags in segments:
            kit.up(tcp4(seq=start * 4, payload=size * 4, flags=flags))
            if not sink:
                got += read(kit, sock)
        outcomes.append(
            (sock.read_bytes, sock.rcv_nxt, kit.dropped(), kit.ledger.consumed_frames, kit.ledger.read_frames)
        )
        assert sock.rmem_alloc_bytes == sum(segment.truesize_bytes for segment in sock.ofo)
    assert isinstance(sock, TcpSocket)
    assert outcomes[0] == outcomes[1]


def test_a_sink_sees_the_end_of_its_stream() -> None:
    kit, sock = connected(sink=True)
    kit.up(*data(0), tcp4(seq=100, payload=5, flags=TCP_ACK | TCP_FIN))
    assert isinstance(sock, TcpSink)
    assert sock.at_end()
    assert sock.read_bytes == 105


def test_reading_teaches_rfs_where_the_reader_is() -> None:  # R14, R15
    kit, sock = connected()
    table = kit.net.sock_flow_table = RpsSockFlowTable(64, 1)
    skb: Skb = kit.make_skb(data(0)[0])
    skb.hash, skb.hash_kind = 9, 2
    kit.up(skb)
    read(kit, sock)
    assert table.ents[9] == 9
