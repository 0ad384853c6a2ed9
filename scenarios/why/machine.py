"""A machine whose packets and polls can be looked at, and which does the same as any other."""

from __future__ import annotations

from typing import Any, Protocol

from emu.clock import Actor, Clock, Port
from emu.skb import Skb
from scenarios.machine import Machine
from scenarios.why.holders import TracedCpu


class PostTrace(Protocol):
    """Who looks at posts between CPUs, and from CPUs to sockets."""

    def posted(self, stamp_ns: int, sender: Actor, port: Port, skb: Skb) -> bool:
        """`skb` was posted; True to be told of the decision."""

    def decide(self, stamp_ns: int, sender: Any, port: Port, skb: Skb) -> None:
        """Let `port` decide."""


class TracedPort:
    """Stands in for a port in one post."""

    __slots__ = ("_port", "_trace")

    def __init__(self, port: Port, trace: PostTrace) -> None:
        self._port = port
        self._trace = trace

    def deliver(self, stamp_ns: int, sender: Any, item: Any) -> None:
        """Have the post decided under the eyes of the trace."""
        self._trace.decide(stamp_ns, sender, self._port, item)


class TracedClock(Clock):
    """A clock that shows each post to its trace, if it has one."""

    trace: PostTrace | None = None

    def post(self, sender: Actor, port: Port, item: Any) -> None:
        """As ever."""
        super().post(sender, self._shown(sender.local_now_ns, sender, port, item), item)

    def post_batch(self, sender: Actor, posts: list[tuple[int, Port, Any]]) -> None:
        """As ever."""
        super().post_batch(
            sender, [(stamp_ns, self._shown(stamp_ns, sender, port, item), item) for stamp_ns, port, item in posts]
        )

    def _shown(self, stamp_ns: int, sender: Actor, port: Port, item: Any) -> Port:
        trace = self.trace
        if trace is not None and isinstance(item, Skb) and trace.posted(stamp_ns, sender, port, item):
            return TracedPort(port, trace)
        return port


class TracedMachine(Machine):
    """A machine with a clock and CPUs that can be looked at."""

    clock_class = TracedClock
    cpu_class = TracedCpu
