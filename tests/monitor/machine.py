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
    ProcessStatistics,
    QueueStatistics,
    Snapshot,
    SocketStatistics,
    SteeringRow,
    Totals,
)

STAGES = ("ring", "gro", "backlog", "protocol", "socket", WHOLE_WAY)
FRAMES_PER_SKB = 2
BINS = tuple((1000 * 2**step, 2 ** (10 - step)) for step in range(11))


class MadeUpMachine:
    """Counters that grow by seeded random steps; CPU 2 is in trouble, queue 0 overflows, RPS sends half of rx-0 to CPU 2."""

    def __init__(self, cpus: int = 8, queues: int = 8, nodes: int = 2, seed: int = 42) -> None:
        self.random = random.Random(f"{seed}/made-up")
        self.nodes = nodes
        self.trouble = min(2, cpus - 1)
        self.now_ns = 0
        self.seed = seed
        self.spent = [[0] * 6 for _ in range(cpus)]
        self.counters = [[0] * 7 for _ in range(cpus)]
        """By budget, by time, work left, received_rps, IPIs, flow limit, hardirqs."""
        self.steered = [[0] * cpus for _ in range(queues)]
        self.refused = [0] * cpus
        self.qlen = [0] * cpus
        self.queue_counters = [[0] * 6 for _ in range(queues)]
        self.fill = [0] * queues
        self.consumed = self.socket_drops = self.in_sockets = self.steps = 0
        self.knobs = {
            "net.core.netdev_budget": "300",
            "net.core.netdev_budget_usecs": "8000",
            "net.core.dev_weight": "64",
            "net.core.netdev_max_backlog": "1000",
            "net.core.rps_sock_flow_entries": "0",
            "ethtool -G eth0 rx": "512",
            "ethtool -C eth0 rx-usecs": "25",
            "ethtool -K eth0 gro": "on",
            **{
                f"/sys/class/net/eth0/queues/rx-{q}/rps_cpus": "0e" if q < 4 and cpus > 3 else "0"
                for q in range(queues)
            },
        }
        self.speed: float | None = 0.25
        self.paused = False
        self.finished = False
        self.events: list[Event] = []

    def advance(self, step_ns: int) -> None:
        """Let `step_ns` pass."""
        rng = self.random
        self.now_ns += step_ns
        self.steps += 1
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
            ipis = step_ns // 40000
            steps = (budget, time, (budget + time) // 2, ipis // 3 if i else 0, 0 if i else ipis, 0, step_ns // 100000)
            self.counters[i] = [a + b for a, b in zip(counters, steps, strict=True)]
        for q, counts in enumerate(self.queue_counters):
            packets = step_ns // (1500 + 900 * q)
            skbs = packets // FRAMES_PER_SKB
            steps6 = (packets // 50, packets // 20, packets, skbs, packets // 100, packets // 40 if not q else 0)
            self.queue_counters[q] = [a + b for a, b in zip(counts, steps6, strict=True)]
            self.fill[q] = 512 if q == 0 else 200 // q
            targets = [i for i in range(len(self.spent)) if i != 7 and (i // 4 == q // 4 or len(self.spent) < 8)]
            heavy = self.trouble if q == 0 else targets[q % len(targets)]
            for i in targets:
                self.steered[q][i] += skbs // (2 * len(targets))
                skbs_left = skbs - len(targets) * (skbs // (2 * len(targets)))
            self.steered[q][heavy] += skbs_left
        # The troubled backlog fills up and then refuses a tenth of what comes.
        got = sum(row[self.trouble] for row in self.steered)
        self.qlen[self.trouble] = min(1001, got // 2)
        self.refused[self.trouble] = got // 10
        self.in_sockets = rng.randrange(90) if got > 1000 else 0
        self.socket_drops = sum(counts[3] for counts in self.queue_counters) // 900
        self.consumed = sum(counts[2] for counts in self.queue_counters) // 50
        by_time = self.counters[self.trouble][1]
        self.events.append(Event(self.now_ns, self.trouble, f"time_squeeze {by_time} by time, work left"))
        if self.queue_counters:
            self.events.append(
                Event(self.now_ns, None, f"rx-0 is full: 512 frames wait, the device drops pkt {self.steps}")
            )

    def snapshot(self) -> Snapshot:
        """The numbers now."""
        queues = len(self.queue_counters)
        polled = sum(counts[2] for counts in self.queue_counters)
        lost = sum(counts[5] for counts in self.queue_counters)
        dropped = {
            "CPU_BACKLOG": FRAMES_PER_SKB * sum(self.refused),
            "NIC_RING_FULL": lost,
            "SOCKET_RCVBUFF": self.socket_drops,
        }
        held = {
            "eth0": sum(self.fill) + polled % FRAMES_PER_SKB,
            "backlog": FRAMES_PER_SKB * sum(self.qlen),
            "sockets": self.in_sockets,
        }
        arrived = polled + sum(self.fill) + lost
        read = arrived - sum(dropped.values()) - sum(held.values()) - self.consumed
        skbs = sum(counts[3] for counts in self.queue_counters)
        processed = skbs - sum(self.refused) - sum(self.qlen)
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
            totals=Totals(arrived, arrived * 680, read, self.consumed, dropped, held),
            cpus=tuple(self._cpu(i) for i in range(len(self.spent))),
            queues=tuple(
                QueueStatistics(
                    index=q,
                    ring_size=512,
                    ring_fill=self.fill[q],
                    irq=34 + q,
                    cpu=self._irq_cpu(q),
                    irqs=counts[0],
                    polls=counts[1],
                    packets=counts[2],
                    skbs=counts[3],
                    full_polls=counts[4],
                    drops=counts[5],
                    polling=q < 3,
                    itr_us=25.0,
                    adaptive=q == 4,
                    sampled=counts[2] // 61,
                    top_flows=(
                        ("udp 10.0.0.9:443 > 10.0.0.1:51312", counts[2] // (130 if q == 0 else 1300)),
                        ("udp 10.0.0.8:443 > 10.0.0.1:51312", counts[2] // 1400),
                    ),
                )
                for q, counts in enumerate(self.queue_counters)
            ),
            latencies=tuple(
                Latency(
                    stage,
                    read,
                    18_000 * (i + 1),
                    40_000 * (i + 1),
                    410_000,
                    2_100_000,
                    3_000_000,
                    read * 20_000,
                    tuple((bound * (i + 1), many * self.steps) for bound, many in BINS),
                )
                for i, stage in enumerate(STAGES)
            ),
            snmp={"Ip.InDelivers": processed},
            events=tuple(self.events[-50:]),
            sockets=(SocketStatistics("reader", 1, read * 600, self.socket_drops, self.in_sockets),),
            processes=(ProcessStatistics("reader", 1, self.now_ns // 2, 7, 7),),
            steering=tuple(
                SteeringRow(q, self._irq_cpu(q), tuple((i, skbs) for i, skbs in enumerate(row) if skbs))
                for q, row in enumerate(self.steered)
            ),
            knobs=dict(self.knobs),
        )

    def _irq_cpu(self, q: int) -> int:
        return 0 if q < 4 else min(4, len(self.spent) - 1)

    def _cpu(self, i: int) -> CpuStatistics:
        counters = self.counters[i]
        return CpuStatistics(
            index=i,
            node=i * self.nodes // len(self.spent),
            online=i != 7,
            accounts=Accounts(*self.spent[i]),
            processed=sum(row[i] for row in self.steered) - self.refused[i] - self.qlen[i],
            dropped=self.refused[i],
            time_squeeze=counters[0] + counters[1],
            squeeze_budget=counters[0],
            squeeze_time=counters[1],
            squeeze_with_work_left=counters[2],
            received_rps=counters[3],
            ipis_sent=counters[4],
            flow_limit_count=counters[5],
            input_qlen=self.qlen[i],
            process_qlen=0,
            ksoftirqd_running=i == self.trouble,
            ksoftirqd_wakeups=counters[2],
            hardirqs=counters[6],
            context_switches=counters[2] * 2,
            current="reader" if i in (1, 3) else "",
            softirq_counts={"NET_RX": counters[6], "TIMER": 3},
        )
