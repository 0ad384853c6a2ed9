"""What ethtool and ip would read of a machine's NIC, and the commands that make one NIC's settings another's."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from nic.features import ALIASES, SWITCHES
from nic.rss import default_indirection
from scenarios.build import Built

SAFE_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:@-]{0,14}")
"""Interface names that are written into commands: a leading dash would be an option."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NicSettings:
    """Settings of a NIC that no control file holds."""

    name: str
    queues: int
    ring: tuple[int, int]
    """RX and TX descriptors."""
    usecs: dict[str, int]
    """`ethtool -C` names of intervals -> us."""
    adaptive: dict[str, bool]
    """adaptive-rx and adaptive-tx."""
    key: str
    indirection: tuple[int, ...]
    table_is_users: bool
    """Somebody wrote the indirection table: it does not follow the number of queues."""
    rx_flow_hash: dict[str, str]
    features: dict[str, bool]
    """`ethtool -K` names."""
    promiscuous: bool


def nic_settings(built: Built) -> NicSettings:
    """The settings of `built`'s NIC as they are now."""
    nic, dev = built.nic, built.nic.dev
    moderation, transmit = nic.vectors[0].moderation, nic.transmit
    short = {feature: word for word, feature in reversed(ALIASES.items())}
    return NicSettings(
        name=dev.name,
        queues=len(nic.rings),
        ring=(nic.rings[0].descriptors, transmit.descriptors),
        usecs={
            "rx-usecs": moderation.rx_usecs,
            "rx-usecs-high": moderation.rx_usecs_high,
            "tx-usecs": transmit.usecs,
        },
        adaptive={"adaptive-rx": moderation.adaptive, "adaptive-tx": transmit.adaptive},
        key=nic.rss.key.hex(":"),
        indirection=tuple(nic.rss.indirection),
        table_is_users=nic.rss.configured,
        rx_flow_hash=dict(nic.rss.fields),
        features={short.get(name, name): getattr(dev, attribute) for name, attribute in SWITCHES.items()},
        promiscuous=dev.promiscuous,
    )


def nic_commands(old: NicSettings, new: NicSettings) -> Iterator[str]:
    """Command lines that turn `old` into `new`, in an order that a driver takes; a line that begins with # is a sentence."""
    name = new.name
    table, is_users = old.indirection, old.table_is_users
    if new.queues != old.queues:
        if is_users and max(table) >= new.queues:
            yield shlex.join(["ethtool", "-X", name, "default"])
            is_users = False
        yield shlex.join(["ethtool", "-L", name, "combined", str(new.queues)])
        if not is_users:
            table = tuple(default_indirection(len(table), new.queues))
    if new.ring != old.ring:
        words = [("rx", "tx")[side] + f" {new.ring[side]}" for side in (0, 1) if new.ring[side] != old.ring[side]]
        yield shlex.join(["ethtool", "-G", name, *" ".join(words).split()])
    yield from _coalesce(old, new)
    if new.key != old.key:
        yield shlex.join(["ethtool", "-X", name, "hkey", new.key])
    if new.indirection != table or (is_users and not new.table_is_users):
        yield _indirection(new)
    for flow_type, fields in new.rx_flow_hash.items():
        if fields != old.rx_flow_hash.get(flow_type):
            yield shlex.join(["ethtool", "-N", name, "rx-flow-hash", flow_type, fields])
    for feature, on in new.features.items():
        if on != old.features[feature]:
            yield shlex.join(["ethtool", "-K", name, feature, "on" if on else "off"])
    if new.promiscuous != old.promiscuous:
        yield shlex.join(["ip", "link", "set", "dev", name, "promisc", "on" if new.promiscuous else "off"])


def _coalesce(old: NicSettings, new: NicSettings) -> Iterator[str]:
    """Intervals can be changed only while the adaptive ones are off (rx-usecs-high: both); they are turned on again afterwards."""
    changed = {word: str(usecs) for word, usecs in new.usecs.items() if usecs != old.usecs[word]}
    adaptive = dict(old.adaptive)
    if changed:
        off = [side for side in adaptive if side[-2:] in {word[:2] for word in changed} or "rx-usecs-high" in changed]
        adaptive.update(dict.fromkeys(off, False))
        words = [word for side in off for word in (side, "off")] + [word for pair in changed.items() for word in pair]
        yield shlex.join(["ethtool", "-C", new.name, *words])
    words = [
        word for side, on in new.adaptive.items() if on != adaptive[side] for word in (side, "on" if on else "off")
    ]
    if words:
        yield shlex.join(["ethtool", "-C", new.name, *words])


def _indirection(new: NicSettings) -> str:
    """The command that writes the table: default, equal or weight; a sentence when none of the three makes it."""
    table, entries = list(new.indirection), len(new.indirection)
    words = ["ethtool", "-X", new.name]
    if not new.table_is_users and table == default_indirection(entries, new.queues):
        return shlex.join([*words, "default"])
    used = max(table) + 1
    if table == default_indirection(entries, used):
        return shlex.join([*words, "equal", str(used)])
    if table == sorted(table):
        return shlex.join([*words, "weight", *(str(table.count(queue)) for queue in range(used))])
    return f"# {new.name}'s indirection table is none that ethtool -X can write: it knows equal and weight only"
