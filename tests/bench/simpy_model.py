"""The baseline of `make bench`: the benchmark's topologies as a SimPy user would write them.

One generator process is the traffic, one process serves each ring (and, under RPS, each backlog), every queue is a
bounded `simpy.Store`, every stage one `env.timeout`, a packet is a plain tuple. Written for a fair comparison: no
process per packet, no waiting for a put that cannot block, and no batching either.

Where the model leaves something out, that is to SimPy's advantage:

- without RPS a packet stays on its CPU and meets no backlog, so `one_cpu` and `rss4` have none;
- under `rps`, CPU 0 serves its ring and its own backlog in two processes that do not exclude each other (a
  `simpy.Resource` for the CPU would cost further events per packet);
- there are no interrupts, IPIs, NAPI budget, headers or latency histograms.
"""

from __future__ import annotations

import random
import time
from collections.abc import Generator
from typing import Any, NamedTuple, TypeAlias

import simpy

FLOWS = 1000
FRAME_BYTES = 64
RING_PACKETS = 2048
BACKLOG_PACKETS = 1000

DRIVER_NS = 200
GRO_NS = 30
STEERING_NS = 60
PROTOCOL_NS = 600

# Mean offered rates at which, with the default costs, the serving CPUs are about 70 % busy. For `rps` that is CPU 0:
# 46 % for its ring and 24 % for its quarter of the protocol work.
DEFAULT_RATE_PPS = {"one_cpu": 800_000.0, "rss4": 3_000_000.0, "rps": 1_600_000.0}

# (flow, 32-bit receive hash, length in bytes, arrival in virtual ns)
Frame: TypeAlias = tuple[int, int, int, int]
Process: TypeAlias = Generator[simpy.Event, Any, None]


class Topology(NamedTuple):
    """`queues` receive queues, queue n on CPU n; `rps_cpus` CPUs (from 0) in the RPS map, 0 for no RPS."""

    queues: int
    rps_cpus: int


TOPOLOGIES = {"one_cpu": Topology(1, 0), "rss4": Topology(4, 0), "rps": Topology(1, 4)}


class SimpyResult(NamedTuple):
    """One run, until the last packet has left: `packets_offered == packets_delivered + dropped`.

    `wall_s` is the wall time of `env.run()` alone, `sim_ns` the virtual time at which the last packet was done.
    """

    packets_offered: int
    packets_delivered: int
    dropped: int
    wall_s: float
    sim_ns: int


class SimpyMachine:
    """The stores and the processes of one topology in one `simpy.Environment`."""

    def __init__(
        self,
        env: simpy.Environment,
        topology: Topology,
        driver_ns: int,
        gro_ns: int,
        steering_ns: int,
        protocol_ns: int,
    ) -> None:
        self.env = env
        self.driver_ns = driver_ns
        self.gro_ns = gro_ns
        self.steering_ns = steering_ns
        self.protocol_ns = protocol_ns
        self.delivered = 0
        self.dropped = 0
        self.rings = [simpy.Store(env, capacity=RING_PACKETS) for _ in range(topology.queues)]
        self.backlogs = [simpy.Store(env, capacity=BACKLOG_PACKETS) for _ in range(topology.rps_cpus)]
        for ring in self.rings:
            env.process(self.ring_to_backlogs(ring) if self.backlogs else self.ring_to_socket(ring))
        for backlog in self.backlogs:
            env.process(self.backlog_to_socket(backlog))

    def traffic(self, packets: int, rate_pps: float, rng: random.Random) -> Process:
        """Poisson arrivals of `packets` frames over `FLOWS` flows of equal weight; the hash chooses the ring."""
        env = self.env
        rings = self.rings
        hashes = [rng.getrandbits(32) for _ in range(FLOWS)]
        rate_per_ns = rate_pps / 1e9
        for _ in range(packets):
            yield env.timeout(round(rng.expovariate(rate_per_ns)))
            flow = rng.randrange(FLOWS)
            flow_hash = hashes[flow]
            self.put(rings[flow_hash % len(rings)], (flow, flow_hash, FRAME_BYTES, int(env.now)))

    def put(self, store: simpy.Store, frame: Frame) -> None:
        """Append to a store that has room; a full one drops and counts, nobody waits."""
        if len(store.items) < store.capacity:
            store.put(frame)
        else:
            self.dropped += 1

    def ring_to_socket(self, ring: simpy.Store) -> Process:
        """A CPU without RPS: every stage on the CPU that the ring's interrupt names."""
        env = self.env
        while True:
            yield ring.get()
            yield env.timeout(self.driver_ns)
            yield env.timeout(self.gro_ns)
            yield env.timeout(self.steering_ns)
            yield env.timeout(self.protocol_ns)
            self.delivered += 1

    def ring_to_backlogs(self, ring: simpy.Store) -> Process:
        """A CPU with RPS: up to steering here, then into the backlog of the CPU that the hash chooses."""
        env = self.env
        backlogs = self.backlogs
        while True:
            frame = yield ring.get()
            yield env.timeout(self.driver_ns)
            yield env.timeout(self.gro_ns)
            yield env.timeout(self.steering_ns)
            # The hash's upper bits scaled to the map, as RPS does.
            self.put(backlogs[frame[1] * len(backlogs) >> 32], frame)

    def backlog_to_socket(self, backlog: simpy.Store) -> Process:
        """The target's half of RPS."""
        env = self.env
        while True:
            yield backlog.get()
            yield env.timeout(self.protocol_ns)
            self.delivered += 1


def run(
    topology: str,
    packets: int,
    rate_pps: float | None = None,
    seed: int = 1,
    *,
    driver_ns: int = DRIVER_NS,
    gro_ns: int = GRO_NS,
    steering_ns: int = STEERING_NS,
    protocol_ns: int = PROTOCOL_NS,
) -> SimpyResult:
    """Offer `packets` frames at a mean of `rate_pps` (None: the topology's default) and run until all have left.

    `topology` is a key of `TOPOLOGIES`, another raises KeyError. All but `wall_s` is a function of the arguments.
    """
    if rate_pps is None:
        rate_pps = DEFAULT_RATE_PPS[topology]
    env = simpy.Environment()
    machine = SimpyMachine(env, TOPOLOGIES[topology], driver_ns, gro_ns, steering_ns, protocol_ns)
    env.process(machine.traffic(packets, rate_pps, random.Random(f"{seed}/traffic")))
    started = time.perf_counter()
    env.run()
    wall_s = time.perf_counter() - started
    return SimpyResult(packets, machine.delivered, machine.dropped, wall_s, int(env.now))
