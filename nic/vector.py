"""MSI-X vectors: which CPU a vector interrupts, and when it may.

Models: S13 (one CPU of the mask: the online one with most free vectors, the lowest on a tie), S14 (names and affinity hints), the
armed and the masked state (C2), write-back-on-ITR (C4), counts per CPU as in /proc/interrupts.
Leaves out: managed affinity, vectors reserved for other devices (every CPU starts with the same number free).
Source: kernel/irq/matrix.c, arch/x86/kernel/apic/vector.c, kernel/irq/manage.c (6.9); rules S13, S14, C2-C4.
"""

from __future__ import annotations

from errno import EINVAL, ENOSPC
from typing import TYPE_CHECKING, Final

from cpus.interrupts import Interrupt
from emu.clock import NEVER
from emu.cpumask import format_list
from emu.errors import ConfigError, ControlError
from nic.moderation import Moderation
from softirq.napi import napi_schedule

if TYPE_CHECKING:
    from cpus.cpu import Cpu
    from nic.ring import RxRing
    from softirq.napi import Napi
    from softirq.net import Net

VECTORS_PER_CPU: Final = 202
"""External vectors of an x86 CPU, less the system's own. Only differences between CPUs matter, until a CPU is full."""

SW_ITR_NS: Final = 50_000
"""Interval of the software interrupt that ends write-back-on-ITR mode: 20,000 a second (C4)."""

LONG_AGO_NS: Final = -NEVER


class VectorMatrix:
    """How many interrupt vectors each CPU has left. One per machine, shared by its devices."""

    __slots__ = ("cpus", "free", "irqs")

    def __init__(self, cpus: list[Cpu]) -> None:
        self.cpus = cpus
        self.free = [VECTORS_PER_CPU] * len(cpus)
        self.irqs: set[int] = set()
        """Interrupt numbers that are taken."""

    def take_irq(self, first: int) -> int:
        """The lowest interrupt number from `first` that no device has."""
        irq = first
        while irq in self.irqs:
            irq += 1
        self.irqs.add(irq)
        return irq

    def online_mask(self) -> int:
        """CPUs that are online now."""
        mask = 0
        for cpu in self.cpus:
            if cpu.online:
                mask |= 1 << cpu.index
        return mask

    def choose(self, mask: int) -> int:
        """The online CPU of `mask` with most free vectors, the lowest on a tie (S13). ControlError ENOSPC when none has one.

        `mask` holds at least one online CPU.
        """
        best = self.roomiest(mask)
        if self.free[best] <= 0:
            raise ControlError(ENOSPC, f"no CPU of {format_list(mask, len(self.cpus))} has an interrupt vector left")
        return best

    def roomiest(self, mask: int) -> int:
        """As `choose`, even where no vector is left."""
        best = -1
        for cpu in self.cpus:
            if mask >> cpu.index & 1 and cpu.online and (best < 0 or self.free[cpu.index] > self.free[best]):
                best = cpu.index
        return best


class Irq(Interrupt):
    """A vector's MSI-X message, which reaches CPU `target` at `at_ns`."""

    __slots__ = ("at_ns", "order", "target", "vector")

    def __init__(self, vector: MsixVector, at_ns: int) -> None:
        super().__init__()
        self.vector = vector
        self.at_ns = at_ns
        self.order = vector.index
        self.target = vector.cpu

    def handle(self, cpu: Cpu) -> None:
        """The handler: count, and schedule the vector's NAPIs. The device has masked the vector itself (C2)."""
        cpu.local_now_ns += cpu.costs.hardirq_ns
        cpu.hardirqs += 1
        vector = self.vector
        vector.in_flight = None
        vector.armed = False
        vector.wb_on_itr = False
        vector.last_irq_ns = self.at_ns
        vector.total_events += 1
        vector.irqs[cpu.index] += 1
        sd = vector.net.softnet[cpu.index]
        for napi in vector.napis:
            napi_schedule(sd, napi)


