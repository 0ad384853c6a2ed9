"""The sysctls of net.core that this machine has.

Models: names, defaults, limits and side effects of /proc/sys/net/core. A value written there is what the next packet
sees: the hot path reads the attributes.
Leaves out: sysctls that nothing on the receive path reads; a few of those are shown and keep their value (NOT_FOLLOWED).
Source: Linux 6.9, net/core/sysctl_net_core.c and net/core/hotdata.c (rules of section 1); the lower bound of the
dev_weight trio is of January 2025 (6.14) and in every stable release since.
"""

from collections.abc import Callable
from errno import EINVAL, ENOMEM
from typing import Final

from emu.cpumask import keep_housekeeping
from emu.errors import ControlError
from emu.kstrto import INT_MAX, INT_MIN
from emu.tree import ControlTree, int_entry, keep_value, mask_entry

DIRECTORY: Final = "/proc/sys/net/core/"

SOCK_MIN_RCVBUF_BYTES: Final = 2304
"""TCP_SKB_MIN_TRUESIZE: 2048 and an aligned sk_buff of 256 (U9)."""

RPS_SOCK_FLOW_ENTRIES_MAX: Final = 2**29

FLOW_LIMIT_TABLE_BYTES_MAX: Final = 4 * 1024 * 1024
"""What one kmalloc gives; a flow-limit table has one byte a bucket and a header, so 2^21 buckets is the most."""

LIMITS: Final[dict[str, tuple[int, int]]] = {
    # Plain proc_dointvec: every int is taken. A budget of 0 or less squeezes after each poll (N3).
    "netdev_budget": (INT_MIN, INT_MAX),
    "netdev_budget_usecs": (0, INT_MAX),
    # Compared as unsigned with the queue's length (B3): a negative value is no limit at all.
    "netdev_max_backlog": (INT_MIN, INT_MAX),
    # The products of the three are kept in an int; 0 would leave a NAPI without a weight.
    "dev_weight": (1, INT_MAX),
    "dev_weight_rx_bias": (1, INT_MAX),
    "dev_weight_tx_bias": (1, INT_MAX),
    "gro_normal_batch": (1, INT_MAX),
    "netdev_tstamp_prequeue": (INT_MIN, INT_MAX),
    "rmem_default": (SOCK_MIN_RCVBUF_BYTES, INT_MAX),
    "rmem_max": (SOCK_MIN_RCVBUF_BYTES, INT_MAX),
    "busy_poll": (0, INT_MAX),
    "busy_read": (0, INT_MAX),
    "rps_sock_flow_entries": (0, RPS_SOCK_FLOW_ENTRIES_MAX),
    "flow_limit_table_len": (1, INT_MAX),
    "skb_defer_max": (0, INT_MAX),
}
"""Sysctl -> smallest and largest value that may be written; the two masks are not numbers."""

NOT_FOLLOWED: Final[dict[str, str]] = {
    "busy_poll": "no socket polls a device here",
    "busy_read": "no socket polls a device here",
    "dev_weight_tx_bias": "nothing is queued for transmit here",
    "netdev_tstamp_prequeue": "no packet carries a time stamp to an application here",
}
"""Sysctls that are shown with the kernel's default and keep it, and why another value would change nothing."""


