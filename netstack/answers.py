"""Answers the stack gives by itself: ICMP errors and echoes, TCP resets and SYN-ACKs. Counted, handed to the device, never on a wire.

Models: Out counters of IP, ICMP and TCP, the device's tx_packets, when ICMP keeps silent, its two rate limits.
Leaves out: the frames, their cost, ICMP towards other hosts' routers (MTU). The global limit takes 1 credit a message; the kernel
takes away up to 2 more at random.
Source: net/ipv4/icmp.c, net/ipv6/icmp.c, net/ipv4/tcp_ipv4.c (6.9); recordings of stack.json.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from emu.headers import ETH_HLEN
from emu.skb import PACKET_HOST, Skb
from netstack.route import LOCAL

if TYPE_CHECKING:
    from cpus.cpu import Cpu
    from emu.headers import Headers
    from netstack.stack import NetStack
    from softirq.softnet_data import SoftnetData

ICMP_MAX_BYTES: Final = 576
IPV6_MIN_MTU_BYTES: Final = 1280
ICMP_MSGS_PER_SEC: Final = 1000
ICMP_MSGS_BURST: Final = 50
ICMP_RATELIMIT_MS: Final = 1000
XRLIM_BURST_FACTOR: Final = 6
ICMP_RATEMASK: Final = 1 << 3 | 1 << 4 | 1 << 11 | 1 << 12
"""Types of IPv4 that are limited: unreachable, source quench, time exceeded, parameter problem."""
PEERS_LIMIT: Final = 65_536

_OUT_COLUMN: Final = {
    3: "OutDestUnreachs",
    11: "OutTimeExcds",
    12: "OutParmProbs",
    0: "OutEchoReps",
    14: "OutTimestampReps",
}
_OUT6_COLUMN: Final = {1: "OutDestUnreachs", 3: "OutTimeExcds", 4: "OutParmProblems", 129: "OutEchoReplies"}


class IcmpError:
    """An ICMP error about `skb` that the limits have not allowed yet. It holds no frame: who refused the packet accounts for that."""

    __slots__ = ("icmp_type", "ip_bytes", "skb")

    frames = 0

    def __init__(self, skb: Skb, icmp_type: int, ip_bytes: int) -> None:
        self.skb = skb
        self.icmp_type = icmp_type
        self.ip_bytes = ip_bytes


class Answers:
    """What one host sends of its own accord."""

    def __init__(self, stack: NetStack) -> None:
        self._stack = stack
        self._clock = stack.net.clock
        self._snmp = stack.snmp
        self._jiffies = stack.net.jiffies
        self._credit = 0
        self._credit_jiffy = -self._jiffies.hz
        self._peers: dict[bytes, tuple[int, int]] = {}
        """Address -> (tokens in jiffies, jiffy of the last change)."""
        self.rate_limited = 0
        """Messages that a limit kept back."""

    def icmp_send(self, sd: SoftnetData, skb: Skb, icmp_type: int, code: int, route: int) -> None:
        """An ICMP error about `skb`, unless it must keep silent: about broadcasts, later fragments and ICMP errors (RFC 1122)."""
        hdr = skb.hdr
        if skb.pkt_type != PACKET_HOST or route != LOCAL or hdr.fragment_offset:
            return
        if hdr.l4_protocol == 1 and hdr.icmp_type not in (0, 8, 13, 14, 15, 16, 17, 18):
            return
        quoted = min(skb.len_bytes - max(hdr.trailer_bytes, 0), ICMP_MAX_BYTES - 28)
        if ICMP_RATEMASK >> icmp_type & 1:
            self._clock.post(sd.cpu, self, IcmpError(skb, icmp_type, 28 + quoted))
        else:
            self.icmp_out(skb, icmp_type, 28 + quoted)

    def icmp_out(self, skb: Skb, icmp_type: int, ip_bytes: int) -> None:
        """Count an ICMP message of `ip_bytes` on its way out."""
        snmp = self._snmp
        snmp.Icmp.OutMsgs += 1
        snmp.IcmpMsgOutType[icmp_type] += 1
        column = _OUT_COLUMN.get(icmp_type)
        if column is not None:
            setattr(snmp.Icmp, column, getattr(snmp.Icmp, column) + 1)
        self._ip_out(skb, ip_bytes)

    def icmp6_send(self, sd: SoftnetData, skb: Skb, icmp_type: int, code: int) -> None:
        """An ICMPv6 error about `skb`, unless it was multicast, has no usable source or is an ICMPv6 error itself (RFC 4443)."""
        hdr = skb.hdr
        if skb.pkt_type != PACKET_HOST or hdr.daddr[0] == 0xFF or hdr.saddr[0] == 0xFF or not any(hdr.saddr):
            return
        if hdr.l4_protocol == 58 and hdr.icmp_type < 128:
            return
        quoted = min(skb.len_bytes - max(hdr.trailer_bytes, 0), IPV6_MIN_MTU_BYTES - 48)
        self._clock.post(sd.cpu, self, IcmpError(skb, icmp_type, 48 + quoted))

    def deliver(self, stamp_ns: int, sender: Cpu, error: IcmpError) -> None:
        """Send an ICMP error, or keep it back (the port of the limits, which all CPUs share)."""
        skb = error.skb
        hdr = skb.hdr
        if not self._allowed(stamp_ns, hdr):
            return
        if hdr.version == 6:
            self.icmp6_out(skb, error.icmp_type, error.ip_bytes)
        else:
            self.icmp_out(skb, error.icmp_type, error.ip_bytes)

    def icmp6_out(self, skb: Skb, icmp_type: int, ip_bytes: int) -> None:
        """Count an ICMPv6 message of `ip_bytes` on its way out."""
        snmp = self._snmp
        snmp.Icmp6.OutMsgs += 1
        snmp.Icmp6OutType[icmp_type] += 1
        column = _OUT6_COLUMN.get(icmp_type)
        if column is not None:
            setattr(snmp.Icmp6, column, getattr(snmp.Icmp6, column) + 1)
        self._ip_out(skb, ip_bytes)

    def tcp_reset(self, skb: Skb) -> None:
        """tcp_v4_send_reset: 20 bytes of TCP header."""
        self._snmp.Tcp.OutRsts += 1
        self._tcp_out(skb, 20)

    def tcp_synack(self, skb: Skb) -> None:
        """The second packet of the handshake, with the options that the first one offered."""
        self._tcp_out(skb, 20 + _synack_option_bytes(skb.hdr))

    def _tcp_out(self, skb: Skb, tcp_bytes: int) -> None:
        self._snmp.Tcp.OutSegs += 1
        self._ip_out(skb, tcp_bytes + (40 if skb.hdr.version == 6 else 20))

    def _ip_out(self, skb: Skb, ip_bytes: int) -> None:
        snmp = self._snmp
        if skb.hdr.version == 6:
            snmp.Ip6.OutRequests += 1
            snmp.Ip6.OutOctets += ip_bytes
            snmp.Ip6.OutTransmits += 1
        else:
            snmp.Ip.OutRequests += 1
            snmp.IpExt.OutOctets += ip_bytes
            snmp.Ip.OutTransmits += 1
        statistics = skb.dev.statistics
        statistics.tx_packets += 1
        statistics.tx_bytes += ETH_HLEN + ip_bytes

    def _allowed(self, now_ns: int, hdr: Headers) -> bool:
        """icmp_global_allow, then inet_peer_xrlim_allow: a bucket for all, and one of six messages an address."""
        address = hdr.saddr
        snmp = self._snmp
        now = self._jiffies.at(now_ns)
        hz = self._jiffies.hz
        passed = min(now - self._credit_jiffy, hz)
        if passed >= max(hz // 50, 1):
            gained = ICMP_MSGS_PER_SEC * passed // hz
            if gained:
                self._credit = min(self._credit + gained, ICMP_MSGS_BURST)
                self._credit_jiffy = now
        if not self._credit:
            self.rate_limited += 1
            if hdr.version == 4:  # ICMPv6 asks the same bucket, but has no such column
                snmp.Icmp.OutRateLimitGlobal += 1
            return False
        self._credit -= 1
        timeout = self._jiffies.msecs_to_jiffies(ICMP_RATELIMIT_MS)
        peers = self._peers
        if address not in peers and len(peers) >= PEERS_LIMIT:
            peers.clear()
        tokens, last = peers.get(address, (0, now - 60 * hz))
        tokens = min(tokens + max(now - last, 0), XRLIM_BURST_FACTOR * timeout)
        if tokens < timeout:
            peers[address] = (tokens, now)
            self.rate_limited += 1
            if hdr.version == 6:
                snmp.Icmp6.OutRateLimitHost += 1
            else:
                snmp.Icmp.OutRateLimitHost += 1
            return False
        peers[address] = (tokens - timeout, now)
        return True


def _synack_option_bytes(hdr: Headers) -> int:
    """Bytes of options in the SYN-ACK: MSS always; timestamps, SACK and window scale if the SYN has them."""
    kinds = tcp_option_kinds(hdr.tcp_options)
    total = 4
    if 8 in kinds:
        total += 12  # SACK-permitted fills the padding
    elif 4 in kinds:
        total += 4
    if 3 in kinds:
        total += 4
    return total


def tcp_option_kinds(options: bytes) -> set[int]:
    """Kinds of the TCP options, up to the first malformed one."""
    kinds: set[int] = set()
    at = 0
    while at < len(options):
        kind = options[at]
        if kind == 0:
            break
        if kind == 1:
            at += 1
            continue
        if at + 1 >= len(options) or options[at + 1] < 2 or at + options[at + 1] > len(options):
            break
        kinds.add(kind)
        at += options[at + 1]
    return kinds
