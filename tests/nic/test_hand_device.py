"""The hand-operated device: FIRE, HOLD, RELEASE, what a driver calls, how its skbs are laid out."""

from __future__ import annotations

import pytest

from emu.headers import HeaderTable
from emu.rules import rules_for
from emu.skb import CHECKSUM_UNNECESSARY, HASH_L3, HASH_L4, HASH_NONE
from nic.hand_device import ENTRIES, NETIF_RX, Layout, split_at
from scenarios.conform.frames import tcp_frame, udp_frame
from scenarios.conform.replay import Hand, Replay

TABLE = HeaderTable()
UDP = udp_frame(TABLE, 1000, 7000, 74)


def replay(release: str = "6.12") -> Replay:
    return Replay(rules_for(release), 250, 4, TABLE)


def test_nothing_moves_until_fire() -> None:
    machine = replay()

    async def script(hand: Hand) -> None:
        machine.lay(0, UDP)
        await hand.sleep(hand.local_now_ns + 1_000_000_000)
        assert machine.seen == []
        await hand.fire(2, [0])

    machine.play(script)
    assert [seen.cpu for seen in machine.seen] == [2]
    assert [event.kind for event in machine.device.log] == ["irq", "poll", "in", "pollend"]


def test_a_batch_is_one_poll_up_to_the_weight() -> None:
    machine = replay()
    for _ in range(70):
        machine.lay(3, UDP)

    async def script(hand: Hand) -> None:
        await hand.fire(1, [3])

    machine.play(script)
    assert [event.what["work"] for event in machine.device.log if event.kind == "pollend"] == [64, 6]


def test_queues_are_polled_in_the_order_they_were_fired_in() -> None:
    machine = replay()
    for queue in range(3):
        machine.lay(queue, UDP)

    async def script(hand: Hand) -> None:
        await hand.fire(0, [2, 0, 1])

    machine.play(script)
    assert [event.what["queue"] for event in machine.device.log if event.kind == "poll"] == [2, 0, 1]


def test_hold_lets_interrupts_in_and_softirqs_wait_until_release() -> None:
    machine = replay()
    machine.lay(0, UDP)

    async def script(hand: Hand) -> None:
        await hand.hold(1)
        await hand.fire(1, [0])
        assert machine.cpus[1].hardirqs == 1
        assert machine.seen == []
        await hand.release(1)
        assert len(machine.seen) == 1

    machine.play(script)
    assert machine.cpus[1].ksoftirqd_wakeups == 0, "what was held runs inline at RELEASE"


def test_holds_nest() -> None:
    machine = replay()
    machine.lay(0, UDP)

    async def script(hand: Hand) -> None:
        await hand.hold(1)
        await hand.hold(1)
        await hand.fire(1, [0])
        await hand.release(1)
        assert machine.seen == []
        await hand.release(1)

    machine.play(script)
    assert len(machine.seen) == 1


@pytest.mark.parametrize("entry", ENTRIES)
def test_every_entry_takes_packets_to_the_stack(entry: str) -> None:
    machine = replay()
    machine.enter_by(entry)
    machine.lay(0, UDP)

    async def script(hand: Hand) -> None:
        await hand.fire(1, [0])

    machine.play(script)
    assert [seen.cpu for seen in machine.seen] == [1]
    through_backlog = machine.net.softnet[1].input_queue_head
    assert through_backlog == (entry == NETIF_RX)


def test_what_the_descriptor_says_is_on_the_skb() -> None:
    machine = replay()
    machine.device.layout = Layout(CHECKSUM_UNNECESSARY)
    machine.lay(1, UDP, 7, HASH_L3, 0x8100 << 16 | 5)
    machine.lay(1, UDP, 0, HASH_L4)
    machine.lay(1, UDP)
    cpu = machine.cpus[2]
    skbs = [machine.device.skb_of(laid, 1, cpu) for laid in machine.device.napis[1].ring]
    assert [(skb.hash, skb.hash_kind) for skb in skbs] == [(7, HASH_L3), (0, HASH_L4), (0, HASH_NONE)]
    assert skbs[0].vlan_tci == 0x81000005
    assert {skb.rx_queue for skb in skbs} == {1}
    assert {skb.alloc_cpu for skb in skbs} == {2}
    assert {skb.ip_summed for skb in skbs} == {CHECKSUM_UNNECESSARY}


def test_small_frames_are_charged_1280_bytes() -> None:  # K7
    machine = replay()
    machine.lay(0, UDP)
    assert machine.device.skb_of(machine.device.napis[0].ring[0], 0, machine.cpus[0]).truesize_bytes == 1280


def test_a_split_frame_has_its_headers_in_the_head() -> None:
    machine = replay()
    machine.device.layout = Layout(split=True, fragment_bytes=2048)
    data = tcp_frame(TABLE, 1000, 2000, 1000, 154)
    machine.lay(0, data)
    skb = machine.device.skb_of(machine.device.napis[0].ring[0], 0, machine.cpus[0])
    assert (skb.split, skb.frags) == (True, 1)
    assert skb.truesize_bytes == 1280 + 2048
    assert split_at(data) == 54
    assert split_at(UDP) == 42
    assert split_at(b"\0" * 60) == 60


def test_frames_on_queues_are_in_the_ledger() -> None:
    machine = replay()
    machine.lay(0, UDP)
    machine.ledger.check(0)
    assert machine.ledger.held()["fn0"] == 1
