"""The texts ethtool prints about a NIC.

Models: the shapes of ethtool 6.x over netlink; n/a for what ice does not have.
Leaves out: link modes (this device reports none), counters of events that cannot happen here.
Source: ethtool(8) of 6.x; ethernet/intel/ice (6.9) for what it reports; rules C1, C7, C12, H7.
"""

from __future__ import annotations

from errno import EINVAL, EOPNOTSUPP
from typing import Final

from emu.errors import ControlError
from nic.ethtool_words import nothing_more, unknown
from nic.features import GROUPS, LISTED, SWITCHES
from nic.nic import Nic
from nic.ring import MAX_DESCRIPTORS
from nic.rss import FLOW_TYPES

OTHER_CHANNELS: Final = 1
"""The vector that is the device's own."""

_FLOW_TITLES: Final = {
    "tcp4": "TCP over IPV4",
    "udp4": "UDP over IPV4",
    "tcp6": "TCP over IPV6",
    "udp6": "UDP over IPV6",
}
_FIELD_TITLES: Final = {
    "s": "IP SA",
    "d": "IP DA",
    "f": "L4 bytes 0 & 1 [TCP/UDP src port]",
    "n": "L4 bytes 2 & 3 [TCP/UDP dst port]",
}


def combined_channels(nic: Nic) -> int:
    """Vectors that serve a receive and a transmit queue (ice_get_combined_cnt)."""
    return min(len(nic.vectors), nic.transmit.queues)


def max_channels(nic: Nic) -> int:
    """As many as CPUs are online (H7), or as the scenario gave the device."""
    return max(nic.matrix.online_mask().bit_count(), nic.max_queues)


def channels(nic: Nic, words: list[str]) -> str:
    """ethtool -l."""
    nothing_more(words, "-l")
    combined, most = combined_channels(nic), max_channels(nic)
    rows = [
        f"Channel parameters for {nic.dev.name}:",
        "Pre-set maximums:",
        *_channel_rows(most, most, most),
        "Current hardware settings:",
        *_channel_rows(len(nic.rings) - combined, nic.transmit.queues - combined, combined),
    ]
    return "\n".join(rows) + "\n"


def _channel_rows(rx: int, tx: int, combined: int) -> list[str]:
    return [f"RX:\t\t{rx}", f"TX:\t\t{tx}", f"Other:\t\t{OTHER_CHANNELS}", f"Combined:\t{combined}"]


def ring(nic: Nic, words: list[str]) -> str:
    """ethtool -g."""
    nothing_more(words, "-g")
    rows = [
        f"Ring parameters for {nic.dev.name}:",
        "Pre-set maximums:",
        *_ring_rows(MAX_DESCRIPTORS, MAX_DESCRIPTORS),
        "TX push buff len:\tn/a",
        "Current hardware settings:",
        *_ring_rows(nic.rings[0].descriptors, nic.transmit.descriptors),
        "RX Buf Len:\t\tn/a",
        "CQE Size:\t\tn/a",
        "TX Push:\t\toff",
        "RX Push:\t\toff",
        "TX push buff len:\tn/a",
        "TCP data split:\t\tn/a",
    ]
    return "\n".join(rows) + "\n"


def _ring_rows(rx: int, tx: int) -> list[str]:
    return [f"RX:\t\t\t{rx}", "RX Mini:\t\tn/a", "RX Jumbo:\t\tn/a", f"TX:\t\t\t{tx}"]


def coalesce(nic: Nic, words: list[str]) -> str:
    """ethtool -c: what was set; the interval that DIM chose is none of it."""
    nothing_more(words, "-c")
    moderation, transmit = nic.vectors[0].moderation, nic.transmit
    known = {
        "rx-usecs": moderation.rx_usecs,
        "tx-usecs": transmit.usecs,
        "rx-usecs-high": moderation.rx_usecs_high,
    }
    rows = [
        f"Coalesce parameters for {nic.dev.name}:",
        f"Adaptive RX: {_on(moderation.adaptive)}  TX: {_on(transmit.adaptive)}",
    ]
    for block in COALESCE_BLOCKS:
        rows += [f"{name}:\t{known.get(name, 'n/a')}" for name in block] + [""]
    rows += ["CQE mode RX: n/a  TX: n/a", ""]
    rows += [f"{name}:\tn/a" for name in ("tx-aggr-max-bytes", "tx-aggr-max-frames", "tx-aggr-time-usecs")]
    return "\n".join(rows) + "\n\n"


COALESCE_BLOCKS: Final = (
    ("stats-block-usecs", "sample-interval", "pkt-rate-low", "pkt-rate-high"),
    ("rx-usecs", "rx-frames", "rx-usecs-irq", "rx-frames-irq"),
    ("tx-usecs", "tx-frames", "tx-usecs-irq", "tx-frames-irq"),
    ("rx-usecs-low", "rx-frame-low", "tx-usecs-low", "tx-frame-low"),
    ("rx-usecs-high", "rx-frame-high", "tx-usecs-high", "tx-frame-high"),
)


def _on(state: bool) -> str:
    return "on" if state else "off"


