"""Applications: threads that read sockets and work on what they read, and threads that only burn time.

Models: blocking readers, readers of many sockets by epoll, busy readers, CPU hogs with or without pauses.
Leaves out: what an application answers; memory it touches.

A thread is a process of `cpus.process` whose body is a generator: it is stepped at synchronised times, and every step it yields
is time it spends. So whatever a system call does to a socket happens at the call's own time.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Final, Protocol

from cpus.cpu import Cpu
from cpus.process import BLOCK, NICE_0_WEIGHT, USER, Process, Step
from emu.errors import ConfigError
from emu.skb import Skb
from netstack.epoll import Epoll
from netstack.tcp_listener import TcpListener
from netstack.tcp_sock import TcpSocket
from netstack.udp_sock import UdpSocket

BURN_NS: Final = 1_000_000_000
"""Length of a hog's step; only for bookkeeping, interrupts and the scheduler cut it wherever they like."""
TCP_BUFFER_BYTES: Final = 65536
"""What a reader of streams asks for in one call."""
DEFAULT_SPIN_NS: Final = 500
"""User time of a busy reader between two empty calls. No published price: a loop around recv, as users write it."""


class Receiver(Protocol):
    """A socket, as far as an application knows it."""

    def recvmsg(self, process: Process, max_messages: int = 1, block: bool = True) -> Generator[Step, None, list[Skb]]:
        """A receive call in the body of `process`, which spends its own time: up to `max_messages` skbs. Sleeps while there is
        nothing, or returns an empty list if not `block`."""


class AppThread:
    """A thread of an application. `allowed` is a mask of CPUs; it starts on `cpu` when `start` is called."""

    def __init__(self, name: str, cpu: Cpu, allowed: int, weight: int = NICE_0_WEIGHT) -> None:
        if not allowed >> cpu.index & 1:
            raise ConfigError(f"{name}: it would start on CPU {cpu.index}, where it may not run.")
        self.name = name
        self.process = Process(name, self.body(), allowed, cpu, weight)

    def body(self) -> Generator[Step, None, None]:
        """What the thread does. Runs for the first time after construction, so that it may use `self.process`."""
        raise NotImplementedError

    def start(self) -> None:
        """Make the thread runnable on its CPU. To be called before the machine runs: it begins at the machine's time 0."""
        self.process.cpu.activate(self.process)


class Work:
    """What a reader does: up to `batch` messages a receive call, then `work_ns` of user time for each and `work_ns_per_byte` for
    each byte of payload. Threads may share one."""

    __slots__ = ("batch", "ns", "ps_per_byte")

    def __init__(self, batch: int = 1, work_ns: int = 0, work_ns_per_byte: float = 0.0, where: str = "app") -> None:
        if batch < 1:
            raise ConfigError(f"{where}: a batch of {batch} messages, it must be 1 or more.")
        if not 0 <= work_ns <= 10**9 or not 0 <= work_ns_per_byte <= 10**6:
            raise ConfigError(f"{where}: work of {work_ns} ns and {work_ns_per_byte} ns a byte is out of range.")
        self.batch = batch
        self.ns = work_ns
        self.ps_per_byte = round(work_ns_per_byte * 1000)


class ReaderThread(AppThread):
    """What all readers share: the work, and what came in."""

    def __init__(self, name: str, cpu: Cpu, allowed: int, work: Work, weight: int = NICE_0_WEIGHT) -> None:
        self.work = work
        self.calls = 0
        """Receive calls that returned."""
        self.empty_calls = 0
        """Of these, with nothing."""
        self.messages = 0
        """skbs read: what GRO merged counts once."""
        self.payload_bytes = 0
        super().__init__(name, cpu, allowed, weight)

    def count(self, taken: list[Skb]) -> int:
        """Count what a call returned. Returns the user time it takes to work on it, in ns."""
        self.calls += 1
        if not taken:
            self.empty_calls += 1
            return 0
        payload = 0
        for skb in taken:
            payload += skb.payload_bytes
        self.messages += len(taken)
        self.payload_bytes += payload
        work = self.work
        return work.ns * len(taken) + work.ps_per_byte * payload // 1000


class Reader(ReaderThread):
    """Reads one socket, which it may share with other threads; sleeps when there is nothing."""

    def __init__(
        self, name: str, cpu: Cpu, allowed: int, receiver: Receiver, work: Work, weight: int = NICE_0_WEIGHT
    ) -> None:
        self.receiver = receiver
        super().__init__(name, cpu, allowed, work, weight)

    def body(self) -> Generator[Step, None, None]:
        """Wait, read, work, for ever."""
        process, batch, receiver = self.process, self.work.batch, self.receiver
        while True:
            ns = self.count((yield from receiver.recvmsg(process, batch)))
            if ns:
                yield USER, ns


