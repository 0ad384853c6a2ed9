"""Whatever bytes come: nothing raises, no frame is lost, one packet by packet is as good as lists."""

from __future__ import annotations

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from emu.headers import TCP_FIN, TCP_PSH, TCP_RST, TCP_SYN
from netstack.lookup import ANY6
from tests.conform.hand_stack import eth_type_trans
from tests.netstack.stack_kit import (
    LOCAL6,
    PEER6,
    StackKit,
    fragments4,
    fragments6,
    icmp4,
    icmp6,
    ip4,
    ip6,
    tcp4,
    tcp6,
    tcp_body,
    udp4,
    udp6,
    udp_body,
)

SOUND = [
    udp4(),
    udp4(payload=400),
    udp6(),
    tcp4(payload=10),
    tcp4(seq=10, payload=10, flags=TCP_PSH | 16),
    tcp4(seq=20, flags=TCP_FIN | 16),
    tcp4(sport=5, flags=TCP_SYN),
    tcp4(sport=5, seq=1, payload=9),
    tcp6(payload=10),
    tcp4(seq=3, flags=TCP_RST),
    icmp4(8),
    icmp6(128),
    ip4(17, udp_body(), options=bytes([7, 7, 4, 0, 0, 0, 0, 0])),
    ip6(60, bytes([6, 0, 0, 0, 0, 0, 0, 0]) + tcp_body(saddr=PEER6, daddr=LOCAL6)),
    *fragments4(udp_body(payload=200), [64, 128]),
    *fragments6(udp_body(payload=200, saddr=PEER6, daddr=LOCAL6), [64, 128]),
    udp4()[:12] + bytes([0x81, 0, 0, 0]) + udp4()[12:],
]


def loaded(release: str = "6.9") -> StackKit:
    """A host with a socket of each kind."""
    kit = StackKit(release)
    kit.stack.udp_socket(7000, ANY6, gro=True)
    kit.stack.tcp_listener(8000)
    kit.stack.tcp_listener(8000, ANY6, sink=True, adopts_flows=True)
    kit.stack.tcp_socket((6, bytes([10, 0, 0, 2]), bytes([10, 0, 0, 1]), 1000, 8000), rcvbuf=3000)
    return kit


def mutated(random: Random, frame: bytes) -> bytes:
    data = bytearray(frame)
    for _ in range(random.choice((0, 1, 1, 2, 8))):
        at = random.randrange(len(data))
        data[at] = random.choice((0, 0xFF, random.randrange(256), data[at] ^ 1 << random.randrange(8)))
    cut = random.choice((0, 0, 0, random.randrange(len(data))))
    if cut:
        del data[cut:]
    if random.random() < 0.1:
        data += bytes(random.randrange(60))
    return bytes(data)


def as_skb(kit: StackKit, frame: bytes, summed: int) -> None:
    skb = kit.make_skb(frame, summed)
    skb.pkt_type = eth_type_trans(skb.hdr.dst_mac or b"\0", kit.dev.address)
    kit.up(skb)


@settings(max_examples=60)
@given(st.lists(st.binary(min_size=14, max_size=120), max_size=5), st.integers(0, 3))
def test_random_bytes_end_in_one_account(payloads: list[bytes], summed: int) -> None:
    kit = loaded()
    for payload in payloads:
        for ethertype in (b"\x08\x00", b"\x86\xdd", b"\x08\x06", b"\x81\x00"):
            as_skb(kit, kit.dev.address + bytes(6) + ethertype + payload, summed)


@settings(max_examples=40)
@given(st.randoms(use_true_random=False), st.sampled_from(["6.1", "6.9", "6.12", "6.18"]))
def test_mutated_frames_end_in_one_account(random: Random, release: str) -> None:
    kit = loaded(release)
    reader = kit.reader()
    for _ in range(60):
        as_skb(kit, mutated(random, random.choice(SOUND)), random.randrange(4))
        if random.random() < 0.05:
            for sock in list(kit.stack.sockets):
                if hasattr(sock, "recv"):
                    sock.recv(reader, random.choice((1, 1000)))
    for sock in list(kit.stack.sockets):
        sock.close()
    kit.settle()
    assert all(sock.frames_held() == 0 for sock in kit.stack.sockets)


@settings(max_examples=20)
@given(st.randoms(use_true_random=False))
def test_mutated_frames_through_gro_end_in_one_account(random: Random) -> None:
    kit = loaded()
    kit.dev.rx_gro_list = random.random() < 0.5
    for _ in range(60):
        skb = kit.make_skb(mutated(random, random.choice(SOUND)), random.randrange(3))
        kit.lay(skb)
    kit.fire()


@settings(max_examples=20)
@given(st.randoms(use_true_random=False))
def test_lists_and_single_packets_decide_the_same(random: Random) -> None:
    frames = [mutated(random, random.choice(SOUND)) for _ in range(40)]
    summed = random.randrange(2)
    outcomes = []
    for single in (False, True):
        kit = loaded()
        skbs = [kit.make_skb(frame, summed) for frame in frames]
        by_type = {
            skb.hdr.ethertype: [other for other in skbs if other.hdr.ethertype == skb.hdr.ethertype] for skb in skbs
        }
        for ethertype, alike in by_type.items():
            ptype = kit.net.ptypes.get(ethertype)
            if ptype is None:
                kit.ledger.consumed_frames += len(alike)
            elif single or ptype.list_func is None:
                for skb in alike:
                    ptype.func(kit.sd, skb)
            else:
                ptype.list_func(kit.sd, alike)
        kit.settle()
        outcomes.append((kit.moved(), kit.dropped()))
    assert outcomes[0] == outcomes[1]
