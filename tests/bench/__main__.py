"""`make bench`: packets per wall second against an idiomatic SimPy model of the same topology, in the same run.

Each topology is run in pairs, softnet and SimPy in turn, because a shared machine's speed drifts; the figure that counts is the
median of the pairs' ratios. Then what a frame of the screen costs, cost per packet from 10 thousand to 2 million packets, and memory.
"""

from __future__ import annotations

import argparse
import gc
import resource
import statistics
import sys
import time
from pathlib import Path
from typing import Final

import trio

from scenarios.build import Built, build
from scenarios.load import parse_scenario
from tests.bench import simpy_model
from tests.bench.screen import screen_cost

PACKETS: Final = 150_000
PAIRS: Final = 5
GOAL: Final = 2.5
FLAT_FACTOR: Final = 1.5
"""A further packet of the longest run may cost so many times one of a short run: what a shared machine's noise takes."""
FLAT_MIB: Final = 16

SCENARIO: Final = """
[machine]
cpus = {cpus}
[nic]
queues = {queues}
adaptive_rx = false
rx_usecs = 50
{settings}
[[traffic]]
protocol = "tcp"
pattern = "poisson"
flows = 1000
size = 64
rate_pps = {rate}
packets = {packets}
[[app]]
kind = "sink"
protocol = "tcp"
port = 5001
"""

RPS: Final = '[set]\n"/sys/class/net/eth0/queues/rx-0/rps_cpus" = "f"'
TOPOLOGIES: Final = {
    "one_cpu": (1, 1, "", 1_300_000),
    "rss4": (4, 4, "", 5_000_000),
    "rps": (4, 1, RPS, 2_300_000),
}
"""Name -> CPUs, queues, settings, packets a virtual second: about 90 % of what the busiest CPU can take."""


def machine(topology: str, packets: int) -> Built:
    """softnet's machine for `topology`."""
    cpus, queues, settings, rate = TOPOLOGIES[topology]
    text = SCENARIO.format(cpus=cpus, queues=queues, settings=settings, rate=rate, packets=packets)
    loaded = parse_scenario(text, f"bench {topology}", Path())
    return build(loaded.scenario, loaded.origin, seed=1)


def softnet_pps(topology: str, packets: int) -> float:
    """Packets per wall second of a whole run; building the machine is not counted."""
    built = machine(topology, packets)
    gc.collect()
    start = time.perf_counter()
    trio.run(built.machine.run, built.until_ns)
    elapsed = time.perf_counter() - start
    ledger = built.machine.ledger
    dropped = sum(ledger.dropped_frames)
    assert ledger.read_frames + ledger.consumed_frames + dropped == packets, "not every packet came to its end"
    assert dropped * 100 < packets, f"{topology}: {dropped} of {packets} packets dropped, the rate is too high"
    return packets / elapsed


def simpy_pps(topology: str, packets: int) -> float:
    """The same for the SimPy model."""
    gc.collect()
    result = simpy_model.run(topology, packets)
    assert result.packets_delivered + result.dropped == packets
    return packets / result.wall_s


def compare(packets: int, pairs: int) -> bool:
    """Print the ratios. True if every topology reaches the goal."""
    print(f"packets per wall second, {packets} packets a run, median of {pairs} pairs (goal: {GOAL} times SimPy)")
    print(f"{'topology':10} {'softnet':>10} {'simpy':>10} {'ratio':>7} {'least':>7} {'most':>7}")
    reached = True
    for topology in TOPOLOGIES:
        rows = [(softnet_pps(topology, packets), simpy_pps(topology, packets)) for _ in range(pairs)]
        ratios = [ours / theirs for ours, theirs in rows]
        median = statistics.median(ratios)
        reached = reached and median >= GOAL
        print(
            f"{topology:10} {statistics.median(row[0] for row in rows):10.0f} "
            f"{statistics.median(row[1] for row in rows):10.0f} {median:7.2f} {min(ratios):7.2f} {max(ratios):7.2f}"
        )
    return reached


def growth(most: int) -> bool:
    """Print time per packet and peak memory as the number of packets grows. True if both stay flat once the machine runs.

    What counts is a further packet: the time that a run takes longer than the shorter one before it, start-up left out. It is processor
    time, because a shared machine's neighbours do not belong to it.
    """
    print("\ncost per packet and memory (rss4)")
    print(f"{'packets':>10} {'us/packet':>10} {'us/further':>10} {'peak MiB':>9}")
    further_us: list[float] = []
    peaks_mib: list[float] = []
    packets, before, before_s = 10_000, 0, 0.0
    while packets <= most:
        started = time.process_time()
        softnet_pps("rss4", packets)
        taken_s = time.process_time() - started
        peaks_mib.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        further_us.append(1e6 * (taken_s - before_s) / (packets - before))
        print(f"{packets:10} {1e6 * taken_s / packets:10.2f} {further_us[-1]:10.2f} {peaks_mib[-1]:9.0f}")
        before, before_s = packets, taken_s
        packets *= 10 if packets < 1_000_000 else 2
    if len(further_us) < 3:
        return True
    # The first run pays for all flows' first packets; what comes after is compared with the second.
    slower = further_us[-1] / further_us[1]
    grown_mib = peaks_mib[-1] - peaks_mib[1]
    print(
        f"a further packet costs {slower:.2f} times what it did at 100000 (at most {FLAT_FACTOR}), "
        f"memory grew by {grown_mib:.0f} MiB (at most {FLAT_MIB})"
    )
    return slower <= FLAT_FACTOR and grown_mib <= FLAT_MIB


def main() -> int:
    """Run all of it. Exit code 1 if the goal is missed, or if cost or memory grows with the number of packets."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__.splitlines()[0])
    parser.add_argument("--packets", type=int, default=PACKETS)
    parser.add_argument("--pairs", type=int, default=PAIRS)
    parser.add_argument("--most", type=int, default=2_000_000, help="largest run of the growth table; 0 leaves it out")
    arguments = parser.parse_args()
    reached = compare(arguments.packets, arguments.pairs)
    reached = screen_cost() and reached
    flat = growth(arguments.most) if arguments.most else True
    return 0 if reached and flat else 1


if __name__ == "__main__":
    sys.exit(main())
