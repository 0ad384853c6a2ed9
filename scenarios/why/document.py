"""What `softnet why` answers, as documents: one for a packet, one for a squeeze, one for a flow.

Times are virtual nanoseconds; packets are numbered from 1 in the order of the wire. `values` of a step hold the numbers that its text
words, under the kernel's names where it has them.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

Value = int | str | list[int]

READ: Final = "read"
CONSUMED: Final = "consumed"
DROPPED: Final = "dropped"
HELD: Final = "held"


class Step(Struct, frozen=True):
    """Something that happened to a packet."""

    at_ns: int
    cpu: int | None
    """None outside the CPUs."""
    function: str
    """The kernel's function, or the device's part."""
    text: str
    values: dict[str, Value] = {}


class Holder(Struct, frozen=True):
    """Who had a CPU during a stage, all its stretches together."""

    account: str
    """hardirq, softirq, ksoftirqd, system, user, idle."""
    who: str
    ns: int


class Stage(Struct, frozen=True):
    """A part of the way; the stages of a packet follow each other without a gap."""

    name: str
    """ring, gro, steering, backlog, protocol, fragments, socket."""
    begin_ns: int
    end_ns: int
    cpu: int | None
    holders: list[Holder] = []
    """Who had that CPU; they add up to the whole stage."""


class End(Struct, frozen=True):
    """The ledger's account in which a frame ended, or where it is."""

    account: str
    """read, consumed, dropped, held."""
    at_ns: int
    cpu: int | None
    reason: str = ""
    """Drop reason; the place of what is held."""
    text: str = ""


class PacketStory(Struct, frozen=True):
    """One frame from the wire to its end."""

    packet: int
    flow: str
    wire_bytes: int
    arrived_ns: int
    frames: list[int]
    """Packets that shared the skb in the end: GRO's, or the fragments of a datagram."""
    steps: list[Step]
    stages: list[Stage]
    end: End
    behind: Stage | None = None
    """Of a packet that a full queue refused: who had the CPU that empties it since the oldest in it came."""

    @property
    def total_ns(self) -> int:
        """From its last bit on the wire to its end."""
        return self.end.at_ns - self.arrived_ns


class Poll(Struct, frozen=True):
    """One NAPI's turn in a net_rx_action."""

    napi: str
    begin_ns: int
    end_ns: int
    work: int
    weight: int
    budget_left: int


class SqueezeStory(Struct, frozen=True):
    """One net_rx_action that ended on a limit."""

    squeeze: int
    cpu: int
    begin_ns: int
    end_ns: int
    run_by: str
    """softirq or ksoftirqd."""
    hz: int
    netdev_budget: int
    netdev_budget_usecs: int
    begin_jiffies: int
    limit_jiffies: int
    end_jiffies: int
    cause: str
    """budget or time."""
    budget_left: int
    polls: list[Poll]
    left: list[str]
    """NAPIs still listed."""
    followed: str
    """What came next on that CPU."""
    followed_ns: int | None


class FlowPacket(Struct, frozen=True):
    """A line of a flow's table."""

    packet: int
    arrived_ns: int
    queue: int | None
    cpus: list[int]
    """CPUs that touched it, in order."""
    waits_ns: dict[str, int]
    account: str
    reason: str
    total_ns: int


class FlowStory(Struct, frozen=True):
    """What became of a flow's packets."""

    flow: str
    packets: int
    untold: int
    """Packets beyond these, of a flow that is too long to be told whole."""
    queues: list[int]
    steering: list[Step]
    """How the first packet found its queue and CPU."""
    moves: list[Step]
    """When the CPU that processes the flow changed."""
    accounts: dict[str, int]
    """Ended where -> packets; drops by reason."""
    reordered: int
    """Packets that reached their socket after one that had arrived later."""
    lines: list[FlowPacket]
