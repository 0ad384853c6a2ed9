"""Finding topics by whatever a person calls them.

Tried in turn, the first that finds something counts: the exact spelling; a control file's path or sysctl name; an ethtool
command; any spelling without regard to case and punctuation; the end of a name (`RcvbufErrors`). One word may name several things:
a ring is a setting, a column and a stage.
"""

import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Final

from emu.errors import ConfigError
from emu.tree import sysctl_path
from scenarios.explain.topics import Topic

MAX_BY_END: Final = 6
"""If the end of a name fits more topics than this, it says nothing."""

_LONG_FLAGS: Final = {
    "--set-channels": "-L",
    "--show-channels": "-l",
    "--set-ring": "-G",
    "--show-ring": "-g",
    "--coalesce": "-C",
    "--show-coalesce": "-c",
    "--rxfh": "-X",
    "--set-rxfh-indir": "-X",
    "--show-rxfh": "-x",
    "--show-rxfh-indir": "-x",
    "--config-nfc": "-N",
    "--config-ntuple": "-N",
    "--features": "-K",
    "--offload": "-K",
    "--show-features": "-k",
    "--show-offload": "-k",
    "--statistics": "-S",
}


class Catalogue:
    """All topics by all their spellings."""

    def __init__(self, topics: Sequence[Topic], scenarios: Sequence[str]) -> None:
        self.topics = topics
        self.scenarios = scenarios
        """Names of built-in scenarios, which can be asked about too."""
        self._exact: dict[str, list[Topic]] = {}
        self._loose: dict[str, list[Topic]] = {}
        for topic in topics:
            for spelling in topic.spellings():
                for index, key in ((self._exact, spelling), (self._loose, _squash(spelling))):
                    found = index.setdefault(key, [])
                    if topic not in found:
                        found.append(topic)

    def find(self, text: str) -> list[Topic]:
        """Return the topics that `text` names; none if it names none."""
        text = " ".join(text.split()).removeprefix("SKB_DROP_REASON_")
        counter = re.sub(r"[.:] ?", "", text)  # Udp.RcvbufErrors, Udp: RcvbufErrors
        exact = self._exact.get(text) or self._exact.get(counter)
        for found in (exact, self._by_path(text), self._by_ethtool(text), self._loosely(text)):
            if found:
                return found
        return []

    def unknown(self, text: str) -> ConfigError:
        """The error about `text`, which names nothing, with the nearest that something is called."""
        shown = text if len(text) <= 60 else text[:57] + "..."
        wanted = _squash(text[:200]) or text[:200]
        known = {**{key: topics[0].name for key, topics in self._loose.items() if key}}
        known.update({_squash(name): name for name in self.scenarios})
        nearest = get_close_matches(wanted, known, n=1, cutoff=0.0)[0]
        return ConfigError(
            f"explain: there is no topic {shown!r}; the nearest is {known[nearest]} (`softnet explain` lists them)"
        )

    def _by_path(self, text: str) -> list[Topic]:
        path = text if text.startswith("/") else sysctl_path(text)
        return [topic for topic in self.topics if topic.covers(path)]

    def _by_ethtool(self, text: str) -> list[Topic]:
        """`ethtool -C eth0 rx-usecs 50`: the settings named after the flag, else the flag itself."""
        words = text.removeprefix("ethtool ").split(" ")
        flag = _LONG_FLAGS.get(words[0], words[0])
        if not re.fullmatch("-[A-Za-z]", flag):
            return []
        named = [topic for word in words[1:] for topic in self._exact.get(f"{flag} {word}", [])]
        return _each_once(named) or self._exact.get(flag, [])

    def _loosely(self, text: str) -> list[Topic]:
        wanted = _squash(text)
        if not wanted:
            return []
        if wanted in self._loose:
            return self._loose[wanted]
        if len(wanted) < 4:
            return []
        ends = _each_once(topic for key, topics in self._loose.items() if key.endswith(wanted) for topic in topics)
        return ends if len(ends) <= MAX_BY_END else []


def _squash(text: str) -> str:
    """Letters and digits only, in one case."""
    return re.sub("[^a-z0-9]", "", text.casefold())


def _each_once(topics: Iterable[Topic]) -> list[Topic]:
    found: list[Topic] = []
    for topic in topics:
        if topic not in found:
            found.append(topic)
    return found
