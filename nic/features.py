"""The features of a device that `ethtool -k` lists and `-K` switches.

Models: those of the receive path. All others are shown as off and fixed, although a real ice has many: nothing here would obey them.
Source: net/ethtool/common.c (6.9) and ethtool(8) for the names.
"""

from __future__ import annotations

from typing import Final

SWITCHES: Final[dict[str, str]] = {
    "rx-checksumming": "rx_checksum",
    "generic-receive-offload": "gro",
    "rx-vlan-offload": "rx_vlan_offload",
    "ntuple-filters": "ntuple",
    "receive-hashing": "rxhash",
    "rx-gro-list": "rx_gro_list",
    "rx-udp-gro-forwarding": "rx_udp_gro_forwarding",
}
"""Feature -> attribute of `NetDevice`."""

ALIASES: Final[dict[str, str]] = {
    "rx": "rx-checksumming",
    "rx-checksum": "rx-checksumming",
    "gro": "generic-receive-offload",
    "rx-gro": "generic-receive-offload",
    "rxvlan": "rx-vlan-offload",
    "rx-vlan-hw-parse": "rx-vlan-offload",
    "ntuple": "ntuple-filters",
    "rx-ntuple-filter": "ntuple-filters",
    "rxhash": "receive-hashing",
    "rx-hashing": "receive-hashing",
    "lro": "large-receive-offload",
    "rx-lro": "large-receive-offload",
    "tx": "tx-checksumming",
    "sg": "scatter-gather",
    "tso": "tcp-segmentation-offload",
    "gso": "generic-segmentation-offload",
    "tx-generic-segmentation": "generic-segmentation-offload",
    "txvlan": "tx-vlan-offload",
    "tx-vlan-hw-insert": "tx-vlan-offload",
}
"""Other words for a feature: ethtool's short ones, the kernel's own."""

LISTED: Final = (
    "rx-checksumming",
    "tx-checksumming",
    "\ttx-checksum-ipv4",
    "\ttx-checksum-ip-generic",
    "\ttx-checksum-ipv6",
    "\ttx-checksum-fcoe-crc",
    "\ttx-checksum-sctp",
    "scatter-gather",
    "\ttx-scatter-gather",
    "\ttx-scatter-gather-fraglist",
    "tcp-segmentation-offload",
    "\ttx-tcp-segmentation",
    "\ttx-tcp-ecn-segmentation",
    "\ttx-tcp-mangleid-segmentation",
    "\ttx-tcp6-segmentation",
    "generic-segmentation-offload",
    "generic-receive-offload",
    "large-receive-offload",
    "rx-vlan-offload",
    "tx-vlan-offload",
    "ntuple-filters",
    "receive-hashing",
    "highdma",
    "rx-vlan-filter",
    "vlan-challenged",
    "tx-gso-robust",
    "tx-udp-segmentation",
    "tx-gso-list",
    "tx-nocache-copy",
    "loopback",
    "rx-fcs",
    "rx-all",
    "rx-vlan-stag-hw-parse",
    "rx-vlan-stag-filter",
    "l2-fwd-offload",
    "hw-tc-offload",
    "rx-gro-hw",
    "rx-gro-list",
    "rx-udp-gro-forwarding",
)
"""In ethtool's order; a tab in front of those that a group above holds."""

GROUPS: Final = frozenset(("tx-checksumming", "scatter-gather", "tcp-segmentation-offload"))
"""Shown without "[fixed]", which their members bear."""

FEATURES: Final = frozenset(line.strip() for line in LISTED)
