"""Epoll: one process that waits for many sockets.

Models: level-triggered readiness, a ready list in the order of arrival, one sleeper.
Leaves out: edge triggering, EPOLLEXCLUSIVE, nested instances, timeouts.
Source: fs/eventpoll.c (6.9).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cpus.process import BLOCK, SYSTEM

if TYPE_CHECKING:
    from collections.abc import Generator

    from cpus.cpu import Cpu
    from cpus.process import Process, Step
    from netstack.sock import Socket


class Epoll:
    """An epoll instance of `syscall_ns` a call."""

    def __init__(self, syscall_ns: int) -> None:
        self._syscall_ns = syscall_ns
        self._ready: dict[Socket, None] = {}
        self.sleeper: Process | None = None

    def add(self, sock: Socket) -> None:
        """EPOLL_CTL_ADD for reading."""
        sock.epoll = self
        if sock.readable():
            self._ready[sock] = None

    def remove(self, sock: Socket) -> None:
        """EPOLL_CTL_DEL."""
        sock.epoll = None
        self._ready.pop(sock, None)

    def notify(self, sock: Socket, stamp_ns: int, cpu: Cpu) -> None:
        """ep_poll_callback: `sock` may have become readable."""
        self._ready[sock] = None
        sleeper = self.sleeper
        if sleeper is not None:
            self.sleeper = None
            cpu.try_to_wake_up(sleeper, stamp_ns, cpu)

    def ready(self, max_events: int) -> list[Socket]:
        """Up to `max_events` readable sockets, the longest ready first; each goes to the end of the list."""
        found: list[Socket] = []
        ready = self._ready
        for _ in range(len(ready)):
            if len(found) == max_events:
                break
            sock = next(iter(ready))
            del ready[sock]
            if sock.readable():
                found.append(sock)
                ready[sock] = None
        return found

    def wait(self, process: Process, max_events: int = 64) -> Generator[Step, None, list[Socket]]:
        """epoll_wait of a process body: ``socks = yield from epoll.wait(process)``. Sleeps until at least one is readable."""
        while True:
            found = self.ready(max_events)
            if found:
                yield SYSTEM, self._syscall_ns
                return found
            self.sleeper = process
            yield BLOCK
            self.sleeper = None
