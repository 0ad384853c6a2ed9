"""ethtool -X: the indirection table and the key.

Models: equal N, weight W0 W1 ..., default, start N beside the first two, hkey, hfunc toeplitz. All of a line or nothing of it is set.
Leaves out: several RSS contexts, symmetric hashes.
Source: ethtool(8) of 6.x; ethernet/intel/ice ice_set_rxfh (6.9).
"""

from __future__ import annotations

from errno import EINVAL, EOPNOTSUPP
from typing import Final

from emu.errors import ControlError
from nic.ethtool_words import number, unknown
from nic.nic import Nic
from nic.rss import Rss, default_indirection, weighted_indirection

TABLES: Final = ("equal", "weight", "default")
KEYWORDS: Final = (*TABLES, "start", "hkey", "hfunc")
FOREIGN: Final = ("context", "delete", "xfrm")


def set_rxfh(nic: Nic, words: list[str]) -> str:
    """Set what `words` say, at the clock's time. Prints nothing. ControlError EINVAL or EOPNOTSUPP."""
    rss = nic.rss
    asked = _settings(words)
    tables = [name for name in TABLES if name in asked]
    if len(tables) > 1:
        raise ControlError(EINVAL, f"ethtool -X: {tables[0]} and {tables[1]} exclude each other")
    table = _table(rss, asked)
    key = _key(asked["hkey"][0], len(rss.key)) if "hkey" in asked else None
    if "hfunc" in asked and asked["hfunc"] != ["toeplitz"]:
        raise ControlError(EOPNOTSUPP, f"hfunc {asked['hfunc'][0][:40]!r}: the device hashes by toeplitz")

    def change() -> None:
        if table is not None:
            rss.set_indirection(table)
        elif "default" in asked:
            rss.set_default()
        if key is not None:
            rss.set_key(key)

    nic.reconfigure(change)
    return ""


def _settings(words: list[str]) -> dict[str, list[str]]:
    """Keyword -> its values: none for default, any number for weight, else one."""
    if not words:
        raise ControlError(EINVAL, f"ethtool -X wants what to set: one of {', '.join(KEYWORDS)}")
    rest = list(words)
    found: dict[str, list[str]] = {}
    while rest:
        word = rest.pop(0)
        if word in FOREIGN:
            raise ControlError(EOPNOTSUPP, f"{word}: several RSS contexts and symmetric hashes are not emulated")
        if word not in KEYWORDS:
            raise unknown(word, KEYWORDS, "-X")
        if word in found:
            raise ControlError(EINVAL, f"ethtool -X: {word} is given twice")
        values: list[str] = []
        while rest and rest[0] not in KEYWORDS + FOREIGN and (word == "weight" or (word != "default" and not values)):
            values.append(rest.pop(0))
        if not values and word != "default":
            raise ControlError(EINVAL, f"ethtool -X: {word} wants a value")
        found[word] = values
    return found


def _table(rss: Rss, asked: dict[str, list[str]]) -> list[int] | None:
    """The table that equal or weight stands for, from queue `start` on; None without either."""
    entries = len(rss.indirection)
    if "equal" in asked:
        count = number(asked["equal"][0], "equal")
        if not 1 <= count <= rss.queues:
            raise ControlError(EINVAL, f"equal {count}: it takes 1 to {rss.queues} queues")
        table = default_indirection(entries, count)
    elif "weight" in asked:
        table = weighted_indirection(entries, [number(text, "weight") for text in asked["weight"]], rss.queues)
    elif "start" in asked:
        raise ControlError(EINVAL, "ethtool -X: start wants equal or weight beside it")
    else:
        return None
    start = number(asked["start"][0], "start") if "start" in asked else 0
    return [start + queue for queue in table]


def _key(text: str, length: int) -> bytes:
    parts = text.split(":")
    if len(parts) != length:
        raise ControlError(EINVAL, f"a key of {len(parts)} bytes: the device takes {length}, as xx:xx:...")
    if not all(len(part) == 2 and set(part.lower()) <= set("0123456789abcdef") for part in parts):
        raise ControlError(
            EINVAL, f"{text[:40]!r} is no key: write {length} bytes of two hexadecimal digits, as xx:xx:..."
        )
    return bytes.fromhex("".join(parts))
