"""/sys/class/net/IF: what the core says of any device, the loopback included.

Models: identity, state of the link, MTU, statistics. The steering and NAPI files of a device that receives stand in `softirq.controls`.
Leaves out: writes that nothing here would follow (tx_queue_len, flags, carrier ...): those files can only be read.
Source: net/core/net-sysfs.c (6.9), a real 6.18. No release has a file for gro_max_size: `ip link` sets it.
"""

from __future__ import annotations

from collections.abc import Callable
from errno import EINVAL
from typing import TYPE_CHECKING, Final

from emu.errors import ControlError
from emu.kstrto import INT_MAX
from emu.tree import ControlTree, unsigned_entry

if TYPE_CHECKING:
    from softirq.device import NetDevice
    from softirq.net import Net

STATISTICS: Final = (
    "collisions",
    "multicast",
    "rx_bytes",
    "rx_compressed",
    "rx_crc_errors",
    "rx_dropped",
    "rx_errors",
    "rx_fifo_errors",
    "rx_frame_errors",
    "rx_length_errors",
    "rx_missed_errors",
    "rx_nohandler",
    "rx_over_errors",
    "rx_packets",
    "tx_aborted_errors",
    "tx_bytes",
    "tx_carrier_errors",
    "tx_compressed",
    "tx_dropped",
    "tx_errors",
    "tx_fifo_errors",
    "tx_heartbeat_errors",
    "tx_packets",
    "tx_window_errors",
)
"""The files of /sys/class/net/IF/statistics (struct rtnl_link_stats64). Events that cannot happen here read 0."""

IFF_UP: Final = 0x1
IFF_BROADCAST: Final = 0x2
IFF_LOOPBACK: Final = 0x8
IFF_PROMISC: Final = 0x100
IFF_MULTICAST: Final = 0x1000

ARPHRD_ETHER: Final = 1
ARPHRD_LOOPBACK: Final = 772
ETH_ALEN: Final = 6
TX_QUEUE_LEN: Final = 1000


def contribute(tree: ControlTree, net: Net, dev: NetDevice) -> None:
    """Add the files of `dev`, which `net.devices` has."""
    base = f"/sys/class/net/{dev.name}"
    fixed = {
        "addr_assign_type": "0",
        "addr_len": str(ETH_ALEN),
        "broadcast": ("00" if dev.is_loopback else "ff") + (":00" if dev.is_loopback else ":ff") * (ETH_ALEN - 1),
        "carrier": "1",
        "dev_id": "0x0",
        "dev_port": "0",
        "dormant": "0",
        "link_mode": "0",
        "netdev_group": "0",
        "operstate": "unknown" if dev.is_loopback else "up",
        "proto_down": "0",
        "testing": "0",
        "tx_queue_len": str(TX_QUEUE_LEN),
        "type": str(ARPHRD_LOOPBACK if dev.is_loopback else ARPHRD_ETHER),
    }
    for name, value in fixed.items():
        tree.add(f"{base}/{name}", lambda value=value: f"{value}\n", None)  # type: ignore[misc]
    for name in ("ifindex", "iflink"):
        tree.add(f"{base}/{name}", lambda: f"{ifindex(net, dev)}\n", None)
    tree.add(f"{base}/uevent", lambda: f"INTERFACE={dev.name}\nIFINDEX={ifindex(net, dev)}\n", None)
    tree.add(f"{base}/address", lambda: dev.address.hex(":") + "\n", None)
    tree.add(f"{base}/flags", lambda: f"{_flags(dev):#x}\n", None)
    tree.add(f"{base}/speed", lambda: f"{_linked(dev)}\n", None)
    tree.add(f"{base}/duplex", lambda: f"{_linked(dev) and 'full'}\n", None)
    tree.add_entry(f"{base}/mtu", unsigned_entry(lambda: dev.mtu, dev.ndo_change_mtu, 0, INT_MAX))
    for name in STATISTICS:
        tree.add(f"{base}/statistics/{name}", _statistic(dev, name), None)


def ifindex(net: Net, dev: NetDevice) -> int:
    """The device's number, in the order of registration from 1 on."""
    return list(net.devices).index(dev.name) + 1


def statistic(dev: NetDevice, name: str) -> int:
    """One of `STATISTICS`, as it was counted last; 0 for what nothing here counts."""
    value: int = getattr(dev.statistics, name, 0)
    return value


def _statistic(dev: NetDevice, name: str) -> Callable[[], str]:
    def read() -> str:
        dev.get_stats()
        return f"{statistic(dev, name)}\n"

    return read


def _flags(dev: NetDevice) -> int:
    flags = IFF_LOOPBACK if dev.is_loopback else IFF_BROADCAST | IFF_MULTICAST
    return flags | (IFF_UP if dev.running else 0) | (IFF_PROMISC if dev.promiscuous else 0)


def _linked(dev: NetDevice) -> int:
    """Speed in Mbit/s. ControlError EINVAL for a device without a link of its own."""
    if dev.speed_mbps is None:
        raise ControlError(EINVAL, f"{dev.name} has no link, so neither speed nor duplex")
    return dev.speed_mbps
