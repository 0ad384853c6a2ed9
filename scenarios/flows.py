"""Flows of synthetic traffic: who sends to whom, over which protocol, and how large each flow's share is.

Models: UDP and TCP over IPv4 and IPv6, equal or Zipf shares, a first IP id and TCP sequence number per flow.
Leaves out: handshakes (a flow is seen from its middle), acknowledgement numbers that move, VLAN tags.

A flow's headers are built once and interned, so that in the hot path "the same flow" costs one identity test.
"""

from __future__ import annotations

import random
import struct
from bisect import bisect_right
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from itertools import accumulate, repeat
from math import floor
from typing import Final

from emu.errors import ConfigError
from emu.headers import (
    ETH_P_IP,
    ETH_P_IPV6,
    IP_DF,
    IPPROTO_TCP,
    IPPROTO_UDP,
    TCP_ACK,
    TCP_PSH,
    Headers,
    HeaderTable,
    build,
)

MAX_FLOWS: Final = 1 << 16
MAX_ZIPF_EXPONENT: Final = 10.0
FIRST_SOURCE_PORT: Final = 1024
SOURCE_PORTS: Final = 65536 - FIRST_SOURCE_PORT
TTL: Final = 64
WINDOW: Final = 502
PROTOCOLS: Final[dict[str, int]] = {"udp": IPPROTO_UDP, "tcp": IPPROTO_TCP}
TCP_TIMESTAMPS: Final = b"\x01\x01\x08\x0a" + struct.pack("!II", 1, 1)
"""NOP, NOP, timestamps, as Linux sends them; the values stand still."""

Endpoint = tuple[str, int]
"""(address, port)."""


class FlowSet:
    """`count` flows of one protocol and one IP version, and how often each is chosen.

    `sources` is an address, a network (`10.1.0.0/16`) or a range (`10.1.0.1-10.1.0.9`); `destinations` are (address, port)
    pairs of the same IP version. Flow i goes to destination i modulo their number, and comes from a new address as long as
    there is one, then from the next port, beginning at `first_port`: no two flows are the same.

    `zipf` is the exponent s of the shares 1 / rank**s (flow 0 is the largest); None or 0 makes all equal. `rng` is drawn
    from for the first IP ids and sequence numbers only. `where` names the setting in errors.

    What belongs to flow i is in place i of `hdrs`, `psh_hdrs`, `ip_ids` and `seqs`: side by side in memory, and no object a flow.

    Raises ConfigError for a wrong setting.
    """

    def __init__(
        self,
        table: HeaderTable,
        rng: random.Random,
        *,
        protocol: str = "udp",
        count: int = 1,
        sources: str = "10.1.0.0/16",
        destinations: Sequence[Endpoint] = (("10.0.0.1", 5001),),
        first_port: int = 32768,
        zipf: float | None = None,
        dst_mac: bytes = b"\x02\x00\x00\x00\x00\x01",
        src_mac: bytes = b"\x02\x00\x00\x00\x00\x02",
        tcp_timestamps: bool = False,
        where: str = "flows",
    ) -> None:
        number = PROTOCOLS.get(protocol)
        if number is None:
            raise ConfigError(f"{where}: protocol {protocol!r} is unknown, it is one of: {', '.join(PROTOCOLS)}.")
        if not 1 <= count <= MAX_FLOWS:
            raise ConfigError(f"{where}: {count} flows, it must be 1 to {MAX_FLOWS:,}.")
        if not 1 <= first_port <= 65535:
            raise ConfigError(f"{where}: first_port {first_port} is out of range, it must be 1 to 65535.")
        if zipf is not None and not 0 <= zipf <= MAX_ZIPF_EXPONENT:
            raise ConfigError(f"{where}: the Zipf exponent {zipf} is out of range, it must be 0 to 10.")
        if len(dst_mac) != 6 or len(src_mac) != 6:
            raise ConfigError(f"{where}: a MAC address has six bytes.")
        if not destinations:
            raise ConfigError(f"{where}: there is no destination.")
        first, addresses = parse_range(sources, where)
        targets = [_parse_endpoint(endpoint, where) for endpoint in destinations]
        if len(set(targets)) < len(targets):
            raise ConfigError(f"{where}: a destination is named twice.")
        if any(address.version != first.version for address, _ in targets):
            raise ConfigError(f"{where}: sources and destinations must all be IPv4 or all IPv6.")
        room = addresses * len(targets) * SOURCE_PORTS
        if count > room:
            raise ConfigError(f"{where}: {count} flows, but {sources} has room for {room:,} only.")
        self.protocol = number
        self.version = first.version
        self.is_tcp = number == IPPROTO_TCP
        self.hdrs: list[Headers] = []
        self.psh_hdrs: list[Headers] = []
        """The same with PSH set, for the last segment of a train; as `hdrs` for UDP."""
        self.ip_ids: list[int] = []
        """IP id of the first frame; 0 for IPv6."""
        self.seqs: list[int] = []
        """Sequence number of the first frame; 0 for UDP."""
        self.header_bytes = 0
        """Ethernet to transport header: the length of a frame without payload."""
        options = TCP_TIMESTAMPS if tcp_timestamps and self.is_tcp else b""
        mac = dst_mac + src_mac
        for index in range(count):
            turn, which = divmod(index, len(targets))
            daddr, dport = targets[which]
            turn, step = divmod(turn, addresses)
            sport = FIRST_SOURCE_PORT + (first_port - FIRST_SOURCE_PORT + turn) % SOURCE_PORTS
            saddr = (first + step).packed
            hdr = make_headers(table, mac, saddr, daddr.packed, number, sport, dport, TCP_ACK, options)
            psh_hdr = hdr
            if self.is_tcp:
                psh_hdr = make_headers(
                    table, mac, saddr, daddr.packed, number, sport, dport, TCP_ACK | TCP_PSH, options
                )
            self.hdrs.append(hdr)
            self.psh_hdrs.append(psh_hdr)
            self.ip_ids.append(rng.getrandbits(16) if self.version == 4 else 0)
            self.seqs.append(rng.getrandbits(32) if self.is_tcp else 0)
        self.header_bytes = self.hdrs[0].header_bytes
        self.cumulative: list[float] | None = None
        """Sums of the shares, the last is 1; None when all are equal."""
        if zipf:
            sums = list(accumulate((rank + 1.0) ** -zipf for rank in range(count)))
            self.cumulative = [value / sums[-1] for value in sums]
            self.cumulative[-1] = 1.0

    def __len__(self) -> int:
        return len(self.hdrs)

    def choose(self, rng: random.Random, count: int) -> list[int]:
        """`count` flows in the order of their frames, each drawn with the flow's share. One draw a frame, whatever `count`."""
        flows = len(self.hdrs)
        if flows == 1:
            return [0] * count
        draw = rng.random
        cumulative = self.cumulative
        if cumulative is None:
            # floor takes half of the time of int, and a whole number of flows as a float gives the same product.
            size = float(flows)
            return [floor(draw() * size) for _ in repeat(None, count)]
        return [bisect_right(cumulative, draw()) for _ in repeat(None, count)]

    def shares(self) -> list[float]:
        """Each flow's part of all frames; they add up to 1."""
        cumulative = self.cumulative
        if cumulative is None:
            return [1 / len(self)] * len(self)
        return [high - low for low, high in zip([0.0, *cumulative], cumulative, strict=False)]


