"""Laws of the trace: it changes nothing, and every packet has a whole story that ends where the ledger says."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from hypothesis import given, settings

from emu.dropreason import DropReason
from scenarios.build import Built
from scenarios.why.document import CONSUMED, DROPPED, HELD, READ, PacketStory
from tests.random_scenarios import scenario_texts
from tests.scenario_kit import document, play
from tests.test_slow_twin import CONFIGURATIONS, FEW, HOTPLUG
from tests.why_kit import record

SHORT = {
    "one queue overloaded": 1200,
    "threaded napi, free to move, with rps": 300,
    "rps all to all, sink": 300,
    "rps to the own cpu": 300,
    "small buffer, reader elsewhere": 400,
    "small buffer, reader elsewhere, 6.18": 400,
    "rfs, readers move, 6.18": 300,
    "rfs, all flows in one slot": 300,
    "flow limit and an elephant": 700,
    "tcp trains over rps": 400,
    "tcp readers with epoll, each": 300,
    "captured traffic over rps, 6.12": 300,
    "two nodes": 300,
}
"""Configuration -> packets of each source: enough for what it is about."""
STAGES = ("ring", "gro", "steering", "backlog", "protocol", "fragments", "socket")


def check_story(story: PacketStory) -> None:
    """It begins on the wire, goes on without a gap, never back in time, and its waits add up."""
    at_ns = story.arrived_ns
    for stage in story.stages:
        assert stage.begin_ns == at_ns
        assert stage.end_ns >= at_ns, (story.packet, stage)
        assert stage.name in STAGES
        if stage.cpu is not None:
            assert sum(holder.ns for holder in stage.holders) == stage.end_ns - stage.begin_ns, (story.packet, stage)
        at_ns = stage.end_ns
    assert at_ns == story.end.at_ns
    times = [step.at_ns for step in story.steps]
    assert times == sorted(times)
    assert (story.steps[0].function, times[0]) == ("wire", story.arrived_ns)
    assert times[-1] <= story.end.at_ns, story
    assert story.packet in story.frames


def check_conservation(built: Built, stories: dict[int, PacketStory]) -> None:
    """The stories' ends are the ledger's accounts, frame for frame."""
    ledger = built.machine.ledger
    assert sorted(stories) == list(range(1, ledger.arrived_frames + 1))
    ends = Counter(story.end.account for story in stories.values())
    assert ends[READ] == ledger.read_frames
    assert ends[CONSUMED] == ledger.consumed_frames
    assert ends[HELD] == sum(ledger.held().values())
    reasons = Counter(story.end.reason for story in stories.values() if story.end.account == DROPPED)
    assert reasons == {reason.name: n for reason, n in zip(DropReason, ledger.dropped_frames, strict=True) if n}


def check_latencies(built: Built, stories: dict[int, PacketStory]) -> None:
    """Waits in the ring and on the whole way are those of the histograms."""
    latencies = built.machine.net.latencies
    picked = [
        stage.end_ns - stage.begin_ns for story in stories.values() for stage in story.stages[:1] if story.stages[1:]
    ]
    rings = sum(picked) - sum(
        story.stages[0].end_ns - story.stages[0].begin_ns for story in stories.values() if story.end.reason == "ring"
    )
    assert (rings, max(picked, default=0)) == (latencies.ring.total, latencies.ring.maximum)
    whole = [
        story.total_ns for story in stories.values() if story.end.account == READ and story.frames[0] == story.packet
    ]
    assert (sum(whole), len(whole)) == (latencies.total.total, latencies.total.count)


@pytest.mark.parametrize("name", SHORT)
def test_a_trace_changes_nothing_and_every_packet_has_its_story(name: str) -> None:
    text = re.sub(r"packets = \d+", f"packets = {SHORT[name]}", CONFIGURATIONS[name])
    plain = document(play(text, 7))
    built, stories = record(text, 7)
    assert document(built) == plain
    for story in stories.values():
        check_story(story)
    check_conservation(built, stories)
    check_latencies(built, stories)


@settings(FEW, max_examples=15)
@given(scenario_texts(max_packets=150))
def test_every_packet_of_a_random_run_has_a_story_that_ends_in_its_account(text: str) -> None:
    plain = document(play(text, 3))
    built, stories = record(text, 3)
    assert document(built) == plain
    for story in stories.values():
        check_story(story)
    check_conservation(built, stories)


def test_stories_go_on_while_cpus_queues_and_rings_come_and_go() -> None:
    text, writes = HOTPLUG["an rps target goes and comes"]
    text = (
        text.replace("packets = 5000", "packets = 2600")
        + """
[[at]]
time = "600us"
do = ["ethtool -L eth0 combined 1"]
[[at]]
time = "800us"
do = ["ethtool -L eth0 combined 2", "ethtool -G eth0 rx 128"]
"""
    )
    plain = document(play(text, 7, writes=writes))
    built, stories = record(text, 7, writes=writes)
    assert document(built) == plain
    for story in stories.values():
        check_story(story)
    check_conservation(built, stories)
    functions = Counter(step.function for story in stories.values() for step in story.steps)
    assert functions["dev_cpu_dead"]
    assert {"EMU_CPU_OFFLINE", "NIC_RESET"} & {story.end.reason for story in stories.values()}
