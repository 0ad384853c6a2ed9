"""The software flow hash: skb_get_hash and the dissector's choice of keys.

Models: H1-H3, K1: which fields a flow's hash covers, and that both directions hash the same.
Leaves out: SipHash itself. The kernel keys it at random at boot, so that only equality of hashes means anything; ours is BLAKE2s keyed
from the run's seed.
Source: net/core/flow_dissector.c (6.9); golden recordings for tunnels, fragments and flow labels.
"""

from __future__ import annotations

import hashlib
from typing import Final

from emu.headers import IPPROTO_GRE, IPPROTO_IPIP, IPPROTO_IPV6, Headers, HeaderTable
from emu.skb import HASH_L4, HASH_SW, Skb

CACHE_LIMIT: Final = 1 << 16
MAX_TUNNELS: Final = 4
"""Nested tunnels looked into before giving up (MAX_FLOW_DISSECT_HDRS is larger; frames of 1500 bytes do not get there)."""

_GRE_CSUM: Final = 0x80
_GRE_KEY: Final = 0x20
_GRE_SEQ: Final = 0x10


class FlowDissector:
    """Hashes flows with one key. `key`: 1 to 32 bytes."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._cache: dict[Headers, int] = {}
        self._inner = HeaderTable()

    def skb_get_hash(self, skb: Skb) -> int:
        """The hash that steering uses: the stored one if it is L4 or software-made, else computed and stored (H1)."""
        if skb.hash_kind < HASH_L4:
            skb.hash = self.hash_of(skb.hdr, skb.data)
            skb.hash_kind = HASH_SW
        return skb.hash

    def hash_of(self, hdr: Headers, data: bytes | None) -> int:
        """Hash of the flow of a frame with these headers; never 0 (H2). `data` is needed to look into tunnels."""
        tunnel = hdr.l4_protocol in (IPPROTO_GRE, IPPROTO_IPIP, IPPROTO_IPV6) and hdr.ip_header_whole
        if tunnel:
            return self._hash(_keys(self._innermost(hdr, data)))
        known = self._cache.get(hdr)
        if known is None:
            if len(self._cache) >= CACHE_LIMIT:
                self._cache.clear()
            known = self._cache[hdr] = self._hash(_keys(hdr))
        return known

    def _hash(self, keys: tuple[object, ...]) -> int:
        digest = hashlib.blake2s(repr(keys).encode(), digest_size=4, key=self._key).digest()
        return int.from_bytes(digest, "big") or 1

    def has_l4(self, skb: Skb) -> bool:
        """flow_keys_have_l4: ports, an SPI or a flow label went into the software hash of `skb` (l4_hash of the kernel's skb)."""
        hdr = self._innermost(skb.hdr, skb.data)
        if not hdr.ip_header_whole:
            return False
        return bool(hdr.flow_label or (not hdr.fragment and (hdr.sport or hdr.dport or hdr.gre_or_spi)))

    def _innermost(self, hdr: Headers, data: bytes | None) -> Headers:
        """Headers of the innermost flow: the outer addresses of a tunnel do not count (K1)."""
        for _ in range(MAX_TUNNELS):
            if data is None or hdr.fragment:
                break
            offset = hdr.l4_offset
            if hdr.l4_protocol == IPPROTO_IPIP:
                ethertype = b"\x08\x00"
            elif hdr.l4_protocol == IPPROTO_IPV6:
                ethertype = b"\x86\xdd"
            elif hdr.l4_protocol == IPPROTO_GRE and len(data) >= offset + 4:
                flags = data[offset]
                ethertype = data[offset + 2 : offset + 4]
                offset += 4 + 4 * (bool(flags & _GRE_CSUM) + bool(flags & _GRE_KEY) + bool(flags & _GRE_SEQ))
            else:
                break
            inner = self._inner.parse(bytes(12) + ethertype + data[offset:])
            if not inner.hdr.ip_header_whole:
                break
            hdr, data = inner.hdr, inner.data
        return hdr


def _keys(hdr: Headers) -> tuple[object, ...]:
    """What the hash covers: protocol, VLAN ids, addresses sorted, and ports sorted or what stands in for them."""
    vlans = tuple(tci & 0xFFF for _, tci in hdr.vlans)
    if not hdr.ip_header_whole:
        return (hdr.protocol, vlans)
    addresses = (hdr.saddr, hdr.daddr) if hdr.saddr <= hdr.daddr else (hdr.daddr, hdr.saddr)
    if hdr.version == 6 and hdr.flow_label:
        next_header = hdr.extension_headers[0] if hdr.extension_headers else hdr.l4_protocol
        return (hdr.protocol, vlans, addresses, "label", hdr.flow_label, next_header)
    if hdr.fragment:
        return (hdr.protocol, vlans, addresses, hdr.l4_protocol)
    ports = (hdr.sport, hdr.dport) if hdr.sport <= hdr.dport else (hdr.dport, hdr.sport)
    return (hdr.protocol, vlans, addresses, hdr.l4_protocol, ports, hdr.gre_or_spi)
