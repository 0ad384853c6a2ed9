"""The hand that operates the replay machine: what it does with a machine that does not come to rest."""

from __future__ import annotations

import pytest

from cpus.cpu import NET_RX_SOFTIRQ
from emu.errors import InvariantError
from emu.headers import HeaderTable
from emu.rules import rules_for
from scenarios.conform import replay
from scenarios.conform.frames import udp_frame
from scenarios.conform.replay import Hand, Replay
from scenarios.conform.report import Impossible

TABLE = HeaderTable()


def machine(flush_ns: int = 0, deferrals: int = 0) -> Replay:
    made = Replay(rules_for("6.12"), 250, 4, TABLE)
    made.write("/sys/class/net/fn0/gro_flush_timeout", flush_ns)
    made.write("/sys/class/net/fn0/napi_defer_hard_irqs", deferrals)
    made.lay(0, udp_frame(TABLE, 1000, 7000, 74))
    return made


async def fire(hand: Hand) -> None:
    await hand.fire(1, [0])


def test_a_watchdog_that_is_soon_over_comes_to_rest() -> None:  # P6
    made = machine(flush_ns=1, deferrals=100)
    made.play(fire)
    assert made.device.napis[0].polls == 101


def test_a_machine_that_polls_for_an_hour_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:  # P6
    monkeypatch.setattr(replay, "LONGEST_BUSY_NS", 1_000_000)
    with pytest.raises(BaseExceptionGroup) as failure:
        machine(flush_ns=1, deferrals=(1 << 31) - 1).play(fire)
    assert failure.group_contains(Impossible, match=r"^work is left for cpu1 0\.001 s after a step$")


def test_timers_that_are_set_neither_keep_the_machine_from_rest_nor_the_replay_from_its_end() -> None:
    made = machine(flush_ns=20_000, deferrals=(1 << 31) - 1)

    async def script(hand: Hand) -> None:
        await fire(hand)
        await hand.sleep(hand.local_now_ns + 1_000_000)

    made.play(script)
    assert 40 <= made.device.napis[0].polls <= 51


def test_work_that_nobody_will_do_is_a_bug_of_ours() -> None:
    made = machine()

    async def forget(hand: Hand) -> None:
        made.cpus[2].raise_softirq_irqoff(NET_RX_SOFTIRQ)
        await hand.settle()

    with pytest.raises(BaseExceptionGroup) as failure:
        made.play(forget)
    assert failure.group_contains(InvariantError, match="^work is left for cpu2, which nobody will do$")
