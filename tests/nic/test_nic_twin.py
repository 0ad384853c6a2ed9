"""A NIC whose CPUs wait for their turn at every charge does the same as one whose polls run ahead."""

from __future__ import annotations

import random

import pytest

from emu.headers import HeaderTable
from scenarios.machine import Machine
from softirq.rps import set_rps_cpus
from tests.nic.rig import Rig, frame, udp_headers
from tests.twin import TwinMachine


def outcome(machine: type[Machine], seed: int, rps: bool) -> object:
    stream = random.Random(f"{seed}/twin traffic")
    table = HeaderTable()
    flows = [udp_headers(number, table=table) for number in range(16)]
    frames = [frame(stream.choice(flows), stream.randrange(300_000)) for _ in range(800)]
    rig = Rig(
        frames,
        cpus=3,
        queues=3,
        vectors=2,
        descriptors=64,
        rx_usecs=stream.choice((0, 10, 50)),
        adaptive_rx=stream.random() < 0.3,
        machine=machine,
        deliver_skb=stream.randrange(300),
        enqueue_to_backlog=50,
        backlog_dequeue=70,
        ipi_send=100,
        ipi_receive=400,
    )
    if rps:
        for queue in rig.dev.queues:
            set_rps_cpus(rig.net, queue, 0b111)
    rig.run(2_000_000)
    return (
        sorted(rig.irqs),
        sorted((cpu, time, skb.number, skb.rx_ns) for cpu, time, skb in rig.received),
        rig.nic.statistics(),
        [(sd.processed, sd.dropped, sd.time_squeeze, sd.received_rps) for sd in rig.net.softnet],
        [cpu.accounts.at(2_000_000) for cpu in rig.cpus],
        rig.net.latencies.ring.bins(),
    )


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("rps", [False, True])
def test_the_slow_twin_interrupts_polls_and_drops_alike(seed: int, rps: bool) -> None:
    assert outcome(Machine, seed, rps) == outcome(TwinMachine, seed, rps)
