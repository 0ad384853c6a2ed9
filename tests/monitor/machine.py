"""Made-up machines for the tests of the views: their numbers add up, and nothing else about them is claimed."""

from __future__ import annotations

import random

from monitor.snapshot import (
    WHOLE_WAY,
    Accounts,
    CpuStatistics,
    Event,
    Latency,
    Meta,
    QueueStatistics,
    Snapshot,
    Totals,
)

STAGES = ("ring", "gro", "backlog", "ip", "socket", WHOLE_WAY)


class MadeUpMachine:
    """Counters that grow by seeded random steps; CPU 2 is in trouble, queue 0 overflows."""

    def __init__(self, cpus: int = 8, queues: int = 8, nodes: int = 2, seed: int = 42) -> None:
        self.random = random.Random(f"{seed}/made-up")
        self.nodes = nodes
        self.trouble = min(2, cpus - 1)
        self.now_ns = 0
        self.seed = seed
        self.spent = [[0] * 6 for _ in range(cpus)]
        self.counters = [[0] * 9 for _ in range(cpus)]
        self.queue_counters = [[0] * 6 for _ in range(queues)]
        self.arrived = self.arrived_bytes = self.read = self.consumed = 0
        self.dropped = {"CPU_BACKLOG": 0, "NIC_RING_FULL": 0, "SOCKET_RCVBUFF": 0}
        self.held = {"rings": 0, "backlogs": 0, "sockets": 0}
        self.speed: float | None = 0.25
        self.paused = False
        self.finished = False
        self.events: list[Event] = []

    def advance(self, step_ns: int) -> None:
        """Let `step_ns` pass."""
        rng = self.random
        self.now_ns += step_ns
        for i, (spent, counters) in enumerate(zip(self.spent, self.counters, strict=True)):
            if i == 7:
                continue
            busy = 1.0 if i == self.trouble else rng.random() ** 2
            left = step_ns
            for account, share in ((0, 0.1), (1, 0.5), (2, 0.1 if i == self.trouble else 0.0), (3, 0.1), (4, 0.1)):
                part = int(step_ns * share * busy)
                spent[account] += part
                left -= part
            spent[5] += left
            budget = rng.randrange(3) if i == self.trouble else 0
            time = rng.randrange(10) if i in (0, self.trouble) else 0
            steps = (
                step_ns // 2000,
                step_ns // 15000 if i == self.trouble else 0,
                budget,
                time,
                (budget + time) // 2,
                step_ns // 90000 if i else 0,
                0 if i else step_ns // 40000,
                0,
                step_ns // 100000,
            )
            self.counters[i] = [a + b for a, b in zip(counters, steps, strict=True)]
        for q, counts in enumerate(self.queue_counters):
            packets = step_ns // (1500 + 900 * q)
            steps6 = (
                packets // 50,
                packets // 20,
                packets,
                packets // 2,
                packets // 100,
                packets // 40 if not q else 0,
            )
            self.queue_counters[q] = [a + b for a, b in zip(counts, steps6, strict=True)]
        # Enough for what the queues may gain in a step, so that nobody reads a negative number of frames.
        arrived = 2000 + step_ns // 400 + rng.randrange(step_ns // 4000 + 1)
        before = sum(self.held.values())
        self.held = {"rings": rng.randrange(600), "backlogs": 1001, "sockets": rng.randrange(90)}
        losses = {"CPU_BACKLOG": arrived // 40, "NIC_RING_FULL": arrived // 41, "SOCKET_RCVBUFF": arrived // 900}
        for reason, count in losses.items():
            self.dropped[reason] += count
        out = arrived - sum(losses.values()) - (sum(self.held.values()) - before)
        self.arrived += arrived
        self.arrived_bytes += arrived * 680
        self.consumed += out // 50
        self.read += out - out // 50
        self.events.append(
            Event(self.now_ns, self.trouble, f"time_squeeze {self.counters[self.trouble][3]} by time, work left")
        )

    def snapshot(self) -> Snapshot:
        """The numbers now."""
        queues = len(self.queue_counters)
        return Snapshot(
            meta=Meta(
                scenario="prod-a.toml",
                nic="eth0",
                queues=queues,
                rules="6.9",
                hz=250,
                seed=self.seed,
                now_ns=self.now_ns,
                speed=self.speed,
                paused=self.paused,
                finished=self.finished,
                open_loop_capture=True,
                settings_hash="6f1c",
                command="softnet run prod-a.toml --seed 42",
            ),
            totals=Totals(
                self.arrived, self.arrived_bytes, self.read, self.consumed, dict(self.dropped), dict(self.held)
            ),
            cpus=tuple(self._cpu(i) for i in range(len(self.spent))),
            queues=tuple(
                QueueStatistics(
                    index=q,
                    ring_size=512,
                    ring_fill=512 if q == 0 else 200 // q,
                    irq=34 + q,
                    cpu=0 if q < 4 else min(4, len(self.spent) - 1),
                    irqs=counts[0],
                    polls=counts[1],
                    packets=counts[2],
                    skbs=counts[3],
                    full_polls=counts[4],
                    drops=counts[5],
                    polling=q < 3,
                    itr_us=25.0,
                    adaptive=q == 4,
                )
                for q, counts in enumerate(self.queue_counters)
            ),
            latencies=tuple(
                Latency(
                    stage,
                    self.read,
                    18_000 * (i + 1),
                    40_000 * (i + 1),
                    410_000,
                    2_100_000,
                    3_000_000,
                    self.read * 20_000,
                )
                for i, stage in enumerate(STAGES)
            ),
            snmp={"UdpInDatagrams": self.read, "UdpRcvbufErrors": self.dropped["SOCKET_RCVBUFF"], "UdpInErrors": 0},
            events=tuple(self.events[-50:]),
        )

    def _cpu(self, i: int) -> CpuStatistics:
        counters = self.counters[i]
        return CpuStatistics(
            index=i,
            node=i * self.nodes // len(self.spent),
            online=i != 7,
            accounts=Accounts(*self.spent[i]),
            processed=counters[0],
            dropped=counters[1],
            time_squeeze=counters[2] + counters[3],
            squeeze_budget=counters[2],
            squeeze_time=counters[3],
            squeeze_with_work_left=counters[4],
            received_rps=counters[5],
            ipis_sent=counters[6],
            flow_limit_count=counters[7],
            input_qlen=1001 if i == self.trouble else 0,
            process_qlen=0,
            ksoftirqd_running=i == self.trouble,
            ksoftirqd_wakeups=counters[4],
            hardirqs=counters[8],
            context_switches=counters[4] * 2,
            current="reader" if i in (1, 3) else "",
            softirq_counts={"NET_RX": counters[8], "TIMER": 3},
        )
