"""The two sides of a capture: whose machine is emulated, what arrives for it, and which sockets have to be open.

A capture holds both directions of every conversation; only one of them reaches a receive path. The local side is the
address that receives most bytes, unless the user names it. Frames for others are counted and told, not lost in silence.
"""

from collections.abc import Iterable
from ipaddress import ip_address
from typing import Final

from emu.errors import CaptureError, ConfigError
from emu.headers import IPPROTO_TCP, IPPROTO_UDP, Frame, Headers
from scenarios.capture_notes import count

MAX_RECEIVERS: Final = 1 << 16
"""Pairs of address and MAC that are told apart when the local one is looked for: a scan of IPv6 has no end of them."""
NEAREST_TOLD: Final = 3


class CaptureSides:
    """What `find_sides` found. Addresses are raw bytes (4 or 16), as in `Headers`; counters are frames."""

    __slots__ = (
        "_local",
        "addresses",
        "frames",
        "local_frames",
        "mac",
        "multicast_frames",
        "non_ip_frames",
        "other_host_frames",
        "ports",
        "sent_frames",
        "silent_addresses",
        "untracked_frames",
    )

    def __init__(self, addresses: tuple[bytes, ...], mac: bytes) -> None:
        self.addresses = addresses
        """The local addresses: the busiest first, or in the order in which the user named them."""
        self._local = frozenset(addresses)
        self.mac = mac
        """The MAC address most frames to the local addresses went to: the emulated NIC's."""
        self.ports: dict[tuple[int, int], int] = {}
        """(protocol number, port) -> frames, for TCP and UDP to the local addresses; the busiest first. Not in it are
        port 0 and fragments that do not hold their ports."""
        self.frames = 0
        self.local_frames = 0
        """To a local address: what is played."""
        self.sent_frames = 0
        """Sent by the local side: its transmit path is not emulated."""
        self.multicast_frames = 0
        self.non_ip_frames = 0
        """Neither IPv4 nor IPv6 (ARP, LLDP), or too short or broken to hold an address."""
        self.other_host_frames = 0
        """To another host's address, as a mirror port or a router sees them."""
        self.silent_addresses: tuple[bytes, ...] = ()
        """Addresses the user named that receive nothing."""
        self.untracked_frames = 0
        """Not considered when the local address was looked for, because there were too many addresses."""

    def is_for_local(self, headers: Headers) -> bool:
        """True for a frame that is to be played: its destination is a local address."""
        return headers.daddr in self._local

    def sentences(self) -> list[str]:
        """Who is local, what is left out and why, for the user."""
        names = " and ".join(address_words(address) for address in self.addresses)
        for_it = f"{self.local_frames:,} of {count(self.frames, 'frame')} are for it"
        told = [f"Local is {names} at {self.mac.hex(':')}: {for_it}."]
        left_out = [
            f"{number:,} {words}"
            for number, words in (
                (self.sent_frames, "sent by it"),
                (self.other_host_frames, "for other hosts"),
                (self.multicast_frames, "broadcast or multicast"),
                (self.non_ip_frames, "without a readable IP header"),
            )
            if number
        ]
        if left_out:
            told.append(f"{count(self.frames - self.local_frames, 'frame')} left out: {', '.join(left_out)}.")
        if self.silent_addresses:
            told.append(f"Nothing is received by {' or '.join(address_words(a) for a in self.silent_addresses)}.")
        if self.untracked_frames:
            told.append(
                f"{count(self.untracked_frames, 'frame')} not considered in looking for the local address: "
                f"more than {MAX_RECEIVERS:,} addresses receive."
            )
        return told


