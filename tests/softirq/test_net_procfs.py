"""/proc/net/dev, /proc/net/softnet_stat and /sys/class/net: texts to the blank."""

from __future__ import annotations

import pytest

from emu.errors import ControlError
from softirq.controls import contribute_device
from softirq.net_procfs import DEV_HEADER
from softirq.net_sysfs import STATISTICS
from tests.machine_kit import Kit

ETH0 = "/sys/class/net/eth0"
LO = "/sys/class/net/lo"


def kit(release: str = "6.9") -> Kit:
    made = Kit(2, release)
    made.dev.speed_mbps = 25_000
    contribute_device(made.tree, made.net, made.dev)
    return made


def test_each_device_has_a_line_in_the_order_of_registration() -> None:
    made = kit()
    counted = made.dev.statistics
    for value, name in enumerate(counted.__slots__, 1):
        setattr(counted, name, value * 10 ** (value % 3))
    found = made.tree.read("/proc/net/dev")
    assert found.startswith(DEV_HEADER)
    # As a real 6.18 prints it.
    assert found.splitlines()[2] == (
        "    lo:       0       0    0    0    0     0          0         0        0       0    0    0    0     0       0          0"
    )
    words = found.splitlines()[3].split()
    assert words == [
        "eth0:",
        str(counted.rx_bytes),
        str(counted.rx_packets),
        str(counted.rx_errors),
        str(counted.rx_dropped + counted.rx_missed_errors),
        "0",
        str(counted.rx_length_errors + counted.rx_crc_errors),
        "0",
        str(counted.multicast),
        str(counted.tx_bytes),
        str(counted.tx_packets),
        "0",
        str(counted.tx_dropped),
        *("0", "0", "0", "0"),
    ]


def test_the_counters_of_sys_are_those_of_proc() -> None:
    made = kit()
    for value, name in enumerate(made.dev.statistics.__slots__, 1):
        setattr(made.dev.statistics, name, value)
    shown = {name: int(made.tree.read(f"{ETH0}/statistics/{name}")) for name in made.tree.list(f"{ETH0}/statistics")}
    assert sorted(shown) == sorted(STATISTICS)
    for name in STATISTICS:
        assert shown[name] == getattr(made.dev.statistics, name, 0)
    # Every counter that the device has and Linux shows is shown; the one left over has no file.
    assert set(made.dev.statistics.__slots__) - set(STATISTICS) == {"rx_otherhost_dropped"}


@pytest.mark.parametrize(("release", "columns"), [("6.1", 13), ("6.9", 15), ("6.12", 15), ("6.18", 15)])
def test_softnet_stat_has_the_columns_of_its_release(release: str, columns: int) -> None:
    made = kit(release)
    sd = made.net.softnet[1]
    sd.processed, sd.dropped, sd.time_squeeze = 0x1_0000_00FF, 2, 3
    sd.received_rps, sd.flow_limit_count = 10, 11
    made.cpus[0].online = False
    [row] = made.tree.read("/proc/net/softnet_stat").splitlines()
    words = row.split(" ")
    assert len(words) == columns
    assert all(len(word) == 8 for word in words)
    assert [int(word, 16) for word in words[:13]] == [0xFF, 2, 3, 0, 0, 0, 0, 0, 0, 10, 11, 0, 1]


def test_a_device_says_what_it_is() -> None:
    tree = kit().tree
    same = {
        "addr_assign_type": "0",
        "addr_len": "6",
        "carrier": "1",
        "dev_id": "0x0",
        "dev_port": "0",
        "dormant": "0",
        "link_mode": "0",
        "netdev_group": "0",
        "proto_down": "0",
        "testing": "0",
        "tx_queue_len": "1000",
    }
    lo = same | {
        "address": "00:00:00:00:00:00",
        "broadcast": "00:00:00:00:00:00",
        "flags": "0x9",
        "ifindex": "1",
        "iflink": "1",
        "mtu": "65536",
        "operstate": "unknown",
        "type": "772",
        "uevent": "INTERFACE=lo\nIFINDEX=1",
    }
    eth0 = same | {
        "address": "02:00:00:00:00:01",
        "broadcast": "ff:ff:ff:ff:ff:ff",
        "duplex": "full",
        "flags": "0x1003",
        "ifindex": "2",
        "iflink": "2",
        "mtu": "1500",
        "operstate": "up",
        "speed": "25000",
        "type": "1",
        "uevent": "INTERFACE=eth0\nIFINDEX=2",
    }
    for base, expected in ((LO, lo), (ETH0, eth0)):
        for name, text in expected.items():
            assert tree.read(f"{base}/{name}") == f"{text}\n", f"{base}/{name}"


def test_flags_follow_the_device() -> None:
    made = kit()
    made.dev.promiscuous = True
    assert made.tree.read(f"{ETH0}/flags") == "0x1103\n"
    made.dev.running = False
    assert made.tree.read(f"{ETH0}/flags") == "0x1102\n"


def test_the_loopback_has_no_link_to_tell_of() -> None:
    tree = kit().tree
    for name in ("speed", "duplex"):
        with pytest.raises(ControlError, match="lo has no link") as refused:
            tree.read(f"{LO}/{name}")
        assert refused.value.errno_name == "EINVAL"


def test_a_device_that_does_not_obey_its_mtu_cannot_be_told() -> None:
    tree = kit().tree
    for path in (f"{LO}/mtu", f"{ETH0}/mtu", f"{ETH0}/tx_queue_len"):
        with pytest.raises(ControlError) as refused:
            tree.write(path, "9000")
        assert refused.value.errno_name == "EACCES"


def test_no_release_has_a_file_for_gro_max_size() -> None:
    assert "gro_max_size" not in kit("6.18").tree.list(ETH0)
