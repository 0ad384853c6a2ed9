"""One frame's story while it is being written."""

from __future__ import annotations

from sys import intern
from typing import Final

from emu.skb import Skb
from scenarios.why.document import End, Stage, Step, Value
from scenarios.why.formulas import flow_words

RING: Final = "ring"
GRO: Final = "gro"
STEERING: Final = "steering"
BACKLOG: Final = "backlog"
PROTOCOL: Final = "protocol"
FRAGMENTS: Final = "fragments"
SOCKET: Final = "socket"
"""The stages."""


class Story:
    """What happened so far to the frame that `skb` was on the wire. Its stages follow each other without a gap."""

    __slots__ = (
        "arrived_ns",
        "behind",
        "brief",
        "end",
        "flow",
        "frames",
        "number",
        "owed_ipi_by",
        "queue",
        "since_ns",
        "stages",
        "state",
        "steps",
        "waits_on",
        "wire_bytes",
    )

    def __init__(self, skb: Skb) -> None:
        self.brief = False
        """Keep its stages only."""
        self.number = skb.number
        self.flow = intern(flow_words(skb.hdr))
        self.wire_bytes = skb.wire_bytes
        self.arrived_ns = skb.arrived_ns
        self.frames = [skb.number + 1]
        """Packets that share its skb, as far as is known."""
        self.queue: int | None = None
        self.state = RING
        """Name of the stage it is in."""
        self.since_ns = skb.arrived_ns
        """When that began."""
        self.waits_on: int | None = None
        """CPU on whose backlog or socket it waits."""
        self.owed_ipi_by = -1
        """CPU that owes the IPI for the backlog it waits on; -1: none."""
        self.steps = [Step(skb.arrived_ns, None, "wire", f"{skb.wire_bytes} bytes, the last bit has passed")]
        self.stages: list[Stage] = []
        self.end: End | None = None
        self.behind: Stage | None = None
        """The full queue that refused it, since its oldest packet came, and the CPU that empties it."""

    def step(
        self, at_ns: int, cpu: int | None, function: str, text: str, values: dict[str, Value] | None = None
    ) -> None:
        """Something happened to it."""
        if not self.brief:
            self.steps.append(Step(at_ns, cpu, function, text, {} if values is None else dict(values)))

    def reach(self, state: str, at_ns: int, cpu: int | None) -> None:
        """Its present stage ends at `at_ns` on `cpu`, and `state` begins."""
        self.stages.append(Stage(self.state, self.since_ns, at_ns, cpu))
        self.state = state
        self.since_ns = at_ns

    def finish(self, account: str, at_ns: int, cpu: int | None, reason: str, text: str) -> None:
        """It ends in `account`."""
        at_ns = max(at_ns, self.since_ns)
        self.reach("", at_ns, cpu)
        self.end = End(account, at_ns, cpu, reason, text)
