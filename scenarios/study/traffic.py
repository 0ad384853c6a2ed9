"""Which frames a machine was sent: a digest of each source, to tell whether two machines were sent the same.

Models: time, length and headers of every frame up to a time. Leaves out: payload, which decides nothing.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from hashlib import blake2s
from operator import attrgetter

from emu.headers import Headers
from emu.skb import Skb
from nic.wire import Source
from scenarios.build import Built

_arrived_ns = attrgetter("arrived_ns")


class WatchedSource:
    """The frames of `source`, and a digest of those that arrive up to `until_ns`. Where the chunks end changes nothing."""

    def __init__(self, source: Source, warmup_ns: int, until_ns: int) -> None:
        self._source = source
        self._warmup_ns = warmup_ns or -1  # a frame may come at 0
        self._until_ns = until_ns
        self.frames_after_warmup = 0
        """Frames that arrive later than `warmup_ns`, up to `until_ns`."""
        self._digest = blake2s(digest_size=16)
        self._headers: dict[Headers, int] = {}

    @property
    def longest_bytes(self) -> int | None:
        """As the source."""
        return self._source.longest_bytes

    def next_ns(self) -> int:
        """As the source."""
        return self._source.next_ns()

    def fill(self, until_ns: int) -> list[Skb]:
        """As the source."""
        frames = self._source.fill(until_ns)
        seen = frames
        if frames and frames[-1].arrived_ns > self._until_ns:
            seen = frames[: bisect_right(frames, self._until_ns, key=_arrived_ns)]
        if seen:
            self.frames_after_warmup += len(seen) - bisect_right(seen, self._warmup_ns, key=_arrived_ns)
            number = self._number
            words = array("Q")
            for skb in seen:
                words.extend((skb.arrived_ns, skb.wire_bytes << 1 | (type(skb) is not Skb), number(skb.hdr)))
            self._digest.update(words.tobytes())
        return frames

    def digest(self) -> str:
        """What was sent so far, in 32 hexadecimal digits."""
        return self._digest.hexdigest()

    def _number(self, hdr: Headers) -> int:
        """The headers' own number: the same bytes have the same one in every machine."""
        number = self._headers.get(hdr)
        if number is None:
            number = int.from_bytes(blake2s(hdr.template, digest_size=8).digest())
            self._headers[hdr] = number
        return number


def watch_traffic(built: Built, warmup_ns: int = 0) -> dict[str, WatchedSource]:
    """Watch all sources of a machine that did not run yet. Name of the source -> what watches it."""
    names = [built.scenario.traffic_name(index) for index in range(len(built.scenario.traffic))]
    sources = built.nic.wire.sources
    if len(sources) > len(names):
        names.append("capture")
    watched = {
        name: WatchedSource(source, warmup_ns, built.until_ns) for name, source in zip(names, sources, strict=True)
    }
    sources[:] = watched.values()
    return watched
