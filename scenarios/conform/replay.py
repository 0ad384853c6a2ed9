"""The machine that recordings are replayed on: whatever `run` uses, and a hand that operates it.

Models: an 8-CPU guest with the test NIC fn0 (10.0.0.1/24, fd00::1) and a probe where a packet tap sits; the machine comes to rest
between steps (K7).
Leaves out: everything about the formats of recordings.

The hand is an actor like any other: its steps are interrupts, control writes and processes at its own times, which lie behind
everything that the machine still does on its own account. Timers that are set do not keep it from being at rest.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass
from errno import ENOENT
from typing import Any, Final

import trio

from cpus.cpu import Cpu, Wakeup
from cpus.interrupts import Interrupt
from cpus.process import Process, Step
from emu.clock import KIND_USER, NEVER, Actor
from emu.dropreason import DropReason
from emu.errors import ControlError, InvariantError
from emu.headers import HeaderTable
from emu.profiles import profile_for
from emu.rules import Rules
from emu.skb import HASH_L4, Skb
from netstack.stack import NetStack
from netstack.udp_sock import UdpSocket
from nic.hand_device import ENTRIES, HandDevice, Hold, Release
from scenarios.conform.report import Impossible, NotJudged
from scenarios.machine import Machine
from softirq.controls import contribute_device
from softirq.softnet_data import SoftnetData

DEVICE_MAC: Final = bytes.fromhex("020000000001")
DEVICE_ADDRESSES: Final = (bytes([10, 0, 0, 1]), bytes.fromhex("fd000000000000000000000000000001"))
DEVICE_BROADCAST: Final = bytes([10, 0, 0, 255])
QUEUES: Final = 8
START_NS: Final = 1_000_000_000
"""When the first step comes; the beginning of a jiffy at every HZ but 300."""
LONGEST_SLEEP_NS: Final = 3_600_000_000_000
LONGEST_BUSY_NS: Final = 1_000_000_000
"""A machine that works longer after one step is given up: real ones, too, poll for an hour with a gro_flush_timeout of 1 ns and 2^31
deferrals."""
STEP_NS: Final = 1_000
"""Between two steps."""


@dataclass
class Seen:
    """An skb at the probe."""

    cpu: int
    at_ns: int
    skb: Skb


class Hand(Actor):
    """Operates a machine step by step: `script(hand)` is a coroutine that awaits `settle` and `sleep`."""

    kind = KIND_USER

    def __init__(self, replay: Replay, script: Callable[[Hand], Awaitable[None]]) -> None:
        super().__init__("hand", replay.rank())
        self.replay = replay
        self._script = script

    async def run(self) -> None:
        """The actor."""
        clock = self.replay.clock
        await clock.enter(self, START_NS, is_open=False)
        await self._script(self)
        self.replay.end()
        clock.leave()

    async def settle(self) -> None:
        """Return when the machine is at rest: no CPU has anything to do before its next timer, nothing is under way.

        Raises Impossible for one that works for more than LONGEST_BUSY_NS, InvariantError when work is left that nobody will do.
        """
        clock = self.replay.clock
        began_ns = self.local_now_ns
        while True:
            self.local_now_ns += STEP_NS
            await clock.synchronise(self)
            if self.replay.at_rest():
                return
            next_ns = clock.next_turn_ns()
            if next_ns == NEVER:
                raise InvariantError(f"{self.replay.restless()}, which nobody will do")
            if self.local_now_ns - began_ns > LONGEST_BUSY_NS:
                raise Impossible(f"{self.replay.restless()} {LONGEST_BUSY_NS / 1e9:g} s after a step")
            if self.local_now_ns < next_ns:
                self.local_now_ns = next_ns

    async def sleep(self, until_ns: int) -> None:
        """Let time pass until `until_ns`, with what its timers cause. Raises Impossible beyond an hour."""
        if until_ns - self.local_now_ns > LONGEST_SLEEP_NS:
            raise Impossible("a wait of more than an hour")
        if until_ns > self.local_now_ns:
            self.local_now_ns = until_ns
            await self.replay.clock.synchronise(self)
        await self.settle()

    async def fire(self, cpu: int, queues: list[int]) -> None:
        """FIRE, and wait until the machine is at rest."""
        if any(not 0 <= queue < QUEUES for queue in queues):
            raise Impossible(f"FIRE of queues {queues}: the device has {QUEUES}")
        self.replay.device.fire(self.replay.cpu(cpu), queues, self.local_now_ns + 1, self.rank)
        await self.settle()

    async def hold(self, cpu: int) -> None:
        """HOLD a CPU's softirqs."""
        await self._interrupt(cpu, Hold())

    async def release(self, cpu: int) -> None:
        """RELEASE a CPU's softirqs, and wait until the machine is at rest."""
        if not self.replay.cpu(cpu).bh_disabled:
            raise Impossible(f"RELEASE of CPU {cpu}, which is not held")
        await self._interrupt(cpu, Release())

    async def _interrupt(self, cpu: int, interrupt: Interrupt) -> None:
        self.replay.cpu(cpu).send(interrupt, self.local_now_ns + 1, self.rank)
        await self.settle()

    async def set_online(self, cpu: int, online: bool) -> None:
        """Take a CPU offline or back."""
        self.replay.hotplug.set_online(self.replay.cpu(cpu).index, online, self.local_now_ns + 1, self.rank)
        await self.settle()

    async def read(self, cpu: int, sock: UdpSocket) -> list[Skb]:
        """Let a thread on `cpu` call recv() until there is nothing left. The last call returns EAGAIN."""
        got: list[Skb] = []

        def body() -> Generator[Step, None, None]:
            while True:
                taken = yield from sock.recvmsg(process, block=False)
                if not taken:
                    return
                got.extend(taken)

        process = Process("reader", None, 1 << cpu, self.replay.cpu(cpu))
        process.body = body()
        process.is_ksoftirqd = False
        self.replay.cpus[cpu].send(Wakeup(process, False), self.local_now_ns + 1, self.rank)
        await self.settle()
        return got


