"""What ethtool changes of a NIC, with the refusals of the kernel and of ice.

Models: -L -G -C -K and -N rx-flow-hash at the clock's time. A setting that is as asked already changes nothing, and nothing is
printed, as with ethtool 6.x over netlink; what ice would tell the kernel's log (a rounded number) is noted among the events.
Leaves out: the transmit side, whose settings are only kept.
Source: net/ethtool (6.9) and ethernet/intel/ice ice_set_channels, ice_set_ringparam, ice_set_rc_coalesce (6.9).
"""

from __future__ import annotations

from errno import EINVAL, EOPNOTSUPP
from typing import Final

from emu.errors import ControlError
from nic import channels
from nic.ethtool_show import (
    COALESCE_BLOCKS,
    OTHER_CHANNELS,
    check_flow_type,
    combined_channels,
    max_channels,
)
from nic.ethtool_words import number, pairs, switch, unknown
from nic.features import ALIASES, FEATURES, SWITCHES
from nic.moderation import ITR_MAX_US, check_rx_usecs, check_rx_usecs_high
from nic.nic import Nic
from nic.ring import DESCRIPTOR_MULTIPLE, MAX_DESCRIPTORS, MIN_DESCRIPTORS

COALESCE_SUPPORTED: Final = ("adaptive-rx", "adaptive-tx", "rx-usecs", "tx-usecs", "rx-usecs-high")
COALESCE_KEYWORDS: Final = (
    *COALESCE_SUPPORTED,
    *(name for block in COALESCE_BLOCKS for name in block if name not in COALESCE_SUPPORTED),
    "cqe-mode-rx",
    "cqe-mode-tx",
    "tx-aggr-max-bytes",
    "tx-aggr-max-frames",
    "tx-aggr-time-usecs",
)
RING_KEYWORDS: Final = (
    "rx",
    "tx",
    "rx-mini",
    "rx-jumbo",
    "rx-buf-len",
    "cqe-size",
    "tx-push",
    "rx-push",
    "tcp-data-split",
)


def _note(nic: Nic, text: str) -> None:
    nic.net.events.note(nic.clock.now_ns, None, f"{nic.dev.name}: {text}")


# -------------------------------------------------------------------- -L


def set_channels(nic: Nic, words: list[str]) -> str:
    """ethtool -L: combined, rx, tx, other."""
    asked = {name: number(text, name) for name, text in pairs(words, ("combined", "rx", "tx", "other"), "-L").items()}
    before = combined_channels(nic)
    now = {
        "combined": before,
        "rx": len(nic.rings) - before,
        "tx": nic.transmit.queues - before,
        "other": OTHER_CHANNELS,
    }
    wanted = now | asked
    most = max_channels(nic)
    for name, count in asked.items():
        limit = OTHER_CHANNELS if name == "other" else most
        if count > limit:
            raise ControlError(EINVAL, f"{name} {count}: the requested channel count exceeds the maximum of {limit}")
    if wanted == now:
        return ""
    if not wanted["combined"] and not (wanted["rx"] and wanted["tx"]):
        raise ControlError(EINVAL, "no RX or TX channel would be left: ask for at least combined 1")
    if wanted["other"] != OTHER_CHANNELS:
        raise ControlError(EINVAL, f"the device has {OTHER_CHANNELS} other channel, and no less")
    # ice cannot tell what was asked for from what is so already.
    combined, rx, tx = (0 if wanted[name] == now[name] else wanted[name] for name in ("combined", "rx", "tx"))
    if not combined and not (rx and tx):
        raise ControlError(
            EINVAL,
            "the device wants at least 1 RX and 1 TX channel: change combined, with rx or tx beside it, or rx and tx",
        )
    if combined + rx > most or combined + tx > most:
        raise ControlError(
            EINVAL, f"at most {most} channels of a kind are possible, {combined + max(rx, tx)} were asked for"
        )
    channels.set_queues(nic, combined + rx)
    nic.transmit.queues = combined + tx
    return ""


# -------------------------------------------------------------------- -G


