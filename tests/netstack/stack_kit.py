"""A machine with one device and the protocol stack, driven without turns: frames go straight up, posts are decided at once."""

from __future__ import annotations

import itertools
import struct
from typing import Any

from emu.clock import NEVER
from emu.dropreason import DropReason
from emu.headers import (
    IPPROTO_FRAGMENT,
    IPPROTO_ICMP,
    IPPROTO_ICMPV6,
    IPPROTO_TCP,
    IPPROTO_UDP,
    TCP_ACK,
    ones_complement_sum,
)
from emu.skb import Skb
from softirq.receive import netif_receive_skb_list_internal
from tests.conform.hand_stack import HandStack

LOCAL4 = bytes([10, 0, 0, 1])
PEER4 = bytes([10, 0, 0, 2])
LOCAL6 = bytes.fromhex("fd000000000000000000000000000001")
PEER6 = bytes.fromhex("fd000000000000000000000000000002")
ETHERNET4 = bytes.fromhex("0200000000010200000000990800")
ETHERNET6 = bytes.fromhex("02000000000102000000009986dd")


def csum(data: bytes) -> int:
    """Internet checksum of `data`."""
    return 0xFFFF - ones_complement_sum(data)


def ip4(
    protocol: int,
    body: bytes,
    saddr: bytes = PEER4,
    daddr: bytes = LOCAL4,
    tos: int = 0,
    ident: int = 0,
    frag: int = 0x4000,
    options: bytes = b"",
    total: int | None = None,
    version_ihl: int | None = None,
) -> bytes:
    """An IPv4 frame with a right header checksum. `frag`: flags and offset as they lie in the header."""
    length = 20 + len(options) + len(body) if total is None else total
    first = 0x40 | (5 + len(options) // 4) if version_ihl is None else version_ihl
    head = struct.pack("!BBHHHBBH", first, tos, length, ident, frag, 64, protocol, 0) + saddr + daddr + options
    return ETHERNET4 + head[:10] + csum(head).to_bytes(2, "big") + head[12:] + body


def ip6(
    next_header: int,
    body: bytes,
    saddr: bytes = PEER6,
    daddr: bytes = LOCAL6,
    tclass: int = 0,
    length: int | None = None,
) -> bytes:
    """An IPv6 frame."""
    size = len(body) if length is None else length
    return ETHERNET6 + struct.pack("!IHBB", 6 << 28 | tclass << 20, size, next_header, 64) + saddr + daddr + body


def _pseudo(saddr: bytes, daddr: bytes, protocol: int, size: int) -> bytes:
    return saddr + daddr + size.to_bytes(4, "big") + bytes((0, 0, 0, protocol))


def udp_body(
    sport: int = 1000,
    dport: int = 7000,
    payload: int = 40,
    saddr: bytes = PEER4,
    daddr: bytes = LOCAL4,
    ulen: int | None = None,
    wrong: bool = False,
    unsummed: bool = False,
) -> bytes:
    """A UDP header and zeros."""
    size = 8 + payload
    body = struct.pack("!HHHH", sport, dport, size if ulen is None else ulen, 0) + bytes(payload)
    total = csum(_pseudo(saddr, daddr, IPPROTO_UDP, size) + body) or 0xFFFF
    if wrong:
        total ^= 0x0101
    return body if unsummed else body[:6] + total.to_bytes(2, "big") + body[8:]


def udp4(**what: Any) -> bytes:
    """A UDP frame over IPv4."""
    addresses = {key: what[key] for key in ("saddr", "daddr") if key in what}
    return ip4(IPPROTO_UDP, udp_body(**what), **addresses)


def udp6(**what: Any) -> bytes:
    """A UDP frame over IPv6."""
    return ip6(IPPROTO_UDP, udp_body(**({"saddr": PEER6, "daddr": LOCAL6} | what)))


def tcp_body(
    sport: int = 1000,
    dport: int = 8000,
    seq: int = 0,
    payload: int = 0,
    flags: int = TCP_ACK,
    window: int = 1000,
    options: bytes = b"",
    doff: int | None = None,
    wrong: bool = False,
    saddr: bytes = PEER4,
    daddr: bytes = LOCAL4,
) -> bytes:
    """A TCP header and zeros."""
    words = 5 + len(options) // 4 if doff is None else doff
    seq &= 0xFFFFFFFF
    body = struct.pack("!HHIIBBHHH", sport, dport, seq, 1, words << 4, flags, window, 0, 0) + options + bytes(payload)
    total = csum(_pseudo(saddr, daddr, IPPROTO_TCP, len(body)) + body)
    if wrong:
        total ^= 0x0101
    return body[:16] + total.to_bytes(2, "big") + body[18:]


def tcp4(**what: Any) -> bytes:
    """A TCP frame over IPv4."""
    return ip4(IPPROTO_TCP, tcp_body(**what))


def tcp6(**what: Any) -> bytes:
    """A TCP frame over IPv6."""
    return ip6(IPPROTO_TCP, tcp_body(saddr=PEER6, daddr=LOCAL6, **what))


def icmp4(kind: int, code: int = 0, payload: int = 56, wrong: bool = False, **ip: Any) -> bytes:
    """An ICMP frame."""
    body = struct.pack("!BBHHH", kind, code, 0, 1, 1) + bytes(payload)
    total = csum(body) ^ (0x0101 if wrong else 0)
    return ip4(IPPROTO_ICMP, body[:2] + total.to_bytes(2, "big") + body[4:], **ip)


def icmp6(kind: int, payload: int = 56, wrong: bool = False) -> bytes:
    """An ICMPv6 frame."""
    body = struct.pack("!BBHHH", kind, 0, 0, 1, 1) + bytes(payload)
    total = csum(_pseudo(PEER6, LOCAL6, IPPROTO_ICMPV6, len(body)) + body) ^ (0x0101 if wrong else 0)
    return ip6(IPPROTO_ICMPV6, body[:2] + total.to_bytes(2, "big") + body[4:])


def fragments4(body: bytes, cuts: list[int], ident: int = 7, protocol: int = IPPROTO_UDP, **ip: Any) -> list[bytes]:
    """`body` cut at the offsets `cuts` (multiples of 8), as IPv4 fragments in order."""
    edges = [0, *cuts, len(body)]
    return [
        ip4(protocol, body[a:b], ident=ident, frag=(0x2000 if b < len(body) else 0) | a >> 3, **ip)
        for a, b in itertools.pairwise(edges)
    ]


def fragments6(body: bytes, cuts: list[int], ident: int = 7, protocol: int = IPPROTO_UDP) -> list[bytes]:
    """The same for IPv6."""
    edges = [0, *cuts, len(body)]
    return [
        ip6(IPPROTO_FRAGMENT, struct.pack("!BBHI", protocol, 0, a | (b < len(body)), ident) + body[a:b])
        for a, b in itertools.pairwise(edges)
    ]


class StackKit(HandStack):
    """`up` sends frames up at CPU 0's local time; everything they cause is decided when it returns."""

    def __init__(self, release: str = "6.9", cpus: int = 1, **prices: int) -> None:
        super().__init__(release, cpus, **prices)
        self.cpus[0].local_now_ns = 1_000_000
        self.sd = self.net.softnet[0]

    def up(self, *frames: bytes | Skb, summed: int = 0, truesize: int = 1280, cpu: int = 0) -> None:
        """Let frames go up in one list on `cpu`."""
        skbs = [
            frame if isinstance(frame, Skb) else self.make_skb(frame, summed, truesize_bytes=truesize)
            for frame in frames
        ]
        netif_receive_skb_list_internal(self.net.softnet[cpu], skbs)
        self.settle()

    def settle(self) -> None:
        """Decide all posts, and check that no frame was lost."""
        self.clock._decide(NEVER - 1)
        self.ledger.check(self.clock.now_ns)

    def moved(self) -> dict[str, int]:
        """Counters that moved since the last call, CurrEstab aside."""
        self.clock.settle(self.clock.now_ns)
        now = self.counters()
        before = getattr(self, "_before", {})
        self._before = now
        return {name: value - before.get(name, 0) for name, value in now.items() if value != before.get(name, 0)}

    def dropped(self) -> dict[str, int]:
        """Frames dropped, by reason."""
        return {reason.name: n for reason, n in zip(DropReason, self.ledger.dropped_frames, strict=True) if n}
