"""The words after `ethtool OPTION IF`: keyword and value, in pairs.

Source: ethtool(8) of 6.x.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from errno import EINVAL
from typing import Final

from emu.errors import ControlError
from emu.kstrto import parse_unsigned

U32_MAX: Final = (1 << 32) - 1


def nothing_more(words: list[str], option: str) -> None:
    """ControlError EINVAL when words are left."""
    if words:
        raise ControlError(EINVAL, f"ethtool {option} takes nothing after the interface: {words[0][:40]!r}")


def pairs(words: list[str], keywords: Iterable[str], option: str) -> dict[str, str]:
    """Keyword -> value. ControlError EINVAL for no word, an unknown keyword, a missing value, a keyword given twice."""
    known = list(keywords)
    found: dict[str, str] = {}
    if not words:
        raise ControlError(EINVAL, f"ethtool {option} wants a setting and its value: one of {', '.join(known)}")
    for keyword, value in zip(words[::2], [*words[1::2], None][: -(-len(words) // 2)], strict=True):
        if keyword not in known:
            raise unknown(keyword, known, option)
        if value is None:
            raise ControlError(EINVAL, f"ethtool {option}: {keyword} wants a value")
        if keyword in found:
            raise ControlError(EINVAL, f"ethtool {option}: {keyword} is given twice")
        found[keyword] = value
    return found


def unknown(word: str, known: Iterable[str], option: str) -> ControlError:
    """The refusal of a word that is none of `known`; ethtool takes no abbreviations."""
    close = get_close_matches(word[:40], list(known), n=1, cutoff=0.0)[0]
    return ControlError(EINVAL, f"ethtool {option} has no setting {word[:40]!r}: the nearest is {close}")


def number(text: str, what: str) -> int:
    """An unsigned number of 32 bits, decimal, 0x or 0 octal. ControlError EINVAL."""
    try:
        return parse_unsigned(text, 0, U32_MAX)
    except ControlError as error:
        raise ControlError(EINVAL, f"{what}: {error.message}") from error


def switch(text: str, what: str) -> bool:
    """on or off, nothing else. ControlError EINVAL."""
    states: Mapping[str, bool] = {"on": True, "off": False}
    if text not in states:
        raise ControlError(EINVAL, f"{what} is {text[:40]!r}: write on or off")
    return states[text]
