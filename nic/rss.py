"""Receive-side scaling: which hash a frame gets and which queue it goes to.

Models: the fields that are hashed for each kind of traffic (ethtool's rx-flow-hash), the Toeplitz key, the indirection table.
Leaves out: several RSS contexts, symmetric hashes, hashing of what lies inside a tunnel.
Source: rules H5-H8, C5; recordings of a virtio NIC with RSS.
"""

from __future__ import annotations

from collections.abc import Sequence
from errno import EINVAL
from typing import Final

from emu.errors import ControlError
from emu.headers import IPPROTO_TCP, IPPROTO_UDP, Headers
from emu.skb import HASH_L3, HASH_L4, HASH_NONE
from nic.toeplitz import HASH_BYTES, Toeplitz

PF_TABLE_ENTRIES: Final = 2048
"""Indirection table of an ice physical function (H7); others have 64, 128 or 512."""

FLOW_TYPES: Final = ("tcp4", "udp4", "tcp6", "udp6")
FIELD_LETTERS: Final = "sdfn"
"""ethtool's letters: source address, destination address, and the two halves of the ports."""

PORTS_BYTES: Final = 4
_MAX_INPUT_BYTES: Final = 36


class Rss:
    """Hash and queue of a frame. `queues` receive queues, `entries` places in the indirection table (a power of two).

    Every flow type hashes addresses and ports until told otherwise, as ice does; other IP traffic and fragments hash addresses.
    `kind_by_packet_type`: the hash of a TCP or UDP frame is called an L4 hash even when only addresses went into it (ice, C5);
    otherwise it is called by what was hashed (virtio).
    Whoever changes a setting while frames flow must let the NIC steer anew (`Nic.reconfigure`).
    """

    def __init__(
        self, key: bytes, queues: int, entries: int = PF_TABLE_ENTRIES, kind_by_packet_type: bool = True
    ) -> None:
        assert entries > 0 and entries & (entries - 1) == 0, f"an indirection table of {entries} entries"
        assert queues > 0, "a device without queues"
        self.queues = queues
        self.kind_by_packet_type = kind_by_packet_type
        self.fields: dict[str, str] = dict.fromkeys(FLOW_TYPES, "sdfn")
        self.set_key(key)
        self.indirection = default_indirection(entries, queues)
        self.configured = False
        """The table is a user's (the kernel's netif_is_rxfh_configured): it does not follow the number of queues."""

    @property
    def key(self) -> bytes:
        """The key in force."""
        return self._toeplitz.key

    def set_key(self, key: bytes) -> None:
        """Hash under `key`. ControlError EINVAL when it is too short for IPv6 addresses and ports (40 bytes)."""
        if len(key) < _MAX_INPUT_BYTES + HASH_BYTES:
            raise ControlError(
                EINVAL, f"an RSS key of {len(key)} bytes is too short: it takes {_MAX_INPUT_BYTES + HASH_BYTES}"
            )
        self._toeplitz = Toeplitz(key)

    def set_fields(self, flow_type: str, fields: str) -> None:
        """ethtool -N rx-flow-hash: what `flow_type` hashes, a word of the letters s, d, f, n. ControlError EINVAL."""
        if flow_type not in FLOW_TYPES:
            raise ControlError(EINVAL, f"{flow_type!r} is no flow type: write one of {', '.join(FLOW_TYPES)}")
        wanted = "".join(letter for letter in FIELD_LETTERS if letter in fields)
        if not wanted or any(letter not in FIELD_LETTERS for letter in fields):
            raise ControlError(
                EINVAL, f"{fields!r} is no set of fields: write letters of {FIELD_LETTERS}, such as sd or sdfn"
            )
        self.fields[flow_type] = wanted

    def set_equal(self, count: int) -> None:
        """ethtool -X equal N: spread over the first `count` queues. ControlError EINVAL."""
        if not 1 <= count <= self.queues:
            raise ControlError(EINVAL, f"equal {count}: it takes 1 to {self.queues} queues")
        self.indirection = default_indirection(len(self.indirection), count)
        self.configured = True

    def set_weights(self, weights: Sequence[int]) -> None:
        """ethtool -X weight ...: contiguous shares of the table in proportion to the weights of the first queues.

        ControlError EINVAL without a positive weight, with a negative one, or with more weights than queues.
        """
        self.indirection = weighted_indirection(len(self.indirection), weights, self.queues)
        self.configured = True

    def set_indirection(self, table: Sequence[int]) -> None:
        """Set every entry. ControlError EINVAL for another length or a queue that is not there."""
        if len(table) != len(self.indirection):
            raise ControlError(EINVAL, f"{len(table)} entries: the indirection table has {len(self.indirection)}")
        for queue in table:
            if not 0 <= queue < self.queues:
                raise ControlError(EINVAL, f"queue {queue} in the indirection table: the device has {self.queues}")
        self.indirection = list(table)
        self.configured = True

    def set_default(self) -> None:
        """ethtool -X default: the driver's table again, which follows the number of queues."""
        self.indirection = default_indirection(len(self.indirection), self.queues)
        self.configured = False

    def set_queues(self, queues: int) -> None:
        """The device has `queues` queues from now on. ControlError EINVAL when a user's table names one that would be gone."""
        highest = max(self.indirection)
        if self.configured and highest >= queues:
            raise ControlError(
                EINVAL,
                f"{queues} channels are too few for the indirection table, which names queue {highest}: "
                f"ask for at least {highest + 1}, or write ethtool -X default first",
            )
        self.queues = queues
        if not self.configured:
            self.set_default()

    def inputs(self, hdr: Headers) -> tuple[str, bytes, int]:
        """(field letters, the bytes that are hashed, kind of the hash) of a frame. Not IP: ("", b"", HASH_NONE)."""
        if not hdr.ip_header_whole:
            return "", b"", HASH_NONE
        kind = HASH_L3
        fields = "sd"
        # A header that is a fragment's, or is not whole, gives no ports; `header_bytes` tells that one was found.
        if not hdr.fragment and hdr.header_bytes > hdr.l4_offset:
            if hdr.l4_protocol == IPPROTO_TCP:
                fields = self.fields["tcp4" if hdr.version == 4 else "tcp6"]
                kind = HASH_L4
            elif hdr.l4_protocol == IPPROTO_UDP:
                fields = self.fields["udp4" if hdr.version == 4 else "udp6"]
                kind = HASH_L4
        if fields == "sdfn":  # the usual case at once: both ports lie side by side in the frame
            return fields, hdr.saddr + hdr.daddr + hdr.template[hdr.l4_offset : hdr.l4_offset + PORTS_BYTES], kind
        data = b""
        if "s" in fields:
            data = hdr.saddr
        if "d" in fields:
            data += hdr.daddr
        if "f" in fields:
            data += hdr.sport.to_bytes(2, "big")
        if "n" in fields:
            data += hdr.dport.to_bytes(2, "big")
        if kind == HASH_L4 and not self.kind_by_packet_type and not ("f" in fields or "n" in fields):
            kind = HASH_L3
        return fields, data, kind

    def classify(self, hdr: Headers) -> tuple[int, int, int]:
        """(hash, kind of the hash, queue) of a frame. Not IP, or nothing to hash: (0, HASH_NONE, 0)."""
        _, data, kind = self.inputs(hdr)
        if kind == HASH_NONE:
            return 0, HASH_NONE, 0
        value = self._toeplitz.hash(data)
        queue = self.indirection[value & (len(self.indirection) - 1)]
        # A driver takes a hash of 0 for none.
        return value, kind if value else HASH_NONE, queue


def default_indirection(entries: int, queues: int) -> list[int]:
    """ethtool_rxfh_indir_default: entry modulo queues (H5)."""
    return [entry % queues for entry in range(entries)]


def weighted_indirection(entries: int, weights: Sequence[int], queues: int) -> list[int]:
    """The table `ethtool -X weight` writes: queue q gets the entries up to its share of the running sum, rounded down."""
    if len(weights) > queues or any(weight < 0 for weight in weights) or not sum(weights):
        raise ControlError(
            EINVAL, f"weight {' '.join(map(str, weights))}: write up to {queues} weights from 0, not all of them 0"
        )
    total = sum(weights)
    table: list[int] = []
    running = 0
    for queue, weight in enumerate(weights):
        running += weight
        table += [queue] * (entries * running // total - len(table))
    return table
