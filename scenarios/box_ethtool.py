"""What `ethtool -l -g -c -k -x -i -n` printed of an interface, saved as `ethtool/IF.l` and so on, read back as numbers.

`n/a`, "Operation not supported" and lines that are not there are None: whoever asks says what is taken instead.
Source: what ethtool 4.x to 6.x prints; ethtool(8).
"""

from __future__ import annotations

import re
from typing import Final

from scenarios.box_files import BoxFiles

MAX_TABLE: Final = 4096
"""Entries of an indirection table that are read."""

_CURRENT: Final = re.compile(r"Current hardware settings:", re.IGNORECASE)
_ROW: Final = re.compile(r"\s*\d+:((?:\s+\d+)+)\s*")
_KEY: Final = re.compile(r"(?:[0-9a-fA-F]{2}:)*[0-9a-fA-F]{2}")
_RINGS: Final = re.compile(r"with (\d{1,6}) RX ring")
_ADAPTIVE: Final = re.compile(r"Adaptive RX:\s*(on|off)\b")
_FUNCTION: Final = re.compile(r"\s*([\w-]{1,20}): (on|off)\s*")
_FLOW_TYPE: Final = re.compile(r"(TCP|UDP) over IPV([46]) flows use these fields")
_FIELDS: Final = {"IP SA": "s", "IP DA": "d", "L4 bytes 0 & 1": "f", "L4 bytes 2 & 3": "n"}


class EthtoolTexts:
    """The saved texts of one interface. Every reader raises InputFileError for a file that is no text."""

    def __init__(self, files: BoxFiles, interface: str) -> None:
        self._files = files
        self._interface = interface

    def path(self, letter: str) -> str:
        """The path of what `ethtool -LETTER` printed."""
        return f"ethtool/{self._interface}.{letter}"

    def _text(self, letter: str, is_expected: bool = True) -> str:
        return self._files.text(self.path(letter), is_expected=is_expected) or ""

    def channels(self) -> int | None:
        """RX queues now (-l): those of RX and the combined ones."""
        now = _values(_after(self._text("l"), _CURRENT))
        counts = [_number(now.get(key)) for key in ("RX", "Combined")]
        known = [count for count in counts if count is not None]
        return sum(known) or None

    def ring(self) -> int | None:
        """RX descriptors a queue now (-g)."""
        return _number(_values(_after(self._text("g"), _CURRENT)).get("RX"))

    def rx_usecs(self) -> int | None:
        """Interrupt moderation in us (-c)."""
        return _number(_values(self._text("c")).get("rx-usecs"))

    def adaptive_rx(self) -> bool | None:
        """Whether moderation adapts (-c)."""
        match = _ADAPTIVE.search(self._text("c"))
        return None if match is None else match[1] == "on"

    def features(self) -> dict[str, bool]:
        """Feature -> whether it is on (-k), by ethtool's long names."""
        found = {}
        for name, value in _values(self._text("k")).items():
            word = value.split(" ", 1)[0]
            if word in ("on", "off"):
                found[name] = word == "on"
        return found

    def bus(self) -> str | None:
        """The device's bus address (-i), such as 0000:18:00.0."""
        address = _values(self._text("i")).get("bus-info", "")
        return address if re.fullmatch(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-9a-f]", address) else None

    def driver(self) -> str | None:
        """The driver's name (-i)."""
        name = _values(self._text("i", is_expected=False)).get("driver", "")
        return name if re.fullmatch(r"[\w.+-]{1,32}", name) else None

    def rings_of_table(self) -> int | None:
        """RX queues that the indirection table was printed for (-x)."""
        match = _RINGS.search(self._text("x", is_expected=False))
        return None if match is None else int(match[1]) or None

    def indirection(self) -> list[int] | None:
        """The indirection table (-x). InputFileError if it is longer than any."""
        table: list[int] = []
        for line in self._text("x").split("\n"):
            if line.startswith("RSS hash key"):
                break
            if match := _ROW.fullmatch(line):
                table += [int(word[:9]) for word in match[1].split()]
                if len(table) > MAX_TABLE:
                    raise self._files.error(self.path("x"), f"a table of more than {MAX_TABLE} entries")
        return table or None

    def key(self) -> bytes | None:
        """The RSS key (-x)."""
        words = _after(self._text("x", is_expected=False), re.compile(r"RSS hash key:")).split()
        if not words or not _KEY.fullmatch(words[0]):
            return None
        return bytes.fromhex(words[0].replace(":", ""))

    def hash_functions(self) -> list[str]:
        """The hash functions that are on (-x)."""
        lines = _after(self._text("x", is_expected=False), re.compile(r"RSS hash function:")).split("\n")
        return [match[1] for line in lines if (match := _FUNCTION.fullmatch(line)) and match[2] == "on"]

    def hash_fields(self) -> dict[str, str]:
        """Flow type (tcp4, udp4, tcp6, udp6) -> letters of what is hashed (-n IF rx-flow-hash TYPE), where it is told."""
        found: dict[str, str] = {}
        flow_type = ""
        for line in self._text("n").split("\n"):
            if match := _FLOW_TYPE.match(line):
                flow_type = f"{match[1].lower()}{match[2]}"
                continue
            for words, letter in _FIELDS.items():
                if flow_type and line.strip().startswith(words) and letter not in found.get(flow_type, ""):
                    found[flow_type] = found.get(flow_type, "") + letter
        return found


def _after(text: str, heading: re.Pattern[str]) -> str:
    match = heading.search(text)
    return "" if match is None else text[match.end() :]


def _values(text: str) -> dict[str, str]:
    """The lines `Name: value` of a text; of two with one name the first."""
    found: dict[str, str] = {}
    for line in text.split("\n"):
        name, colon, value = line.partition(":")
        if colon:
            found.setdefault(name.strip(), value.strip())
    return found


def _number(word: str | None) -> int | None:
    """The number that `word` is; None for `n/a` and whatever else."""
    return int(word) if word is not None and word.isascii() and word.isdigit() and len(word) <= 9 else None
