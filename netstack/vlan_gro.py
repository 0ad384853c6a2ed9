"""GRO for VLAN tags that are still in the frame (802.1Q and 802.1ad).

Models: the tag is part of the flow's identity, whatever is behind it goes to its own handler (K8).
Source: net/8021q/vlan_core.c vlan_gro_receive (6.9); recordings vlan_inband_*, vlan_qinq of 6.1 and 6.12.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from emu.gro_shape import GRO_PASS, GroShape
from emu.headers import ETH_P_IP, ETH_P_IPV6
from netstack.inet_gro import inet_gro_shape
from netstack.ipv6_gro import ipv6_gro_shape

if TYPE_CHECKING:
    from emu.headers import Headers


def network_gro_shape(hdr: Headers) -> GroShape:
    """The shape of a frame by what stands behind its tags, if it has any. The tags are part of the link header in `key`."""
    if hdr.protocol == ETH_P_IP:
        return inet_gro_shape(hdr)
    if hdr.protocol == ETH_P_IPV6:
        return ipv6_gro_shape(hdr)
    return GroShape(GRO_PASS)
