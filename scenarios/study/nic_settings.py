"""What ethtool and ip would read of a machine's NIC, and the commands that make one NIC's settings another's."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from nic.rss import default_indirection
from scenarios.build import Built

SAFE_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:@-]{0,14}")
"""Interface names that are written into commands: a leading dash would be an option."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NicSettings:
    """Settings of a NIC that no control file holds."""

    name: str
    queues: int
    ring: int
    rx_usecs: int
    adaptive_rx: bool
    key: str
    indirection: tuple[int, ...]
    rx_flow_hash: dict[str, str]
    features: dict[str, bool]
    """`ethtool -K` names."""
    promiscuous: bool


def nic_settings(built: Built) -> NicSettings:
    """The settings of `built`'s NIC as they are now."""
    nic, dev = built.nic, built.nic.dev
    moderation = nic.vectors[0].moderation
    return NicSettings(
        name=dev.name,
        queues=len(nic.rings),
        ring=nic.rings[0].descriptors,
        rx_usecs=moderation.rx_usecs,
        adaptive_rx=moderation.adaptive,
        key=nic.rss.key.hex(":"),
        indirection=tuple(nic.rss.indirection),
        rx_flow_hash=dict(nic.rss.fields),
        features={"rx": dev.rx_checksum, "rxhash": dev.rxhash, "gro": dev.gro},
        promiscuous=dev.promiscuous,
    )


def nic_commands(old: NicSettings, new: NicSettings) -> Iterator[str]:
    """Command lines that turn `old` into `new`, in an order that a driver takes; a line that begins with # is a sentence."""
    name = new.name
    if new.queues != old.queues:
        yield shlex.join(["ethtool", "-L", name, "combined", str(new.queues)])
    if new.ring != old.ring:
        yield shlex.join(["ethtool", "-G", name, "rx", str(new.ring)])
    if (new.rx_usecs, new.adaptive_rx) != (old.rx_usecs, old.adaptive_rx):
        switch = "on" if new.adaptive_rx else "off"
        yield shlex.join(["ethtool", "-C", name, "adaptive-rx", switch, "rx-usecs", str(new.rx_usecs)])
    if new.key != old.key:
        yield shlex.join(["ethtool", "-X", name, "hkey", new.key])
    # With other queues a driver makes its table anew.
    before = old.indirection
    if new.queues != old.queues:
        before = tuple(default_indirection(len(new.indirection), new.queues))
    if new.indirection != before:
        yield _indirection(new)
    for flow_type, fields in new.rx_flow_hash.items():
        if fields != old.rx_flow_hash.get(flow_type):
            yield shlex.join(["ethtool", "-N", name, "rx-flow-hash", flow_type, fields])
    for feature, on in new.features.items():
        if on != old.features[feature]:
            yield shlex.join(["ethtool", "-K", name, feature, "on" if on else "off"])
    if new.promiscuous != old.promiscuous:
        yield shlex.join(["ip", "link", "set", "dev", name, "promisc", "on" if new.promiscuous else "off"])


def _indirection(new: NicSettings) -> str:
    """The command that writes the table: default, equal or weight; a sentence when none of the three makes it."""
    table, entries = list(new.indirection), len(new.indirection)
    words = ["ethtool", "-X", new.name]
    if table == default_indirection(entries, new.queues):
        return shlex.join([*words, "default"])
    used = max(table) + 1
    if table == default_indirection(entries, used):
        return shlex.join([*words, "equal", str(used)])
    if table == sorted(table):
        return shlex.join([*words, "weight", *(str(table.count(queue)) for queue in range(used))])
    return f"# {new.name}'s indirection table is none that ethtool -X can write: it knows equal and weight only"
