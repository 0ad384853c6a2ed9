"""Sockets and processes on a running machine: wake-ups, sharing, ownership, epoll, latencies, prices."""

from __future__ import annotations

from collections.abc import Generator, Iterator

import trio

from cpus.cpu import Cpu
from cpus.process import USER, Process, Step
from emu.skb import Received
from netstack.epoll import Epoll
from netstack.udp_sock import UdpSocket
from softirq.receive import netif_receive_skb_list_internal
from tests.machine_kit import Irq
from tests.netstack.stack_kit import StackKit, tcp4, udp4

FLOW = (6, bytes([10, 0, 0, 2]), bytes([10, 0, 0, 1]), 1000, 8000)
US = 1000


def machine(cpus: int = 2, **prices: int) -> StackKit:
    kit = StackKit("6.9", cpus, **prices)
    kit.cpus[0].local_now_ns = 0
    kit.dev.gro = False
    return kit


def send(kit: StackKit, at_ns: int, *frames: bytes, cpu: int = 0) -> None:
    """Let frames go up on `cpu` in a hard interrupt at `at_ns`."""
    skbs = [kit.make_skb(frame, 1) for frame in frames]
    for skb in skbs:
        skb.arrived_ns = at_ns
        skb.received = Received(skb.dev, 0, cpu)

    def handle(at: Cpu) -> None:
        netif_receive_skb_list_internal(kit.net.softnet[at.index], skbs)

    kit.cpus[cpu].send(Irq(handle), at_ns, 1000)


def start(kit: StackKit, body: Iterator[Step], cpu: int = 1, name: str = "app") -> Process:
    process = Process(name, body, 1 << cpu, kit.cpus[cpu])
    kit.cpus[cpu].activate(process)
    return process


def run(kit: StackKit) -> None:
    trio.run(kit.run)
    kit.ledger.check(kit.clock.now_ns)


def udp_reader(kit: StackKit, sock: UdpSocket, log: list[tuple[str, int, int]], work_ns: int = 0) -> Process:
    """A process that logs (name, time, messages) of each call."""
    box: list[Process] = []

    def body() -> Generator[Step, None, None]:
        while True:
            taken = yield from sock.recvmsg(box[0], 8)
            log.append((box[0].name, box[0].cpu.local_now_ns, len(taken)))
            if work_ns:
                yield USER, work_ns

    process = start(kit, body(), name=f"app{len(kit.stack.sockets)}{id(box)}")
    box.append(process)
    return process


def test_a_sleeping_reader_wakes_when_its_datagram_has_been_queued() -> None:
    kit = machine(
        ip_rcv_ns=100, udp_rcv_ns=200, sock_wake_ns=500, syscall_ns=300, recvmsg_ns=40, skb_free_ns=7, remote_skb_ns=9
    )
    sock = kit.stack.udp_socket(7000)
    log: list[tuple[str, int, int]] = []
    reader = udp_reader(kit, sock, log)
    send(kit, 100 * US, udp4())
    run(kit)
    assert [(at, count) for _, at, count in log] == [(100 * US + 301 + 300 + 40 + 7 + 9, 1)]
    assert reader.wakeups == 2
    latencies = kit.net.latencies
    assert (latencies.protocol.total, latencies.socket.total, latencies.total.total) == (300, 1, 301)


def test_the_reader_on_the_cpu_of_the_softirq_pays_no_transfer() -> None:
    kit = machine(remote_skb_ns=9, recvmsg_ns=40)
    sock = kit.stack.udp_socket(7000)
    send(kit, 100 * US, udp4())
    run(kit)
    for cpu, ns in ((0, 40), (1, 49)):
        skb = sock.queue[0]
        assert sock.message_ns(kit.cpus[cpu], sock.softirq_cpus[0], skb) == ns