class MsixVector:
    """One vector with the rings it serves. `affinity` is the mask as set, `cpu` the CPU that it interrupts (effective affinity)."""

    __slots__ = (
        "affinity",
        "armed",
        "armed_ns",
        "cpu",
        "gone",
        "hint",
        "in_flight",
        "index",
        "irq",
        "irqs",
        "last_irq_ns",
        "matrix",
        "moderation",
        "name",
        "napis",
        "net",
        "rings",
        "total_events",
        "wb_on_itr",
    )

    def __init__(
        self, index: int, first_irq: int, device_name: str, net: Net, matrix: VectorMatrix, moderation: Moderation
    ) -> None:
        """Vector `index` of the device, hinted to CPU `index` if that is online (S14), else to none.

        Its interrupt number is `first_irq` or the next that is free. Raises ConfigError when no CPU has a vector left for it.
        """
        self.index = index
        self.name = f"{device_name}-TxRx-{index}"
        self.net = net
        self.matrix = matrix
        self.moderation = moderation
        self.rings: list[RxRing] = []
        self.napis: list[Napi] = []
        online = matrix.online_mask()
        self.hint = 1 << index if online >> index & 1 else 0
        self.affinity = self.hint or (1 << len(matrix.cpus)) - 1
        self.cpu = matrix.roomiest(self.affinity & online)
        if matrix.free[self.cpu] <= 0:
            raise ConfigError(
                f"{device_name}: no interrupt vector left for {self.name}; a CPU has {VECTORS_PER_CPU}, use fewer vectors"
            )
        matrix.free[self.cpu] -= 1
        self.irq = matrix.take_irq(first_irq)
        self.irqs = [0] * len(matrix.cpus)
        """Interrupts taken, by CPU."""
        self.total_events = 0
        """Interrupts taken on all CPUs: what DIM counts."""
        self.armed = False
        self.armed_ns = 0
        self.last_irq_ns = LONG_AGO_NS
        self.wb_on_itr = False
        """Masked, and the device writes descriptors back at the pace of the ITR (C4)."""
        self.in_flight: Irq | None = None
        """The message that was sent and not taken yet; its time may lie ahead."""
        self.gone = False
        """The device has given it up: its NAPI may still have to end a poll."""

    def release(self) -> None:
        """Give the vector back to the system; a message on its way is not taken any more."""
        self.gone = True
        self.armed = False
        if self.in_flight is not None:
            self.in_flight.withdrawn = True
            self.in_flight = None
        self.matrix.free[self.cpu] += 1
        self.matrix.irqs.discard(self.irq)

    def set_affinity(self, mask: int) -> None:
        """Write smp_affinity. The vector stays where it is if that CPU is in `mask` and online; else it moves as S13 says.

        ControlError EINVAL when no CPU of `mask` is online, ENOSPC when none has a vector left; then nothing has changed.
        """
        online = mask & self.matrix.online_mask()
        if not online:
            raise ControlError(
                EINVAL,
                f"no CPU of the mask is online: name one of {format_list(self.matrix.online_mask(), len(self.irqs))}",
            )
        if not online >> self.cpu & 1:
            self._move(self.matrix.choose(online))
        self.affinity = mask

    def leave(self, index: int) -> None:
        """CPU `index` goes offline: move to another of the mask, or of all CPUs when it was the last (the mask is then lost)."""
        online = self.matrix.online_mask() & ~(1 << index)
        if self.cpu != index:
            return
        if not self.affinity & online:
            self.affinity = online
        # The kernel keeps a CPU online whose vectors find no room elsewhere; here the others take more than they have.
        self._move(self.matrix.roomiest(self.affinity & online))

    def _move(self, target: int) -> None:
        self.matrix.free[target] -= 1
        self.matrix.free[self.cpu] += 1
        self.cpu = target

    def fire_ns(self) -> int:
        """When an armed vector will interrupt, by what is known of its rings; NEVER if nothing is (C13, C4)."""
        event_ns = NEVER
        for ring in self.rings:
            due_ns = ring.next_event_ns()
            if due_ns < event_ns:
                event_ns = due_ns
        armed_ns = self.armed_ns
        fire_ns = NEVER
        if event_ns < NEVER:
            fire_ns = max(armed_ns, event_ns, self.last_irq_ns + self.moderation.itr_ns)
        if self.wb_on_itr:
            fire_ns = min(fire_ns, max(armed_ns, self.last_irq_ns + SW_ITR_NS))
        return fire_ns
