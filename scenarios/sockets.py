"""Sockets and threads of the applications that a scenario names, and the sinks that a capture's ports get.

Models: one socket or listener shared by an application's threads, or one each (SO_REUSEPORT); connections dealt to threads in turn.
"""

from __future__ import annotations

from typing import Final

from cpus.cpu import Cpu
from emu.errors import ConfigError
from emu.headers import IPPROTO_TCP, IPPROTO_UDP
from netstack.epoll import Epoll
from netstack.stack import ANY6, NetStack
from scenarios.applications import AppThread, Burner, BusyReader, EpollReader, Reader, Work, first_cpu
from scenarios.cpusets import thread_masks
from scenarios.machine import Machine
from scenarios.playback import Recording
from scenarios.schema import App, Scenario

Seat = tuple[str, Cpu, int]
"""Name, first CPU and allowed CPUs of a thread."""

PROTOCOL_NAMES: Final = {IPPROTO_UDP: "udp", IPPROTO_TCP: "tcp"}


def open_applications(
    scenario: Scenario, machine: Machine, stack: NetStack, recording: Recording | None
) -> list[AppThread]:
    """Open every socket and start every thread. Ports of a capture that no application has get sinks."""
    threads: list[AppThread] = []
    taken: set[tuple[str, int]] = set()
    for index, app in enumerate(scenario.app):
        if app.protocol is not None:
            taken.update((app.protocol, port) for port in app.ports)
        threads += _open(scenario.app_name(index), app, machine, stack)
    if recording is not None:
        for number, port in recording.sides.ports:
            protocol = PROTOCOL_NAMES.get(number)
            if protocol is not None and port and (protocol, port) not in taken:
                _open_sink(protocol, port, None, stack)
    for thread in threads:
        thread.start()
    return threads


def _open(name: str, app: App, machine: Machine, stack: NetStack) -> list[AppThread]:
    if app.kind == "sink":
        assert app.protocol is not None, f"{name}: a sink without a protocol passed the checks"
        for port in app.ports:
            _open_sink(app.protocol, port, app.rcvbuf, stack)
        return []
    masks = thread_masks(app, len(machine.cpus), machine.net.settings.housekeeping)
    cpus = [first_cpu(machine.cpus, mask, thread) for thread, mask in enumerate(masks)]
    names = [name if app.threads == 1 else f"{name}/{thread}" for thread in range(app.threads)]
    seats = list(zip(names, cpus, masks, strict=True))
    if app.kind == "burner":
        return [Burner(seat, cpu, mask, weight=app.weight) for seat, cpu, mask in seats]
    work = Work(app.batch, app.work_ns, app.work_ns_per_byte, name)
    if app.protocol == "tcp" or len(app.ports) > 1:
        if app.kind == "busy":
            raise ConfigError(f"{name}: a busy reader reads one UDP port")
        return _open_epoll_readers(app, work, seats, stack)
    port = app.ports[0]
    reader = BusyReader if app.kind == "busy" else Reader
    shared = None if app.sockets == "each" else stack.udp_socket(port, ANY6, rcvbuf=app.rcvbuf)
    found: list[AppThread] = []
    for seat, cpu, mask in seats:
        sock = shared or stack.udp_socket(port, ANY6, rcvbuf=app.rcvbuf, reuseport=True)
        found.append(reader(seat, cpu, mask, sock, work, app.weight))
    return found


def _open_epoll_readers(app: App, work: Work, seats: list[Seat], stack: NetStack) -> list[AppThread]:
    """Threads with an epoll instance each. What is shared is watched by the first, which deals its connections to all in turn."""
    if app.protocol == "tcp":
        stack.net.defers_frees = True  # before the first connection, which would be too late for those who look already
    syscall_ns = stack.net.costs.syscall_ns
    threads = [EpollReader(name, cpu, mask, Epoll(syscall_ns), work, app.weight) for name, cpu, mask in seats]
    watchers = threads if app.sockets == "each" else threads[:1]
    for port in app.ports:
        for watcher in watchers:
            reuseport = len(watchers) > 1
            if app.protocol == "tcp":
                watcher.epoll.add(
                    stack.tcp_listener(port, ANY6, rcvbuf=app.rcvbuf, reuseport=reuseport, adopts_flows=True)
                )
            else:
                watcher.epoll.add(stack.udp_socket(port, ANY6, rcvbuf=app.rcvbuf, reuseport=reuseport))
    if app.sockets == "shared":
        threads[0].deals_to = threads
    return list(threads)


def _open_sink(protocol: str, port: int, rcvbuf: int | None, stack: NetStack) -> None:
    if protocol == "udp":
        stack.udp_socket(port, ANY6, rcvbuf=rcvbuf, sink=True)
    else:
        stack.tcp_listener(port, ANY6, rcvbuf=rcvbuf, sink=True, adopts_flows=True)
