"""Why a packet was dropped: the kernel's drop reasons under their names, and ours for what happens outside the kernel.

Source: include/net/dropreason-core.h (6.9); rules of sections 4, 7-10. Members that start with NIC_ or EMU_ are ours: the kernel
never sees those frames (a device counts them), or has no reason of its own.
"""

from __future__ import annotations

import enum


class DropReason(enum.IntEnum):
    """An int, so that the ledger counts drops in a list."""

    NOT_SPECIFIED = 0
    NO_SOCKET = enum.auto()
    PKT_TOO_SMALL = enum.auto()
    TCP_CSUM = enum.auto()
    SOCKET_FILTER = enum.auto()
    UDP_CSUM = enum.auto()
    OTHERHOST = enum.auto()
    IP_CSUM = enum.auto()
    IP_INHDR = enum.auto()
    IP_RPFILTER = enum.auto()
    UNICAST_IN_L2_MULTICAST = enum.auto()
    XFRM_POLICY = enum.auto()
    IP_NOPROTO = enum.auto()
    SOCKET_RCVBUFF = enum.auto()
    PROTO_MEM = enum.auto()
    TCP_MINTTL = enum.auto()
    SOCKET_BACKLOG = enum.auto()
    TCP_FLAGS = enum.auto()
    TCP_CLOSE = enum.auto()
    TCP_ZEROWINDOW = enum.auto()
    TCP_OLD_DATA = enum.auto()
    TCP_OVERWINDOW = enum.auto()
    TCP_OFOMERGE = enum.auto()
    TCP_RFC7323_PAWS = enum.auto()
    TCP_INVALID_SEQUENCE = enum.auto()
    TCP_RESET = enum.auto()
    TCP_INVALID_SYN = enum.auto()
    CPU_BACKLOG = enum.auto()
    UNHANDLED_PROTO = enum.auto()
    ICMP_CSUM = enum.auto()
    INVALID_PROTO = enum.auto()
    IP_INADDRERRORS = enum.auto()
    IP_INNOROUTES = enum.auto()
    DUP_FRAG = enum.auto()
    FRAG_REASM_TIMEOUT = enum.auto()
    IPV6DISABLED = enum.auto()
    IPV6_BAD_EXTHDR = enum.auto()
    DEV_READY = enum.auto()
    DEV_HDR = enum.auto()
    SKB_CONSUMED = enum.auto()
    """Ours in use, the kernel's in name: not a drop (kept last of the kernel's)."""
    NIC_RING_FULL = enum.auto()
    """No free descriptor: the device counts rx_missed or rx_dropped (C7)."""
    NIC_MAC_FILTER = enum.auto()
    """Not for this station, and the device is not promiscuous."""
    NIC_FCS = enum.auto()
    """Frame check sequence wrong."""
    NIC_LENGTH = enum.auto()
    """Shorter than an Ethernet header, or longer than the device takes."""
    NIC_RESET = enum.auto()
    """Left in a ring that was taken down for a new setting (`ethtool -G`, `-L`): no counter of a device tells of it."""
    EMU_NAPI_DEL = enum.auto()
    """Held by GRO in a NAPI that nobody polled when its queue went (`ethtool -L`)."""
    EMU_CPU_OFFLINE = enum.auto()
    """Held by a CPU that went offline and adopted by nobody."""