def find_sides(frames: Iterable[Frame], local: Iterable[str] = ()) -> CaptureSides:
    """Find the local side of a parsed capture, which is iterated twice (a list, not a generator: TypeError).

    Without `local` it is the unicast address that receives most bytes on the wire, together with the address of the
    other IP version that receives most at the same MAC, if there is one. Only one per version, because behind one MAC
    there may be a router, and what it forwards is not received. With `local` it is exactly the addresses named there.

    Raises ConfigError for a name in `local` that is no address, or when none of them receives anything; CaptureError
    when no frame is sent to a host at all.
    """
    if iter(frames) is frames:
        raise TypeError("find_sides goes through the frames twice: hand it a list, not an iterator")
    named = tuple(dict.fromkeys(_parse_address(text) for text in local))
    receivers, untracked = _count_receivers(frames)
    if not receivers:
        raise CaptureError("no frame of the capture is sent to an IP address of a host: there is nothing to receive.")
    by_bytes: dict[bytes, int] = {}
    for (address, _), (_, wire_bytes) in receivers.items():
        by_bytes[address] = by_bytes.get(address, 0) + wire_bytes
    busiest = sorted(by_bytes, key=lambda address: (-by_bytes[address], address))
    if named:
        addresses = tuple(address for address in named if address in by_bytes)
        if not addresses:
            nearest = ", ".join(address_words(address) for address in busiest[:NEAREST_TOLD])
            words = " or ".join(address_words(address) for address in named)
            raise ConfigError(f"local: nothing in the capture is received by {words}; most is by {nearest}.")
        mac = _most_common_mac(receivers, addresses)
    else:
        first = busiest[0]
        mac = _most_common_mac(receivers, (first,))
        others = [address for address in busiest if len(address) != len(first) and (address, mac) in receivers]
        addresses = (first, *others[:1])
    sides = CaptureSides(addresses, mac)
    sides.silent_addresses = tuple(address for address in named if address not in by_bytes)
    sides.untracked_frames = untracked
    _count_frames(sides, frames)
    return sides


def address_words(address: bytes) -> str:
    """`10.99.0.1` or `fd99::1` for the raw bytes of an address."""
    return str(ip_address(address))


def _parse_address(text: str) -> bytes:
    try:
        return ip_address(text).packed
    except ValueError:
        raise ConfigError(f"local: {text!r} is not an IPv4 or IPv6 address, such as 10.0.0.1 or fd00::1.") from None


def _is_to_host(headers: Headers) -> bool:
    """Whether a frame goes to one host, by its MAC and by its IP address."""
    address = headers.daddr
    if not address or headers.dst_mac[0] & 1 or not any(address):
        return False
    if len(address) == 4:
        return address[0] < 224 or (address[0] >= 240 and address != b"\xff\xff\xff\xff")
    return address[0] != 0xFF


def _count_receivers(frames: Iterable[Frame]) -> tuple[dict[tuple[bytes, bytes], tuple[int, int]], int]:
    """(address, MAC) -> (frames, bytes on the wire), and the frames of pairs beyond the limit."""
    receivers: dict[tuple[bytes, bytes], tuple[int, int]] = {}
    untracked = 0
    for frame in frames:
        headers = frame.hdr
        if not _is_to_host(headers):
            continue
        key = (headers.daddr, headers.dst_mac)
        known = receivers.get(key)
        if known is not None:
            receivers[key] = (known[0] + 1, known[1] + frame.wire_bytes)
        elif len(receivers) < MAX_RECEIVERS:
            receivers[key] = (1, frame.wire_bytes)
        else:
            untracked += 1
    return receivers, untracked


def _most_common_mac(receivers: dict[tuple[bytes, bytes], tuple[int, int]], addresses: tuple[bytes, ...]) -> bytes:
    """The MAC that most frames to these addresses went to; of equal ones the lower."""
    macs: dict[bytes, int] = {}
    for (address, mac), (frames, _) in receivers.items():
        if address in addresses:
            macs[mac] = macs.get(mac, 0) + frames
    return min(macs, key=lambda mac: (-macs[mac], mac))


def _count_frames(sides: CaptureSides, frames: Iterable[Frame]) -> None:
    """Sort every frame into one of the counters of `sides`, and the ports of those for the local side."""
    local = frozenset(sides.addresses)
    ports: dict[tuple[int, int], int] = {}
    for frame in frames:
        headers = frame.hdr
        sides.frames += 1
        if headers.daddr in local:
            sides.local_frames += 1
            protocol = headers.l4_protocol
            if headers.dport and protocol in (IPPROTO_TCP, IPPROTO_UDP):
                key = (protocol, headers.dport)
                ports[key] = ports.get(key, 0) + 1
        elif headers.saddr in local or (not headers.saddr and headers.src_mac == sides.mac):
            sides.sent_frames += 1
        elif headers.dst_mac and headers.dst_mac[0] & 1:
            sides.multicast_frames += 1
        elif not headers.daddr:
            sides.non_ip_frames += 1
        else:
            sides.other_host_frames += 1
    sides.ports = dict(sorted(ports.items(), key=lambda item: (-item[1], item[0])))
