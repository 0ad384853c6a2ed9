"""A flow's story: all its packets in a table, how the first was steered, when it moved, whether one overtook another."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from emu.errors import ConfigError
from emu.headers import IPPROTO_TCP, IPPROTO_UDP, Headers
from scenarios.why.document import DROPPED, HELD, FlowPacket, FlowStory, Step
from scenarios.why.formulas import flow_words

if TYPE_CHECKING:
    from scenarios.build import Built
    from scenarios.why.story import Story

LOOKED_AT_FRAMES: Final = 20_000
"""Frames of a run that are looked at for the nearest flow."""

_ENDPOINT: Final = r"\[?([0-9A-Fa-f:.]+?)\]?:(\d+)"
_TUPLE: Final = re.compile(rf"(?:(tcp|udp)\s+)?{_ENDPOINT}\s*(?:>|->|→)\s*{_ENDPOINT}")
_PROTOCOLS: Final = {"tcp": IPPROTO_TCP, "udp": IPPROTO_UDP}


@dataclass(frozen=True, slots=True)
class FlowTuple:
    """Addresses as raw bytes, ports, and the protocol number or None for either."""

    protocol: int | None
    saddr: bytes
    sport: int
    daddr: bytes
    dport: int

    @classmethod
    def parse(cls, text: str) -> FlowTuple:
        """`10.1.0.9:443 > 10.0.0.1:5001`, with `udp` or `tcp` in front if need be. ConfigError."""
        found = _TUPLE.fullmatch(text.strip())
        if found is None:
            raise ConfigError(
                f"--flow {text!r}: no flow, write one as '10.1.0.9:443 > 10.0.0.1:5001', udp or tcp before it"
            )
        protocol, saddr, sport, daddr, dport = found.groups()
        packed: list[bytes] = []
        for address in (saddr, daddr):
            try:
                packed.append(ipaddress.ip_address(address).packed)
            except ValueError:
                raise ConfigError(f"--flow {text!r}: {address} is no address") from None
        for port in (sport, dport):
            if int(port) > 65535:
                raise ConfigError(f"--flow {text!r}: port {port} is above 65535")
        return cls(_PROTOCOLS.get(protocol or ""), packed[0], int(sport), packed[1], int(dport))

    def matches(self, hdr: Headers) -> bool:
        """A packet with `hdr` belongs to the flow."""
        return (
            hdr.flow[1:] == (self.saddr, self.daddr, self.sport, self.dport)
            and hdr.l4_protocol in (IPPROTO_TCP, IPPROTO_UDP)
            and self.protocol in (None, hdr.l4_protocol)
        )

    def distance(self, hdr: Headers) -> tuple[int, int, int, int]:
        """How far `hdr` is from it: what differs first, then by how much."""
        _, saddr, daddr, sport, dport = hdr.flow
        return (
            (saddr != self.saddr) + (daddr != self.daddr) + (sport != self.sport) + (dport != self.dport),
            abs(sport - self.sport) + abs(dport - self.dport),
            abs(int.from_bytes(saddr, "big") - int.from_bytes(self.saddr, "big")),
            abs(int.from_bytes(daddr, "big") - int.from_bytes(self.daddr, "big")),
        )


def nearest_flow(built: Built, wanted: FlowTuple) -> str:
    """`, the nearest flow is ...` among the first frames of a machine that has not run; "" if it has none."""
    seen: dict[Headers, None] = {}
    frames = 0
    wire = built.nic.wire
    while frames < LOOKED_AT_FRAMES and (next_ns := wire.next_ns()) <= built.until_ns:
        if next_ns >= 1 << 62:
            break
        for skb in wire.fill(next_ns):
            frames += 1
            if skb.hdr.l4_protocol in (IPPROTO_TCP, IPPROTO_UDP) and not skb.hdr.fragment:
                seen[skb.hdr] = None
    if not seen:
        return ""
    return f", the nearest flow is '{flow_words(min(seen, key=wanted.distance))}'"


def flow_story(built: Built, stories: list[Story], untold: int) -> FlowStory:
    """The flow that `stories` are of, in the order of the wire; `untold` packets more were generated."""
    now_ns = built.machine.clock.reached_ns
    lines = [_line(story, now_ns) for story in stories]
    accounts: dict[str, int] = {}
    for line in lines:
        key = line.reason if line.account == DROPPED else line.account
        accounts[key] = accounts.get(key, 0) + 1
    first = stories[0]
    return FlowStory(
        flow=first.flow,
        packets=len(lines),
        untold=untold,
        queues=sorted({line.queue for line in lines if line.queue is not None}),
        steering=[step for step in first.steps if step.function in ("RSS", "get_rps_cpu", "enqueue_to_backlog")],
        moves=_moves(stories),
        accounts=accounts,
        reordered=_reordered(stories),
        lines=lines,
    )


def _line(story: Story, now_ns: int) -> FlowPacket:
    waits = {stage.name: stage.end_ns - stage.begin_ns for stage in story.stages}
    cpus: list[int] = []
    for stage in story.stages:
        if stage.cpu is not None and (not cpus or cpus[-1] != stage.cpu):
            cpus.append(stage.cpu)
    end = story.end
    if end is None:
        waits[story.state] = max(now_ns, story.since_ns) - story.since_ns
    return FlowPacket(
        packet=story.number + 1,
        arrived_ns=story.arrived_ns,
        queue=story.queue,
        cpus=cpus,
        waits_ns=waits,
        account=HELD if end is None else end.account,
        reason=story.state if end is None else end.reason,
        total_ns=(now_ns if end is None else end.at_ns) - story.arrived_ns,
    )


def _moves(stories: list[Story]) -> list[Step]:
    """The first protocol step of each packet whose CPU is another than the packet's before."""
    moves: list[Step] = []
    cpu: int | None = None
    for story in stories:
        stage = next((stage for stage in story.stages if stage.name == "protocol"), None)
        if stage is None or stage.cpu is None or stage.cpu == cpu:
            continue
        text = f"packet {story.number + 1}: processed on CPU {stage.cpu}" + (
            "" if cpu is None else f", before on {cpu}"
        )
        moves.append(Step(stage.begin_ns, stage.cpu, "netif_receive_skb", text))
        cpu = stage.cpu
    return moves


def _reordered(stories: list[Story]) -> int:
    """Packets that came to their socket later than one behind them on the wire."""
    late = 0
    latest_ns = -1
    for story in stories:
        at_ns = next((stage.end_ns for stage in story.stages if stage.name == "protocol"), None)
        if at_ns is None:
            continue
        if at_ns < latest_ns:
            late += 1
        else:
            latest_ns = at_ns
    return late