class NetCoreSettings:
    """The values of net.core, one attribute each with the kernel's name and unit; masks are ints (bit n: CPU n).

    ``dev_rx_weight`` is the product the kernel keeps beside them (packets a poll).
    ``on_change[name](value)`` is called before a written value is kept, with the value that will be kept. A
    ControlError from it refuses the write.
    """

    __slots__ = (
        "busy_poll",
        "busy_read",
        "dev_rx_weight",
        "dev_weight",
        "dev_weight_rx_bias",
        "dev_weight_tx_bias",
        "flow_limit_cpu_bitmap",
        "flow_limit_table_len",
        "gro_normal_batch",
        "has_rps_default_mask",
        "housekeeping",
        "netdev_budget",
        "netdev_budget_usecs",
        "netdev_max_backlog",
        "netdev_tstamp_prequeue",
        "nr_cpus",
        "on_change",
        "rmem_default",
        "rmem_max",
        "rps_default_mask",
        "rps_sock_flow_entries",
        "skb_defer_max",
    )

    def __init__(
        self,
        nr_cpus: int,
        netdev_budget_usecs: int,
        rmem_max: int = 212_992,
        has_rps_default_mask: bool = True,
        housekeeping: int | None = None,
        skb_defer_max: int = 64,
    ) -> None:
        """Set the defaults of a fresh boot.

        ``nr_cpus``: possible CPUs, the width of the masks. ``netdev_budget_usecs``: two jiffies of the machine's HZ.
        ``rmem_max``: bytes, 212992 and from 6.18 4194304. ``has_rps_default_mask``: not in 6.1 (R10).
        ``skb_defer_max``: skbs a CPU's deferred-free list may hold, 64 and from 6.18 128 (T7).
        ``housekeeping``: mask of the CPUs that are not isolated; all of them when None.
        """
        self.nr_cpus = nr_cpus
        self.has_rps_default_mask = has_rps_default_mask
        self.housekeeping = (1 << nr_cpus) - 1 if housekeeping is None else housekeeping
        self.on_change: dict[str, Callable[[int], None]] = {}
        self.netdev_budget = 300
        self.netdev_budget_usecs = netdev_budget_usecs
        self.netdev_max_backlog = 1000
        self.dev_weight = 64
        self.dev_weight_rx_bias = 1
        self.dev_weight_tx_bias = 1
        self.dev_rx_weight = 64
        self.gro_normal_batch = 8
        self.netdev_tstamp_prequeue = 1
        self.rmem_default = 212_992
        self.rmem_max = rmem_max
        self.busy_poll = 0
        self.busy_read = 0
        self.rps_sock_flow_entries = 0
        self.flow_limit_cpu_bitmap = 0
        self.flow_limit_table_len = 4096
        self.rps_default_mask = 0
        self.skb_defer_max = skb_defer_max

    def names(self) -> list[str]:
        """Return the names of the sysctls this machine has, sorted."""
        masks = (
            ["flow_limit_cpu_bitmap", "rps_default_mask"] if self.has_rps_default_mask else ["flow_limit_cpu_bitmap"]
        )
        return sorted([*LIMITS, *masks])

    def set(self, name: str, value: int) -> None:
        """Set one sysctl as a write of ``value`` does: limits, rounding, the owner's reaction.

        ControlError EINVAL outside the limits, ENOMEM where the kernel could not allocate, EOPNOTSUPP for what is not followed
        here. Then nothing has changed.
        """
        limits = LIMITS.get(name)
        if limits is not None and not limits[0] <= value <= limits[1]:
            raise ControlError(EINVAL, f"{value} is out of range: write a number from {limits[0]} to {limits[1]}")
        value = self._kept(name, value)
        reaction = self.on_change.get(name)
        if reaction is not None:
            reaction(value)
        setattr(self, name, value)
        if name in ("dev_weight", "dev_weight_rx_bias"):
            self.dev_rx_weight = self.dev_weight * self.dev_weight_rx_bias

    def contribute(self, tree: ControlTree) -> None:
        """Add the files of /proc/sys/net/core to ``tree``."""
        for name in self.names():
            get, put = self._getter(name), self._setter(name)
            limits = LIMITS.get(name)
            if limits is None:
                tree.add_entry(DIRECTORY + name, mask_entry(get, put, self.nr_cpus))
            else:
                tree.add_entry(DIRECTORY + name, int_entry(get, put, limits[0], limits[1]))

    def _kept(self, name: str, value: int) -> int:
        """Return what the kernel keeps when ``value`` is written; ControlError when it keeps nothing."""
        if name in NOT_FOLLOWED:
            keep_value(value, getattr(self, name), NOT_FOLLOWED[name])
        if name == "rps_sock_flow_entries" and value > 0:
            return 1 << (value - 1).bit_length()
        if name == "flow_limit_table_len" and value & (value - 1):
            below = 1 << (value.bit_length() - 1)
            raise ControlError(EINVAL, f"{value} is no power of two: write {below} or {below * 2}, for instance")
        if name == "flow_limit_cpu_bitmap":
            # Only tables that are new have the present length: the others keep theirs (F1).
            is_grown = bool(value & ~self.flow_limit_cpu_bitmap)
            if is_grown and self.flow_limit_table_len >= FLOW_LIMIT_TABLE_BYTES_MAX:
                raise ControlError(
                    ENOMEM,
                    f"a flow-limit table of {self.flow_limit_table_len} buckets cannot be allocated: "
                    f"write {FLOW_LIMIT_TABLE_BYTES_MAX // 2} or less to flow_limit_table_len first",
                )
        if name == "rps_default_mask":
            return keep_housekeeping(value, self.housekeeping)
        return value

    def _getter(self, name: str) -> Callable[[], int]:
        def get() -> int:
            value: int = getattr(self, name)
            return value

        return get

    def _setter(self, name: str) -> Callable[[int], None]:
        def put(value: int) -> None:
            self.set(name, value)

        return put
