"""NetDevice: what the core knows of a network device.

Models: per-queue RPS maps and flow tables, features, statistics, GRO limits, the operations that drivers provide.
Leaves out: upper devices (VLAN, bridge, bond), transmit.
Source: include/linux/netdevice.h, net/core/net-sysfs.c (6.9); rules B7, D3, P7, R1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from softirq.steered import Steered

if TYPE_CHECKING:
    from emu.skb import Skb
    from softirq.napi import Napi
    from softirq.rps import RpsDevFlowTable, RpsMap

GRO_LEGACY_MAX_SIZE_BYTES: Final = 65536
GRO_MAX_SIZE_BYTES: Final = 8 * 65535


class RxQueue:
    """netdev_rx_queue: steering state of one receive queue."""

    __slots__ = ("index", "rps_flow_table", "rps_map", "rps_mask", "steered")

    def __init__(self, index: int) -> None:
        self.index = index
        self.rps_mask = 0
        """What rps_cpus reads: the CPUs of the map (bit n = CPU n), which are those of the written mask that were online then."""
        self.rps_map: RpsMap | None = None
        self.rps_flow_table: RpsDevFlowTable | None = None
        self.steered = Steered()


class DeviceStatistics:
    """Counters under their /sys/class/net/IF/statistics names, and the device's own."""

    __slots__ = (
        "multicast",
        "rx_bytes",
        "rx_crc_errors",
        "rx_dropped",
        "rx_errors",
        "rx_length_errors",
        "rx_missed_errors",
        "rx_nohandler",
        "rx_otherhost_dropped",
        "rx_packets",
        "tx_bytes",
        "tx_dropped",
        "tx_packets",
    )

    def __init__(self) -> None:
        self.rx_packets = 0
        self.rx_bytes = 0
        self.rx_errors = 0
        self.rx_dropped = 0
        """Core drops for this ingress device: backlog full, no protocol handler (B7, D3)."""
        self.rx_missed_errors = 0
        """Frames the device had no descriptor for (C7)."""
        self.rx_crc_errors = 0
        self.rx_length_errors = 0
        self.rx_nohandler = 0
        self.rx_otherhost_dropped = 0
        self.multicast = 0
        self.tx_packets = 0
        """Answers the stack handed to the device."""
        self.tx_bytes = 0
        """Their length with the Ethernet header."""
        self.tx_dropped = 0


class NetDevice:
    """A device with `queues` receive queues. `address` is its 6-byte MAC; `running` is the state enqueue_to_backlog tests (B2)."""

    def __init__(self, name: str, address: bytes, queues: int, mtu: int = 1500) -> None:
        assert len(address) == 6, "a MAC address has 6 bytes"
        self.name = name
        self.address = address
        self.mtu = mtu
        self.is_loopback = False
        self.speed_mbps: int | None = None
        """Speed of the link in Mbit/s, always full duplex; None where there is no link."""
        self.running = True
        self.promiscuous = False
        self.queues = [RxQueue(index) for index in range(queues)]
        self.napis: list[Napi] = []
        self.on_queues: list[Callable[[list[RxQueue], list[RxQueue]], None]] = []
        """Called with the queues that vanished and those that appeared."""
        self.statistics = DeviceStatistics()
        # features
        self.gro = True
        self.rx_checksum = True
        self.rxhash = True
        self.ntuple = False
        self.rx_gro_list = False
        self.rx_udp_gro_forwarding = False
        self.rx_vlan_offload = True
        # GRO limits (ip link; sysfs has no file for them)
        self.gro_max_size_bytes = GRO_LEGACY_MAX_SIZE_BYTES
        self.gro_ipv4_max_size_bytes = GRO_LEGACY_MAX_SIZE_BYTES
        self.threaded = False
        """NAPIs are polled by threads (P8)."""
        self.gro_flush_timeout_ns = 0
        self.napi_defer_hard_irqs = 0
        self.local_addresses: set[bytes] = set()
        """IPv4 (4 bytes) and IPv6 (16 bytes) addresses this host answers to."""
        self.broadcast_addresses: set[bytes] = set()
        """Broadcast addresses of the subnets of those, such as 10.0.0.255 for 10.0.0.1/24."""
        self.ndo_change_mtu: Callable[[int], None] | None = None
        """Takes a new MTU or raises ControlError; None where nothing depends on the MTU."""
        self.ndo_get_stats: Callable[[], None] | None = None
        """Brings `statistics` up to the clock's time."""
        self.rx_cpu_rmap: Callable[[int], int] | None = None
        """cpu -> receive queue whose interrupt is nearest (A1); None without accelerated RFS."""
        self.ndo_rx_flow_steer: Callable[[Skb, int, int], int] | None = None
        """(skb, rxq, flow_id) -> filter id, negative on failure (A2)."""

    def get_stats(self) -> DeviceStatistics:
        """dev_get_stats: the counters as of the clock's time."""
        if self.ndo_get_stats is not None:
            self.ndo_get_stats()
        return self.statistics

    def set_gro_max_size(self, size_bytes: int) -> None:
        """ip link set ... gro_max_size: a legacy size (at most 65536) holds for IPv4 too (K4)."""
        self.gro_max_size_bytes = size_bytes
        if size_bytes <= GRO_LEGACY_MAX_SIZE_BYTES:
            self.gro_ipv4_max_size_bytes = size_bytes
