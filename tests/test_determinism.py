"""The same scenario and seed give the same bytes: again, in another process, at another pace, however often somebody looks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import trio
import trio.lowlevel

from emu.clock import NEVER
from scenarios.build import Built
from scenarios.machine import Sampler
from scenarios.observe import snapshot
from tests.scenario_kit import document, make, play

ROOT = Path(__file__).parents[1]

MIXED = """
[machine]
cpus = 4
nodes = 2
[nic]
queues = 3
[set]
"net.core.rps_sock_flow_entries" = 128
"net.core.netdev_max_backlog" = 40
"net.core.flow_limit_cpu_bitmap" = "f"
"/sys/class/net/eth0/queues/rx-0/rps_cpus" = "f"
"/sys/class/net/eth0/queues/rx-0/rps_flow_cnt" = 64
"/sys/class/net/eth0/queues/rx-1/rps_cpus" = "c"
[[traffic]]
name = "datagrams"
rate_pps = 1_500_000
packets = 1500
flows = 60
[[traffic]]
name = "streams"
protocol = "tcp"
pattern = "trains"
rate_pps = 600_000
packets = 600
flows = 9
size = 1000
[[traffic]]
name = "nowhere"
rate_pps = 200_000
packets = 100
dst_port = 9
[[app]]
kind = "reader"
protocol = "udp"
port = 5001
threads = 3
work_ns = 400
[[app]]
kind = "reader"
protocol = "tcp"
port = 5001
threads = 2
[[app]]
kind = "burner"
[run]
duration = "3ms"
"""


def test_twenty_runs_in_one_process_give_the_same_bytes() -> None:
    """trio starts runnable tasks in an order of its own each time."""
    assert len({document(play(MIXED, 5)) for _ in range(20)}) == 1


def test_another_seed_gives_other_numbers() -> None:
    first, other = (play(MIXED, seed) for seed in (5, 6))
    assert document(first).replace(b'"seed":5', b"") != document(other).replace(b'"seed":6', b"")
    assert first.machine.net.latencies.total.total != other.machine.net.latencies.total.total


def _run_in_process(path: Path, hash_seed: str, *options: str) -> bytes:
    environment = os.environ | {"PYTHONHASHSEED": hash_seed}
    command = [sys.executable, "-m", "scenarios.cli", "run", str(path), "--seed", "5", *options]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=True, timeout=60).stdout


def test_processes_with_other_hash_seeds_print_the_same_document(tmp_path: Path) -> None:
    path = tmp_path / "mixed.toml"
    path.write_text(MIXED)
    documents = {_run_in_process(path, hash_seed, "--json") for hash_seed in ("0", "1", "4711")}
    assert len(documents) == 1
    assert b'"schema_version"' in documents.pop()


def _sampled(interval_ns: int) -> Built:
    built = make(MIXED, 5)
    machine = built.machine
    looks: list[int] = []

    def look(now_ns: int) -> None:
        looks.append(snapshot(built, now_ns).totals.arrived_frames)

    machine.add(Sampler(machine.rank(), machine.clock, interval_ns, look))
    trio.run(machine.run, built.until_ns)
    assert looks == sorted(looks) and looks[-1] > 0
    return built


@pytest.mark.parametrize("interval_ns", [1_777, 100_000, 1_000_000])
def test_a_sampler_that_looks_at_everything_changes_nothing(interval_ns: int) -> None:
    assert document(_sampled(interval_ns)) == document(play(MIXED, 5))


class JerkyPace:
    """Lets virtual time pass in uneven steps, with real checkpoints between them."""

    ends_when_quiet = True

    def __init__(self, steps_ns: tuple[int, ...]) -> None:
        self._steps_ns = steps_ns
        self._limit_ns = 0
        self.waits = 0

    @property
    def limit_ns(self) -> int:
        """Turns up to here may be granted now."""
        return self._limit_ns

    async def wait(self, next_ns: int) -> None:
        """Grow by the next step, or up to the next turn if nothing happens for longer."""
        self._limit_ns += self._steps_ns[self.waits % len(self._steps_ns)]
        if NEVER > next_ns > self._limit_ns + 1_000_000:
            self._limit_ns = next_ns
        self.waits += 1
        await trio.lowlevel.checkpoint()


@pytest.mark.parametrize("steps_ns", [(1_000,), (1, 333, 50_000), (777_777, 3)])
def test_a_pace_that_holds_time_back_changes_nothing(steps_ns: tuple[int, ...]) -> None:
    built = make(MIXED, 5)
    pace = JerkyPace(steps_ns)
    trio.run(built.machine.run, built.until_ns, pace)
    assert pace.waits > 3
    assert document(built) == document(play(MIXED, 5))


def test_tasks_that_only_pass_time_beside_the_machine_change_nothing() -> None:
    """Checkpoints of the machine let others run; what they do between turns is not the machine's matter."""
    built = make(MIXED, 5)
    switches = 0

    async def idle() -> None:
        nonlocal switches
        while True:
            switches += 1
            await trio.lowlevel.checkpoint()

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(idle)
            await built.machine.run(built.until_ns)
            nursery.cancel_scope.cancel()

    trio.run(main)
    assert switches > 10
    assert document(built) == document(play(MIXED, 5))


def test_batch_lines_are_the_same_in_two_processes(tmp_path: Path) -> None:
    path = tmp_path / "mixed.toml"
    path.write_text(MIXED)
    assert _run_in_process(path, "2", "--batch") == _run_in_process(path, "3", "--batch")
