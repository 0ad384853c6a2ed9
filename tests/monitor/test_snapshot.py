"""The snapshot: what it refuses on the way in, and what it notices."""

from __future__ import annotations

import msgspec
import pytest

from monitor.identities import broken_identities
from monitor.snapshot import SCHEMA_VERSION, Snapshot
from tests.monitor.machine import MadeUpMachine


def made_up() -> Snapshot:
    machine = MadeUpMachine()
    machine.advance(50_000_000)
    return machine.snapshot()


def test_a_snapshot_survives_json_and_msgpack() -> None:
    snapshot = made_up()
    assert msgspec.json.decode(msgspec.json.encode(snapshot), type=Snapshot) == snapshot
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(snapshot), type=Snapshot) == snapshot
    assert msgspec.json.decode(msgspec.json.encode(snapshot))["schema_version"] == SCHEMA_VERSION


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("totals", "arrived_frames"), -1),
        (("totals", "surprise"), 1),
        (("meta", "speed"), -2.0),
        (("meta", "scenario"), "x" * 5000),
        (("cpus", 0, "processed"), "many"),
        (("queues", 0, "ring_fill"), 1.5),
    ],
)
def test_a_document_that_lies_about_its_shape_is_refused(path: tuple[str | int, ...], value: object) -> None:
    document = msgspec.json.decode(msgspec.json.encode(made_up()))
    at = document
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(msgspec.json.encode(document), type=Snapshot)


def test_nothing_is_broken_in_a_sound_machine() -> None:
    assert broken_identities(made_up()) == []


def test_a_frame_in_no_account_is_told() -> None:
    sound = made_up()
    totals = msgspec.structs.replace(sound.totals, read_frames=sound.totals.read_frames - 1)
    arrived = sound.totals.arrived_frames
    assert broken_identities(msgspec.structs.replace(sound, totals=totals)) == [
        f"{arrived} frames arrived, {arrived - 1} are accounted for",
        f"{totals.read_frames} frames were read, {totals.read_frames + 1} came to applications",
    ]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"squeeze_time": 10_000}, "by time"),
        ({"time_squeeze": 0, "squeeze_budget": 0, "squeeze_time": 0, "squeeze_with_work_left": 1}, "left work"),
    ],
)
def test_squeezes_that_do_not_add_up_are_told(changes: dict[str, int], words: str) -> None:
    sound = made_up()
    cpus = (sound.cpus[0], msgspec.structs.replace(sound.cpus[1], **changes), *sound.cpus[2:])
    broken = broken_identities(msgspec.structs.replace(sound, cpus=cpus))
    assert len(broken) == 1
    assert broken[0].startswith("cpu1: ")
    assert words in broken[0]


def test_a_lost_nanosecond_and_an_overfull_ring_are_told() -> None:
    sound = made_up()
    accounts = msgspec.structs.replace(sound.cpus[3].accounts, idle_ns=sound.cpus[3].accounts.idle_ns - 1)
    cpus = (*sound.cpus[:3], msgspec.structs.replace(sound.cpus[3], accounts=accounts), *sound.cpus[4:])
    queues = (msgspec.structs.replace(sound.queues[0], ring_size=511), *sound.queues[1:])
    assert broken_identities(msgspec.structs.replace(sound, cpus=cpus, queues=queues)) == [
        "cpu3: its accounts hold 49999999 ns at 50000000 ns",
        "rx-0: 512 frames in a ring of 511",
    ]


def test_a_flow_that_its_counters_do_not_confirm_is_told() -> None:
    sound = made_up()
    queue = sound.queues[1]
    wrong = (sound.queues[0], msgspec.structs.replace(queue, packets=queue.packets + 1), *sound.queues[2:])
    broken = broken_identities(msgspec.structs.replace(sound, queues=wrong))
    assert len(broken) == 1
    assert "came into rings" in broken[0]

    row = sound.steering[1]
    targets = ((row.targets[0][0], row.targets[0][1] + 1), *row.targets[1:])
    steering = (sound.steering[0], msgspec.structs.replace(row, targets=targets), *sound.steering[2:])
    assert broken_identities(msgspec.structs.replace(sound, steering=steering)) == [
        f"rx-1: {queue.skbs} skbs, {queue.skbs + 1} of them were steered"
    ]

    cpus = (msgspec.structs.replace(sound.cpus[0], processed=sound.cpus[0].processed + 1), *sound.cpus[1:])
    broken = broken_identities(msgspec.structs.replace(sound, cpus=cpus))
    assert len(broken) == 1
    assert "the CPUs know of" in broken[0]
