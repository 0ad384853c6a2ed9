"""The user: commands at virtual times, and live ones that can be repeated to the byte."""

from __future__ import annotations

import random
from contextlib import suppress

import msgspec
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from emu.errors import ConfigError, ControlError
from scenarios.build import Built
from tests.scenario_kit import document, finish, make, play

BOX = """
[machine]
cpus = 4
[nic]
queues = 2
[[traffic]]
rate_pps = 900000
flows = 40
[[traffic]]
name = "second"
rate_pps = 50000
protocol = "tcp"
flows = 3
[[app]]
protocol = "udp"
port = 5001
kind = "reader"
cpus = 3
work_ns = 500
[run]
duration = "3ms"
"""

RPS = "/sys/class/net/eth0/queues/rx-0/rps_cpus"


def at(*events: tuple[int, str]) -> str:
    return BOX + "".join(
        f"\n[[at]]\ntime = '{time_ns}ns'\ndo = [{msgspec.json.encode(line).decode()}]\n" for time_ns, line in events
    )


def counted(built: Built) -> bytes:
    """The document, but for what tells of the commands and the scenario's hash."""
    built.user.done.clear()
    taken = finish(built)
    meta = msgspec.structs.replace(taken.meta, settings_hash="")
    return msgspec.json.encode(msgspec.structs.replace(taken, meta=meta), order="deterministic")


def test_a_command_acts_from_its_time_on() -> None:
    built = play(at((1_000_000, f"echo 4 > {RPS}")))
    plain = play(BOX)
    assert plain.machine.net.softnet[2].received_rps == 0
    assert built.machine.net.softnet[2].received_rps > 0
    assert [(done.at_ns, done.line, done.live) for done in built.user.done] == [(1_000_000, f"echo 4 > {RPS}", False)]


def test_commands_of_one_time_are_run_in_the_order_of_the_file() -> None:
    built = play(at((1_000_000, f"echo 4 > {RPS}"), (1_000_000, f"echo 2 > {RPS}"), (500_000, f"cat {RPS}")))
    assert [done.line for done in built.user.done] == [f"cat {RPS}", f"echo 4 > {RPS}", f"echo 2 > {RPS}"]
    assert built.machine.tree.read(RPS) == "2\n"
    assert built.user.done[0].printed == "0\n"
    assert built.user.done[0].asked


def test_a_command_comes_after_all_else_of_its_nanosecond() -> None:
    """Counters read at 1 ms are those of a run that ends at 1 ms."""
    read = play(at((1_000_000, "cat /proc/net/softnet_stat"))).user.done[0].printed
    ended = play(BOX.replace("3ms", "1ms"))
    assert ended.machine.tree.read("/proc/net/softnet_stat") == read


def test_a_command_at_the_end_of_the_run_is_run() -> None:
    assert len(play(at((3_000_000, f"cat {RPS}"))).user.done) == 1


def test_a_command_that_still_waits_for_a_cpu_at_the_end_is_told() -> None:
    """CPU 0 is in the midst of a poll."""
    off = "echo 0 > /sys/devices/system/cpu/cpu0/online"
    flood = at((3_000_000, off), (3_000_000, f"echo 2 > {RPS}")).replace("rate_pps = 900000", "rate_pps = 6000000")
    built = play(flood)
    assert [done.line for done in built.user.done] == [off]
    (left,) = built.user.left()
    assert "at[1].do[0]: at 3ms" in left


def test_an_unknown_command_is_told_before_the_run_with_its_place() -> None:
    with pytest.raises(
        ConfigError, match=r"scenario.toml:\d+: at\[0\].do\[0\]: ENOENT: 'ecko' is no command here: the nearest is echo"
    ):
        make(at((1000, f"ecko 4 > {RPS}")))


def test_a_refused_command_ends_the_run_with_its_place_and_errno() -> None:
    with pytest.raises(BaseExceptionGroup) as group:
        play(at((1000, f"echo 99 > {RPS}"), (2000, f"echo zz > {RPS}")))
    (error,) = group.value.exceptions
    assert isinstance(error, ConfigError)
    assert "at[0].do[0]: at 1us, 'echo 99 >" in str(error)
    assert "EINVAL" in str(error) or "EOVERFLOW" in str(error)


class StepPace:
    """Virtual time grows by a step each time somebody waits."""

    ends_when_quiet = True

    def __init__(self, steps: random.Random) -> None:
        self._steps = steps
        self.limit_ns = 0

    async def wait(self, next_ns: int) -> None:
        await trio.lowlevel.checkpoint()
        self.limit_ns += self._steps.randrange(20_000)


