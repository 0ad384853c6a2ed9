"""Asking: the scenario is run again, with its trace on, until the answer is known.

A question about something that did not happen in that run is a wrong command line: ConfigError, with what there is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import trio
from msgspec import structs

from emu.dropreason import DropReason
from emu.errors import ConfigError
from emu.skb import Skb
from scenarios.build import Built, build
from scenarios.machine import Machine
from scenarios.origin import Origin
from scenarios.schema import Scenario
from scenarios.why.document import HELD, End, FlowStory, PacketStory, SqueezeStory, Stage
from scenarios.why.flow import FlowTuple, flow_story, nearest_flow
from scenarios.why.holders import TracedCpu
from scenarios.why.machine import TracedMachine
from scenarios.why.recorder import Recorder
from scenarios.why.squeeze import SqueezeRecorder
from scenarios.why.story import Story

FLOW_PACKETS: Final = 100_000
"""Packets of a flow that are told of: each takes 2 kB."""


@dataclass(frozen=True, slots=True)
class Case:
    """The run that is asked about."""

    scenario: Scenario
    origin: Origin
    seed: int

    def build(self, machine_class: type[Machine] = TracedMachine) -> Built:
        """Its machine, before it runs."""
        return build(self.scenario, self.origin, self.seed, machine_class)


def run(built: Built, scope: trio.CancelScope) -> bool:
    """Run the machine to its end, or until `scope` is cancelled. Returns whether it came to its end, all accounts in balance."""

    async def main() -> None:
        with scope:
            await built.machine.run(built.until_ns)

    trio.run(main, restrict_keyboard_interrupt_to_checkpoints=True)
    if scope.cancelled_caught:
        return False
    built.user.finish()
    now_ns = built.machine.clock.reached_ns
    built.nic.advance(now_ns)
    built.machine.ledger.check(now_ns)
    return True


def packet_story(case: Case, packet: int) -> PacketStory:
    """The story of packet `packet`, from 1. ConfigError if the run has no such packet."""
    if packet < 1:
        raise ConfigError(f"--packet {packet}: packets are counted from 1, the first on the wire")
    built = case.build()
    scope = trio.CancelScope()
    recorder = Recorder(built, lambda skb: skb.number == packet - 1, lambda _: scope.cancel())
    run(built, scope)
    arrived = built.machine.ledger.arrived_frames
    story = recorder.stories.get(packet - 1)
    if story is None or (story.end is None and packet > arrived):
        if not arrived:
            raise ConfigError(f"--packet {packet}: no packet arrives in this run")
        raise ConfigError(f"--packet {packet}: this run has {_many(arrived, 'packet')}, write 1 to {arrived}")
    return told(built, story)


def told(built: Built, story: Story) -> PacketStory:
    """The document of a story; one without an end is held where it is."""
    end = story.end
    stages = list(story.stages)
    if end is None:
        now_ns = max(built.machine.clock.reached_ns, story.since_ns)
        stages.append(Stage(story.state, story.since_ns, now_ns, story.waits_on))
        end = End(HELD, now_ns, story.waits_on, story.state, f"the run ends, and it is held in: {story.state}")
    return PacketStory(
        packet=story.number + 1,
        flow=story.flow,
        wire_bytes=story.wire_bytes,
        arrived_ns=story.arrived_ns,
        frames=story.frames,
        steps=sorted(story.steps, key=lambda step: step.at_ns),
        stages=[_with_holders(built, stage) for stage in stages],
        end=end,
        behind=None if story.behind is None else _with_holders(built, story.behind),
    )


def _with_holders(built: Built, stage: Stage) -> Stage:
    cpu = None if stage.cpu is None else built.machine.cpus[stage.cpu]
    if not isinstance(cpu, TracedCpu):
        return stage
    return structs.replace(stage, holders=cpu.log.holders(stage.begin_ns, stage.end_ns))


def dropped_packet(case: Case, drop: int, reason: str | None = None) -> int:
    """The packet that was the `drop`-th frame dropped (for `reason`), from 1, in the order in which the ledger counts them.

    That run goes at full speed: nothing is looked at but the drops.
    """
    option = f"--drop {drop}"
    wanted = None if reason is None else _reason(reason)
    if drop < 1:
        raise ConfigError(f"{option}: drops are counted from 1")
    built = case.build(Machine)
    scope = trio.CancelScope()
    counted = 0
    found = -1

    def dropped(skb: Skb, why: DropReason) -> None:
        nonlocal counted, found
        if found >= 0 or (wanted is not None and why is not wanted):
            return
        if counted < drop <= counted + skb.frames:
            numbers = [skb.number, *(segment.number for segment in skb.segments or ())]
            found = numbers[min(drop - counted, len(numbers)) - 1]
            scope.cancel()
        counted += skb.frames

    built.machine.ledger.on_drop = dropped
    run(built, scope)
    if found >= 0:
        return found + 1
    packets = _many(built.machine.ledger.arrived_frames, "packet")
    by_reason = {one.name: n for one, n in zip(DropReason, built.machine.ledger.dropped_frames, strict=True) if n}
    if not by_reason:
        raise ConfigError(f"{option}: nothing is dropped in this run of {packets}")
    there = ", ".join(f"{n} {name}" for name, n in by_reason.items())
    if wanted is not None and not counted:
        raise ConfigError(f"--reason {wanted.name}: nothing is dropped for it in this run, but {there}")
    raise ConfigError(f"{option}: this run of {packets} drops {counted}, write 1 to {counted} ({there})")


def _reason(name: str) -> DropReason:
    words = name.upper().removeprefix("SKB_DROP_REASON_").replace("-", "_")
    try:
        return DropReason[words]
    except KeyError:
        from difflib import get_close_matches

        near = get_close_matches(words, DropReason.__members__, 1, 0.0)[0]
        raise ConfigError(f"--reason {name!r}: no drop reason, the nearest is {near}") from None


def squeeze_story(case: Case, squeeze: int) -> SqueezeStory:
    """The story of time_squeeze number `squeeze` of the whole machine, from 1. ConfigError if there are fewer."""
    if squeeze < 1:
        raise ConfigError(f"--squeeze {squeeze}: squeezes are counted from 1")
    built = case.build()
    scope = trio.CancelScope()
    recorder = SqueezeRecorder(built, squeeze, scope.cancel)
    run(built, scope)
    story = recorder.story()
    if story is None:
        if not recorder.counted:
            raise ConfigError(
                f"--squeeze {squeeze}: no net_rx_action of this run ends on a limit, time_squeeze stays 0"
            )
        raise ConfigError(
            f"--squeeze {squeeze}: this run has {_many(recorder.counted, 'squeeze')}, write 1 to {recorder.counted}"
        )
    return story


def ask_flow(case: Case, flow: str, most: int = FLOW_PACKETS) -> FlowStory:
    """The story of a flow, named by its tuple: its first `most` packets. ConfigError with the nearest tuple if none arrives."""
    wanted = FlowTuple.parse(flow)
    built = case.build()
    found = 0

    def wants(skb: Skb) -> bool:
        nonlocal found
        if not wanted.matches(skb.hdr):
            return False
        found += 1
        return found <= most

    recorder = Recorder(built, wants, brief=True)
    run(built, trio.CancelScope())
    now_ns = built.machine.clock.reached_ns
    stories = [story for story in recorder.stories.values() if story.end is not None or story.arrived_ns <= now_ns]
    if not stories:
        raise ConfigError(f"--flow {flow!r}: no packet of it arrives in this run{nearest_flow(case.build(), wanted)}")
    return flow_story(built, stories, max(found - most, 0))


def _many(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
