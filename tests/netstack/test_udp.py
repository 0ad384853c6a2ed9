"""UDP, section 10 of the rules: U1-U7, U11, U12, R14, R15."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netstack.lookup import ANY6
from netstack.sock import so_rcvbuf
from netstack.udp_sock import UdpSocket
from softirq.rps import RpsSockFlowTable
from tests.netstack.stack_kit import LOCAL4, LOCAL6, PEER4, StackKit, ip4, udp4, udp6, udp_body

RECEIVED = {"Ip.InReceives": 1, "IpExt.InOctets": 68, "IpExt.InNoECTPkts": 1, "Ip.InDelivers": 1}
ICE_TRUESIZE = 2304


def opened(release: str = "6.9", **options: object) -> tuple[StackKit, UdpSocket]:
    kit = StackKit(release)
    return kit, kit.stack.udp_socket(7000, **options)  # type: ignore[arg-type]


# ---------------------------------------------------------------- U1, U2: checks


@pytest.mark.parametrize("ulen", [0, 7, 49, 2000])
def test_a_length_that_cannot_be_is_an_error(ulen: int) -> None:  # U1
    kit, _ = opened()
    kit.up(udp4(ulen=ulen))
    assert kit.moved() == RECEIVED | {"Udp.InErrors": 1}
    assert kit.dropped() == {"PKT_TOO_SMALL": 1}


def test_a_shorter_length_trims_the_datagram() -> None:  # U1
    kit, sock = opened()
    kit.up(udp4(ulen=20), summed=1)
    assert kit.read_lengths(sock) == [12]


def test_without_a_whole_header_there_is_no_reason() -> None:
    kit, _ = opened()
    kit.up(ip4(17, udp_body()[:6]))
    assert kit.moved()["Udp.InErrors"] == 1
    assert kit.dropped() == {"NOT_SPECIFIED": 1}


@pytest.mark.parametrize("payload", [0, 40, 68])
def test_a_wrong_checksum_of_a_short_datagram_is_seen_at_delivery(payload: int) -> None:  # U2
    kit, sock = opened()
    kit.up(udp4(payload=payload, wrong=True))
    moved = kit.moved()
    assert moved["Udp.InErrors"] == moved["Udp.InCsumErrors"] == 1
    assert kit.dropped() == {"UDP_CSUM": 1}
    assert not sock.queue


def test_a_wrong_checksum_of_a_longer_datagram_is_seen_when_it_is_read() -> None:  # U2
    kit, sock = opened()
    kit.dev.gro = False
    kit.up(udp4(payload=69, wrong=True), udp4(payload=69))
    assert "Udp.InErrors" not in kit.moved()
    assert len(sock.queue) == 2
    assert kit.read_lengths(sock) == [69]
    assert kit.moved() == {"Udp.InErrors": 1, "Udp.InCsumErrors": 1, "Udp.InDatagrams": 1}
    assert kit.dropped() == {"UDP_CSUM": 1}


@pytest.mark.parametrize(("summed", "taken"), [(0, 0), (1, 1), (2, 0), (3, 1)])
def test_the_nic_may_vouch_for_a_wrong_checksum(summed: int, taken: int) -> None:
    kit, sock = opened()
    kit.up(udp4(wrong=True), summed=summed)
    assert len(sock.queue) == taken


def test_a_remembered_flow_does_not_let_a_wrong_checksum_pass() -> None:
    kit, sock = opened()
    kit.up(udp4(wrong=True), udp4(wrong=True), summed=1)
    kit.up(udp4(wrong=True), udp4(wrong=True), summed=2)
    assert len(sock.queue) == 2


def test_no_checksum_is_fine_over_ipv4_and_an_error_over_ipv6() -> None:
    kit, sock = opened(address=ANY6)
    kit.up(udp4(unsummed=True), udp6(unsummed=True))
    moved = kit.moved()
    assert moved["Udp6InErrors"] == moved["Udp6InCsumErrors"] == 1
    assert kit.read_lengths(sock) == [40]


def test_a_closed_port_is_counted_and_answered() -> None:  # U1
    kit, _ = opened()
    kit.up(udp4(dport=9))
    moved = kit.moved()
    assert moved["Udp.NoPorts"] == moved["Icmp.OutDestUnreachs"] == moved["fn0.tx_packets"] == 1
    assert kit.dropped() == {"NO_SOCKET": 1}


def test_a_wrong_checksum_for_a_closed_port_is_not_answered() -> None:  # U1
    kit, _ = opened()
    kit.up(udp4(dport=9, wrong=True), udp4(dport=9, payload=100, wrong=True))
    moved = kit.moved()
    assert moved["Udp.InCsumErrors"] == moved["Udp.InErrors"] == 2
    assert "Udp.NoPorts" not in moved


def test_a_broadcast_is_copied_to_every_socket_and_is_one_frame() -> None:  # U1
    kit, first = opened(reuseport=True)
    second = kit.stack.udp_socket(7000, reuseport=True)
    kit.up(udp4(daddr=b"\xff\xff\xff\xff"))
    assert (len(first.queue), len(second.queue)) == (1, 1)
    assert kit.read_lengths(first, second) == [40, 40]
    assert kit.ledger.read_frames == 1


def test_a_broadcast_that_nobody_wants_is_ignored() -> None:
    kit, _ = opened()
    kit.up(udp4(daddr=b"\xff\xff\xff\xff", dport=9))
    assert kit.moved()["Udp.IgnoredMulti"] == 1
    assert kit.dropped() == {}


# ---------------------------------------------------------------- U3-U6: the buffer


@pytest.mark.parametrize(("release", "accepted"), [("6.1", 93), ("6.9", 93), ("6.12", 93), ("6.18", 92)])
def test_how_many_datagrams_of_an_ice_fit_without_a_reader(release: str, accepted: int) -> None:  # U4
    kit, sock = opened(release)
    kit.up(*[udp4()] * 100, truesize=ICE_TRUESIZE, summed=1)
    assert len(sock.queue) == accepted
    moved = kit.moved()
    assert moved["Udp.RcvbufErrors"] == moved["Udp.InErrors"] == 100 - accepted == sock.sk_drops
    assert kit.dropped() == {"SOCKET_RCVBUFF": 100 - accepted}


def test_an_empty_buffer_takes_a_datagram_larger_than_itself() -> None:  # U3, 6.18
    kit, sock = opened("6.18", rcvbuf=0)
    kit.up(udp4(), udp4(), truesize=1 << 20)
    assert len(sock.queue) == 1


@given(
    st.sampled_from(["6.1", "6.9", "6.12", "6.18"]),
    st.lists(st.integers(300, 70_000), max_size=60),
    st.integers(0, 99_999),
)
def test_the_buffer_admits_by_the_release_rule(release: str, sizes: list[int], rcvbuf: int) -> None:  # U3
    kit, sock = opened(release, rcvbuf=rcvbuf)
    rmem = taken = 0
    for size in sizes:
        kit.up(udp4(), truesize=size)
        admits = not rmem or rmem + size <= sock.rcvbuf_bytes if release == "6.18" else rmem <= sock.rcvbuf_bytes
        if admits:
            rmem += size
            taken += 1
        assert (sock.rmem_alloc_bytes, len(sock.queue)) == (rmem, taken)
    kit.read_lengths(sock)
    assert sock.rmem_alloc_bytes == 0
    assert sock.held_frames == 0


def test_the_reader_gives_memory_back_by_quarters_or_when_its_own_queue_is_empty() -> None:  # U5
    kit, sock = opened(rcvbuf=5000)  # 10,000; a quarter is 2,500
    kit.up(*[udp4()] * 6, truesize=1000)
    reader = kit.reader()
    seen = []
    for _ in range(6):
        sock.recv(reader)
        seen.append(sock.rmem_alloc_bytes)
    assert seen == [6000, 6000, 3000, 3000, 3000, 0]


def test_what_comes_while_the_reader_works_does_not_join_its_own_queue() -> None:  # U5
    kit, sock = opened(rcvbuf=5000)
    kit.up(*[udp4()] * 2, truesize=1000)
    reader = kit.reader()
    sock.recv(reader)
    kit.up(*[udp4()] * 2, truesize=1000)
    sock.recv(reader)
    assert sock.rmem_alloc_bytes == 2000


def test_datagrams_are_counted_when_they_are_read() -> None:  # U6
    kit, sock = opened()
    kit.up(*[udp4()] * 3)
    assert "Udp.InDatagrams" not in kit.moved()
    assert len(sock.recv(kit.reader(), 2)) == 2
    assert kit.moved() == {"Udp.InDatagrams": 2}
    assert kit.ledger.read_frames == 2


def test_an_in_kernel_user_takes_everything_and_holds_nothing() -> None:
    kit, sock = opened(sink=True)
    kit.up(*[udp4()] * 200, truesize=ICE_TRUESIZE)
    assert kit.moved()["Udp.InDatagrams"] == 200 == kit.ledger.read_frames
    assert sock.rmem_alloc_bytes == sock.frames_held() == 0


@pytest.mark.parametrize(("asked", "given_bytes"), [(0, 2304), (1000, 2304), (5000, 10_000), (1 << 30, 425_984)])
def test_so_rcvbuf_is_capped_doubled_and_not_too_small(asked: int, given_bytes: int) -> None:  # U11
    assert so_rcvbuf(asked, 212_992) == given_bytes


def test_a_closed_socket_gives_no_more_but_drops_what_was_on_its_way() -> None:
    kit, sock = opened()
    sock.closed = True
    kit.up(udp4())
    assert kit.dropped() == {"NO_SOCKET": 1}


# ---------------------------------------------------------------- merged datagrams


def test_what_gro_merged_for_a_gro_socket_stays_whole() -> None:
    kit, sock = opened(gro=True)
    kit.lay(*(kit.make_skb(udp4(payload=100), 1) for _ in range(3)))
    kit.fire()
    assert kit.read_lengths(sock) == [300]
    assert kit.counters()["Udp.InDatagrams"] == 1
    assert kit.ledger.read_frames == 3


def test_what_gro_merged_for_others_is_cut_up_again() -> None:
    kit, sock = opened()
    kit.dev.rx_gro_list = True
    kit.lay(*(kit.make_skb(udp4(payload=size), 1) for size in (100, 100, 60)))
    kit.fire()
    assert kit.read_lengths(sock) == [100, 100, 60]
    counters = kit.counters()
    assert counters["Udp.InDatagrams"] == 3
    assert counters["Ip.InReceives"] == 1
    assert sock.rmem_alloc_bytes == 0


def test_a_remembered_flow_is_cut_up_all_the_same() -> None:
    kit, sock = opened()
    kit.dev.rx_gro_list = True
    kit.up(udp4(payload=100), summed=1)
    for sizes in ((100, 100, 100), (100, 60)):
        merged, *rest = (kit.make_skb(udp4(payload=size), 1) for size in sizes)
        merged.segments = rest
        merged.gro_flist = True
        merged.frames = merged.gso_segs = len(sizes)
        merged.gso_size_bytes = 100
        merged.payload_bytes = sum(sizes)
        merged.len_bytes += sum(sizes[1:])
        kit.up(merged)
    assert kit.read_lengths(sock) == [100, 100, 100, 100, 100, 60]


# ---------------------------------------------------------------- R14, R15: whom RFS learns of


def test_only_a_connected_socket_teaches_rfs_and_even_an_empty_read_does() -> None:  # R14, R15, note 17
    kit = StackKit(cpus=4)
    table = kit.net.sock_flow_table = RpsSockFlowTable(64, 4)
    plain = kit.stack.udp_socket(7000)
    connected = kit.stack.udp_socket(7001, LOCAL4, peer=(PEER4, 1000))
    for sock, dport, flow_hash in ((plain, 7000, 5), (connected, 7001, 6)):
        skb = kit.make_skb(udp4(dport=dport))
        skb.hash, skb.hash_kind = flow_hash, 2
        kit.up(skb)
        sock.recv(kit.reader())
    assert table.ents[5] == 0xFFFF
    assert table.ents[6] == 6 & ~3 | 0
    reader = kit.reader()
    reader.cpu = kit.cpus[3]
    assert connected.recv(reader) == []
    assert table.ents[6] & 3 == 3


# ---------------------------------------------------------------- U7: look-up


def test_a_connected_socket_comes_before_a_bound_one_and_that_before_a_wildcard() -> None:
    kit = StackKit()
    socks = [
        kit.stack.udp_socket(7000),
        kit.stack.udp_socket(7000, LOCAL4),
        kit.stack.udp_socket(7000, LOCAL4, peer=(PEER4, 1000)),
    ]
    for expected in (2, 1, 0):
        kit.up(udp4())
        assert [len(sock.queue) for sock in socks] == [int(at >= expected) for at in range(3)]
        sock = socks[expected]
        kit.stack.tables.remove_udp(sock.local, sock.peer, sock)


def test_a_socket_of_ipv6_takes_ipv4_unless_it_said_not_to() -> None:
    for v6only in (False, True):
        kit, sock = opened(address=ANY6, v6only=v6only)
        kit.up(udp4(), udp6())
        assert len(sock.queue) == 2 - v6only


def test_a_group_shares_flows_out_and_keeps_each_with_one_socket() -> None:  # U7
    kit = StackKit()
    group = [kit.stack.udp_socket(7000, reuseport=True) for _ in range(4)]
    for _ in range(2):
        kit.up(*(udp4(sport=port) for port in range(1000, 1200)))
    counts = [len(sock.queue) for sock in group]
    assert sum(counts) == 400
    assert all(count % 2 == 0 and 30 <= count <= 180 for count in counts)
    for sock in group:
        ports = [skb.hdr.sport for skb in sock.queue]
        assert sorted(ports) == sorted(2 * list(set(ports)))


def test_in_a_group_the_socket_of_this_cpu_comes_first() -> None:  # U7
    kit = StackKit(cpus=2)
    group = [kit.stack.udp_socket(7000, reuseport=True, incoming_cpu=cpu) for cpu in (0, 1)]
    for cpu in (1, 0, 1, 1):
        kit.up(*(udp4(sport=port) for port in range(1000, 1010)), cpu=cpu, summed=1)
    assert [len(sock.queue) for sock in group] == [10, 30]


def test_ipv6_has_counters_of_its_own() -> None:
    kit, sock = opened(address=LOCAL6)
    kit.up(udp6(), udp6(dport=9), udp6(wrong=True))
    kit.read_lengths(sock)
    moved = kit.moved()
    assert moved["Udp6InDatagrams"] == moved["Udp6NoPorts"] == moved["Udp6InCsumErrors"] == 1
    assert not [name for name in moved if name.startswith(("Udp.", "Ip."))]
