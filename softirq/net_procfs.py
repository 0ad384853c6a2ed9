"""/proc/net/dev and /proc/net/softnet_stat.

Models: both texts to the blank; softnet_stat with 13 or 15 columns by release.
Source: net/core/net-procfs.c (6.1, 6.9), a real 6.18; rules of section 13.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from softirq.net_sysfs import statistic

if TYPE_CHECKING:
    from softirq.device import NetDevice
    from softirq.net import Net
    from softirq.softnet_data import SoftnetData

DEV_HEADER: Final = (
    "Inter-|   Receive                                                |  Transmit\n"
    " face |bytes    packets errs drop fifo frame compressed multicast"
    "|bytes    packets errs drop fifo colls carrier compressed\n"
)

DEV_COLUMNS: Final = (
    (7, ("rx_bytes",)),
    (7, ("rx_packets",)),
    (4, ("rx_errors",)),
    (4, ("rx_dropped", "rx_missed_errors")),
    (4, ("rx_fifo_errors",)),
    (5, ("rx_length_errors", "rx_over_errors", "rx_crc_errors", "rx_frame_errors")),
    (10, ("rx_compressed",)),
    (9, ("multicast",)),
    (8, ("tx_bytes",)),
    (7, ("tx_packets",)),
    (4, ("tx_errors",)),
    (4, ("tx_dropped",)),
    (4, ("tx_fifo_errors",)),
    (5, ("collisions",)),
    (7, ("tx_carrier_errors", "tx_aborted_errors", "tx_window_errors", "tx_heartbeat_errors")),
    (10, ("tx_compressed",)),
)
"""Width of each column of /proc/net/dev, and the statistics it adds up."""


def proc_net_dev(net: Net) -> str:
    """The text of /proc/net/dev as of the clock's time: a line per device, in the order of registration."""
    return DEV_HEADER + "".join(_dev_row(dev) for dev in net.devices.values())


def softnet_stat(net: Net) -> str:
    """The text of /proc/net/softnet_stat: a line per online CPU, 13 or 15 columns by release (section 13)."""
    return "".join(_softnet_row(net, sd) for sd in net.softnet if sd.cpu.online)


def _dev_row(dev: NetDevice) -> str:
    dev.get_stats()
    cells = [f"{sum(statistic(dev, name) for name in names):>{width}}" for width, names in DEV_COLUMNS]
    return f"{dev.name:>6}: {' '.join(cells)}\n"


def _softnet_row(net: Net, sd: SoftnetData) -> str:
    input_len, process_len = len(sd.backlog.input_pkt_queue), len(sd.backlog.process_queue)
    columns = [sd.processed, sd.dropped, sd.time_squeeze, 0, 0, 0, 0, 0, 0, sd.received_rps, sd.flow_limit_count]
    columns += [input_len + process_len, sd.index]
    if net.rules.softnet_stat_columns == 15:
        columns += [input_len, process_len]
    return " ".join(f"{value & 0xFFFFFFFF:08x}" for value in columns) + "\n"
