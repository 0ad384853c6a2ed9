"""The sysctls of net.ipv4 and net.ipv6 that this stack obeys.

Models: tcp_rmem (the first of its three values matters under memory pressure only, which never comes here), reassembly's limits of both
families. A value written is what the next socket or fragment sees.
Leaves out: udp_rmem_min and the other settings of memory pressure, which are shown and cannot be changed; everything of transmit.
Source: net/ipv4/sysctl_net_ipv4.c, net/ipv4/tcp.c, net/ipv4/ip_fragment.c, net/ipv6/reassembly.c (6.9), a real 6.18; section 1.
"""

from __future__ import annotations

from errno import EINVAL
from typing import TYPE_CHECKING, Final

from emu.errors import ControlError
from emu.kstrto import INT_MAX, ULONG_MAX
from emu.tree import ControlTree, fixed_entry, int_entry, ints_entry, ulong_entry

if TYPE_CHECKING:
    from emu.jiffies import Jiffies
    from emu.rules import Rules

IPV4: Final = "/proc/sys/net/ipv4"
IPV6: Final = "/proc/sys/net/ipv6"

TCP_RMEM_MIN_BYTES: Final = 4096
TCP_RMEM_DEFAULT_BYTES: Final = 131_072
UDP_RMEM_MIN_BYTES: Final = 4096
IPFRAG_HIGH_THRESH_BYTES: Final = 4 << 20
IPFRAG_LOW_THRESH_BYTES: Final = 3 << 20
IPFRAG_TIME_S: Final = 30
IPV6_FRAG_TIME_S: Final = 60
IPFRAG_MAX_DIST: Final = 64


class FragmentLimits:
    """Reassembly's limits of one family (struct fqdir)."""

    __slots__ = ("high_thresh_bytes", "low_thresh_bytes", "max_dist", "time_s")

    def __init__(self, time_s: int) -> None:
        self.high_thresh_bytes = IPFRAG_HIGH_THRESH_BYTES
        """Memory above which no datagram is begun; 0: none ever."""
        self.low_thresh_bytes = IPFRAG_LOW_THRESH_BYTES
        """Bounds the other one; nothing else since 4.17."""
        self.time_s = time_s
        """Seconds that a datagram may stay incomplete; a negative number is no time at all."""
        self.max_dist = IPFRAG_MAX_DIST
        """Fragments of other datagrams from the same source that may come in between (IPv4); 0: any number."""

    @property
    def time_ns(self) -> int:
        """`time_s` as the span of a timer."""
        return max(self.time_s, 0) * 1_000_000_000

    def contribute(self, tree: ControlTree, prefix: str, hz: int) -> None:
        """Add the files whose paths begin with `prefix`. Times are kept in jiffies, so at most 2^31 / `hz` seconds."""

        def set_high(value: int) -> None:
            if value < self.low_thresh_bytes:
                low = self.low_thresh_bytes
                raise ControlError(
                    EINVAL, f"{value} is below the low threshold: write {low} or more, or lower that first"
                )
            self.high_thresh_bytes = value

        def set_low(value: int) -> None:
            if value > self.high_thresh_bytes:
                high = self.high_thresh_bytes
                raise ControlError(
                    EINVAL, f"{value} is above the high threshold: write {high} or less, or raise that first"
                )
            self.low_thresh_bytes = value

        def set_time(value: int) -> None:
            self.time_s = value

        tree.add_entry(f"{prefix}high_thresh", ulong_entry(lambda: self.high_thresh_bytes, set_high, 0, ULONG_MAX))
        tree.add_entry(f"{prefix}low_thresh", ulong_entry(lambda: self.low_thresh_bytes, set_low, 0, ULONG_MAX))
        tree.add_entry(f"{prefix}time", int_entry(lambda: self.time_s, set_time, -(INT_MAX // hz), INT_MAX // hz))


class InetSettings:
    """The values of one network namespace."""

    __slots__ = ("ip6frag", "ipfrag", "tcp_rmem")

    def __init__(self, rules: Rules) -> None:
        self.tcp_rmem = [TCP_RMEM_MIN_BYTES, TCP_RMEM_DEFAULT_BYTES, rules.tcp_rmem_max_cap]
        """Bytes: least, first and largest receive buffer of a connection that sets none. RAM enough for the largest is assumed."""
        self.ipfrag = FragmentLimits(IPFRAG_TIME_S)
        self.ip6frag = FragmentLimits(IPV6_FRAG_TIME_S)

    def contribute(self, tree: ControlTree, jiffies: Jiffies) -> None:
        """Add the files of /proc/sys/net/ipv4 and ipv6."""

        def set_rmem(values: list[int]) -> None:
            self.tcp_rmem[: len(values)] = values

        def set_max_dist(value: int) -> None:
            self.ipfrag.max_dist = value

        tree.add_entry(f"{IPV4}/tcp_rmem", ints_entry(lambda: self.tcp_rmem, set_rmem, 1, INT_MAX))
        tree.add_entry(
            f"{IPV4}/udp_rmem_min", fixed_entry(UDP_RMEM_MIN_BYTES, "memory never runs short here", 1, INT_MAX)
        )
        self.ipfrag.contribute(tree, f"{IPV4}/ipfrag_", jiffies.hz)
        tree.add_entry(f"{IPV4}/ipfrag_max_dist", int_entry(lambda: self.ipfrag.max_dist, set_max_dist, 0, INT_MAX))
        self.ip6frag.contribute(tree, f"{IPV6}/ip6frag_", jiffies.hz)
        for path in (f"{IPV4}/ipfrag_secret_interval", f"{IPV6}/ip6frag_secret_interval"):
            tree.add_entry(path, fixed_entry(0, "no kernel looks at it any more"))