class Replay(Machine):
    """A machine of `cpus` CPUs under `rules`, with the test NIC and the protocol stack."""

    def __init__(
        self, rules: Rules, hz: int, cpus: int, table: HeaderTable | None = None, mac: bytes = DEVICE_MAC
    ) -> None:
        super().__init__([0] * cpus, rules, hz, profile_for("default").resolve(), seed=1)
        self.device = HandDevice(self.net, "fn0", mac, QUEUES, HeaderTable() if table is None else table)
        self.dev = self.device.dev
        self.dev.local_addresses.update(DEVICE_ADDRESSES)
        self.dev.broadcast_addresses.add(DEVICE_BROADCAST)
        contribute_device(self.tree, self.net, self.dev)
        self.stack = NetStack(self.net)
        self.seen: list[Seen] = []
        """What the probe saw, in the order of the emulator's turns (CPUs work ahead of each other)."""
        self.probe: Callable[[Cpu, Skb], None] | None = None
        """Called for each skb while it is at the probe."""
        self.dropped: dict[int, DropReason] = {}
        """Number of a frame -> why it was dropped."""
        self.steers: list[tuple[int, int, int]] = []
        """Calls of ndo_rx_flow_steer: (queue, flow id, hash)."""
        self.net.taps.append(self.tap)
        self.ledger.on_drop = self._dropped

    def tap(self, sd: SoftnetData, skb: Skb) -> None:
        """The probe."""
        self.seen.append(Seen(sd.index, sd.cpu.local_now_ns, skb))
        if self.probe is not None:
            self.probe(sd.cpu, skb)

    def _dropped(self, skb: Skb, reason: DropReason) -> None:
        self.dropped[skb.number] = reason

    def at_rest(self) -> bool:
        """No CPU works, and nothing but timers is on its way. Softirqs that are held may be pending."""
        return not self.clock.posts_waiting() and all(_idle(cpu) for cpu in self.cpus)

    def restless(self) -> str:
        """What keeps the machine from being at rest."""
        busy = [cpu.name for cpu in self.cpus if not _idle(cpu)]
        return f"work is left for {', '.join(busy) or 'the clock'}"

    def play(self, script: Callable[[Hand], Awaitable[None]]) -> None:
        """Operate the machine by `script`, to whose end it runs, and check that no frame was lost or doubled. A machine plays once."""
        self.add(Hand(self, script))
        trio.run(self.run)
        self.ledger.check(self.clock.now_ns)

    def lay(self, queue: int, data: bytes, hash_: int | None = None, hash_kind: int = HASH_L4, vlan: int = -1) -> int:
        """Put a frame on a queue, as `HandDevice.lay`. Raises Impossible."""
        if not 0 <= queue < QUEUES:
            raise Impossible(f"queue {queue}: the device has {QUEUES}")
        if hash_ is not None and not 0 <= hash_ < 1 << 32:
            raise Impossible(f"hash {hash_} has more than 32 bits")
        return self.device.lay(queue, data, hash_, hash_kind, vlan)

    def enter_by(self, entry: str) -> None:
        """Let the driver hand packets over by the function `entry`. Raises Impossible."""
        if entry not in ENTRIES:
            raise Impossible(f"the driver cannot call {entry[:40]!r}: {', '.join(ENTRIES)}")
        self.device.entry = entry

    def cpu(self, index: int) -> Cpu:
        """CPU `index`. Raises Impossible."""
        if not 0 <= index < len(self.cpus):
            raise Impossible(f"CPU {index}: the machine has {len(self.cpus)}")
        return self.cpus[index]

    def write(self, path: str, value: Any) -> None:
        """Write a control file or sysctl. Raises Impossible, NotJudged for one that softnet does not have."""
        try:
            self.tree.write(path, str(value))
        except ControlError as error:
            if error.errno == ENOENT:
                raise NotJudged(f"softnet has no {path}") from error
            raise Impossible(str(error)) from error

    def write_queues(self, name: str, value: Any) -> None:
        """Write the file `name` of every receive queue."""
        for queue in range(QUEUES):
            self.write(f"/sys/class/net/fn0/queues/rx-{queue}/{name}", value)

    def accelerate(self) -> None:
        """Accelerated RFS: ntuple filters on, queue q nearest to CPU q, calls of the driver kept in `steers`."""

        def steer(skb: Skb, rxq: int, flow_id: int) -> int:
            self.steers.append((rxq, flow_id, skb.hash))
            return len(self.steers) & 0x3FFF

        self.dev.ntuple = True
        self.dev.rx_cpu_rmap = lambda cpu: cpu % QUEUES
        self.dev.ndo_rx_flow_steer = steer

    def softnet_stat(self) -> str:
        """The text of /proc/net/softnet_stat."""
        return self.tree.read("/proc/net/softnet_stat")


def _idle(cpu: Cpu) -> bool:
    if not cpu.is_open or cpu.runqueue.current is not None or cpu.runqueue.waiting:
        return False
    if cpu.softirq_pending and not cpu.bh_disabled:
        return False
    return cpu.mailbox.has_only_timers()