LINES = (
    f"echo f > {RPS}",
    f"echo 0 > {RPS}",
    "echo 8 > /sys/class/net/eth0/queues/rx-1/rps_cpus",
    "sysctl -w net.core.netdev_max_backlog=20",
    "sysctl -w net.core.netdev_budget=64",
    "echo 2 > /proc/irq/32/smp_affinity",
    "echo 0 > /proc/irq/33/smp_affinity_list",
    "echo 0 > /sys/devices/system/cpu/cpu2/online",
    "echo 1 > /sys/devices/system/cpu/cpu2/online",
    "cat /proc/net/softnet_stat",
    "rate traffic0 2x",
    "rate traffic0 0x",
    "rate second 30x",
)


def play_live(lines: list[str], pauses: list[int], seed: int) -> Built:
    """Play BOX while somebody types `lines`, each after so many checkpoints."""
    built = make(BOX)

    async def person() -> None:
        for line, pause in zip(lines, pauses, strict=True):
            for _ in range(pause):
                await trio.lowlevel.checkpoint()
            with suppress(ControlError):
                await built.user.command(line)

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(person)
            await built.machine.run(built.until_ns, StepPace(random.Random(seed)))
            built.user.finish()

    trio.run(main)
    return built


@settings(max_examples=8, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(LINES), st.integers(0, 60)), min_size=1, max_size=6),
    st.integers(0, 1000),
)
def test_live_commands_repeated_at_their_times_give_the_same_run(typed: list[tuple[str, int]], seed: int) -> None:
    live = play_live([line for line, _ in typed], [pause for _, pause in typed], seed)
    # A question is answered at once, even while a CPU goes offline: in a script it would wait.
    done = [(d.at_ns, d.line) for d in live.user.done if not d.asked]
    again = play(at(*done))
    assert [(d.at_ns, d.line) for d in again.user.done] == done
    assert counted(again) == counted(live)


def test_after_the_run_one_may_read_but_not_write() -> None:
    built = play(BOX)
    built.user.finish()

    async def main() -> None:
        assert await built.user.command(f"cat {RPS}") == "0\n"
        with pytest.raises(ControlError, match="the run is over"):
            await built.user.command(f"echo 1 > {RPS}")
        with pytest.raises(ControlError, match="the run is over"):
            await built.user.write(RPS, "1\n")

    trio.run(main)
    assert built.machine.tree.read(RPS) == "0\n"


def test_a_refused_live_command_reaches_who_gave_it_and_the_run_goes_on() -> None:
    built = play_live(["echo zz > " + RPS, "echo 1 > /nowhere", "nonsense"], [0, 3, 3], 1)
    assert built.user.done == []
    assert counted(built) == counted(play(BOX))


def test_a_write_through_a_file_system_is_logged_as_the_command_that_repeats_it() -> None:
    built = make(BOX)

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(built.user.write, RPS, "4\n")
            await built.machine.run(built.until_ns, StepPace(random.Random(1)))
            built.user.finish()

    trio.run(main)
    (done,) = built.user.done
    assert done.line == f"echo 4 > {RPS}"
    assert counted(play(at((done.at_ns, done.line)))) == counted(built)


def test_the_document_lists_the_commands() -> None:
    assert f'"line":"cat {RPS}","printed":"0\\n","asked":true,"live":false'.encode() in document(
        play(at((5, f"cat {RPS}")))
    )


def test_what_follows_a_hotplug_waits_until_the_cpu_is_there() -> None:
    online = "/sys/devices/system/cpu/cpu3/online"
    script = [f"echo 0 > {online}", "cat /sys/devices/system/cpu/online", f"echo 1 > {online}", f"cat {online}"]
    script += [f"echo 8 > {RPS}", f"cat {RPS}", "echo 8 > /proc/irq/32/smp_affinity"]
    built = play(at(*((1_000_000, line) for line in script)))
    assert [done.line for done in built.user.done] == script
    assert [done.printed for done in built.user.done if done.asked] == ["0-2\n", "1\n", "8\n"]
    told = [event.text for event in built.machine.net.events.last(256) if event.cpu == 3]
    assert [text for text in told if "line" in text] == ["goes offline", "comes online"]
    assert built.nic.vectors[0].cpu == 3


def test_the_word_ethtool_is_not_written_twice() -> None:
    with pytest.raises(ConfigError, match=r"ethtool\[0\]: write what comes behind the word ethtool"):
        make('ethtool = ["ethtool -C eth0 rx-usecs 20"]\n' + BOX)
