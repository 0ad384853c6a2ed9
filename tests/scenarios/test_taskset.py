"""The command `taskset`, and processes that leave CPUs."""

from __future__ import annotations

import random

import pytest

from emu.errors import ControlError
from scenarios.build import Built
from tests.scenario_kit import document, finish, make, play
from tests.twin import TwinMachine

BOX = """
[machine]
cpus = 4
[nic]
queues = 1
affinity = "0"
[[traffic]]
rate_pps = 200000
flows = 10
stop = "3500us"
[[app]]
name = "reader"
protocol = "udp"
port = 5001
kind = "reader"
cpus = 1
work_ns = 1000
threads = 2
[[app]]
name = "hog"
kind = "burner"
cpus = "1-2"
[run]
duration = "4ms"
"""


def at(*events: tuple[int, str]) -> str:
    return BOX + "".join(f"\n[[at]]\ntime = '{time_ns}ns'\ndo = ['{line}']\n" for time_ns, line in events)


def ran(built: Built) -> dict[str, int]:
    return {one.process.name: one.process.cpu.index for one in built.threads}


def test_a_running_process_leaves_a_cpu_that_it_may_no_longer_use() -> None:
    built = play(at((1_000_000, "taskset -cp 3 hog")))
    assert ran(built)["hog"] == 3
    user_ns = finish(built).cpus[3].accounts.user_ns
    assert 2_950_000 < user_ns < 3_000_000


def test_a_sleeping_process_wakes_up_on_its_new_cpu() -> None:
    built = play(at((1_000_000, "taskset -p 8 reader")))
    assert ran(built) == {"reader/0": 3, "reader/1": 3, "hog": ran(built)["hog"]}
    assert built.user.done[0].printed == (
        "pid reader/0's current affinity mask: 2\npid reader/1's current affinity mask: 2\n"
        "pid reader/0's new affinity mask: 8\npid reader/1's new affinity mask: 8\n"
    )


def test_one_thread_of_several_may_be_named() -> None:
    built = play(at((1_000_000, "taskset -cp 2-3 reader/1"), (3_000_000, "taskset -cp reader")))
    assert built.user.done[1].printed == (
        "pid reader/0's current affinity list: 1\npid reader/1's current affinity list: 2-3\n"
    )
    assert built.user.done[1].asked


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("taskset -cp 9 hog", "9"),
        ("taskset -p 0 hog", "none of these CPUs is online"),
        ("taskset -p f hig", "the nearest is hog"),
        ("taskset f hog", "for processes that run"),
        ("taskset -x f hog", "for processes that run"),
        ("taskset -p zz hog", "zz"),
        ("taskset -p", "for processes that run"),
        ("taskset -cp 1 2 hog", "for processes that run"),
    ],
)
def test_a_bad_taskset_is_refused_and_changes_nothing(line: str, words: str) -> None:
    built = make(BOX)
    before = [thread.process.allowed for thread in built.threads]
    with pytest.raises(ControlError, match=words) as refused:
        built.user.commands.run(line)
    assert refused.value.errno_name in ("EINVAL", "ESRCH")
    assert [thread.process.allowed for thread in built.threads] == before


@pytest.mark.parametrize("line", ["taskset -p hog", "taskset -cp hog", "taskset -c -p hog", "taskset -p -a hog"])
def test_a_question_is_one_however_its_flags_are_written(line: str) -> None:
    assert make(BOX).user.commands.asks(line)
    assert not make(BOX).user.commands.asks(line.replace("hog", "1 hog"))


def test_a_cpu_that_is_offline_is_refused_alone_and_taken_with_others() -> None:
    off = (500_000, "echo 0 > /sys/devices/system/cpu/cpu3/online")
    with pytest.raises(BaseExceptionGroup):
        play(at(off, (1_000_000, "taskset -cp 3 hog")))
    assert ran(play(at(off, (1_000_000, "taskset -cp 2-3 hog"))))["hog"] == 2


LINES = (
    "taskset -cp 0 hog",
    "taskset -cp 2,3 hog",
    "taskset -cp 3 reader",
    "taskset -cp 0-1 reader/0",
    "taskset -cp 1,2 reader/1",
    "echo 0 > /sys/devices/system/cpu/cpu2/online",
    "echo 1 > /sys/devices/system/cpu/cpu2/online",
    "echo e > /sys/class/net/eth0/queues/rx-0/rps_cpus",
)


@pytest.mark.parametrize("seed", range(6))
def test_moves_lose_nothing_and_the_slow_twin_moves_alike(seed: int) -> None:
    rng = random.Random(seed)
    text = at(*sorted((rng.randrange(1, 3_900_000), rng.choice(LINES)) for _ in range(6)))

    def slow_down(built: Built) -> None:
        assert isinstance(built.machine, TwinMachine)
        built.machine.slow_down(built.stack)

    assert document(play(text)) == document(play(text, machine=TwinMachine, prepare=slow_down))