def set_ring(nic: Nic, words: list[str]) -> str:
    """ethtool -G: rx and tx."""
    asked = pairs(words, RING_KEYWORDS, "-G")
    for name in asked:
        if name not in ("rx", "tx"):
            raise ControlError(EOPNOTSUPP, f"{name} is nothing this device has: it takes rx and tx")
    sizes = {name: number(text, name) for name, text in asked.items()}
    for name, size in sizes.items():
        if not MIN_DESCRIPTORS <= size <= MAX_DESCRIPTORS:
            raise ControlError(
                EINVAL,
                f"{name} {size} is out of range: write {MIN_DESCRIPTORS} to {MAX_DESCRIPTORS}, "
                f"a multiple of {DESCRIPTOR_MULTIPLE}",
            )
    rounded = {name: -(-size // DESCRIPTOR_MULTIPLE) * DESCRIPTOR_MULTIPLE for name, size in sizes.items()}
    for name, size in rounded.items():
        if size != sizes[name]:
            _note(nic, f"requested {name} descriptor count rounded up to {size}")
    rx = rounded.get("rx", nic.rings[0].descriptors)
    tx = rounded.get("tx", nic.transmit.descriptors)
    if (rx, tx) == (nic.rings[0].descriptors, nic.transmit.descriptors):
        return ""
    # Either takes the whole device down and up.
    channels.set_descriptors(nic, rx)
    nic.transmit.descriptors = tx
    return ""


# -------------------------------------------------------------------- -C


def set_coalesce(nic: Nic, words: list[str]) -> str:
    """ethtool -C: adaptive-rx, adaptive-tx, rx-usecs, tx-usecs, rx-usecs-high."""
    asked = pairs(words, COALESCE_KEYWORDS, "-C")
    for name in asked:
        if name not in COALESCE_SUPPORTED:
            raise ControlError(
                EOPNOTSUPP, f"{name} is a setting this device does not have: it takes {', '.join(COALESCE_SUPPORTED)}"
            )
    moderation, transmit = nic.vectors[0].moderation, nic.transmit
    adaptive = switch(asked["adaptive-rx"], "adaptive-rx") if "adaptive-rx" in asked else moderation.adaptive
    adaptive_tx = switch(asked["adaptive-tx"], "adaptive-tx") if "adaptive-tx" in asked else transmit.adaptive
    usecs, usecs_tx, high = moderation.rx_usecs, transmit.usecs, moderation.rx_usecs_high
    if "rx-usecs" in asked:
        usecs = _interval(nic, "rx", number(asked["rx-usecs"], "rx-usecs"))
    if "tx-usecs" in asked:
        usecs_tx = _interval(nic, "tx", number(asked["tx-usecs"], "tx-usecs"))
    if "rx-usecs-high" in asked:
        high = check_rx_usecs_high(number(asked["rx-usecs-high"], "rx-usecs-high"))
    if high != moderation.rx_usecs_high and (adaptive or adaptive_tx):
        raise ControlError(
            EINVAL,
            "rx-usecs-high cannot be changed while adaptive-rx or adaptive-tx is on: set adaptive-rx off adaptive-tx off",
        )
    if usecs != moderation.rx_usecs and adaptive:
        raise ControlError(EINVAL, "rx-usecs cannot be changed while adaptive-rx is on: set adaptive-rx off with it")
    if usecs_tx != transmit.usecs and adaptive_tx:
        raise ControlError(EINVAL, "tx-usecs cannot be changed while adaptive-tx is on: set adaptive-tx off with it")
    if (usecs, adaptive, high) != (moderation.rx_usecs, moderation.adaptive, moderation.rx_usecs_high):
        nic.set_coalesce(usecs, adaptive, high)
    transmit.usecs, transmit.adaptive = usecs_tx, adaptive_tx
    return ""


def _interval(nic: Nic, side: str, usecs: int) -> int:
    """What the device keeps of it. ControlError EINVAL out of range."""
    if usecs > ITR_MAX_US:
        raise ControlError(EINVAL, f"{side}-usecs {usecs} is out of range: the device takes 0 to {ITR_MAX_US}")
    kept = check_rx_usecs(usecs)
    if kept != usecs:
        _note(nic, f"{side}-usecs {usecs}: the device takes even values only, {kept} is set")
    return kept


# -------------------------------------------------------------------- -K


def set_features(nic: Nic, words: list[str]) -> str:
    """ethtool -K: switch features on and off. One that is fixed may be asked for what it is."""
    asked: dict[str, bool] = {}
    for word, value in pairs(words, (*FEATURES, *ALIASES), "-K").items():
        name = ALIASES.get(word, word)
        state = switch(value, word)
        if asked.setdefault(name, state) is not state:
            raise ControlError(EINVAL, f"ethtool -K: {name} is asked to be on and off")
        if name not in SWITCHES and state:
            raise ControlError(
                EOPNOTSUPP, f"{name} is off [fixed]: what can be switched is {', '.join(sorted(SWITCHES))}"
            )
    dev = nic.dev
    changed = {SWITCHES[name]: state for name, state in asked.items() if name in SWITCHES}
    changed = {attribute: state for attribute, state in changed.items() if getattr(dev, attribute) is not state}
    if changed:

        def change() -> None:
            for attribute, state in changed.items():
                setattr(dev, attribute, state)

        nic.reconfigure(change)
    return ""


# -------------------------------------------------------------------- -N


def set_nfc(nic: Nic, words: list[str]) -> str:
    """ethtool -N IF rx-flow-hash TYPE FIELDS."""
    if words and words[0] in ("flow-type", "delete"):
        raise ControlError(EOPNOTSUPP, "n-tuple rules are not emulated: ethtool -N IF rx-flow-hash TYPE FIELDS")
    if not words or words[0] != "rx-flow-hash":
        raise unknown(words[0] if words else "", ["rx-flow-hash"], "-N")
    if len(words) != 3:
        raise ControlError(EINVAL, "ethtool -N IF rx-flow-hash wants a flow type and its fields, such as udp4 sdfn")
    flow_type, fields = check_flow_type(words[1]), words[2]
    nic.reconfigure(lambda: nic.rss.set_fields(flow_type, fields))
    return ""
