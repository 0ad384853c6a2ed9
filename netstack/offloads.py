"""The GRO handlers of the protocols, registered with a machine.

Models: packet_offload for IPv4, IPv6, 802.1Q and 802.1ad, and what their TCP and UDP ask of the sockets.
Source: net/ipv4/af_inet.c, net/ipv6/ip6_offload.c, net/8021q/vlan_core.c (6.9).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from emu.headers import ETH_P_8021AD, ETH_P_8021Q, ETH_P_IP, ETH_P_IPV6
from netstack.tcp_offload import TcpOffload
from netstack.tunnel_gro import deep_gro_shape
from netstack.udp_offload import UdpOffload
from netstack.vlan_gro import network_gro_shape
from softirq.gro import ASK_FRAGLIST, ASK_SEGMENTS, PacketOffload

if TYPE_CHECKING:
    from emu.gro_shape import GroShape
    from emu.headers import Headers
    from emu.skb import Skb
    from softirq.device import NetDevice
    from softirq.net import Net
    from softirq.softnet_data import SoftnetData


class IpOffload(PacketOffload):
    """GRO of IPv4 and IPv6, bare or behind VLAN tags."""

    def __init__(self, ethertype: int, tcp: TcpOffload, udp4: UdpOffload, udp6: UdpOffload) -> None:
        super().__init__(ethertype)
        self.tcp = tcp
        self.udp4 = udp4
        self.udp6 = udp6
        udp4.users.append(self)
        udp6.users.append(self)

    def shape(self, hdr: Headers) -> GroShape:
        """What `hdr` alone decides."""
        return network_gro_shape(hdr)

    def deep_shape(self, skb: Skb) -> GroShape:
        """The shape of this very frame."""
        return deep_gro_shape(skb)

    def ask(self, sd: SoftnetData, dev: NetDevice, skb: Skb, shape: GroShape) -> int:
        """May it merge: of TCP only where rx-gro-list applies to it, of UDP always."""
        if shape.tcp:
            established = self.tcp.established
            return ASK_SEGMENTS if established is not None and established(sd, skb) else ASK_FRAGLIST
        udp = self.udp6 if skb.hdr.version == 6 else self.udp4
        return udp.ask(sd, dev, skb)


class Offloads:
    """What `register_offloads` made: the hooks that the sockets' owner fills."""

    __slots__ = ("tcp", "udp4", "udp6")

    def __init__(self) -> None:
        self.tcp = TcpOffload()
        self.udp4 = UdpOffload()
        self.udp6 = UdpOffload()


def register_offloads(net: Net) -> Offloads:
    """Register the GRO handlers of IPv4, IPv6 and VLAN tags with `net`."""
    hooks = Offloads()
    for ethertype in (ETH_P_IP, ETH_P_IPV6, ETH_P_8021Q, ETH_P_8021AD):
        net.offloads[ethertype] = IpOffload(ethertype, hooks.tcp, hooks.udp4, hooks.udp6)
    return hooks
