"""Many CPUs run, idle ones cost nothing, and memory does not grow with the packets that have passed."""

from __future__ import annotations

import gc
import sys
import tracemalloc
from collections.abc import Callable
from statistics import fmean

import pytest
import trio

from scenarios.machine import Sampler
from tests.scenario_kit import document, finish, make, play

SECOND_NS = 1_000_000_000


def wide(cpus: int, queues: int, packets: int, more: str = "") -> str:
    """Every queue spread over all CPUs, a reader each."""
    masks = ",".join(["ffffffff"] * (cpus // 32))
    steering = "".join(f'"/sys/class/net/eth0/queues/rx-{queue}/rps_cpus" = "{masks}"\n' for queue in range(queues))
    return f"""
[machine]
cpus = {cpus}
nodes = 4
[nic]
queues = {queues}
[set]
{steering}
[[traffic]]
rate_pps = 20_000_000
packets = {packets}
flows = 1000
[[app]]
kind = "reader"
protocol = "udp"
port = 5001
threads = {cpus}
sockets = "each"
cpus = [{", ".join(map(str, range(cpus)))}]
{more}
"""


def test_sixty_four_cpus_and_queues_steer_to_each_other() -> None:
    built = play(wide(64, 64, 6000))
    softnet = built.machine.net.softnet
    assert all(sd.processed for sd in softnet)
    assert all(ring.polled for ring in built.nic.rings)
    assert sum(sd.received_rps for sd in softnet) > 1000
    assert finish(built).totals.read_frames == 6000


def test_sixty_four_cpus_repeat_to_the_byte() -> None:
    text = wide(64, 64, 2000)
    assert document(play(text)) == document(play(text))


def test_the_last_of_256_cpus_takes_an_interrupt_and_wakes_its_reader() -> None:
    built = play(
        """
[machine]
cpus = 256
nodes = 8
[nic]
queues = 1
affinity = [255]
[[traffic]]
rate_pps = 100_000
packets = 50
[[app]]
kind = "reader"
protocol = "udp"
port = 5001
cpus = 254
"""
    )
    assert finish(built).totals.read_frames == 50
    assert built.machine.cpus[255].hardirqs
    assert built.machine.cpus[254].context_switches
    assert not any(cpu.hardirqs or cpu.context_switches for cpu in built.machine.cpus[:254])


def test_an_idle_machine_of_256_cpus_takes_no_turns_for_1000_seconds() -> None:
    built = make('[machine]\ncpus = 256\n[run]\nduration = "1000s"\n')
    trio.run(built.machine.run, built.until_ns)
    taken = finish(built)
    assert taken.meta.now_ns == 1000 * SECOND_NS
    # One turn for each CPU's beginning, the NIC's and the end's.
    assert built.machine.clock.turns <= 2 * (256 + 3)
    assert all(cpu.accounts.idle_ns == 1000 * SECOND_NS for cpu in taken.cpus)


def test_idle_cpus_cost_no_turns_while_one_works() -> None:
    def turns(cpus: int) -> int:
        built = play(
            f"""
[machine]
cpus = {cpus}
[nic]
queues = 1
[[traffic]]
rate_pps = 500_000
packets = 2000
[[app]]
protocol = "udp"
port = 5001
"""
        )
        return built.machine.clock.turns

    assert turns(256) - turns(2) <= 2 * 254


def test_readers_that_wait_for_nothing_cost_no_turns() -> None:
    built = make(wide(64, 64, 1, '[run]\nduration = "100s"\n'))
    trio.run(built.machine.run, built.until_ns)
    assert finish(built).meta.now_ns == 100 * SECOND_NS
    assert built.machine.clock.turns < 64 * 20


def udp_load(packets: int) -> str:
    """More than the machine can take, so that every queue is as full as it gets."""
    return f"""
[machine]
cpus = 2
[nic]
queues = 1
ring = 256
[set]
"/sys/class/net/eth0/queues/rx-0/rps_cpus" = "2"
[[traffic]]
rate_pps = 3_500_000
packets = {packets}
flows = 500
[[app]]
kind = "reader"
protocol = "udp"
port = 5001
cpus = 0
"""


def tcp_load(packets: int) -> str:
    """Streams whose reader keeps up."""
    return f"""
[machine]
cpus = 2
[nic]
queues = 1
[[traffic]]
protocol = "tcp"
pattern = "trains"
rate_pps = 400_000
packets = {packets}
flows = 20
size = 1518
[[app]]
kind = "reader"
protocol = "tcp"
port = 5001
cpus = 1
"""


class Gauge:
    """Looks at the memory in use at a tenth and at nine tenths of a run, and traces what is allocated in the last tenth."""

    def __init__(self, end_ns: int) -> None:
        self.blocks: list[int] = []
        """Blocks of memory in use, at each tenth."""
        self.kept_bytes = 0
        """Bytes that were allocated in the last tenth and are still in use at its end."""
        self._end_ns = end_ns

    def look(self, now_ns: int) -> None:
        """The sampler's call, every tenth."""
        gc.collect()
        tenth = round(10 * now_ns / self._end_ns)
        self.blocks.append(sys.getallocatedblocks())
        if tenth == 9:
            tracemalloc.start()
        elif tenth == 10:
            self.kept_bytes, _ = tracemalloc.get_traced_memory()
            tracemalloc.stop()


@pytest.mark.parametrize(("load", "rate_pps", "packets"), [(udp_load, 3_500_000, 100_000), (tcp_load, 400_000, 60_000)])
def test_memory_does_not_grow_with_the_packets(load: Callable[[int], str], rate_pps: int, packets: int) -> None:
    built = make(load(packets * 21 // 20))
    machine = built.machine
    tenth_ns = SECOND_NS * packets // rate_pps // 10
    gauge = Gauge(10 * tenth_ns)
    machine.add(Sampler(machine.rank(), machine.clock, tenth_ns, gauge.look))
    try:
        trio.run(machine.run, 10 * tenth_ns)
    finally:
        tracemalloc.stop()
    assert finish(built).totals.arrived_frames >= packets * 19 // 20
    assert len(gauge.blocks) == 10
    # A frame that was kept would take a block and 200 bytes at least.
    assert fmean(gauge.blocks[5:10]) - fmean(gauge.blocks[:5]) < packets // 2 // 2
    # What a ring and a chunk of arrivals hold, and no more: every frame of the last tenth kept would be 200 bytes each at least.
    assert 0 < gauge.kept_bytes < 100 * packets // 10