def make_headers(
    table: HeaderTable,
    mac: bytes,
    saddr: bytes,
    daddr: bytes,
    protocol: int,
    sport: int,
    dport: int,
    tcp_flags: int = TCP_ACK,
    tcp_options: bytes = b"",
) -> Headers:
    """The interned headers of a sound frame. `mac` is destination and source (12 bytes), addresses are both 4 or both 16 bytes,
    `protocol` is UDP's or TCP's number, `tcp_options` are padded to whole words already."""
    plan = Headers()
    plan.version = 4 if len(saddr) == 4 else 6
    plan.saddr, plan.daddr, plan.l4_protocol = saddr, daddr, protocol
    if plan.version == 4:
        ether = mac + struct.pack("!H", ETH_P_IP)
        network = struct.pack("!BBHHHBBH", 0x45, 0, 0, 0, IP_DF, TTL, protocol, 0) + saddr + daddr
    else:
        ether = mac + struct.pack("!H", ETH_P_IPV6)
        network = struct.pack("!IHBB", 6 << 28, 0, protocol, TTL) + saddr + daddr
    if protocol == IPPROTO_TCP:
        doff = 20 + len(tcp_options)
        transport = struct.pack("!HHIIHHHH", sport, dport, 0, 1, doff << 10 | tcp_flags, WINDOW, 0, 0) + tcp_options
    else:
        transport = struct.pack("!HHHH", sport, dport, 0, 0)
    plan.template = ether + network + transport
    plan.l4_offset = len(ether) + len(network)
    return table.parse(build(plan, len(plan.template), 0, 0)).hdr


def parse_range(text: str, where: str) -> tuple[IPv4Address | IPv6Address, int]:
    """First address and number of addresses of `10.1.0.1`, `10.1.0.0/16` or `10.1.0.1-10.1.0.9`; ConfigError for anything else.

    Of an IPv4 network with a broadcast address, that one and the network's own are left out.
    """
    try:
        if "/" in text:
            network = ip_network(text)
            size = network.num_addresses
            if network.version == 4 and size > 2:
                return network.network_address + 1, size - 2
            return network.network_address, size
        if "-" in text:
            low_text, high_text = text.split("-")
            low, high = ip_address(low_text.strip()), ip_address(high_text.strip())
            if low.version != high.version or int(high) < int(low):
                raise ConfigError(f"{where}: the range {text} has no addresses.")
            return low, int(high) - int(low) + 1
        return ip_address(text), 1
    except ValueError as error:
        raise ConfigError(
            f"{where}: {text!r} is not an address, a network like 10.1.0.0/16 or a range like 10.1.0.1-10.1.0.9 ({error})."
        ) from error


def _parse_endpoint(endpoint: Endpoint, where: str) -> tuple[IPv4Address | IPv6Address, int]:
    address, port = endpoint
    if not 1 <= port <= 65535:
        raise ConfigError(f"{where}: destination port {port} is out of range, it must be 1 to 65535.")
    try:
        return ip_address(address), port
    except ValueError as error:
        raise ConfigError(f"{where}: {address!r} is not an IP address.") from error