def test_a_datagram_wakes_one_of_two_sleepers() -> None:
    kit = machine()
    sock = kit.stack.udp_socket(7000)
    log: list[tuple[str, int, int]] = []
    readers = [udp_reader(kit, sock, log, work_ns=5 * US) for _ in range(2)]
    for n in range(4):
        send(kit, (n + 1) * 100 * US, udp4())
    run(kit)
    assert sum(count for _, _, count in log) == 4
    assert [reader.wakeups for reader in readers] == [3, 3]


def test_the_stack_pays_for_the_wake_up_once() -> None:
    kit = machine(sock_wake_ns=500)
    sock = kit.stack.udp_socket(7000)
    udp_reader(kit, sock, [])
    send(kit, 100 * US, udp4(), udp4(), udp4())
    run(kit)
    assert kit.cpus[0].local_now_ns >= 100 * US + 500


def test_a_stream_is_owned_while_its_reader_is_in_the_call() -> None:  # T1, T2
    kit = machine(syscall_ns=50 * US)
    sock = kit.stack.tcp_socket(FLOW, rcv_nxt=0)
    got: list[tuple[int, int]] = []
    held: list[int] = []
    box: list[Process] = []

    def body() -> Generator[Step, None, None]:
        while True:
            count = yield from sock.recvmsg(box[0], 1 << 20)
            got.append((box[0].cpu.local_now_ns, count))

    box.append(start(kit, body()))
    send(kit, 100 * US, tcp4(seq=0, payload=100))
    send(kit, 120 * US, tcp4(seq=100, payload=100))
    kit.cpus[0].send(Irq(lambda cpu: held.append(sock.backlog_frames)), 130 * US, 1000)
    run(kit)
    assert [count for _, count in got] == [100, 100]
    assert held == [1]
    assert got[1][0] - got[0][0] == 50 * US


def test_epoll_gives_the_sockets_that_can_be_read_and_sleeps_for_the_rest() -> None:
    kit = machine()
    socks = [kit.stack.udp_socket(7000 + n) for n in range(3)]
    epoll = Epoll(0)
    for sock in socks:
        epoll.add(sock)
    seen: list[tuple[int, list[int]]] = []
    box: list[Process] = []

    def body() -> Generator[Step, None, None]:
        while True:
            ready = yield from epoll.wait(box[0])
            seen.append((box[0].cpu.local_now_ns // US, sorted(socks.index(sock) for sock in ready)))  # type: ignore[arg-type]
            for sock in ready:
                assert isinstance(sock, UdpSocket)
                while (yield from sock.recvmsg(box[0], block=False)):
                    pass

    box.append(start(kit, body()))
    send(kit, 100 * US, udp4(dport=7001))
    send(kit, 200 * US, udp4(dport=7002), udp4(dport=7000))
    run(kit)
    assert seen[0] == (100, [1])
    assert sorted(index for _, ready in seen[1:] for index in ready) == [0, 2]
    assert kit.ledger.read_frames == 3


def test_level_triggering_gives_an_unread_socket_again() -> None:
    kit = StackKit()
    sock = kit.stack.udp_socket(7000)
    kit.up(udp4(), udp4())
    epoll = Epoll(0)
    epoll.add(sock)
    assert epoll.ready(8) == [sock]
    sock.recv(kit.reader())
    assert epoll.ready(8) == [sock]
    sock.recv(kit.reader())
    assert epoll.ready(8) == []
    kit.up(udp4())
    assert epoll.ready(8) == [sock]
    sock.close()
    kit.settle()
    assert epoll.ready(8) == []


def test_a_checksum_that_the_nic_did_not_make_costs_time() -> None:
    kit = StackKit(csum_ps=1000, csum_copy_ps=500, copy_ps=250)
    sock = kit.stack.udp_socket(7000)
    before = kit.cpus[0].local_now_ns
    kit.dev.gro = False
    kit.up(udp4(payload=60), udp4(payload=400), udp4(payload=400), tcp4(payload=1000))
    assert kit.cpus[0].local_now_ns - before == 68 + 1020
    sock.recv(kit.reader(), 3)
    assert sock.recv_ns == 15 + 2 * (200 + 100)
