"""Routes: is a packet for this host? The receive half of a routing table.

Models: local, broadcast and multicast destinations, martian sources and destinations; AnyIP (`any_is_local`).
Leaves out: forwarding, reverse-path filtering, multicast memberships other than addresses in a device's local_addresses and
all-hosts/all-nodes.
Source: net/ipv4/route.c ip_route_input_slow, net/ipv6/route.c (6.9); rules of section 8, K2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from netstack.lookup import ANY4, ANY6

if TYPE_CHECKING:
    from emu.headers import Headers
    from softirq.net import Net

LOCAL: Final = 0
BROADCAST: Final = 1
MULTICAST: Final = 2
MARTIAN: Final = 3
"""Refused without a counter (K2)."""
UNREACHABLE: Final = 4
"""Not ours, and this host does not forward (IpInAddrErrors, K2)."""

LIMITED_BROADCAST: Final = b"\xff\xff\xff\xff"
ALL_HOSTS: Final = b"\xe0\x00\x00\x01"
UNICAST_FIRST: Final = frozenset(range(1, 224)) - {127}
"""First bytes of unicast addresses that may come in from the wire."""
LOOPBACK6: Final = bytes(15) + b"\x01"


class Routes:
    """What counts as local on one host (weak host model: any device's addresses count on all devices)."""

    def __init__(self, net: Net) -> None:
        self._net = net
        self.any_is_local = False
        """AnyIP: every unicast address is local, as after `ip route add local default dev lo`."""

    def is_local(self, address: bytes) -> bool:
        """`address` is one of this host's."""
        return self.any_is_local or self._listed(address)

    def _listed(self, address: bytes) -> bool:
        for dev in self._net.devices.values():  # noqa: SIM110 - a generator would double the price of a packet's route
            if address in dev.local_addresses:
                return True
        return False

    def input4(self, hdr: Headers) -> int:
        """Where an IPv4 packet that came in from the wire goes."""
        saddr, daddr = hdr.saddr, hdr.daddr
        source, first = saddr[0], daddr[0]
        if source not in UNICAST_FIRST or first not in UNICAST_FIRST:
            if 224 <= source < 240 or saddr == LIMITED_BROADCAST or source == 127:
                return MARTIAN
            if 224 <= first < 240:
                return MULTICAST if daddr == ALL_HOSTS or self._listed(daddr) else MARTIAN
            if daddr == LIMITED_BROADCAST or (saddr == ANY4 and daddr == ANY4):
                return BROADCAST
            if source == 0 or first in (0, 127):
                return MARTIAN
        if self.is_local(daddr):
            return MARTIAN if self._listed(saddr) else LOCAL
        if any(daddr in dev.broadcast_addresses for dev in self._net.devices.values()):
            return MARTIAN if self._listed(saddr) else BROADCAST
        return UNREACHABLE

    def input6(self, hdr: Headers) -> int:
        """Where an IPv6 packet that came in from the wire goes; its addresses' own faults are the header check's matter."""
        daddr = hdr.daddr
        if daddr[0] == 0xFF:
            mine = daddr[1] & 15 <= 2 or self._listed(daddr)
            return MULTICAST if mine else UNREACHABLE
        if daddr != ANY6 and (self.is_local(daddr)):
            return LOCAL
        return UNREACHABLE
