"""Applications on a running machine: what they read, what it costs, who gets the CPU."""

from types import SimpleNamespace
from typing import Any

import pytest

from cpus.accounts import IDLE, SYSTEM, USER
from cpus.cpu import Cpu
from emu.errors import ConfigError
from emu.headers import IPPROTO_UDP, HeaderTable
from emu.profiles import DEFAULT_PROFILE, profile_for
from emu.rules import rules_for
from emu.skb import Skb
from netstack.epoll import Epoll
from netstack.snmp import Snmp
from netstack.udp_sock import UdpSocket
from scenarios.applications import AppThread, Burner, BusyReader, EpollReader, Reader, Work, first_cpu
from scenarios.flows import make_headers
from scenarios.machine import Machine

US, MS = 1_000, 1_000_000
HDR = make_headers(HeaderTable(), bytes(12), b"\x0a\0\0\2", b"\x0a\0\0\1", IPPROTO_UDP, 1, 2)


class Host:
    """A machine whose last CPU posts datagrams to sockets, from hard interrupts of its timer."""

    def __init__(self, cpus: int = 2) -> None:
        self.machine = Machine([0] * cpus, rules_for("6.9"), 250, profile_for(DEFAULT_PROFILE).resolve(), 1)
        self.cpus = self.machine.cpus
        self.costs = self.machine.net.costs
        self._stack: Any = SimpleNamespace(net=self.machine.net, snmp=Snmp())
        self.sent = 0

    def socket(self, port: int = 2) -> UdpSocket:
        return UdpSocket(self._stack, (b"\x0a\0\0\1", port), 1 << 30)

    def send(self, sock: UdpSocket, at_ns: int, count: int = 1, payload: int = 100) -> None:
        def post(cpu: Cpu) -> None:
            for _ in range(count):
                skb = Skb(HDR, self.sent, 42 + payload, payload, 0, 0, at_ns, None, 28 + payload)
                skb.ip_summed = 1
                skb.stage_ns = at_ns
                cpu.clock.post(cpu, sock, skb)
                self.sent += 1

        self.cpus[-1].start_timer(at_ns, post)

    async def run(self, until_ns: int, *threads: AppThread) -> None:
        for thread in threads:
            thread.start()
        await self.machine.run(until_ns)

    def spent(self, cpu: int, account: int, now_ns: int) -> int:
        return self.cpus[cpu].accounts.at(now_ns)[account]


async def test_reader_works_on_each_message_and_each_byte_and_sleeps_in_between() -> None:
    host = Host()
    sock = host.socket()
    reader = Reader("app/0", host.cpus[0], 1, sock, Work(work_ns=2_000, work_ns_per_byte=1.5))
    for n in range(10):
        host.send(sock, (n + 1) * 100 * US, payload=200)
    await host.run(2 * MS, reader)
    assert (reader.messages, reader.payload_bytes, reader.calls) == (10, 2000, 10)
    assert reader.process.wakeups == 11
    assert host.spent(0, USER, 2 * MS) == 10 * (2_000 + 300)
    assert host.spent(0, IDLE, 2 * MS) > 1_900_000
    assert host.spent(0, SYSTEM, 2 * MS) > 10 * (host.costs.syscall_ns + host.costs.recvmsg_ns)


@pytest.mark.parametrize(("batch", "calls"), [(1, 32), (5, 7), (32, 1)])
async def test_a_batch_takes_many_messages_in_one_call(batch: int, calls: int) -> None:
    host = Host()
    sock = host.socket()
    reader = Reader("app/0", host.cpus[0], 1, sock, Work(batch, work_ns=1000))
    for _ in range(4):
        host.send(sock, 100 * US, 8)
    # A hog of great weight keeps the reader off until everything has come; it sleeps from 1 ms on.
    hog = Burner("hog/0", host.cpus[0], 1, busy_ns=MS, pause_ns=100 * MS, weight=88761)
    await host.run(30 * MS, hog, reader)
    assert (reader.messages, reader.calls) == (32, calls)
    assert host.spent(0, USER, 30 * MS) == MS + 32 * 1000


async def test_busy_reader_never_sleeps() -> None:
    host = Host()
    sock = host.socket()
    reader = BusyReader("app/0", host.cpus[0], 1, sock, Work(work_ns=700), spin_ns=300)
    for n in range(5):
        host.send(sock, (n + 1) * 10 * US)
    await host.run(100 * US, reader)
    assert reader.messages == 5
    assert reader.process.wakeups == 1
    assert reader.calls == reader.empty_calls + 5
    assert host.spent(0, IDLE, 100 * US) == 0
    assert abs(host.spent(0, USER, 100 * US) - (5 * 700 + reader.empty_calls * 300)) <= 700