class EpollReader(ReaderThread):
    """Reads many sockets, UDP or TCP, through an epoll instance of its own: a receive call on each readable one (accept on a
    listener), then it waits again. A TCP call takes up to `TCP_BUFFER_BYTES` and counts as one message; a stream that has ended is
    closed."""

    def __init__(
        self, name: str, cpu: Cpu, allowed: int, epoll: Epoll, work: Work, weight: int = NICE_0_WEIGHT
    ) -> None:
        self.epoll = epoll
        self.ended_streams = 0
        self.deals_to: list[EpollReader] = [self]
        """Threads that get the connections which this one accepts, in turn."""
        self._dealt = 0
        super().__init__(name, cpu, allowed, work, weight)

    def body(self) -> Generator[Step, None, None]:
        """Wait, read, work, for ever."""
        process, work, epoll = self.process, self.work, self.epoll
        while True:
            for sock in (yield from epoll.wait(process)):
                if isinstance(sock, TcpSocket):
                    payload = yield from sock.recvmsg(process, TCP_BUFFER_BYTES, block=False)
                    self.calls += 1
                    if payload:
                        self.messages += 1
                        self.payload_bytes += payload
                        ns = work.ns + work.ps_per_byte * payload // 1000
                    else:
                        self.empty_calls += 1
                        ns = 0
                        if sock.at_end():
                            self.ended_streams += 1
                            epoll.remove(sock)
                            sock.close()
                elif isinstance(sock, TcpListener):
                    self._deal((yield from sock.accept(process)))
                    continue
                else:
                    assert isinstance(sock, UdpSocket), f"{self.name} cannot read {sock.name}"
                    ns = self.count((yield from sock.recvmsg(process, work.batch, block=False)))
                if ns:
                    yield USER, ns

    def _deal(self, connection: TcpSocket) -> None:
        """Hand an accepted connection to the next thread, which wakes up if there is something to read already."""
        target = self.deals_to[self._dealt % len(self.deals_to)].epoll
        self._dealt += 1
        target.add(connection)
        if connection.readable():
            cpu = self.process.cpu
            target.notify(connection, cpu.local_now_ns, cpu)


class BusyReader(ReaderThread):
    """Never sleeps: it calls again at once, after `spin_ns` of user time if there was nothing.

    It always burns its CPU, and in the emulator's own time too: a step per empty call.
    """

    def __init__(
        self,
        name: str,
        cpu: Cpu,
        allowed: int,
        receiver: Receiver,
        work: Work,
        weight: int = NICE_0_WEIGHT,
        spin_ns: int = DEFAULT_SPIN_NS,
    ) -> None:
        if not 1 <= spin_ns <= 10**9:
            raise ConfigError(f"{name}: spin_ns {spin_ns} is out of range, it must be 1 to 1000000000.")
        self.receiver = receiver
        self.spin_ns = spin_ns
        super().__init__(name, cpu, allowed, work, weight)

    def body(self) -> Generator[Step, None, None]:
        """Read, work or spin, for ever."""
        process, batch, receiver, spin = self.process, self.work.batch, self.receiver, (USER, self.spin_ns)
        while True:
            taken = yield from receiver.recvmsg(process, batch, block=False)
            ns = self.count(taken)
            if ns:
                yield USER, ns
            elif not taken:
                yield spin


class Burner(AppThread):
    """Computes: always, or for `busy_ns` of its own CPU time and then asleep for `pause_ns`, again and again."""

    def __init__(
        self,
        name: str,
        cpu: Cpu,
        allowed: int,
        *,
        busy_ns: int = BURN_NS,
        pause_ns: int = 0,
        weight: int = NICE_0_WEIGHT,
    ) -> None:
        if busy_ns < 1 or pause_ns < 0:
            raise ConfigError(
                f"{name}: busy for {busy_ns} ns (1 at least), then asleep for {pause_ns} ns (0 at least)."
            )
        self.busy_ns = busy_ns
        self.pause_ns = pause_ns
        super().__init__(name, cpu, allowed, weight)

    def body(self) -> Generator[Step, None, None]:
        """Burn, and sleep if it has pauses."""
        process, pause_ns, burn = self.process, self.pause_ns, (USER, self.busy_ns)
        while True:
            yield burn
            if pause_ns:
                cpu = process.cpu
                cpu.start_timer(cpu.local_now_ns + pause_ns, self.wake)
                yield BLOCK

    def wake(self, cpu: Cpu) -> None:
        """The timer at the end of a pause, in hard-interrupt context."""
        cpu.try_to_wake_up(self.process, cpu.local_now_ns, cpu)


def first_cpu(cpus: Sequence[Cpu], allowed: int, thread: int = 0) -> Cpu:
    """Where thread number `thread` of an application starts: its turn among the allowed CPUs that are online, so that threads free
    to move begin apart. ConfigError if there is none."""
    candidates = [cpu for cpu in cpus if allowed >> cpu.index & 1 and cpu.online]
    if not candidates:
        raise ConfigError(f"no CPU of the mask {allowed:x} is online.")
    return candidates[thread % len(candidates)]