def features(nic: Nic, words: list[str]) -> str:
    """ethtool -k."""
    nothing_more(words, "-k")
    rows = [f"Features for {nic.dev.name}:"]
    for line in LISTED:
        name = line.strip()
        if name in SWITCHES:
            rows.append(f"{line}: {_on(getattr(nic.dev, SWITCHES[name]))}")
        else:
            rows.append(f"{line}: off{'' if name in GROUPS else ' [fixed]'}")
    return "\n".join(rows) + "\n"


def rxfh(nic: Nic, words: list[str]) -> str:
    """ethtool -x: the indirection table in rows of eight, the key, the hash function."""
    nothing_more(words, "-x")
    table = nic.rss.indirection
    rows = [f"RX flow hash indirection table for {nic.dev.name} with {len(nic.rings)} RX ring(s):"]
    for first in range(0, len(table), 8):
        rows.append(f"{first:>5}: " + "".join(f" {queue:>5}" for queue in table[first : first + 8]))
    rows += ["RSS hash key:", nic.rss.key.hex(":"), "RSS hash function:"]
    rows += ["    toeplitz: on", "    xor: off", "    crc32: off"]
    return "\n".join(rows) + "\n"


def nfc(nic: Nic, words: list[str]) -> str:
    """ethtool -n: what a flow type hashes; bare, the rules, of which there are none."""
    if not words:
        return f"{len(nic.rings)} RX rings available\nTotal 0 rules\n\n"
    if words[0] != "rx-flow-hash":
        if words[0] == "rule":
            raise ControlError(EOPNOTSUPP, "n-tuple rules are not emulated: ethtool -n IF rx-flow-hash TYPE")
        raise unknown(words[0], ["rx-flow-hash"], "-n")
    if len(words) != 2:
        raise ControlError(EINVAL, f"ethtool -n {nic.dev.name} rx-flow-hash wants one of {', '.join(FLOW_TYPES)}")
    flow_type = check_flow_type(words[1])
    rows = [f"{_FLOW_TITLES[flow_type]} flows use these fields for computing Hash flow key:"]
    rows += [_FIELD_TITLES[letter] for letter in nic.rss.fields[flow_type]]
    return "\n".join(rows) + "\n\n"


def check_flow_type(word: str) -> str:
    """The flow type as it is. ControlError EOPNOTSUPP for one whose fields cannot be chosen here."""
    if word not in FLOW_TYPES:
        raise ControlError(
            EOPNOTSUPP,
            f"{word[:40]!r} is no flow type whose fields can be chosen: write one of {', '.join(FLOW_TYPES)}",
        )
    return word


def statistics(nic: Nic, words: list[str]) -> str:
    """ethtool -S, under ice's names: the device's own counters, of the queues there are now, and of the port."""
    nothing_more(words, "-S")
    nic.advance(nic.clock.now_ns)
    found = nic.dev.statistics
    counters = {
        "rx_multicast": found.multicast,
        "rx_bytes": nic.arrived_bytes(),
        "rx_dropped": found.rx_missed_errors,
        "rx_alloc_fail": 0,
        "rx_pg_alloc_fail": 0,
    }
    for one in nic.rings:
        counters[f"rx_queue_{one.index}_packets"] = one.polled
        counters[f"rx_queue_{one.index}_bytes"] = one.polled_bytes
    counters |= {
        "rx_length_errors.nic": found.rx_length_errors,
        "rx_dropped.nic": found.rx_missed_errors,
        "rx_crc_errors.nic": found.rx_crc_errors,
    }
    return "NIC statistics:\n" + "".join(f"     {name}: {value}\n" for name, value in counters.items())


def driver(nic: Nic, words: list[str]) -> str:
    """ethtool -i."""
    nothing_more(words, "-i")
    rows = [
        "driver: ice",
        f"version: {nic.net.rules.release}",
        "firmware-version: ",
        "expansion-rom-version: ",
        f"bus-info: {nic.bus_info}",
        "supports-statistics: yes",
        "supports-test: no",
        "supports-eeprom-access: no",
        "supports-register-dump: no",
        "supports-priv-flags: no",
    ]
    return "\n".join(rows) + "\n"


def link(nic: Nic, words: list[str]) -> str:
    """Bare `ethtool IF`."""
    nothing_more(words, nic.dev.name)
    mbps = nic.dev.speed_mbps
    speed = "Unknown!" if mbps is None else f"{mbps}Mb/s"
    rows = [
        f"Settings for {nic.dev.name}:",
        "\tSupported ports: [  ]",
        "\tSupported link modes:   Not reported",
        "\tSupported pause frame use: No",
        "\tSupports auto-negotiation: No",
        "\tSupported FEC modes: Not reported",
        "\tAdvertised link modes:  Not reported",
        "\tAdvertised pause frame use: No",
        "\tAdvertised auto-negotiation: No",
        "\tAdvertised FEC modes: Not reported",
        f"\tSpeed: {speed}",
        "\tDuplex: Full",
        "\tAuto-negotiation: off",
        "\tPort: Other",
        "\tPHYAD: 0",
        "\tTransceiver: internal",
        "\tLink detected: yes",
    ]
    return "\n".join(rows) + "\n"