async def test_one_thread_reads_many_sockets_by_epoll() -> None:
    host = Host()
    epoll = Epoll(host.costs.syscall_ns)
    socks = [host.socket(port) for port in range(1, 6)]
    for sock in socks:
        epoll.add(sock)
    reader = EpollReader("app/0", host.cpus[0], 1, epoll, Work(4, work_ns=100))
    for n, sock in enumerate(socks):
        host.send(sock, 50 * US, n + 1)
        host.send(sock, 500 * US + n, 1)
    await host.run(MS, reader)
    assert reader.messages == 20
    assert [sock.read_messages for sock in socks] == [2, 3, 4, 5, 6]
    assert host.spent(0, USER, MS) == 2000
    assert not any(sock.queue for sock in socks)


async def test_threads_with_a_socket_each_read_side_by_side() -> None:
    host = Host(3)
    socks = [host.socket(), host.socket()]
    readers = [
        Reader(f"app/{n}", first_cpu(host.cpus, 3, n), 3, sock, Work(work_ns=50 * US)) for n, sock in enumerate(socks)
    ]
    assert [reader.process.cpu.index for reader in readers] == [0, 1]
    for sock in socks:
        host.send(sock, 10 * US, 10)
    await host.run(600 * US, *readers)
    # 10 messages of 50 us each: on one CPU they would take 1 ms.
    assert [reader.messages for reader in readers] == [10, 10]


async def test_hogs_share_a_cpu_by_their_weights() -> None:
    host = Host()
    light = Burner("light/0", host.cpus[0], 1)
    heavy = Burner("heavy/0", host.cpus[0], 1, weight=3 * 1024)
    await host.run(400 * MS, light, heavy)
    assert heavy.process.ran_ns / light.process.ran_ns == pytest.approx(3, rel=0.05)
    assert host.spent(0, IDLE, 400 * MS) == 0


async def test_a_hog_slows_the_reader_on_its_cpu_only() -> None:
    host = Host(3)
    socks = [host.socket(), host.socket()]
    readers = [Reader(f"app/{n}", host.cpus[n], 1 << n, sock, Work(work_ns=10 * US)) for n, sock in enumerate(socks)]
    hog = Burner("hog/0", host.cpus[0], 1)
    for sock in socks:
        host.send(sock, 10 * US, 3000)
    await host.run(30 * MS, hog, *readers)
    assert readers[1].messages > 2500
    assert 1000 < readers[0].messages < 1700


async def test_a_hog_with_pauses_has_its_duty_cycle() -> None:
    host = Host()
    hog = Burner("hog/0", host.cpus[0], 1, busy_ns=2 * MS, pause_ns=6 * MS)
    await host.run(80 * MS, hog)
    assert hog.process.ran_ns == 20 * MS
    assert host.spent(0, USER, 80 * MS) == 20 * MS
    assert hog.process.wakeups == pytest.approx(10, abs=1)


async def test_the_same_machine_twice_gives_the_same_times() -> None:
    runs = []
    for _ in range(2):
        host = Host()
        sock = host.socket()
        threads = [
            Reader("app/0", host.cpus[0], 1, sock, Work(3, 1500, 0.3)),
            Burner("hog/0", host.cpus[0], 1, busy_ns=30 * US, pause_ns=11 * US),
        ]
        for n in range(100):
            host.send(sock, (n + 1) * 7919, n % 5)
        await host.run(5 * MS, *threads)
        runs.append([(t.process.ran_ns, t.process.switches, t.process.wakeups) for t in threads])
    assert runs[0] == runs[1]


def test_wrong_settings_are_refused_in_one_sentence() -> None:
    cpu = Host().cpus[1]
    with pytest.raises(ConfigError, match="where it may not run"):
        Burner("hog", cpu, 1)
    with pytest.raises(ConfigError, match="1 or more"):
        Work(0)
    with pytest.raises(ConfigError, match="out of range"):
        Work(1, -1)
    with pytest.raises(ConfigError, match="out of range"):
        Work(1, 0, float("nan"))
    with pytest.raises(ConfigError, match="busy for 0 ns"):
        Burner("hog", cpu, 2, busy_ns=0)
    with pytest.raises(ConfigError, match="no CPU"):
        first_cpu([cpu], 1)
